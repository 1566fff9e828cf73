"""How far a variation goes, and whether its joints stay where data shows them."""

import numpy as np

from backend.motion import Motion
from backend.rotations import quaternion_angle, quaternion_conjugate, quaternion_multiply, quaternion_to_rotvec

from .body import local_rotations, mean_rotation, report_positions
from .contacts import contact_overlap, skate_cm_s, source_contacts
from .diversity import aligned_distance, random_pair_distance
from .smoothness import jerk_ratios

RANGE_MARGIN_DEG = 5.0  # beyond what data shows before a joint counts as outside its range
MOST_MOVING_SHARE = 0.25


def change_deg(source: Motion, other: Motion, joints=None) -> float:
    """Mean angle in degrees by which joints are turned in the world, over frames and joints (`joints`: `[J]` bool)."""
    angle = np.degrees(quaternion_angle(source.rotations, other.rotations))
    return float((angle if joints is None else angle[:, joints]).mean())


def moving_joints(motion: Motion, share: float = MOST_MOVING_SHARE) -> np.ndarray:
    """The share of joints that turn most against their parents over the clip, `[J]` bool, at least one."""
    local = local_rotations(motion)
    turn = quaternion_angle(mean_rotation(local)[None], local).mean(axis=0)
    chosen = np.zeros(len(turn), dtype=bool)
    chosen[np.argsort(-turn, kind="stable")[: max(1, round(share * len(turn)))]] = True
    return chosen


def end_pose_errors_cm(source: Motion, other: Motion) -> tuple[float, float]:
    """Mean distance of joints in cm at 1.7 m, not aligned, in the first and the last row."""
    distance = np.linalg.norm(report_positions(source, None) - report_positions(other, None), axis=-1).mean(axis=-1)
    return 100 * float(distance[0]), 100 * float(distance[-1])


def joint_ranges(motions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far data turns each joint: mean local rotation `[J, 4]`, least and greatest rotation vector from it `[J, 3]`,
    degrees, over motions of one skeleton."""
    local = np.concatenate([local_rotations(motion) for motion in motions])
    middle = mean_rotation(local)
    away = np.degrees(quaternion_to_rotvec(quaternion_multiply(quaternion_conjugate(middle)[None], local)))
    return middle, away.min(axis=0), away.max(axis=0)


def share_outside_ranges(motion: Motion, ranges, margin_deg: float = RANGE_MARGIN_DEG) -> float:
    """Share of frames and joints (the root left out) that are turned beyond what data shows by more than the margin.

    Args:
        ranges: of `joint_ranges`.
    """
    middle, low, high = ranges
    away = quaternion_multiply(quaternion_conjugate(middle)[None], local_rotations(motion))
    away = np.degrees(quaternion_to_rotvec(away))
    outside = ((away < low - margin_deg) | (away > high + margin_deg)).any(axis=-1)
    return float(outside[:, 1:].mean()) if outside.shape[1] > 1 else 0.0


def variation_figures(source: Motion, other: Motion, contacts=None) -> dict[str, float]:
    """One row of the table of variations: the figures that need the source and one variation alone.

    Args:
        contacts: `[T, J]` bool of the source; found in it if None.
    """
    contacts = source_contacts(source) if contacts is None else contacts
    mean_jerk, peak_jerk = jerk_ratios(source, other)
    start, end = end_pose_errors_cm(source, other)
    spread = random_pair_distance(source)
    return {
        "change_deg": change_deg(source, other),
        "jerk_ratio": mean_jerk,
        "peak_jerk_ratio": peak_jerk,
        "skate_cm_s": skate_cm_s(other, contacts),
        "source_skate_cm_s": skate_cm_s(source, contacts),
        "contact_overlap": contact_overlap(contacts, other),
        "start_pose_cm": start,
        "end_pose_cm": end,
        "aligned_over_random": aligned_distance(source, other) / spread if spread > 1e-9 else 0.0,
    }
