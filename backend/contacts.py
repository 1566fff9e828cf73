"""Contacts: which joints rest on something and when, and bringing the same joints to rest in a variation.

Speeds and distances are measured in skeleton heights, times in seconds, so that a horse, a spider and a person at any
scale and frame rate are judged alike. No names are read.
"""

from dataclasses import replace

import numpy as np

from .change import Change, changed_positions
from .features import smooth_frames
from .limbs import find_limbs, limb_points
from .motion import Motion, joint_positions
from .reach import REACH, limb_turning, straighten_limb, turn_limb
from .rests import cover, ease_from, find_rests, flatten_feet, needed_shift, runs
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

LOW_HEIGHTS = 0.06  # ends that come this near to where others rest are kept out of the floor
ROOT_SIGMA_S = 0.12  # smoothing of the root's help
ROOT_SHARE = 0.6  # of what the limbs need, level; more of it would put the body off its balance
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
    smooth = smooth_frames(positions, SMOOTH_S * fps, -3)
    speeds = np.linalg.norm(np.gradient(smooth, axis=0), axis=-1) * fps
    ends, reaches = _limb_ends(parents, positions)
    heights, end_speeds = smooth[:, ends, 2], speeds[:, ends]
    ancestors = ancestor_matrix(parents) > 0
    np.fill_diagonal(ancestors, False)
    bearing = np.stack([speeds[:, ancestors[end]].max(axis=1) for end in ends], axis=1)
    above = [np.flatnonzero(ancestors[end, ends]) for end in ends]  # a toe's ankle

    shortest = max(3, int(round(REST_S * fps)))
    pace = np.maximum(1.0, RUNNING / STAY * speeds[:, :1])
    end_speeds = end_speeds / pace
    bearing = bearing / pace
    slow = _rests(end_speeds < STAY, end_speeds, bearing, above, shortest)
    if not slow.any():
        return contacts
    resting = np.full(len(ends), np.inf)  # how low each joint rests
    for end in np.flatnonzero(slow.any(axis=0)):
        resting[end] = np.quantile(heights[slow[:, end], end], LOWEST_SHARE)
    soles = resting - resting.min()
    bears = soles <= reaches + SOLE_HEIGHTS
    soles = np.where(bears, soles, 0)
    near = heights < resting + NEAR_HEIGHTS
    lowest = (heights - soles).min(axis=1, keepdims=True)
    near |= heights - soles < lowest + LOWEST_HEIGHTS
    near &= bears
    found = _rests((end_speeds < STAY) & near, end_speeds, bearing, above, shortest)
    below = smooth[:, :1, 2] - heights
    for end in np.flatnonzero(found.any(axis=0)):
        contacts[:, ends[end]] = found[:, end] & (np.median(below[found[:, end], end]) > ROOT_HEIGHTS)
    return contacts


def _limb_ends(parents, positions) -> tuple[np.ndarray, np.ndarray]:
    """The joints near the ends of limbs, and how near, skeleton heights, `[E]`; `positions [T, J, 3]` in heights."""
    steps = np.linalg.norm(positions - positions[:, parent_rows(parents)], axis=-1)
    reaches = leaf_distances(parents, np.median(steps, axis=0))
    ends = np.flatnonzero(reaches <= END_HEIGHTS)
    ends = ends[ends > 0]
    return ends, reaches[ends]


def _rests(flags, speeds, bearing, above, shortest) -> np.ndarray:
    """The runs of `flags [T, E]` that are long enough, slow somewhere, and slower than what they bear (ankles) or below
    a joint that rests (toes).

    Args:
        speeds, bearing: `[T, E]` of the ends and of their fastest ancestors. above: for each end those it hangs on.
    """
    kept = np.zeros_like(flags)
    for column, start, stop in zip(*runs(flags), strict=True):
        mine = speeds[start:stop, column]
        mean = mine.mean()
        if stop - start < shortest or mine.min() > SLOW:
            continue
        hangs = kept[start:stop, above[column]].mean(axis=0)
        if mean < STILL or mean < SLOWER * bearing[start:stop, column].mean() or (hangs > 0.5).any():
            kept[start:stop, column] = True
    return kept


