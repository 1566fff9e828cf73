"""A mix of two variations of one source: a new action that lies between them."""

import bpy

from . import results, strength, timeline
from .backend.errors import UserError
from .names import new_mix_name


def mix(armature, line: int, other: int, factor: float):
    """Adds a line for an action that lies `factor` of the way from one line's motion to the other's, and shows it.

    Each bone turns part of the way from the one to the other. Both are mixed as they are now, at their amounts.

    Raises:
        UserError: the lines aren't two variations of one source.
    """
    first, second = results.line(armature, line), results.line(armature, other)
    if first.action == second.action:
        raise UserError(f"'{first.action.name}' can't be mixed with itself. Choose another variation.")
    source = first.source
    if second.source != source:
        raise UserError(
            f"'{first.action.name}' and '{second.action.name}' have different sources. Choose two of the same list."
        )
    action = _between(armature, first, second, factor)
    facts = {"strength": first.strength * (1 - factor) + second.strength * factor, "level": first.level}
    row = results.add_row(armature, source, action, "MIX", **facts)
    results.show(armature, len(armature.motion_variations.rows) - 1)
    return row


def _between(armature, first, second, factor: float):
    """The new action: keys wherever one of the two has some."""
    action, slot = second.action.copy(), second.slot
    try:
        action.name = new_mix_name(first.source)
        action.use_fake_user = True
        timeline.add_key_times(action, first.action, slot)
        starts, ends = timeline.read_curves(first.action, first.slot), timeline.read_curves(action, slot)
        timeline.blend_keys(ends, timeline.plan_blend(starts, ends, strength.rotation_modes(armature)), factor)
    except BaseException:
        bpy.data.actions.remove(action)
        raise
    return action
