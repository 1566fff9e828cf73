"""How far a reconstruction is from its source."""

import numpy as np

from backend.motion import Motion
from backend.rotations import quaternion_angle

from .body import REPORT_HEIGHT_M, local_rotations, report_positions
from .smoothness import seam_ratio


def joint_error_mm(source: Motion, other: Motion, aligned: bool = True) -> float:
    """Mean distance of joints in mm at 1.7 m height, over joints, then frames.

    Aligned is the field's protocol (MPJPE of MLD, MotionLCM): the root's position is subtracted in every frame, the
    heading is not aligned.
    """
    a, b = report_positions(source, None), report_positions(other, None)
    if aligned:
        a, b = a - a[:, :1], b - b[:, :1]
    return 1000 * float(np.linalg.norm(a - b, axis=-1).mean())


def joint_error_heights(source: Motion, other: Motion) -> float:
    """The aligned joint error in skeleton heights."""
    return joint_error_mm(source, other) / (1000 * REPORT_HEIGHT_M)


def rotation_error_deg(source: Motion, other: Motion, local: bool = False) -> float:
    """Mean geodesic angle between the joints' rotations in degrees, in the world or against their parents."""
    a, b = (local_rotations(m) if local else m.rotations for m in (source, other))
    return float(np.degrees(quaternion_angle(a, b)).mean())


def acceleration_error_mm(source: Motion, other: Motion) -> float:
    """Mean distance of joint accelerations (second differences, not aligned) in mm per frame squared at 30 fps, 1.7 m.

    0 for clips of under 3 frames.
    """
    a, b = report_positions(source), report_positions(other)
    if len(a) < 3:
        return 0.0
    return 1000 * float(np.linalg.norm(np.diff(a, 2, axis=0) - np.diff(b, 2, axis=0), axis=-1).mean())


def reconstruction_figures(source: Motion, other: Motion, chunk: int) -> dict[str, float]:
    """One row of the table of reconstructions."""
    return {
        "joint_mm": joint_error_mm(source, other),
        "joint_unaligned_mm": joint_error_mm(source, other, aligned=False),
        "joint_heights": joint_error_heights(source, other),
        "rotation_world_deg": rotation_error_deg(source, other),
        "rotation_local_deg": rotation_error_deg(source, other, local=True),
        "acceleration_mm": acceleration_error_mm(source, other),
        "seam_ratio": seam_ratio(source, other, chunk),
    }
