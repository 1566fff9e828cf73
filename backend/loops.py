"""Loops: the end of a clip meets its start, in pose and in speed, against the body's place and facing there.

The *seam* is the step from a clip's last row to its first, which show the same moment of a cycle. A body that travels
or turns comes to the seam elsewhere than it started; what is compared and closed is seen from where it faces there.
"""

from dataclasses import dataclass, replace

import numpy as np

from .change import Change, apply_change
from .contacts import find_contacts, keep_contacts
from .encoding import Encoding, change_with_slides
from .masks import carried_turns
from .motion import Motion, joint_positions
from .rotations import (
    quaternion_angle,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
    yaw_to_quaternion,
)

CLOSE_S = 0.7  # over which a gap is made up for on each side of the seam
QUICK_S = 0.25  # over which a difference in speed is
CLOSE_SHARE = 0.5  # of the clip, at most
AROUND_S = 2.0  # of the neighbouring cycles that decide on contacts at the seam
SPEED_S = 1 / 30  # speeds at the seam are taken over this time, so that noise at higher rates doesn't count


@dataclass(frozen=True)
class Seam:
    """How a clip's last row is brought to its first, and how far from it something may change.

    Attributes:
        turn: `[4]` quaternion about Z, from facing at the end to facing at the start.
        before, after: rows before the last and after the first one over which gaps are made up for; 0 for none.
        quick: rows over which a difference in speed is.
    """

    turn: np.ndarray
    before: int
    after: int
    quick: int


def find_seam(encoding: Encoding, weight, tempo: float = 1.0) -> Seam:
    """The seam of a source.

    Args:
        weight: `[T]`, rows with 0 stay as they are; nothing is made up for beyond the first of them.
        tempo: factor on CLOSE_S.
    """
    frames, fps = encoding.motion.frames, encoding.motion.fps
    most = int(min(CLOSE_S * tempo * fps, CLOSE_SHARE * (frames - 1)))
    fixed = np.flatnonzero(np.asarray(weight) == 0)
    after, before = (min(most, fixed[0]), min(most, frames - 1 - fixed[-1])) if len(fixed) else (most, most)
    turn = yaw_to_quaternion(encoding.heading[0] - encoding.heading[-1])
    return Seam(turn, int(before), int(after), round(QUICK_S * fps))


def close_change(change: Change, seam: Seam) -> Change:
    """The change, with its end equal to its start and as fast, so that the variation loops as well as the source."""
    return replace(
        change,
        rotation=close_vectors(change.rotation, seam).astype(change.rotation.dtype),
        root=close_vectors(change.root, seam).astype(change.root.dtype),
        slide=close_vectors(change.slide, seam).astype(change.slide.dtype),
    )


def close_vectors(values, seam: Seam, smooth: bool = False) -> np.ndarray:
    """World vectors `[T, ..., 3]` whose value and speed at the end are those at the start.

    Args:
        smooth: they have no corners, so that the speed can be made up for slowly and the acceleration closes as well.
    """
    values = np.array(values, dtype=np.float64)
    if seam.before + seam.after == 0 or len(values) < 4:
        return values
    end = quaternion_rotate(seam.turn, values[-4:])
    gap = end[3] - values[0]
    speed = (3 * end[3] - 4 * end[2] + end[1]) / 2 - (4 * values[1] - 3 * values[0] - values[2]) / 2
    rise = (2 * end[3] - 5 * end[2] + 4 * end[1] - end[0]) - (2 * values[0] - 5 * values[1] + 4 * values[2] - values[3])
    return _with_seam_closed(values, gap, speed, rise if smooth else None, seam)


def _made_up(gap, speed, rise, seam: Seam):
    """What makes up for a gap in value, speed and acceleration (end less start): `[after + 1, ...]` to add at the
    start, `[before + 1, ...]` at the end, as seen from the start.

    Without an acceleration (`rise` None) the speed is made up for quickly: a mistaken one doesn't go far then.
    """
    share, parts = _start_share(seam), []
    for rows, side in ((seam.after, 1), (seam.before, -1)):
        value, slope, bend = _fading(rows, rows if rise is not None else min(rows, seam.quick), gap.ndim)
        parts.append(value * gap + side * slope * speed + (0 if rise is None else bend * rise))
    return share * parts[0], -(1 - share) * parts[1][::-1]


