"""Channels: an armature's F-curves at the sampled frames, and rotations in each of Blender's modes. No bpy.

Arrays of channel values have their components first and time last, `[3 or 4, bones, T]`: that is how curves come.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .backend.rotations import euler_to_quaternion, quaternion_to_euler, quaternion_to_rotvec, rotvec_to_quaternion

OBJECT = -1  # the row of the armature object itself where bones have theirs
ROTATION_CHANNEL = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}  # else rotation_euler
CHANNEL_SIZE = {"location": 3, "rotation_quaternion": 4, "rotation_axis_angle": 4, "rotation_euler": 3, "scale": 3}
WHOLE = slice(None)


@dataclass(frozen=True)
class Channels:
    """The F-curves that pose the armature, and their values at the sampled frames.

    Attributes:
        bones: `[C]` int, row of the rig, or OBJECT. kinds: `[C]` property names. indices: `[C]` int.
        paths: `[C]` data paths.
        values: `[C, T]` float32.
        dense: `[C]` bool, the curve's keys stand on the sampled frames, all and only.
        basis: property name -> `[N + 1, 3 or 4]`, the pose's own values, which hold where there is no curve; the object
            in the last row.
    """

    bones: np.ndarray
    kinds: tuple[str, ...]
    indices: np.ndarray
    paths: tuple[str, ...]
    values: np.ndarray
    dense: np.ndarray
    basis: dict[str, np.ndarray]

    @cached_property
    def _rows(self) -> dict[tuple[int, str], list[int]]:
        found = {}
        for row, key in enumerate(zip(self.bones.tolist(), self.kinds, strict=True)):
            found.setdefault(key, []).append(row)
        return found

    def rows(self, bone, kind) -> list[int]:
        """The curves of one property of a bone."""
        return self._rows.get((int(bone), kind), [])

    def bones_with(self, kinds) -> np.ndarray:
        """`[N]` bool: the bone has a curve of the kind that stands in its row of `kinds`."""
        return np.array([(bone, kind) in self._rows for bone, kind in enumerate(kinds)])

    def select(self, kind, bones) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All curves of one property of some bones: their rows, components, and places in `bones`."""
        found = [(row, place) for place, bone in enumerate(bones) for row in self.rows(bone, kind)]
        rows, places = np.array(found, dtype=np.int64).reshape(-1, 2).T
        return rows, self.indices[rows], places


def rotation_channel(mode: str) -> str:
    """The property that a rotation mode reads."""
    return ROTATION_CHANNEL.get(mode, "rotation_euler")


def channel_values(channels: Channels, kind, bones, selection=None, span=WHOLE) -> np.ndarray:
    """One property of some bones over time, `[3 or 4, len(bones), T]` float64.

    Args:
        selection: `channels.select(kind, bones)` where it is known. span: which frames.
    """
    rows, components, places = channels.select(kind, bones) if selection is None else selection
    frames = len(range(*span.indices(channels.values.shape[1])))
    values = np.empty((CHANNEL_SIZE[kind], len(bones), frames))
    if len(rows) < values.shape[0] * values.shape[1]:
        values[:] = channels.basis[kind][bones].T[:, :, None]
    values[components, places] = channels.values[rows, span]
    return values


def rotation_plan(channels: Channels, modes, bones) -> list:
    """The bones of each rotation mode, and where their values are: what `own_rotations` needs, found once."""
    bones = np.asarray(bones)
    plan = []
    for mode in sorted({modes[bone] for bone in bones}):
        same = np.flatnonzero([modes[bone] == mode for bone in bones])
        kind = rotation_channel(mode)
        plan.append((mode, kind, same, bones[same], channels.select(kind, bones[same])))
    return plan


def own_rotations(channels: Channels, plan, span=WHOLE) -> np.ndarray:
    """Each bone's own rotation over time, unit quaternions `[4, N, T]`, the bones as `rotation_plan` got them."""
    turns = None
    for mode, kind, same, bones, selection in plan:
        quaternions = basis_quaternions(mode, channel_values(channels, kind, bones, selection, span))
        if len(plan) == 1:
            return quaternions
        if turns is None:
            turns = np.empty((4, sum(len(part[2]) for part in plan), quaternions.shape[-1]))
        turns[:, same] = quaternions
    return turns


