"""What variations are like: how far they go, how smooth they are, whether feet stay, how levels and seeds differ."""

from dataclasses import dataclass

import numpy as np

from backend.change import apply_change
from backend.encoding import Encoding, Model, decode_pose, encode_motion
from backend.rotations import matrix_angle, quaternion_angle, quaternion_rotate, yaw_to_quaternion
from backend.variation import (
    LEVELS,
    SPREADS,
    VariationSettings,
    vary,
)

from . import metrics
from .held_out import held_out_clips, is_trained, middle_motion, silent
from .store import ClipStore

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


@dataclass(frozen=True)
class Subject:
    """A held-out clip that is varied: its name, what it is, its group, its encoding, its contacts `[T, J]`."""

    name: str
    kind: str
    group: str
    encoding: Encoding
    contacts: np.ndarray


def find_clips(store: ClipStore, clips) -> list[tuple[int, str]]:
    """Indices and kinds of the named clips that the data set holds out; of other data sets, some of every set."""
    held = {(c["set"], c["name"]): i for i, c in enumerate(store.clips) if c["split"] != "train"}
    found = [(held[row[:2]], row[-1]) for row in clips if row[:2] in held]
    if found:
        return found
    sets = sorted({clip["set"] for clip in store.clips if clip["split"] != "train"})
    return [(index, "other") for name in sets for index in held_out_clips(store, name, OTHER_CLIPS)]


def read_subject(model: Model, store: ClipStore, index: int, kind: str, frames: int) -> Subject:
    """Encodes a held-out clip."""
    motion = middle_motion(store, index, frames)
    clip = store.clips[index]
    group = "trained rigs" if is_trained(store, clip["set"]) else "new people"
    if clip["set"] == "creatures":
        group = "creatures"
    encoding = encode_motion(model, motion, silent)
    return Subject(f"{clip['set']}/{clip['name']}", kind, group, encoding, metrics.source_contacts(motion))


def variation_figures(model: Model, subject: Subject, level: str, strength: float, seed: int) -> dict:
    """The figures of one variation with the settings that the panel starts with."""
    source = subject.encoding.motion
    change = vary(model, subject.encoding, VariationSettings(strength=strength, level=level), seed, silent)
    made = apply_change(source, change)
    figures = metrics.variation_figures(source, made, subject.contacts)
    angles = np.degrees(quaternion_angle(source.rotations, made.rotations))
    figures["change_95_deg"] = float(np.quantile(angles, 0.95))
    figures["has_contacts"] = bool(subject.contacts.any())
    figures["jerks"] = [metrics.jerk_curve(each) for each in (source, made)]
    return figures | {"clip": subject.name, "group": subject.group, "level": level, "strength": strength, "seed": seed}


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
    return row


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


def variation_tables(model: Model, store: ClipStore, frames: int, quick: bool, report) -> dict:
    """Everything about variations; `quick` takes every fourth clip and one seed.

    Returns:
        rows by group and setting, `each` variation, `levels`, `diversity`.
    """
    chosen = find_clips(store, CLIPS)[:: 4 if quick else 1]
    subjects = [read_subject(model, store, index, kind, frames) for index, kind in chosen]
    each = []
    for subject in subjects:
        for level, strength in SETTINGS:
            for seed in SEEDS[: 1 if quick else None]:
                each.append(variation_figures(model, subject, level, strength, seed))
        report(f"{subject.name} ({subject.kind}) varied")
    groups = [group for group in GROUPS if group == "all" or any(s.group == group for s in subjects)]
    chunk = model.config.chunk
    rows = [mean_row(each, group, level, strength, chunk) for group in groups for level, strength in SETTINGS]
    for figures in each:
        del figures["jerks"]
    kinds = {(store.clips[index]["set"], store.clips[index]["name"]): kind for index, kind in find_clips(store, CLIPS)}
    named = [(*row, kinds.get(row, "other")) for row in DIVERSE]
    diverse = find_clips(store, named)[: 4 if quick else len(DIVERSE)]
    return {
        "rows": rows,
        "each": each,
        "levels": level_rows(model, subjects),
        "diversity": [diversity_row(model, read_subject(model, store, index, kind, frames)) for index, kind in diverse],
    }
