"""Whether clips drawn from the prior look like data: the same figures of both, set by set.

Held-out real clips, what the decoder makes of their codes, and clips drawn for the same skeletons, as long and as many.
"""

import numpy as np

from backend.encoding import Model, encode_motion

from . import metrics
from .drawn import drawn_motion, lent_pose, walk_on_feet
from .held_out import Scope, decoded_motion, is_trained, middle_motion, silent
from .realism import FEWEST_CLIPS, same_joints
from .store import ClipStore, clip_motion
from .varied import rig_clips, rig_ranges

MOST_CLIPS, QUICK_CLIPS = 12, 6
KINDS = ("real", "decoded", "drawn")
COPIED_FRAMES = 128
NEAREST_STEP = 3  # frames of the data set to one that is searched


def coverages(real, samples) -> list[float]:
    """Of every real clip the share of windows that the samples for the *other* clips have within 20 degrees.

    So real clips themselves and samples are held to the same: as many, as long, and none made for the clip.
    """
    shares = []
    for own, clip in enumerate(real):
        others = [sample for number, sample in enumerate(samples) if number != own]
        distances = [metrics.frame_distances(clip, other, angular=True) for other in others]
        shares.append(metrics.coverage_by_any(distances, threshold=metrics.COVERAGE_ANGLE_DEG))
    return shares


def clip_row(motion, ranges) -> dict:
    """The figures of a clip by itself; its contacts are its own, for there is no source to take them from."""
    contacts = metrics.source_contacts(motion)
    return {
        "jerk": float(np.mean(metrics.jerk_curve(motion))),
        "skate_cm_s": metrics.skate_cm_s(motion, contacts) if contacts.any() else None,
        "standing": float(contacts.any(axis=1).mean()),
        "outside": None if ranges is None else metrics.share_outside_ranges(motion, ranges),
    }


def mean_figures(figures: list[dict]) -> dict:
    """Means over clips, of those that have the figure."""
    row = {}
    for name in figures[0]:
        known = [each[name] for each in figures if each[name] is not None]
        row[name] = float(np.mean(known)) if known else None
    return row


def training_postures(store: ClipStore, index: int) -> list:
    """All training clips of a held-out clip's rig, as `metrics.nearest_distance` takes them; none of other rigs."""
    if not is_trained(store, store.clips[index]["set"]):
        return []
    return [metrics.posture_features(clip_motion(store, other, step=NEAREST_STEP)) for other in rig_clips(store, index)]


def copy_distance(model: Model, store: ClipStore, index: int, sources, rng) -> float:
    """`metrics.nearest_distance` of a training clip that the decoder repeats: what a memorised clip would have."""
    own = list(rig_clips(store, index))
    copied = middle_motion(store, int(rng.choice(own)), COPIED_FRAMES)
    made = decoded_motion(encode_motion(model, copied, silent))
    return metrics.nearest_distance(metrics.posture_features(made), sources)


def set_row(model: Model, scope: Scope, name: str, indices) -> dict:
    """One row: the figures of KINDS, and drawn over real."""
    store, rng = scope.store, np.random.default_rng(0)
    clips = {kind: [] for kind in KINDS}
    for seed, index in enumerate(indices, start=1):
        motion = middle_motion(store, index, scope.varied_frames)
        encoding = encode_motion(model, motion, silent)
        lent = lent_pose(store, index, motion, rng)
        start, heading = motion.root_positions[0], encoding.heading[0]
        clips["real"].append(motion)
        clips["decoded"].append(walk_on_feet(decoded_motion(encoding)))
        clips["drawn"].append(drawn_motion(model, lent, encoding.frames, seed, start, heading))
    known = by_rig(store, indices, rig_ranges, shared=is_trained(store, name))
    trained_on = by_rig(store, indices, training_postures, shared=True)
    row = {"name": name, "trained": is_trained(store, name), "clips": len(indices)}
    row |= {"frames": sum(motion.frames for motion in clips["real"]), "kinds": {}}
    for kind, motions in clips.items():
        figures = [clip_row(*each) for each in zip(motions, known, strict=True)]
        for each, motion, share, sources in zip(
            figures, motions, coverages(clips["real"], motions), trained_on, strict=True
        ):
            each["coverage"] = share
            each["nearest"] = metrics.nearest_distance(metrics.posture_features(motion), sources) if sources else None
        row["kinds"][kind] = mean_figures(figures) | {"each": figures}
    copies = [copy_distance(model, store, i, own, rng) for i, own in zip(indices, trained_on, strict=True) if own]
    row["copied_nearest"] = float(np.mean(copies)) if copies else None
    return row | over_real(row["kinds"])


def by_rig(store: ClipStore, indices, find, shared: bool) -> list:
    """`find(store, index)` of every clip; the clips of a rig share the first one's where that is the same for them."""
    found = {}
    for index in indices:
        skeleton = store.skeleton(index)
        key = (skeleton["parents"].tobytes(), skeleton["rests"].round(1).tobytes()) if shared else index
        if key not in found:
            found[key] = find(store, index)
        found[index] = found[key]
    return [found[index] for index in indices]


def over_real(kinds: dict) -> dict:
    """What is drawn over what is real: jerk, skate, coverage, distance to the nearest training clip."""
    row = {}
    for figure, name in (("jerk", "jerk"), ("skate_cm_s", "skate"), ("coverage", "coverage"), ("nearest", "nearest")):
        real, drawn = kinds["real"][figure], kinds["drawn"][figure]
        row[f"{name}_ratio"] = drawn / real if real and drawn is not None else None
    return row


def prior_rows(model: Model, scope: Scope, report) -> list[dict]:
    """One row a set with enough held-out clips of one list of joints; none where the weights have no prior."""
    rows = []
    for name in scope.sets if model.prior is not None else ():
        indices = same_joints(scope.store, name, QUICK_CLIPS if scope.quick else MOST_CLIPS)
        if len(indices) < FEWEST_CLIPS:
            continue
        rows.append(set_row(model, scope, name, indices))
        kinds = rows[-1]["kinds"]
        report(f"{name}: drawn {kinds['drawn']['jerk']:.4f} jerk, real {kinds['real']['jerk']:.4f}")
    return rows
