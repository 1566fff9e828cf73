"""From a source to variations of it: new latents, decoded, and the change between laid on the source.

A variation is never the decoder's output itself. It is the source with the *change* between two decoded clips, that of
its own latents and that of new ones. So the model's reconstruction error cancels, strength 0 is the source exactly, and
what the model doesn't see is kept. The change is band-limited, so that the source keeps its own snap and texture.
"""

from dataclasses import dataclass, replace

import numpy as np

from .change import Change, apply_change, compose_changes, scale_change
from .contacts import keep_contacts
from .encoding import Encoding, Model, block_ticker, change_with_slides, decode_pose, heading_to_world, to_source_rows
from .errors import UserError
from .features import MODEL_FPS
from .floor import keep_floor
from .limits import limit_joints
from .loops import close_change, close_vectors, closing_change, find_seam, keep_contacts_around
from .masks import carried_turns
from .motion import Motion, joint_positions, position_jerk
from .paths import change_path, stay_in_place
from .pins import changing_rows, row_weight
from .rotations import matrix_to_rotvec, yaw_to_quaternion
from .sampling import evening_gain, is_drawn, new_latents, still_chunks

LEVELS = ("WHOLE", "PHRASES", "DETAIL")
ROOT_PATHS = ("KEEP", "IN_PLACE", "FREE")
LOOPS = ("OFF", "KEEP", "CLOSE")
BAND_S = {"WHOLE": 6 / MODEL_FPS, "PHRASES": 4 / MODEL_FPS, "DETAIL": 1.5 / MODEL_FPS}  # sigma of the change's low pass
DETAIL_FLOOR_S = 6 / MODEL_FPS  # what is slower than this is not detail
# Factors on these times and on fades, tried until the variation's mean jerk over the source's is at most JERK_SHARE.
TEMPOS = (1.0, 1.6, 2.5, 4.0)
JERK_SHARE = 1.06
SMALLER, SMALLER_TIMES, LARGEST_JERK_SHARE = 0.75, 5, 1.3  # what is still too jerky then becomes smaller, so often


@dataclass(frozen=True)
class VariationSettings:
    """What the user chooses.

    Attributes:
        strength: how far from the source; 0 is the source, the change grows in proportion.
        level: WHOLE (the clip's latent and what chunks share), PHRASES (each chunk, drifting over chunks) or DETAIL.
        keep_ends: the first and last pose of the range stay.
        root_path: KEEP (the body goes and faces where it did), IN_PLACE (its travel over the ground is taken out) or
        FREE.
        loop: OFF, KEEP (the change meets itself, so that the variation loops as well as the source) or CLOSE (the
        source's own gap is closed as well; with kept ends its last pose comes to its first).
        contacts: what rests on something in the source rests in the variation.
        start, stop: rows of the motion that may change, stop excluded; None for the clip's ends.
        falloff_s: over which the change fades in and out at the range's borders and kept ends. pin_ease_s: the same at
        pinned rows. None: what keeps the motion smooth.
    """

    strength: float = 1.0
    level: str = "PHRASES"
    keep_ends: bool = True
    root_path: str = "KEEP"
    loop: str = "OFF"
    contacts: bool = True
    start: int | None = None
    stop: int | None = None
    falloff_s: float | None = None
    pin_ease_s: float | None = None


