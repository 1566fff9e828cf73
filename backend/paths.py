"""Where the body goes over the ground: on another path, or nowhere."""

from dataclasses import replace

import numpy as np

from .change import Change
from .encoding import Encoding, heading_to_world, to_source_rows
from .features import smooth_frames
from .rotations import (
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
    yaw_to_quaternion,
)

TRAVEL_S = 0.5  # width of what counts as travel: slower than a stride, so that sway stays
STAY_HEIGHTS = 0.25  # a body that stays within this distance of its mean place doesn't travel


def change_path(encoding: Encoding, root, rotation, path, weight, band_s: float, loops: bool):
    """The root's own way: the change of its velocity and turn rate, integrated, back at every row that stays.

    Args:
        root: `[T30, 4]`, what two decoded clips differ by. rotation: `[T, J, 3]` and path `[T, 3]`, a change so far.
        weight: `[T]`. band_s: width of the low pass. loops: the way is back at the last row.

    Returns:
        rotation and path with it.
    """
    motion, height = encoding.motion, encoding.reference.height_m
    rates = to_source_rows(
        encoding,
        np.concatenate((heading_to_world(encoding, _level(root[:, 1:3])[:, None])[:, 0, :2], root[:, 3:4]), axis=1),
        band_s,
    )
    rates = rates * weight[:, None] / motion.fps
    travelled = np.concatenate((np.zeros((1, 3)), np.cumsum(rates, axis=0)[:-1]))
    steps = np.diff(motion.root_positions, axis=0)
    travelled = _brought_back(travelled, weight, loops)
    turn = yaw_to_quaternion(travelled[:, 2])
    turned = quaternion_rotate(turn[:-1], steps) - steps
    shift = np.concatenate((np.zeros((1, 3)), np.cumsum(turned, axis=0)))
    shift[:, :2] += travelled[:, :2] * height
    shift = _brought_back(shift, weight, loops)
    path = path + shift * [1, 1, 0]
    spun = quaternion_multiply(np.repeat(turn[:, None], rotation.shape[1], axis=1), rotvec_to_quaternion(rotation))
    return quaternion_to_rotvec(spun), path


def _level(vectors) -> np.ndarray:
    """`[T, 2]` as level vectors `[T, 3]`."""
    return np.concatenate((vectors, np.zeros((len(vectors), 1))), axis=1)


def _brought_back(values, weight, loops: bool) -> np.ndarray:
    """Paths `[T, 3]` less what they have at the rows that stay, in between as smoothly as the weight allows."""
    fixed = np.flatnonzero(weight == 0)
    if not len(fixed) and loops:
        fixed = np.array([0, len(weight) - 1])
    if not len(fixed):
        return values
    progress = np.cumsum(weight)
    known, first = np.unique(progress[fixed], return_index=True)
    there = [np.interp(progress, known, column[fixed[first]]) for column in values.T]
    return values - np.stack(there, axis=1)


def stay_in_place(encoding: Encoding, change: Change, loops: bool) -> Change:
    """The change, with the variation's travel over the ground taken out; sway, bounce and turns stay.

    The travel is what is left of the root's path after a low pass; the first row keeps its place. A body that doesn't
    travel is left where it is.
    """
    motion = encoding.motion
    path = (motion.root_positions + change.root)[:, :2]
    if np.linalg.norm(path - path.mean(axis=0), axis=1).max() < STAY_HEIGHTS * encoding.reference.height_m:
        return change
    away = np.zeros((motion.frames, 3))
    away[:, :2] = _travel(path, TRAVEL_S * motion.fps, loops)
    away -= away[:1]
    return replace(change, root=change.root - away, slide=change.slide - away[:, None])


def _travel(path, sigma: float, loops: bool) -> np.ndarray:
    """The slow part of a path `[T, 2]`: about the line from its first to its last row, or on through a loop's seam."""
    frames = len(path)
    line = path[0] + np.linspace(0, 1, frames)[:, None] * (path[-1] - path[0])
    rest = path - line
    # Around the ends the path goes on as it would in the next cycles, or as seen in a point mirror.
    cycles = int(np.ceil(3 * sigma / (frames - 1))) if loops else 1
    before = np.tile(rest[:-1], (cycles, 1)) if loops else -rest[:0:-1]
    after = np.tile(rest[1:], (cycles, 1)) if loops else -rest[-2::-1]
    around = smooth_frames(np.concatenate((before, rest, after)), sigma)
    return line + around[len(before) : len(before) + frames]
