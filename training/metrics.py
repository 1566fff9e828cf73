"""Every figure that the project reports, defined once; numpy only.

Motions in, numbers out. Two motions that are compared have the same skeleton and rows. Lengths are put to a body of
1.7 m (`REPORT_HEIGHT_M`), whatever the creature and its units, by `skeleton_height`. What counts frames (jerk,
acceleration, windows) is measured at 30 fps. Every figure of a variation belongs beside the source's own.
"""

import numpy as np

from backend.contacts import find_contacts
from backend.motion import Motion, joint_positions, position_jerk, resample_motion, slice_motion
from backend.rotations import (
    matrix_to_sixd,
    quaternion_angle,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_to_matrix,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
)
from backend.skeleton import parent_rows, skeleton_height

REPORT_HEIGHT_M = 1.7
METRIC_FPS = 30.0
SEAM_FRAMES = 3  # on either side of a chunk border
TRANSITION_FRAMES = 30  # FlowMDM's transitions on BABEL, here centred on a chunk border
COVERAGE_WINDOW, COVERAGE_SIXD = 30, 2.0  # GANimator
DIVERSITY_WINDOW = 15  # GANimator; AnyTop's windows as well
COVERAGE_ANGLE_DEG = 20.0  # AnyTop
SEGMENT_FRAMES = 30  # GANimator's patched nearest neighbour
RANGE_MARGIN_DEG = 5.0  # beyond what data shows before a joint counts as outside its range
MOST_MOVING_SHARE = 0.25


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


# Reconstruction


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


# Smoothness


def jerk_curve(motion: Motion) -> np.ndarray:
    """`motion.position_jerk` in metres at 1.7 m and 30 fps, `[T - 3]`."""
    return position_jerk(report_positions(motion))


def jerk_ratios(source: Motion, other: Motion) -> tuple[float, float]:
    """Mean and peak jerk over the source's; 1 for clips too short to have any."""
    a, b = jerk_curve(source), jerk_curve(other)
    if len(a) == 0:
        return 1.0, 1.0
    tiny = 1e-9
    return float((b.mean() + tiny) / (a.mean() + tiny)), float((b.max() + tiny) / (a.max() + tiny))


def seam(motion: Motion, chunk: int) -> float:
    """Mean jerk within 3 frames of the borders of chunks of `chunk` frames over the mean jerk elsewhere.

    1 where there is no border or nothing elsewhere.
    """
    jerk = jerk_curve(motion)
    near = near_borders(len(jerk), chunk)
    if near.all() or not near.any():
        return 1.0
    return float((jerk[near].mean() + 1e-9) / (jerk[~near].mean() + 1e-9))


def near_borders(rows: int, chunk: int) -> np.ndarray:
    """Which rows of a jerk curve lie within 3 frames of a border of chunks, `[rows]` bool."""
    return np.abs(_border_distance(rows, chunk)) <= SEAM_FRAMES


def seam_ratio(source: Motion, other: Motion, chunk: int) -> float:
    """The seam of `other` over the seam of its source: 1 means that the borders of chunks can't be told."""
    return seam(other, chunk) / seam(source, chunk)


def pooled_seam_ratio(pairs, chunk: int) -> float | None:
    """The seam ratio of many clips together, for clips so short or still that each one's own says little.

    Jerk near the borders over jerk elsewhere, both over all clips that have borders; None where none has.

    Args:
        pairs: of jerk curves, a source's and the other's.
    """
    pairs = [(a, b, near_borders(len(a), chunk)) for a, b in pairs]
    pairs = [(a, b, near) for a, b, near in pairs if near.any() and not near.all()]
    if not pairs:
        return None
    seams = []
    for which in (1, 0):
        near = np.mean(np.concatenate([pair[which][pair[2]] for pair in pairs]))
        seams.append(near / np.mean(np.concatenate([pair[which][~pair[2]] for pair in pairs])))
    return float(seams[0] / seams[1])


def area_under_jerk(source: Motion, other: Motion, chunk: int) -> float:
    """FlowMDM's area under jerk: the jerk curve averaged over transitions, its distance from the true level summed.

    A transition is the 30 frames around a chunk border that lie in the clip; the true level is the source's mean jerk.
    """
    jerk, level = jerk_curve(other), jerk_curve(source).mean() if source.frames > 3 else 0.0
    distance = _border_distance(len(jerk), chunk)
    inside = np.abs(distance) <= TRANSITION_FRAMES / 2
    if not inside.any():
        return 0.0
    slot = np.floor(distance[inside] + TRANSITION_FRAMES / 2).astype(np.int64)
    count = np.bincount(slot)
    curve = np.bincount(slot, jerk[inside])[count > 0] / count[count > 0]
    return float(np.abs(curve - level).sum())


