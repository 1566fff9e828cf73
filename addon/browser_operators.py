"""The verbs of the list: show, star, rename, scale, mix, accept, delete, reject. Each is one undo step."""

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from . import mix, results, session, strength, tasks
from .armature import check_armature, check_writable
from .backend.errors import UserError
from .operators import JobOperator, settle_panels
from .origin import MAX_AMOUNT
from .recipe import text_to_choice
from .settings import LEVELS

MADE_ANEW = ("strength", "level")  # what Regenerate may change
PLACES = (
    ("ACTION", "As action", "It becomes the armature's active action"),
    (
        "STRIP",
        "As NLA strip",
        "It becomes a strip on an NLA track of its own, and the source a strip on a muted track below",
    ),
)


def refusal(context, least: int) -> str:
    """Why nothing can be done with the list now, as a sentence; empty where something can.

    Args:
        least: how many lines are needed, the source's included.
    """
    if session.job is not None:
        return f"{session.job.title} is still running. Wait for it or cancel it."
    armature = results.armature_of(context)
    try:
        check_armature(armature)
        check_writable(armature)
    except UserError as error:
        return str(error)
    data = armature.animation_data
    if data is not None and data.use_tweak_mode:
        return "An NLA strip is being tweaked. Leave tweak mode (Tab in the NLA editor) first."
    if len(results.listed(armature)) < least:
        return "There are no variations of this action yet. Click Resample motion first."
    return ""


def list_line(armature, index: int) -> int:
    """The row of a line of the shown source's list; of the shown line for -1.

    Raises:
        UserError: the list is shorter.
    """
    lines = results.listed(armature)
    if index >= len(lines):
        raise UserError(f"There is no line {index}; the list has lines 0 to {len(lines) - 1}.")
    if index >= 0:
        return lines[index]
    return results.row_index(armature, results.active_action(armature))


class LineOperator:
    """What the operators on a line of the list share. A subclass has `least` and `act(context, armature, line)`."""

    bl_options = {"UNDO"}
    least = 2

    index: IntProperty(
        name="Line",
        description="Line of the list, 0 is the source; -1 for the shown one",
        default=-1,
        min=-1,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context):
        """Whether there is a list, and why not."""
        reason = refusal(context, cls.least)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context):
        """Finds the line and does the verb."""
        armature = results.armature_of(context)
        try:
            sentence = self.act(context, armature, list_line(armature, self.index))
        except UserError as error:
            session.say(str(error), "VARIATIONS", is_error=True)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        session.say(sentence, "VARIATIONS")
        settle_panels()
        return {"FINISHED"}


class MOTION_VARIATIONS_OT_show(LineOperator, bpy.types.Operator):
    """Put the source, or a variation, on the armature. No action is changed"""

    bl_idname = "motion_variations.show"
    bl_label = "Show"
    least = 1

    def act(self, context, armature, line):
        """Shows it."""
        results.show(armature, line)
        return ""


class MOTION_VARIATIONS_OT_star(LineOperator, bpy.types.Operator):
    """Mark a variation as one of the good ones, or take the mark away"""

    bl_idname = "motion_variations.star"
    bl_label = "Star"

    def act(self, context, armature, line):
        """Turns the mark over."""
        row = results.line(armature, line)
        row.star = not row.star
        return ""


class MOTION_VARIATIONS_OT_rename(LineOperator, bpy.types.Operator):
    """Give a variation another name: its action gets it"""

    bl_idname = "motion_variations.rename"
    bl_label = "Rename"

    name: StringProperty(name="Name", description="The new name", options={"SKIP_SAVE"})

    def invoke(self, context, event):
        """Asks for the name."""
        armature = results.armature_of(context)
        try:
            self.name = results.line(armature, list_line(armature, self.index)).action.name
        except UserError as error:
            self.report({"WARNING"}, str(error))
            return {"CANCELLED"}
        return context.window_manager.invoke_props_dialog(self)

    def act(self, context, armature, line):
        """Renames it."""
        old = results.line(armature, line).action.name
        return f"'{old}' is called '{results.rename(armature, line, self.name)}' now."


class MOTION_VARIATIONS_OT_scale(LineOperator, bpy.types.Operator):
    """Let the shown variation make more or less of its change from the source, without computing it anew"""

    bl_idname = "motion_variations.scale"
    bl_label = "Set Amount"

    amount: FloatProperty(
        name="Amount",
        description="0 is the source, 1 the variation as it was made, 2 twice its change",
        default=1.0,
        min=0.0,
        max=MAX_AMOUNT,
        soft_max=2.0,
    )
    overwrite: BoolProperty(
        name="Overwrite",
        description="Also where the variation's keys were edited by hand: the edits are lost",
        default=False,
        options={"SKIP_SAVE"},
    )

    def act(self, context, armature, line):
        """Scales it."""
        row = results.line(armature, line)
        strength.set_amount(row, self.amount, self.overwrite)
        return f"'{row.action.name}' makes {self.amount:.2f} times its change."


class MOTION_VARIATIONS_OT_keep_edits(LineOperator, bpy.types.Operator):
    """Take the shown variation's keys as you edited them for what it is at amount 1. What was made is dropped"""

    bl_idname = "motion_variations.keep_edits"
    bl_label = "Keep Edits"

    def act(self, context, armature, line):
        """Keeps them."""
        row = results.line(armature, line)
        strength.keep_edits(row)
        return f"The edits of '{row.action.name}' are kept; the slider scales them along."


