"""A source as the model sees it: encode, decode, and what the difference of two decoded clips means for the source."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from . import refinement
from .adaptation import Adaptation, adapted_adapters
from .change import Change, changed_positions
from .checkpoint import load_checkpoint
from .contacts import find_contacts
from .engines import engine_of, load_engine, to_numpy
from .features import (
    JOINT_INPUTS,
    MODEL_FPS,
    ROOT_SCALE,
    Reference,
    columns,
    motion_features,
    pose_from_outputs,
    pose_positions,
    reference_pose,
    source_slides,
    structure_arrays,
)
from .model import ModelConfig, decode, embed_skeleton, encode
from .motion import Motion, joint_positions, resample_motion, whole_chunk_rows
from .prior import PriorConfig
from .rotations import (
    matrix_angle,
    matrix_to_rotvec,
    quaternion_multiply,
    quaternion_rotate,
    sixd_to_matrix,
    yaw_to_quaternion,
)
from .skeleton import parent_rows

MEND_SIGMA, MEND_REACH = 1 / 16, 5 / 16  # of a window's frames: how decoded windows are smoothed at their borders
REPORT_MM = 1700.0  # the field gives joint errors in mm of a body of 1.7 m


@dataclass(frozen=True)
class Model:
    """A loaded checkpoint on an engine.

    Attributes:
        engine: module. device: the engine's own name of it; device_words: for people.
        parameters: nested dict of the engine's arrays. config, statistics, version, prior: see `checkpoint.Checkpoint`.
        adaptation: what was learnt of the character, see `adaptation.adapted_model`; None for the model as it ships.
    """

    engine: object
    device: object
    device_words: str
    parameters: dict
    config: ModelConfig
    statistics: dict[str, np.ndarray]
    version: str
    prior: PriorConfig | None = None
    adaptation: Adaptation | None = None

    @cached_property
    def in_double(self) -> "Model":
        """The same model in double precision, on the same device or, where that has none, on the CPU."""
        device = self.engine.double_device(self.device)

        def move(tree):
            return {
                name: move(value) if isinstance(value, dict) else self.engine.from_numpy(doubled(value), device)
                for name, value in tree.items()
                if name != "prior"
            }

        return replace(self, device=device, parameters=move(self.parameters))


def doubled(array) -> np.ndarray:
    """An array of either engine as a numpy array, in double precision where it isn't of whole numbers."""
    array = to_numpy(array)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


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

    @cached_property
    def contacts(self) -> np.ndarray:
        """What rests when in the source, `[T, J]` bool; the same for all its variations."""
        motion = self.motion
        return find_contacts(joint_positions(motion), motion.fps, self.reference.height_m, motion.skeleton.parents)


@dataclass(frozen=True)
class Features:
    """A motion as the model reads it, in whole chunks at MODEL_FPS.

    Attributes:
        reference: its reference pose. structure: see `features.structure_arrays`.
        joints, root: see `features.motion_features`, in double precision. heading: `[T30]` radians.
        frames: rows before padding to whole chunks.
    """

    reference: Reference
    structure: dict[str, np.ndarray]
    joints: np.ndarray
    root: np.ndarray
    heading: np.ndarray
    frames: int


def read_features(motion: Motion, chunk: int, turn_rad: float = 0.0) -> Features:
    """What the model reads of a motion. numpy.

    Args:
        turn_rad: about Z, by which the body is seen to face elsewhere than it is thought to.
    """
    slow = resample_motion(motion, MODEL_FPS)
    reference = reference_pose(slow)
    if turn_rad:
        reference = turned_reference(reference, turn_rad)
    rows = whole_chunk_rows(slow.frames, chunk)
    structure = structure_arrays(motion.skeleton.parents, reference.offsets, reference.slides)
    rotations = slow.rotations[rows].astype(np.float64)
    roots = slow.root_positions[rows] / reference.height_m
    slides = source_slides(slow, reference)[rows] if reference.slides.any() else None
    joints, root, heading = motion_features(
        rotations, roots, reference.rotations, structure, slides, reference.root_height
    )
    return Features(reference, structure, joints, root, heading, slow.frames)


