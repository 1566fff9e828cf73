"""Actions, slots and F-curves of an armature object; remembering and restoring what it shows."""

import re
from dataclasses import dataclass, field

import bpy
import numpy as np

from ..armature import MotionError
from ..channels import CHANNEL_SIZE

HAS_SLOTS = bpy.app.version >= (4, 4, 0)
POSE_PATH = re.compile(r'pose\.bones\["((?:[^"\\]|\\.)*)"\]\.(\w+)')
TRANSFORMS = tuple(CHANNEL_SIZE)


@dataclass(frozen=True)
class Block:
    """A data-block to be found again after an undo or a rename."""

    uid: int
    name: str

    @classmethod
    def of(cls, block) -> "Block":
        """Remembers `block`."""
        return cls(block.session_uid, block.name)

    def find(self, collection):
        """The data-block in `bpy.data.<collection>`.

        Raises:
            MotionError: it isn't there any more.
        """
        for block in getattr(bpy.data, collection):
            if block.session_uid == self.uid:
                return block
        raise MotionError(f"'{self.name}' isn't in the file any more. Encode again.")


def assigned_action(armature):
    """The action and the slot that drive the object, None where there is none (before Blender 4.4 no slots exist)."""
    data = armature.animation_data
    if data is None:
        return None, None
    return data.action, (data.action_slot if HAS_SLOTS else None)


def assign_action(armature, action, slot=None) -> None:
    """Lets `action` drive the object through `slot`: a slot, its identifier, or None for that with most bone curves."""
    data = armature.animation_data or armature.animation_data_create()
    if data.use_tweak_mode:
        raise MotionError(f"'{armature.name}' has an NLA strip in tweak mode. Leave it (Tab in the NLA editor) first.")
    data.action = action
    if action is None or not HAS_SLOTS:
        return
    slot = find_slot(armature, action, slot) or find_slot(armature, action)  # by its name, else the fitting one
    if slot is not None and data.action_slot != slot:
        data.action_slot = slot


def remove_action(block: Block) -> None:
    """Deletes an action if it is still there."""
    for action in bpy.data.actions:
        if action.session_uid == block.uid:
            bpy.data.actions.remove(action)
            return


def slot_identifier(armature) -> str:
    """The identifier of the slot that drives the object, "" where there is none."""
    return identifier_of(assigned_action(armature)[1])


def identifier_of(slot) -> str:
    """A slot's identifier, "" for None."""
    return "" if slot is None else slot.identifier


def find_slot(armature, action, slot=None):
    """The action's slot by object or identifier; with None the one that has most of the armature's bone curves."""
    if not HAS_SLOTS or action is None:
        return None
    if slot is not None and not isinstance(slot, str):
        return slot
    if slot:
        return next((one for one in action.slots if one.identifier == slot), None)
    fitting = [one for one in action.slots if one.target_id_type in ("OBJECT", "UNSPECIFIED")]
    return max(fitting, key=lambda one: bone_curve_count(armature, action, one), default=None)


def curve_collection(action, slot):
    """The F-curves of a slot; empty where it has none."""
    if not HAS_SLOTS:
        return action.fcurves
    for layer in action.layers:
        for strip in layer.strips:
            bag = strip.channelbag(slot) if slot is not None else None
            if bag is not None:
                return bag.fcurves
    return ()


def curve_target(path: str):
    """Bone name (None for the object itself) and property that a data path leads to, or None where it is neither."""
    match = POSE_PATH.fullmatch(path)
    if match:
        name = match[1]
        return (bpy.utils.unescape_identifier(name) if "\\" in name else name), match[2]
    return (None, path) if "." not in path and "[" not in path else None


def bone_curve_count(armature, action, slot) -> int:
    """How many curves move bones that the armature has."""
    bones = armature.data.bones
    return sum(1 for curve in curve_collection(action, slot) if _moves_bone(curve, bones))


def animating_actions(armature) -> list:
    """The actions of the file that animate an armature: at least half of their curves of bones are of its bones."""
    found = []
    for action in bpy.data.actions:
        slot = find_slot(armature, action)
        targets = [curve_target(curve.data_path) for curve in curve_collection(action, slot)]
        of_bones = sum(target is not None and target[0] is not None for target in targets)
        if of_bones and 2 * bone_curve_count(armature, action, slot) >= of_bones:
            found.append(action)
    return found


def _moves_bone(curve, bones) -> bool:
    target = curve_target(curve.data_path)
    return target is not None and target[0] is not None and target[1] in CHANNEL_SIZE and target[0] in bones


def action_frame_range(armature, action=None, slot=None):
    """First and last frame of the keys that move bones, or None where there are none."""
    if action is None:
        action, slot = assigned_action(armature)
    if action is None:
        return None
    bones = armature.data.bones
    ranges = []
    for curve in curve_collection(action, find_slot(armature, action, slot)):
        if _moves_bone(curve, bones) and len(curve.keyframe_points):
            ranges.append(curve.range())
    return (min(start for start, _ in ranges), max(stop for _, stop in ranges)) if ranges else None


@dataclass(frozen=True)
class State:
    """What showing an action, or stepping through frames, disturbs; see `capture` and `restore`."""

    armature: Block
    action: Block | None
    slot: str
    use_nla: bool
    frame: tuple[int, float]
    ranges: tuple
    pose: dict[str, np.ndarray] = field(repr=False)


RANGES = ("use_preview_range", "frame_start", "frame_end", "frame_preview_start", "frame_preview_end")


def capture(armature, scene) -> State:
    """Remembers the armature's action and pose and the scene's frame and ranges."""
    action, slot = assigned_action(armature)
    pose = {name: pose_values(armature, name) for name in TRANSFORMS}
    ranges = tuple((name, getattr(scene, name)) for name in RANGES)
    frame = (scene.frame_current, scene.frame_subframe)
    use_nla = armature.animation_data is None or armature.animation_data.use_nla
    shown = Block.of(action) if action else None
    return State(Block.of(armature), shown, identifier_of(slot), use_nla, frame, ranges, pose)


def restore(state: State, scene) -> None:
    """Brings back what `capture` remembered, poses that have no keys included."""
    armature = state.armature.find("objects")
    action, slot = assigned_action(armature)
    wanted = state.action.find("actions") if state.action else None
    if action != wanted or identifier_of(slot) != state.slot:
        if wanted is not None or armature.animation_data is not None:
            assign_action(armature, wanted, state.slot or None)
    if armature.animation_data is not None and armature.animation_data.use_nla != state.use_nla:
        armature.animation_data.use_nla = state.use_nla
    for name, value in state.ranges:
        if getattr(scene, name) != value:
            setattr(scene, name, value)
    scene.frame_set(state.frame[0], subframe=state.frame[1])
    for name, values in state.pose.items():
        if not np.array_equal(values, pose_values(armature, name)):
            armature.pose.bones.foreach_set(name, values[:-1].ravel())
            setattr(armature, name, values[-1])
            armature.update_tag(refresh={"OBJECT"})


def pose_values(armature, name) -> np.ndarray:
    """A property of every pose bone, in the pose's order, and of the object in the last row."""
    size = CHANNEL_SIZE[name]
    values = np.empty((len(armature.pose.bones) + 1, size), dtype=np.float32)
    armature.pose.bones.foreach_get(name, values[:-1].reshape(-1))
    values[-1] = getattr(armature, name)
    return values
