"""What keys don't say of a pose: whether they say all, and Blender's own poses frame by frame where they don't."""

import time

import bpy
import numpy as np

from ..armature import MotionError, is_flat
from ..channels import OBJECT
from ..kinematics import is_scaled, linear_to_quaternions, object_matrices, poses_to_world
from ..links import go_in_circles
from .actions import assign_action, assigned_action, capture, curve_collection, restore

STEP_S = 0.04  # how long evaluating keeps Blender between two steps
SETTLING = 3  # looks at a frame after which bones that depend on each other in a circle stand still
FLAT_VOLUME = 1e-18  # of an object's matrix: scaled to nothing


def slow_reason(armature, rig, channels, found, alone=False):
    """Why keys don't say how the armature moves, in words, or None where they do; `alone`: without its NLA tracks."""
    if rig.constrained.any() or any(not c.mute and c.influence > 0 for c in armature.constraints):
        return "constraints"
    data, settings = armature.animation_data, armature.data.animation_data
    if data is not None:
        if any(not driver.mute for driver in data.drivers):
            return "drivers"
        if data.use_tweak_mode or (_has_strips(data) and not alone):
            return "NLA tracks"
        if data.action is not None and (data.action_influence < 1 or data.action_blend_type != "REPLACE"):
            return "an action that is blended"
    if settings is not None and (settings.action is not None or len(settings.drivers)):
        return "animated armature settings"
    if found.odd:
        return "keyed rotation modes or delta transforms"
    if (channels.bones == OBJECT).any() and _has_delta(armature):
        return "delta transforms"
    thing = armature
    while thing.parent is not None:
        if thing.parent_type not in ("OBJECT", "ARMATURE"):
            return "a parent that deforms"
        thing = thing.parent
        if _is_animated(thing):
            return f"the animated parent '{thing.name}'"
    scaled = "scale" in channels.kinds or np.abs(channels.basis["scale"][:-1] - 1).max() > 1e-6
    if scaled and not (rig.turns_along & rig.plain_scale).all():
        return "scaled bones that don't inherit in full"
    return None


def _has_strips(data) -> bool:
    """Whether NLA strips act."""
    return data.use_nla and any(not t.mute and any(not strip.mute for strip in t.strips) for t in data.nla_tracks)


def _has_delta(armature) -> bool:
    """Whether the object is shifted, turned or scaled by its delta transforms."""
    turned = (*armature.delta_rotation_euler, *armature.delta_rotation_quaternion)
    return any(armature.delta_location) or turned != (0, 0, 0, 1, 0, 0, 0) or any(x != 1 for x in armature.delta_scale)


def _is_animated(thing) -> bool:
    """Whether an object may move over time."""
    if any(not constraint.mute for constraint in thing.constraints):
        return True
    data = thing.animation_data
    if data is None:
        return False
    if any(not driver.mute for driver in data.drivers) or _has_strips(data):
        return True
    return data.action is not None and not all(_is_level(curve) for curve in curve_collection(*assigned_action(thing)))


def _is_level(curve) -> bool:
    """Whether a curve has the same value throughout."""
    if len(curve.modifiers) or not len(curve.keyframe_points):
        return False
    numbers = np.empty((3, 2 * len(curve.keyframe_points)), dtype=np.float32)
    for row, name in enumerate(("co", "handle_left", "handle_right")):
        curve.keyframe_points.foreach_get(name, numbers[row])
    return bool(np.ptp(numbers[0, 1::2]) == 0 and (numbers.shape[1] == 2 or np.ptp(numbers[:, 1::2]) == 0))


def object_worlds(armature, channels):
    """The object's world matrix, `[1 or T, 4, 4]`, and the axes of its location, `[1, 3, 3]`; parents stand still."""
    own = np.array(armature.matrix_basis, np.float64)
    world = _still_world(armature)
    if _is_squeezed(own) or _is_squeezed(world):
        raise MotionError(f"'{armature.name}' is scaled to zero. Give it some scale and try again.")
    outside = world @ np.linalg.inv(own)
    if (channels.bones == OBJECT).any():
        world = outside @ object_matrices(channels, armature.rotation_mode)
        if is_flat(world[:, :3, :3]).any():
            raise MotionError(f"'{armature.name}' is scaled to zero on the way. Give it some scale and try again.")
    return world.reshape(-1, 4, 4), outside[None, :3, :3]


