"""Strength after the fact: a variation makes more or less of its change. What was made is never lost.

While an action shows another amount than 1, its keys as they were made are kept in a hidden action (its name begins
with a dot), which the line owns: it is saved and appended along, and goes when the line goes.
"""

import time

import bpy

from . import timeline
from .backend.errors import UserError
from .names import short_name

HIDDEN = "."  # first letter of names that Blender's menus leave out
LOOK_AGAIN_S = 0.5  # drawing and dragging ask for digests that often at most

_following = True  # the slider's own move writes keys
_last_plan = None  # ((hidden action, rotation modes, the source's digest), plan)
_seen = {}  # action's session number -> (when, slot, digest)


def begin(row) -> None:
    """Remembers with a line's new action what was written; it shows its full change."""
    row.full = None
    _set(row.action, 1.0, timeline.digest(row.action, row.slot))


def end(action) -> None:
    """The action is one of its own from now on: the hidden keys go, and what it remembered."""
    drop_full(action)
    _set(action, 1.0, "")


def full_of(action):
    """The hidden action with the keys as they were made, or None; lines of a duplicated armature share it."""
    return next((row.full for row in _rows_of(action) if row.full is not None), None)


def drop_full(action) -> None:
    """Removes the hidden action that belongs to this one."""
    full = full_of(action)
    for row in _rows_of(action):
        row.full = None
    if full is not None and full.users == 0 and full.library is None:
        bpy.data.actions.remove(full)


def is_edited(row) -> bool:
    """Whether the keys of the line's action aren't those any more that were written."""
    return _differ(row.action, timeline.read_curves(row.action, row.slot))


def looks_edited(row) -> bool:
    """The same for drawing: looked at twice a second at most."""
    digest = row.action.motion_variations.digest
    return bool(digest) and recent_digest(row.action, row.slot) != digest


def is_cut_off(row) -> bool:
    """Whether the way back is lost: the action shows part of its change, and its hidden keys were deleted."""
    return row.action.motion_variations.applied != 1.0 and full_of(row.action) is None


def problem(row) -> str:
    """Why another amount isn't possible at once, and what the user can do; for an edited line, or one cut off."""
    name, full = row.action.name, full_of(row.action)
    if full is None and is_cut_off(row):
        return (
            f"The keys of '{name}' as they were made are gone: the hidden action '{HIDDEN}{name}' was deleted. Click "
            "Keep Edits to scale it as it is now."
        )
    choice = "Click Keep Edits to scale it as it is now"
    if full is not None:
        choice += ", or Overwrite to go back to what was made"
    return f"'{name}' was edited by hand; another amount would overwrite the edits. {choice}."


def recent_digest(action, slot: str) -> str:
    """The digest of an action's keys as it was within the last half second."""
    now, key = time.monotonic(), action.session_uid
    seen = _seen.get(key)
    if seen is None or seen[1] != slot or now - seen[0] > LOOK_AGAIN_S:
        seen = _seen[key] = (now, slot, timeline.digest(action, slot))
    return seen[2]


def set_amount(row, amount: float, overwrite: bool = False) -> None:
    """Lets a line's action show `amount` of its change: 0 the source, 1 what was made, more than 1 more.

    Args:
        overwrite: also where the keys were edited by hand; the edits are lost.

    Raises:
        UserError: the action can't be scaled, or was edited by hand; nothing is changed then.
    """
    action = _scalable_action(row)
    full, curves = full_of(action), timeline.read_curves(action, row.slot)
    made = None
    if _differ(action, curves):
        if not overwrite:
            raise UserError(problem(row))
        if full is None:
            raise UserError(
                f"'{action.name}' was edited by hand, and what was made is not kept beside it. Click Keep Edits to "
                "scale it as it is now."
            )
        curves = timeline.copy_keys(action, full, row.slot, curves)
    if full is None:
        if amount == action.motion_variations.applied:
            return
        if is_cut_off(row):
            raise UserError(problem(row))
        full, made = _hidden_copy(action), curves
    row.full = full
    if amount == 1.0:
        curves = timeline.copy_keys(action, full, row.slot, curves)
    else:
        curves = timeline.blend_keys(curves, _plan(row, made), amount)
    _set(action, amount, timeline.digest_of(curves))
    action.update_tag()


