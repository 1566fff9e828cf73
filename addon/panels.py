"""The tab *Variations* of the 3D view's sidebar. Drawing only."""

import bpy

from . import connection, manual, results, session, timeline
from .operators import armature_refusal
from .preferences import preferences
from .report import outdated_reason
from .resample_presets import MOTION_VARIATIONS_PT_presets
from .translations import translated

CATEGORY = "Variations"
CHARACTER_PX = 7.2  # mean width of a character at interface scale 1
MARGIN_PX = 48  # of a panel, with the icon before a sentence
MAX_ARMATURES = 6  # that a panel names where more are selected
MAX_LINES = 12  # of a sentence in a panel
SHORT_STATE = 16  # characters that there is room for beside a name
PROGRESS_LINES = 3  # of what a job does now
RESULT_LINES = 6  # of a result, so that the list below stays in sight; the log has all of it


def wrap(sentence: str, width_px: float, most: int = MAX_LINES) -> list[str]:
    """A sentence as lines that fit the width, at most so many; labels don't wrap by themselves."""
    room = max(int((width_px / bpy.context.preferences.system.ui_scale - MARGIN_PX) / CHARACTER_PX), 16)
    lines = [""]
    for word in sentence.split():
        while len(word) > room:  # a path, or a name without spaces
            lines.append(word[:room])
            word = word[room:]
        if lines[-1] and len(lines[-1]) + 1 + len(word) > room:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    lines = [line for line in lines if line]
    if len(lines) > most:
        lines[most - 1 :] = [lines[most - 1] + " ..."]
    return lines


def draw_sentence(
    layout, sentence: str, width_px: float, is_error: bool = False, icon: str = "INFO", most: int = MAX_LINES
) -> None:
    """A sentence over several lines, in red where it is an error."""
    column = layout.column(align=True)
    column.alert = is_error
    for number, line in enumerate(wrap(translated(sentence), width_px, most)):
        column.label(text=line, translate=False, icon=("ERROR" if is_error else icon) if number == 0 else "BLANK1")


def draw_outcome(layout, context, place: str) -> None:
    """Below the button that was clicked: how far the job is and the button that stops it, or how it ended."""
    if session.place != place:
        return
    if session.job is None:
        if session.message:
            most = MAX_LINES if session.message_is_error else RESULT_LINES
            draw_sentence(layout, session.message, context.region.width, session.message_is_error, most=most)
        return
    progress = session.job.progress
    column = layout.column(align=True)
    column.progress(factor=progress.fraction, text=f"{translated(session.job.title)}: {100 * progress.fraction:.0f} %")
    column.operator("motion_variations.cancel", icon="X")  # above the words, whose lines change: it stays in its place
    for line in wrap(translated(progress.text), context.region.width, PROGRESS_LINES):
        column.label(text=line, translate=False)


def draw_verb(layout, name: str, icon: str, **options) -> None:
    """A button that begins a job. While one runs, a greyed button of another operator stands in its place.

    For Blender 4 leaves the same button greyed under the pointer when it could be clicked again, until that leaves it.

    Args:
        options: for `UILayout.operator`.
    """
    place = layout.row(align=True)
    if session.job is None:
        place.operator(f"motion_variations.{name}", icon=icon, **options)
        return
    place.enabled = False
    label = getattr(bpy.ops.motion_variations, name).get_rna_type().name
    options = {"text": label, "text_ctxt": bpy.app.translations.contexts.operator_default} | options
    place.operator("motion_variations.cancel", icon=icon, **options)


def fact(layout, name: str, value: str) -> None:
    """A line with a name and a value, in two columns as properties have them."""
    split = layout.split(factor=0.4)
    split.label(text=name)
    split.label(text=translated(value), translate=False)


def draw_others(layout, context) -> None:
    """Which armatures a click is about where several are selected; the shown list is the active one's."""
    armatures = results.armatures_of(context)
    if len(armatures) < 2:
        return
    column = layout.box().column(align=True)
    column.label(text=translated(f"A click does {len(armatures)} selected armatures:"), translate=False)
    for armature in armatures[:MAX_ARMATURES]:
        reason = armature_refusal(armature)
        if reason:
            draw_sentence(column, f"{armature.name}: {reason}", context.region.width, is_error=True)
        else:
            action = results.source_action(armature)
            column.label(text=f"{armature.name}: {action.name}", icon="ARMATURE_DATA", translate=False)
    if len(armatures) > MAX_ARMATURES:
        column.label(text=translated(f"and {len(armatures) - MAX_ARMATURES} more"), icon="BLANK1")


def draw_clip(layout, armature) -> None:
    """The NLA strip whose action it is, where no action is active."""
    clip = timeline.playing_clip(armature)
    if clip is not None:
        silent = ", which is muted" if clip.silent else ""
        text = translated(f"Strip '{clip.strip}' on '{clip.track}'{silent}")
        layout.label(text=text, icon="NLA", translate=False)


def draw_tolerance(layout, settings) -> None:
    """The tolerance of reduced keys; below it, where a number has room, buttons for what is mostly taken."""
    column = layout.column(align=True)
    column.prop(settings, "key_tolerance")
    split = column.split(factor=0.4, align=True)
    split.label(text="")
    row = split.row(align=True)
    for degrees in (0.1, 0.5, 1.0):
        button = row.operator("wm.context_set_float", text=f"{degrees:g}\u00b0")
        button.data_path, button.value = "scene.motion_variations.key_tolerance", degrees


