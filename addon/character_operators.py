"""The verbs about a character: adapt to it, forget it."""

import bpy

from . import characters, connection, results, session
from .adapt_settings import AdaptSettings
from .backend.errors import UserError
from .operators import JobOperator, settle_panels
from .redo import unremembered
from .translations import translated

NEEDS_TORCH = (
    "NumPy can use what was learnt of a character, but can't learn. Choose the PyTorch engine in the preferences of "
    "Motion Variations; afterwards you can go back to NumPy."
)


class MOTION_VARIATIONS_OT_adapt(unremembered(AdaptSettings), JobOperator, bpy.types.Operator):
    """Learn the active armature's character from its own actions, in about a minute. The actions stay as they are"""

    bl_idname = "motion_variations.adapt"
    bl_label = "Adapt to This Character"
    place = "CHARACTER"

    @classmethod
    def poll(cls, context):
        """Whether the button can be clicked, and why not."""
        if session.job is None and connection.wanted().engine != "torch":
            cls.poll_message_set(translated(NEEDS_TORCH))
            return False
        return super().poll(context)

    def invoke(self, context, event):
        """A click is about the active armature alone: learning takes a minute."""
        if not self.properties.is_property_set("all_selected"):
            self.all_selected = False
        return super().invoke(context, event)

    def part(self, context):
        """The job of one armature, as a function of its target; what a script doesn't give comes from the panel."""
        panel = context.scene.motion_variations
        which, seconds = (
            getattr(self if self.properties.is_property_set(name) else panel, name)
            for name in ("adapt_actions", "adapt_seconds")
        )
        return lambda target: characters.adapt(target, which, seconds)


class MOTION_VARIATIONS_OT_forget(bpy.types.Operator):
    """Delete the file with what was learnt of this character. Actions and variations stay as they are"""

    bl_idname = "motion_variations.forget"
    bl_label = "Forget This Character"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context):
        """Whether there is something to forget, and why not."""
        armature, reason = results.armature_of(context), ""
        if session.job is not None:
            reason = f"{session.job.title} is still running. Wait for it or cancel it."
        elif armature is None or armature.type != "ARMATURE" or not armature.motion_variations.report.learnt_file:
            reason = "Nothing was learnt of this character, as far as the last Encode knows."
        if reason:
            cls.poll_message_set(translated(reason))
        return not reason

    def invoke(self, context, event):
        """A click is asked back: a file can't be undone."""
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context):
        """Deletes the file."""
        try:
            sentence = characters.forget(results.armature_of(context))
        except UserError as error:
            session.say(str(error), "CHARACTER", is_error=True)
            self.report({"ERROR"}, translated(str(error)))
            return {"CANCELLED"}
        session.say(sentence, "CHARACTER")
        self.report({"INFO"}, translated(sentence))
        settle_panels()
        return {"FINISHED"}


CLASSES = (MOTION_VARIATIONS_OT_adapt, MOTION_VARIATIONS_OT_forget)


def register():
    """Makes the operators known to Blender."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    """Takes them away."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
