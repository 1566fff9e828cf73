"""Rests: the times at which a limb bears on something, and the place where it does so in a variation.

Every rest has one place: the source's path there, shifted level by the mean of what the change does to it, and turned
about Z as the foot is. Between two places a limb is eased from one to the other.
"""

from dataclasses import dataclass

import numpy as np

from .features import smooth_frames
from .limbs import Limb
from .rotations import quaternion_rotate, rotvec_to_quaternion, yaw_to_quaternion
from .skeleton import ancestor_matrix

EASE_S = 0.4  # a limb comes to its place and leaves it over this time; in a shorter gap, from place to place
STRIDE_HEIGHTS = 0.05  # a foot is put at most this far from where the source has it under the body
JOIN_S = 0.15  # rests nearer than this in time are one: there is no time to go elsewhere
TURN_HEIGHTS = 0.08  # a foot that moves further than this while it rests isn't turned about one point
HANDOVER_S = 0.03  # width over which heel passes its rest to toe
COVER_S = 0.06  # smoothing of what lifts a limb off the floor


@dataclass(frozen=True)
class Rests:
    """The times at which one limb rests, each with one place.

    Attributes:
        before, after: `[T]` the rest that a row is in or comes after, and that it is in or comes before.
        leaving, coming: `[T]` in 0..1, how much of the row belongs to those; together at most 1, and 0 for none.
        shift: `[K, 3]` metres, how far each place lies from the source's.
        turn_rad: `[K]` about Z, how the foot is turned there. pivot: `[K, 3]` about which point.
    """

    before: np.ndarray
    after: np.ndarray
    leaving: np.ndarray
    coming: np.ndarray
    shift: np.ndarray
    turn_rad: np.ndarray
    pivot: np.ndarray

    @property
    def amount(self) -> np.ndarray:
        """How much of each row belongs to a place, `[T]`; 1 in a rest."""
        return self.leaving + self.coming


def find_rests(limb: Limb, contacts, places, varied, change, rotation, pinned, fps, height_m) -> Rests:
    """When a limb rests, and where in the variation.

    Args:
        contacts: `[T, J]` bool. places, varied: `[T, J, 3]` metres, source and variation. change: Change. rotation: its
            rotations as they stand. pinned: `[T]` bool; where pinned rows share a place or ease into it, it is the
            source's own.
    """
    mine = contacts[:, limb.ends]
    resting = mine.any(axis=1)
    starts, stops, before, after, leaving, coming = around_runs(resting, fps)
    count = len(starts)
    if count == 0:
        return Rests(before, after, leaving, coming, np.zeros((1, 3)), np.zeros(1), np.zeros((1, 3)))
    label = before[resting]
    share = mine[resting] / mine[resting].sum(axis=1, keepdims=True)
    path = np.einsum("tc,tcd->td", share, places[resting][:, limb.ends])
    moved = np.einsum("tc,tcd->td", share, (varied - places)[resting][:, limb.ends])
    rows = np.bincount(label, minlength=count)[:, None]
    pivot = np.stack([np.bincount(label, path[:, axis], count) for axis in range(3)], axis=1) / rows
    shift = np.stack([np.bincount(label, moved[:, axis], count) for axis in range(3)], axis=1) / rows
    body = np.stack([np.bincount(label, change.root[resting, axis], count) for axis in range(3)], axis=1) / rows
    # A foot goes with the body, and only so far from where it stood under it that legs neither split nor cross.
    stride = np.linalg.norm((shift - body)[:, :2], axis=1)[:, None] / (STRIDE_HEIGHTS * height_m) + 1e-9
    shift = body + (shift - body) * np.tanh(stride) / stride
    shift[:, 2] = 0.0  # as high above the floor as the source

    travel = np.zeros(count)
    np.maximum.at(travel, label, np.linalg.norm(path - pivot[label], axis=-1))
    flat = mine[resting].sum(axis=1) > 1
    turns = rotvec_to_quaternion(rotation[resting, limb.unit])
    yaw = 2 * np.arctan2(turns[:, 3], turns[:, 0])
    turn = np.bincount(label, yaw * flat, count) / np.maximum(np.bincount(label, flat, count), 1)
    turn[travel > TURN_HEIGHTS * height_m] = 0.0

    reach = int(np.ceil(EASE_S * fps))
    passed = np.concatenate(([0], np.cumsum(pinned)))
    held = passed[np.minimum(stops + reach, len(pinned))] > passed[np.maximum(starts - reach, 0)]
    shift[held], turn[held] = 0.0, 0.0
    return Rests(before, after, leaving, coming, shift, turn, pivot)


