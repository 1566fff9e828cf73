"""A motion as reports see it: a body of 1.7 m at 30 fps, turns against the parents."""

import numpy as np

from backend.motion import Motion, joint_positions, resample_motion, slice_motion
from backend.rotations import (
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
)
from backend.skeleton import parent_rows, skeleton_height

REPORT_HEIGHT_M = 1.7
METRIC_FPS = 30.0


def report_positions(motion: Motion, fps: float | None = METRIC_FPS) -> np.ndarray:
    """Joint positions `[T, J, 3]` of a body of 1.7 m, metres, at `fps` (None: the motion's own rows)."""
    scale = REPORT_HEIGHT_M / skeleton_height(motion.skeleton)
    return joint_positions(motion if fps is None else at_rate(motion, fps)) * scale


def at_rate(motion: Motion, fps: float = METRIC_FPS) -> Motion:
    """The motion at another rate, without a last row that would be nearer to its neighbour than the others."""
    steps = (motion.frames - 1) / motion.fps * fps
    sampled = resample_motion(motion, fps)
    return sampled if abs(steps - round(steps)) < 1e-3 or sampled.frames < 3 else slice_motion(sampled, 0, -1)


def local_rotations(motion: Motion) -> np.ndarray:
    """Rotations against the parents, `[T, J, 4]`; the root's against the world."""
    local = quaternion_multiply(
        quaternion_conjugate(motion.rotations[:, parent_rows(motion.skeleton.parents)]), motion.rotations
    )
    local[:, 0] = motion.rotations[:, 0]
    return local


def world_rotations(parents, local) -> np.ndarray:
    """The inverse of `local_rotations`, `[T, J, 4]`."""
    world = local.copy()
    for joint, parent in enumerate(parents):
        if parent >= 0:
            world[:, joint] = quaternion_multiply(world[:, parent], local[:, joint])
    return world


def mean_rotation(rotations) -> np.ndarray:
    """The mean over axis 0 of rotations that lie together, `[..., 4]`."""
    mean = rotations[len(rotations) // 2]
    for _ in range(3):
        away = quaternion_to_rotvec(quaternion_multiply(rotations, quaternion_conjugate(mean)[None]))
        mean = quaternion_multiply(rotvec_to_quaternion(away.mean(axis=0)), mean)
    return mean
