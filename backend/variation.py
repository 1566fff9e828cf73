"""From a source to variations of it: encode, new latents, decode, and the change between, laid on the source.

A variation is never the decoder's output itself. It is the source with the *change* between two decoded clips, that of
its own latents and that of new ones. So the model's reconstruction error cancels, strength 0 is the source exactly, and
what the model doesn't see is kept. The change is band-limited, so that the source keeps its own snap and texture.
"""

from dataclasses import dataclass, replace

import numpy as np

from .change import Change, changed_positions
from .checkpoint import load_checkpoint
from .contacts import find_contacts, keep_contacts
from .engines import load_engine, to_numpy
from .features import (
    MODEL_FPS,
    ROOT_SCALE,
    Reference,
    motion_features,
    pose_from_outputs,
    pose_positions,
    reference_pose,
    source_slides,
    structure_arrays,
)
from .limits import limit_joints
from .model import ModelConfig, decode, embed_skeleton, encode
from .motion import Motion, joint_positions, resample_motion
from .rotations import (
    matrix_angle,
    matrix_to_rotvec,
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
    sixd_to_matrix,
    yaw_to_quaternion,
)
from .skeleton import parent_rows

LEVELS = ("WHOLE", "PHRASES", "DETAIL")
BAND_S = {"WHOLE": 6 / MODEL_FPS, "PHRASES": 4 / MODEL_FPS, "DETAIL": 1.5 / MODEL_FPS}  # sigma of the change's low pass
DETAIL_FLOOR_S = 6 / MODEL_FPS  # what is slower than this is not detail
EASE_S = 0.45  # over which the change fades in from a pin
# How far new latents go at strength 1, in standard deviations of what the training set shows: of the clip's latent, of
# what is common to a clip's chunks, of what is a chunk's own.
SPREADS = {"WHOLE": (2.0, 0.5, 0.0), "PHRASES": (0.0, 0.0, 1.0), "DETAIL": (0.0, 0.0, 1.5)}
REPORT_MM = 1700.0  # the field gives joint errors in mm of a body of 1.7 m


