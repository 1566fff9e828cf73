"""Jerk: of the whole clip, and near the borders of the chunks that a model decodes."""

import numpy as np

from backend.motion import Motion, position_jerk

from .body import report_positions

SEAM_FRAMES = 3  # on either side of a chunk border
TRANSITION_FRAMES = 30  # FlowMDM's transitions on BABEL, here centred on a chunk border


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
    """FlowMDM's area under jerk of one clip, see `pooled_area_under_jerk`; 0 without borders."""
    pooled = pooled_area_under_jerk([(jerk_curve(source), jerk_curve(other))], chunk)
    return 0.0 if pooled is None else pooled[1]


def pooled_area_under_jerk(pairs, chunk: int) -> tuple[float, float] | None:
    """FlowMDM's area under jerk: the jerk curve averaged over transitions, its distance from the true level summed.

    A transition is the 30 frames around a chunk border that lie in the clip; the true level is the sources' mean jerk.

    Args:
        pairs: of jerk curves, a source's and the other's, of all clips together.

    Returns:
        the sources' own area and the others'; None where no clip has a border.
    """
    pairs = [pair for pair in pairs if len(pair[0])]
    distances = [_border_distance(len(source), chunk) for source, _ in pairs]
    inside = [np.abs(distance) <= TRANSITION_FRAMES / 2 for distance in distances]
    if not any(rows.any() for rows in inside):
        return None
    level = np.concatenate([source for source, _ in pairs]).mean()
    slots = np.concatenate([distance[rows] for distance, rows in zip(distances, inside, strict=True)])
    slots = np.floor(slots + TRANSITION_FRAMES / 2).astype(np.int64)
    count = np.bincount(slots)
    areas = []
    for which in (0, 1):
        jerk = np.concatenate([pair[which][rows] for pair, rows in zip(pairs, inside, strict=True)])
        curve = np.bincount(slots, jerk)[count > 0] / count[count > 0]
        areas.append(float(np.abs(curve - level).sum()))
    return areas[0], areas[1]


def _border_distance(rows: int, chunk: int) -> np.ndarray:
    """From the middle of each row of a jerk curve to the nearest chunk border, frames `[rows]`; inf without borders.

    The border between frames `chunk - 1` and `chunk` lies half a frame before `chunk`; a row's middle at t + 1.5.
    """
    borders = np.arange(chunk, rows + 3, chunk) - 0.5
    if not len(borders):
        return np.full(rows, np.inf)
    away = (np.arange(rows) + 1.5)[:, None] - borders
    return away[np.arange(rows), np.abs(away).argmin(axis=1)]