class MOTION_VARIATIONS_OT_regenerate(JobOperator, bpy.types.Operator):
    """Add the shown variation once more, from its own seed and settings, with the panel's strength and level"""

    bl_idname = "motion_variations.regenerate"
    bl_label = "Regenerate"
    place = "VARIATIONS"

    index: IntProperty(
        name="Line", description="Line of the list; -1 for the shown one", default=-1, min=-1, options={"SKIP_SAVE"}
    )
    strength: FloatProperty(
        name="Strength",
        description="How far the new variation goes from the source; the panel's where it isn't given",
        default=1.0,
        min=0.0,
        max=3.0,
        soft_max=2.0,
        options={"SKIP_SAVE"},
    )
    level: EnumProperty(
        name="Level",
        description="What changes; the panel's where it isn't given",
        items=LEVELS,
        default="PHRASES",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context):
        """Whether there is a variation, and why not."""
        reason = refusal(context, 2)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def invoke(self, context, event):
        """The shown line is the active armature's."""
        self.all_selected = False
        return super().invoke(context, event)

    def part(self, context):
        """The job, as a function of its target."""
        panel = context.scene.motion_variations
        armature = results.armature_of(context)
        row = results.line(armature, list_line(armature, self.index))
        given = {name: getattr(self if self.properties.is_property_set(name) else panel, name) for name in MADE_ANEW}
        changes = {"count": 1, "seed": row.seed, "new_seed": False, "show_first": True}
        choice = text_to_choice(row.settings, **changes, **given)
        return lambda target: tasks.resample(target, choice)


class MOTION_VARIATIONS_OT_mix(LineOperator, bpy.types.Operator):
    """Add a mix of the shown variation and another one of the same source, as a new action. Both stay as they are"""

    bl_idname = "motion_variations.mix"
    bl_label = "Mix"
    least = 3

    other: IntProperty(
        name="Other",
        description="Line of the other variation; -1 for the one that the panel names",
        default=-1,
        min=-1,
        options={"SKIP_SAVE"},
    )
    factor: FloatProperty(
        name="Factor",
        description="How far the mix lies from the shown variation: at 0 it equals this one, at 1 the other one",
        default=0.5,
        min=0.0,
        max=1.0,
    )

    def act(self, context, armature, line):
        """Mixes them."""
        panel = armature.motion_variations
        if self.other >= 0:
            other = list_line(armature, self.other)
        elif panel.mix_with is None:
            raise UserError("No other variation is chosen. Choose one beside Mix.")
        else:
            other = results.row_index(armature, panel.mix_with)
        factor = self.factor if self.properties.is_property_set("factor") else panel.mix_factor
        names = [results.line(armature, one).action.name for one in (line, other)]
        row = mix.mix(armature, line, other, factor)
        return f"'{row.action.name}' lies {100 * factor:.0f} % of the way from '{names[0]}' to '{names[1]}'."


class MOTION_VARIATIONS_OT_accept(LineOperator, bpy.types.Operator):
    """Keep the shown variation: it leaves the list and is yours to edit"""

    bl_idname = "motion_variations.accept"
    bl_label = "Accept"

    place: EnumProperty(
        name="Place",
        description="Where the variation goes",
        items=PLACES,
        default="ACTION",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, context, properties):
        """What will change."""
        if properties.place == "STRIP":
            return (
                "Keep the shown variation as a strip on an NLA track of its own, with the source as a muted strip "
                "below it. It leaves the list and is yours to edit"
            )
        return "Keep the shown variation as the armature's action: it leaves the list and is yours to edit"

    def act(self, context, armature, line):
        """Accepts it."""
        if self.place == "STRIP":
            return f"'{results.accept_as_strip(armature, line).name}' is an NLA strip now; the source is muted."
        return f"'{results.accept(armature, line).name}' is the armature's action now."


class MOTION_VARIATIONS_OT_delete(LineOperator, bpy.types.Operator):
    """Delete the shown variation: its action is removed from the file, and the source is shown"""

    bl_idname = "motion_variations.delete"
    bl_label = "Delete"

    def act(self, context, armature, line):
        """Deletes it."""
        return f"'{results.delete(armature, line)}' was deleted."


class MOTION_VARIATIONS_OT_reject(LineOperator, bpy.types.Operator):
    """Delete all variations of this source: their actions are removed from the file, and all is as before the first"""

    bl_idname = "motion_variations.reject"
    bl_label = "Reject All"

    keep_starred: BoolProperty(
        name="Keep Starred", description="The starred variations stay in the list", default=False, options={"SKIP_SAVE"}
    )

    @classmethod
    def description(cls, context, properties):
        """What will change."""
        if properties.keep_starred:
            return "Delete the variations of this source that have no star: their actions are removed from the file"
        return (
            "Delete all variations of this source: their actions are removed from the file, and action, slot, pose and "
            "list are as before the first"
        )

    def act(self, context, armature, line):
        """Deletes all."""
        deleted, kept = results.reject_all(armature, context.scene, self.keep_starred)
        stayed = f" {kept} with a star stayed." if kept else ""
        return f"{deleted} variation{'' if deleted == 1 else 's'} deleted.{stayed}"


CLASSES = (
    MOTION_VARIATIONS_OT_show,
    MOTION_VARIATIONS_OT_star,
    MOTION_VARIATIONS_OT_rename,
    MOTION_VARIATIONS_OT_scale,
    MOTION_VARIATIONS_OT_keep_edits,
    MOTION_VARIATIONS_OT_regenerate,
    MOTION_VARIATIONS_OT_mix,
    MOTION_VARIATIONS_OT_accept,
    MOTION_VARIATIONS_OT_delete,
    MOTION_VARIATIONS_OT_reject,
)


def register():
    """Makes the operators known to Blender."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    """Takes them away."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
