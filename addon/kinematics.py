"""Channels -> world poses of every bone, for whole clips at once. No bpy.

The loops go over the depth of the bone tree and over blocks of frames, never over frames or bones.
"""

import numpy as np

from .armature import Rig, is_flat, levels, local_rest, split_rotation
from .backend.rotations import matrix_to_quaternion, quaternion_to_matrix
from .channels import OBJECT, Channels, channel_values, multiply, own_rotations, rotate, rotation_plan

BLOCK_FRAMES = 256  # keeps a block of all bones in the processor's cache
UNIT_SCALE = 1e-6  # scales nearer to one than this are one


def pose_steps(rig: Rig, channels: Channels, world):
    """Where the channels put every bone: a generator that yields the share done.

    Args:
        world: `[1 or T, 4, 4]`, the object's matrix.

    Returns:
        rotations `[4, N, T]` and heads `[3, N, T]`, world; the bones' linear parts in armature space `[T, N, 3, 3]`
        float32 where bones are scaled, else None.
    """
    if "scale" in channels.kinds or np.abs(channels.basis["scale"][:-1] - 1).max() > UNIT_SCALE:
        return (yield from _scaled_poses(rig, channels, world))
    rotations, heads = yield from _rigid_poses(rig, channels, world)
    return rotations, heads, None


def _rigid_poses(rig: Rig, channels: Channels, world):
    """World rotations `[4, N, T]` and heads `[3, N, T]` of a rig whose bones aren't scaled."""
    count, frames = len(rig.names), channels.values.shape[1]
    bones = np.arange(count)
    plan, places = rotation_plan(channels, rig.modes, bones), channels.select("location", bones)
    chain = _Chain(rig)
    turn = matrix_to_quaternion(split_rotation(world[:, :3, :3])).T[:, None]  # [4, 1, 1 or T]
    stretch = world[:, :3, :3] @ np.swapaxes(split_rotation(world[:, :3, :3]), 1, 2)
    rotations, heads = np.empty((4, count, frames)), np.empty((3, count, frames))
    for start in range(0, frames, BLOCK_FRAMES):
        span = slice(start, min(start + BLOCK_FRAMES, frames))
        own = own_rotations(channels, plan, span)
        shifts = channel_values(channels, "location", bones, places, span)
        block = slice(None) if len(world) == 1 else span
        rotations[..., span], turned = chain.pose(own, shifts, turn[..., block])
        heads[..., span] = _stretched(turned, stretch[block], world[block, :3, 3])
        yield span.stop / frames
    return rotations, heads


class _Chain:
    """A rig's rest pose, prepared for `pose`."""

    def __init__(self, rig: Rig):
        local = local_rest(rig)
        roots = rig.parents < 0
        along = (rig.turns_along | roots)[:, None]
        free = matrix_to_quaternion(rig.rest[:, :3, :3])  # of bones that don't turn along with their parent
        self._bases = np.where(along, matrix_to_quaternion(local[:, :3, :3]), free).T[:, :, None]
        axes = np.where((rig.local_location & ~rig.connected)[:, None, None], local[:, :3, :3], np.eye(3))
        axes[rig.connected] = 0
        self._axes = axes.transpose(1, 2, 0)[..., None]  # [3, 3, N, 1]
        self._steps = local[:, :3, 3].T[:, :, None]
        self._levels = [(rows, rig.parents[rows], rig.turns_along[rows]) for rows in levels(rig.parents)]

    def pose(self, own, shifts, turn):
        """Rotations `[4, N, T]` and heads `[3, N, T]` of the rig turned by `turn [4, 1, 1 or T]`."""
        rotations, heads = np.empty_like(own), np.empty_like(shifts)
        for depth, (rows, parents, along) in enumerate(self._levels):
            shift, axes = shifts[:, rows], self._axes[:, :, rows]
            step = axes[:, 0] * shift[0]
            step += axes[:, 1] * shift[1]
            step += axes[:, 2] * shift[2]
            step += self._steps[:, rows]
            above = rotations[:, parents] if depth else turn
            bases = multiply(above, self._bases[:, rows])
            if depth and not along.all():
                bases = np.where(along[:, None], bases, multiply(turn, self._bases[:, rows]))
            step = rotate(above, step)
            if depth:
                step += heads[:, parents]
            heads[:, rows] = step
            rotations[:, rows] = multiply(bases, own[:, rows])
        return rotations, heads


