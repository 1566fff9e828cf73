"""What variations are like: how far they go, how smooth they are, whether feet stay, how levels and seeds differ.

The source's own figures stand beside: its skate, its share outside the joint ranges that other clips of its rig show,
its spread of poses.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from backend.change import apply_change
from backend.encoding import Encoding, Model, decode_pose, encode_motion
from backend.motion import Motion
from backend.rotations import matrix_angle, quaternion_angle, quaternion_rotate, yaw_to_quaternion
from backend.sampling import SPREADS
from backend.variation import LEVELS, VariationSettings, vary

from . import metrics
from .held_out import RIG_A_FILE, Scope, held_out_clips, is_trained, middle_motion, silent
from .store import ClipStore, clip_motion

# Held-out clips that stand for what animators have: (set, clip, what it is).
CLIPS = (
    ("accad", "Female1_walkForward", "walk"),
    ("cmu_asf", "39_05", "walk"),
    ("cmu_daz", "45_01", "walk"),
    ("cmu_daz", "94_01", "dance"),
    ("cmu_daz", "94_05", "dance"),
    ("cmu_daz", "75_08", "jumps"),
    ("cmu_daz", "90_15", "acrobatics"),
    ("cmu_asf", "127_21", "run and jump"),
    ("cmu_cgspeed", "137_37", "acted"),
    ("accad", "Female1_runningSideStepLeft", "side steps"),
    ("accad", "Female1_putDownBoxBendAtWaist", "puts down a box"),
    ("accad_mb", "Model01_Female-Run_turn_left_90", "run"),
    ("reactidle", "011_genuine", "idle"),
    ("decentraland", "walk", "walk"),
    ("decentraland", "Crafting", "crafting"),
    ("decentraland", "OpenDoor", "opens a door"),
    ("characters", "cmu_91_poser_names__91_50", "walk"),
    ("characters", "q_robot__Robot_Dance", "dance"),
    ("characters", "kaykit_combatranged__Rig_Medium|Ranged_Magic_Summon", "summons"),
    ("creatures", "khronos_fox__Survey", "fox"),
    ("creatures", "khronos_fox__Walk", "fox"),
    ("creatures", "m2m_spider__Walk", "spider"),
    ("creatures", "m2m_spider__Idle", "spider"),
    ("creatures", "m2m_horse__Walk", "horse"),
    ("creatures", "m2m_horse__Turn_Left", "horse"),
    ("creatures", "q_triceratops__Armature|Triceratops_Walk", "triceratops"),
)
# Of whom three seeds must differ.
DIVERSE = (
    ("accad", "Female1_walkForward"),
    ("cmu_daz", "94_01"),
    ("creatures", "khronos_fox__Survey"),
    ("creatures", "m2m_spider__Idle"),
    ("creatures", "khronos_fox__Walk"),
    ("creatures", "m2m_spider__Walk"),
)
SETTINGS = (("PHRASES", 0.25), ("PHRASES", 0.5), ("PHRASES", 1.0), ("WHOLE", 1.0), ("DETAIL", 1.0))
SEEDS = (1, 2)
DIVERSE_SEEDS = (1, 2, 3)
GROUPS = ("all", "trained rigs", "new people", "creatures")
OTHER_CLIPS = 6  # of a data set that has none of the above
RANGE_CLIPS, RANGE_FRAMES, FEWEST_RANGE_FRAMES = 40, 400, 300  # of one rig, that show how far its joints go


@dataclass(frozen=True)
class Subject:
    """A held-out clip that is varied: its name, what it is, its group, its encoding, its contacts `[T, J]`.

    `ranges` are those of `metrics.joint_ranges` in other clips of the same rig, None where there are too few.
    """

    name: str
    kind: str
    group: str
    encoding: Encoding
    contacts: np.ndarray
    ranges: tuple | None


def find_clips(scope: Scope, clips) -> list[tuple[int, str]]:
    """Indices and kinds of the named clips that the sets hold out; of sets without any of them, some of every set."""
    store = scope.store
    held = {
        (clip["set"], clip["name"]): index
        for index, clip in enumerate(store.clips)
        if clip["split"] != "train" and clip["set"] in scope.sets
    }
    found = [(held[row[:2]], row[-1]) for row in clips if row[:2] in held]
    if found:
        return found
    most = min(OTHER_CLIPS, scope.clips)
    return [(index, "other") for name in sorted(scope.sets) for index in held_out_clips(store, name, most)]


def rig_clips(store: ClipStore, index: int):
    """Other clips of the same rig, one after the other: training clips where it was trained, else the held-out."""
    clip, own = store.clips[index], store.skeleton(index)
    trained = is_trained(store, clip["set"])
    for other, row in enumerate(store.clips):
        same = row["set"] == clip["set"] and row["joints"] == clip["joints"] and other != index
        if not same or (row["split"] == "train") != trained:
            continue
        if clip["set"] in RIG_A_FILE and row["path"] != clip["path"]:
            continue
        skeleton = store.skeleton(other)
        # Turns against the parents compare only where the bones' axes are the same.
        if (skeleton["parents"] == own["parents"]).all() and np.abs(skeleton["rests"] - own["rests"]).max() < 1e-2:
            yield other


def rig_ranges(store: ClipStore, index: int) -> tuple | None:
    """How far the joints go in other clips of the same rig."""
    others = itertools.islice(rig_clips(store, index), RANGE_CLIPS)
    motions = [clip_motion(store, other, 0, RANGE_FRAMES) for other in others]
    frames = sum(motion.frames for motion in motions)
    return metrics.joint_ranges(motions) if frames >= FEWEST_RANGE_FRAMES else None


def read_subject(model: Model, store: ClipStore, index: int, kind: str, frames: int) -> Subject:
    """Encodes a held-out clip."""
    motion = middle_motion(store, index, frames)
    clip = store.clips[index]
    group = "trained rigs" if is_trained(store, clip["set"]) else "new people"
    if clip["set"] == "creatures":
        group = "creatures"
    encoding = encode_motion(model, motion, silent)
    name, contacts = f"{clip['set']}/{clip['name']}", metrics.source_contacts(motion)
    return Subject(name, kind, group, encoding, contacts, rig_ranges(store, index))


def variation(model: Model, subject: Subject, level: str, strength: float, seed: int) -> Motion:
    """A variation with the settings that the panel starts with."""
    settings = VariationSettings(strength=strength, level=level)
    return apply_change(subject.encoding.motion, vary(model, subject.encoding, settings, seed, silent))


def variation_figures(subject: Subject, made: Motion) -> dict:
    """The figures of one variation by itself."""
    source = subject.encoding.motion
    figures = metrics.variation_figures(source, made, subject.contacts)
    angles = np.degrees(quaternion_angle(source.rotations, made.rotations))
    figures["change_95_deg"] = float(np.quantile(angles, 0.95))
    figures["has_contacts"] = bool(subject.contacts.any())
    figures["jerks"] = [metrics.jerk_curve(each) for each in (source, made)]
    for name, motion in (("outside", made), ("source_outside", source)):
        known = subject.ranges is not None
        figures[name] = metrics.share_outside_ranges(motion, subject.ranges) if known else None
    return figures


def subject_figures(model: Model, subject: Subject, seeds) -> tuple[list[dict], list[dict]]:
    """The figures of a clip's variations, one by one, and those of the seeds of a setting together."""
    each, together = [], []
    for level, strength in SETTINGS:
        what = {"clip": subject.name, "group": subject.group, "level": level, "strength": strength}
        made = [variation(model, subject, level, strength, seed) for seed in seeds]
        each += [variation_figures(subject, m) | what | {"seed": s} for s, m in zip(seeds, made, strict=True)]
        if strength == 1:
            together.append(metrics.diversity_figures(subject.encoding.motion, made) | what)
    return each, together


