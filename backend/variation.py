"""From a source to variations of it: new latents, decoded, and the change between laid on the source.

A variation is never the decoder's output itself. It is the source with the *change* between two decoded clips, that of
its own latents and that of new ones. So the model's reconstruction error cancels, strength 0 is the source exactly, and
what the model doesn't see is kept. The change is band-limited, so that the source keeps its own snap and texture.
"""

from dataclasses import dataclass

import numpy as np

from .change import Change, apply_change, scale_change
from .contacts import keep_contacts
from .encoding import Encoding, Model, block_ticker, change_with_slides, decode_pose, heading_to_world, to_source_rows
from .features import MODEL_FPS
from .limits import limit_joints
from .motion import Motion, joint_positions, position_jerk
from .rotations import (
    matrix_to_rotvec,
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
    yaw_to_quaternion,
)

LEVELS = ("WHOLE", "PHRASES", "DETAIL")
BAND_S = {"WHOLE": 6 / MODEL_FPS, "PHRASES": 4 / MODEL_FPS, "DETAIL": 1.5 / MODEL_FPS}  # sigma of the change's low pass
DETAIL_FLOOR_S = 6 / MODEL_FPS  # what is slower than this is not detail
EASE_S = 0.45  # over which the change fades in from a pin
TEMPOS = (1.0, 1.6, 2.5, 4.0)  # factors on these times, tried until the variation's mean jerk over the source's
JERK_SHARE = 1.1  # is at most this
# How far new latents go at strength 1, in standard deviations of what the training set shows: of the clip's latent, of
# what is common to a clip's chunks, of what is a chunk's own.
SPREADS = {"WHOLE": (2.0, 0.6, 0.0), "PHRASES": (0.0, 0.0, 0.9), "DETAIL": (0.0, 0.0, 0.8)}


@dataclass(frozen=True)
class VariationSettings:
    """What the user chooses.

    Attributes:
        strength: how far from the source; 0 is the source, the change grows in proportion.
        level: WHOLE (the clip's latent and what chunks share), PHRASES (each chunk, drifting over chunks) or DETAIL.
        keep_ends: the first and last pose of the range stay. keep_root_path: the body goes and faces where it did.
        contacts: what rests on something in the source rests in the variation.
        start, stop: rows of the motion that may change, stop excluded; None for the clip's ends.
    """

    strength: float = 1.0
    level: str = "PHRASES"
    keep_ends: bool = True
    keep_root_path: bool = True
    contacts: bool = True
    start: int | None = None
    stop: int | None = None


def vary(
    model: Model, encoding: Encoding, settings: VariationSettings, seed: int, report, selected=None, pinned=None
) -> Change:
    """One variation of the source, as a change; the same seed gives the same on the same engine.

    Args:
        report: called with (fraction, text) between the steps. selected: `[J]` bool, joints that may turn against their
        parents; None for all. pinned: `[T]` bool, rows whose pose stays exactly.

    Raises:
        ValueError: an unknown level.
    """
    if settings.level not in LEVELS:
        raise ValueError(f"There is no level '{settings.level}'; choose one of {', '.join(LEVELS)}.")
    if settings.strength == 0:
        return _no_change(encoding)
    latents = new_latents(model, encoding, settings.level, np.random.default_rng(seed))
    decoded = decode_pose(model, encoding, latents, block_ticker(report, 0.0, 0.6, model.config, "Decoding"))
    free = np.ones(encoding.motion.rotations.shape[1], bool) if selected is None else np.asarray(selected, bool)
    change, weight = _calm_change(encoding, decoded, settings, free, pinned, report)
    change = scale_change(change, settings.strength)
    report(0.75, "Keeping contacts")
    if settings.contacts and weight.any():
        level = not settings.keep_root_path
        change = keep_contacts(
            encoding.motion,
            change,
            encoding.contacts,
            free,
            weight,
            (level, level, True),
            lambda: report(0.85, "Keeping contacts"),
        )
    for array in (change.rotation, change.root, change.slide):
        array[weight == 0] = 0  # what stays, stays to the last bit
    report(1.0, "Done")
    return change


