"""Armature -> skeleton: the bones as arrays, which of them are joints, what an armature must be to be read."""

from dataclasses import dataclass

import numpy as np

from .backend.errors import UserError
from .backend.rotations import quaternion_conjugate, quaternion_rotate
from .backend.skeleton import (
    JointChoice,
    Skeleton,
    choose_joints,
    parent_rows,
    rigid_positions,
    tree_depths,
    tree_height,
)
from .control_joints import control_choice
from .links import Link, held_bones, read_links, weighted_bones

SAMPLE_FRAMES = 120  # enough to see which bones move
RIGID_HEIGHTS = 1e-6  # joints that kinematics without slides puts this near to their places are rigid
MIN_SCALE = 1e-6  # a bone scaled below this is hidden, and its matrix doesn't say how it is turned


class MotionError(UserError):
    """The armature or its animation can't be read or written; the text says what was found and what to do."""


@dataclass(frozen=True)
class Rig:
    """An armature's bones as arrays, parents before their children.

    Attributes:
        names: the bones' names.
        parents: `[N]` int, -1 for roots.
        rest: `[N, 4, 4]` rest matrices in armature space.
        pose_rows: `[N]` int, where each bone stands in `object.pose.bones`.
        deform: `[N]` bool. connected: `[N]` bool, the bone has no location of its own.
        turns_along: `[N]` bool, the bone inherits its parent's rotation.
        local_location: `[N]` bool, location is measured along the bone's own axes.
        plain_scale: `[N]` bool, scale is inherited in full.
        modes: rotation mode of each bone.
        constrained: `[N]` bool, an active constraint acts on the bone.
        held_turn: `[N]` bool, one of them decides how the bone is turned. held_place: `[N]` bool, where it is.
        links: which bone moves which, by constraints and drivers.
        weighted: `[N]` bool, the bone moves vertices or an object; None where that isn't known or doesn't matter.
    """

    names: tuple[str, ...]
    parents: np.ndarray
    rest: np.ndarray
    pose_rows: np.ndarray
    deform: np.ndarray
    connected: np.ndarray
    turns_along: np.ndarray
    local_location: np.ndarray
    plain_scale: np.ndarray
    modes: tuple[str, ...]
    constrained: np.ndarray
    held_turn: np.ndarray
    held_place: np.ndarray
    links: tuple[Link, ...]
    weighted: np.ndarray | None

    @property
    def has_controls(self) -> bool:
        """Whether bones move bones by other ways than the tree, so that keys may stand on other bones than joints."""
        return bool(self.constrained.any()) or bool(self.links)


def check_armature(armature) -> None:
    """Raises MotionError where `armature` isn't an armature object that can be read."""
    if armature is None:
        raise MotionError("No armature is selected. Select an armature that has an animation.")
    if armature.type != "ARMATURE":
        if armature.type == "EMPTY":
            raise MotionError(f"'{armature.name}' is an empty. Select an armature that has an animation.")
        raise MotionError(f"'{armature.name}' is a {armature.type.lower()}. Select an armature that has an animation.")
    if armature.mode == "EDIT":
        raise MotionError(f"'{armature.name}' is in edit mode. Leave it (Tab) and try again.")
    if armature.data is None or not armature.data.bones or armature.pose is None or not armature.pose.bones:
        missing = armature.data is not None and armature.data.library is not None and armature.data.is_missing
        reason = "Its library file is missing: find it with File > External Data" if missing else "Add bones first"
        raise MotionError(f"'{armature.name}' has no bones. {reason}.")


def check_writable(armature) -> None:
    """Raises MotionError where `armature` comes from another file and can't be given an action."""
    if armature.library is not None:
        raise MotionError(
            f"'{armature.name}' is linked from another file and can't take a new action. Make a library override first "
            "(Object > Library Override > Make)."
        )
    if armature.override_library is not None and armature.override_library.is_system_override:
        raise MotionError(
            f"'{armature.name}' is a library override that isn't editable, so it can't take a new action. Make it "
            "editable first (Outliner: right click > Library Override > Make > Selected & Content)."
        )


