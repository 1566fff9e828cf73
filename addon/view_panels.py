"""Below the list of variations: where in time the shown one differs from its source, and the ghosts' settings."""

import bpy
import bpy.utils.previews

from . import ghosts, heat, pose_cache, results, timeline
from .armature import MotionError
from .panels import draw_sentence, draw_verb
from .timeline.poses import NotInKeys
from .translations import translated

ROW_UNITS = 20  # pixels of a line of text at interface scale 1
LABELS_UNITS = 9  # width that the words beside the picture need at least

_previews = None
_painted = None  # what the picture shows now
_waiting = False  # a redraw is on its way


class _ViewPanel:
    """What both share: they stand below the list, and are there when it is."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Variations"
    bl_parent_id = "MOTION_VARIATIONS_PT_variations"

    @classmethod
    def poll(cls, context):
        """Only where there is a list."""
        armature = results.armature_of(context)
        return armature is not None and armature.type == "ARMATURE" and bool(results.listed(armature))


class MOTION_VARIATIONS_PT_heat(_ViewPanel, bpy.types.Panel):
    """Where in time the shown variation differs from its source"""

    bl_label = "Heat line"
    bl_idname = "MOTION_VARIATIONS_PT_heat"

    def draw_header(self, context):
        """The switch."""
        self.layout.prop(context.scene.motion_variations_view, "heat", text="")

    def draw(self, context):
        """The picture and its words, or why there is none."""
        layout = self.layout
        armature = results.armature_of(context)
        line = results.shown_row(armature)
        if not context.scene.motion_variations_view.heat:
            layout.label(text="Off")
            return
        if line is None or line.action == line.source:
            layout.label(text="Show a variation to see where it differs", icon="INFO")
            return
        try:
            found = heat.heat_of(armature, line, patient=True)
        except MotionError as error:
            draw_unread(layout, context, error)
            return
        if not pose_cache.is_settled(armature, line.action):
            redraw_soon()
        draw_heat(layout, context, found)


class MOTION_VARIATIONS_PT_ghosts(_ViewPanel, bpy.types.Panel):
    """Skeletons of the source and of other frames, drawn over the variation"""

    bl_label = "Ghosts"
    bl_idname = "MOTION_VARIATIONS_PT_ghosts"
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header(self, context):
        """The switch."""
        self.layout.prop(context.scene.motion_variations_view, "ghosts", text="")

    def draw(self, context):
        """Their settings, and why there are none."""
        layout = self.layout
        view = context.scene.motion_variations_view
        layout.use_property_split = True
        layout.use_property_decorate = False
        if view.ghosts and ghosts.problem:
            draw_sentence(layout, ghosts.problem, context.region.width, is_error=True)
            draw_verb(layout, "read_poses", "FILE_REFRESH")
        layout.active = view.ghosts
        layout.prop(view, "colour")
        layout.prop(view, "around")
        if view.around != "NONE":
            column = layout.column(align=True)
            column.prop(view, "before")
            column.prop(view, "after")
            column.prop(view, "step")
            column = layout.column(align=True)
            column.prop(view, "colour_before", text="Colour Before")
            column.prop(view, "colour_after", text="Colour After")
        layout.prop(view, "width")
        layout.prop(view, "in_front")


def draw_unread(layout, context, error) -> None:
    """Why there are no poses, and where a click helps, the button."""
    draw_sentence(layout, str(error), context.region.width)
    if isinstance(error, NotInKeys):
        draw_verb(layout, "read_poses", "FILE_REFRESH")


def draw_heat(layout, context, found) -> None:
    """The picture with its first and last frame; the regions' names beside its rows, below it in a narrow sidebar."""
    rows = heat.LINE_ROWS + len(found.regions)
    degrees, frame = found.peak
    column = layout.column(align=True)
    text = f"Mean {found.degrees.mean():.1f}\u00b0, most {degrees:.1f}\u00b0 at frame {frame:g}"
    column.label(text=translated(text), translate=False)
    row = column.row(align=True)
    row.alignment = "LEFT"
    picture = row.column(align=True)
    now = timeline.action_frame(results.armature_of(context), context.scene.frame_current_final)
    picture.template_icon(picture_of(found, now, rows), scale=rows)
    ends = picture.row(align=True)
    ends.label(text=f"{found.frames[0]:g}", translate=False)
    last = ends.row()
    last.alignment = "RIGHT"
    last.label(text=f"{found.frames[-1]:g}", translate=False)
    room = context.region.width / (ROW_UNITS * context.preferences.system.ui_scale)
    if room < rows + LABELS_UNITS:
        words = column.grid_flow(row_major=True, columns=2, even_columns=True, align=True)
    else:
        words = row.column(align=True)
        for _ in range(heat.LINE_ROWS):
            words.label(text="")
    for region in found.regions:
        words.label(text=f"{region.name}  {region.degrees.mean():.1f}\u00b0", translate=False)


def picture_of(found, frame: float, rows: int) -> int:
    """The icon of the heat's picture, painted anew where something changed."""
    global _previews, _painted
    if _previews is None:
        _previews = bpy.utils.previews.new()
    preview = _previews.get("heat") or _previews.new("heat")
    wanted = (id(found), frame, rows)
    if wanted != _painted:
        pixels = heat.paint(found, frame, rows)
        if tuple(preview.image_size) != pixels.shape[:2]:
            preview.image_size = pixels.shape[:2]
        preview.image_pixels_float.foreach_set(pixels.ravel())
        _painted = wanted
    return preview.icon_id


def redraw_soon() -> None:
    """Draws the sidebars again when what is being dragged has come to rest."""
    global _waiting
    if not _waiting and not bpy.app.background:
        _waiting = True
        bpy.app.timers.register(_redraw, first_interval=pose_cache.SETTLE_S + 0.05)


def _redraw() -> None:
    global _waiting
    from .operators import redraw_panels

    _waiting = False
    redraw_panels()
    ghosts.redraw_views()


CLASSES = (MOTION_VARIATIONS_PT_heat, MOTION_VARIATIONS_PT_ghosts)


def register():
    """Adds the two panels."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    """Takes them away, with the picture."""
    global _previews, _painted
    if bpy.app.timers.is_registered(_redraw):
        bpy.app.timers.unregister(_redraw)
    if _previews is not None:
        bpy.utils.previews.remove(_previews)
        _previews = _painted = None
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
