"""A change of the joints -> changes of the channels that the source keys. No bpy.

With A a bone's world rotation in the source, D the world turn that it shall get and D_p the one its parent gets, the
bone's own rotation becomes `own (A^-1 D_p^-1 D A)`: a turn in the bone's axes that can be interpolated at any key time.
"""

from dataclasses import dataclass

import numpy as np

from .armature import MIN_SCALE, local_rest, split_rotation
from .backend.change import Change
from .backend.rotations import quaternion_to_matrix
from .backend.skeleton import skeleton_height
from .channels import CHANNEL_SIZE, OBJECT, conjugate, multiply, rotate, rotation_channel

BLOCK_FRAMES = 256  # keeps a block of all bones in the processor's cache
NOTHING_RAD = 1e-7  # a smaller turn over a whole curve leaves the curve as it is
NOTHING_HEIGHTS = 1e-7  # the same for a shift
MISSED_HEIGHTS = 1e-3  # a place missed by more is reported


@dataclass(frozen=True)
class Plan:
    """What happens to the channels, row for row of the reading.

    Attributes:
        turned: `[K]` bones. turns: `[4, K, T]` float32, quaternions with w >= 0 in the bones' own axes.
        shifted: `[M]` bones, or OBJECT. shifts: `[3, M, T]` added to their location.
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
    rig, channels = reading.rig, reading.channels
    kinds = [rotation_channel(mode) for mode in rig.modes]
    can_turn = channels.bones_with(kinds)
    notes = []
    followers = _root_carried(reading, can_turn, change, notes)
    above, follows = _realised(rig, followers, can_turn)
    joint_turns = turns_of_joints(change)
    turned = np.flatnonzero(can_turn & (everything | (follows != above)))
    turns = _own_turns(reading, turned, joint_turns, above[turned], follows[turned])
    happens = everything | (np.abs(turns[1:]).max(axis=(0, 2), initial=0.0) > 0.5 * NOTHING_RAD)
    if not np.all(happens):
        turned, turns = turned[happens], turns[:, happens]
    shifted, shifts = _plan_shifts(reading, change, follows, joint_turns, everything, notes)

    partial = [rig.names[bone] for bone in turned if len(channels.rows(bone, kinds[bone])) < CHANNEL_SIZE[kinds[bone]]]
    partial += [rig.names[bone] for bone in shifted if bone != OBJECT and len(channels.rows(bone, "location")) < 3]
    if partial:
        notes.append(f"{len(partial)} bones have keys on some axes only, and move along those alone: {some(partial)}.")
    return Plan(turned, turns, shifted, shifts, tuple(notes))


def turns_of_joints(change) -> np.ndarray:
    """The joints' world turns, quaternions `[4, J + 1, T]` float32; the last row, for bones that follow none, stays."""
    vectors = np.asarray(change.rotation, dtype=np.float32)
    frames, joints = vectors.shape[:2]
    turns = np.zeros((4, joints + 1, frames), dtype=np.float32)
    turns[0, -1] = 1
    vectors = np.ascontiguousarray(vectors.transpose(2, 1, 0))
    half = 0.5 * np.sqrt(vectors[0] * vectors[0] + vectors[1] * vectors[1] + vectors[2] * vectors[2])
    turns[0, :-1] = np.cos(half)
    turns[1:, :-1] = vectors * (0.5 * np.sinc(half / np.pi).astype(np.float32))
    return turns


def _own_turns(reading, bones, joint_turns, above, follows) -> np.ndarray:
    """Turns in the bones' own axes, `[4, K, T]` float32, from the joints that their parents and they follow."""
    frames = len(reading.frames)
    turns = np.empty((4, len(bones), frames), dtype=np.float32)
    for start in range(0, frames, BLOCK_FRAMES):
        span = slice(start, min(start + BLOCK_FRAMES, frames))
        block = joint_turns[..., span]
        step = multiply(conjugate(block[:, above]), block[:, follows])
        np.negative(step, out=step, where=step[0] < 0)
        world = reading.turns[:, bones, span].astype(np.float32)
        turns[0, :, span] = step[0]
        turns[1:, :, span] = rotate(conjugate(world), step[1:])
    return turns


