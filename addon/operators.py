"""One operator for each verb of the user: read, ask, write.

`encode`, `reconstruct` and `resample` run as modal operators when clicked, and block when a script calls them.
"""

import bpy
from bpy.props import BoolProperty

from . import results, session, several, tasks, timeline
from .armature import check_armature, check_writable
from .backend.errors import Cancelled, UserError
from .redo import draw_record, is_repeated, repeat_as_click, unremembered
from .scope import FIELDS, scope_of
from .settings import ResampleSettings
from .translations import translated

TICK_S = 0.05  # between two looks of a running job; a cancellation is seen within one
REDRAW_AFTER_S = 0.4


def refusal(context) -> str:
    """Why the active object can't be read now, as a sentence; empty where it can."""
    if session.job is not None:
        return f"{session.job.title} is still running. Wait for it or cancel it."
    return armature_refusal(results.armature_of(context))


def armature_refusal(armature) -> str:
    """Why an armature can't be read now, as a sentence; empty where it can."""
    try:
        check_armature(armature)
        check_writable(armature)
        timeline.check_clip(armature)
    except UserError as error:
        return str(error)
    data = armature.animation_data
    if data is not None and data.use_tweak_mode:
        return "An NLA strip is being tweaked. Leave tweak mode (Tab in the NLA editor) first."
    if results.active_action(armature) is None:
        return (
            f"'{armature.name}' has no action. Give it an animation, or assign one of the file's actions in the "
            "Dope Sheet's action editor. Clips on its NLA tracks are found where no action is assigned."
        )
    return ""


def redraw_panels() -> None:
    """Asks Blender to draw the sidebars and the preferences again."""
    places = {"VIEW_3D": "UI", "PREFERENCES": "WINDOW"}
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                if region.type == places.get(area.type):
                    region.tag_redraw()


def settle_panels() -> None:
    """Draws the sidebars now and once more: panels below one that has grown find their place only then."""
    redraw_panels()
    if not bpy.app.background and not bpy.app.timers.is_registered(redraw_panels):
        bpy.app.timers.register(redraw_panels, first_interval=REDRAW_AFTER_S)


def show_status(text: str | None) -> None:
    """The status bar's text; None gives it back to Blender."""
    for workspace in bpy.data.workspaces:
        workspace.status_text_set(text)


_timer = None  # of the running modal operator


def tidy() -> None:
    """Gives back the timer and the status bar."""
    global _timer
    if _timer is not None:
        bpy.context.window_manager.event_timer_remove(_timer)
        _timer = None
    show_status(None)
    settle_panels()


class JobOperator:
    """What the three jobs share. A subclass has `bl_label`, `place` and `part(context)`."""

    bl_options = {"UNDO"}

    all_selected: BoolProperty(
        name="All Selected",
        description="Do this for every selected armature, each with a list of its own, not for the active one alone. "
        "A click does so; a script says so",
        default=False,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context):
        """Whether the button can be clicked, and why not."""
        reason = refusal(context)
        if session.job is None and any(not armature_refusal(one) for one in results.armatures_of(context)):
            reason = ""  # a selected armature can be done; those that can't are named
        if reason:
            cls.poll_message_set(translated(reason))
        return not reason

    def steps(self, context):
        """The job: for the active armature, or one job for all that are selected."""
        armatures = results.armatures_of(context) if self.all_selected else [results.armature_of(context)]
        reasons = [armature_refusal(armature) for armature in armatures]
        if len(armatures) == 1:
            if reasons[0]:
                raise UserError(reasons[0])
            return self.part(context)(tasks.Target(context, armatures[0]))
        part = self.part(context)
        return several.together(
            (armature.name, several.refusing(reason) if reason else part(tasks.Target(context, armature)))
            for armature, reason in zip(armatures, reasons, strict=True)
        )

    def execute(self, context):
        """For scripts: blocks until the job is done, and prints its progress."""
        try:
            result = session.run(self.bl_label, self.place, self.steps(context))
        except (Cancelled, UserError) as error:
            return self.refuse(error)
        self.report({"INFO"}, result)
        return {"FINISHED"}

    def invoke(self, context, event):
        """For clicks: starts the job and returns at once."""
        if not self.properties.is_property_set("all_selected"):
            self.all_selected = True
        if bpy.app.background:
            return self.execute(context)
        try:
            self.job = session.start(self.bl_label, self.place, self.steps(context))
        except UserError as error:
            return self.refuse(error)
        manager = context.window_manager
        global _timer
        _timer = manager.event_timer_add(TICK_S, window=context.window)
        manager.modal_handler_add(self)
        self.shown = None
        return {"RUNNING_MODAL"}

    def refuse(self, error):
        """It ends here, with a sentence for the panel and for the report."""
        if session.job is None:
            session.say(str(error), self.place, is_error=isinstance(error, UserError))
        self.report({"ERROR"}, translated(str(error)))
        return {"CANCELLED"}

    def modal(self, context, event):
        """Advances the job at every tick; Esc stops it. While the file is written, other clicks wait."""
        if session.job is not self.job:  # ended from outside: undo, another file
            tidy()
            return {"CANCELLED"}
        if event.type == "ESC" and event.value == "PRESS":
            self.job.stop()
        elif event.type != "TIMER":
            return {"RUNNING_MODAL"} if self.job.progress.exclusive else {"PASS_THROUGH"}
        try:
            result = session.advance()
        except (Cancelled, UserError) as error:
            tidy()
            # The panel has the sentence; an error report would also open a popup over it.
            self.report({"INFO"} if isinstance(error, Cancelled) else {"WARNING"}, translated(str(error)))
            return {"CANCELLED"}
        if result is not None:
            tidy()
            self.report({"INFO"}, translated(result))
            return {"FINISHED"}
        self.show_progress()
        return {"RUNNING_MODAL"} if event.type == "ESC" else {"PASS_THROUGH"}

    def cancel(self, context):
        """Blender ends the operator: the window closes, or another file is opened."""
        if session.job is self.job:
            session.abandon(f"{self.bl_label} was cancelled because its window was closed.")
        tidy()

    def show_progress(self):
        """Panel and status bar, where something new is to be seen."""
        progress = self.job.progress
        shown = (round(100 * progress.fraction), progress.text)
        if shown != self.shown:
            self.shown = shown
            redraw_panels()
            show_status(translated(f"{self.bl_label}: {shown[0]} %   {progress.text}   (Esc cancels)"))


