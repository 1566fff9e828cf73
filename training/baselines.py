"""What a model has to beat: linear codes of the same size, slerp between a few keys, and the mean pose. numpy only.

- The *linear code* is a principal component analysis of whole chunks: as many frames and numbers a chunk as the model's
  first latent, the same features, the same kinematics. It knows one list of joints and nothing else.
- The *clip's own code* is a principal component analysis of single frames, fitted on the very clip that it is tried on.
- *Slerp* keeps every joint's rotation in a frame once a chunk, and what lies between is interpolated.
"""

from dataclasses import dataclass

import numpy as np

from backend.features import (
    IDENTITY_SIXD,
    JOINT_INPUTS,
    columns,
    motion_features,
    pose_positions,
    reference_pose,
    source_slides,
    structure_arrays,
)
from backend.motion import Motion, joint_positions, sample_rotations, sample_rows, whole_chunk_rows
from backend.rotations import quaternion_conjugate, quaternion_rotate, sixd_to_matrix
from backend.skeleton import ancestor_matrix, parent_rows

from . import metrics

CHUNK_FRAMES = 32
CODE_SIZE = 128  # numbers a chunk: 4 a frame
CHUNK_STEP = 16  # frames between the chunks that a code is fitted on
MOST_CHUNKS = 2000
NUMBERS_A_TURN = 3  # that a key of one joint takes, and of the root's place


@dataclass(frozen=True)
class PoseRows:
    """A clip as a linear code reads it.

    Attributes:
        rows: `[T, J * F]` the model's own joint inputs less those of the reference pose.
        structure: see `features.structure_arrays`.
    """

    rows: np.ndarray
    structure: dict


@dataclass(frozen=True)
class LinearCode:
    """Mean `[32 * F]` and orthonormal components `[C, 32 * F]` of chunks."""

    mean: np.ndarray
    components: np.ndarray


def pose_rows(motion: Motion) -> PoseRows:
    """Rotations as six numbers, positions and slides of every joint, heading frame, against the clip's mean pose.

    Args:
        motion: at the model's rate.
    """
    reference = reference_pose(motion)
    structure = structure_arrays(motion.skeleton.parents, reference.offsets, reference.slides)
    joints, _, _ = motion_features(
        motion.rotations,
        motion.root_positions / reference.height_m,
        reference.rotations,
        structure,
        source_slides(motion, reference) if reference.slides.any() else None,
        reference.root_height,
    )
    joints = joints - reference_inputs(structure)
    return PoseRows(joints.reshape(len(joints), -1).astype(np.float32), structure)


def reference_inputs(structure) -> np.ndarray:
    """What the joints' inputs are in the reference pose, `[J, F]`."""
    count = len(structure["mask"])
    position = structure["ancestors"] @ structure["offsets"]
    return np.concatenate((np.tile(IDENTITY_SIXD, (count, 1)), position, np.zeros((count, 3))), axis=1)


def chunks_of(rows, step: int = CHUNK_FRAMES) -> np.ndarray:
    """Chunks of a clip, `[N, 32 * F]`, those that fit."""
    starts = range(0, len(rows) - CHUNK_FRAMES + 1, step)
    return np.stack([rows[start : start + CHUNK_FRAMES].reshape(-1) for start in starts])


def fit_code(chunks, size: int = CODE_SIZE) -> LinearCode:
    """The best linear code of `size` numbers a chunk, fitted on `chunks [N, 32 * F]` (fewer where there are fewer)."""
    if len(chunks) > MOST_CHUNKS:
        chunks = chunks[np.linspace(0, len(chunks) - 1, MOST_CHUNKS).astype(int)]
    mean = chunks.mean(axis=0)
    centred = chunks - mean
    # The chunks are fewer than their numbers, so the components come from their products with each other.
    values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    order = np.argsort(-values)[: min(size, len(chunks) - 1)]
    order = order[values[order] > 1e-9 * values.max()]
    components = (vectors[:, order] / np.sqrt(values[order])).T.astype(np.float32) @ centred
    return LinearCode(mean, components)