def keep_edits(row) -> None:
    """The keys of a line's action become the variation at full strength: scaled from now on, and never overwritten.

    Raises:
        UserError: the action is linked from another file.
    """
    action = _scalable_action(row)
    drop_full(action)
    row.strength *= action.motion_variations.applied
    _set(action, 1.0, timeline.digest(action, row.slot))


def follow_slider(origin, row) -> None:
    """What moving the slider does; where the keys can't follow, the slider goes back.

    Args:
        row: the line of the action, None where no list has it.

    Raises:
        UserError: why they can't.
    """
    if not _following or origin.amount == origin.applied:
        return
    action = origin.id_data
    try:
        if row is None:
            raise UserError(f"No armature of this file lists '{action.name}', so there is nothing to scale it against.")
        set_amount(row, origin.amount)
    except UserError:
        _set(action, origin.applied, origin.digest)
        raise


def rotation_modes(armature) -> dict:
    """Rotation modes by bone name, the object's under None."""
    return {bone.name: bone.rotation_mode for bone in armature.pose.bones} | {None: armature.rotation_mode}


def _differ(action, curves) -> bool:
    """Whether the action's curves aren't what was written."""
    digest = action.motion_variations.digest
    return bool(digest) and timeline.digest_of(curves) != digest


def _rows_of(action):
    """The lines of all armatures that have the action."""
    for thing in bpy.data.objects:
        if thing.type == "ARMATURE":
            yield from (row for row in thing.motion_variations.rows if row.action == action)


def _set(action, amount: float, digest: str) -> None:
    """Slider, keys and digest say the same."""
    global _following
    origin = action.motion_variations
    _following = False
    try:
        origin.applied, origin.digest = amount, digest
        if origin.amount != amount:  # what follows a change of it takes Blender some time
            origin.amount = amount
    finally:
        _following = True
    _seen.pop(action.session_uid, None)


def _plan(row, made=None) -> list:
    """What blending needs; the last one is kept while the slider is dragged. The hidden keys never change.

    Args:
        made: curves with the same keys as the hidden action, where they have been read; else None.
    """
    global _last_plan
    slot, modes = _source_slot(row), rotation_modes(row.id_data)
    key = (row.full.session_uid, tuple(modes.items()))
    if _last_plan is None or _last_plan[0][:2] != key or _last_plan[0][2] != recent_digest(row.source, slot):
        starts, ends = timeline.read_curves(row.source, slot), made or timeline.read_curves(row.full, row.slot)
        _last_plan = (*key, timeline.digest_of(starts)), timeline.plan_blend(starts, ends, modes)
    return _last_plan[1]


def _source_slot(row) -> str:
    """The source's slot: that of the line, or where it was renamed the one that moves the armature."""
    if not row.slot or timeline.find_slot(row.id_data, row.source, row.slot) is not None:
        return row.slot
    slot = timeline.find_slot(row.id_data, row.source)
    return slot.identifier if slot is not None else row.slot


def _scalable_action(row):
    """The line's action.

    Raises:
        UserError: its keys can't be scaled; with what to do.
    """
    action = row.action
    if action.library is not None:
        raise UserError(
            f"'{action.name}' is linked from another file and can't be changed here. Make it local first (in the "
            "Outliner: ID Data, Make Local)."
        )
    if row.source is None:
        raise UserError(
            f"The source of '{action.name}' isn't in the file any more, so its change can't be scaled. The variation "
            "itself is whole."
        )
    return action


def _hidden_copy(action):
    """A copy of the action that menus don't show and that goes when nothing needs it any more."""
    copy = action.copy()
    copy.name = short_name(HIDDEN + action.name)
    copy.use_fake_user = False
    _set(copy, 1.0, "")
    return copy