def _still_world(thing) -> np.ndarray:
    """The world matrix of an object that nothing animates, without Blender's evaluation, which may cost seconds."""
    own = np.array(thing.matrix_basis, np.float64)
    if thing.parent is None:
        return own
    return _still_world(thing.parent) @ np.array(thing.matrix_parent_inverse, np.float64) @ own


def _is_squeezed(matrix) -> bool:
    return abs(np.linalg.det(matrix[:3, :3])) < FLAT_VOLUME


def evaluated_poses(armature, rig, action, slot, scene, frames, alone=False, step_s=STEP_S):
    """Blender's own poses: turns, places, linear, world, outside of Reading. A generator that yields the share done.

    Args:
        alone: without the armature's NLA tracks. step_s: how long to keep Blender between two yields.
    """
    if armature.name not in bpy.context.view_layer.objects:
        raise MotionError(
            f"'{armature.name}' isn't in this scene's view layer, so Blender doesn't move it. Enable its collection."
        )
    count = len(frames)
    turns, places = np.empty((4, len(rig.names), count)), np.empty((3, len(rig.names), count))
    linear = np.empty((count, len(rig.names), 3, 3), dtype=np.float32)
    world, outside = np.empty((count, 4, 4)), np.empty((count, 3, 3))
    rest_turns = linear_to_quaternions(rig.rest[:, :3, :3])
    circular = bool(rig.links) and go_in_circles(rig.parents, rig.links)
    done = 0
    while done < count:
        try:
            state = capture(armature, scene)
            try:
                if assigned_action(armature) != (action, slot):
                    assign_action(armature, action, slot)
                if alone:
                    armature.animation_data.use_nla = False
                start, until = done, time.monotonic() + step_s
                for _ in range(SETTLING if circular else 0):  # each bone of a circle shows the pose before
                    _evaluated_frame(armature, scene, float(frames[done]), world, outside, done)
                raw = []
                while done < count and (time.monotonic() < until or done == start):
                    raw.append(_evaluated_frame(armature, scene, float(frames[done]), world, outside, done))
                    done += 1
            finally:
                restore(state, scene)
        except ReferenceError as error:
            raise MotionError("The armature was deleted or reloaded while it was read. Encode again.") from error
        matrices = np.stack(raw).reshape(done - start, -1, 4, 4).swapaxes(2, 3)[:, rig.pose_rows].astype(np.float64)
        if not np.isfinite(matrices).all():
            raise MotionError(
                f"'{armature.name}' has a pose that is not finite at frame {frames[start]:g} or after. Mend its "
                "constraints or drivers."
            )
        linear[start:done] = matrices[..., :3, :3]
        rotations = linear_to_quaternions(matrices[..., :3, :3])
        rotations = np.where(is_flat(matrices[..., :3, :3])[..., None], rest_turns, rotations)
        poses = poses_to_world(rotations, matrices[..., :3, 3], world[start:done])
        turns[..., start:done], places[..., start:done] = poses
        yield done / count
    return turns, places, linear if is_scaled(linear) else None, world, outside


def _evaluated_frame(armature, scene, frame, world, outside, row) -> np.ndarray:
    """Blender's pose matrices at a frame, as it stores them; fills the object's row of `world` and `outside`."""
    whole = int(np.floor(frame))
    scene.frame_set(whole, subframe=frame - whole)
    evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    buffer = np.empty(16 * len(evaluated.pose.bones), dtype=np.float32)
    evaluated.pose.bones.foreach_get("matrix", buffer)
    world[row] = np.array(evaluated.matrix_world)
    own = np.array(evaluated.matrix_basis, np.float64)
    if _is_squeezed(own) or _is_squeezed(world[row]):
        raise MotionError(f"'{armature.name}' is scaled to zero at frame {frame:g}. Give it some scale and try again.")
    outside[row] = (world[row] @ np.linalg.inv(own))[:3, :3]
    return buffer
