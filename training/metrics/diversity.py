"""How unlike the source and each other samples are, and how much of the source they show: GANimator's and AnyTop's."""

import numpy as np

from backend.motion import Motion
from backend.rotations import matrix_to_sixd, quaternion_to_matrix

from .body import at_rate, local_rotations

COVERAGE_WINDOW, COVERAGE_SIXD = 30, 2.0  # GANimator
DIVERSITY_WINDOW = 15  # GANimator; AnyTop's windows as well
COVERAGE_ANGLE_DEG = 20.0  # AnyTop
SEGMENT_FRAMES = 30  # GANimator's patched nearest neighbour
NEAREST_FPS, NEAREST_WINDOW = 10.0, 5  # half a second, seldom enough for a whole training set to be searched


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
    return coverage_by_any([distances], window, threshold)


def coverage_by_any(distances, window: int = COVERAGE_WINDOW, threshold: float = COVERAGE_SIXD) -> float:
    """The same where any of several samples may have the match; `distances` is a list, one `[T, U]` a sample."""
    best = np.min([_window_distances(each, window).min(axis=1) for each in distances], axis=0)
    return float((best < threshold).mean())


def local_diversity(distances, window: int = DIVERSITY_WINDOW) -> float:
    """Mean over the sample's windows of the distance to the nearest window of the source (GANimator, AnyTop)."""
    return float(_window_distances(distances, window).min(axis=0).mean())


def posture_features(motion: Motion) -> np.ndarray:
    """All joints' local rotations but the root's as six numbers, `[T, (J - 1) * 6]` at 10 fps: wherever it faces."""
    local = local_rotations(at_rate(motion, NEAREST_FPS))[:, 1:]
    return matrix_to_sixd(quaternion_to_matrix(local)).reshape(len(local), -1)


def nearest_distance(sample, sources) -> float:
    """Mean over a sample's windows of the distance to the nearest window of any source: a copy of one has 0.

    Windows of 5 frames at 10 fps, the length of `local_diversity`'s.

    Args:
        sample, sources: `posture_features`, of the sample and of each source.
    """
    long = [source for source in sources if len(source) >= NEAREST_WINDOW]
    nearest = [_window_distances(_distances(source, sample), NEAREST_WINDOW).min(axis=0) for source in long]
    return float(np.min(nearest, axis=0).mean())


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


def diversity_figures(source: Motion, samples) -> dict[str, float]:
    """Coverage and diversities of a source's samples, means over samples.

    Returns:
        coverage (windows of 30, 2.0) and coverage_deg (windows of 30, 20 degrees); local and global diversity in
        rotation-6D, and in degrees; inter_diversity in rotation-6D; aligned_over_random; spread, the source's own
        random-pair distance, to see the rest against.
    """
    figures = {"coverage": [], "coverage_deg": [], "local": [], "global": [], "local_deg": [], "global_deg": []}
    for sample in samples:
        for suffix, threshold in (("", COVERAGE_SIXD), ("_deg", COVERAGE_ANGLE_DEG)):
            distances = frame_distances(source, sample, angular=bool(suffix))
            figures[f"coverage{suffix}"].append(coverage(distances, threshold=threshold))
            figures[f"local{suffix}"].append(local_diversity(distances))
            figures[f"global{suffix}"].append(global_diversity(distances))
    means = {name: float(np.mean(values)) for name, values in figures.items()}
    spread = random_pair_distance(source)
    aligned = float(np.mean([aligned_distance(source, sample) for sample in samples]))
    return means | {
        "inter": inter_diversity(samples),
        "aligned_over_random": aligned / spread if spread > 1e-9 else 0.0,
        "spread": spread,
    }


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