@dataclass(frozen=True)
class VariationSettings:
    """What the user chooses.

    Attributes:
        strength: how far from the source; 0 is the source, the change grows in proportion.
        level: WHOLE (the clip's latent and what all chunks share), PHRASES (each chunk, correlated over chunks) or DETAIL.
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


@dataclass(frozen=True)
class Model:
    """A loaded checkpoint on an engine.

    Attributes:
        engine: module. device: the engine's own name of it; device_words: for people.
        parameters: nested dict of the engine's arrays. config, statistics, version: see `checkpoint.Checkpoint`.
    """

    engine: object
    device: object
    device_words: str
    parameters: dict
    config: ModelConfig
    statistics: dict[str, np.ndarray]
    version: str


@dataclass(frozen=True)
class Encoding:
    """A source as the model sees it.

    Attributes:
        motion: the source. reference: its reference pose. frames: rows at MODEL_FPS before padding to whole chunks.
        structure, adapters: of the engine, with a batch axis of 1. heading: `[T30]` radians, world.
        latents: posterior means, a tuple over the levels of `[1, N, Z]` and `[1, Z]`, numpy.
        source_matrices: `[T30, J, 3, 3]` the source's changes from the reference, heading frame.
        decoded: the reconstruction (see `decode_pose`).
    """

    motion: Motion
    reference: Reference
    frames: int
    structure: dict
    adapters: dict
    heading: np.ndarray
    latents: tuple
    source_matrices: np.ndarray
    source_slides: np.ndarray
    decoded: dict


def load_model(path, engine_name: str, device=None) -> Model:
    """The checkpoint at `path` on an engine.

    Raises:
        FileNotFoundError, ValueError: see `checkpoint.load_checkpoint`. ImportError: the engine isn't installed.
    """
    engine = load_engine(engine_name)
    device, words = engine.choose_device(device)
    checkpoint = load_checkpoint(path)

    def move(tree):
        return {
            name: move(value) if isinstance(value, dict) else engine.from_numpy(value, device)
            for name, value in tree.items()
        }

    return Model(
        engine, device, words, move(checkpoint.parameters), checkpoint.config, checkpoint.statistics, checkpoint.version
    )


def encode_motion(model: Model, motion: Motion, report) -> Encoding:
    """The source's latents and its reconstruction.

    Args:
        report: called with (fraction, text) between the steps; what it raises ends the work.
    """
    report(0.05, "Reading the motion")
    slow = resample_motion(motion, MODEL_FPS)
    reference = reference_pose(slow)
    frames = slow.frames
    chunk = model.config.chunk
    rows = np.minimum(np.arange(-(-frames // chunk) * chunk), frames - 1)
    parents = motion.skeleton.parents
    structure = structure_arrays(parents, reference.offsets, reference.slides)
    rotations = slow.rotations[rows].astype(np.float32)
    roots = (slow.root_positions[rows] / reference.height_m).astype(np.float32)
    slides = source_slides(slow, reference)[rows].astype(np.float32) if reference.slides.any() else None
    joints, root, heading = motion_features(
        rotations, roots, reference.rotations.astype(np.float32), structure, slides, reference.root_height
    )
    move = lambda array: model.engine.from_numpy(np.asarray(array)[None], model.device)  # noqa: E731
    on_device = {name: move(array) for name, array in structure.items()}
    tick = _ticker(report, 0.1, 0.9, model.config, "Encoding")
    adapters = embed_skeleton(model.parameters, model.config, on_device)
    posteriors = encode(
        model.parameters,
        model.config,
        adapters,
        move(joints.astype(np.float32)),
        move(root.astype(np.float32)),
        on_device["mask"],
        tick=tick,
    )
    latents = tuple(model.engine.to_numpy(mean) for mean, _ in posteriors)
    encoding = Encoding(
        motion=motion,
        reference=reference,
        frames=frames,
        structure=on_device,
        adapters=adapters,
        heading=np.unwrap(heading[:frames].astype(np.float64)),
        latents=latents,
        source_matrices=sixd_to_matrix(joints[:frames, :, :6]),
        source_slides=joints[:frames, :, 9:12],
        decoded={},
    )
    return replace(encoding, decoded=decode_pose(model, encoding, latents, tick))


def decode_pose(model: Model, encoding: Encoding, latents, tick=None) -> dict[str, np.ndarray]:
    """Decoded latents as numpy arrays of the clip's rows at MODEL_FPS.

    Returns:
        matrices `[T30, J, 3, 3]` and slides `[T30, J, 3]`, heading frame; root `[T30, 4]`: height, velocity, turn rate, in
        heights and radians a second.
    """
    latents = tuple(model.engine.from_numpy(np.asarray(latent, np.float32), model.device) for latent in latents)
    outputs, root = decode(model.parameters, model.config, encoding.adapters, latents, tick=tick)
    matrices, slides = pose_from_outputs(outputs, encoding.structure)
    arrays = {"matrices": matrices, "slides": slides, "root": root}
    arrays = {name: model.engine.to_numpy(array)[0, : encoding.frames] for name, array in arrays.items()}
    arrays["root"] = arrays["root"] / np.array(ROOT_SCALE, np.float32)
    return arrays


def reconstruction_figures(encoding: Encoding) -> dict[str, float]:
    """How well the model knows this motion: joint error (against the root) and rotation errors, means over joints."""
    structure = {name: to_numpy(encoding.structure[name])[0] for name in ("parent", "ancestors", "offsets")}
    decoded = encoding.decoded
    made = pose_positions(decoded["matrices"], decoded["slides"], structure)
    source = pose_positions(encoding.source_matrices, encoding.source_slides, structure)
    error = float(np.linalg.norm(made - source, axis=-1).mean())
    rows = parent_rows(encoding.motion.skeleton.parents)
    world = matrix_angle(decoded["matrices"], encoding.source_matrices)
    local = matrix_angle(
        np.swapaxes(decoded["matrices"][:, rows], -1, -2) @ decoded["matrices"],
        np.swapaxes(encoding.source_matrices[:, rows], -1, -2) @ encoding.source_matrices,
    )
    local[:, 0] = world[:, 0]
    return {
        "frames": encoding.motion.frames,
        "joints": encoding.motion.rotations.shape[1],
        "fps": encoding.motion.fps,
        "chunks": encoding.latents[0].shape[1],
        "height_m": encoding.reference.height_m,
        "joint_heights": error,
        "joint_mm": error * REPORT_MM,
        "rotation_world_deg": float(np.degrees(world.mean())),
        "rotation_local_deg": float(np.degrees(local.mean())),
    }


def reconstruction_change(encoding: Encoding) -> Change:
    """The change from the source to what the model makes of it; the root's path stays."""
    decoded = encoding.decoded
    turns = matrix_to_rotvec(decoded["matrices"] @ np.swapaxes(encoding.source_matrices, -1, -2))
    rotation = _to_rows(encoding, _to_world(encoding, turns), 0.0)
    slides = (
        _to_rows(encoding, _to_world(encoding, decoded["slides"] - encoding.source_slides), 0.0)
        * encoding.reference.height_m
    )
    root = np.zeros((encoding.motion.frames, 3))
    return _with_slides(encoding, rotation, root, slides)


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
    weight = settings.strength * pin_weight(encoding.motion, settings, pinned)
    if not weight.any():
        return _no_change(encoding)
    latents = new_latents(model, encoding, settings.level, np.random.default_rng(seed))
    decoded = decode_pose(model, encoding, latents, _ticker(report, 0.0, 0.6, model.config, "Decoding"))
    report(0.6, "Laying the change on the source")
    height = encoding.reference.height_m
    base = encoding.decoded
    turns = matrix_to_rotvec(decoded["matrices"] @ np.swapaxes(base["matrices"], -1, -2))
    slides = decoded["slides"] - base["slides"]
    root = decoded["root"] - base["root"]
    band = BAND_S[settings.level]
    rotation = _to_rows(encoding, _to_world(encoding, turns), band)
    slides = _to_rows(encoding, _to_world(encoding, slides), band) * height
    lift = _to_rows(encoding, root[:, :1], band)[:, 0] * height
    if settings.level == "DETAIL":
        rotation = rotation - _to_rows(encoding, _to_world(encoding, turns), DETAIL_FLOOR_S)
        slides, lift = 0 * slides, 0 * lift
    rotation, slides = rotation * weight[:, None, None], slides * weight[:, None, None]
    path = np.zeros((encoding.motion.frames, 3))
    path[:, 2] = lift * weight
    if not settings.keep_root_path and settings.level != "DETAIL":
        rotation, path = _change_path(encoding, root, rotation, path, weight)
    if selected is not None:
        rotation = _only_selected(encoding.motion.skeleton.parents, rotation, selected)
        if not selected[0]:
            path = 0 * path
        slides = slides * np.asarray(selected)[:, None]
    rotation = limit_joints(encoding.motion, rotation, settings.strength)
    change = _with_slides(encoding, rotation, path, slides)
    report(0.75, "Keeping contacts")
    if settings.contacts:
        contacts = find_contacts(
            joint_positions(encoding.motion), encoding.motion.fps, height, encoding.motion.skeleton.parents
        )
        free = np.ones(rotation.shape[1], bool) if selected is None else np.asarray(selected, bool)
        level = not settings.keep_root_path
        change = keep_contacts(encoding.motion, change, contacts, free, weight, (level, level, True))
    for array in (change.rotation, change.root, change.slide):
        array[weight == 0] = 0  # what stays, stays to the last bit
    report(1.0, "Done")
    return change


