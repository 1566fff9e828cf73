"""Between the values of two animations, and beyond them: part of the way from one to the other. No bpy.

Rotations are turned about the axis that leads from the first to the second, each bone in its own; everything else goes
along a straight line. Arrays have their components first and time last, `[3 or 4, K, T]`, as in `channels`.
"""

import numpy as np

from .backend.rotations import quaternion_to_euler, quaternion_to_rotvec, rotvec_to_quaternion
from .channels import basis_quaternions, conjugate, multiply, turn_basis

LINEAR_MODE = ""  # in place of a rotation mode: locations, scales, custom properties
SLOPE_STEP = 1e-3  # frames over which a slope becomes a difference
FULL_TURN = 2 * np.pi
LARGE_STEP = np.pi / 2  # of an Euler angle from one key to the next: worth looking for a smaller one


def blend(mode: str, start, end, amount: float, change=None) -> np.ndarray:
    """Values `amount` of the way from `start` to `end`: 0 and 1 are exactly these two, 2 is twice as far.

    Args:
        mode: a rotation mode of Blender's, or LINEAR_MODE.
        change: `rotation_change(mode, start, end)` where it is known.
    """
    if amount in (0.0, 1.0):
        return np.array(end if amount else start)
    if mode == LINEAR_MODE:
        return start + amount * (end - start)
    change = rotation_change(mode, start, end) if change is None else change
    turn = np.moveaxis(rotvec_to_quaternion(np.moveaxis(amount * change, 0, -1)), -1, 0)
    if mode == "AXIS_ANGLE":
        return turn_basis(mode, start, turn)
    if mode == "QUATERNION":
        return multiply(start, turn) * _side(start, end, change)
    turned = multiply(basis_quaternions(mode, start), turn)
    wanted = start + amount * (end - start)  # of the many ways to say a rotation, the one that comes from both
    return np.moveaxis(
        quaternion_to_euler(np.moveaxis(turned, 0, -1), mode, near_rad=np.moveaxis(wanted, 0, -1)), -1, 0
    )


def rotation_change(mode: str, start, end, near=None) -> np.ndarray:
    """The turn from start to end in the bone's own axes, as rotation vectors `[3, K, T]`, continuous over time.

    Args:
        near: the change a moment before; it says which way round a change of nearly half a turn goes.
    """
    turn = multiply(conjugate(basis_quaternions(mode, start)), basis_quaternions(mode, end))
    turn = turn * np.where(turn[:1] < 0, -1.0, 1.0)
    vector = np.moveaxis(quaternion_to_rotvec(np.moveaxis(turn, 0, -1)), -1, 0)
    other = _other_way(vector)
    if near is not None:
        return np.where(_distance(vector, near) <= _distance(other, near), vector, other)
    jumps = _distance(vector[..., 1:], vector[..., :-1]) > _distance(other[..., 1:], vector[..., :-1])
    if not jumps.any():
        return vector
    turned_over = np.concatenate((np.zeros_like(jumps[..., :1]), np.cumsum(jumps, axis=-1) % 2 == 1), axis=-1)
    return np.where(turned_over, other, vector)


def continuous_euler(angles, order: str) -> np.ndarray:
    """The same rotations, `[3, K, T]`, with steps from one time to the next that are as small as can be.

    Past a gimbal lock the angles nearest to those expected aren't always those nearest to the ones before.
    """
    if angles.shape[-1] < 2 or np.abs(np.diff(angles, axis=-1)).max() < LARGE_STEP:
        return angles
    middle = "XYZ".index(order[1])
    other = angles + np.pi
    other[middle] = np.pi - angles[middle]
    steps, across = _wrapped(np.diff(angles, axis=-1)), _wrapped(other[..., 1:] - angles[..., :-1])
    jumps = (steps * steps).sum(axis=0) > (across * across).sum(axis=0)
    turned_over = np.concatenate((np.zeros_like(jumps[..., :1]), np.cumsum(jumps, axis=-1) % 2 == 1), axis=-1)
    return np.unwrap(np.where(turned_over, other, angles), axis=-1)


def _wrapped(angles) -> np.ndarray:
    """Without full turns."""
    return angles - FULL_TURN * np.round(angles / FULL_TURN)


def blend_slopes(mode: str, start, end, start_slopes, end_slopes, amount: float) -> np.ndarray:
    """How fast the blended values change, a frame; what a handle beside a key needs.

    Args:
        start_slopes, end_slopes: how fast the two change there, of the same shape.
    """
    if mode == LINEAR_MODE:
        return start_slopes + amount * (end_slopes - start_slopes)
    now = rotation_change(mode, start, end)
    later = (start + SLOPE_STEP * start_slopes, end + SLOPE_STEP * end_slopes)
    then = rotation_change(mode, *later, now)
    moved = blend(mode, *later, amount, then) - blend(mode, start, end, amount, now)
    return moved / SLOPE_STEP


def _side(start, end, change) -> np.ndarray:
    """1 where the start's quaternions are on the end's side once the change is made, else -1: `q` and `-q` are one."""
    full = multiply(start, np.moveaxis(rotvec_to_quaternion(np.moveaxis(change, 0, -1)), -1, 0))
    return np.where((full * end).sum(axis=0) < 0, -1.0, 1.0)


def _other_way(vector) -> np.ndarray:
    """The same rotations the other way round."""
    angle = np.sqrt((vector * vector).sum(axis=0))
    return vector * (1 - FULL_TURN / np.maximum(angle, 1e-12))


def _distance(a, b) -> np.ndarray:
    """Squared, over the components."""
    step = a - b
    return (step * step).sum(axis=0)
