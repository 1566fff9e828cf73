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

from .backend.errors import UserError

MAX_VARIATIONS = 20
MAX_SEED = 2**31 - 1

LEVELS = (
    ("WHOLE", "Whole motion", "Another performance throughout: posture and manner change, the same from start to end"),
    ("PHRASES", "Phrases", "Other phrasing: what changes drifts over the clip, about every second"),
    ("DETAIL", "Detail", "Small and quick differences only; posture and phrasing stay"),
)
RANGES = (
    ("WHOLE", "Whole action", "Vary the action from its first key to its last"),
    ("PREVIEW", "Preview range", "Vary the frames inside the scene's preview range; the others stay as they are"),
    ("CUSTOM", "Custom", "Vary the frames from start to end below; the others stay as they are"),
)
KEYS = (
    ("EVERY_FRAME", "Every frame", "Write a key on every frame: exact, but dense"),
    ("SOURCE_KEYS", "Source's keys", "Write only where the source has keys: as easy to edit as the source"),
)
KINDS = (
    ("SOURCE", "Source", "The action that the variations were made from"),
    ("RECONSTRUCTION", "Reconstruction", "The source as the model knows it"),
    ("VARIATION", "Variation", "A variation of the source"),
)

CARRIED = {"LIBRARY_OVERRIDABLE"}  # what an armature carries can be changed on a linked one with an override


class ResampleSettings:
    """What *Resample motion* takes; the scene keeps it for the panel, the operator has the same for scripts."""

    count: IntProperty(
        name="Count",
        description="How many variations one click makes. Each is a new action; the source stays as it is",
        default=3,
        min=1,
        max=MAX_VARIATIONS,
    )
    strength: FloatProperty(
        name="Strength",
        description="How far the variations go from the source. At 0 they equal it, at 1 they differ as much as two "
        "performances of one motion do",
        default=1.0,
        min=0.0,
        max=3.0,
        soft_max=2.0,
        step=5,
        precision=2,
    )
    level: EnumProperty(
        name="Level",
        description="What changes: the whole motion, its phrases, or its detail",
        items=LEVELS,
        default="PHRASES",
    )
    seed: IntProperty(
        name="Seed",
        description="Number of the first variation, the next ones count up from it. The same seed and settings give "
        "the same variations again. Each click takes a new seed unless it is locked",
        default=1,
        min=0,
        max=MAX_SEED,
    )
    lock_seed: BoolProperty(
        name="Lock Seed",
        description="Keep the seed, so that the next click makes the same variations again (with other settings: "
        "comparable ones)",
        default=False,
    )
    keep_root_path: BoolProperty(
        name="Keep root path",
        description="The body's root stays on its path over the ground, only the pose changes",
        default=True,
    )
    keep_ends: BoolProperty(
        name="Keep first and last pose",
        description="The first and the last pose stay as they are, so that clips still join",
        default=True,
    )
    contacts: BoolProperty(
        name="Keep contacts",
        description="Feet, hands, paws that rest on something in the source rest over the same frames in the variation",
        default=True,
    )
    selected_only: BoolProperty(
        name="Selected bones only",
        description="Change the selected pose bones alone; all other bones keep their motion",
        default=False,
    )
    frame_range: EnumProperty(name="Frames", description="Which frames may change", items=RANGES, default="WHOLE")
    frame_start: IntProperty(name="Start", description="First frame that may change", default=1)
    frame_end: IntProperty(name="End", description="Last frame that may change", default=250)
    keys: EnumProperty(
        name="Keys",
        description="Where the variations get keys. Frames outside the range keep the source's keys",
        items=KEYS,
        default="EVERY_FRAME",
    )


class MotionVariationsSettings(ResampleSettings, bpy.types.PropertyGroup):
    """The panel's settings, kept with the scene."""


class MotionVariationsRow(bpy.types.PropertyGroup):
    """One line of an armature's list: the source, its reconstruction, or a variation."""

    kind: EnumProperty(name="Kind", items=KINDS, default="VARIATION", override=CARRIED)
    action: PointerProperty(
        name="Action", type=bpy.types.Action, description="The action of this line", override=CARRIED
    )
    source: PointerProperty(
        name="Source", type=bpy.types.Action, description="The action that it was made from", override=CARRIED
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


class MotionVariationsReport(bpy.types.PropertyGroup):
    """What *Encode* found out about a source."""

    action: PointerProperty(
        name="Action", type=bpy.types.Action, description="The action that was encoded", override=CARRIED
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
    report: PointerProperty(type=MotionVariationsReport, override=CARRIED)


CLASSES = (
    MotionVariationsSettings,
    MotionVariationsRow,
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