def turned_reference(reference: Reference, turn_rad: float) -> Reference:
    """The same pose facing elsewhere."""
    turn = yaw_to_quaternion(np.array(turn_rad))
    return replace(
        reference,
        rotations=quaternion_multiply(turn + 0 * reference.rotations, reference.rotations),
        offsets=quaternion_rotate(turn, reference.offsets),
    )


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
        engine,
        device,
        words,
        move(checkpoint.parameters),
        checkpoint.config,
        checkpoint.statistics,
        checkpoint.version,
        checkpoint.prior,
    )


def encode_motion(model: Model, motion: Motion, report) -> Encoding:
    """The source's latents and its reconstruction.

    Args:
        report: called with (fraction, text) between the steps; what it raises ends the work.
    """
    report(0.05, "Reading the motion")
    seen = read_features(motion, model.config.chunk)
    reference, structure, joints, frames = seen.reference, seen.structure, seen.joints, seen.frames

    decodings = refinement.decodings(frames, model.config.chunk) + 1
    blocks = model.config.encoder_blocks + decodings * model.config.decoder_blocks
    tick = block_ticker(report, 0.1, 0.9, blocks, "Encoding")
    # Which way the steps of the refinement lead hangs on the last digit: in single precision the order of bones, or
    # the engine, would change the latents.
    exact = model.in_double
    inputs = (exact.engine.from_numpy(array[None], exact.device) for array in (joints, seen.root))
    latents = refined_latents(exact, *with_skeleton(exact, motion.skeleton, structure), *inputs, frames, tick)
    latents = tuple(model.engine.from_numpy(to_numpy(one).astype(np.float32), model.device) for one in latents)
    on_device, adapters = with_skeleton(model, motion.skeleton, structure, np.float32)
    return Encoding(
        motion=motion,
        reference=reference,
        frames=frames,
        structure=on_device,
        adapters=adapters,
        heading=np.unwrap(seen.heading[:frames]),
        latents=tuple(model.engine.to_numpy(latent) for latent in latents),
        source_matrices=sixd_to_matrix(joints[:frames, :, columns(JOINT_INPUTS, "rotation")]),
        source_slides=joints[:frames, :, columns(JOINT_INPUTS, "slide")],
        decoded=pose_arrays(model, decode_frames(model, on_device, adapters, latents, tick), frames),
    )


def with_skeleton(model: Model, skeleton, structure, precision=np.float64):
    """The skeleton's arrays on the model's device with a batch axis, and its adapters with what was learnt of it."""

    def move(array):
        array = array.astype(precision) if array.dtype.kind == "f" else array
        return model.engine.from_numpy(array[None], model.device)

    on_device = {name: move(array) for name, array in structure.items()}
    adapters = embed_skeleton(model.parameters, model.config, on_device)
    if model.adaptation is not None:
        adapters = adapted_adapters(model.adaptation, adapters, skeleton)
    return on_device, adapters


def refined_latents(model: Model, structure, adapters, joints, root, frames: int, tick=None):
    """The source's latents, a tuple over the levels; see `refinement`.

    Args:
        structure, adapters: from `with_skeleton`.
        joints, root: from `features.motion_features`, with a batch axis of 1. frames: of them before padding.
    """
    posteriors = encode(model.parameters, model.config, adapters, joints, root, structure["mask"], tick=tick)

    def decoded(latents):
        return decode_frames(model, structure, adapters, latents, tick)

    latents = tuple(mean for mean, _ in posteriors)
    return refinement.refine(latents, decoded, structure, joints, root, frames, model.config.chunk)


def decode_frames(model: Model, structure, adapters, latents, tick=None):
    """Decoded latents, arrays of the engine: matrices `[1, T, J, 3, 3]`, slides `[1, T, J, 3]`, root `[1, T, 4]`."""
    outputs, root = decode(model.parameters, model.config, adapters, latents, tick=tick)
    stride = model.config.levels[0].stride
    outputs = mend_borders(outputs.reshape(*outputs.shape[:2], -1), stride).reshape(outputs.shape)
    return *pose_from_outputs(outputs, structure), mend_borders(root, stride)


