"""Reach: turning limbs so that their ends come to a place.

All rows of a clip are solved at once, by damped least squares whose cost is taken from the clip itself: a joint turns
most readily about the axes about which the source turns it, and a knee stays a hinge that bends to its own side.
"""

from dataclasses import dataclass

import numpy as np

from .features import smooth_frames
from .limbs import Limb, limb_points
from .rests import cover
from .rotations import (
    quaternion_angle,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_normalize,
    quaternion_rotate,
    quaternion_to_matrix,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
)
from .skeleton import ancestor_matrix, parent_rows

STIFFNESS_RAD = np.radians(4.0)  # a joint that the source holds still gives way as if the source turned it by this
LOOSEST_RAD = np.radians(30.0)
LARGEST_STEP_RAD = 0.5  # a single step of the solver turns no joint further
HINGE_PLANE = 0.95  # of the bend lies in one plane: a knee, an elbow
HINGE_BEND_RAD = np.radians(4.0)
HINGE_LOOSE_RAD = np.radians(10.0)  # at least, as LOOSEST_RAD is at most
HINGE_PLAY_RAD = np.radians(1.0)  # STIFFNESS_RAD off the axis of a hinge
STRAIGHTEST_RAD = np.radians(2.0)
BEYOND_RAD = np.radians(30.0)  # a hinge bends this much beyond what the clip shows, but not through straight
SOFT_RAD = np.radians(1.5)  # by which a hinge may leave its range
OFF_AXIS = 0.25  # of what a variation turns a hinge off its axis stays
DAMPING = 1e-3  # of the mean mobility: what a straight limb lets through along itself
TINY = 1e-12  # in place of a division by zero: bones may have no length
STEPS = 3
FASTEST_RAD_S = np.radians(300.0)  # by which what reaches a place turns faster than the source does; more is a pop
POP_S = 0.08
SETTLE_S = 0.05  # smoothing of a first answer
REACH = 0.985  # of the bones' sum: a limb isn't stretched further than this, or than the source has it,
REACH_SOFT = 0.004  # by more than this


@dataclass(frozen=True)
class Turning:
    """How the source turns the joints of a chain, in the axes of their parents.

    Attributes:
        spread: `[N, 3, 3]` covariances of their rotations.
        hinged: `[N]` bool, knees and elbows: the bones on both sides stay in a plane.
        axis: `[N, 3]` the plane's normal. low_rad, high_rad: `[N]` how far it bends about it.
    """

    spread: np.ndarray
    hinged: np.ndarray
    axis: np.ndarray
    low_rad: np.ndarray
    high_rad: np.ndarray