def vary(
    model: Model, encoding: Encoding, settings: VariationSettings, seed: int, report, selected=None, pinned=None
) -> Change:
    """One variation of the source, as a change; the same seed gives the same on the same engine.

    Args:
        report: called with (fraction, text) between the steps. selected: `[J]` bool, joints that may turn against their
        parents; None for all. pinned: `[T]` bool, rows whose pose stays exactly.

    Raises:
        ValueError: an unknown level, root path or loop. UserError: they contradict what may change.
    """
    free = np.ones(encoding.motion.rotations.shape[1], bool) if selected is None else np.asarray(selected, bool)
    _check(encoding, settings, free)
    if settings.strength == 0:
        return _no_change(encoding)
    closing = _closing(encoding, settings, free, pinned) if settings.loop == "CLOSE" else None
    if closing is not None:
        encoding = replace(encoding, motion=apply_change(encoding.motion, closing))
    held = still_chunks(model, encoding, row_weight(encoding.motion, settings, pinned))
    latents = new_latents(model, encoding, settings.level, np.random.default_rng(seed), held)
    tick = block_ticker(report, 0.0, 0.6, model.config.decoder_blocks, "Decoding")
    decoded = decode_pose(model, encoding, latents, tick)
    even = is_drawn(model, settings.level)
    change, weight = _calm_change(encoding, decoded, settings, free, pinned, even, report)
    change = scale_change(change, settings.strength)
    report(0.75, "Keeping contacts")
    if settings.contacts and weight.any():
        change = _rested(encoding, change, settings, free, weight, lambda: report(0.85, "Keeping contacts"))
    for array in (change.rotation, change.root, change.slide):
        array[weight == 0] = 0  # what stays, stays to the last bit
    if closing is not None:
        change = compose_changes(change, closing)
    if settings.root_path == "IN_PLACE":
        change = stay_in_place(encoding, change, settings.loop != "OFF")
    report(1.0, "Done")
    return change


def _check(encoding: Encoding, settings: VariationSettings, free) -> None:
    """Raises where settings aren't known, or ask for what the range and the joints don't allow."""
    for word, name, known in (
        ("level", settings.level, LEVELS),
        ("root path", settings.root_path, ROOT_PATHS),
        ("loop", settings.loop, LOOPS),
    ):
        if name not in known:
            raise ValueError(f"There is no {word} '{name}'; choose one of {', '.join(known)}.")
    whole = changing_rows(encoding.motion.frames, settings) == (0, encoding.motion.frames)
    if settings.root_path == "IN_PLACE" and not (whole and free[0]):
        raise UserError(
            f"'In place' moves the body over the whole clip, but {'the root of the body' if whole else 'some frames'} "
            "must stay. Let all bones and frames change, or choose another root path."
        )
    if settings.loop == "CLOSE" and not whole:
        raise UserError(
            "A loop's gap is closed at the first and the last frame, but some frames there must stay. Let all frames "
            "change, or choose another loop."
        )


def _closing(encoding: Encoding, settings: VariationSettings, free, pinned) -> Change:
    """The change that closes the source's own gap; pinned rows stay, and with kept ends the first one.

    Raises:
        UserError: both ends are pinned.
    """
    weight = np.ones(encoding.motion.frames)
    weight[0] = not settings.keep_ends
    if pinned is not None:
        weight[np.asarray(pinned, bool)] = 0
        weight[0] = not pinned[0] and (weight[0] or pinned[-1])
    seam = find_seam(encoding, weight)
    if seam.before + seam.after == 0:
        raise UserError(
            "The first and the last frame are both pinned, so that the loop's gap can't be closed. Unpin one of them, "
            "or choose another loop."
        )
    return closing_change(encoding, seam, free)


def _rested(encoding: Encoding, change: Change, settings: VariationSettings, free, weight, tick) -> Change:
    """The change, with what rests in the source at rest."""
    level = settings.root_path == "FREE"
    root, motion = (level, level, True), encoding.motion
    height_m = encoding.reference.height_m
    if settings.loop == "OFF":
        change = keep_contacts(motion, change, encoding.contacts, free, weight, root, tick)
    else:
        seam = find_seam(encoding, weight)
        change = keep_contacts_around(motion, change, free, weight, root, height_m, seam, tick)
    return keep_floor(motion, change, encoding.contacts, weight, height_m) if free[0] else change