def pose_arrays(model: Model, decoded, frames: int) -> dict[str, np.ndarray]:
    """What `decode_frames` gives as numpy arrays of the clip's rows, the root in heights and radians a second."""
    arrays = (model.engine.to_numpy(array)[0, :frames] for array in decoded)
    matrices, slides, root = arrays
    return {"matrices": matrices, "slides": slides, "root": root / np.array(ROOT_SCALE, np.float32)}


def decode_pose(model: Model, encoding: Encoding, latents, tick=None) -> dict[str, np.ndarray]:
    """Decoded latents as numpy arrays of the clip's rows at MODEL_FPS.

    Returns:
        matrices `[T30, J, 3, 3]` and slides `[T30, J, 3]`, heading frame; root `[T30, 4]`: height, velocity,
        turn rate, in heights and radians a second.
    """
    latents = tuple(model.engine.from_numpy(np.asarray(latent, np.float32), model.device) for latent in latents)
    return pose_arrays(
        model, decode_frames(model, encoding.structure, encoding.adapters, latents, tick), encoding.frames
    )


def mend_borders(values, stride: int):
    """Decoded numbers `[B, T, F]` without the small steps where windows of `stride` frames meet.

    Frames near a border are replaced by their Gaussian mean, less so the farther they are from it: one product with a
    constant matrix over the windows that have a border in their middle.
    """
    half = stride // 2
    if values.shape[1] < 2 * stride:
        return values
    xp = engine_of(values)
    inner = values[:, half:-half].reshape(-1, stride, values.shape[2])
    mended = (xp.asarray(mending_matrix(stride), values) @ inner).reshape(values.shape[0], -1, values.shape[2])
    return xp.concat((values[:, :half], mended, values[:, -half:]), 1)


def mending_matrix(stride: int) -> np.ndarray:
    """What `mend_borders` multiplies with, `[S, S]`: smoothing in the middle, the identity towards the ends."""
    frames = np.arange(stride)
    gaussian = np.exp(-0.5 * ((frames[:, None] - frames[None]) / (MEND_SIGMA * stride)) ** 2)
    gaussian /= gaussian.sum(axis=1, keepdims=True)
    near = np.clip(1 - np.abs(frames - (stride - 1) / 2) / (MEND_REACH * stride), 0, 1)
    share = near * near * (3 - 2 * near)
    return np.eye(stride) + share[:, None] * (gaussian - np.eye(stride))


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
    turns = decoded["matrices"] @ np.swapaxes(encoding.source_matrices, -1, -2)
    rotation = to_source_rows(encoding, heading_to_world(encoding, matrix_to_rotvec(turns)), 0.0)
    # The source's own slides turn with the parents that carry them; what is added makes the decoded ones of them.
    carried = turns[:, parent_rows(encoding.motion.skeleton.parents)] @ encoding.source_slides[..., None]
    slides = to_source_rows(encoding, heading_to_world(encoding, decoded["slides"] - carried[..., 0]), 0.0)
    slides = slides * encoding.reference.height_m
    root = np.zeros((encoding.motion.frames, 3))
    return change_with_slides(encoding, rotation, root, slides)


def block_ticker(report, low: float, high: float, blocks: int, text: str):
    """A callback for each of so many blocks of the model, which reports from `low` to `high`."""
    done = [0]

    def tick():
        done[0] += 1
        report(low + (high - low) * min(done[0] / blocks, 1.0), text)

    return tick


def heading_to_world(encoding: Encoding, vectors) -> np.ndarray:
    """Vectors `[T30, J, 3]` from the heading frame to world axes."""
    return quaternion_rotate(yaw_to_quaternion(encoding.heading)[:, None], vectors.astype(np.float64))


def to_source_rows(encoding: Encoding, values, sigma_s: float) -> np.ndarray:
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


def change_with_slides(encoding: Encoding, rotation, root, slides) -> Change:
    """The change, with the places of sliding joints: carried by what they hang on, plus their own slide `[T, J, 3]`."""
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
