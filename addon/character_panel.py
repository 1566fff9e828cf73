"""Below the panel *Motion*: what was learnt of the character, or the offer to learn it. Drawing only."""

import bpy

from . import connection, results, session
from .character_operators import NEEDS_TORCH
from .characters import HIGH_ERROR
from .panels import CATEGORY, draw_outcome, draw_sentence, draw_verb


def report_of(context):
    """The report of the active armature's source; None where it was never encoded."""
    armature = results.armature_of(context)
    if armature is None or armature.type != "ARMATURE":
        return None
    report = armature.motion_variations.report
    return report if report.action is not None and report.action == results.source_action(armature) else None


class MOTION_VARIATIONS_PT_character(bpy.types.Panel):
    """Offered where the model doesn't know the motion well, and wherever something was learnt."""

    bl_label = "This Character"
    bl_idname = "MOTION_VARIATIONS_PT_character"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = CATEGORY
    bl_parent_id = "MOTION_VARIATIONS_PT_motion"

    @classmethod
    def poll(cls, context):
        """Not where the model knows the motion well."""
        report = report_of(context)
        if report is None:
            return False
        return bool(report.joint_heights > HIGH_ERROR or report.learnt_file or session.place == "CHARACTER")

    def draw(self, context):
        """What was learnt and the button that forgets it, or why to learn and the button that does."""
        layout, report, width = self.layout, report_of(context), context.region.width
        layout.use_property_split = True
        layout.use_property_decorate = False
        settings = context.scene.motion_variations
        if report.learnt_problem:
            draw_sentence(layout, report.learnt_problem, width, is_error=True)
        elif report.learnt_file:
            before, after = 100 * report.held_before, 100 * report.held_after
            text = f"Learnt: held-out error {before:.1f} -> {after:.1f} % of the height."
            draw_sentence(layout, text, width, icon="CHECKMARK")
        else:
            sentence = (
                f"The model is off by {100 * report.joint_heights:.1f} % of this character's height. It can learn the "
                "character from its own actions."
            )
            draw_sentence(layout, sentence, width)
        if connection.wanted().engine != "torch":
            draw_sentence(layout, NEEDS_TORCH, width)
        else:
            layout.prop(settings, "adapt_actions")
            layout.prop(settings, "adapt_seconds")
        row = layout.row(align=True)
        draw_verb(row, "adapt", "ARMATURE_DATA")
        if report.learnt_file:
            row.operator("motion_variations.forget", text="", icon="TRASH")
        draw_outcome(layout, context, "CHARACTER")


CLASSES = (MOTION_VARIATIONS_PT_character,)


def register():
    """Adds the panel."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    """Takes it away."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
