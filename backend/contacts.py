"""Contacts: which joints rest on something and when, and bringing the same joints to rest in a variation.

Speeds and distances are measured in skeleton heights, times in seconds, so that a horse, a spider and a person at any
scale and frame rate are judged alike. No names are read.
"""

import numpy as np

from .skeleton import ancestor_matrix, leaf_distances, parent_rows

END_HEIGHTS = 0.16  # a joint nearer than this to the end of its limb can rest on something
SLOW = 0.07  # heights a second: a joint this slow rests ...
STAY = 0.14  # ... until it is faster than this
RUNNING = 0.15  # under a fast body both may be this share of the body's speed: at 30 fps a runner's foot is never still
STILL = 0.012  # heights a second: resting whatever the body does; above it, the body has to move more than the joint
SLOWER = 0.7  # a resting joint's speed over its fastest ancestor's, at most
NEAR_HEIGHTS = 0.04  # above the joint's lowest resting place
LOWEST_HEIGHTS = 0.03  # above the lowest end of the body at that moment: stairs, slopes
SOLE_HEIGHTS = 0.02  # a joint rests at most this higher above the floor than it is away from the end of its limb
ROOT_HEIGHTS = 0.02  # what bears the body is below its root at least by this
REST_S = 0.1  # shortest rest
SMOOTH_S = 0.02  # width of the smoothing before speeds are taken, against the noise of capture


def find_contacts(positions, fps, height_m, parents) -> np.ndarray:
    """When each joint rests on the floor, `[T, J]` bool.

    A joint rests where it is near the end of a limb, slow (with hysteresis), slower than what it bears, and near its
    lowest resting place or the lowest part of the body. Clips on the spot whose feet slide under the body, and bodies
    that swim or fly, have no contacts.

    Args:
        positions: `[T, J, 3]` world, metres, Z up; the floor may be at any height.
        fps: rows a second. height_m: skeleton height. parents: `[J]`, row 0 the root.
    """
    positions = np.asarray(positions, dtype=np.float64) / height_m
    frames, joints = positions.shape[:2]
    contacts = np.zeros((frames, joints), dtype=bool)
    if frames < 3 or joints < 2:
        return contacts
    smooth = smooth_rows(positions, SMOOTH_S * fps)
    speeds = np.linalg.norm(np.gradient(smooth, axis=0), axis=-1) * fps
    steps = np.linalg.norm(positions - positions[:, parent_rows(parents)], axis=-1)
    reaches = leaf_distances(parents, np.median(steps, axis=0))
    ends = np.flatnonzero(reaches <= END_HEIGHTS)
    ends = ends[ends > 0]
    heights, end_speeds = smooth[:, ends, 2], speeds[:, ends]
    bearing = _fastest_ancestor(parents, ends, speeds)

    shortest = max(3, int(round(REST_S * fps)))
    pace = np.maximum(1.0, RUNNING / STAY * speeds[:, :1])
    end_speeds = end_speeds / pace
    bearing = bearing / pace
    slow = _rests(end_speeds < STAY, end_speeds, bearing, shortest)
    if not slow.any():
        return contacts
    resting = np.where(slow, heights, np.inf).min(axis=0)  # the lowest place where each joint rests, inf for none
    soles = resting - resting.min()
    bears = soles <= reaches[ends] + SOLE_HEIGHTS
    soles = np.where(bears, soles, 0)
    near = heights < resting + NEAR_HEIGHTS
    lowest = (heights - soles).min(axis=1, keepdims=True)
    near |= heights - soles < lowest + LOWEST_HEIGHTS
    near &= bears
    found = _rests((end_speeds < STAY) & near, end_speeds, bearing, shortest)
    above = smooth[:, :1, 2] - heights
    for end in np.flatnonzero(found.any(axis=0)):
        contacts[:, ends[end]] = found[:, end] & (np.median(above[found[:, end], end]) > ROOT_HEIGHTS)
    return contacts


def smooth_rows(values, sigma: float) -> np.ndarray:
    """`values [T, ...]` smoothed over time by a Gaussian of `sigma` rows; the ends are held."""
    reach = int(np.ceil(3 * sigma))
    if sigma < 0.2 or len(values) < 2:
        return np.asarray(values)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    flat = np.asarray(values).reshape(len(values), -1)
    padded = np.concatenate((np.repeat(flat[:1], reach, axis=0), flat, np.repeat(flat[-1:], reach, axis=0)))
    out = np.zeros_like(flat)
    for tap, factor in enumerate(kernel):
        out += factor * padded[tap : tap + len(flat)]
    return out.reshape(np.shape(values))


def runs(flags) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The runs of True in each column of `flags [T, C]`: columns, first rows, rows after the last."""
    padded = np.zeros((flags.shape[1], len(flags) + 2), dtype=np.int8)
    padded[:, 1:-1] = flags.T
    edges = np.diff(padded, axis=1)
    columns, starts = np.nonzero(edges == 1)
    return columns, starts, np.nonzero(edges == -1)[1]


def _fastest_ancestor(parents, ends, speeds) -> np.ndarray:
    """The speed of each end's fastest ancestor, `[T, E]`."""
    ancestors = ancestor_matrix(parents) > 0
    np.fill_diagonal(ancestors, False)
    return np.stack([speeds[:, ancestors[end]].max(axis=1) for end in ends], axis=1)


def _rests(flags, speeds, bearing, shortest) -> np.ndarray:
    """The runs of `flags [T, E]` that are long enough, slow somewhere, and slower than what they bear."""
    kept = np.zeros_like(flags)
    for column, start, stop in zip(*runs(flags), strict=True):
        mine = speeds[start:stop, column]
        mean = mine.mean()
        if stop - start < shortest or mine.min() > SLOW:
            continue
        if mean < STILL or mean < SLOWER * bearing[start:stop, column].mean():
            kept[start:stop, column] = True
    return kept
