"""The list of an armature: which action is the source, what was made of it, what is shown."""

import bpy

from . import timeline
from .backend.errors import UserError

MAX_NAME_BYTES = 63  # of an ID's name up to Blender 4.5
VARIATION_SUFFIX = " var %02d"
RECONSTRUCTION_SUFFIX = " reconstruction"

_marking_only = False  # a line is being marked whose action shall not be shown


def armature_of(context):
    """The object that a click is about: the active one, or where that is a mesh, the armature that deforms it."""
    selected = context.active_object
    if selected is None or selected.type == "ARMATURE":
        return selected
    return selected.find_armature() or selected


def armatures_of(context) -> list:
    """What a click is about where several are selected: the active armature first; the active object without any."""
    active, found = armature_of(context), []
    for thing in (active, *context.selected_objects):
        armature = thing if thing is None or thing.type == "ARMATURE" else thing.find_armature()
        if armature is not None and armature not in found:
            found.append(armature)
    return found or [active]


def active_action(armature):
    """The action that animates the object now: the active one, or that of the NLA strip that is meant; or None."""
    return timeline.playing_action(armature)


def row_index(armature, action) -> int:
    """The line of an action, -1 where it has none."""
    for index, row in enumerate(armature.motion_variations.rows):
        if action is not None and row.action == action:
            return index
    return -1


def source_action(armature):
    """The action that a click varies: the shown one, or where that is itself a variation, the one it came from."""
    action = active_action(armature)
    index = row_index(armature, action)
    if index >= 0:
        return armature.motion_variations.rows[index].source or action
    return action


def is_listed(row, source) -> bool:
    """Whether a line belongs to a source's list; lines of deleted actions belong to none."""
    return row.action is not None and row.source is not None and row.source == source


def listed(armature) -> list[int]:
    """The lines that the panel shows: the source's own, then what was made from it."""
    source = source_action(armature)
    return [index for index, row in enumerate(armature.motion_variations.rows) if is_listed(row, source)]


def shown_row(armature):
    """The line that is shown, or None."""
    index = row_index(armature, active_action(armature))
    return armature.motion_variations.rows[index] if index >= 0 else None


def ensure_source_row(armature, source, slot: str) -> None:
    """Line 0 of a source's list; `slot` is the identifier of the source's slot for this armature."""
    drop_dead_rows(armature)
    if row_index(armature, source) < 0:
        row = armature.motion_variations.rows.add()
        row.name, row.kind, row.action, row.source = source.name, "SOURCE", source, source
        row.slot = slot


def add_row(armature, source, action, kind: str, **facts):
    """A line for a new action, at the end."""
    row = armature.motion_variations.rows.add()
    action.use_fake_user = True  # only now: a file that was saved while it was written doesn't hold it
    row.name, row.kind, row.action, row.source = action.name, kind, action, source
    row.slot = armature.motion_variations.rows[row_index(armature, source)].slot
    for name, value in facts.items():
        setattr(row, name, value)
    return row


def drop_dead_rows(armature) -> None:
    """Takes out lines whose action, or whose source, was deleted elsewhere."""
    rows = armature.motion_variations.rows
    for index in reversed(range(len(rows))):
        if rows[index].action is None or rows[index].source is None:
            rows.remove(index)


def show(armature, index: int) -> None:
    """Puts the action of a line on the armature. The list's own mark follows.

    Raises:
        UserError: the line, its action, or the right to change the armature is missing.
    """
    results = armature.motion_variations
    if not 0 <= index < len(results.rows) or results.rows[index].action is None:
        raise UserError(f"The list has no line {index} that could be shown. Choose another line.")
    mark(results, index)
    show_active(results)


def mark(results, index: int) -> None:
    """Marks a line without showing its action."""
    global _marking_only
    _marking_only = True
    try:
        results.active_index = index
    finally:
        _marking_only = False


def show_active(results) -> None:
    """Puts the marked line's action on the armature, if it isn't there."""
    armature, index = results.id_data, results.active_index
    if _marking_only or not 0 <= index < len(results.rows):
        return
    row = results.rows[index]
    if row.action is not None and active_action(armature) != row.action:
        family = [one.action for one in results.rows if is_listed(one, row.source)]
        timeline.put_action(armature, row.action, row.slot, family)


def delete(armature, index: int) -> str:
    """Deletes a line and its action; where it was shown, the source is shown again. Gives the action's name.

    Raises:
        UserError: the line is the source, or there is none.
    """
    results = armature.motion_variations
    if not 0 <= index < len(results.rows):
        raise UserError(f"The list has no line {index}.")
    row = results.rows[index]
    if row.kind == "SOURCE":
        raise UserError("Line 0 is the source, which is never deleted. Choose a variation.")
    action, source, slot = row.action, row.source, row.slot
    was_shown = action is not None and active_action(armature) == action
    if action is not None:
        timeline.replace_in_strips(armature, action, source, slot)
    results.rows.remove(index)
    if was_shown or results.active_index >= index:
        shown = row_index(armature, source if was_shown else active_action(armature))
        if shown >= 0:
            show(armature, shown)
    name = action.name if action is not None else "a deleted action"
    if action is not None:
        bpy.data.actions.remove(action)
    return name


def accept(armature, index: int):
    """Makes a variation an action of its own: it stays on the armature and leaves the list. Gives the action.

    Raises:
        UserError: the line is the source, or there is none.
    """
    results = armature.motion_variations
    if not 0 <= index < len(results.rows) or results.rows[index].action is None:
        raise UserError(f"The list has no line {index} that could be accepted. Choose a variation.")
    if results.rows[index].kind == "SOURCE":
        raise UserError("Line 0 is the source; there is nothing to accept. Choose a variation.")
    show(armature, index)
    action, source = results.rows[index].action, results.rows[index].source
    results.rows.remove(index)
    mark(results, max(row_index(armature, source), 0))
    return action


def new_name(source, suffix: str) -> str:
    """An action's name made from the source's, short enough that Blender keeps the suffix whole."""
    room = MAX_NAME_BYTES - len(suffix.encode())
    return source.name.encode()[:room].decode("utf-8", "ignore") + suffix


def new_variation_name(source) -> str:
    """`<source> var 01`, with the first number after those in the file."""
    names = {action.name for action in bpy.data.actions}
    number = 1
    while new_name(source, VARIATION_SUFFIX % number) in names:
        number += 1
    return new_name(source, VARIATION_SUFFIX % number)


def new_reconstruction_name(source) -> str:
    """`<source> reconstruction`; Blender numbers further ones."""
    return new_name(source, RECONSTRUCTION_SUFFIX)
