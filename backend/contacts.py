"""Contacts: which joints rest on something and when, and bringing the same joints to rest in a variation.

Speeds and distances are measured in skeleton heights, times in seconds, so that a horse, a spider and a person at any
scale and frame rate are judged alike. No names are read.
"""

from dataclasses import dataclass, replace

import numpy as np

from .change import Change, changed_positions
from .limbs import REACH, Limb, find_limbs, hinge_turns, limb_turning, reach_shifts, within_reach
from .motion import Motion, joint_positions
from .rotations import quaternion_conjugate, quaternion_multiply, quaternion_to_rotvec, rotvec_to_quaternion
from .skeleton import ancestor_matrix, leaf_distances, parent_rows, skeleton_height

END_HEIGHTS = 0.16  # a joint nearer than this to the end of its limb can rest on something
SLOW = 0.07  # heights a second: a joint this slow rests ...
STAY = 0.14  # ... until it is faster than this
RUNNING = 0.15  # under a fast body both may be this share of the body's speed: at 30 fps a runner's foot is never still
STILL = 0.012  # heights a second: resting whatever the body does; above it, the body has to move more than the joint
SLOWER = 0.7  # a resting joint's speed over its fastest ancestor's, at most
NEAR_HEIGHTS = 0.04  # above the joint's lowest resting place
LOWEST_HEIGHTS = 0.03  # above the lowest end of the body at that moment: stairs, slopes
SOLE_HEIGHTS = 0.04  # a joint rests at most this higher above the floor than it is away from the end of its limb
ROOT_HEIGHTS = 0.02  # what bears the body is below its root at least by this
LOWEST_SHARE = 0.05  # of its rests, lower ones are noise
REST_S = 0.1  # shortest rest
SMOOTH_S = 0.02  # width of the smoothing before speeds are taken, against the noise of capture

EASE_S = 0.3  # a limb comes to its place and leaves it over this time, at most half of the way to its next place
JOIN_S = 0.15  # rests nearer than this in time are one: there is no time to go elsewhere
TURN_HEIGHTS = 0.08  # a foot that moves further than this while it rests isn't turned about one point
HANDOVER_S = 0.03  # width over which heel passes its rest to toe
ROOT_SIGMA_S = 0.12  # smoothing of the root's help
PIN_S = 0.3  # the root's help ends this long before pinned rows
SMALLEST_SHIFT = 1e-5  # heights: no solving below it


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
    resting = np.full(len(ends), np.inf)  # how low each joint rests
    for end in np.flatnonzero(slow.any(axis=0)):
        resting[end] = np.quantile(heights[slow[:, end], end], LOWEST_SHARE)
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


@dataclass(frozen=True)
class _Rests:
    """The times at which one limb rests, each with one place.

    Attributes:
        before, after: `[T]` the rest that a row is in or comes after, and that it is in or comes before; -1 for none.
        leaving, coming: `[T]` in 0..1, how much of the row belongs to those places; together at most 1.
        shift: `[K, 3]` metres, how far each place lies from the source's.
        turn: `[K]` radians about Z, how the foot is turned there. pivot: `[K, 3]` about which point.
    """

    before: np.ndarray
    after: np.ndarray
    leaving: np.ndarray
    coming: np.ndarray
    shift: np.ndarray
    turn: np.ndarray
    pivot: np.ndarray


