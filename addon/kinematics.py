"""Channel values -> world poses of every bone, for whole clips at once. No bpy.

The loops go over the depth of the bone tree and over blocks of frames, never over frames or bones.
"""

import numpy as np

from .armature import Rig, is_flat, levels, local_rest, split_rotation
from .backend.rotations import matrix_to_quaternion, quaternion_to_matrix
from .curves import OBJECT, channel_values, own_rotations

BLOCK_FRAMES = 512  # keeps a block of all bones in the processor's cache
UNIT_SCALE = 1e-6  # scales nearer to one than this are one


def pose_quaternions(rig: Rig, turns, shifts):
    """Rotations and heads in armature space of a rig whose bones aren't scaled.

    Args:
        turns: `[4, N, T]` each bone's own rotation. shifts: `[3, N, T]` its location.

    Returns:
        `[T, N, 4]` and `[T, N, 3]`, float64.
    """
    count, frames = turns.shape[1:]
    local = local_rest(rig)
    rest_turns = matrix_to_quaternion(local[:, :3, :3])
    free_turns = matrix_to_quaternion(rig.rest[:, :3, :3])  # of bones that don't turn along with their parent
    roots = rig.parents < 0
    base_turns = np.where((rig.turns_along | roots)[:, None], rest_turns, free_turns).T[:, :, None]
    shift_axes = np.where((rig.local_location & ~rig.connected)[:, None, None], local[:, :3, :3], np.eye(3))
    shift_axes[rig.connected] = 0
    tree = levels(rig.parents)
    rotations, heads = np.empty((frames, count, 4)), np.empty((frames, count, 3))
    for start in range(0, frames, BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, frames)
        q, p = np.empty((4, count, stop - start)), np.empty((3, count, stop - start))
        for depth, rows in enumerate(tree):
            shift = shifts[:, rows, start:stop]
            axes = shift_axes[rows].transpose(1, 2, 0)[..., None]  # [3, 3, k, 1]
            step = axes[:, 0] * shift[0] + axes[:, 1] * shift[1] + axes[:, 2] * shift[2]
            step += local[rows, :3, 3].T[:, :, None]
            base = base_turns[:, rows]
            if depth:
                above = q[:, rig.parents[rows]]
                step = _rotate(above, step)
                step += p[:, rig.parents[rows]]
                along = rig.turns_along[rows]
                base = _multiply(above, base) if along.all() else np.where(along[:, None], _multiply(above, base), base)
            p[:, rows] = step
            q[:, rows] = _multiply(base, turns[:, rows, start:stop])
        rotations[start:stop] = q.transpose(2, 1, 0)
        heads[start:stop] = p.transpose(2, 1, 0)
    return rotations, heads


def _multiply(a, b):
    """Quaternion product with the four numbers on axis 0."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return np.stack(
        (
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        )
    )


def _rotate(q, v):
    """Vectors turned by quaternions, the numbers on axis 0."""
    w, x, y, z = q
    vx, vy, vz = v
    tx, ty, tz = 2 * (y * vz - z * vy), 2 * (z * vx - x * vz), 2 * (x * vy - y * vx)
    return np.stack((vx + w * tx + y * tz - z * ty, vy + w * ty + z * tx - x * tz, vz + w * tz + x * ty - y * tx))


def pose_matrices(rig: Rig, turns, shifts, scales):
    """Linear parts and heads in armature space of a rig with scaled bones that all inherit scale and rotation in full.

    Args:
        turns: `[4, N, T]`. shifts: `[3, N, T]`. scales: `[3, N, T]`.

    Returns:
        `[T, N, 3, 3]` and `[T, N, 3]`.
    """
    local = local_rest(rig)
    own = quaternion_to_matrix(turns.transpose(2, 1, 0)) * scales.transpose(2, 1, 0)[..., None, :]
    moves = np.where(rig.connected[:, None], 0.0, shifts.transpose(2, 1, 0))
    axes = np.where(rig.local_location[:, None, None], local[:, :3, :3], np.eye(3))
    steps = local[:, :3, 3] + (axes @ moves[..., None])[..., 0]
    linear, heads = local[:, :3, :3] @ own, steps
    for rows in levels(rig.parents)[1:]:
        above = rig.parents[rows]
        heads[:, rows] = heads[:, above] + (linear[:, above] @ steps[:, rows, :, None])[..., 0]
        linear[:, rows] = linear[:, above] @ linear[:, rows]
    return linear, heads


def linear_to_quaternions(linear, instead=None) -> np.ndarray:
    """The rotations `[T, N, 4]` in matrices that may scale; `instead` for those that squeeze space flat."""
    rotations = matrix_to_quaternion(split_rotation(linear))
    if instead is None:
        return rotations
    return np.where(is_flat(linear)[..., None], instead, rotations)


def is_scaled(linear) -> bool:
    """Whether any of the matrices `[..., 3, 3]` is more than a rotation."""
    lengths = (linear * linear).sum(axis=-2)
    return bool(np.abs(lengths - 1).max() > 1e-5)


def heads_to_world(heads, world) -> np.ndarray:
    """Places `[T, N, 3]` in armature space to world ones; world: `[1 or T, 4, 4]`."""
    return heads @ world[:, :3, :3].swapaxes(1, 2) + world[:, None, :3, 3]


def rotations_to_world(rotations, world) -> np.ndarray:
    """Rotations `[T, N, 4]` in armature space to world axes; world: `[1 or T, 4, 4]`."""
    turn = linear_to_quaternions(world[:, :3, :3]).T[:, :, None]  # [4, 1 or T, 1]
    if np.array_equal(turn[:, :, 0], np.array([[1.0], [0], [0], [0]])):
        return rotations
    return np.ascontiguousarray(np.moveaxis(_multiply(turn, np.moveaxis(rotations, -1, 0)), 0, -1))


def poses_from_channels(rig: Rig, channels, basis):
    """World-free poses from keys: rotations `[T, N, 4]`, heads `[T, N, 3]`, linear parts `[T, N, 3, 3]` or None."""
    rows = np.arange(len(rig.names))
    turns = own_rotations(channels, basis, rig.modes, rows)
    shifts = channel_values(channels, basis, "location", rows)
    if "scale" not in channels.kinds and np.abs(basis["scale"][:-1] - 1).max() <= UNIT_SCALE:
        return *pose_quaternions(rig, turns, shifts), None
    linear, heads = pose_matrices(rig, turns, shifts, channel_values(channels, basis, "scale", rows))
    unscaled = pose_quaternions(rig, turns, shifts)[0] if is_flat(linear).any() else None
    return linear_to_quaternions(linear, unscaled), heads, linear.astype(np.float32)


def object_matrices(channels, basis, mode) -> np.ndarray:
    """The object's own matrix over time from its channels, `[T, 4, 4]`."""
    rows = np.array([OBJECT])
    turns = own_rotations(channels, basis, {OBJECT: mode}, rows)[:, 0].T
    matrices = np.tile(np.eye(4), (len(turns), 1, 1))
    scales = channel_values(channels, basis, "scale", rows)[:, 0].T
    matrices[:, :3, :3] = quaternion_to_matrix(turns) * scales[:, None, :]
    matrices[:, :3, 3] = channel_values(channels, basis, "location", rows)[:, 0].T
    return matrices