def _calm_change(encoding: Encoding, decoded: dict, settings: VariationSettings, free, pinned, report):
    """The change at strength 1, as quick as the source allows: the first of TEMPOS that doesn't make it jerky.

    A smooth, slow clip takes a slow change; on one that has snap of its own a quick one doesn't show.

    Returns:
        the change, and the weight `[T]` of what may change.
    """
    motion = encoding.motion
    own = _mean_jerk(motion)
    for tempo in TEMPOS:
        report(0.65, "Laying the change on the source")
        weight = pin_weight(motion, settings, pinned, EASE_S * tempo)
        change = _unit_change(encoding, decoded, settings, free, weight, tempo)
        if _mean_jerk(apply_change(motion, change)) <= JERK_SHARE * own:
            break
    return change, weight


def _mean_jerk(motion: Motion) -> float:
    """Of the joints' positions at about MODEL_FPS, so that noise at higher rates hides nothing."""
    jerk = position_jerk(joint_positions(motion)[:: max(round(motion.fps / MODEL_FPS), 1)])
    return float(jerk.mean()) if len(jerk) else 0.0


def _unit_change(encoding: Encoding, decoded: dict, settings: VariationSettings, free, weight, tempo: float) -> Change:
    """What two decoded clips differ by, as a change of the source at strength 1, before contacts.

    Args:
        free: `[J]` bool. weight: `[T]`. tempo: factor on the widths of the low pass.
    """
    height, base = encoding.reference.height_m, encoding.decoded
    band = BAND_S[settings.level] * tempo
    turns = matrix_to_rotvec(decoded["matrices"] @ np.swapaxes(base["matrices"], -1, -2))
    turns = heading_to_world(encoding, turns)
    slides = heading_to_world(encoding, decoded["slides"] - base["slides"])
    root = decoded["root"] - base["root"]
    rotation = to_source_rows(encoding, turns, band)
    slides = to_source_rows(encoding, slides, band) * height
    lift = to_source_rows(encoding, root[:, :1], band)[:, 0] * height
    if settings.level == "DETAIL":
        rotation = rotation - to_source_rows(encoding, turns, DETAIL_FLOOR_S * tempo)
        slides, lift = 0 * slides, 0 * lift
    rotation, slides = rotation * weight[:, None, None], slides * (weight[:, None, None] * free[:, None])
    path = np.zeros((encoding.motion.frames, 3))
    if not free.all():
        rotation = _only_selected(encoding.motion.skeleton.parents, rotation, free)
    heading = yaw_to_quaternion(to_source_rows(encoding, encoding.heading[:, None], 0.0)[:, 0])
    rotation = limit_joints(encoding.motion, rotation, encoding.reference.rotations, heading)
    if free[0]:
        path[:, 2] = lift * weight
        if not settings.keep_root_path and settings.level != "DETAIL":
            rotation, path = _change_path(encoding, root, rotation, path, weight)
    return change_with_slides(encoding, rotation, path, slides)


def _no_change(encoding: Encoding) -> Change:
    """The change that leaves the source as it is."""
    frames, joints = encoding.motion.rotations.shape[:2]
    slides = np.flatnonzero(encoding.reference.slides).astype(np.int32)
    rotation, root, slide = (np.zeros((frames, *shape), np.float32) for shape in ((joints, 3), (3,), (len(slides), 3)))
    return Change(rotation, root, slides, slide)


def new_latents(model: Model, encoding: Encoding, level: str, rng) -> tuple:
    """The source's latents plus noise shaped like the training set's, for one level.

    The statistics are factors of covariances: `clip_factor` of the clip's latent, `shift_factor` of what a clip's
    chunks share, `chunk_factor` of a chunk's own; `chunk_correlation` ties a chunk to the one before.
    """
    *windows, clip = encoding.latents
    clip_noise = rng.standard_normal(clip.shape[-1]) @ model.statistics["clip_factor"].T
    moved = [_moved_windows(model.statistics, index, latents, level, rng) for index, latents in enumerate(windows)]
    return (*moved, clip + SPREADS[level][0] * clip_noise)


def level_name(name: str, index: int) -> str:
    """A statistic's name at a level of the hierarchy; the first level has the plain one."""
    return name if index == 0 else f"{name}_{index}"


