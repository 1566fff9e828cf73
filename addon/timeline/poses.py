"""Where an action puts an armature's joints, for looking at: from its keys alone, without moving the timeline."""

import itertools
import zlib
from dataclasses import dataclass, field

import numpy as np

from ..armature import MotionError, Rig, joint_choice, read_rig
from ..backend.skeleton import JointChoice
from ..channels import OBJECT, conjugate, multiply
from ..curves import sample_frames
from ..kinematics import linear_to_quaternions, object_matrices, pose_steps
from .clips import playing_clip
from .evaluation import slow_reason
from .keys import gather_curves, sample_curves

_serials = itertools.count(1)


class NotInKeys(MotionError):
    """The armature also moves by what isn't keyed, so Blender has to evaluate it frame by frame."""


@dataclass(frozen=True)
class Poses:
    """An action's joints over time, in the armature's own space, so that they follow the object wherever it is moved.

    Attributes:
        frames: `[T]` timeline frames.
        rig: the bones that were read. choice: which of them are joints.
        turns: `[T, J, 4]` float32, each joint's rotation.
        points: `[T, J + L, 3]` float32, the joints' heads, then the tips of the L joints that end a chain.
        lines: `[E, 2]` int, the points that a bone joins.
        own: `[T, 4, 4]` the object's own matrix where the action moves the object too, else None.
        absolute: the matrices of `own` are world matrices, as Blender evaluated them.
        fingerprint: of the keys; the same keys have the same.
        serial: no two readings have the same.
    """

    frames: np.ndarray
    rig: Rig
    choice: JointChoice
    turns: np.ndarray
    points: np.ndarray
    lines: np.ndarray
    own: np.ndarray | None
    absolute: bool
    fingerprint: int
    serial: int = field(default_factory=_serials.__next__)

    @property
    def joints(self) -> tuple[str, ...]:
        """The joints' bones."""
        return tuple(self.rig.names[bone] for bone in self.choice.bones)

    @property
    def bytes(self) -> int:
        """The memory it takes."""
        return self.turns.nbytes + self.points.nbytes


def poses_from_keys(armature, action, slot, like: Poses | None = None) -> Poses:
    """Reads an action's poses from its keys.

    Args:
        like: poses of the source: the same joints and frames are read.

    Raises:
        NotInKeys: constraints, drivers, NLA or the like move the armature too. MotionError: there is nothing to read.
    """
    rig = read_rig(armature)
    found = _result(gather_curves(rig, armature, action, slot))
    frames = sample_frames(np.concatenate(found.times))[0] if like is None else like.frames
    channels = _result(sample_curves(found, frames, rig, armature, action, slot))
    reason = slow_reason(armature, rig, channels, found, playing_clip(armature) is not None)
    if reason is not None and not _is_about_parents(armature, reason):
        raise NotInKeys(
            f"'{armature.name}' also moves by {reason}, so its keys alone don't say where its joints are. Click Read "
            "Poses and Blender evaluates the source and the shown variation once, frame by frame."
        )
    turns, places, _ = _result(pose_steps(rig, channels, np.eye(4)[None]))
    moves_object = (channels.bones == OBJECT).any()
    own = object_matrices(channels, armature.rotation_mode) if moves_object else None
    choice = like.choice if _same_bones(like, rig) else _choice(rig, channels, turns, places)
    return _poses(armature, frames, rig, choice, turns, places, own, False, keys_fingerprint(found))


def poses_from_reading(armature, reading, fingerprint: int, like: Poses | None = None) -> Poses:
    """The same from a Reading, which may have been evaluated frame by frame."""
    world = reading.world
    turns = multiply(conjugate(linear_to_quaternions(world[:, :3, :3]).T[:, None]), reading.turns)
    inverse = np.linalg.inv(world).transpose(1, 2, 0)[:, :, None]  # [4, 4, 1, 1 or T]
    places = sum(inverse[:3, axis] * reading.places[axis] for axis in range(3)) + inverse[:3, 3]
    choice = like.choice if _same_bones(like, reading.rig) else reading.choice
    stands = len(world) == 1 or np.abs(world - world[:1]).max() < 1e-6
    own = None if stands else world
    return _poses(armature, reading.frames, reading.rig, choice, turns, places, own, True, fingerprint)


def action_fingerprint(armature, action, slot) -> int:
    """What `Poses.fingerprint` would be now: 0 where there is nothing to read."""
    try:
        return keys_fingerprint(_result(gather_curves(read_rig(armature), armature, action, slot)))
    except MotionError:
        return 0


def keys_fingerprint(found) -> int:
    """A number that changes when a key does."""
    number = 1
    for row, kind, index, _, keys, _ in found.curves:
        number = zlib.crc32(keys.tobytes(), zlib.crc32(f"{row}{kind}{index}".encode(), number))
    return number


def _result(steps):
    """Runs a generator of shares to its end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _is_about_parents(armature, reason: str) -> bool:
    """Whether only a parent object moves the armature: its own space doesn't notice."""
    return reason.startswith("the animated parent") and armature.parent_type in ("OBJECT", "ARMATURE")


def _same_bones(like, rig) -> bool:
    return like is not None and like.rig.names == rig.names and np.array_equal(like.rig.parents, rig.parents)


def _choice(rig, channels, turns, places) -> JointChoice:
    keyed = np.zeros(len(rig.names), dtype=bool)
    keyed[channels.bones[channels.bones != OBJECT]] = True
    return joint_choice(rig, turns.transpose(2, 1, 0), places.transpose(2, 1, 0), keyed)


def _poses(armature, frames, rig, choice, turns, places, own, absolute, fingerprint) -> Poses:
    """Keeps of all bones the joints, and adds the tips of those that end a chain."""
    joints = choice.bones
    parents = np.asarray(choice.parents)
    leaves = np.setdiff1d(np.arange(len(joints)), parents)
    lengths = np.empty(len(rig.names), dtype=np.float32)
    armature.data.bones.foreach_get("length", lengths)
    along = _y_axis(turns[:, joints[leaves]]) * lengths[joints[leaves], None]
    heads = places[:, joints]
    points = np.concatenate((heads, heads[:, leaves] + along), axis=1)
    tips = len(joints) + np.arange(len(leaves))
    chain = np.flatnonzero(parents >= 0)
    lines = np.concatenate((np.stack((parents[chain], chain), 1), np.stack((leaves, tips), 1)))
    return Poses(
        frames=frames,
        rig=rig,
        choice=choice,
        turns=np.ascontiguousarray(turns[:, joints].transpose(2, 1, 0), dtype=np.float32),
        points=np.ascontiguousarray(points.transpose(2, 1, 0), dtype=np.float32),
        lines=lines,
        own=own,
        absolute=absolute,
        fingerprint=fingerprint,
    )


def _y_axis(q):
    """The second column of the rotations `[4, ...]`: where a bone points."""
    w, x, y, z = q
    return np.stack((2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)))