def _border_distance(rows: int, chunk: int) -> np.ndarray:
    """From the middle of each row of a jerk curve to the nearest chunk border, frames `[rows]`; inf without borders.

    The border between frames `chunk - 1` and `chunk` lies half a frame before `chunk`; a row's middle at t + 1.5.
    """
    borders = np.arange(chunk, rows + 3, chunk) - 0.5
    if not len(borders):
        return np.full(rows, np.inf)
    away = (np.arange(rows) + 1.5)[:, None] - borders
    return away[np.arange(rows), np.abs(away).argmin(axis=1)]


# Contacts


def source_contacts(source: Motion) -> np.ndarray:
    """Which joints of the source rest when, `[T, J]` bool, by `backend.contacts`."""
    height_m = skeleton_height(source.skeleton)
    return find_contacts(joint_positions(source), source.fps, height_m, source.skeleton.parents)


def skate_cm_s(motion: Motion, contacts) -> float:
    """Mean speed in cm/s at 1.7 m of joints in contact, from row to row where both are; 0 without contacts.

    Args:
        contacts: `[T, J]` bool, always of the source, so that a variation can't choose its own.
    """
    both = contacts[1:] & contacts[:-1]
    if not both.any():
        return 0.0
    speed = np.linalg.norm(np.diff(report_positions(motion, None), axis=0), axis=-1) * motion.fps
    return 100 * float(speed[both].mean())


def contact_overlap(contacts, other: Motion) -> float:
    """Contacts that source and variation share over those that either has, counted in frames of joints.

    1 where neither has any.

    Args:
        contacts: `[T, J]` bool, of the source.
    """
    found = source_contacts(other)
    either = (contacts | found).sum()
    return float((contacts & found).sum() / either) if either else 1.0


# Variation


def change_deg(source: Motion, other: Motion, joints=None) -> float:
    """Mean angle in degrees by which joints are turned in the world, over frames and joints (`joints`: `[J]` bool)."""
    angle = np.degrees(quaternion_angle(source.rotations, other.rotations))
    return float((angle if joints is None else angle[:, joints]).mean())


def moving_joints(motion: Motion, share: float = MOST_MOVING_SHARE) -> np.ndarray:
    """The share of joints that turn most against their parents over the clip, `[J]` bool, at least one."""
    local = local_rotations(motion)
    turn = quaternion_angle(_mean_rotation(local)[None], local).mean(axis=0)
    chosen = np.zeros(len(turn), dtype=bool)
    chosen[np.argsort(-turn, kind="stable")[: max(1, round(share * len(turn)))]] = True
    return chosen


def end_pose_errors_cm(source: Motion, other: Motion) -> tuple[float, float]:
    """Mean distance of joints in cm at 1.7 m, not aligned, in the first and the last row."""
    distance = np.linalg.norm(report_positions(source, None) - report_positions(other, None), axis=-1).mean(axis=-1)
    return 100 * float(distance[0]), 100 * float(distance[-1])


def pose_features(motion: Motion) -> np.ndarray:
    """All joints' local rotations as six numbers, one after the other, `[T, J * 6]` at 30 fps (GANimator's pose)."""
    local = local_rotations(at_rate(motion))
    return matrix_to_sixd(quaternion_to_matrix(local)).reshape(len(local), -1)


def aligned_distance(a: Motion, b: Motion) -> float:
    """Mean L2 distance of the poses of the same frames (rotation-6D): the inter-diversity of two samples."""
    return float(np.linalg.norm(pose_features(a) - pose_features(b), axis=-1).mean())


def random_pair_distance(motion: Motion, most: int = 400) -> float:
    """Mean L2 distance of the poses of two frames drawn at random (all pairs of up to `most` frames spread evenly)."""
    poses = pose_features(motion)
    poses = poses[np.unique(np.linspace(0, len(poses) - 1, most).astype(int))]
    if len(poses) < 2:
        return 0.0
    return float(_distances(poses, poses).sum() / (len(poses) * (len(poses) - 1)))


def inter_diversity(samples) -> float:
    """Mean aligned distance of each sample and the one before (SinMDM); 0 for fewer than two."""
    pairs = [aligned_distance(a, b) for a, b in zip(samples[:-1], samples[1:], strict=True)]
    return float(np.mean(pairs)) if pairs else 0.0