class _Panel:
    """What the panels share."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = CATEGORY


class MOTION_VARIATIONS_PT_motion(_Panel, bpy.types.Panel):
    """What is read, and how well the model knows it."""

    bl_label = "Motion"
    bl_idname = "MOTION_VARIATIONS_PT_motion"

    def draw_header_preset(self, context):
        """The way to the manual."""
        manual.draw_button(self.layout)

    def draw(self, context):
        """Armature, action, Encode, the report, and below them what a job does or did."""
        layout = self.layout
        armature = results.armature_of(context)
        if armature is None or armature.type != "ARMATURE":
            draw_sentence(layout, armature_refusal(armature), context.region.width, icon="ARMATURE_DATA")
            armature = None
        else:
            source = results.source_action(armature)
            column = layout.column(align=True)
            column.label(text=armature.name, icon="ARMATURE_DATA", translate=False)
            if source is None:
                column.label(text="No action", icon="ACTION")
            else:
                column.label(text=source.name, icon="ACTION", translate=False)
                draw_clip(column, armature)
        draw_others(layout, context)
        row = layout.row(align=True)
        draw_verb(row, "encode", "VIEWZOOM")
        draw_verb(row, "reconstruct", "MOD_MIRROR", text="")
        draw_outcome(layout, context, "MOTION")
        if armature is not None:
            self.draw_report(layout, context, armature)

    def draw_report(self, layout, context, armature):
        """What *Encode* found out, if it was this source; and whether that has changed since."""
        report = armature.motion_variations.report
        if report.action is None or report.action != results.source_action(armature):
            return
        outdated = outdated_reason(armature, context.scene)
        if outdated:
            draw_sentence(layout, outdated, context.region.width, is_error=True)
        box = layout.box().column(align=True)
        box.active = not outdated
        fact(box, "Read", f"{report.frames} frames at {report.fps:.5g} fps")
        fact(box, "Joints", f"{report.joints} of {report.bones} bones")
        fact(box, "Model error", f"{report.rotation_deg:.1f}\u00b0, {report.joint_cm:.1f} cm")


class MOTION_VARIATIONS_PT_resample(_Panel, bpy.types.Panel):
    """How the variations should be."""

    bl_label = "Resample"
    bl_idname = "MOTION_VARIATIONS_PT_resample"

    def draw_header_preset(self, context):
        """Load, save and delete presets of the settings."""
        MOTION_VARIATIONS_PT_presets.draw_panel_header(self.layout)

    def draw(self, context):
        """The settings and the button."""
        layout = self.layout
        settings = context.scene.motion_variations
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "count")
        layout.prop(settings, "strength", slider=True)
        layout.prop(settings, "level")
        row = layout.row(align=True)
        row.prop(settings, "seed")
        row.prop(settings, "lock_seed", text="", icon="LOCKED" if settings.lock_seed else "UNLOCKED")
        row = layout.row()
        row.scale_y = 1.4
        draw_verb(row, "resample", "MOD_NOISE")
        draw_outcome(layout, context, "RESAMPLE")


class MOTION_VARIATIONS_PT_options(_Panel, bpy.types.Panel):
    """Where keys go."""

    bl_label = "Keys"
    bl_idname = "MOTION_VARIATIONS_PT_options"
    bl_parent_id = "MOTION_VARIATIONS_PT_resample"
    bl_order = 4
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """The settings that are mostly right as they are."""
        layout = self.layout
        settings = context.scene.motion_variations
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "keys")
        if settings.keys in ("AS_SOURCE", "REDUCED"):
            draw_tolerance(layout, settings)


class MOTION_VARIATIONS_PT_backend(_Panel, bpy.types.Panel):
    """The process that computes."""

    bl_label = "Backend"
    bl_idname = "MOTION_VARIATIONS_PT_backend"
    bl_order = 1  # below those of modules that register later
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """Engine, device, state, memory, and the two buttons for when something is wrong."""
        layout = self.layout
        split = layout.split(factor=0.4)
        split.label(text="Engine")
        split.prop(preferences(), "engine", text="")
        column = layout.column(align=True)
        state = connection.state_words()
        if len(state) > SHORT_STATE:  # a sentence would be cut off beside its name
            draw_sentence(column, state, context.region.width)
        else:
            fact(column, "State", state)
        status = connection.last_status()
        if status:
            fact(column, "Device", status.get("device") or "-")
            fact(column, "Memory", f"{status.get('memory_mb', 0):.0f} MB")
            versions = [f"Python {status['python']}"]
            if status.get("torch"):
                versions.append(f"torch {status['torch']}")
            fact(column, "Runs in", ", ".join(versions))
            if status.get("problem"):
                draw_sentence(layout, status["problem"], context.region.width, is_error=True)
        if connection.notice():
            draw_sentence(layout, connection.notice(), context.region.width, icon="ERROR")
        row = layout.row(align=True)
        row.operator("motion_variations.show_log", icon="TEXT")
        row.operator("motion_variations.restart_backend", icon="FILE_REFRESH")
        draw_outcome(layout, context, "BACKEND")


CLASSES = (
    MOTION_VARIATIONS_PT_motion,
    MOTION_VARIATIONS_PT_resample,
    MOTION_VARIATIONS_PT_options,
    MOTION_VARIATIONS_PT_backend,
)


def register():
    """Adds the tab."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    """Takes it away."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
