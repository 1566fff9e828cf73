"""Limits of joints, learnt from the clip itself: a joint doesn't turn far past what it does in the source."""

import numpy as np

from .motion import Motion
from .rotations import (
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
)
from .skeleton import parent_rows, tree_depths

MARGIN_RAD = np.radians(3.0)  # past the source's own range
RANGE_SHARE = 0.7  # and this share of the range, so that what is nearly still stays nearly still
# A joint that turns by HINGE_RANGE_RAD and about another axis by less than HINGE_SHARE of that is a hinge there: about
# that axis it gets as little as HINGE_LEAST of the margin, or elbows and knees would bend sideways.
HINGE_RANGE_RAD, HINGE_SHARE, HINGE_LEAST = np.radians(20.0), 0.15, 0.1
# An axis about which a joint hardly turns is locked by the rig, or was never keyed: it gets part of the margin, by the
# square of its range over this.
LOCKED_RANGE_RAD = np.radians(1.0)
TINY_RAD = 1e-9  # in place of a division by zero: what stands still has no margin
COUPLING_RIDGE = 1e-5  # of a mean square in rad: what turns by a few degrees hardly says how its axes hang together
STILL_RAD = np.radians(0.1)  # turns so small don't say which way a joint's axes lie


def limit_joints(motion: Motion, rotation, axes, heading) -> np.ndarray:
    """The change `[T, J, 3]` (rotation vectors, world) held so that no joint goes far past the source's own range.

    The range is a box around the joint's turn against its parent in the middle of the clip, the root's against the
    heading, along the principal axes of its turns. A turn that leaves the box by more than the margin is bent back
    softly, so that no corner appears in time.

    Args:
        axes: `[J, 4]` world rotations of the reference pose, in which turns are seen: so the axes of bones don't
        matter. heading: `[T, 4]` how the body faces.
    """
    parents = motion.skeleton.parents
    rows = parent_rows(parents)
    source = _against_carrier(motion.rotations, rows, heading)
    middle = source[len(source) // 2]
    own = quaternion_to_rotvec(quaternion_multiply(quaternion_conjugate(middle)[None] + 0 * source, source))
    own = quaternion_rotate(axes, own)
    turned = quaternion_multiply(rotvec_to_quaternion(rotation), motion.rotations)
    local = _against_carrier(turned, rows, heading)
    new = quaternion_to_rotvec(quaternion_multiply(quaternion_conjugate(middle)[None] + 0 * local, local))
    new = quaternion_rotate(axes, new)
    principal = _principal_axes(own)
    along, asked = (np.einsum("tji,jik->tjk", turns, principal) for turns in (own, new))
    coupling = _coupling(along)
    along[..., 0] -= coupling(along)
    asked[..., 0] -= coupling(asked)
    low, high = along.min(axis=0), along.max(axis=0)
    held = _soften(asked, low, high, margins(high - low))
    held[..., 0] += coupling(held)
    held = np.einsum("tjk,jik->tji", held, principal)
    wrong = np.abs(held - new).max(axis=(0, 2)) > 1e-6
    # Near half a turn rotation vectors jump; such joints (a wheel, a spinning hand) have no box.
    wrong &= np.linalg.norm(own, axis=-1).max(axis=0) < 2.5
    wrong &= np.linalg.norm(new, axis=-1).max(axis=0) < 2.8
    if not wrong.any():
        return rotation
    local[:, wrong] = quaternion_multiply(
        np.broadcast_to(middle[wrong], local[:, wrong].shape),
        rotvec_to_quaternion(quaternion_rotate(quaternion_conjugate(axes[wrong]), held[:, wrong])),
    )
    world = turned.copy()
    world[:, 0] = quaternion_multiply(heading, local[:, 0])
    depths = tree_depths(parents)
    for depth in range(1, int(depths.max()) + 1):
        layer = depths == depth
        world[:, layer] = quaternion_multiply(world[:, parents[layer]], local[:, layer])
    return quaternion_to_rotvec(quaternion_multiply(world, quaternion_conjugate(motion.rotations)))


def margins(ranges) -> np.ndarray:
    """How far joints may go past their ranges `[..., 3]` (radians, about their principal axes), in the same shape."""
    largest = ranges.max(axis=-1, keepdims=True)
    moves = np.clip(largest / HINGE_RANGE_RAD, 0, 1)
    free = np.clip(ranges / np.maximum(HINGE_SHARE * largest, 1e-9), HINGE_LEAST, 1)
    locked = np.clip(ranges / LOCKED_RANGE_RAD, 0, 1) ** 2
    return MARGIN_RAD * np.minimum(1 - moves + moves * free, locked) + RANGE_SHARE * ranges


def _principal_axes(turns) -> np.ndarray:
    """Principal axes of rotation vectors `[T, J, 3]`, `[J, 3, 3]`, one a column; the given axes where all is still."""
    away = turns - turns.mean(axis=0)
    covariance = np.einsum("tji,tjk->jik", away, away) / len(turns)
    return np.linalg.eigh(covariance + STILL_RAD**2 * np.diag([1.0, 2.0, 3.0]))[1]


def _coupling(along):
    """What turns about a joint's stillest axis owe to those about the other two, as a function of turns `[T, J, 3]`.

    A joint with two axes, keyed as Euler angles, turns about the third one as well when it turns about both: on a
    curved sheet in the space of rotation vectors, which a quadratic function describes.

    Args:
        along: `[T, J, 3]` the source's turns along its principal axes, the stillest first.
    """
    middle = along.mean(axis=0)

    def terms(turns):
        u, v = np.moveaxis((turns - middle)[..., 1:], -1, 0)
        return np.stack((u, v, u * u, u * v, v * v), -1)

    own = terms(along)
    mean = own.mean(axis=0)
    own = np.swapaxes(own - mean, 0, 1)
    still = (along - middle)[..., 0].T[..., None]
    square = np.swapaxes(own, 1, 2) @ own / len(along) + COUPLING_RIDGE * np.eye(5)
    weights = np.linalg.solve(square, np.swapaxes(own, 1, 2) @ still / len(along))[..., 0]
    return lambda turns: ((terms(turns) - mean) * weights).sum(axis=-1)


def _against_carrier(rotations, rows, heading) -> np.ndarray:
    """World rotations `[T, J, 4]` against the parent's, the root's against the heading."""
    carriers = rotations[:, rows].copy()
    carriers[:, 0] = heading
    return quaternion_multiply(quaternion_conjugate(carriers), rotations)


def _soften(values, low, high, margin) -> np.ndarray:
    """`values` inside [low, high] as they are; past it they approach the margin without reaching it."""
    over = np.maximum(values - high, 0) + np.minimum(values - low, 0)
    return values - over + margin * np.tanh(over / np.maximum(margin, TINY_RAD))