def keep_contacts(source: Motion, change: Change, contacts, free, weight=None, move_root=(True, True, True)) -> Change:
    """The change, altered so that what rests in the source rests in the variation over the same rows.

    Over each rest a limb gets one place: the source's path there, shifted by the mean of what the change does to it,
    level, and turned about Z. The body's root follows smoothly where that helps; then the limbs are turned
    until they reach their places. Sliding joints are put there. Feet that rest flat take the source's tilt.

    Args:
        contacts: `[T, J]` bool, of the source. free: `[J]` bool, joints that may turn (the root: may move).
        weight: `[T]`, how much of the change each row has; rows with 0 are pinned and stay as they are. None: no pins.
        move_root: whether the root may be shifted along x, y and z; give (False, False, True) to keep its path.
    """
    contacts, free = np.asarray(contacts, dtype=bool), np.asarray(free, dtype=bool)
    if not contacts.any() or not free.any():
        return change
    parents, height_m = source.skeleton.parents, skeleton_height(source.skeleton)
    original = change
    places = np.asarray(joint_positions(source), dtype=np.float64)
    steps = np.linalg.norm(places - places[:, parent_rows(parents)], axis=-1).mean(axis=0) / height_m
    pinned = np.zeros(source.frames, dtype=bool) if weight is None else np.asarray(weight) <= 0
    limbs = find_limbs(parents, steps, np.flatnonzero(contacts.any(axis=0)), change.slide_joints)
    limbs = [limb for limb in limbs if limb.slides or free[limb.chain].any()]

    rotation = change.rotation.astype(np.float64)
    varied = changed_positions(parents, places, change)
    turnings = [limb_turning(limb, parents, source.rotations, places) for limb in limbs]
    for limb, turning in zip(limbs, turnings, strict=True):
        if len(limb.chain):
            _straighten(rotation, limb, turning, source, places, varied, free)
    change = replace(change, rotation=rotation)
    varied = changed_positions(parents, places, change)
    rests = [_find_rests(limb, contacts, places, varied, change, pinned, source.fps, height_m) for limb in limbs]
    for limb, rest in zip(limbs, rests, strict=True):
        _flatten(rotation, limb, rest, contacts, parents, free, source.fps)
    change = replace(change, rotation=rotation)

    varied = changed_positions(parents, places, change)
    shifts = [_needed_shift(limb, rest, contacts, places, varied, source.fps) for limb, rest in zip(limbs, rests, strict=True)]
    if free[0]:
        help_root = _root_shift(rests, shifts, source.fps) * np.asarray(move_root, dtype=np.float64)
        if move_root[2]:
            help_root[:, 2] -= _root_drop(limbs, rests, shifts, help_root, places, varied, source.fps)
        if pinned.any():
            help_root *= _ease(_depth(~pinned) / (PIN_S * source.fps))[:, None]
        change = replace(change, root=change.root + help_root)
        varied = changed_positions(parents, places, change)
        shifts = [shift if limb.slides else shift - help_root for limb, shift in zip(limbs, shifts, strict=True)]

    slide = change.slide.astype(np.float64)
    for limb, turning, shift in zip(limbs, turnings, shifts, strict=True):
        if limb.slides:
            slide[:, np.flatnonzero(change.slide_joints == limb.unit)[0]] += shift
        elif len(limb.chain):
            _turn_limb(rotation, limb, turning, shift, source, places, varied, free, height_m)
    rotation[pinned], slide[pinned], root = original.rotation[pinned], original.slide[pinned], change.root.copy()
    root[pinned] = original.root[pinned]
    return Change(rotation.astype(np.float32), root.astype(np.float32), change.slide_joints, slide.astype(np.float32))


def _around(flags, fps):
    """The runs of `flags [T]`, and how much of each row belongs to the run before and after it.

    Returns:
        starts, stops `[K]`; before, after, leaving, coming as `_Rests` has them.
    """
    _, starts, stops = runs(flags[:, None])
    gaps = np.flatnonzero(starts[1:] - stops[:-1] <= JOIN_S * fps)
    starts, stops = np.delete(starts, gaps + 1), np.delete(stops, gaps)
    rows, last = np.arange(len(flags)), len(starts) - 1
    before = np.searchsorted(starts, rows, side="right") - 1
    after = np.searchsorted(stops, rows, side="right")
    after[after > last] = -1
    inside = (before == after) & (before >= 0)
    if last < 0:
        return starts, stops, before, after, np.zeros(len(rows)), np.zeros(len(rows))
    since = np.where(before >= 0, rows - stops[before] + 1.0, np.inf)
    until = np.where(after >= 0, starts[after] - rows, np.inf)
    length = np.minimum(EASE_S * fps, 0.5 * (since + until))
    leaving = np.where(inside, 1.0, 1 - _ease(since / length))
    coming = np.where(inside, 0.0, 1 - _ease(until / length))
    return starts, stops, before, after, leaving, coming


def _ease(t):
    """From 0 at 0 to 1 at 1 without a corner in speed or acceleration."""
    t = np.clip(t, 0.0, 1.0)
    return t * t * t * (t * (6 * t - 15) + 10)