def mean_row(figures: list[dict], group: str, level: str, strength: float, chunk: int) -> dict | None:
    """Means over clips and seeds; skate and contact overlap of clips that have contacts, the seam of all together."""
    mine = [f for f in figures if (f["level"], f["strength"]) == (level, strength) and group in ("all", f["group"])]
    if not mine:
        return None
    row = {"group": group, "level": level, "strength": strength, "clips": len({f["clip"] for f in mine})}
    names = ("change_deg", "change_95_deg", "jerk_ratio", "peak_jerk_ratio", "start_pose_cm", "end_pose_cm")
    row |= {name: float(np.mean([f[name] for f in mine])) for name in names}
    row["jerk_ratio_worst"] = float(max(f["jerk_ratio"] for f in mine))
    row["pose_cm_worst"] = float(max(max(f["start_pose_cm"], f["end_pose_cm"]) for f in mine))
    row["seam_ratio"] = metrics.pooled_seam_ratio([f["jerks"] for f in mine], chunk)
    standing = [f for f in mine if f["has_contacts"]]
    for name in ("skate_cm_s", "source_skate_cm_s", "contact_overlap"):
        row[name] = float(np.mean([f[name] for f in standing])) if standing else None
    known = [f for f in mine if f["outside"] is not None]
    row["outside_clips"] = len({f["clip"] for f in known})
    for name in ("outside", "source_outside"):
        row[name] = float(np.mean([f[name] for f in known])) if known else None
    areas = metrics.pooled_area_under_jerk([f["jerks"] for f in mine], chunk)
    row["source_area_under_jerk"], row["area_under_jerk"] = areas or (None, None)
    return row


def sample_row(figures: list[dict], group: str, level: str) -> dict | None:
    """Means over clips of coverage and diversities at strength 1."""
    mine = [f for f in figures if f["level"] == level and group in ("all", f["group"])]
    if not mine:
        return None
    names = [name for name, value in mine[0].items() if isinstance(value, float) and name != "strength"]
    row = {"group": group, "level": level, "clips": len(mine)}
    return row | {name: float(np.mean([f[name] for f in mine])) for name in names}