def _calm_change(encoding: Encoding, decoded: dict, settings: VariationSettings, free, pinned, even: bool, report):
    """The change at strength 1, as quick as the source allows: the first of TEMPOS that doesn't make it jerky.

    A smooth, slow clip takes a slow change; on one that has snap of its own a quick one doesn't show. Where even the
    slowest is jerky, on a clip that hardly moves, the change becomes smaller.

    Returns:
        the change, and the weight `[T]` of what may change.
    """
    motion = encoding.motion
    own = _mean_jerk(motion)
    difference = _difference(encoding, decoded, even)
    for tempo in TEMPOS:
        report(0.65, "Laying the change on the source")
        weight = row_weight(motion, settings, pinned, tempo)
        change = _unit_change(encoding, difference, settings, free, weight, tempo)
        jerk = _mean_jerk(apply_change(motion, change))
        if jerk <= JERK_SHARE * own:
            return change, weight
    for _ in range(SMALLER_TIMES):
        if jerk <= LARGEST_JERK_SHARE * own:
            break
        change = scale_change(change, SMALLER)
        jerk = _mean_jerk(apply_change(motion, change))
    return change, weight


def _mean_jerk(motion: Motion) -> float:
    """Of the joints' positions at about MODEL_FPS, so that noise at higher rates hides nothing."""
    jerk = position_jerk(joint_positions(motion)[:: max(round(motion.fps / MODEL_FPS), 1)])
    return float(jerk.mean()) if len(jerk) else 0.0


def _difference(encoding: Encoding, decoded: dict, even: bool) -> dict[str, np.ndarray]:
    """What two decoded clips differ by, at MODEL_FPS: turns and slides `[T30, J, 3]` in world axes, root `[T30, 4]`.

    Args:
        even: see `sampling.evening_gain`.
    """
    base = encoding.decoded
    turns = matrix_to_rotvec(decoded["matrices"] @ np.swapaxes(base["matrices"], -1, -2))
    gain = evening_gain(turns) if even else 1.0
    return {
        "turns": heading_to_world(encoding, gain * turns),
        "slides": heading_to_world(encoding, gain * (decoded["slides"] - base["slides"])),
        "root": gain * (decoded["root"] - base["root"]),
    }


def _unit_change(
    encoding: Encoding, difference: dict, settings: VariationSettings, free, weight, tempo: float
) -> Change:
    """What two decoded clips differ by, as a change of the source at strength 1, before contacts.

    Args:
        difference: see `_difference`. free: `[J]` bool. weight: `[T]`. tempo: factor on the widths of the low pass.
    """
    height, band = encoding.reference.height_m, BAND_S[settings.level] * tempo
    turns, slides, root = (difference[name] for name in ("turns", "slides", "root"))
    rotation = to_source_rows(encoding, turns, band)
    slides = to_source_rows(encoding, slides, band) * height
    lift = to_source_rows(encoding, root[:, :1], band)[:, 0] * height
    if settings.level == "DETAIL":
        rotation = rotation - to_source_rows(encoding, turns, DETAIL_FLOOR_S * tempo)
        slides, lift = 0 * slides, 0 * lift
    rotation, slides = rotation * weight[:, None, None], slides * (weight[:, None, None] * free[:, None])
    path = np.zeros((encoding.motion.frames, 3))
    path[:, 2] = lift * weight * free[0]
    seam = None if settings.loop == "OFF" else find_seam(encoding, weight, tempo)
    if seam is not None:
        rotation, slides, path = (close_vectors(vectors, seam, smooth=True) for vectors in (rotation, slides, path))
    if not free.all():
        rotation = carried_turns(encoding.motion.skeleton.parents, rotation, free)
    heading = yaw_to_quaternion(to_source_rows(encoding, encoding.heading[:, None], 0.0)[:, 0])
    rotation = limit_joints(encoding.motion, rotation, encoding.reference.rotations, heading)
    if free[0] and settings.root_path == "FREE" and settings.level != "DETAIL":
        rotation, path = change_path(encoding, root, rotation, path, weight, BAND_S["WHOLE"], seam is not None)
    change = change_with_slides(encoding, rotation, path, slides)
    return change if seam is None else close_change(change, seam)  # limits and paths open it again


def _no_change(encoding: Encoding) -> Change:
    """The change that leaves the source as it is."""
    frames, joints = encoding.motion.rotations.shape[:2]
    slides = np.flatnonzero(encoding.reference.slides).astype(np.int32)
    rotation, root, slide = (np.zeros((frames, *shape), np.float32) for shape in ((joints, 3), (3,), (len(slides), 3)))
    return Change(rotation, root, slides, slide)