def read_rig(armature, things=()) -> Rig:
    """The bones of an armature object as arrays.

    Args:
        things: the file's objects; those that the armature deforms or carries tell which bones deform.

    Raises:
        MotionError: it has no bones, or a bone's rest matrix can't be used.
    """
    check_armature(armature)
    bones = list(armature.data.bones)  # Blender walks the tree, so parents come first
    names = tuple(bone.name for bone in bones)
    row_of = {name: row for row, name in enumerate(names)}
    pose_bones = armature.pose.bones
    pose_row_of = {bone.name: row for row, bone in enumerate(pose_bones)}
    if len(pose_row_of) != len(names) or any(name not in pose_row_of for name in names):
        raise MotionError(f"The pose of '{armature.name}' isn't up to date. Enter and leave pose mode, then try again.")
    pose_rows = np.array([pose_row_of[name] for name in names])
    parents = np.array([-1 if bone.parent is None else row_of[bone.parent.name] for bone in bones])
    rest = np.empty((len(bones), 16), dtype=np.float32)
    armature.data.bones.foreach_get("matrix_local", rest.reshape(-1))
    rest = rest.reshape(-1, 4, 4).swapaxes(1, 2).astype(np.float64)
    broken = ~np.isfinite(rest).all(axis=(1, 2)) | (np.abs(np.linalg.det(rest[:, :3, :3])) < 0.5)
    if broken.any():
        name = names[int(np.flatnonzero(broken)[0])]
        raise MotionError(f"Bone '{name}' has no length or direction. Give it some in edit mode, or delete it.")
    poses = [pose_bones[row] for row in pose_rows]
    constrained = [any(c.enabled and c.influence > 0 and c.is_valid for c in pose.constraints) for pose in poses]
    held_turn, held_place = held_bones(poses)
    links = read_links(armature, row_of, parents)
    return Rig(
        names=names,
        parents=parents,
        rest=rest,
        pose_rows=pose_rows,
        deform=np.array([bone.use_deform for bone in bones]),
        connected=np.array([bone.use_connect and bone.parent is not None for bone in bones]),
        turns_along=np.array([bone.use_inherit_rotation for bone in bones]),
        local_location=np.array([bone.use_local_location for bone in bones]),
        plain_scale=np.array([bone.inherit_scale == "FULL" for bone in bones]),
        modes=tuple(pose.rotation_mode for pose in poses),
        constrained=np.array(constrained),
        held_turn=held_turn,
        held_place=held_place,
        links=links,
        weighted=weighted_bones(armature, things, names) if links else None,
    )


def local_rest(rig: Rig) -> np.ndarray:
    """Each bone's rest matrix seen from its parent's, `[N, 4, 4]`; roots as they are."""
    above = np.where((rig.parents >= 0)[:, None, None], rig.rest[parent_rows(rig.parents)], np.eye(4))
    return np.linalg.inv(above) @ rig.rest  # Blender's rest matrices are rotations only nearly, so no transposing


def levels(parents) -> list[np.ndarray]:
    """The rows of each depth of the tree, roots first."""
    depths = tree_depths(parents)
    return [np.flatnonzero(depths == depth) for depth in range(int(depths.max()) + 1)]


def split_rotation(linear) -> np.ndarray:
    """The rotations in matrices `[..., 3, 3]` that also scale, shear or mirror: the polar factor, mirrors turned over.

    Meaningless where a matrix squeezes space flat; see `is_flat`.
    """
    lengths = np.linalg.norm(linear, axis=-2, keepdims=True)
    rotations = linear / np.maximum(lengths, 1e-30)
    products = np.abs(np.swapaxes(rotations, -1, -2) @ rotations - np.eye(3)).max(axis=(-1, -2))
    sheared = products > 1e-5
    if sheared.any():
        u, _, v = np.linalg.svd(linear[sheared])
        rotations[sheared] = u @ v
    return rotations * np.sign(np.linalg.det(rotations))[..., None, None]