def limb_turning(limb: Limb, parents, rotations, points) -> Turning:
    """How the source turns the joints of a limb's chain.

    Args:
        rotations: `[T, J, 4]` world. points: `[T, N + 1, 3]` world, see `limb_points`.
    """
    count = len(limb.chain)
    spread, axis = np.empty((count, 3, 3)), np.zeros((count, 3))
    hinged, low, high = np.zeros(count, dtype=bool), np.zeros(count), np.zeros(count)
    for index, joint in enumerate(limb.chain):
        upper = rotations[:, parent_rows(parents)[joint]]
        local = quaternion_multiply(quaternion_conjugate(upper), rotations[:, joint])
        middle = local[len(local) // 2]
        for _ in range(3):  # the mean rotation, from one of them
            away = quaternion_to_rotvec(quaternion_multiply(local, quaternion_conjugate(middle)[None]))
            middle = quaternion_multiply(rotvec_to_quaternion(away.mean(axis=0)), middle)
        values, axes = np.linalg.eigh(np.cov(away.T))
        spread[index] = (axes * np.clip(values, STIFFNESS_RAD**2, LOOSEST_RAD**2)) @ axes.T
        if index == 0:
            continue
        bones = np.diff(points[:, index - 1 : index + 2], axis=1)
        bones = quaternion_rotate(quaternion_conjugate(upper)[:, None], bones)
        normal = np.cross(bones[:, 0], bones[:, 1])
        plane, bent = normal.mean(axis=0), np.linalg.norm(normal, axis=-1).mean()
        if np.linalg.norm(plane) < max(HINGE_PLANE * bent, 1e-9):
            continue
        axis[index] = plane / np.linalg.norm(plane)
        bend = bend_angle(bones[:, 0], bones[:, 1], axis[index])
        # Without a bend in the clip nobody knows which way a straight limb gives.
        hinged[index] = np.quantile(bend, 0.9) > HINGE_BEND_RAD
        if hinged[index]:
            about = max(axis[index] @ spread[index] @ axis[index], HINGE_LOOSE_RAD**2)
            spread[index] = about * np.outer(axis[index], axis[index]) + HINGE_PLAY_RAD**2 * np.eye(3)
        low[index] = min(max(bend.min() - BEYOND_RAD, STRAIGHTEST_RAD), bend.min())
        high[index] = bend.max() + BEYOND_RAD
    return Turning(spread, hinged, axis, low, high)


def bend_angle(inner, outer, axis) -> np.ndarray:
    """How far a hinge is bent about its axis, radians, 0 for straight; `[..., 3]` bones before and after it."""
    return np.arctan2((np.cross(inner, outer) * axis).sum(axis=-1), (inner * outer).sum(axis=-1))


def within_range(bend_rad, from_rad, low_rad, high_rad):
    """The bend of a hinge that comes from `from_rad`; towards straight it slows down before the end of its range."""
    room = np.maximum(from_rad - low_rad, 0.0) + SOFT_RAD
    straighter = np.maximum(from_rad - bend_rad, 0.0)
    slowed = np.maximum(bend_rad, from_rad) - room * np.tanh(straighter / room)
    return np.minimum(slowed, np.maximum(high_rad, from_rad))


def within_reach(shifts, bones, source_distance) -> np.ndarray:
    """Shifts `[R, 3]` of a limb's end, shortened where they would stretch it too far.

    Args:
        bones: `[R, N, 3]` from joint to joint, top first. source_distance: `[R]` from top to end in the source.
    """
    lengths = np.linalg.norm(bones, axis=-1).sum(axis=1)
    room = np.maximum(REACH * lengths - source_distance, 0.0) + REACH_SOFT * lengths + TINY
    goal = bones.sum(axis=1) + shifts
    distance = np.linalg.norm(goal, axis=-1)
    further = np.maximum(distance - source_distance, 0.0)
    shorter = np.minimum(distance, source_distance) + room * np.tanh(further / room)
    return shifts + goal * (shorter / np.maximum(distance, 1e-9) - 1)[:, None]


def reach_shifts(bones, shifts, turning: Turning, uppers, free, rows, fps, pace) -> np.ndarray:
    """The turns of a chain's bones that shift its end, `[R, N, 4]` world quaternions, outer ones including inner ones.

    Args:
        bones: `[R, N, 3]` from joint to joint, world, top first. shifts: `[R, 3]`, where the end is to go.
        uppers: `[R, N, 4]` world rotations of the joints' parents. free: `[N]` bool, joints that may turn.
        rows: `[R]` of the clip, which has `fps` a second. pace: `[R]` radians a second, how fast the source turns the
            chain towards or from there.
    """
    turns = np.zeros((*bones.shape[:2], 4))
    turns[..., 0] = 1
    goal = bones.sum(axis=1) + shifts
    axes = quaternion_to_matrix(uppers)
    mobility = axes @ (turning.spread * free[:, None, None]) @ axes.swapaxes(-1, -2)
    start = _bends(bones, turning, uppers)
    joint = _leading_hinge(bones, turning, uppers, free)
    if joint is not None and free[0]:
        turns = _bend_and_swing(bones, goal, turning, uppers, start, joint)
    cuts = np.concatenate(([0], np.flatnonzero(np.diff(rows) > 1) + 1, [len(rows)]))
    turns = _settle(turns, bones, goal, mobility, turning, uppers, free, start)
    if joint is None or not turning.hinged[1:].all():
        # With a ball joint in the middle, a limb that is nearly straight may give way to different sides from row to
        # row: once more, from the answers smoothed over time.
        turns = rotvec_to_quaternion(_smooth_pieces(quaternion_to_rotvec(turns), cuts, SETTLE_S * fps))
        turns = _settle(turns, bones, goal, mobility, turning, uppers, free, start)
    return _without_pops(turns, cuts, fps, pace)


def _smooth_pieces(values, cuts, sigma) -> np.ndarray:
    """`values [R, N, 3]` smoothed over time, each piece between two cuts by itself."""
    return np.concatenate([smooth_frames(values[a:b], sigma, -3) for a, b in zip(cuts[:-1], cuts[1:], strict=True)])


def _without_pops(turns, cuts, fps, pace) -> np.ndarray:
    """Turns `[R, N, 4]` smoothed where they are too fast: a foot off its place for a moment is less of an evil.

    At a take-off the source is fast itself, and smoothing would drag the foot off the floor before it leaves it.
    """
    speeds = _speeds(turns, fps)
    speeds[cuts[1:-1] - 1] = 0.0
    fast = np.zeros(len(turns))
    fast[1:] = speeds > FASTEST_RAD_S + np.maximum(pace[1:], pace[:-1])
    fast[:-1] = np.maximum(fast[:-1], fast[1:])
    if not fast.any():
        return turns
    vectors = quaternion_to_rotvec(turns)
    sigma = POP_S * fps
    amount = cover(fast, sigma)[:, None, None]
    return rotvec_to_quaternion(vectors + amount * (_smooth_pieces(vectors, cuts, sigma) - vectors))


def _leading_hinge(bones, turning, uppers, free) -> int | None:
    """The hinge that takes a limb's length first, the loosest and most bent: a knee, not a straight wrist.

    All that is beyond it counts as one bone, which has to lie on the hinge's own side in all rows: not so in the hind
    leg of a dog, whose hock is bent the other way.
    """
    best, most = None, 0.0
    for joint in np.flatnonzero(turning.hinged & free):
        axis = quaternion_rotate(uppers[:, joint], turning.axis[joint])
        bend = bend_angle(bones[:, :joint].sum(axis=1), bones[:, joint:].sum(axis=1), axis)
        if bones.shape[1] > 2 and bend.min() < HINGE_BEND_RAD:
            continue
        usual = np.clip(np.median(bend), 0.0, 0.5 * np.pi)
        looseness = np.sin(usual) * np.trace(turning.spread[joint]) ** 0.5
        if looseness > most:
            best, most = int(joint), looseness
    return best


def _settle(turns, bones, goal, mobility, turning, uppers, free, start) -> np.ndarray:
    """Damped least squares from `turns` on."""
    current = quaternion_rotate(turns, bones)
    for _ in range(STEPS):
        arms = np.cumsum(current[:, ::-1], axis=1)[:, ::-1]  # from each joint to the end
        error = goal - arms[:, 0]
        levers = _cross_matrix(-arms)  # a small turn w moves the end by lever @ w
        answers = mobility @ levers.swapaxes(-1, -2)
        response = (levers @ answers).sum(axis=1)
        response += (DAMPING / 3 * np.trace(response, axis1=1, axis2=2) + TINY)[:, None, None] * np.eye(3)
        force = np.linalg.solve(response, error[..., None])[:, None]
        step = (answers @ force)[..., 0]
        size = np.linalg.norm(step, axis=-1, keepdims=True)
        turns = _turn_outwards(turns, rotvec_to_quaternion(step * LARGEST_STEP_RAD / (LARGEST_STEP_RAD + size)))
        current = quaternion_rotate(turns, bones)
        for joint in np.flatnonzero(turning.hinged & free):
            axis = quaternion_rotate(quaternion_multiply(turns[:, joint - 1], uppers[:, joint]), turning.axis[joint])
            bend = bend_angle(current[:, joint - 1], current[:, joint], axis)
            more = within_range(bend, start[:, joint], turning.low_rad[joint], turning.high_rad[joint]) - bend
            bent = rotvec_to_quaternion(more[:, None] * axis)[:, None]
            turns[:, joint:] = quaternion_multiply(bent, turns[:, joint:])
            current[:, joint:] = quaternion_rotate(turns[:, joint:], bones[:, joint:])
    return turns


def _bend_and_swing(bones, goal, turning, uppers, start, joint) -> np.ndarray:
    """A first answer: the loosest hinge takes the length, as between two bones, and the top of the limb the direction.

    Small turns alone don't find it for a limb that is nearly straight.
    """
    inner, outer = bones[:, :joint].sum(axis=1), bones[:, joint:].sum(axis=1)
    axis = quaternion_rotate(uppers[:, joint], turning.axis[joint])
    squares = (inner**2 + outer**2).sum(axis=-1)
    product = np.linalg.norm(inner, axis=-1) * np.linalg.norm(outer, axis=-1) + TINY
    angle = np.arccos(np.clip((inner * outer).sum(axis=-1) / product, -1.0, 1.0))
    wanted = np.arccos(np.clip(((goal**2).sum(axis=-1) - squares) / (2 * product), -1.0, 1.0))
    side = bend_angle(inner, outer, axis)
    more = np.where(side < -HINGE_BEND_RAD, angle - wanted, wanted - np.where(side < 0, -angle, angle))
    low, high = turning.low_rad[joint], turning.high_rad[joint]
    more = within_range(start[:, joint] + more, start[:, joint], low, high) - start[:, joint]
    turns = np.zeros((*bones.shape[:2], 4))
    turns[..., 0] = 1
    turns[:, joint:] = rotvec_to_quaternion(more[:, None] * axis)[:, None]
    reached = inner + quaternion_rotate(turns[:, joint], outer)
    along = np.linalg.norm(reached, axis=-1) * np.linalg.norm(goal, axis=-1) + TINY + (reached * goal).sum(axis=-1)
    swing = np.concatenate((along[:, None], np.cross(reached, goal)), axis=1)
    return quaternion_multiply(quaternion_normalize(swing)[:, None], turns)


def hinge_turns(bones, turning: Turning, uppers, locals_, source_bones, source_uppers, source_locals, free):
    """The turns that bring a varied chain back to its hinges, `[R, N, 4]` as in `reach_shifts`.

    What the variation turns off a hinge's axis is mostly taken back, and the bend stays in the source's range.

    Args:
        bones, uppers, free: as in `reach_shifts`. locals_: `[R, N, 4]` rotations in the parents' axes.
        source_bones, source_uppers, source_locals: the same of the source.
    """
    source_bends = _bends(source_bones, turning, source_uppers)
    turns = np.zeros((*bones.shape[:2], 4))
    turns[..., 0] = 1
    for joint in np.flatnonzero(turning.hinged & free):
        axis, source_local, local = turning.axis[joint], source_locals[:, joint], locals_[:, joint]
        away = quaternion_to_rotvec(quaternion_multiply(local, quaternion_conjugate(source_local)))
        off = away - (away @ axis)[:, None] * axis
        kept = quaternion_multiply(rotvec_to_quaternion(away - (1 - OFF_AXIS) * off), source_local)
        upper = quaternion_multiply(turns[:, joint - 1], uppers[:, joint])
        world = quaternion_multiply(upper, kept)
        turn = quaternion_multiply(world, quaternion_conjugate(quaternion_multiply(uppers[:, joint], local)))
        inner = quaternion_rotate(turns[:, joint - 1], bones[:, joint - 1])
        outer = quaternion_rotate(turn, bones[:, joint])
        axis = quaternion_rotate(upper, axis)
        bend = bend_angle(inner, outer, axis)
        more = within_range(bend, source_bends[:, joint], turning.low_rad[joint], turning.high_rad[joint]) - bend
        turns[:, joint:] = quaternion_multiply(rotvec_to_quaternion(more[:, None] * axis), turn)[:, None]
    return turns


def straighten_limb(rotation, limb, turning, source, places, varied, free) -> None:
    """Bring a varied limb back to its hinges; written into `rotation [T, J, 3]`, a change.

    Args:
        source: Motion. places, varied: `[T, J, 3]`, source and variation. free: `[J]` bool, joints that may turn.
    """
    chain, parents = limb.chain, source.skeleton.parents
    if not turning.hinged.any():
        return
    above = parents[chain]
    both = [*above, *chain]
    turned = quaternion_multiply(rotvec_to_quaternion(rotation[:, both]), source.rotations[:, both])
    uppers, source_uppers = turned[:, : len(chain)], source.rotations[:, above]
    turns = hinge_turns(
        np.diff(limb_points(limb, places, varied, rotation), axis=1),
        turning,
        uppers,
        quaternion_multiply(quaternion_conjugate(uppers), turned[:, len(chain) :]),
        np.diff(limb_points(limb, places), axis=1),
        source_uppers,
        quaternion_multiply(quaternion_conjugate(source_uppers), source.rotations[:, chain]),
        free[chain],
    )
    _add_turns(rotation, slice(None), limb, turns, parents, free)


def turn_limb(rotation, limb, turning, shift, rows, source, places, varied, free) -> None:
    """Turn a limb so that its end moves by `shift [T, 3]` in some rows; written into `rotation [T, J, 3]`, a change.

    Args:
        source, places, varied, free: as in `straighten_limb`.
    """
    if not len(limb.chain) or not len(rows):
        return
    chain, above = limb.chain, source.skeleton.parents[limb.chain]
    bones = np.diff(limb_points(limb, places[rows], varied[rows], rotation[rows]), axis=1)
    distance = np.linalg.norm(places[rows, limb.unit] - places[rows, chain[0]], axis=-1)
    uppers = quaternion_multiply(rotvec_to_quaternion(rotation[rows][:, above]), source.rotations[rows][:, above])
    shift = within_reach(shift[rows], bones, distance)
    steps = np.pad(_speeds(source.rotations[:, chain], source.fps), 1)
    pace = np.maximum(steps[1:], steps[:-1])[rows]
    turns = reach_shifts(bones, shift, turning, uppers, free[chain], rows, source.fps, pace)
    _add_turns(rotation, rows, limb, turns, source.skeleton.parents, free)


def _speeds(rotations, fps) -> np.ndarray:
    """Radians a second of the fastest of some bones from row to row, `[T - 1]`, of rotations `[T, N, 4]`."""
    return quaternion_angle(rotations[1:], rotations[:-1]).max(axis=1) * fps


def _add_turns(rotation, rows, limb, turns, parents, free) -> None:
    """Turns `[R, N, 4]` of a limb's chain for it and all that hangs on it, but for a foot, which stays as it is."""
    ancestors = ancestor_matrix(parents) > 0
    kept = ancestors[:, limb.unit] if free[limb.unit] else np.zeros(len(parents), dtype=bool)
    for joint in np.flatnonzero(ancestors[:, limb.chain[0]] & ~kept):
        turn = turns[:, np.flatnonzero(ancestors[joint, limb.chain])[-1]]
        before = rotvec_to_quaternion(rotation[rows, joint])
        rotation[rows, joint] = quaternion_to_rotvec(quaternion_multiply(turn, before))


def _bends(bones, turning, uppers) -> np.ndarray:
    """How far each joint of a chain is bent about its hinge, `[R, N]`; 0 for the top."""
    bends = np.zeros(bones.shape[:2])
    axes = quaternion_rotate(uppers[:, 1:], turning.axis[1:])
    bends[:, 1:] = bend_angle(bones[:, :-1], bones[:, 1:], axes)
    return bends


def _turn_outwards(turns, steps) -> np.ndarray:
    """`turns [R, N, 4]` with every joint's step `[R, N, 4]` added to it and to all joints further out."""
    steps = steps.copy()
    for joint in range(1, steps.shape[1]):
        steps[:, joint] = quaternion_multiply(steps[:, joint - 1], steps[:, joint])
    return quaternion_multiply(steps, turns)


def _cross_matrix(v) -> np.ndarray:
    """`[..., 3]` to the matrices that form the cross product with it, `[..., 3, 3]`."""
    out = np.zeros((*v.shape, 3))
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    out[..., 1, 0], out[..., 2, 0], out[..., 2, 1] = v[..., 2], -v[..., 1], v[..., 0]
    return out
