"""Reduce Keys: a variation that has a key on every frame gets as few as a tolerance allows."""

import contextlib

import bpy
import numpy as np
from bpy.props import FloatProperty, IntProperty

from . import results, strength, timeline
from .backend.errors import UserError
from .browser_operators import list_line
from .operators import JobOperator, refusal
from .session import Progress
from .tasks import Target


def reduce_line(target, line: int, key_tolerance: float):
    """The job: thins the keys of a line of the list out, within a tolerance in degrees. Gives the sentence."""
    armature = target.armature
    row = armature.motion_variations.rows[line]
    action, source, slot = row.action, row.source, row.slot
    if action.library is not None:
        raise UserError(f"'{action.name}' is linked from another file and can't be changed. Make it local first.")
    own = {}
    if source is not None:  # the keys that were the user's before stay keys
        fps = target.scene.render.fps / target.scene.render.fps_base
        own = timeline.own_keys(source, timeline.find_slot(None, source, slot or None), fps)
    steps = timeline.reduce_steps(armature, action, slot, np.radians(key_tolerance), own)
    name = action.name
    with contextlib.closing(steps):
        share = 0.0
        while True:
            yield Progress(share, f"Reducing keys: {100 * share:.0f} %", exclusive=True, fragile=True)
            try:
                share = next(steps)
            except StopIteration as end:
                if end.value.before:
                    strength.keep_edits(row)  # the slider scales the reduced keys from now on
                action.update_tag()
                return f"'{name}': {timeline.reduction_sentence([end.value])}"


def variation_line(armature, index: int) -> int:
    """The row of a variation whose keys can be reduced; of the shown one for -1.

    Raises:
        UserError: there is none, or it is the source.
    """
    line = list_line(armature, index)
    row = armature.motion_variations.rows[line] if line >= 0 else None
    if row is None or row.action is None:
        raise UserError("No variation is shown. Click one in the list first.")
    if row.kind == "SOURCE":
        raise UserError("The source is shown, which stays as it is. Click a variation in the list first.")
    return line


class MOTION_VARIATIONS_OT_reduce_keys(JobOperator, bpy.types.Operator):
    """Leave the shown variation as few keys as its motion needs within the tolerance; those set by hand stay keys"""

    bl_idname = "motion_variations.reduce_keys"
    bl_label = "Reduce Keys"
    place = "VARIATIONS"

    index: IntProperty(
        name="Line",
        description="Line of the list, 0 is the source; -1 for the shown one",
        default=-1,
        min=-1,
        options={"SKIP_SAVE"},
    )
    key_tolerance: FloatProperty(
        name="Tolerance",
        description="How far a bone may turn from the exact motion, in degrees. Not given, it is the panel's",
        default=0.5,
        min=0.01,
        max=10.0,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context):
        """Whether there is something to reduce, and why not."""
        reason = refusal(context)
        if not reason and len(results.listed(results.armature_of(context))) < 2:
            reason = "There are no variations of this action yet. Click Resample motion first."
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def steps(self, context):
        """The job, on the active armature alone: it has the list that is looked at."""
        line = variation_line(results.armature_of(context), self.index)
        given = self.properties.is_property_set("key_tolerance")
        tolerance = self.key_tolerance if given else context.scene.motion_variations.key_tolerance
        return reduce_line(Target(context), line, tolerance)


def register():
    """Makes the operator known to Blender."""
    bpy.utils.register_class(MOTION_VARIATIONS_OT_reduce_keys)


def unregister():
    """Takes it away."""
    bpy.utils.unregister_class(MOTION_VARIATIONS_OT_reduce_keys)