def reconstruct_rows(code: LinearCode, rows) -> np.ndarray:
    """Rows `[T, J * F]` through the code, chunk by chunk; the last chunk is filled up with the last row."""
    frames = len(rows)
    padded = rows[whole_chunk_rows(frames, CHUNK_FRAMES)]
    chunks = padded.reshape(-1, CHUNK_FRAMES * rows.shape[1]) - code.mean
    made = (chunks @ code.components.T) @ code.components + code.mean
    return made.reshape(-1, rows.shape[1])[:frames]


def joint_error_heights(clip: PoseRows, rows) -> float:
    """Mean distance of joints against the root, skeleton heights; both go through the kinematics."""
    made, source = (pose_positions(*pose_arrays(clip.structure, each), clip.structure) for each in (rows, clip.rows))
    return float(np.linalg.norm(made - source, axis=-1).mean())


def pose_arrays(structure, rows) -> tuple[np.ndarray, np.ndarray]:
    """Rotations `[T, J, 3, 3]` and slides `[T, J, 3]` of rows, as the model's decoder has them."""
    inputs = rows.reshape(len(rows), len(structure["mask"]), -1) + reference_inputs(structure)
    matrices = sixd_to_matrix(inputs[..., columns(JOINT_INPUTS, "rotation")])
    return matrices, inputs[..., columns(JOINT_INPUTS, "slide")] * structure["slides"][:, None]


def mean_pose_error_heights(clip: PoseRows) -> float:
    """The error of holding the clip's mean pose, which turns with the heading."""
    return joint_error_heights(clip, np.zeros_like(clip.rows))


def other_half_error_heights(clip: PoseRows) -> float | None:
    """The error of codes fitted on one half of the clip and tried on the other, both ways; None for short clips."""
    middle = len(clip.rows) // 2
    if middle < CHUNK_FRAMES:
        return None
    errors = []
    for known, new in ((slice(0, middle), slice(middle, None)), (slice(middle, None), slice(0, middle))):
        code = fit_code(chunks_of(clip.rows[known], step=1))
        half = PoseRows(clip.rows[new], clip.structure)
        errors.append((joint_error_heights(half, reconstruct_rows(code, half.rows)), len(half.rows)))
    return float(np.average([error for error, _ in errors], weights=[frames for _, frames in errors]))


def own_code_rows(rows, sizes) -> dict[int, np.ndarray]:
    """Rows through the best linear codes of so many numbers a frame, fitted on these very rows; by size."""
    rows = rows.astype(np.float64)
    mean = rows.mean(axis=0)
    # As many numbers as there are rows at most; of either, the smaller product is taken apart.
    left, values, right = np.linalg.svd(rows - mean, full_matrices=False)
    return {size: (left[:, :size] * values[:size]) @ right[:size] + mean for size in sizes}


def slerp_motion(motion: Motion, spacing: int) -> Motion:
    """The motion with a key every `spacing` rows and in the last one; turns against the parents by slerp in between.

    The root's place, and the places of joints that slide against their parents, are interpolated linearly.
    """
    last = motion.frames - 1
    keys = np.unique(np.append(np.arange(0, motion.frames, spacing), last))
    at = np.interp(np.arange(motion.frames), keys, np.arange(len(keys)))
    rotations = sample_rotations(metrics.local_rotations(motion)[keys], at)
    rotations = metrics.world_rotations(motion.skeleton.parents, rotations)
    roots, positions = sample_rows(motion.root_positions[keys], at), None
    if motion.positions is not None:
        above, places = parent_rows(motion.skeleton.parents), joint_positions(motion)
        steps = quaternion_rotate(quaternion_conjugate(motion.rotations[:, above]), places - places[:, above])
        steps = quaternion_rotate(rotations[:, above], sample_rows(steps[keys], at))
        steps[:, 0] = roots
        positions = ancestor_matrix(motion.skeleton.parents).astype(np.float64) @ steps
    return Motion(motion.skeleton, motion.fps, roots, rotations, positions)


def slerp_numbers(joints: int, spacing: int) -> float:
    """How many numbers a frame keys every `spacing` frames take."""
    return NUMBERS_A_TURN * (joints + 1) / spacing


def slerp_spacing(joints: int, numbers: float) -> int:
    """How many frames lie from key to key when they may take so many numbers a frame."""
    return max(1, round(NUMBERS_A_TURN * (joints + 1) / numbers))