def basis_quaternions(mode: str, values) -> np.ndarray:
    """Channel values `[3 or 4, ...]` of a rotation mode as unit quaternions `[4, ...]`."""
    if mode == "QUATERNION":
        length = np.sqrt((values * values).sum(axis=0))
        zero = length < 1e-12
        if zero.any():
            blenders = np.array([0.0, 1.0, 0.0, 0.0]).reshape(4, *[1] * zero.ndim)  # what it makes of zeros
            values = np.where(zero, blenders, values)
            length = np.where(zero, 1.0, length)
        return values / length
    if mode == "AXIS_ANGLE":
        vectors = values[1:] / np.maximum(np.linalg.norm(values[1:], axis=0), 1e-12) * values[0]
        return np.moveaxis(rotvec_to_quaternion(np.moveaxis(vectors, 0, -1)), -1, 0)
    return np.moveaxis(euler_to_quaternion(np.moveaxis(values, 0, -1), mode), -1, 0)


def turn_basis(mode: str, values, turns) -> np.ndarray:
    """Channel values turned in the bone's own axes, in the same mode and as near to what they were as can be.

    Args:
        values: `[3 or 4, ...]`. turns: `[4, ...]` quaternions: `basis_new = basis turn`.
    """
    if mode == "QUATERNION":
        return multiply(values, turns)  # keeps length and, with turns of w >= 0, the sign
    turned = np.moveaxis(multiply(basis_quaternions(mode, values), turns), 0, -1)
    if mode != "AXIS_ANGLE":
        return np.moveaxis(quaternion_to_euler(turned, mode, near_rad=np.moveaxis(values, 0, -1)), -1, 0)
    vector = np.moveaxis(quaternion_to_rotvec(turned), -1, 0)
    angle = np.linalg.norm(vector, axis=0)
    axis = np.where(angle > 1e-9, vector / np.maximum(angle, 1e-12), values[1:])
    flip = (axis * values[1:]).sum(axis=0) < 0
    axis, angle = np.where(flip, -axis, axis), np.where(flip, -angle, angle)
    angle = angle - 2 * np.pi * np.round((angle - values[0]) / (2 * np.pi))
    return np.concatenate((angle[None], axis), axis=0)


def multiply(a, b):
    """Quaternion product with the four numbers on axis 0."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    product = np.empty((4, *np.broadcast_shapes(aw.shape, bw.shape)), dtype=np.result_type(a, b))
    term = np.empty_like(product[0])
    for row, terms in enumerate(
        (
            ((aw, bw, 0), (ax, bx, -1), (ay, by, -1), (az, bz, -1)),
            ((aw, bx, 0), (ax, bw, 1), (ay, bz, 1), (az, by, -1)),
            ((aw, by, 0), (ax, bz, -1), (ay, bw, 1), (az, bx, 1)),
            ((aw, bz, 0), (ax, by, 1), (ay, bx, -1), (az, bw, 1)),
        )
    ):
        for left, right, sign in terms:
            if not sign:
                np.multiply(left, right, out=product[row])
            elif sign > 0:
                product[row] += np.multiply(left, right, out=term)
            else:
                product[row] -= np.multiply(left, right, out=term)
    return product


def rotate(q, v):
    """Vectors turned by quaternions, the numbers on axis 0."""
    w, x, y, z = q
    vx, vy, vz = v
    tx, ty, tz = y * vz - z * vy, z * vx - x * vz, x * vy - y * vx
    tx += tx
    ty += ty
    tz += tz
    return np.stack((vx + w * tx + y * tz - z * ty, vy + w * ty + z * tx - x * tz, vz + w * tz + x * ty - y * tx))


def conjugate(q):
    """The inverse of unit quaternions, the numbers on axis 0."""
    return np.stack((q[0], -q[1], -q[2], -q[3]))