def _start_share(seam: Seam) -> float:
    """How much of a gap is made up for at the start; the longer side bears more."""
    return seam.after**2 / (seam.after**2 + seam.before**2)


def _fading(rows: int, quick: int, ndim: int):
    """Three curves `[rows + 1, 1, ...]`: with value, slope or bend 1 a row at row 0, otherwise 0 there, and gone
    smoothly at the last row, slope and bend at row `quick` (quintic Hermite)."""
    row = np.arange(rows + 1).reshape(-1, *([1] * ndim))
    u = row / max(rows, 1)
    value = 1 - u**3 * (10 - 15 * u + 6 * u * u)
    u = np.minimum(row / max(quick, 1), 1)
    slope = quick * (u - u**3 * (6 - 8 * u + 3 * u * u))
    bend = quick**2 * 0.5 * (u * u - u**3 * (3 - 3 * u + u * u))
    return value, slope, bend


def closing_change(encoding: Encoding, seam: Seam, free) -> Change:
    """The change that closes the source's own gap: its last pose comes to its first, in pose and speed.

    Joints that may not turn are carried by those that may. Over the ground only the speed is closed, for the way that
    a clip goes may end where it likes.

    Args:
        seam: how far from the ends it reaches, and by that, which of them gives way. free: `[J]` bool.
    """
    motion, turn = encoding.motion, seam.turn
    frames, joints = motion.rotations.shape[:2]
    rows = max(round(SPEED_S * motion.fps), 1)
    start, after = motion.rotations[0], motion.rotations[rows]
    end, before = (quaternion_multiply(turn, motion.rotations[row]) for row in (-1, -1 - rows))
    gap, share = _step(start, end), _start_share(seam)
    speed = quaternion_rotate(rotvec_to_quaternion(-(1 - share) * gap), _step(before, end))
    speed = (speed - quaternion_rotate(rotvec_to_quaternion(share * gap), _step(start, after))) / rows
    turns = np.tile([1.0, 0, 0, 0], (frames, joints, 1))
    nothing = np.zeros_like(gap)
    slopes, values = _made_up(nothing, speed, None, seam), _made_up(gap, nothing, None, seam)
    opening, closing = (
        quaternion_multiply(rotvec_to_quaternion(slope), rotvec_to_quaternion(value))
        for slope, value in zip(slopes, values, strict=True)
    )
    back = quaternion_conjugate(turn)
    turns[: len(opening)] = opening
    turns[frames - len(closing) :] = quaternion_multiply(quaternion_multiply(back, closing), turn)
    rotation = carried_turns(motion.skeleton.parents, quaternion_to_rotvec(turns), free)

    root, path = np.zeros((frames, 3)), motion.root_positions
    if free[0]:
        speed = (quaternion_rotate(turn, path[-1] - path[-1 - rows]) - (path[rows] - path[0])) / rows
        level = np.array([0, 0, path[-1, 2] - path[0, 2]])
        root = _with_seam_closed(root, level, speed, None, seam)
    return _with_slides_closed(encoding, rotation, root, seam, free)


def _with_seam_closed(values, gap, speed, rise, seam: Seam) -> np.ndarray:
    """World vectors `[T, ..., 3]` with what makes up for gaps `[..., 3]` in value, speed and acceleration."""
    values = np.array(values, dtype=np.float64)
    start, stop = _made_up(gap, speed, rise, seam)
    values[: len(start)] += start
    values[len(values) - len(stop) :] += quaternion_rotate(quaternion_conjugate(seam.turn), stop)
    return values


def _with_slides_closed(encoding: Encoding, rotation, root, seam: Seam, free) -> Change:
    """The change, in which the places of sliding joints against the body close as well."""
    change = change_with_slides(encoding, rotation, root, np.zeros((*rotation.shape[:2], 3)))
    if not len(change.slide_joints):
        return change
    motion, rows = encoding.motion, max(round(SPEED_S * encoding.motion.fps), 1)
    body = (motion.root_positions + change.root)[:, None]
    places = joint_positions(motion)[:, change.slide_joints] + change.slide - body
    end, before = (quaternion_rotate(seam.turn, places[row]) for row in (-1, -1 - rows))
    speed = (end - before - (places[rows] - places[0])) / rows
    movable = np.asarray(free)[change.slide_joints][:, None]
    slide = _with_seam_closed(change.slide, (end - places[0]) * movable, speed * movable, None, seam)
    return replace(change, slide=slide.astype(change.slide.dtype))