def _moved_windows(statistics, index: int, latents, level: str, rng) -> np.ndarray:
    """Latents `[1, N, Z]` of one level of the hierarchy, plus noise."""
    statistics = {
        name: statistics[level_name(name, index)] for name in ("shift_factor", "chunk_factor", "chunk_correlation")
    }
    _, shift_spread, chunk_spread = SPREADS[level]
    count, size = latents.shape[1:]
    shift = rng.standard_normal(size) @ statistics["shift_factor"].T
    own = rng.standard_normal((count, size))
    correlation = 0.0 if level == "DETAIL" else float(statistics["chunk_correlation"][0])
    for chunk in range(1, count):
        own[chunk] = correlation * own[chunk - 1] + (1 - correlation**2) ** 0.5 * own[chunk]
    own = own @ statistics["chunk_factor"].T
    return latents + shift_spread * shift + chunk_spread * own


def pin_weight(motion: Motion, settings: VariationSettings, pinned=None, ease_s: float = EASE_S) -> np.ndarray:
    """How much of the change each row takes, `[T]` from 0 at what stays to 1, eased over `ease_s` seconds."""
    frames = motion.frames
    start = 0 if settings.start is None else max(settings.start, 0)
    stop = frames if settings.stop is None else min(settings.stop, frames)
    fixed = np.ones(frames, bool)
    fixed[start:stop] = False
    if settings.keep_ends and stop > start:
        fixed[[start, stop - 1]] = True
    if pinned is not None:
        fixed |= np.asarray(pinned, bool)
    if not fixed.any():
        return np.ones(frames)
    rows = np.flatnonzero(fixed)
    after = np.searchsorted(rows, np.arange(frames))
    distance = np.minimum(
        np.abs(np.arange(frames) - rows[np.minimum(after, len(rows) - 1)]),
        np.abs(np.arange(frames) - rows[np.maximum(after - 1, 0)]),
    )
    # Never longer than a third of the free stretch, so that short clips change at all.
    ease = max(min(ease_s * motion.fps, (stop - start) / 3), 1.0)
    t = np.clip(distance / ease, 0, 1)
    return t**3 * (t * (6 * t - 15) + 10)


def _change_path(encoding: Encoding, root, rotation, path, weight):
    """The root's own way: the change of its velocity and turn rate, integrated, back at every row that stays."""
    motion, height = encoding.motion, encoding.reference.height_m
    band = BAND_S["WHOLE"]
    rates = to_source_rows(
        encoding,
        np.concatenate((heading_to_world(encoding, _level(root[:, 1:3])[:, None])[:, 0, :2], root[:, 3:4]), axis=1),
        band,
    )
    rates = rates * weight[:, None] / motion.fps
    travelled = np.concatenate((np.zeros((1, 3)), np.cumsum(rates, axis=0)[:-1]))
    steps = np.diff(motion.root_positions, axis=0)
    travelled = _brought_back(travelled, weight)
    turn = yaw_to_quaternion(travelled[:, 2])
    turned = quaternion_rotate(turn[:-1], steps) - steps
    shift = np.concatenate((np.zeros((1, 3)), np.cumsum(turned, axis=0)))
    shift[:, :2] += travelled[:, :2] * height
    shift = _brought_back(shift, weight)
    path = path + shift * [1, 1, 0]
    spun = quaternion_multiply(np.repeat(turn[:, None], rotation.shape[1], axis=1), rotvec_to_quaternion(rotation))
    return quaternion_to_rotvec(spun), path


def _level(vectors) -> np.ndarray:
    """`[T, 2]` as level vectors `[T, 3]`."""
    return np.concatenate((vectors, np.zeros((len(vectors), 1))), axis=1)


def _brought_back(values, weight) -> np.ndarray:
    """Paths `[T, 3]` less what they have at the rows that stay, in between as smoothly as the weight allows."""
    fixed = np.flatnonzero(weight == 0)
    if not len(fixed):
        return values
    progress = np.cumsum(weight)
    known, first = np.unique(progress[fixed], return_index=True)
    there = [np.interp(progress, known, column[fixed[first]]) for column in values.T]
    return values - np.stack(there, axis=1)


def _only_selected(parents, rotation, selected) -> np.ndarray:
    """Joints that aren't selected keep their turn against their parents: they take the change of what carries them."""
    carrier = np.zeros(len(parents), dtype=np.int64)
    for joint, parent in enumerate(parents):
        carrier[joint] = joint if selected[joint] else (carrier[parent] if parent >= 0 else -1)
    return rotation[:, np.maximum(carrier, 0)] * (carrier >= 0)[:, None]
