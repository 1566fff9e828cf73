"""The verbs of looking: read poses that keys don't say, ghosts on and off, the next and the previous variation."""

import contextlib

import bpy
from bpy.props import EnumProperty, IntProperty

from . import ghosts, heat, pose_cache, results, session, timeline
from .armature import MotionError
from .operators import JobOperator, settle_panels
from .session import Progress
from .tasks import Target


def read_poses(target: Target):
    """Source and shown action, as Blender evaluates them; kept for ghosts and heat line. A job for `session`."""
    armature, source = target.armature, target.source
    line = results.shown_row(armature)
    actions = [source] + ([line.action] if line is not None and line.action != source else [])
    row = results.row_index(armature, source)
    slot = armature.motion_variations.rows[row].slot if row >= 0 else ""
    like = None
    for number, block in enumerate([timeline.Block.of(action) for action in actions]):
        steps = timeline.read_steps(
            target.armature, block.find("actions"), slot or None, keys_only=False, clip=target.clip
        )
        with contextlib.closing(steps):
            while True:
                try:
                    share = next(steps)
                except StopIteration as end:
                    reading = end.value
                    break
                fraction = (number + share) / len(actions)
                yield Progress(fraction, f"Reading the poses: {100 * fraction:.0f} %", fragile=True)
        poses = pose_cache.keep_reading(target.armature, block.find("actions"), reading, like)
        like = like or poses
    heat.forget()
    ghosts.redraw_views()
    return f"Read {len(like.frames)} frames for ghosts and heat line. Click again after the animation was changed."


class MOTION_VARIATIONS_OT_read_poses(JobOperator, bpy.types.Operator):
    """Let Blender evaluate source and shown variation frame by frame, for ghosts and heat line. Changes nothing"""

    bl_idname = "motion_variations.read_poses"
    bl_label = "Read Poses"
    bl_options = set()
    place = "VARIATIONS"

    def part(self, context):
        """The job of one armature, as a function of its target."""
        return read_poses


class MOTION_VARIATIONS_OT_ghosts(bpy.types.Operator):
    """Draw the source's skeleton over the shown variation in the 3D view, or draw it no more. No action is changed"""

    bl_idname = "motion_variations.ghosts"
    bl_label = "Toggle Ghosts"
    bl_options = {"REGISTER"}

    show: EnumProperty(
        name="Ghosts",
        description="Whether ghosts are drawn afterwards",
        items=(
            ("TOGGLE", "Toggle", "Draw ghosts where there are none, and none where there are"),
            ("ON", "On", "Draw ghosts"),
            ("OFF", "Off", "Draw no ghosts"),
        ),
        default="TOGGLE",
        options={"SKIP_SAVE"},
    )

    def execute(self, context):
        """Switches them."""
        view = context.scene.motion_variations_view
        view.ghosts = not view.ghosts if self.show == "TOGGLE" else self.show == "ON"
        return {"FINISHED"}


class MOTION_VARIATIONS_OT_flip(bpy.types.Operator):
    """Show the next or the previous line of the list on the armature, the source among them. No action is changed"""

    bl_idname = "motion_variations.flip"
    bl_label = "Flip Variations"
    bl_options = {"UNDO"}

    offset: IntProperty(
        name="Lines",
        description="How many lines further down the list; negative ones go up. After the last line comes the first",
        default=1,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context):
        """Whether there are two lines, and why not."""
        armature = results.armature_of(context)
        usable = armature is not None and armature.type == "ARMATURE" and len(results.listed(armature)) > 1
        if session.job is not None:
            cls.poll_message_set(f"{session.job.title} is still running. Wait for it or cancel it.")
        elif not usable:
            cls.poll_message_set("There are no variations of this action yet. Click Resample motion first.")
        return usable and session.job is None

    def execute(self, context):
        """Shows it; from an action that isn't listed the way leads to the first line."""
        armature = results.armature_of(context)
        lines = results.visible(armature)
        shown = results.row_index(armature, results.active_action(armature))
        place = lines.index(shown) + self.offset if shown in lines else 0
        try:
            results.show(armature, lines[place % len(lines)])
        except MotionError as error:
            session.say(str(error), "VARIATIONS", is_error=True)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        settle_panels()
        return {"FINISHED"}


CLASSES = (MOTION_VARIATIONS_OT_read_poses, MOTION_VARIATIONS_OT_ghosts, MOTION_VARIATIONS_OT_flip)


def register():
    """Makes the operators known to Blender."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    """Takes them away."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