def frame_distances(source: Motion, sample: Motion, angular: bool = False) -> np.ndarray:
    """Distances of all frames of the source from all of the sample, `[T, U]` at 30 fps.

    L2 of the rotation-6D pose (GANimator), which grows with the number of joints, or the joints' mean geodesic angle in
    degrees (AnyTop), which doesn't.
    """
    if not angular:
        return _distances(pose_features(source), pose_features(sample))
    a, b = (local_rotations(at_rate(m)) for m in (source, sample))
    total = np.zeros((len(a), len(b)))
    for joint in range(a.shape[1]):
        total += np.arccos(np.clip(np.abs(a[:, joint] @ b[:, joint].T), 0.0, 1.0))
    return np.degrees(2 * total / a.shape[1])


def coverage(distances, window: int = COVERAGE_WINDOW, threshold: float = COVERAGE_SIXD) -> float:
    """Share of the source's windows whose best match in the sample is nearer than `threshold`.

    GANimator: windows of 30, 2.0 in rotation-6D. AnyTop: windows of 15, 20 degrees.

    Args:
        distances: `[T, U]`, source by sample, see `frame_distances`.
    """
    return float((_window_distances(distances, window).min(axis=1) < threshold).mean())


def local_diversity(distances, window: int = DIVERSITY_WINDOW) -> float:
    """Mean over the sample's windows of the distance to the nearest window of the source (GANimator, AnyTop)."""
    return float(_window_distances(distances, window).min(axis=0).mean())


def global_diversity(distances, shortest: int = SEGMENT_FRAMES) -> float:
    """Patched nearest neighbour (GANimator): the sample cut into segments of at least `shortest` frames, each laid on a
    segment of the source, the cheapest way to do so; the mean distance over frames.

    A segment of twice that length can be cut in two for nothing, so lengths below that are all that is tried.
    """
    frames, rows = distances.shape[1], distances.shape[0]
    shortest = min(shortest, frames, rows)
    # sums[t, u]: of the distances along the diagonal up to, not including, (t, u)
    sums = np.zeros((rows + 1, frames + 1))
    for row in range(rows):
        sums[row + 1, 1:] = sums[row, :-1] + distances[row]
    cost = np.full(frames + 1, np.inf)  # of the sample's first u frames
    cost[0] = 0.0
    lengths = range(shortest, min(2 * shortest, rows + 1))
    cheapest = {}  # by length: of the segment that ends before each frame
    for length in lengths:
        cheapest[length] = (sums[length:, length:] - sums[: rows + 1 - length, : frames + 1 - length]).min(axis=0)
    for end in range(shortest, frames + 1):
        for length in lengths:
            if length <= end:
                cost[end] = min(cost[end], cost[end - length] + cheapest[length][end - length])
    # Where source and sample are so short that no cut fits exactly, the longest part that does is judged.
    fits = np.flatnonzero(np.isfinite(cost[1:])) + 1
    return float(cost[fits[-1]] / fits[-1])


def joint_ranges(motions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far data turns each joint: mean local rotation `[J, 4]`, least and greatest rotation vector from it `[J, 3]`,
    degrees, over motions of one skeleton."""
    local = np.concatenate([local_rotations(motion) for motion in motions])
    middle = _mean_rotation(local)
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


# Tables


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


def _mean_rotation(rotations) -> np.ndarray:
    """The mean over axis 0 of rotations that lie together, `[..., 4]`."""
    mean = rotations[len(rotations) // 2]
    for _ in range(3):
        away = quaternion_to_rotvec(quaternion_multiply(rotations, quaternion_conjugate(mean)[None]))
        mean = quaternion_multiply(rotvec_to_quaternion(away.mean(axis=0)), mean)
    return mean


def _distances(a, b) -> np.ndarray:
    """L2 distances of all rows of `a [T, F]` from all of `b [U, F]`, `[T, U]`."""
    square = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(square, 0.0))


def _window_distances(distances, window) -> np.ndarray:
    """Mean distances of windows from windows, `[T - window + 1, U - window + 1]`, from those of frames `[T, U]`."""
    window = min(window, *distances.shape)
    rows, frames = distances.shape[0] - window + 1, distances.shape[1] - window + 1
    total = np.zeros((rows, frames))
    for shift in range(window):
        total += distances[shift : shift + rows, shift : shift + frames]
    return total / window