def some(names) -> str:
    """The first few names."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _root_carried(reading, can_turn, change, notes) -> np.ndarray:
    """The followers; in place of a body root without rotation keys the nearest bone above that has them."""
    rig, followers = reading.rig, reading.choice.followers.copy()
    carrier = root = int(reading.choice.bones[0])
    while carrier >= 0 and not can_turn[carrier]:
        carrier = int(rig.parents[carrier])
    if carrier >= 0:
        followers[carrier] = 0
    elif np.abs(change.rotation[:, 0]).max(initial=0.0) > NOTHING_RAD:
        who = f"neither '{rig.names[root]}' nor a bone above it"
        notes.append(f"The body doesn't turn as a whole: {who} has rotation keys.")
    return followers


def _realised(rig, followers, can_turn):
    """For each bone the joint whose turn its parent hands down, and that whose turn it ends up with; -1 for none."""
    above, follows = np.full(len(followers), -1), np.full(len(followers), -1)
    for bone, parent in enumerate(rig.parents):
        if parent >= 0 and rig.turns_along[bone]:
            above[bone] = follows[parent]
        follows[bone] = followers[bone] if can_turn[bone] else above[bone]
    return above, follows


def _plan_shifts(reading, change, follows, joint_turns, everything, notes):
    """Location changes: of what carries the body's root, and of the joints that slide. Gives the bones and `[3, M, T]`.

    All in the object's unscaled space (turned and moved like the object, but of size one), where turns are turns also
    under an object that is scaled unevenly.
    """
    rig, choice, frames = reading.rig, reading.choice, len(reading.frames)
    world = reading.world[:, :3, :3]
    stretch = world @ np.swapaxes(split_rotation(world), -1, -2)  # [1 or T, 3, 3]
    shrink = np.linalg.inv(stretch)
    size = float(np.abs(np.linalg.det(shrink)).max() ** (1 / 3))
    height = size * max(skeleton_height(reading.motion.skeleton), 1e-9)
    can_shift = reading.channels.bones_with(["location"] * len(rig.names)) & ~rig.connected

    root = int(choice.bones[0])
    wanted = {int(choice.bones[joint]): change.slide[:, row].T for row, joint in enumerate(change.slide_joints)}
    heads = {bone: _mapped(shrink, reading.places[:, bone]) for bone in _with_ancestors(rig.parents, [root, *wanted])}
    goals = {bone: heads[bone] + _mapped(shrink, slide) for bone, slide in wanted.items()}
    carrier = root
    while carrier >= 0 and not can_shift[carrier]:
        carrier = int(rig.parents[carrier])
    turned = _places(rig, heads, follows, joint_turns, {}, 0.0)
    lacking = heads[root] + _mapped(shrink, change.root.T) - turned[root]
    object_shift = np.zeros((3, frames))
    if carrier >= 0:
        goals[carrier] = turned[carrier] + lacking
    elif reading.channels.rows(OBJECT, "location"):
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
            turned_back = rotate(conjugate(_parent_turn(rig, bone, follows, joint_turns)), delta)
            axes = _location_axes(reading, bone)
            invert = np.linalg.pinv if (np.abs(np.linalg.det(axes)) < MIN_SCALE**3).any() else np.linalg.inv
            shifts[bone] = _mapped(invert(axes), turned_back)
    if np.abs(object_shift).max() > NOTHING_HEIGHTS * height:
        shifts[OBJECT] = _mapped(np.linalg.inv(reading.outside) @ stretch, object_shift)
    if missed:
        several = f"{len(missed)} joints slide without location keys and stay with their parents: {some(missed)}."
        one = f"1 joint slides without location keys and stays with its parent: {some(missed)}."
        notes.append(one if len(missed) == 1 else several)
    shifted = np.array(sorted(shifts), dtype=np.int64)
    return shifted, np.array([shifts[bone] for bone in sorted(shifts)]).reshape(len(shifted), 3, frames).swapaxes(0, 1)


def _mapped(matrices, vectors) -> np.ndarray:
    """Vectors `[3, T]` through matrices `[1 or T, 3, 3]`."""
    columns = matrices.transpose(1, 2, 0)
    return columns[:, 0] * vectors[0] + columns[:, 1] * vectors[1] + columns[:, 2] * vectors[2]


def _with_ancestors(parents, bones) -> list[int]:
    """The bones and all above them, parents before their children."""
    needed = set()
    for bone in bones:
        while bone >= 0 and bone not in needed:
            needed.add(int(bone))
            bone = parents[bone]
    return sorted(needed)


def _parent_turn(rig, bone, follows, joint_turns):
    """The world turn `[4, T]` that a bone's parent gets."""
    return joint_turns[:, follows[rig.parents[bone]] if rig.parents[bone] >= 0 else -1]


def _places(rig, heads, follows, joint_turns, anchors, shift):
    """Where bones come to lie, `{bone: [3, T]}`, when nothing but turns moves them.

    Args:
        heads: `{bone: [3, T]}`, with all bones above, parents first. shift: `[3, T]` added to the roots.
        anchors: the same for bones that are put elsewhere; what is below them follows, they themselves are given as
            they would lie.
    """
    places = {}
    for bone, head in heads.items():
        parent = int(rig.parents[bone])
        if parent < 0:
            places[bone] = head + shift
        else:
            step = rotate(_parent_turn(rig, bone, follows, joint_turns), head - heads[parent])
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
        linear = quaternion_to_matrix(reading.turns[:, parent].T)
    return linear @ local_rest(rig)[bone, :3, :3] if rig.local_location[bone] else linear