def flatten_feet(rotation, limb: Limb, rests: Rests, contacts, parents, free, fps) -> None:
    """Where both ends of a bone rest, it lies as in the source, turned with its place; written into `rotation`.

    Args:
        rotation: `[T, J, 3]`, a change. free: `[J]` bool, joints that may turn.
    """
    if not free[limb.unit] or len(limb.ends) < 2:
        return
    ancestors = ancestor_matrix(parents) > 0
    yaw = rests.leaving * rests.turn_rad[rests.before] + rests.coming * rests.turn_rad[rests.after]
    yaw = yaw / np.maximum(rests.amount, 1e-9)
    level = np.stack((0 * yaw, 0 * yaw, yaw), axis=1)
    flatness = {}
    for joint in np.flatnonzero(ancestors[:, limb.unit]):
        below = [end for end in limb.ends if end != joint and ancestors[end, joint]]
        flat = contacts[:, joint] & contacts[:, below].any(axis=1)
        leaving, coming = around_runs(flat, fps)[-2:]
        flatness[joint] = np.maximum(leaving + coming, flatness.get(parents[joint], 0.0))  # toes go with the foot
        if free[joint]:
            amount = flatness[joint][:, None]
            rotation[:, joint] = (1 - amount) * rotation[:, joint] + amount * level


def needed_shift(limb: Limb, rests: Rests, contacts, places, varied, pinned, fps) -> np.ndarray:
    """How far the limb's unit is from where it should be, `[T, 3]` metres.

    In a rest that is its place; around it, eased; elsewhere only what keeps the limb out of the floor.
    """
    depth = np.stack([_depth(contacts[:, end]) for end in limb.ends], axis=1) / (HANDOVER_S * fps)
    share = np.exp(depth - depth.max(axis=1, keepdims=True))  # the joint deepest in its rest leads
    share = (share / share.sum(axis=1, keepdims=True))[..., None]
    path = (share * places[:, limb.ends]).sum(axis=1)
    away = path - (share * varied[:, limb.ends]).sum(axis=1)
    needed = np.zeros_like(path)
    for place, amount in ((rests.before, rests.leaving), (rests.after, rests.coming)):
        arm = path - rests.pivot[place]
        turned = quaternion_rotate(yaw_to_quaternion(rests.turn_rad[place]), arm)
        needed += amount[:, None] * (away + rests.shift[place] + turned - arm)

    low = np.zeros(len(path))
    for end in limb.ends:
        height = places[:, end, 2]
        rows = np.flatnonzero(contacts[:, end])
        floor = np.interp(np.arange(len(height)), rows, height[rows]) if len(rows) else height.min()
        low = np.maximum(low, np.minimum(height, floor) - varied[:, end, 2] - needed[:, 2])
    lift = cover(low, COVER_S * fps) * (1 - rests.amount)
    needed[:, 2] += lift * ease_from(pinned, 3 * COVER_S * fps) if pinned.any() else lift
    return needed


def runs(flags) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The runs of True in each column of `flags [T, C]`: columns, first rows, rows after the last."""
    padded = np.zeros((flags.shape[1], len(flags) + 2), dtype=np.int8)
    padded[:, 1:-1] = flags.T
    edges = np.diff(padded, axis=1)
    columns, starts = np.nonzero(edges == 1)
    return columns, starts, np.nonzero(edges == -1)[1]


def around_runs(flags, fps):
    """The runs of `flags [T]`, near ones joined, and how much of each row belongs to the run before and after it.

    Returns:
        starts, stops `[K]`; before, after, leaving, coming as `Rests` has them.
    """
    _, starts, stops = runs(flags[:, None])
    gaps = np.flatnonzero(starts[1:] - stops[:-1] <= JOIN_S * fps)
    starts, stops = np.delete(starts, gaps + 1), np.delete(stops, gaps)
    rows, last = np.arange(len(flags)), len(starts) - 1
    before = np.searchsorted(starts, rows, side="right") - 1
    after = np.searchsorted(stops, rows, side="right")
    after[after > last] = -1
    if last < 0:
        return starts, stops, before, after, np.zeros(len(rows)), np.zeros(len(rows))
    inside = (before == after) & (before >= 0)
    since = np.where(before >= 0, rows - stops[before] + 1.0, np.inf)
    until = np.where(after >= 0, starts[after] - rows, np.inf)
    length = np.minimum(EASE_S * fps, since + until)
    leaving = np.where(inside, 1.0, 1 - ease(since / length))
    coming = np.where(inside, 0.0, 1 - ease(until / length))
    return starts, stops, before, after, leaving, coming


def ease(t):
    """From 0 at 0 to 1 at 1 without a corner in speed or acceleration."""
    t = np.clip(t, 0.0, 1.0)
    return t * t * t * (t * (6 * t - 15) + 10)


def ease_from(flags, rows: float) -> np.ndarray:
    """0 where `flags [T]`, 1 from `rows` rows away on, `[T]`."""
    return ease(_depth(~flags) / rows)


def cover(values, sigma: float) -> np.ndarray:
    """A smooth curve over the peaks of `values [T]`."""
    reach = max(1, int(round(2.5 * sigma)))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, reach, mode="edge"), 2 * reach + 1)
    return smooth_frames(windows.max(axis=1), sigma, -1)


def _depth(flags) -> np.ndarray:
    """Rows from each row to the nearest row of the other kind, positive where `flags [T]`; the ends are open."""
    rows, far = np.arange(len(flags)), len(flags) + 1

    def distance(marks):
        last = np.maximum.accumulate(np.where(marks, rows, -far))
        following = np.minimum.accumulate(np.where(marks, rows, 2 * far)[::-1])[::-1]
        return np.minimum(rows - last, following - rows)

    return (distance(~flags) - distance(flags)).clip(-far, far).astype(np.float64)
