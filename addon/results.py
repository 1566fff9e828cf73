"""The list of an armature: which action is the source, what was made of it, what is shown."""

import bpy

from . import before, strength, timeline
from .backend.errors import UserError

_marking_only = False  # a line is being marked whose action shall not be shown


def armature_of(context):
    """The object that a click is about: the active one, or the armature that deforms it, or the only one below it."""
    selected = context.active_object
    if selected is None or selected.type == "ARMATURE":
        return selected
    armature = selected.find_armature()
    if armature is None and selected.type == "EMPTY":  # importers leave the empty above a character active
        below = [child for child in selected.children_recursive if child.type == "ARMATURE"]
        armature = below[0] if len(below) == 1 else None
    return armature or selected


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


def row_with(action, context=None):
    """The line of an action, the active armature's where several have it; None where none does."""
    active = armature_of(context) if context is not None else None
    for thing in (active, *bpy.data.objects):
        if thing is not None and thing.type == "ARMATURE":
            index = row_index(thing, action)
            if index >= 0:
                return thing.motion_variations.rows[index]
    return None


def is_listed(row, source) -> bool:
    """Whether a line belongs to a source's list; lines of deleted actions belong to none."""
    return row.action is not None and row.source is not None and row.source == source


def listed(armature) -> list[int]:
    """The lines that the panel shows: the source's own, then what was made from it."""
    source = source_action(armature)
    return [index for index, row in enumerate(armature.motion_variations.rows) if is_listed(row, source)]


def visible(armature) -> list[int]:
    """The lines that the panel's list really shows: without a star they can be hidden."""
    results = armature.motion_variations
    return [
        index
        for index in listed(armature)
        if not results.starred_only or results.rows[index].star or results.rows[index].kind == "SOURCE"
    ]


def shown_row(armature):
    """The line that is shown, or None."""
    index = row_index(armature, active_action(armature))
    return armature.motion_variations.rows[index] if index >= 0 else None


def ensure_source_row(armature, source, slot: str) -> None:
    """Line 0 of a source's list; `slot` is the identifier of the source's slot for this armature."""
    drop_dead_rows(armature)
    if row_index(armature, source) < 0:
        record = before.record(armature, bpy.context.scene, source, slot)
        row = armature.motion_variations.rows.add()
        row.name, row.kind, row.action, row.source = source.name, "SOURCE", source, source
        row.slot, row.before = slot, record


def add_row(armature, source, action, kind: str, **facts):
    """A line for a new action, at the end."""
    slot = armature.motion_variations.rows[row_index(armature, source)].slot
    row = armature.motion_variations.rows.add()
    action.use_fake_user = True  # only now: a file that was saved while it was written doesn't hold it
    row.name, row.kind, row.action, row.source, row.slot = action.name, kind, action, source, slot
    for name, value in facts.items():
        setattr(row, name, value)
    strength.begin(row)
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


def line(armature, index: int):
    """The line of a variation that something shall be done with.

    Raises:
        UserError: there is none, or it is the source's.
    """
    rows = armature.motion_variations.rows
    if not 0 <= index < len(rows) or rows[index].action is None:
        raise UserError(f"The list has no line {index} with an action. Choose a variation.")
    if rows[index].kind == "SOURCE":
        raise UserError("Line 0 is the source, which is never deleted or changed. Choose a variation.")
    return rows[index]


def delete(armature, index: int) -> str:
    """Deletes a line and its action; where it was shown, the source is shown again. Gives the action's name.

    Raises:
        UserError: the line is the source, or there is none.
    """
    row, results = line(armature, index), armature.motion_variations
    action, source, name = row.action, row.source, row.action.name
    slot, was_shown = row.slot, active_action(armature) == action
    timeline.replace_in_strips(armature, action, source, slot)
    if action.library is None:
        strength.drop_full(action)
    results.rows.remove(index)
    if was_shown or results.active_index >= index:
        shown = row_index(armature, source if was_shown else active_action(armature))
        if shown >= 0:
            show(armature, shown)
    if action.library is None:
        _show_sources_elsewhere(armature, action)
        bpy.data.actions.remove(action)
    return name


def _show_sources_elsewhere(armature, action) -> None:
    """Other armatures that show the action, duplicates of this one, get their source back before it is deleted."""
    for other in bpy.data.objects:
        if other.type == "ARMATURE" and other != armature and active_action(other) == action:
            row = shown_row(other)
            source = row_index(other, row.source) if row is not None else -1
            if source >= 0:
                show(other, source)


def take_out(armature, index: int):
    """A variation becomes an action of its own: it leaves the list, with all that it remembers. Gives the action.

    Raises:
        UserError: the line is the source, or there is none.
    """
    row, results = line(armature, index), armature.motion_variations
    action, source = row.action, row.source
    if action.library is None:
        strength.end(action)
    results.rows.remove(index)
    mark(results, max(row_index(armature, source), 0))
    return action


def accept(armature, index: int):
    """Makes a variation an action of its own: it stays on the armature and leaves the list. Gives the action.

    Raises:
        UserError: the line is the source, or there is none.
    """
    line(armature, index)
    show(armature, index)
    return take_out(armature, index)


def accept_as_strip(armature, index: int):
    """Makes a variation an NLA strip on a track of its own, over the muted source. Gives the action.

    Raises:
        UserError: the line is the source, or there is none.
    """
    row = line(armature, index)
    show(armature, index)
    timeline.push_strip(armature, row.source, row.action, row.slot)
    return take_out(armature, index)


def reject_all(armature, scene, keep_starred: bool = False) -> tuple[int, int]:
    """Deletes the variations of the source, and with the last of them what the clicks left: all is as before the first.

    Gives how many were deleted and how many were kept.
    """
    results = armature.motion_variations
    source = source_action(armature)
    lines = [index for index in listed(armature) if results.rows[index].kind != "SOURCE"]
    doomed = [index for index in lines if not (keep_starred and results.rows[index].star)]
    at = row_index(armature, source)
    record = results.rows[at].before if at >= 0 else ""
    changed = active_action(armature) != source
    for index in reversed(doomed):
        delete(armature, index)
    if len(doomed) == len(lines) and row_index(armature, source) >= 0:
        if changed and active_action(armature) != source:
            show(armature, row_index(armature, source))
        results.rows.remove(row_index(armature, source))
        mark(results, min(before.marked_line(record), max(len(results.rows) - 1, 0)))
        if changed:
            before.restore_pose(armature, scene, source, record)
    return len(doomed), len(lines) - len(doomed)


def rename(armature, index: int, name: str) -> str:
    """Gives a line's action another name; gives the name that it has now.

    Raises:
        UserError: the line is the source, or there is none; its action is linked; the name is empty.
    """
    action = line(armature, index).action
    if not name.strip():
        raise UserError("The new name is empty. Give the variation a name.")
    if action.library is not None:
        raise UserError(f"'{action.name}' is linked from another file. Rename it there, or make it local first.")
    action.name = name
    return action.name
