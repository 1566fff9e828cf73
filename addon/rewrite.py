"""A change of the joints -> changes of the channels that the source keys. No bpy.

With A a bone's world rotation in the source, D the world turn that it shall get and D_p the one its parent gets, the
bone's own rotation becomes `own (A^-1 D_p^-1 D A)`: a turn in the bone's axes that can be interpolated at any key time.
"""

from dataclasses import dataclass

import numpy as np

from .armature import MIN_SCALE, local_rest, split_rotation
from .backend.change import Change
from .backend.motion import joint_positions
from .backend.rotations import (
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_matrix,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
)
from .curves import CHANNEL_SIZE, OBJECT, rotation_channel

NOTHING_RAD = 1e-7  # a smaller turn over a whole curve leaves the curve as it is
NOTHING_HEIGHTS = 1e-7  # the same for a shift
MISSED_HEIGHTS = 1e-3  # a place missed by more is reported


@dataclass(frozen=True)
class Plan:
    """What happens to the channels, row for row of the reading.

    Attributes:
        turned: `[K]` bones. turns: `[K, T, 3]` rotation vectors in the bones' own axes.
        shifted: `[M]` bones, or OBJECT. shifts: `[M, T, 3]` added to their location.
        notes: sentences on what the source has no channels for.
    """

    turned: np.ndarray
    turns: np.ndarray
    shifted: np.ndarray
    shifts: np.ndarray
    notes: tuple[str, ...]


def plan_change(reading, change: Change, everything: bool = False) -> Plan:
    """How each keyed channel must change so that the joints do what `change` says.

    Args:
        everything: keep bones on which nothing happens, so that all their curves are written.
    """
    rig, choice = reading.rig, reading.choice
    count = len(rig.names)
    frames = len(reading.frames)
    can_turn = np.zeros(count, dtype=bool)
    can_turn[_bones_with(reading, [rotation_channel(mode) for mode in rig.modes])] = True
    can_turn &= ~rig.ruled
    notes = []
    followers = _root_carried(reading, can_turn, change, notes)
    above, follows = _realised(rig, followers, can_turn)
    # Row -1, for bones that follow no joint, is the identity.
    joint_turns = np.zeros((len(choice.bones) + 1, frames, 4))
    joint_turns[:-1] = rotvec_to_quaternion(np.asarray(change.rotation, dtype=np.float64)).swapaxes(0, 1)
    joint_turns[-1, :, 0] = 1

    turned = np.flatnonzero(can_turn & (everything | (follows != above)))
    turns = np.empty((len(turned), frames, 3))
    for row, bone in enumerate(turned):  # one bone at a time stays in the cache
        world = reading.rotations[:, bone].astype(np.float64)
        step = quaternion_multiply(quaternion_conjugate(joint_turns[above[bone]]), joint_turns[follows[bone]])
        turns[row] = quaternion_rotate(quaternion_conjugate(world), quaternion_to_rotvec(step))
    happens = np.abs(turns).max(axis=(1, 2), initial=0.0) > NOTHING_RAD
    happens |= everything
    shifted, shifts = _plan_shifts(reading, change, follows, joint_turns, everything, notes)
    kinds = [(int(bone), rotation_channel(rig.modes[bone])) for bone in turned[happens]]
    kinds += [(int(bone), "location") for bone in shifted]
    partial = [rig.names[b] for b, kind in kinds if b != OBJECT and len(reading.channels.rows(b, kind)) < CHANNEL_SIZE[kind]]
    if partial:
        notes.append(f"{len(partial)} bones have keys on some axes only, and move along those alone: {_some(partial)}.")
    ruled = [rig.names[bone] for bone in choice.bones[rig.ruled[choice.bones]]]
    if ruled and np.abs(change.rotation).max(initial=0.0) > NOTHING_RAD:
        notes.append(f"{len(ruled)} joints are turned by constraints and go where those put them: {_some(ruled)}.")
    return Plan(turned[happens], turns[happens], shifted, shifts, tuple(notes))


def _some(names) -> str:
    """The first few names."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _root_carried(reading, can_turn, change, notes) -> np.ndarray:
    """The followers, where the body's root has no rotation keys with the nearest bone above that has them in its place."""
    rig, followers = reading.rig, reading.choice.followers.copy()
    carrier = root = int(reading.choice.bones[0])
    while carrier >= 0 and not can_turn[carrier]:
        carrier = int(rig.parents[carrier])
    if carrier >= 0:
        followers[carrier] = 0
    elif np.abs(change.rotation[:, 0]).max(initial=0.0) > NOTHING_RAD:
        notes.append(f"The body doesn't turn as a whole: neither '{rig.names[root]}' nor a bone above it has rotation keys.")
    return followers


def _bones_with(reading, kinds) -> list[int]:
    """Bones that have a curve of the kind that stands in their row of `kinds`."""
    channels = reading.channels
    pairs = zip(channels.bones.tolist(), channels.kinds, strict=True)
    return sorted({bone for bone, kind in pairs if bone != OBJECT and kind == kinds[bone]})


def _realised(rig, followers, can_turn):
    """For each bone the joint whose turn its parent hands down, and the joint whose turn it ends up with; -1 for none."""
    above, follows = np.full(len(followers), -1), np.full(len(followers), -1)
    for bone, parent in enumerate(rig.parents):
        if parent >= 0 and rig.turns_along[bone]:
            above[bone] = follows[parent]
        follows[bone] = followers[bone] if can_turn[bone] else above[bone]
    return above, follows


