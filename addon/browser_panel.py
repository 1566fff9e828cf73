"""The list in the tab: source and variations, one after the other, and what can be done with them. Drawing only."""

import bpy

from . import results, strength
from .panels import CATEGORY, draw_outcome, draw_sentence, draw_verb
from .translations import translated

LEVEL_ICONS = {"WHOLE": "WORLD", "PHRASES": "IPO_EASE_IN_OUT", "DETAIL": "RNDCURVE"}
KIND_ICONS = {"MIX": "ARROW_LEFTRIGHT", "RECONSTRUCTION": "MOD_MIRROR"}
NARROW_PX = 330  # of the sidebar at interface scale 1: below it the seeds leave their room to the names
LONG_NAME = 16  # characters that a line of a narrow sidebar has room for
NAME_SHARE = {True: 0.5, False: 0.68}  # of a line's width, in a wide sidebar and in a narrow one


def strength_of(row) -> float:
    """How strong a line's variation is now: as it was made, times the amount that it shows."""
    return row.strength * row.action.motion_variations.applied


class MOTION_VARIATIONS_UL_rows(bpy.types.UIList):
    """The source and what was made from it; the lines of other sources are left out."""

    bl_idname = "MOTION_VARIATIONS_UL_rows"

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0):
        """A line: name, seed, strength, level, star."""
        row = layout.row(align=True)
        if item.action is None:
            row.label(text="Deleted action", icon="BLANK1")
            return
        shown = item.action == results.active_action(data.id_data)
        icon = "HIDE_OFF" if shown else "ACTION"
        if item.kind == "SOURCE":
            row.label(text=item.action.name, icon=icon, translate=False)
            return
        icon = icon if shown else KIND_ICONS.get(item.kind, LEVEL_ICONS[item.level])
        wide = context.region.width / context.preferences.system.ui_scale > NARROW_PX
        split = row.split(factor=NAME_SHARE[wide], align=True)
        split.prop(item, "title", text="", emboss=False, icon=icon)
        side = split.row(align=True)
        facts = side.row(align=True)
        facts.active = shown
        if wide and item.kind == "VARIATION":
            facts.label(text=str(item.seed), translate=False)
        text = f"{strength_of(item):.2f}"
        if not wide and len(item.action.name) > LONG_NAME:  # cut off, all lines would read the same
            text = item.action.name.split()[-1]
        if item.kind != "RECONSTRUCTION" or text.isdigit():  # it has no strength; the second has a number
            facts.label(text=text, translate=False)
        side.prop(item, "star", text="", emboss=False, icon="SOLO_ON" if item.star else "SOLO_OFF")

    def filter_items(self, context, data, property):
        """Only the lines of the source that is being varied, in their order; the starred ones alone where asked for."""
        visible = set(results.visible(data.id_data))
        name = self.filter_name.lower()
        flags = [
            self.bitflag_filter_item
            if index in visible and (row.kind == "SOURCE" or name in row.action.name.lower())
            else 0
            for index, row in enumerate(getattr(data, property))
        ]
        return flags, []


class MOTION_VARIATIONS_PT_variations(bpy.types.Panel):
    """Source and variations: look at one after the other, keep what is good."""

    bl_label = "Variations"
    bl_idname = "MOTION_VARIATIONS_PT_variations"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = CATEGORY

    def draw(self, context):
        """The list and what can be done with its lines."""
        layout = self.layout
        armature = results.armature_of(context)
        if armature is None or armature.type != "ARMATURE":
            layout.label(text="Select an armature to see its variations")
            draw_outcome(layout, context, "VARIATIONS")
            return
        if not results.listed(armature):
            layout.label(text="No variations of this action yet")
            draw_outcome(layout, context, "VARIATIONS")
            return
        self.draw_list(layout, armature)
        buttons = layout.row(align=True)
        buttons.operator("motion_variations.accept", icon="CHECKMARK").place = "ACTION"
        buttons.operator("motion_variations.accept", text="", icon="NLA").place = "STRIP"
        draw_verb(buttons, "reduce_keys", "KEYFRAME", text="")
        row = results.shown_row(armature)
        if row is None or row.kind == "SOURCE":
            layout.label(text="The source, as it was")
        else:
            self.draw_shown(context, layout, row)
        draw_outcome(layout, context, "VARIATIONS")

    def draw_list(self, layout, armature):
        """The lines, and beside them what is about one or all of them."""
        data = armature.motion_variations
        row = layout.row()
        row.template_list("MOTION_VARIATIONS_UL_rows", "", data, "rows", data, "active_index", rows=5)
        column = row.column(align=True)
        column.operator("motion_variations.show", text="", icon="LOOP_BACK").index = 0
        column.prop(data, "starred_only", text="", icon="SOLO_ON")
        column.separator()
        draw_verb(column, "regenerate", "FILE_REFRESH", text="")
        column.separator()
        column.operator("motion_variations.delete", text="", icon="TRASH")
        if any(data.rows[index].star for index in results.listed(armature)):
            column.operator("motion_variations.reject", text="", icon="SOLO_OFF").keep_starred = True
        column.operator("motion_variations.reject", text="", icon="X").keep_starred = False

    def draw_shown(self, context, layout, row):
        """What the shown variation is, how much of it, and what it can be mixed with."""
        armature, origin = row.id_data, row.action.motion_variations
        text = {"RECONSTRUCTION": "The source as the model knows it", "MIX": "A mix of two variations"}.get(row.kind)
        text = text or f"Seed {row.seed}, {row.level.lower()}, {row.change_deg * origin.applied:.1f}\u00b0"
        layout.label(text=translated(text), translate=False)
        if strength.looks_edited(row) or strength.is_cut_off(row):
            column = layout.column(align=True)
            draw_sentence(column, strength.problem(row), context.region.width, is_error=True)
            buttons = column.row(align=True)
            buttons.operator("motion_variations.keep_edits", icon="CHECKMARK")
            if strength.full_of(row.action) is not None:
                button = buttons.operator("motion_variations.scale", text="Overwrite", icon="LOOP_BACK")
                button.amount, button.overwrite = origin.applied, True
        else:
            layout.prop(origin, "amount", slider=True)
        if len(results.listed(armature)) > 2:
            mixing = layout.row(align=True)
            mixing.prop(armature.motion_variations, "mix_with", text="", placeholder="Mix with")
            mixing.prop(armature.motion_variations, "mix_factor", text="")
            mixing.operator("motion_variations.mix", text="", icon="ARROW_LEFTRIGHT")


CLASSES = (MOTION_VARIATIONS_UL_rows, MOTION_VARIATIONS_PT_variations)


def register():
    """Adds the list to the tab."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    """Takes it away."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
