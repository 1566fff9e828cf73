"""Baked curves: where they have a key on every frame, which keys are the user's own, and fewer keys in their place."""

from dataclasses import dataclass

import numpy as np

from ..curves import BEZIER, TIME_TOLERANCE
from .actions import curve_collection
from .writing import ALIGNED, FREE, KEY_PROPERTIES

MIN_BAKED = 6  # keys in an even row that nobody sets by hand
BAKED_S = 0.05  # seconds between such keys at most, if that is more than a frame
EVEN = 0.02  # of a step: how evenly they stand
KEYFRAME, EXTREME, BREAKDOWN, HOLD = 0, 1, 2, 4  # Blender's numbers for types of keys
MARKED = (EXTREME, BREAKDOWN, HOLD)  # somebody chose these


@dataclass(frozen=True)
class OwnKeys:
    """The user's own keys of one curve: `[n]` frames and types of keys."""

    times: np.ndarray
    types: np.ndarray


@dataclass(frozen=True)
class Piece:
    """New keys for a stretch of one curve, `[K]` each.

    Attributes:
        times, values, types: of the keys. left, right: slopes before and behind them, in values a frame.
        before, behind: how many frames handles reach from them.
        aligned: the two handles lie on one line.
    """

    times: np.ndarray
    values: np.ndarray
    left: np.ndarray
    right: np.ndarray
    before: np.ndarray
    behind: np.ndarray
    aligned: np.ndarray
    types: np.ndarray


def own_keys(action, slot, fps: float, all_of_them: bool = False) -> dict[tuple[str, int], OwnKeys]:
    """The user's own keys of each curve, by data path and index.

    Args:
        fps: frames a second. all_of_them: keys of baked stretches count as own too.
    """
    found = {}
    for curve in curve_collection(action, slot):
        count = len(curve.keyframe_points)
        if not count:
            continue
        points, types = np.empty(2 * count, np.float32), np.empty(count, np.int32)
        curve.keyframe_points.foreach_get("co", points)
        curve.keyframe_points.foreach_get("type", types)
        times, own = points[0::2].astype(np.float64), np.ones(count, dtype=bool)
        for first, last in [] if all_of_them else baked_runs(times, fps):
            own[first : last + 1] = np.isin(types[first : last + 1], MARKED)
        found[curve.data_path, curve.array_index] = OwnKeys(times[own], types[own])
    return found


def baked_runs(times, fps: float) -> list[tuple[int, int]]:
    """Where keys stand in an even row, frame for frame: the first and the last row of each such run.

    Args:
        times: `[n]` frames, rising. fps: frames a second.
    """
    if len(times) < MIN_BAKED:
        return []
    gaps, longest = np.diff(times), max(1.0, BAKED_S * fps)
    even = np.abs(np.diff(gaps)) <= EVEN * longest
    even &= np.maximum(gaps[1:], gaps[:-1]) <= longest * (1 + EVEN)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], even.astype(np.int8), [0])))).reshape(-1, 2)
    return [(int(first), int(last) + 1) for first, last in edges if last + 2 - first >= MIN_BAKED]


def replace_stretches(curve, pieces: list[Piece]) -> int:
    """Puts each piece's keys in place of all keys between its first and its last; the others stay as they are.

    Returns:
        how many keys were there.
    """
    points = curve.keyframe_points
    old = {name: np.empty((len(points), size), dtype=kind) for name, size, kind in KEY_PROPERTIES}
    for name, array in old.items():
        points.foreach_get(name, array.reshape(-1))
    times, stays = old["co"][:, 0], np.ones(len(points), dtype=bool)
    arrays = {name: [] for name in old}
    for piece in pieces:
        first, stop = np.searchsorted(times, (piece.times[0] - TIME_TOLERANCE, piece.times[-1] + TIME_TOLERANCE))
        stays[first:stop] = False
        for name, array in _new_keys(piece, old, int(first), int(stop)).items():
            arrays[name].append(array)
    order = np.argsort(np.concatenate([times[stays], *(array[:, 0] for array in arrays["co"])]), kind="stable")
    points.clear()
    points.add(len(order))
    for name in old:
        points.foreach_set(name, np.concatenate([old[name][stays], *arrays[name]])[order].ravel())
    curve.update()
    return int((~stays).sum())


def _new_keys(piece, old, first, stop) -> dict[str, np.ndarray]:
    """All properties of a piece's keys; towards keys outside, the curve keeps what the old keys made of it."""
    count = len(piece.times)
    new = {name: np.zeros((count, size), dtype=kind) for name, size, kind in KEY_PROPERTIES}
    before, behind = piece.before, piece.behind
    new["co"][:] = np.stack((piece.times, piece.values), axis=1)
    new["handle_left"][:] = np.stack((piece.times - before, piece.values - before * piece.left), axis=1)
    new["handle_right"][:] = np.stack((piece.times + behind, piece.values + behind * piece.right), axis=1)
    for side in ("handle_left_type", "handle_right_type"):
        new[side][:, 0] = np.where(piece.aligned, ALIGNED, FREE)
    new["interpolation"][:] = BEZIER
    new["type"][:, 0] = piece.types
    borders = [(0, first, "handle_left")] * (first > 0) + [(-1, stop - 1, "handle_right")] * (stop < len(old["co"]))
    for row, at, side in borders if first < stop else ():
        new[side][row] = old[side][at] + (new["co"][row] - old["co"][at])
        for each in ("handle_left_type", "handle_right_type"):
            new[each][row] = FREE  # others would move along with their partner
    if first < stop < len(old["co"]):
        for name in ("interpolation", "easing", "back", "amplitude", "period"):
            new[name][-1] = old[name][stop - 1]
    return new