def _find_rests(limb: Limb, contacts, places, varied, change, pinned, fps, height_m) -> _Rests:
    """When a limb rests, and where in the variation."""
    mine = contacts[:, limb.ends]
    starts, stops, before, after, leaving, coming = _around(mine.any(axis=1), fps)
    count = len(starts)
    resting = mine.any(axis=1)
    label = before[resting]
    share = mine[resting] / mine[resting].sum(axis=1, keepdims=True)
    path = np.einsum("tc,tcd->td", share, places[resting][:, limb.ends])
    moved = np.einsum("tc,tcd->td", share, (varied - places)[resting][:, limb.ends])
    rows = np.bincount(label, minlength=count)[:, None]
    pivot = np.stack([np.bincount(label, path[:, axis], count) for axis in range(3)], axis=1) / rows
    shift = np.stack([np.bincount(label, moved[:, axis], count) for axis in range(3)], axis=1) / rows
    shift[:, 2] = 0.0  # as high above the floor as the source

    travel = np.zeros(count)
    np.maximum.at(travel, label, np.linalg.norm(path - pivot[label], axis=-1))
    flat = mine[resting].sum(axis=1) > 1
    turns = rotvec_to_quaternion(change.rotation[resting, limb.unit].astype(np.float64))
    yaw = 2 * np.arctan2(turns[:, 3], turns[:, 0])
    turn = np.bincount(label, yaw * flat, count) / np.maximum(np.bincount(label, flat, count), 1)
    turn[travel > TURN_HEIGHTS * height_m] = 0.0

    # A place that pinned rows share, or ease into, is the source's own.
    reach = int(np.ceil(EASE_S * fps))
    passed = np.concatenate(([0], np.cumsum(pinned)))
    held = passed[np.minimum(stops + reach, len(pinned))] > passed[np.maximum(starts - reach, 0)]
    shift[held], turn[held] = 0.0, 0.0
    return _Rests(before, after, leaving, coming, shift, turn, pivot)


def _flatten(rotation, limb, rest, contacts, parents, free, fps) -> None:
    """Where two joints of a bone rest, it lies as in the source, turned with its place; written into `rotation`."""
    if not free[limb.unit] or len(limb.ends) < 2:
        return
    ancestors = ancestor_matrix(parents) > 0
    total = np.maximum(rest.leaving + rest.coming, 1e-9)
    yaw = (rest.leaving * rest.turn[rest.before] + rest.coming * rest.turn[rest.after]) / total
    flatness = {}
    for joint in np.flatnonzero(ancestors[:, limb.unit]):
        below = [end for end in limb.ends if end != joint and ancestors[end, joint]]
        flat = contacts[:, joint] & contacts[:, below].any(axis=1)
        _, _, _, _, leaving, coming = _around(flat, fps)
        flatness[joint] = np.maximum(leaving + coming, flatness.get(parents[joint], 0.0))
        if free[joint]:
            amount = flatness[joint][:, None]
            level = np.stack((0 * yaw, 0 * yaw, yaw), axis=1)
            rotation[:, joint] = (1 - amount) * rotation[:, joint] + amount * level


def _needed_shift(limb, rest, contacts, places, varied, fps) -> np.ndarray:
    """How far the limb's unit is from its place, eased in and out, `[T, 3]` metres."""
    depth = np.stack([_depth(contacts[:, end]) for end in limb.ends], axis=1) / (HANDOVER_S * fps)
    share = np.exp(depth - depth.max(axis=1, keepdims=True))  # the joint deepest in its rest leads
    share = (share / share.sum(axis=1, keepdims=True))[..., None]
    path = (share * places[:, limb.ends]).sum(axis=1)
    away = path - (share * varied[:, limb.ends]).sum(axis=1)
    needed = np.zeros_like(path)
    for place, amount in ((rest.before, rest.leaving), (rest.after, rest.coming)):
        arm = path - rest.pivot[place]
        sine, cosine = np.sin(rest.turn[place]), np.cos(rest.turn[place])
        turned = np.stack((cosine * arm[:, 0] - sine * arm[:, 1], sine * arm[:, 0] + cosine * arm[:, 1], arm[:, 2]), axis=1)
        needed += amount[:, None] * (away + rest.shift[place] + turned - arm)
    return needed


def _depth(flags) -> np.ndarray:
    """Rows from each row to the nearest row of the other kind, positive where `flags [T]`; the ends are open."""
    rows, far = np.arange(len(flags)), len(flags) + 1

    def distance(marks):
        last = np.maximum.accumulate(np.where(marks, rows, -far))
        following = np.minimum.accumulate(np.where(marks, rows, 2 * far)[::-1])[::-1]
        return np.minimum(rows - last, following - rows)

    return (distance(~flags) - distance(flags)).clip(-far, far).astype(np.float64)


