"""Motions: a skeleton over time, as arrays; slices, other frame rates, message arrays."""

from dataclasses import dataclass, replace

import numpy as np

from .rotations import quaternion_slerp
from .skeleton import Skeleton, rigid_positions


@dataclass(frozen=True)
class Motion:
    """What was read of an animation.

    Attributes:
        skeleton: the joints.
        fps: rows a second.
        root_positions: `[T, 3]` world, metres, Z up.
        rotations: `[T, J, 4]` world, w, x, y, z.
        positions: `[T, J, 3]` world, where joints stretch or slide against their parents; None where all are rigid.
        held: `[J]` bool, joints that their parents hold though they stretch a little; None for none.
    """

    skeleton: Skeleton
    fps: float
    root_positions: np.ndarray
    rotations: np.ndarray
    positions: np.ndarray | None = None
    held: np.ndarray | None = None

    @property
    def frames(self) -> int:
        """The number of rows, T."""
        return len(self.rotations)


def joint_positions(motion: Motion) -> np.ndarray:
    """World joint positions `[T, J, 3]`, metres."""
    if motion.positions is not None:
        return motion.positions
    return rigid_positions(motion.skeleton, motion.root_positions, motion.rotations)


def position_jerk(positions) -> np.ndarray:
    """Jerk as FlowMDM has it, `[T - 3]`: third difference a frame of positions `[T, J, 3]`, summed over x, y and z
    without sign, the largest over joints. Row t is of frames t to t + 3."""
    return np.abs(np.diff(positions, 3, axis=0)).sum(axis=-1).max(axis=-1)


def slice_motion(motion: Motion, start: int, stop: int) -> Motion:
    """Rows `start` to `stop - 1`."""
    positions = None if motion.positions is None else motion.positions[start:stop]
    return replace(
        motion,
        root_positions=motion.root_positions[start:stop],
        rotations=motion.rotations[start:stop],
        positions=positions,
    )


def whole_chunk_rows(frames: int, chunk: int) -> np.ndarray:
    """Rows of a clip that make whole chunks, `[T']`: all of them, then the last one again."""
    return np.minimum(np.arange(-(-frames // chunk) * chunk), frames - 1)


def resample_rows(frames: int, fps: float, new_fps: float) -> np.ndarray:
    """Fractional source rows at which a clip is sampled at another rate, `[T']`; the last one is the clip's end."""
    count = int(np.ceil((frames - 1) / fps * new_fps - 1e-6)) + 1
    return np.minimum(np.arange(count) * (fps / new_fps), frames - 1)


def sample_rows(values, rows):
    """Arrays `[T, ...]` at fractional rows, linearly."""
    low = np.clip(np.floor(rows).astype(np.int64), 0, max(len(values) - 2, 0))
    high = np.minimum(low + 1, len(values) - 1)
    t = (rows - low).reshape(-1, *([1] * (values.ndim - 1))).astype(values.dtype)
    return values[low] * (1 - t) + values[high] * t


def sample_rotations(rotations, rows):
    """Quaternions `[T, ..., 4]` at fractional rows, by slerp."""
    low = np.clip(np.floor(rows).astype(np.int64), 0, max(len(rotations) - 2, 0))
    high = np.minimum(low + 1, len(rotations) - 1)
    t = (rows - low).reshape(-1, *([1] * (rotations.ndim - 1))).astype(rotations.dtype)
    return quaternion_slerp(rotations[low], rotations[high], t)


def resample_motion(motion: Motion, fps: float) -> Motion:
    """The same motion at another frame rate (slerp for rotations, linear for positions)."""
    if motion.frames < 2 or abs(motion.fps - fps) < 1e-6:
        return motion
    rows = resample_rows(motion.frames, motion.fps, fps)
    return Motion(
        skeleton=motion.skeleton,
        fps=fps,
        root_positions=sample_rows(motion.root_positions, rows),
        rotations=sample_rotations(motion.rotations, rows),
        positions=None if motion.positions is None else sample_rows(motion.positions, rows),
        held=motion.held,
    )


def motion_to_arrays(motion: Motion) -> dict[str, np.ndarray]:
    """Named arrays for a message or a file."""
    arrays = {
        "parents": motion.skeleton.parents.astype(np.int32),
        "rest": motion.skeleton.rest.astype(np.float64),
        "fps": np.array([motion.fps], dtype=np.float64),
        "root_positions": motion.root_positions.astype(np.float64),
        "rotations": motion.rotations.astype(np.float64),
    }
    if motion.positions is not None:
        arrays["positions"] = motion.positions.astype(np.float64)
    if motion.held is not None:
        arrays["held"] = motion.held.astype(np.uint8)
    return arrays


def arrays_to_motion(arrays) -> Motion:
    """The inverse of `motion_to_arrays`.

    Raises:
        ValueError: an array is missing, shapes disagree, or a number is not finite.
    """
    missing = [name for name in ("parents", "rest", "fps", "root_positions", "rotations") if name not in arrays]
    if missing:
        raise ValueError(f"The motion lacks {', '.join(missing)}.")
    positions = arrays.get("positions")
    frames, joints = arrays["rotations"].shape[:2]
    shapes = {
        "parents": (joints,),
        "rest": (joints, 4, 4),
        "fps": (1,),
        "root_positions": (frames, 3),
        "rotations": (frames, joints, 4),
    }
    if positions is not None:
        shapes["positions"] = (frames, joints, 3)
    held = arrays.get("held")
    if held is not None:
        shapes["held"] = (joints,)
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"The motion's {name} have shape {arrays[name].shape}, expected {shape}.")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"The motion's {name} hold numbers that are not finite.")
    skeleton = Skeleton(arrays["parents"].astype(np.int64), arrays["rest"])
    held = None if held is None else held.astype(bool)
    return Motion(skeleton, float(arrays["fps"][0]), arrays["root_positions"], arrays["rotations"], positions, held)
