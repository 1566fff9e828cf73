"""Pinned frames: poses of a source that its variations keep exactly. They are kept with the armature."""

import bpy
from bpy.props import FloatProperty

from . import results, session, timeline
from .armature import check_armature, check_writable
from .backend.errors import UserError

SAME_FRAME = 1e-3


def pinned(armature, source) -> list[float]:
    """The frames of an action that are pinned on the armature, in order."""
    pins = armature.motion_variations.pins
    return sorted({pin.frame for pin in pins if source is not None and pin.action == source})


def pin(armature, source, frame: float) -> bool:
    """Pins a frame; whether it wasn't pinned before."""
    _drop(armature, lambda one: one.action is None)  # of deleted actions
    if any(abs(one - frame) < SAME_FRAME for one in pinned(armature, source)):
        return False
    row = armature.motion_variations.pins.add()
    row.action, row.frame = source, frame
    return True


def unpin(armature, source, frame: float | None = None) -> int:
    """Unpins a frame, or with None all frames of an action; how many were pinned."""
    return _drop(armature, lambda one: one.action == source and (frame is None or abs(one.frame - frame) < SAME_FRAME))


def _drop(armature, unwanted) -> int:
    """Removes pins."""
    pins = armature.motion_variations.pins
    rows = [row for row, one in enumerate(pins) if unwanted(one)]
    for row in reversed(rows):
        pins.remove(row)
    return len(rows)


def shown_frame(context, armature) -> float:
    """The current frame as a frame of the source.

    Raises:
        UserError: the strip that plays the action doesn't play it there.
    """
    frame, clip = context.scene.frame_current_final, timeline.playing_clip(armature)
    if clip is None:
        return frame
    frames = clip.action_frame(frame)
    if not frames:
        raise UserError(f"The strip '{clip.strip}' doesn't play at frame {frame:g}. Go to a frame where it does.")
    return frames[0]


class _PinOperator:
    """What the three operators share."""

    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context):
        """Whether there is a source, and why not."""
        reason = ""
        armature = results.armature_of(context)
        try:
            check_armature(armature)
            check_writable(armature)
            if results.source_action(armature) is None:
                reason = f"'{armature.name}' has no action whose frames could be pinned."
        except UserError as error:
            reason = str(error)
        if session.job is not None:
            reason = f"{session.job.title} is still running. Wait for it or cancel it."
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context):
        """Finds the armature and its source, and does the verb."""
        armature = results.armature_of(context)
        try:
            sentence = self.act(context, armature, results.source_action(armature))
        except UserError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, sentence)
        return {"FINISHED"}

    def frame_of(self, context, armature) -> float:
        """The frame that is asked for, or the current one."""
        return self.frame if self.properties.is_property_set("frame") else shown_frame(context, armature)


class MOTION_VARIATIONS_OT_pin_frame(_PinOperator, bpy.types.Operator):
    """Keep the pose of this frame exactly as it is in the source, in all variations that are made from now on"""

    bl_idname = "motion_variations.pin_frame"
    bl_label = "Pin This Frame"

    frame: FloatProperty(name="Frame", description="Frame of the action; the current one where it isn't given")

    def act(self, context, armature, source):
        """Pins it."""
        frame = self.frame_of(context, armature)
        new = pin(armature, source, frame)
        return f"Frame {frame:g} of '{source.name}' is pinned." if new else f"Frame {frame:g} was pinned already."


class MOTION_VARIATIONS_OT_unpin_frame(_PinOperator, bpy.types.Operator):
    """Let the pose of this frame change again in variations that are made from now on"""

    bl_idname = "motion_variations.unpin_frame"
    bl_label = "Unpin This Frame"

    frame: FloatProperty(name="Frame", description="Frame of the action; the current one where it isn't given")

    def act(self, context, armature, source):
        """Unpins it."""
        frame = self.frame_of(context, armature)
        if not unpin(armature, source, frame):
            known = ", ".join(f"{one:g}" for one in pinned(armature, source))
            raise UserError(f"Frame {frame:g} isn't pinned. Pinned frames: {known or 'none'}.")
        return f"Frame {frame:g} of '{source.name}' may change again."


class MOTION_VARIATIONS_OT_clear_pins(_PinOperator, bpy.types.Operator):
    """Unpin all frames of the source. No action is changed"""

    bl_idname = "motion_variations.clear_pins"
    bl_label = "Unpin All"

    def act(self, context, armature, source):
        """Unpins all."""
        count = unpin(armature, source)
        if not count:
            raise UserError(f"No frame of '{source.name}' is pinned.")
        one = f"1 frame of '{source.name}' may change again."
        return one if count == 1 else f"{count} frames of '{source.name}' may change again."


CLASSES = (MOTION_VARIATIONS_OT_pin_frame, MOTION_VARIATIONS_OT_unpin_frame, MOTION_VARIATIONS_OT_clear_pins)


def register():
    """Makes the operators known to Blender."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    """Takes them away."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