def _stretched(heads, stretch, origin):
    """Heads `[3, N, T]` scaled by `[1 or T, 3, 3]` and moved by `[1 or T, 3]`."""
    size = stretch[0, 0, 0]
    if len(stretch) == 1 and np.abs(stretch[0] - size * np.eye(3)).max() <= UNIT_SCALE * abs(size):
        heads = heads if abs(size - 1) <= UNIT_SCALE else size * heads
    else:
        columns = stretch.transpose(1, 2, 0)[:, :, None]  # [3, 3, 1, 1 or T]
        heads = columns[:, 0] * heads[0] + columns[:, 1] * heads[1] + columns[:, 2] * heads[2]
    return heads + origin.T[:, None]


def _scaled_poses(rig: Rig, channels: Channels, world):
    """The same for a rig with scaled bones that all inherit rotation and scale in full, with their linear parts."""
    frames = channels.values.shape[1]
    rotations, heads = np.empty((4, len(rig.names), frames)), np.empty((3, len(rig.names), frames))
    linear = np.empty((frames, len(rig.names), 3, 3), dtype=np.float32)
    for start in range(0, frames, BLOCK_FRAMES):
        span = slice(start, min(start + BLOCK_FRAMES, frames))
        matrices, places = _scaled_block(rig, channels, span)
        block = world if len(world) == 1 else world[span]
        poses = poses_to_world(linear_to_quaternions(matrices), places, block)
        rotations[..., span], heads[..., span] = poses
        linear[span] = matrices
        yield 0.9 * span.stop / frames
    flat = is_flat(linear)
    if flat.any():  # hidden bones turn as if they weren't
        unscaled, _ = yield from _rigid_poses(rig, channels, world)
        rotations = np.where(flat.T, unscaled, rotations)
    return rotations, heads, linear


def _scaled_block(rig, channels, span):
    """Linear parts `[T, N, 3, 3]` and heads `[T, N, 3]` in armature space of a span of frames."""
    bones = np.arange(len(rig.names))
    own = own_rotations(channels, rotation_plan(channels, rig.modes, bones), span)
    scales = channel_values(channels, "scale", bones, span=span).transpose(2, 1, 0)
    shifts = channel_values(channels, "location", bones, span=span).transpose(2, 1, 0)
    local = local_rest(rig)
    axes = np.where(rig.local_location[:, None, None], local[:, :3, :3], np.eye(3))
    axes[rig.connected] = 0
    steps = local[:, :3, 3] + (axes @ shifts[..., None])[..., 0]
    linear = local[:, :3, :3] @ (quaternion_to_matrix(own.transpose(2, 1, 0)) * scales[..., None, :])
    heads = steps.copy()
    for rows in levels(rig.parents)[1:]:
        above = rig.parents[rows]
        heads[:, rows] = heads[:, above] + (linear[:, above] @ steps[:, rows, :, None])[..., 0]
        linear[:, rows] = linear[:, above] @ linear[:, rows]
    return linear, heads


def poses_to_world(rotations, heads, world):
    """From armature space, `[T, N, 4]` and `[T, N, 3]`, to world rotations `[4, N, T]` and heads `[3, N, T]`."""
    turn = matrix_to_quaternion(split_rotation(world[:, :3, :3])).T[:, None]
    heads = heads @ world[:, :3, :3].swapaxes(1, 2) + world[:, None, :3, 3]
    return multiply(turn, rotations.transpose(2, 1, 0)), np.ascontiguousarray(heads.transpose(2, 1, 0))


def linear_to_quaternions(linear) -> np.ndarray:
    """The rotations `[..., 4]` in matrices that may scale."""
    return matrix_to_quaternion(split_rotation(linear))


def is_scaled(linear) -> bool:
    """Whether any of the matrices `[..., 3, 3]` is more than a rotation."""
    lengths = (linear * linear).sum(axis=-2)
    return bool(np.abs(lengths - 1).max() > 1e-5)


def object_matrices(channels: Channels, mode) -> np.ndarray:
    """The object's own matrix over time from its channels, `[T, 4, 4]`."""
    bones = np.array([OBJECT])
    turns = own_rotations(channels, rotation_plan(channels, {OBJECT: mode}, bones))[:, 0].T
    matrices = np.tile(np.eye(4), (len(turns), 1, 1))
    scales = channel_values(channels, "scale", bones)[:, 0].T
    matrices[:, :3, :3] = quaternion_to_matrix(turns) * scales[:, None, :]
    matrices[:, :3, 3] = channel_values(channels, "location", bones)[:, 0].T
    return matrices