def level_figures(model: Model, subject: Subject, level: str, seed: int) -> dict:
    """What a level does by itself, without pins and contacts, seen in the heading frame.

    Returns:
        change_deg; varying: the share of the change that isn't the same over the whole clip (root mean squares); per_s:
        how fast the change moves, degrees a second over its degrees.
    """
    encoding = subject.encoding
    settings = VariationSettings(level=level, keep_ends=False, contacts=False)
    change = vary(model, encoding, settings, seed, silent).rotation.astype(np.float64)
    rows = np.minimum(np.arange(len(change)), len(encoding.heading) - 1)
    back = yaw_to_quaternion(-encoding.heading[rows])[:, None]
    change = np.degrees(quaternion_rotate(back, change))
    size = np.sqrt((change**2).sum(axis=-1).mean()) + 1e-9
    away = np.sqrt(((change - change.mean(axis=0)) ** 2).sum(axis=-1).mean())
    speed = np.linalg.norm(np.diff(change, axis=0), axis=-1).mean() * encoding.motion.fps
    degrees = np.linalg.norm(change, axis=-1).mean()
    return {"change_deg": float(degrees), "varying": float(away / size), "per_s": float(speed / (degrees + 1e-9))}


def global_effect_deg(model: Model, encoding: Encoding, seed: int) -> float:
    """By how much the joints turn, on average, when the clip's latent alone moves as far as WHOLE moves it."""
    *windows, clip = encoding.latents
    spread = SPREADS["WHOLE"][0]
    noise = np.random.default_rng(seed).standard_normal(clip.shape[-1]) @ model.statistics["clip_factor"].T
    moved = decode_pose(model, encoding, (*windows, clip + spread * noise))
    return float(np.degrees(matrix_angle(moved["matrices"], encoding.decoded["matrices"]).mean()))


def level_rows(model: Model, subjects: list[Subject]) -> list[dict]:
    """One row a level, means over clips."""
    rows = []
    for level in LEVELS:
        each = [level_figures(model, subject, level, SEEDS[0]) for subject in subjects]
        rows.append({"level": level} | {name: float(np.mean([f[name] for f in each])) for name in each[0]})
    effects = [global_effect_deg(model, subject.encoding, seed) for subject in subjects for seed in SEEDS]
    rows[LEVELS.index("WHOLE")]["global_latent_deg"] = float(np.mean(effects))
    return rows


def diversity_row(model: Model, subject: Subject) -> dict:
    """How much seeds differ at strength 1, on the quarter of the joints that move most in the source and on all."""
    source = subject.encoding.motion
    made = [apply_change(source, vary(model, subject.encoding, VariationSettings(), s, silent)) for s in DIVERSE_SEEDS]
    moving = metrics.moving_joints(source)
    pairs = [(a, b) for i, a in enumerate(made) for b in made[i + 1 :]]
    return {
        "clip": subject.name,
        "kind": subject.kind,
        "frames": source.frames,
        "moving_deg": float(np.mean([metrics.change_deg(a, b, moving) for a, b in pairs])),
        "all_deg": float(np.mean([metrics.change_deg(a, b) for a, b in pairs])),
    }


def variation_tables(model: Model, scope: Scope, report) -> dict:
    """Everything about variations; a quick look takes every fourth clip.

    Returns:
        rows by group and setting, `each` variation, `samples` (coverage and diversities), `levels`, `diversity`.
    """
    store, frames = scope.store, scope.varied_frames
    chosen = find_clips(scope, CLIPS)[:: 4 if scope.quick else 1][: 2 * scope.clips]
    subjects = [read_subject(model, store, index, kind, frames) for index, kind in chosen]
    each, together = [], []
    for subject in subjects:
        for found, more in zip((each, together), subject_figures(model, subject, SEEDS), strict=True):
            found += more
        report(f"{subject.name} ({subject.kind}) varied")
    groups = [group for group in GROUPS if group == "all" or any(s.group == group for s in subjects)]
    chunk = model.config.chunk
    rows = [mean_row(each, group, level, strength, chunk) for group in groups for level, strength in SETTINGS]
    samples = [sample_row(together, group, level) for group in groups for level in LEVELS]
    for figures in each:
        del figures["jerks"]
    kinds = {(store.clips[index]["set"], store.clips[index]["name"]): kind for index, kind in find_clips(scope, CLIPS)}
    named = [(*row, kinds.get(row, "other")) for row in DIVERSE]
    diverse = find_clips(scope, named)[: 4 if scope.quick else len(DIVERSE)]
    seeds = [diversity_row(model, read_subject(model, store, index, kind, frames)) for index, kind in diverse]
    return {
        "rows": rows,
        "each": each,
        "samples": samples,
        "samples_each": together,
        "levels": level_rows(model, subjects),
        "diversity": seeds,
    }
