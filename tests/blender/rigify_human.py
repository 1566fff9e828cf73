"""A generated Rigify human that walks, turns and waves: the demo's clip, carried from the metarig to the controls."""

import numpy as np

FOLLOWED = (  # control, the metarig's bone that it takes its turn (and place) from; parents first
    ("torso", "spine", True),
    ("hips", "spine", False),
    ("chest", "spine.002", False),
    ("head", "spine.006", False),
    ("shoulder.L", "shoulder.L", False),
    ("upper_arm_fk.L", "upper_arm.L", False),
    ("forearm_fk.L", "forearm.L", False),
    ("hand_fk.L", "hand.L", False),
    ("shoulder.R", "shoulder.R", False),
    ("upper_arm_fk.R", "upper_arm.R", False),
    ("forearm_fk.R", "forearm.R", False),
    ("hand_fk.R", "hand.R", False),
    ("foot_ik.L", "foot.L", True),
    ("foot_ik.R", "foot.R", True),
    ("thigh_ik_target.L", "thigh.L", True),
    ("thigh_ik_target.R", "thigh.R", True),
)
NAME = "Rigify walk"


def make(step=5, last=61):
    """Generates the rig from the metarig with Rigify, keys the controls every few frames, gives the armature object.

    Args:
        step: frames from key to key. last: the last frame.
    """
    import addon_utils
    import bpy

    from demo.walk_clip import Animator, key_frames

    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_basic_human_metarig_add()
    metarig = bpy.context.object
    animator = Animator(metarig)
    for frame, bones in key_frames().items():
        animator.key(frame, bones)
    poses = _poses(metarig, [*range(1, last, step), last])
    metarig.animation_data_clear()
    for bone in metarig.pose.bones:
        bone.matrix_basis.identity()
    bpy.ops.object.select_all(action="DESELECT")
    metarig.select_set(True)
    bpy.context.view_layer.objects.active = metarig
    bpy.ops.pose.rigify_generate()
    rig = bpy.context.view_layer.objects.active
    _set_up(rig)
    rig.animation_data.action = bpy.data.actions.new(NAME)
    for frame, pose in poses.items():
        _key(rig, frame, pose)
    bpy.data.objects.remove(metarig)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, last
    scene.frame_set(1)
    return rig


def _poses(metarig, frames):
    """The world change of each bone from its rest, by frame."""
    import bpy

    poses = {}
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        poses[frame] = {
            bone.name: np.array(bone.matrix) @ np.linalg.inv(np.array(bone.bone.matrix_local))
            for bone in metarig.pose.bones
        }
    return poses


def _set_up(rig):
    """Arms by FK, knees by their poles."""
    for side in "LR":
        rig.pose.bones[f"upper_arm_parent.{side}"]["IK_FK"] = 1.0
        rig.pose.bones[f"thigh_parent.{side}"]["pole_vector"] = True
    for name, _, _ in FOLLOWED:
        rig.pose.bones[name].rotation_mode = "QUATERNION"
    rig.animation_data_create()


def _key(rig, frame, pose):
    """Poses the controls and keys them."""
    import bpy
    from mathutils import Matrix

    for name, source, moves in FOLLOWED:
        bone = rig.pose.bones[name]
        wanted = Matrix(pose[source] @ np.array(bone.bone.matrix_local))
        if not moves:
            wanted.translation = bone.matrix.translation
        bone.matrix = wanted
        bpy.context.view_layer.update()
        bone.keyframe_insert("rotation_quaternion", frame=frame)
        if moves:
            bone.keyframe_insert("location", frame=frame)