def _plan_shifts(reading, change, follows, joint_turns, everything, notes):
    """Location changes: of what carries the body's root, and of the joints that slide. Gives the bones and `[M, T, 3]`.

    All in the object's unscaled space (turned and moved like the object, but of size one), where turns are turns also
    under an object that is scaled unevenly.
    """
    rig, choice, frames = reading.rig, reading.choice, len(reading.frames)
    world = reading.world[:, :3, :3]
    stretch = world @ np.swapaxes(split_rotation(world), -1, -2)  # [1 or T, 3, 3]
    shrink = np.linalg.inv(stretch)
    size = float(np.abs(np.linalg.det(shrink)).max() ** (1 / 3))
    height = size * max(float(np.ptp(joint_positions(reading.motion)[0], axis=0).max()), 1e-9)
    can_shift = np.zeros(len(rig.names), dtype=bool)
    can_shift[_bones_with(reading, ["location"] * len(rig.names))] = True
    can_shift &= ~rig.connected & ~rig.ruled

    root = int(choice.bones[0])
    wanted = {int(choice.bones[joint]): change.slide[:, row] for row, joint in enumerate(change.slide_joints)}
    heads = {bone: _mapped(shrink, reading.heads[:, bone]) for bone in _with_ancestors(rig.parents, [root, *wanted])}
    goals = {bone: heads[bone] + _mapped(shrink, slide) for bone, slide in wanted.items()}
    carrier = root
    while carrier >= 0 and not can_shift[carrier]:
        carrier = int(rig.parents[carrier])
    turned = _places(rig, heads, follows, joint_turns, {}, 0.0)
    lacking = heads[root] + _mapped(shrink, change.root) - turned[root]
    object_shift = np.zeros((frames, 3))
    if carrier >= 0:
        goals[carrier] = turned[carrier] + lacking
    elif "location" in reading.channels.keyed_kinds(OBJECT):
        object_shift = lacking
    elif np.abs(lacking).max() > MISSED_HEIGHTS * height:
        places = f"'{rig.names[root]}', a bone above it or the object"
        notes.append(f"The body's path stays as it is: none of {places} has location keys.")

    anchors = {bone: goal for bone, goal in goals.items() if can_shift[bone]}
    free = _places(rig, heads, follows, joint_turns, anchors, object_shift)
    shifts, missed = {}, []
    for bone, goal in goals.items():
        delta = goal - free[bone]
        if not can_shift[bone]:
            if np.abs(delta).max() > MISSED_HEIGHTS * height:
                missed.append(rig.names[bone])
        elif everything or np.abs(delta).max() > NOTHING_HEIGHTS * height:
            turned_back = quaternion_rotate(quaternion_conjugate(_parent_turn(rig, bone, follows, joint_turns)), delta)
            axes = _location_axes(reading, bone)
            invert = np.linalg.pinv if (np.abs(np.linalg.det(axes)) < MIN_SCALE**3).any() else np.linalg.inv
            shifts[bone] = _mapped(invert(axes), turned_back)
    if np.abs(object_shift).max() > NOTHING_HEIGHTS * height:
        shifts[OBJECT] = _mapped(np.linalg.inv(reading.outside) @ stretch, object_shift)
    if missed:
        notes.append(f"{len(missed)} joints slide without location keys and stay with their parents: {_some(missed)}.")
    shifted = np.array(sorted(shifts), dtype=np.int64)
    return shifted, np.array([shifts[bone] for bone in sorted(shifts)]).reshape(len(shifted), frames, 3)


def _mapped(matrices, vectors) -> np.ndarray:
    """Vectors `[T, 3]` through matrices `[1 or T, 3, 3]`."""
    return (matrices @ np.asarray(vectors, dtype=np.float64)[..., None])[..., 0]


def _with_ancestors(parents, bones) -> list[int]:
    """The bones and all above them, parents before their children."""
    needed = set()
    for bone in bones:
        while bone >= 0 and bone not in needed:
            needed.add(int(bone))
            bone = parents[bone]
    return sorted(needed)


def _parent_turn(rig, bone, follows, joint_turns):
    """The world turn `[T, 4]` that a bone's parent gets."""
    return joint_turns[follows[rig.parents[bone]] if rig.parents[bone] >= 0 else -1]


def _places(rig, heads, follows, joint_turns, anchors, shift):
    """Where bones come to lie, `{bone: [T, 3]}`, when nothing but turns moves them.

    Args:
        heads: `{bone: [T, 3]}`, with all bones above, parents first. anchors: the same for bones that are put elsewhere;
            what is below them follows, they themselves are given as they would lie. shift: `[T, 3]` added to the roots.
    """
    places = {}
    for bone, head in heads.items():
        parent = int(rig.parents[bone])
        if parent < 0:
            places[bone] = head + shift
        else:
            step = quaternion_rotate(_parent_turn(rig, bone, follows, joint_turns), head - heads[parent])
            places[bone] = anchors.get(parent, places[parent]) + step
    return places


def _location_axes(reading, bone) -> np.ndarray:
    """The matrices `[1 or T, 3, 3]` that turn a bone's location into the object's unscaled space."""
    rig = reading.rig
    parent = rig.parents[bone]
    if parent < 0:
        linear = split_rotation(reading.world[:, :3, :3])
    elif reading.linear is not None:
        linear = split_rotation(reading.world[:, :3, :3]) @ reading.linear[:, parent]
    else:
        linear = quaternion_to_matrix(reading.rotations[:, parent].astype(np.float64))
    return linear @ local_rest(rig)[bone, :3, :3] if rig.local_location[bone] else linear