def keep_contacts(
    source: Motion, change: Change, contacts, free, weight=None, move_root=(True, True, True), tick=lambda: None
) -> Change:
    """The change, altered so that what rests in the source rests in the variation over the same rows.

    Over each rest a limb gets one place: the source's path there, shifted by the mean of what the change does to it,
    level, and turned about Z. The body's root follows smoothly where that helps; then the limbs are turned
    until they reach their places. Sliding joints are put there. Feet that rest flat take the source's tilt.

    Args:
        contacts: `[T, J]` bool, of the source. free: `[J]` bool, joints that may turn (the root: may move).
        weight: `[T]`, how much of the change each row has; rows with 0 are pinned and stay as they are. None: no pins.
        move_root: whether the root may be shifted along x, y and z; give (False, False, True) to keep its path.
        tick: called after each limb; what it raises ends the work.
    """
    contacts, free = np.asarray(contacts, dtype=bool), np.asarray(free, dtype=bool)
    if not free.any() or not (contacts.any() or len(change.slide_joints)):
        return change
    parents, fps, height_m = source.skeleton.parents, source.fps, skeleton_height(source.skeleton)
    places = np.asarray(joint_positions(source), dtype=np.float64)
    pinned = np.zeros(source.frames, dtype=bool) if weight is None else np.asarray(weight) <= 0
    original, rotation = change, change.rotation.astype(np.float64)
    ends = _bearing_ends(parents, places / height_m, contacts)
    limbs = find_limbs(source, places / height_m, ends, change.slide_joints)
    limbs = [limb for limb in limbs if limb.slides or free[limb.chain].any()]
    turnings = [limb_turning(limb, parents, source.rotations, limb_points(limb, places)) for limb in limbs]

    def vary():
        return changed_positions(parents, places, replace(change, rotation=rotation))

    varied = vary()
    for limb, turning in zip(limbs, turnings, strict=True):
        straighten_limb(rotation, limb, turning, source, places, varied, free)
        tick()
    varied = vary()
    rests = [find_rests(limb, contacts, places, varied, change, rotation, pinned, fps, height_m) for limb in limbs]
    pairs = list(zip(limbs, rests, strict=True))
    for limb, rest in pairs:
        flatten_feet(rotation, limb, rest, contacts, parents, free, fps)
    varied = vary()
    shifts = [needed_shift(limb, rest, contacts, places, varied, pinned, fps) for limb, rest in pairs]
    if free[0] and limbs:
        points = [limb_points(limb, places, varied, rotation) for limb in limbs]
        goals = [varied[:, limb.unit] + shift for limb, shift in zip(limbs, shifts, strict=True)]
        help_root = _root_shift(limbs, rests, goals, points, fps) * move_root
        if move_root[2]:
            help_root[:, 2] -= _root_drop(limbs, rests, goals, points, help_root, places, fps)
        if pinned.any():
            help_root *= ease_from(pinned, PIN_S * fps)[:, None]
        change = replace(change, root=change.root + help_root)
        varied = vary()
        shifts = [shift if limb.slides else shift - help_root for limb, shift in zip(limbs, shifts, strict=True)]

    slide = change.slide.astype(np.float64)
    for limb, turning, shift in zip(limbs, turnings, shifts, strict=True):
        if limb.slides:
            slide[:, np.flatnonzero(change.slide_joints == limb.unit)[0]] += shift
        points = limb_points(limb, places, varied, rotation)
        gap = varied[:, limb.unit] + shift - points[:, -1]
        if not turning.hinged.any() and not contacts[:, limb.ends].any():
            gap = _swing_only(gap, points[:, -1] - points[:, 0])  # a tail is lifted, not folded
        rows = np.flatnonzero(np.linalg.norm(gap, axis=-1) > SMALLEST_SHIFT * height_m)
        turn_limb(rotation, limb, turning, gap, rows, source, places, varied, free)
        tick()
    root = change.root.copy()
    for array, before in ((rotation, original.rotation), (slide, original.slide), (root, original.root)):
        array[pinned] = before[pinned]
    return Change(rotation.astype(np.float32), root.astype(np.float32), change.slide_joints, slide.astype(np.float32))


def _swing_only(shift, arm) -> np.ndarray:
    """A shift `[T, 3]` of the end of an arm `[T, 3]`, bent so that the arm keeps its length."""
    goal = arm + shift
    length, reached = np.linalg.norm(arm, axis=-1, keepdims=True), np.linalg.norm(goal, axis=-1, keepdims=True)
    return goal * length / np.maximum(reached, 1e-9) - arm


def _bearing_ends(parents, positions, contacts) -> np.ndarray:
    """The joints that rest at some time, or come near to where others rest; `positions [T, J, 3]` in heights."""
    resting = np.flatnonzero(contacts.any(axis=0))
    if not len(resting):
        return resting
    heights = positions[..., 2]
    ends, _ = _limb_ends(parents, positions)
    low = ends[heights[:, ends].min(axis=0) < heights[contacts].min() + LOW_HEIGHTS]
    return np.union1d(resting, low)


def _root_shift(limbs, rests, goals, points, fps) -> np.ndarray:
    """How the root follows what the resting limbs need on average, smoothly, `[T, 3]` metres.

    Args:
        goals: for each limb where its end is to be, `[T, 3]`. points: for each limb `limb_points`, `[T, N + 1, 3]`.
    """
    needed, amounts = np.zeros_like(goals[0]), np.zeros((len(goals[0]), 1))
    for limb, rest, goal, joints in zip(limbs, rests, goals, points, strict=True):
        if len(limb.chain):
            needed += rest.amount[:, None] * (goal - joints[:, -1])
            amounts += rest.amount[:, None]
    shift = smooth_frames(needed, ROOT_SIGMA_S * fps) / (smooth_frames(amounts, ROOT_SIGMA_S * fps) + 0.1)
    return shift * (ROOT_SHARE, ROOT_SHARE, 1.0)


def _root_drop(limbs, rests, goals, points, help_root, places, fps) -> np.ndarray:
    """How far the root has to come down, smoothly, for resting limbs to reach the floor, `[T]` metres."""
    drop = np.zeros(len(places))
    for limb, rest, goal, joints in zip(limbs, rests, goals, points, strict=True):
        if len(limb.chain):
            length = np.linalg.norm(np.diff(joints, axis=1), axis=-1).sum(axis=1)
            span = np.linalg.norm(places[:, limb.unit] - places[:, limb.chain[0]], axis=-1)
            span = np.maximum(REACH * length, span)
            step = goal - joints[:, 0] - help_root
            level = (step[:, :2] ** 2).sum(axis=1)
            down = -step[:, 2] - np.sqrt(np.maximum(span**2 - level, (0.5 * span) ** 2))
            drop = np.maximum(drop, down * rest.amount)
    return cover(drop, ROOT_SIGMA_S * fps)
