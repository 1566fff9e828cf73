"""What an action that was made here remembers: how much of its change it shows, and what was written.

It lies on the action, so that all armatures that list the action see the same. No pointers: Blender 5.0 forgets to
clear those on actions when what they point to is deleted. Source and full keys are the line's (`properties`).
"""

import bpy
from bpy.props import FloatProperty, StringProperty

from .backend.errors import UserError

MAX_AMOUNT = 4.0


def _scale(origin, context):
    """Dragging the slider rewrites the keys at once."""
    from . import results, session, strength

    try:
        strength.follow_slider(origin, results.row_with(origin.id_data, context))
    except UserError as error:  # a property has nobody to report to but the panel
        session.say(str(error), "VARIATIONS", is_error=True)


class MotionVariationsOrigin(bpy.types.PropertyGroup):
    """How a variation's action came to its keys."""

    amount: FloatProperty(
        name="Amount",
        description="How much of its change the shown variation makes, without computing it anew: at 0 it is the "
        "source, at 1 as it was made, past 1 it exaggerates. Contacts are kept exactly only at 0 and 1; to keep them "
        "at another strength, click Regenerate",
        default=1.0,
        min=0.0,
        max=MAX_AMOUNT,
        soft_max=2.0,
        step=1,
        precision=2,
        update=_scale,
    )
    applied: FloatProperty(name="Applied", description="The amount that the keys show", default=1.0)
    digest: StringProperty(name="Digest", description="Of the keys as they were written: edits by hand show by it")


def register():
    """Adds `motion_variations` to actions."""
    bpy.utils.register_class(MotionVariationsOrigin)
    bpy.types.Action.motion_variations = bpy.props.PointerProperty(type=MotionVariationsOrigin)


def unregister():
    """Takes it away; what was stored stays in the file."""
    del bpy.types.Action.motion_variations
    bpy.utils.unregister_class(MotionVariationsOrigin)