def is_flat(linear) -> np.ndarray:
    """Which matrices `[..., 3, 3]` of bones have an axis scaled to nothing, `[...]` bool."""
    return (np.linalg.norm(linear, axis=-2) < MIN_SCALE).any(axis=-1)


def is_even(world) -> bool:
    """Whether object matrices `[1 or T, 4, 4]` scale all axes alike and all the time."""
    products = np.swapaxes(world[:, :3, :3], 1, 2) @ world[:, :3, :3]
    size = products[0, 0, 0]
    return bool(np.abs(products - size * np.eye(3)).max() < 1e-6 * size)


def sample_of(frames: int) -> np.ndarray:
    """Rows spread over a clip, its ends among them."""
    return np.unique(np.linspace(0, frames - 1, min(frames, SAMPLE_FRAMES)).astype(np.int64))


def joint_choice(rig: Rig, rotations, heads, keyed) -> JointChoice:
    """Which bones the model sees.

    Args:
        rotations: `[T, N, 4]` world. heads: `[T, N, 3]` world, metres. keyed: `[N]` bool.

    Raises:
        MotionError: no bone moves, or too many do.
    """
    sample = sample_of(len(rotations))
    try:
        if rig.has_controls:
            return control_choice(rig, rotations[sample], heads[sample], keyed)
        return choose_joints(rig.parents, rotations[sample], heads[sample], rig.deform | keyed)
    except ValueError as error:
        raise MotionError(str(error)) from error


def joint_skeleton(rig: Rig, choice: JointChoice, rotations, heads, world, surely_rigid) -> tuple[Skeleton, bool]:
    """The skeleton of the chosen joints, and whether its bones are rigid in this motion.

    Rest orientations are the armature's; offsets are the clip's mean ones, for keys often hold bones away from rest.

    Args:
        rotations: `[T, J, 4]` and heads `[T, J, 3]` of the joints, world. world: `[4, 4]` the object's matrix.
        surely_rigid: the channels say that nothing slides, so a sample of frames is measured instead of all.
    """
    rows = parent_rows(choice.parents)
    sample = sample_of(len(rotations))
    turns, points = rotations[sample], heads[sample]
    offsets = quaternion_rotate(quaternion_conjugate(turns[:, rows]), points - points[:, rows]).mean(axis=0)
    rest = np.tile(np.eye(4), (len(rows), 1, 1))
    rest[:, :3, :3] = split_rotation(world[:3, :3]) @ rig.rest[choice.bones, :3, :3]
    rest[0, :3, 3] = world[:3, :3] @ rig.rest[choice.bones[0], :3, 3] + world[:3, 3]
    for joint in range(1, len(rows)):
        above = rest[rows[joint]]
        rest[joint, :3, 3] = above[:3, 3] + above[:3, :3] @ offsets[joint]
    skeleton = Skeleton(choice.parents, rest)
    height = max(tree_height(choice.parents, offsets), 1e-9)

    def strays(turns, points):
        return np.abs(rigid_positions(skeleton, points[:, 0], turns) - points).max() > RIGID_HEIGHTS * height

    return skeleton, not strays(turns, points) and (surely_rigid or not strays(rotations, heads))


def is_surely_rigid(rig: Rig, choice: JointChoice, channels) -> bool:
    """Whether the channels alone say that no joint moves against its parent joint."""
    varying = channels.values.max(axis=1) != channels.values.min(axis=1)
    shifted, turned = np.zeros(len(rig.names) + 1, dtype=bool), np.zeros(len(rig.names) + 1, dtype=bool)
    for bone, kind, varies in zip(channels.bones.tolist(), channels.kinds, varying.tolist(), strict=True):
        if varies and kind == "scale":
            return False
        if varies:
            (shifted if kind == "location" else turned)[bone] = True
    for joint in range(1, len(choice.bones)):
        bone, end = choice.bones[joint], choice.bones[choice.parents[joint]]
        if shifted[bone]:
            return False
        bone = rig.parents[bone]
        while bone != end:
            if bone < 0 or shifted[bone] or turned[bone]:
                return False
            bone = rig.parents[bone]
    return True
