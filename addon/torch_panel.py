"""What the preferences show of the PyTorch engine: the list of Pythons, the check, the device, the command."""

import bpy

from . import session, torch_command
from .preferences import preferences
from .pythons import default_python
from .translations import translated

LIST_ROWS = 3
ICONS = {True: "RADIOBUT_ON", False: "RADIOBUT_OFF"}


class MOTION_VARIATIONS_UL_pythons(bpy.types.UIList):
    """The Pythons of this computer, a line each; a click chooses one that can be used"""

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0):
        """What it is and where it is; the one that is chosen has a filled circle."""
        row = layout.row(align=True)
        row.active = item.usable
        row.label(text="", icon=ICONS[item.path == data.python_path] if item.usable else "BLANK1")
        split = row.split(factor=0.5)
        split.label(text=translated(item.line), translate=False)
        split.label(text=item.path, translate=False)


def draw(layout, context, chosen) -> None:
    """All of it."""
    from .panels import draw_outcome, draw_sentence

    layout.operator("motion_variations.find_pythons", icon="VIEWZOOM")
    if session.job is not None or session.message != chosen.check_result:  # that stands below
        draw_outcome(layout, context, "PREFERENCES")
    if chosen.found:
        draw_found(layout, context, chosen)
    row = layout.row(align=True)
    row.prop(chosen, "python_path")
    row.operator("motion_variations.check_python", text="", icon="CHECKMARK")
    if chosen.check_result:
        draw_sentence(layout, chosen.check_result, context.region.width, is_error=chosen.check_failed)
    layout.prop(chosen, "device")
    draw_command(layout, context, chosen)


def draw_found(layout, context, chosen) -> None:
    """The list, low enough that what stands below stays in sight; of a line that was clicked in vain, why."""
    from .panels import draw_sentence

    layout.template_list(
        "MOTION_VARIATIONS_UL_pythons", "", chosen, "found", chosen, "found_index", rows=LIST_ROWS, maxrows=LIST_ROWS
    )
    if 0 <= chosen.found_index < len(chosen.found):
        line = chosen.found[chosen.found_index]
        if not line.usable:
            draw_sentence(layout, line.sentence, context.region.width, is_error=True)


def draw_command(layout, context, chosen) -> None:
    """The lines for a terminal, with a button that copies them."""
    from .panels import draw_sentence

    layout.prop(chosen, "command_for")
    lines = command_of(chosen)
    if not lines:
        draw_sentence(layout, torch_command.NO_TORCH, context.region.width)
        return
    box = layout.box()
    column = box.column(align=True)
    for line in lines:
        column.label(text=line, translate=False)
    box.operator("motion_variations.copy_command", icon="COPYDOWN")
    sentence = f"Run these lines in a terminal, then name this Python: {torch_command.made_python()}."
    draw_sentence(layout, sentence, context.region.width)


def command_of(chosen) -> list[str]:
    """The lines that the preferences ask for; none where there is no such torch."""
    kind = torch_command.kind_of_computer() if chosen.command_for == "AUTO" else chosen.command_for
    return torch_command.command_lines(kind, _maker(chosen)) if kind else []


def _maker(chosen) -> str:
    """The Python that makes the environment: one that was found and isn't too old, else Blender's own."""
    return next((line.path for line in chosen.found if line.can_make), default_python())


class MOTION_VARIATIONS_OT_copy_command(bpy.types.Operator):
    """Copy the lines that make an environment with PyTorch, to be pasted into a terminal. Nothing is installed"""

    bl_idname = "motion_variations.copy_command"
    bl_label = "Copy Command"

    @classmethod
    def poll(cls, context):
        """Where there is a command."""
        if not command_of(preferences()):
            cls.poll_message_set(torch_command.NO_TORCH)
            return False
        return True

    def execute(self, context):
        """Into the clipboard; in the background, where there is none, onto the terminal."""
        text = "\n".join(command_of(preferences()))
        context.window_manager.clipboard = text
        if bpy.app.background:
            print(text, flush=True)
        self.report({"INFO"}, translated("The command was copied. Paste it into a terminal."))
        return {"FINISHED"}


CLASSES = (MOTION_VARIATIONS_UL_pythons, MOTION_VARIATIONS_OT_copy_command)


def register():
    """Makes list and button known to Blender."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    """Takes them away."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