def _no_change(encoding: Encoding) -> Change:
    """The change that leaves the source as it is."""
    frames, joints = encoding.motion.rotations.shape[:2]
    slides = np.flatnonzero(encoding.reference.slides).astype(np.int32)
    rotation, root, slide = (np.zeros((frames, *shape), np.float32) for shape in ((joints, 3), (3,), (len(slides), 3)))
    return Change(rotation, root, slides, slide)


def new_latents(model: Model, encoding: Encoding, level: str, rng) -> tuple:
    """The source's latents plus noise shaped like the training set's, for one level.

    The statistics are factors of covariances: `clip_factor` of the clip's latent, `shift_factor` of what a clip's chunks
    share, `chunk_factor` of a chunk's own; `chunk_correlation` ties a chunk to the one before.
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


def pin_weight(motion: Motion, settings: VariationSettings, pinned=None) -> np.ndarray:
    """How much of the change each row takes, `[T]` from 0 at what stays to 1, eased over EASE_S seconds."""
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
    ease = max(min(EASE_S * motion.fps, (stop - start) / 3), 1.0)
    t = np.clip(distance / ease, 0, 1)
    return t**3 * (t * (6 * t - 15) + 10)


def _ticker(report, low: float, high: float, config: ModelConfig, text: str):
    """A callback for every block of the model, which reports from `low` to `high`."""
    total = sum(level.encoder_depth + level.decoder_depth for level in config.levels)
    done = [0]

    def tick():
        done[0] += 1
        report(low + (high - low) * min(done[0] / total, 1.0), text)

    return tick


def _to_world(encoding: Encoding, vectors) -> np.ndarray:
    """Vectors `[T30, J, 3]` from the heading frame to world axes."""
    return quaternion_rotate(yaw_to_quaternion(encoding.heading)[:, None], vectors.astype(np.float64))


def _to_rows(encoding: Encoding, values, sigma_s: float) -> np.ndarray:
    """Values `[T30, ...]` at the source's rows, low-passed by a Gaussian of `sigma_s` seconds (linear where it is 0).

    The Gaussian is evaluated at the source's own times, so that a higher rate gets a smooth curve and no corners.
    """
    motion = encoding.motion
    times = np.arange(motion.frames) * (MODEL_FPS / motion.fps)
    flat = values.reshape(len(values), -1)
    sigma = sigma_s * MODEL_FPS
    reach = max(int(np.ceil(3 * sigma)), 1)
    base = np.round(times).astype(np.int64) if sigma else np.floor(times).astype(np.int64)
    taps = np.arange(-reach, reach + 1)
    distance = taps[None] + (base - times)[:, None]
    weights = np.exp(-0.5 * (distance / sigma) ** 2) if sigma else np.maximum(1 - np.abs(distance), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    out = np.zeros((len(times), flat.shape[1]))
    for column, tap in enumerate(taps):
        out += weights[:, column, None] * flat[np.clip(base + tap, 0, len(flat) - 1)]
    return out.reshape(len(times), *values.shape[1:])


def _change_path(encoding: Encoding, root, rotation, path, weight):
    """The root's own way: the change of its velocity and turn rate, integrated; it comes back to every row that stays."""
    motion, height = encoding.motion, encoding.reference.height_m
    band = BAND_S["WHOLE"]
    rates = _to_rows(
        encoding,
        np.concatenate((_to_world(encoding, _level(root[:, 1:3])[:, None])[:, 0, :2], root[:, 3:4]), axis=1),
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
    """Paths `[T, 3]` less what they have at the rows that stay (weight 0), in between as smoothly as rows may change."""
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


def _with_slides(encoding: Encoding, rotation, root, slides) -> Change:
    """The change, with the places of sliding joints: carried by their parents' change, plus their own slide `[T, J, 3]`."""
    joints = np.flatnonzero(encoding.reference.slides)
    none = Change(
        rotation.astype(np.float32),
        root.astype(np.float32),
        np.zeros(0, np.int32),
        np.zeros((len(root), 0, 3), np.float32),
    )
    if not len(joints):
        return none
    motion = encoding.motion
    positions = joint_positions(motion)
    carried = changed_positions(motion.skeleton.parents, positions, none)
    # A slide moves what hangs on it too, sliding joints among them; their own places are then further along.
    moved = carried - positions + _tree_sums(motion.skeleton.parents, slides)
    return replace(none, slide_joints=joints.astype(np.int32), slide=moved[:, joints].astype(np.float32))


def _tree_sums(parents, values) -> np.ndarray:
    """The sum of `values [T, J, 3]` over each joint and its ancestors."""
    sums = np.array(values, dtype=np.float64)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            sums[:, joint] += sums[:, parent]
    return sums
