"""The benchmark's clip: Rigify's human metarig with 65 moving bones, walking on and on, a key on every frame."""

import numpy as np

from backend.rotations import quaternion_continuous, quaternion_multiply, quaternion_to_euler, rotvec_to_quaternion

from . import walk_plan as plan
from .walk_clip import Animator

JOINTS = 65
CYCLE = (plan.FIRST_FRAME + plan.STEP, 2 * plan.STEP)  # first frame and length of a walk cycle in the demo's walk
SWAY_DEG = 2.5  # how far the upper body and the fingers wander
MOVING = ("spine", "shoulder", "upper_arm", "forearm", "hand", "thigh", "shin", "foot", "toe", "palm", "thumb", "f_")
LEGS = ("thigh", "shin", "foot", "toe")
ALSO = ("breast", "pelvis")


def make_performer():
    """The armature with exactly the bones that move."""
    import addon_utils
    import bpy

    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    armature = bpy.context.object
    bpy.ops.object.mode_set(mode="EDIT")
    bones = armature.data.edit_bones
    for bone in list(bones):
        if not bone.name.startswith(MOVING + ALSO):
            bones.remove(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    if len(armature.data.bones) != JOINTS:
        raise RuntimeError(f"The metarig has {len(armature.data.bones)} bones of a body, expected {JOINTS}.")
    return armature


def channel_values(armature, frames: int, seed: int) -> dict[tuple[str, int], np.ndarray]:
    """The values of every curve, `(data path, index)` to `[T]`."""
    animator = Animator(armature)
    first, length = CYCLE
    walkers = [bone.name for bone in armature.data.bones if not bone.name.startswith(("palm", "thumb", "f_") + ALSO)]
    cycle = [animator.channels(first + step, walkers) for step in range(length)]
    stride = animator.channels(first + length, walkers)[1] - cycle[0][1]
    rng = np.random.default_rng(seed)
    rows, times = np.arange(frames) % length, np.arange(frames) / plan.FPS
    values = {}
    for bone in armature.pose.bones:
        rotations = np.tile([1.0, 0, 0, 0], (frames, 1))
        if bone.name in walkers:
            rotations = np.array([rotations_of[bone.name] for rotations_of, _ in cycle])[rows]
        if not bone.name.startswith(LEGS) and bone.parent is not None:
            speeds, phases = rng.uniform(0.5, 4.0, 3), rng.uniform(0, 2 * np.pi, 3)
            sway = np.radians(SWAY_DEG) * np.sin(times[:, None] * speeds + phases)
            rotations = quaternion_multiply(rotations, rotvec_to_quaternion(sway))
        path = f'pose.bones["{bone.name}"].'
        if bone.rotation_mode == "QUATERNION":
            path, numbers = path + "rotation_quaternion", quaternion_continuous(rotations)
        else:
            path, numbers = path + "rotation_euler", quaternion_to_euler(rotations, bone.rotation_mode)
        values.update({(path, index): numbers[:, index] for index in range(numbers.shape[1])})
    places = np.array([location for _, location in cycle])[rows] + (np.arange(frames) // length)[:, None] * stride
    values.update({('pose.bones["spine"].location', index): places[:, index] for index in range(3)})
    return values


def make_action(armature, values, name: str):
    """A new action with a key on every frame, assigned to the armature; written with the barest calls there are."""
    import bpy
    from bpy_extras.anim_utils import action_ensure_channelbag_for_slot

    action = bpy.data.actions.new(name)
    slot = action.slots.new("OBJECT", armature.name)
    bag = action_ensure_channelbag_for_slot(action, slot)
    frames = len(next(iter(values.values())))
    keys = np.empty((frames, 2), dtype=np.float32)
    keys[:, 0] = np.arange(1, frames + 1)
    linear = np.ones(frames, dtype=np.int32)
    for (path, index), numbers in values.items():
        curve = bag.fcurves.new(path, index=index)
        curve.keyframe_points.add(frames)
        keys[:, 1] = numbers
        curve.keyframe_points.foreach_set("co", keys.ravel())
        curve.keyframe_points.foreach_set("interpolation", linear)
        curve.update()
    data = armature.animation_data or armature.animation_data_create()
    data.action, data.action_slot = action, slot
    return action, slot


def read_keys(action, slot) -> int:
    """Reads every key with the barest calls there are; how many there were."""
    from .clip import slot_curves

    count = 0
    for curve in slot_curves(action, slot):
        keys = np.empty(2 * len(curve.keyframe_points), dtype=np.float32)
        curve.keyframe_points.foreach_get("co", keys)
        count += len(keys) // 2
    return count
