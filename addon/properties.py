"""What the panels show and the operators read: settings of the scene, results of each armature."""

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from .adapt_settings import AdaptSettings
from .backend.errors import UserError
from .settings import LEVELS, ResampleSettings

KINDS = (
    ("SOURCE", "Source", "The action that the variations were made from"),
    ("RECONSTRUCTION", "Reconstruction", "The source as the model knows it"),
    ("VARIATION", "Variation", "A variation of the source"),
    ("MIX", "Mix", "Something between two variations of the source"),
)

CARRIED = {"LIBRARY_OVERRIDABLE"}  # what an armature carries can be changed on a linked one with an override


class MotionVariationsSettings(ResampleSettings, AdaptSettings, bpy.types.PropertyGroup):
    """The panel's settings, kept with the scene."""


def _action_name(row) -> str:
    """A line is called what its action is called, whoever renames it."""
    return row.action.name if row.action is not None else ""


def _rename_action(row, name) -> None:
    """Renaming a line renames its action. An empty name changes nothing, nor does one for a linked action."""
    if row.action is not None and row.action.library is None and name.strip():
        row.action.name = name


def _is_listed_variation(results, action) -> bool:
    """What can be mixed in: another variation of the source than the shown one."""
    from . import results as lists

    armature = results.id_data
    shown, source = lists.active_action(armature), lists.source_action(armature)
    return any(
        lists.is_listed(row, source) and row.kind != "SOURCE" and row.action == action and action != shown
        for row in results.rows
    )


class MotionVariationsRow(bpy.types.PropertyGroup):
    """One line of an armature's list: the source, its reconstruction, a variation, or a mix of two."""

    # `name`, which all groups have, is what Blender tells the lines of a library override apart by: never changed.
    title: StringProperty(
        name="Name",
        description="The name of the line's action. Double-click to rename the action",
        get=_action_name,
        set=_rename_action,
    )
    star: BoolProperty(
        name="Star",
        description="Mark this variation as one of the good ones. The list can show only these, and Reject All can "
        "spare them",
        default=False,
        override=CARRIED,
    )
    settings: StringProperty(
        name="Settings", description="What it was made with, for making it again", override=CARRIED
    )
    before: StringProperty(
        name="Before", description="What was there before the first click, for Reject All", override=CARRIED
    )
    kind: EnumProperty(name="Kind", items=KINDS, default="VARIATION", override=CARRIED)
    action: PointerProperty(
        name="Action", type=bpy.types.Action, description="The action of this line", override=CARRIED
    )
    source: PointerProperty(
        name="Source", type=bpy.types.Action, description="The action that it was made from", override=CARRIED
    )
    full: PointerProperty(
        name="Full Strength",
        type=bpy.types.Action,
        description="The keys as they were made, while the action shows another amount of its change",
        override=CARRIED,
    )
    slot: StringProperty(name="Slot", description="Identifier of the action's slot for this armature", override=CARRIED)
    seed: IntProperty(name="Seed", description="The seed that made this variation", override=CARRIED)
    strength: FloatProperty(name="Strength", description="The strength that made this variation", override=CARRIED)
    level: EnumProperty(
        name="Level", description="What this variation changes", items=LEVELS, default="PHRASES", override=CARRIED
    )
    change_deg: FloatProperty(
        name="Change",
        description="How far the joints turn from the source on average, in degrees",
        precision=1,
        override=CARRIED,
    )


class MotionVariationsPin(bpy.types.PropertyGroup):
    """A frame of a source whose pose stays in its variations."""

    action: PointerProperty(
        name="Action", type=bpy.types.Action, description="The source whose pose stays", override=CARRIED
    )
    frame: FloatProperty(name="Frame", description="The frame whose pose stays", override=CARRIED)


