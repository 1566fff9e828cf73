"""Actions read back through Blender's own evaluation, frame by frame, as honest numbers for figures and pictures."""

import numpy as np

from backend.motion import Motion
from backend.rotations import matrix_to_quaternion, quaternion_conjugate, quaternion_continuous, quaternion_rotate
from backend.skeleton import JointChoice, Skeleton, choose_joints
from pictures.take import Take

SAMPLED_FRAMES = 200  # enough to see which bones move


def read_take(armature, action, slot, start: int, stop: int, choice: JointChoice | None = None) -> Take:
    """Plays the action on the armature and reads every bone's place and rotation; the armature gets its action back.

    Args:
        choice: the joints of the source, so that all takes have the same rows; None chooses them from this action.
    """
    import bpy

    scene, data = bpy.context.scene, armature.animation_data
    before = (data.action, data.action_slot, scene.frame_current)
    bones = armature.pose.bones
    count = len(bones)
    frames = range(start, stop + 1)
    matrices = np.empty((len(frames), count, 4, 4))
    tails = np.empty((len(frames), count, 3))
    buffer, ends = np.empty(count * 16, dtype=np.float32), np.empty(count * 3, dtype=np.float32)
    try:
        data.action, data.action_slot = action, slot
        for row, frame in enumerate(frames):
            scene.frame_set(frame)
            evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
            world = np.array(evaluated.matrix_world)
            evaluated.pose.bones.foreach_get("matrix", buffer)
            evaluated.pose.bones.foreach_get("tail", ends)
            matrices[row] = world @ buffer.reshape(count, 4, 4).swapaxes(1, 2)
            tails[row] = ends.reshape(count, 3) @ world[:3, :3].T + world[:3, 3]
    finally:
        data.action, data.action_slot = before[:2]
        scene.frame_set(before[2])
    rotations = matrix_to_quaternion(unscaled(matrices[..., :3, :3]))
    positions = matrices[..., :3, 3]
    if choice is None:
        choice = rig_joints(armature, action, slot, rotations, positions)
    fps = scene.render.fps / scene.render.fps_base
    rotations, positions = quaternion_continuous(rotations[:, choice.bones]), positions[:, choice.bones]
    rest, rest_heads = rest_matrices(armature, choice, rotations, positions)
    skeleton = Skeleton(choice.parents, rest)
    motion = Motion(skeleton, fps, positions[:, 0], rotations, positions)
    return Take(motion, tails[:, choice.bones], rest_heads, choice)


def unscaled(linear) -> np.ndarray:
    """The rotations in matrices that may also scale, `[..., 3, 3]`."""
    return linear / np.linalg.norm(linear, axis=-2, keepdims=True)


def rig_joints(armature, action, slot, rotations, positions) -> JointChoice:
    """The joints of an armature: bones that deform or are keyed, and move."""
    from .clip import bone_curves

    bones = armature.pose.bones
    row_of = {bone.name: row for row, bone in enumerate(bones)}
    keyed = {curve.data_path.split('"')[1] for curve in bone_curves(action, slot)}
    parents = [row_of[bone.parent.name] if bone.parent else -1 for bone in bones]
    candidates = np.array([bone.bone.use_deform or bone.name in keyed for bone in bones])
    sample = np.unique(np.linspace(0, len(rotations) - 1, SAMPLED_FRAMES).astype(int))
    return choose_joints(parents, rotations[sample], positions[sample], candidates)


def rest_matrices(armature, choice: JointChoice, rotations, positions):
    """The joints' rest matrices in the world, without scale, `[J, 4, 4]`, and their heads in the rest pose, `[J, 3]`.

    The matrices have the clip's own mean bone lengths: keys often hold bones away from their rest places.
    """
    bones, world = armature.pose.bones, np.array(armature.matrix_world)
    rest = np.array([world @ np.array(bones[row].bone.matrix_local) for row in choice.bones])
    heads = rest[:, :3, 3].copy()
    rest[:, :3, :3] = unscaled(rest[:, :3, :3])
    for joint, parent in enumerate(choice.parents[1:], start=1):
        steps = quaternion_rotate(
            quaternion_conjugate(rotations[:, parent]), positions[:, joint] - positions[:, parent]
        )
        rest[joint, :3, 3] = rest[parent, :3, 3] + rest[parent, :3, :3] @ steps.mean(axis=0)
    return rest, heads