class MOTION_VARIATIONS_OT_encode(JobOperator, bpy.types.Operator):
    """Read the selected armatures' motion and say how well the model knows it. Changes nothing"""

    bl_idname = "motion_variations.encode"
    bl_label = "Encode"
    place = "MOTION"

    def part(self, context):
        """The job of one armature, as a function of its target."""
        return tasks.encode


class MOTION_VARIATIONS_OT_reconstruct(JobOperator, bpy.types.Operator):
    """Add an action to each selected armature that shows the motion as the model knows it. Sources stay"""

    bl_idname = "motion_variations.reconstruct"
    bl_label = "Reconstruct"
    place = "MOTION"

    def part(self, context):
        """The job of one armature, as a function of its target."""
        panel = context.scene.motion_variations
        keys, tolerance = panel.keys, panel.key_tolerance
        return lambda target: tasks.reconstruct(target, keys, tolerance)


class MOTION_VARIATIONS_OT_resample(unremembered(ResampleSettings), JobOperator, bpy.types.Operator):
    """Add variations of the selected armatures' motion, each as a new action, and show the first. Sources stay"""

    bl_idname = "motion_variations.resample"
    bl_label = "Resample motion"
    bl_options = {"REGISTER", "UNDO"}
    place = "RESAMPLE"

    show_first: BoolProperty(
        name="Show First",
        description="Show the first new variation; without it the shown action stays",
        default=True,
        options={"SKIP_SAVE"},
    )

    def draw(self, context):
        """The redo panel: a record of the click; see `redo`."""
        draw_record(self.layout, self, ResampleSettings)

    def execute(self, context):
        """For scripts; what Blender repeats in a window doesn't make the window wait."""
        if is_repeated(self):
            return repeat_as_click(self, context, ResampleSettings)
        return super().execute(context)

    def part(self, context):
        """The job of one armature, as a function of its target; what a script doesn't give comes from the panel."""
        panel = context.scene.motion_variations
        given = {
            name: getattr(self if self.properties.is_property_set(name) else panel, name)
            for name in ResampleSettings.__annotations__
        }
        new_seed = not given["lock_seed"] and not self.properties.is_property_set("seed")
        for name, value in given.items():  # for the redo panel, and for who repeats the click
            setattr(self, name, value)
        del given["lock_seed"]
        scoped = {name: given.pop(name) for name in FIELDS}

        def of(target):
            try:
                scope = scope_of(context.scene, target.armature, target.source, scoped)
            except UserError as error:
                return several.refusing(str(error))
            choice = tasks.Choice(scope=scope, new_seed=new_seed, show_first=self.show_first, **given)
            return tasks.resample(target, choice)

        return of


class MOTION_VARIATIONS_OT_cancel(bpy.types.Operator):
    """Stop the running job. Nothing is changed"""

    bl_idname = "motion_variations.cancel"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context):
        """Whether a job runs."""
        if session.job is None:
            cls.poll_message_set("No job is running.")
        return session.job is not None

    def execute(self, context):
        """The job's own operator sees it at its next tick."""
        session.stop()
        return {"FINISHED"}


CLASSES = (
    MOTION_VARIATIONS_OT_encode,
    MOTION_VARIATIONS_OT_reconstruct,
    MOTION_VARIATIONS_OT_resample,
    MOTION_VARIATIONS_OT_cancel,
)


def register():
    """Makes the operators known to Blender."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    """Takes them away, and what a running one holds."""
    tidy()
    if bpy.app.timers.is_registered(redraw_panels):
        bpy.app.timers.unregister(redraw_panels)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
