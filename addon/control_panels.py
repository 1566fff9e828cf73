"""Below *Resample*: which bones and frames may change, what stays, which poses are pinned. Drawing only."""

import bpy

from . import pins, results
from .backend.errors import UserError
from .body import body_parts, split_keys
from .panels import draw_sentence
from .scope import PIN_NAME, frame_limits, pinned_frames

PARTS_IN_A_ROW = 2
PINS_IN_A_ROW = 4
MAX_PINS = 24


class _ControlPanel:
    """What the panels share."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Variations"
    bl_parent_id = "MOTION_VARIATIONS_PT_resample"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """The settings, in two columns, for the active armature."""
        self.layout.use_property_split = True
        self.layout.use_property_decorate = False
        armature = results.armature_of(context)
        armature = armature if armature is not None and armature.type == "ARMATURE" else None
        self.draw_settings(self.layout, context, context.scene.motion_variations, armature)


class MOTION_VARIATIONS_PT_scope(_ControlPanel, bpy.types.Panel):
    """Which bones and which frames may change."""

    bl_label = "What changes"
    bl_idname = "MOTION_VARIATIONS_PT_scope"
    bl_order = 1

    def draw_settings(self, layout, context, settings, armature):
        """Bones, frames, falloff."""
        layout.prop(settings, "bones")
        if settings.bones == "COLLECTION" and armature is not None:
            layout.prop_search(settings, "bone_collection", armature.data, "collections_all", text="Collection")
        elif settings.bones == "PARTS" and armature is not None:
            draw_parts(layout, context, settings, armature)
        layout.prop(settings, "frame_range")
        if settings.frame_range == "CUSTOM":
            column = layout.column(align=True)
            column.prop(settings, "frame_start")
            column.prop(settings, "frame_end")
        elif settings.frame_range != "WHOLE" and armature is not None:
            draw_limits(layout, context, settings, armature)
        layout.prop(settings, "falloff", text="Falloff" if settings.falloff else "Falloff (auto)")


def draw_parts(layout, context, settings, armature) -> None:
    """A button for each part of the body, pressed where it is chosen; and what is chosen but isn't there."""
    chosen = split_keys(settings.parts)
    parts = body_parts(armature)
    grid = layout.grid_flow(row_major=True, columns=PARTS_IN_A_ROW, even_columns=True, align=True)
    for part in parts:
        button = grid.operator("motion_variations.toggle_part", text=part.words, depress=part.key in chosen)
        button.key = part.key
    missing = [key for key in chosen if key not in {part.key for part in parts}]
    for key in missing:
        row = layout.row()
        row.alert = True
        button = row.operator("motion_variations.toggle_part", text=f"{key}: not on this armature", icon="X")
        button.key = key


def draw_limits(layout, context, settings, armature) -> None:
    """The frames that the range stands for now, or why there are none."""
    source = results.source_action(armature)
    if source is None:
        return
    values = {name: getattr(settings, name) for name in ("frame_range", "frame_start", "frame_end")}
    try:
        start, end = frame_limits(context.scene, armature, source, values)
        layout.label(text=f"Frames {start:g} to {end:g}", icon="PREVIEW_RANGE")
    except UserError as error:
        draw_sentence(layout, str(error), context.region.width, is_error=True)


class MOTION_VARIATIONS_PT_keep(_ControlPanel, bpy.types.Panel):
    """What stays as in the source, where the body goes, whether the end meets the start."""

    bl_label = "What stays"
    bl_idname = "MOTION_VARIATIONS_PT_keep"
    bl_order = 2

    def draw_settings(self, layout, context, settings, armature):
        """Ends, contacts, root path, loop."""
        column = layout.column(heading="Keep")
        column.prop(settings, "keep_ends", text="First and last pose")
        column.prop(settings, "contacts", text="Contacts")
        layout.prop(settings, "root_path")
        layout.prop(settings, "loop")


class MOTION_VARIATIONS_PT_pins(_ControlPanel, bpy.types.Panel):
    """Poses that stay exactly as they are."""

    bl_label = "Pinned frames"
    bl_idname = "MOTION_VARIATIONS_PT_pins"
    bl_order = 3

    def draw_settings(self, layout, context, settings, armature):
        """The buttons, the list, what else pins, the ease."""
        row = layout.row(align=True)
        row.operator("motion_variations.pin_frame", icon="PINNED")
        row.operator("motion_variations.unpin_frame", text="", icon="UNPINNED")
        row.operator("motion_variations.clear_pins", text="", icon="X")
        source = results.source_action(armature) if armature is not None else None
        if source is not None:
            draw_pins(layout, context, settings, armature, source)
        column = layout.column(heading="Pinned by")
        column.prop(settings, "pin_frames", text="This list")
        column.prop(settings, "pin_pose_markers", text="Pose markers")
        column.prop(settings, "pin_scene_markers", text=f"Markers named '{PIN_NAME}'")
        layout.prop(settings, "pin_ease", text="Ease" if settings.pin_ease else "Ease (auto)")


def draw_pins(layout, context, settings, armature, source) -> None:
    """The pinned frames, each with a button that unpins it, and how many more markers pin."""
    frames = pins.pinned(armature, source)
    box = layout.column()
    box.active = settings.pin_frames
    if not frames:
        box.label(text="No frame is pinned in the list")
    grid = box.grid_flow(row_major=True, columns=PINS_IN_A_ROW, even_columns=True, align=True)
    for frame in frames[:MAX_PINS]:
        grid.operator("motion_variations.unpin_frame", text=f"{frame:g}", icon="PINNED").frame = frame
    if len(frames) > MAX_PINS:
        box.label(text=f"and {len(frames) - MAX_PINS} more")
    names = ("pin_frames", "pin_pose_markers", "pin_scene_markers")
    every = pinned_frames(context.scene, armature, source, {name: getattr(settings, name) for name in names})
    others = len([frame for frame in every if frame not in frames])
    if others:
        layout.label(text=f"{others} more by markers", icon="MARKER")


CLASSES = (MOTION_VARIATIONS_PT_scope, MOTION_VARIATIONS_PT_keep, MOTION_VARIATIONS_PT_pins)


def register():
    """Adds the panels."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    """Takes them away."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
