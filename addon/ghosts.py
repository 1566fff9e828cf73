"""Ghosts: skeletons of the source, and of other frames, drawn as lines over the variation in the 3D view.

They are drawn from poses that were read from keys beforehand: no frame is ever set while drawing. While they are off
there is no handler, and nothing is read.
"""

from dataclasses import dataclass

import bpy
import numpy as np

from . import pose_cache, results, timeline
from .armature import MotionError

FADE = 0.55  # of the opacity from a ghost to the next one farther away

problem = ""  # why the active armature has no ghosts, as a sentence for the panel
_handle = None  # of the draw handler, while there are ghosts


@dataclass(frozen=True)
class Ghost:
    """A skeleton's lines in the world: `[E, 2, 3]` points, and a colour with opacity."""

    lines: np.ndarray
    colour: tuple[float, float, float, float]


def ghosts_of(armature, view, frame: float) -> list[Ghost]:
    """What is drawn for an armature, the farthest first.

    Args:
        view: the scene's `MotionVariationsView`. frame: the current one, with its fraction.

    Raises:
        MotionError: an action can't be read; the text says why.
    """
    line = results.shown_row(armature)
    if line is None or line.source is None:
        return []
    is_source = line.action == line.source
    if is_source and view.around == "NONE":
        return []
    source = pose_cache.poses_of(armature, line.source, line.slot, patient=True)
    found = []
    if view.around != "NONE":
        poses = source
        if view.around == "SHOWN" and not is_source:
            poses = pose_cache.poses_of(armature, line.action, line.slot, like=source, patient=True)
        for sign, count, colour in ((-1, view.before, view.colour_before), (1, view.after, view.colour_after)):
            for number in range(count, 0, -1):
                at = frame + sign * number * view.step
                if poses.frames[0] <= at <= poses.frames[-1]:
                    found.append(Ghost(world_lines(armature, poses, at), _faded(colour, number - 1)))
    if not is_source:
        found.append(Ghost(world_lines(armature, source, frame), tuple(view.colour)))
    return found


def _faded(colour, steps: int):
    return (*colour[:3], colour[3] * FADE**steps)


def world_lines(armature, poses, frame: float) -> np.ndarray:
    """The skeleton at a frame as lines in the world, `[E, 2, 3]`: between two read frames along a straight way."""
    row = float(np.interp(frame, poses.frames, np.arange(len(poses.frames))))
    low = min(int(row), len(poses.frames) - 2)
    share = row - low
    points = (1 - share) * poses.points[low] + share * poses.points[low + 1]
    matrix = world_matrix(armature, poses, low, share)
    return (points @ matrix[:3, :3].T + matrix[:3, 3])[poses.lines]


def world_matrix(armature, poses, low: int, share: float) -> np.ndarray:
    """Where the object is at that frame: where it is now, unless the action moves it."""
    if poses.own is None:
        return np.array(armature.matrix_world)
    own = (1 - share) * poses.own[low] + share * poses.own[low + 1]
    if poses.absolute or armature.parent is None:
        return own
    return np.array(armature.parent.matrix_world) @ np.array(armature.matrix_parent_inverse) @ own


def ghost_armatures(context) -> list:
    """The armature that a click is about, and the other selected ones."""
    things = [context.view_layer.objects.active, *context.selected_objects]
    found = {}
    for thing in things:
        armature = thing if thing is None or thing.type == "ARMATURE" else thing.find_armature()
        if armature is not None:
            found[armature.session_uid] = armature
    return list(found.values())


def all_ghosts(context) -> list[Ghost]:
    """What is drawn in a 3D view; what can't be read leaves its reason in `problem`."""
    global problem
    view = context.scene.motion_variations_view
    frame = context.scene.frame_current_final
    found, sentences = [], []
    for armature in ghost_armatures(context):
        if not armature.visible_get():
            continue
        try:
            found += ghosts_of(armature, view, timeline.action_frame(armature, frame))
        except MotionError as error:
            sentences.append(str(error))
    problem = sentences[0] if sentences else ""
    return found


def draw() -> None:
    """The draw handler: one batch of lines with the ghosts' colours."""
    import gpu
    from gpu_extras.batch import batch_for_shader

    context = bpy.context
    view = context.scene.motion_variations_view
    space = context.space_data
    if not view.ghosts or (space is not None and not space.overlay.show_overlays):
        return
    ghosts = all_ghosts(context)
    if not ghosts:
        return
    points = np.concatenate([ghost.lines.reshape(-1, 3) for ghost in ghosts]).astype(np.float32)
    colours = np.concatenate([np.tile(np.float32(ghost.colour), (2 * len(ghost.lines), 1)) for ghost in ghosts])
    shader = gpu.shader.from_builtin("POLYLINE_SMOOTH_COLOR")
    batch = batch_for_shader(shader, "LINES", {"pos": points, "color": colours})
    gpu.state.blend_set("ALPHA")
    gpu.state.depth_test_set("NONE" if view.in_front else "LESS_EQUAL")
    try:
        shader.bind()
        shader.uniform_float("viewportSize", gpu.state.viewport_get()[2:])
        shader.uniform_float("lineWidth", view.width * context.preferences.system.ui_scale)
        batch.draw(shader)
    finally:
        gpu.state.depth_test_set("NONE")
        gpu.state.blend_set("NONE")


def is_drawing() -> bool:
    """Whether the draw handler is there."""
    return _handle is not None


def follow() -> None:
    """Adds the draw handler where a scene wants ghosts, takes it away where none does."""
    global _handle
    wanted = any(scene.motion_variations_view.ghosts for scene in bpy.data.scenes)
    if wanted and _handle is None:
        _handle = bpy.types.SpaceView3D.draw_handler_add(draw, (), "WINDOW", "POST_VIEW")
    elif not wanted:
        _stop()
    redraw_views()


def _stop() -> None:
    global _handle, problem
    if _handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
        _handle, problem = None, ""


def redraw_views() -> None:
    """Asks Blender to draw the 3D views again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


@bpy.app.handlers.persistent
def _after_replace(*_):
    """Another file, or the state after an undo, wants ghosts or not."""
    follow()


_EVENTS = ("load_post", "undo_post", "redo_post")


def register():
    """Follows the file that is open, and each one that is opened."""
    for event in _EVENTS:
        getattr(bpy.app.handlers, event).append(_after_replace)
    if not isinstance(bpy.data, bpy.types.BlendData):  # while Blender starts, until the first file is there
        return
    follow()


def unregister():
    """No handler is left."""
    _stop()
    for event in _EVENTS:
        getattr(bpy.app.handlers, event).remove(_after_replace)