def _root_shift(rests, shifts, fps) -> np.ndarray:
    """How the root follows what the resting limbs need on average, smoothly, `[T, 3]` metres."""
    resting = sum(rest.leaving + rest.coming for rest in rests)[:, None]
    sigma = ROOT_SIGMA_S * fps
    return smooth_rows(sum(shifts), sigma) / (smooth_rows(resting, sigma) + 0.1)


def _root_drop(limbs, rests, shifts, help_root, places, varied, fps) -> np.ndarray:
    """How far the root has to come down, smoothly, for resting limbs to reach the floor, `[T]` metres."""
    drop = np.zeros(len(places))
    for limb, rest, shift in zip(limbs, rests, shifts, strict=True):
        if len(limb.chain):
            nodes = [*limb.chain, limb.unit]
            length = np.linalg.norm(np.diff(varied[:, nodes], axis=1), axis=-1).sum(axis=1)
            span = np.linalg.norm(places[:, limb.unit] - places[:, limb.chain[0]], axis=-1)
            span = np.maximum(REACH * length, span)
            goal = varied[:, limb.unit] + shift - varied[:, limb.chain[0]] - help_root
            level = (goal[:, :2] ** 2).sum(axis=1)
            down = -goal[:, 2] - np.sqrt(np.maximum(span**2 - level, (0.5 * span) ** 2))
            drop = np.maximum(drop, down * (rest.leaving + rest.coming))
    reach = max(1, int(round(ROOT_SIGMA_S * fps)))
    padded = np.pad(drop, reach, mode="edge")
    highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
    return smooth_rows(highest, ROOT_SIGMA_S * fps)


def _straighten(rotation, limb, turning, source, places, varied, free) -> None:
    """Bring a varied limb back to its hinges; written into `rotation [T, J, 3]`."""
    chain, parents = limb.chain, source.skeleton.parents
    nodes, above = [*chain, limb.unit], parents[chain]
    turned = quaternion_multiply(rotvec_to_quaternion(rotation[:, [*above, *chain]]), source.rotations[:, [*above, *chain]])
    uppers, source_uppers = turned[:, : len(chain)], source.rotations[:, above]
    turns = hinge_turns(
        np.diff(varied[:, nodes], axis=1),
        turning,
        uppers,
        quaternion_multiply(quaternion_conjugate(uppers), turned[:, len(chain) :]),
        np.diff(places[:, nodes], axis=1),
        source_uppers,
        quaternion_multiply(quaternion_conjugate(source_uppers), source.rotations[:, chain]),
        free[chain],
    )
    _add_turns(rotation, slice(None), limb, turns, parents, free)


def _turn_limb(rotation, limb, turning, shift, source, places, varied, free, height_m) -> None:
    """Turn a limb so that its unit moves by `shift [T, 3]`; written into `rotation [T, J, 3]`."""
    rows = np.flatnonzero(np.linalg.norm(shift, axis=-1) > SMALLEST_SHIFT * height_m)
    if not len(rows):
        return
    parents, chain = source.skeleton.parents, limb.chain
    bones = np.diff(varied[rows][:, [*chain, limb.unit]], axis=1)
    distance = np.linalg.norm(places[rows, limb.unit] - places[rows, chain[0]], axis=-1)
    above = parents[chain]
    uppers = quaternion_multiply(rotvec_to_quaternion(rotation[rows][:, above]), source.rotations[rows][:, above])
    turns = reach_shifts(bones, within_reach(shift[rows], bones, distance), turning, uppers, free[chain])
    _add_turns(rotation, rows, limb, turns, parents, free)


def _add_turns(rotation, rows, limb, turns, parents, free) -> None:
    """Turns `[R, N, 4]` of a limb's chain for it and all that hangs on it, but for a foot, which stays as it is."""
    ancestors = ancestor_matrix(parents) > 0
    kept = ancestors[:, limb.unit] if free[limb.unit] else np.zeros(len(parents), dtype=bool)
    for joint in np.flatnonzero(ancestors[:, limb.chain[0]] & ~kept):
        turn = turns[:, np.flatnonzero(ancestors[joint, limb.chain])[-1]]
        before = rotvec_to_quaternion(rotation[rows, joint])
        rotation[rows, joint] = quaternion_to_rotvec(quaternion_multiply(turn, before))
