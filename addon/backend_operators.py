"""The verbs of the Backend panel and of the preferences: restart, log, find and check Pythons."""

import bpy

from . import connection, session, tasks, torch_tasks
from .operators import JobOperator
from .preferences import preferences

LOG_NAME = "Motion Variations log"


def _no_job(cls) -> bool:
    """Whether no job runs; an operator's poll says which does."""
    if session.job is not None:
        cls.poll_message_set(f"{session.job.title} is still running. Wait for it or cancel it.")
    return session.job is None


class MOTION_VARIATIONS_OT_restart_backend(JobOperator, bpy.types.Operator):
    """Stop the backend process and start it afresh. A running job is cancelled; nothing in the file changes"""

    bl_idname = "motion_variations.restart_backend"
    bl_label = "Restart"
    bl_options = set()
    place = "BACKEND"

    @classmethod
    def poll(cls, context):
        """Any time: this is the way out of whatever is wrong."""
        return True

    def steps(self, context):
        """The job, in the place of the one that runs."""
        session.abandon("The job was cancelled because the backend was restarted.")
        return tasks.restart()


class MOTION_VARIATIONS_OT_show_log(bpy.types.Operator):
    """Show what the backend printed and the last result in full, as a text in Blender's text editor"""

    bl_idname = "motion_variations.show_log"
    bl_label = "Log"

    def execute(self, context):
        """Fills the text and, in a window, opens it."""
        text = bpy.data.texts.get(LOG_NAME) or bpy.data.texts.new(LOG_NAME)
        text.from_string(f"{connection.log_text()}\n{session.message}\n")
        if bpy.app.background:
            print(text.as_string())
            return {"FINISHED"}
        bpy.ops.wm.window_new()
        area = context.window_manager.windows[-1].screen.areas[0]
        area.type = "TEXT_EDITOR"
        area.spaces.active.text = text
        return {"FINISHED"}


class MOTION_VARIATIONS_OT_check_python(JobOperator, bpy.types.Operator):
    """Start the Python that is named here, and say whether the PyTorch engine can run in it"""

    bl_idname = "motion_variations.check_python"
    bl_label = "Check"
    bl_options = set()
    place = "PREFERENCES"

    @classmethod
    def poll(cls, context):
        """Any time but during a job."""
        return _no_job(cls)

    def steps(self, context):
        """The job."""
        return torch_tasks.check_python(preferences())


class MOTION_VARIATIONS_OT_find_pythons(JobOperator, bpy.types.Operator):
    """Look for the Pythons of this computer and try which have PyTorch. Nothing is downloaded or installed"""

    bl_idname = "motion_variations.find_pythons"
    bl_label = "Find Pythons"
    bl_options = set()
    place = "PREFERENCES"

    @classmethod
    def poll(cls, context):
        """Any time but during a job."""
        return _no_job(cls)

    def steps(self, context):
        """The job."""
        return torch_tasks.find_pythons(preferences())


CLASSES = (
    MOTION_VARIATIONS_OT_restart_backend,
    MOTION_VARIATIONS_OT_show_log,
    MOTION_VARIATIONS_OT_check_python,
    MOTION_VARIATIONS_OT_find_pythons,
)


def register():
    """Makes the operators known to Blender."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    """Takes them away."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