def keep_contacts_around(motion: Motion, change: Change, free, weight, move_root, height_m, seam: Seam, tick) -> Change:
    """`contacts.keep_contacts` on a clip that goes on over its seam: what rests there rests in one place.

    Args:
        free, weight, move_root, tick: see there; the change is one that closes. height_m: of the skeleton.
    """
    frames = motion.frames
    count = min(frames - 1, round(AROUND_S * motion.fps))
    rows = np.concatenate((np.arange(frames - 1 - count, frames - 1), np.arange(frames), np.arange(1, count + 1)))
    lap = np.repeat([1, 0, -1], [count, frames, count])  # how often the seam is gone through to come to the clip
    turn = np.tile([1.0, 0, 0, 0], (len(rows), 1))
    turn[lap == 1], turn[lap == -1] = seam.turn, quaternion_conjugate(seam.turn)
    ends = motion.root_positions[[-1, 0]] * [1, 1, 0]
    away, to = ends[np.select([lap == 1, lap == -1], [0, 1], 0)], ends[np.select([lap == 1, lap == -1], [1, 0], 0)]

    def seen(vectors):
        return quaternion_rotate(turn.reshape(-1, *([1] * (vectors.ndim - 2)), 4), vectors)

    def placed(points):
        shape = (-1, *([1] * (points.ndim - 2)), 3)
        return seen(points[rows] - away.reshape(shape)) + to.reshape(shape)

    around = replace(
        motion,
        root_positions=placed(motion.root_positions),
        rotations=quaternion_multiply(turn[:, None], motion.rotations[rows]),
        positions=None if motion.positions is None else placed(motion.positions),
    )
    wide = replace(
        change, rotation=seen(change.rotation[rows]), root=seen(change.root[rows]), slide=seen(change.slide[rows])
    )
    contacts = find_contacts(joint_positions(around), motion.fps, height_m, motion.skeleton.parents)
    kept = keep_contacts(around, wide, contacts, free, np.asarray(weight)[rows], move_root, tick)
    inside = slice(count, count + frames)
    kept = replace(kept, rotation=kept.rotation[inside], root=kept.root[inside], slide=kept.slide[inside])
    return close_change(kept, seam)


def loop_gaps_deg(encoding: Encoding, change: Change) -> tuple[float, float]:
    """How far the last pose is from the first, in degrees: in the source, and in a variation of it."""
    turn = find_seam(encoding, np.ones(encoding.motion.frames)).turn
    motion = encoding.motion
    return loop_gap(motion, turn)[0], loop_gap(apply_change(motion, change), turn)[0]


def loop_gap(motion: Motion, turn) -> tuple[float, float]:
    """How far the last pose is from the first, and its speed: the largest turn of a joint in degrees, and by how much
    the joints' turns in a thirtieth of a second differ, in degrees.

    Args:
        turn: see `Seam`.
    """
    rotations, step = motion.rotations, min(max(round(SPEED_S * motion.fps), 1), motion.frames - 1)
    end = quaternion_multiply(np.broadcast_to(turn, rotations[-1].shape), rotations[-1])
    before = quaternion_multiply(np.broadcast_to(turn, rotations[-1].shape), rotations[-1 - step])
    speeds = [_step(before, end), _step(rotations[0], rotations[step])]
    return (
        float(np.degrees(quaternion_angle(end, rotations[0])).max()),
        float(np.degrees(np.linalg.norm(speeds[0] - speeds[1], axis=-1)).max()),
    )


def _step(first, second) -> np.ndarray:
    """The turns from one pose to another, rotation vectors `[J, 3]` about world axes."""
    return quaternion_to_rotvec(quaternion_multiply(second, quaternion_conjugate(first)))