class MotionVariationsReport(bpy.types.PropertyGroup):
    """What *Encode* found out about a source."""

    action: PointerProperty(
        name="Action", type=bpy.types.Action, description="The action that was encoded", override=CARRIED
    )
    digest: StringProperty(name="Digest", description="Of the source's keys as they were read", override=CARRIED)
    slot: StringProperty(name="Slot", description="Identifier of the source's slot that was read", override=CARRIED)
    scene_fps: FloatProperty(
        name="Scene Rate", description="The scene's frame rate when the source was read", override=CARRIED
    )
    frames: IntProperty(name="Frames", description="Frames read", override=CARRIED)
    joints: IntProperty(
        name="Joints", description="Bones that the model sees; the others follow them", override=CARRIED
    )
    bones: IntProperty(name="Bones", description="Bones of the armature", override=CARRIED)
    fps: FloatProperty(name="Rate", description="Frames a second as read", override=CARRIED)
    height_m: FloatProperty(name="Height", description="Size of the skeleton in metres", override=CARRIED)
    rotation_deg: FloatProperty(
        name="Rotation error",
        description="How far the model's reconstruction is off on average, in degrees",
        override=CARRIED,
    )
    joint_cm: FloatProperty(
        name="Joint error",
        description="How far the joints of the model's reconstruction are off on average, in cm",
        override=CARRIED,
    )
    joint_heights: FloatProperty(
        name="Joint error", description="The same as a share of the skeleton's height", override=CARRIED
    )
    learnt_file: StringProperty(
        name="Learnt", description="The file with what was learnt of this character", override=CARRIED
    )
    learnt_problem: StringProperty(
        name="Problem", description="Why what was learnt of this character isn't used", override=CARRIED
    )
    held_before: FloatProperty(
        name="Error before",
        description="The model's joint error before it learnt, on motion that was held out, as a share of the height",
        override=CARRIED,
    )
    held_after: FloatProperty(
        name="Error after", description="The same after it learnt the character", override=CARRIED
    )


def _show_active(results, context):
    """A click on a line, or the arrow keys, show its action at once."""
    from . import results as lists
    from . import session

    try:
        lists.show_active(results)
    except UserError as error:  # a property has nobody to report to but the panel
        session.say(str(error), "VARIATIONS", is_error=True)


class MotionVariationsResults(bpy.types.PropertyGroup):
    """What an armature object carries: its list and the last encode's report. Saved with the file."""

    rows: CollectionProperty(type=MotionVariationsRow, override=CARRIED | {"USE_INSERTION"})
    active_index: IntProperty(
        name="Shown",
        description="Show the source or a variation on the armature. Arrow keys go through the list",
        default=0,
        min=0,
        update=_show_active,
        override=CARRIED,
    )
    starred_only: BoolProperty(
        name="Starred Only",
        description="List only the source and the starred variations. The others are hidden, not deleted",
        default=False,
        override=CARRIED,
    )
    mix_with: PointerProperty(
        name="Mix With",
        type=bpy.types.Action,
        poll=_is_listed_variation,
        description="The variation of the same source that the shown one is mixed with",
        override=CARRIED,
    )
    mix_factor: FloatProperty(
        name="Factor",
        description="How far the mix lies from the shown variation: at 0 it equals this one, at 1 the other one",
        default=0.5,
        min=0.0,
        max=1.0,
        step=5,
        precision=2,
        override=CARRIED,
    )
    report: PointerProperty(type=MotionVariationsReport, override=CARRIED)
    pins: CollectionProperty(type=MotionVariationsPin, override=CARRIED | {"USE_INSERTION"})


CLASSES = (
    MotionVariationsSettings,
    MotionVariationsRow,
    MotionVariationsPin,
    MotionVariationsReport,
    MotionVariationsResults,
)


def register():
    """Adds `motion_variations` to scenes and objects."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.motion_variations = PointerProperty(type=MotionVariationsSettings)
    bpy.types.Object.motion_variations = PointerProperty(type=MotionVariationsResults, override=CARRIED)


def unregister():
    """Takes them away; what was stored stays in the file."""
    del bpy.types.Object.motion_variations
    del bpy.types.Scene.motion_variations
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
