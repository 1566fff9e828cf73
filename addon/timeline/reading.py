"""An armature's animation -> Reading: by kinematics from the keys, or frame by frame where keys don't say all."""

import time
from dataclasses import dataclass

import bpy
import numpy as np

from ..armature import (
    MotionError,
    Rig,
    check_armature,
    is_even,
    is_flat,
    is_surely_rigid,
    joint_choice,
    joint_skeleton,
    read_rig,
)
from ..backend.motion import Motion
from ..backend.skeleton import JointChoice
from ..channels import CHANNEL_SIZE, OBJECT, Channels, rotation_channel
from ..curves import BEZIER, CONSTANT, LINEAR, evaluate_keys, sample_frames
from ..kinematics import is_scaled, linear_to_quaternions, object_matrices, pose_steps, poses_to_world
from .actions import (
    TRANSFORMS,
    Block,
    assign_action,
    assigned_action,
    bone_curve_count,
    capture,
    curve_collection,
    curve_target,
    find_slot,
    identifier_of,
    pose_values,
    restore,
)

STEP_S = 0.04  # how long reading keeps Blender between two steps
KEYS_SHARE = 0.3  # of the work: the curves, before the poses
SAME_KEY = 1e-4  # frames: Blender takes keys that are nearer for one
FLAT_VOLUME = 1e-18  # of an object's matrix: scaled to nothing


@dataclass(frozen=True)
class Reading:
    """An armature's animation as it was read, with what writing needs.

    Attributes:
        motion: the joints' motion. frames: `[T]` the timeline frame of each row, not always whole.
        choice: which bones are joints. rig: all bones.
        armature, action, slot: what was read; the slot's identifier, "" without slots.
        channels: the curves.
        turns: `[4, N, T]` world rotation of every bone. places: `[3, N, T]` its head, world, metres.
        linear: `[T, N, 3, 3]` float32 of every bone in armature space where bones are scaled, else None.
        world: `[1 or T, 4, 4]` the object's matrix. outside: `[1 or T, 3, 3]` the axes of the object's own location.
        evaluated: why frames were evaluated one by one, or None where the keys alone said everything.
        notes: sentences for the user.
    """

    motion: Motion
    frames: np.ndarray
    choice: JointChoice
    rig: Rig
    armature: Block
    action: Block
    slot: str
    channels: Channels
    turns: np.ndarray
    places: np.ndarray
    linear: np.ndarray | None
    world: np.ndarray
    outside: np.ndarray
    evaluated: str | None
    notes: tuple[str, ...]

    @property
    def fps(self) -> float:
        """Rows a second."""
        return self.motion.fps

    @property
    def bones(self) -> tuple[str, ...]:
        """All bones' names, parents first."""
        return self.rig.names

    @property
    def rotations(self) -> np.ndarray:
        """`[T, N, 4]` world rotation of every bone."""
        return self.turns.transpose(2, 1, 0)

    @property
    def heads(self) -> np.ndarray:
        """`[T, N, 3]` world place of every bone's head, metres."""
        return self.places.transpose(2, 1, 0)


def read(armature, action=None, slot=None, frame_range=None, report=None, keys_only=None) -> Reading:
    """Reads the animation of an armature object.

    Args:
        action, slot: what to read; None for what is assigned. The slot may be an identifier.
        frame_range: first and last timeline frame, or None for all keys.
        report: called with the share done, 0 to 1; an exception that it raises ends the reading.
        keys_only: False evaluates every frame even where the keys alone say everything.

    Raises:
        MotionError: there is nothing that can be read; the text says why and what to do.
    """
    steps = read_steps(armature, action, slot, frame_range, keys_only)
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            return end.value
        if report is not None:
            report(share)


def read_steps(armature, action=None, slot=None, frame_range=None, keys_only=None):
    """`read` as a generator that returns the Reading: yields the share done; between steps all is as before."""
    check_armature(armature)
    action, slot = _source(armature, action, slot)
    scene = bpy.context.scene
    rig = read_rig(armature)
    found = yield from _gather_curves(rig, armature, action, slot)
    start, stop = frame_range if frame_range is not None else (None, None)
    frames, step = sample_frames(np.concatenate(found.times), start, stop)
    if len(frames) < 2:
        raise MotionError(
            f"'{action.name}' has {'one frame' if len(frames) else 'no keys'} "
            f"{'between these frames' if frame_range else 'of animation'}. Two are needed at least: key more frames"
            f"{' or widen the range' if frame_range else ''}."
        )
    channels = yield from _sample_curves(found, frames, rig, armature, action, slot)
    evaluated = "asked for" if keys_only is False else _slow_reason(armature, rig, channels, found)
    if evaluated is None:
        world, outside = _object_matrices(armature, channels)
        turns, places, linear = yield from _paced(pose_steps(rig, channels, world))
    else:
        poses = yield from _evaluated_poses(armature, rig, action, slot, scene, frames)
        turns, places, linear, world, outside = poses

    keyed = np.zeros(len(rig.names), dtype=bool)
    keyed[channels.bones[channels.bones != OBJECT]] = True
    choice = joint_choice(rig, turns.transpose(2, 1, 0), places.transpose(2, 1, 0), keyed)
    joint_turns = turns[:, choice.bones].transpose(2, 1, 0)
    joint_places = places[:, choice.bones].transpose(2, 1, 0)
    surely_rigid = evaluated is None and is_even(world) and is_surely_rigid(rig, choice, channels)
    skeleton, rigid = joint_skeleton(rig, choice, joint_turns, joint_places, world[0], surely_rigid)
    motion = Motion(
        skeleton=skeleton,
        fps=scene.render.fps / scene.render.fps_base / step,
        root_positions=np.ascontiguousarray(joint_places[:, 0]),
        rotations=joint_turns,
        positions=None if rigid else joint_places,
    )
    return Reading(
        motion=motion,
        frames=frames,
        choice=choice,
        rig=rig,
        armature=Block.of(armature),
        action=Block.of(action),
        slot=identifier_of(slot),
        channels=channels,
        turns=turns,
        places=places,
        linear=linear,
        world=world,
        outside=outside,
        evaluated=evaluated,
        notes=_notes(found.ignored, evaluated, rig),
    )


def _paced(steps):
    """Passes on what a generator of shares yields, at most every `STEP_S`, and returns what it returns."""
    until = time.monotonic() + STEP_S
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            return end.value
        if time.monotonic() >= until:
            yield KEYS_SHARE + (1 - KEYS_SHARE) * share
            until = time.monotonic() + STEP_S


def _notes(ignored, evaluated, rig) -> tuple[str, ...]:
    """What the user should know of the reading, in sentences."""
    notes = []
    if evaluated is not None:
        notes.append(f"Read frame by frame because of {evaluated}.")
    if ignored:
        notes.append(f"{ignored} curves address bones that this armature doesn't have; they were ignored.")
    if rig.ruled.any():
        notes.append(f"{int(rig.ruled.sum())} bones are turned by constraints; their own keys are not changed.")
    return tuple(notes)


def _source(armature, action, slot):
    """The action and slot to read."""
    assigned, assigned_slot = assigned_action(armature)
    if action is None:
        if assigned is None:
            raise MotionError(f"'{armature.name}' has no action. Choose one in the Action editor, or key its bones.")
        return assigned, (assigned_slot if slot is None else find_slot(armature, assigned, slot))
    if not slot and action == assigned:
        return action, assigned_slot
    return action, find_slot(armature, action, slot)


def _no_keys(armature, action, slot):
    """Raises MotionError on an action that moves no bone, and names the slot that would."""
    better = find_slot(armature, action)
    if better is not None and bone_curve_count(armature, action, better) > bone_curve_count(armature, action, slot):
        found = f"The slot '{slot.name_display}'" if slot is not None else "No slot"
        raise MotionError(
            f"{found} of '{action.name}' {'moves no bone of' if slot is not None else 'is chosen for'} "
            f"'{armature.name}', but the slot '{better.name_display}' does. Choose that one in the Action editor."
        )
    if bone_curve_count(armature, action, slot):
        raise MotionError(f"All bone channels of '{action.name}' are muted or empty. Unmute them in the Graph editor.")
    raise MotionError(
        f"'{action.name}' has no keys on the bones of '{armature.name}'. Key some bones, or choose another action."
    )


# Keys


@dataclass(frozen=True)
class _Found:
    """The curves that pose an armature.

    Attributes:
        curves: (row, kind, index, path, keys `[2 n]` float32, place among the slot's curves) each.
        times: the different sets of key times. time_sets: for each curve which of them it has.
        ignored: how many curves address no bone. odd: a curve changes what the kinematics here don't follow.
        count: how many curves the slot has.
    """

    curves: list
    times: list
    time_sets: list
    ignored: int
    odd: bool
    count: int


def _curve_list(action, slot, count=None) -> list:
    """The slot's curves, fetched anew after every yield: unlike data-blocks, curves don't notice when they are deleted.

    Raises:
        MotionError: their number isn't `count` any more, or the action is gone.
    """
    try:
        curves = list(curve_collection(action, slot))
    except ReferenceError:
        curves = None
    if curves is None or count not in (None, len(curves)):
        raise MotionError("The action was changed while it was read. Encode again.")
    return curves


def _gather_curves(rig, armature, action, slot):
    """The curves that pose the armature, with their keys: a generator that yields the share done and returns _Found."""
    row_of = {name: row for row, name in enumerate(rig.names)}
    row_of[None] = OBJECT
    channel_of = [rotation_channel(mode) for mode in (*rig.modes, armature.rotation_mode)]
    targets, curves, times, time_sets = {}, [], [], []
    ignored, odd = 0, False
    collection = _curve_list(action, slot)
    count, until = len(collection), time.monotonic() + STEP_S
    for place in range(count):
        if time.monotonic() > until:
            yield KEYS_SHARE * 0.7 * place / count
            collection, until = _curve_list(action, slot, count), time.monotonic() + STEP_S
        curve = collection[place]
        path = curve.data_path
        if path not in targets:
            targets[path] = curve_target(path)
        if targets[path] is None:
            continue
        name, kind = targets[path]
        row = row_of.get(name)
        if row is None:
            ignored += 1
            continue
        if kind not in CHANNEL_SIZE or (kind.startswith("rotation") and kind != channel_of[row]):
            odd |= kind == "rotation_mode" or kind.startswith("delta_")
            continue
        group = curve.group
        if curve.mute or (group is not None and group.mute):
            continue
        points = curve.keyframe_points
        keys = np.empty(2 * len(points), dtype=np.float32)
        if len(keys):
            points.foreach_get("co", keys)
            own = keys[0::2]
        elif len(curve.sampled_points):
            own = np.array(curve.range(), dtype=np.float32)
        else:
            continue
        known = next((at for at in range(len(times) - 1, -1, -1) if _equal(times[at], own)), None)
        if known is None:
            known = len(times)
            times.append(own)
        time_sets.append(known)
        curves.append((row, kind, curve.array_index, path, keys, place))
    if all(row == OBJECT for row, *_ in curves):
        _no_keys(armature, action, slot)
    for own in times:
        if not np.isfinite(own).all():
            _refuse_keys(rig, curves, action)
    return _Found(curves, times, time_sets, ignored, odd, count)


def _equal(a, b) -> bool:
    return len(a) == len(b) and bool((a == b).all())


def _refuse_keys(rig, curves, action):
    """Raises MotionError with the place of the first key that isn't a number."""
    for row, kind, index, _, keys, _ in curves:
        bad = np.flatnonzero(~np.isfinite(keys).reshape(-1, 2).all(axis=1))
        if len(bad):
            time_, value = keys[2 * bad[0] : 2 * bad[0] + 2]
            place = "the object" if row == OBJECT else f"bone '{rig.names[row]}'"
            raise MotionError(
                f"'{action.name}' has a key that is not a finite number: {kind}[{index}] of {place} at frame "
                f"{time_:g} is {value:g}. Delete that key and try again."
            )
    raise MotionError(f"'{action.name}' has handles that are not finite. Set its handle types to Automatic (V).")


def _sample_curves(found, frames, rig, armature, action, slot):
    """The curves' values at the frames: a generator that yields the share done and returns Channels."""
    frames32 = frames.astype(np.float32)
    firsts = [_first_row(times, frames32) for times in found.times]
    values = np.empty((len(found.curves), len(frames)), dtype=np.float32)
    dense = np.zeros(len(found.curves), dtype=bool)
    collection, until = _curve_list(action, slot, found.count), time.monotonic() + STEP_S
    for row, (*_, keys, place) in enumerate(found.curves):
        if time.monotonic() > until:
            yield KEYS_SHARE * (0.7 + 0.3 * row / len(found.curves))
            collection, until = _curve_list(action, slot, found.count), time.monotonic() + STEP_S
        curve = collection[place]
        first = firsts[found.time_sets[row]]
        plain = len(keys) > 0 and not len(curve.modifiers)
        if plain and first is not None:
            values[row] = keys[2 * first + 1 : 2 * (first + len(frames)) : 2]
            dense[row] = len(keys) == 2 * len(frames)
        else:
            if not np.isfinite(keys).all():
                _refuse_keys(rig, found.curves, action)
            values[row] = curve_values(curve, keys, frames, plain)
    if not np.isfinite(values).all():
        _refuse_keys(rig, found.curves, action)
    rows, kinds, indices, paths, _, _ = zip(*found.curves, strict=True)
    order = np.append(rig.pose_rows, len(rig.names))
    basis = {name: pose_values(armature, name)[order].astype(np.float64) for name in TRANSFORMS}
    return Channels(np.array(rows), kinds, np.array(indices), paths, values, dense, basis)


def _first_row(times, frames32):
    """Where the frames begin among the key times, when each has its key and no other lies between; else None."""
    first = int(np.searchsorted(times, frames32[0]))
    stop = first + len(frames32)
    return first if stop <= len(times) and np.array_equal(times[first:stop], frames32) else None


def curve_values(curve, keys, frames, plain) -> np.ndarray:
    """A curve's values at the frames; with modifiers, odd interpolation or extrapolation Blender evaluates it.

    Args:
        keys: `[2 n]` times and values. plain: the curve has keys and no modifiers.
    """
    # Of two keys on one frame Blender takes the one that its search finds first.
    plain = plain and bool((np.diff(keys[0::2]) > SAME_KEY).all())
    if plain and (curve.extrapolation == "CONSTANT" or (frames[0] >= keys[0] and frames[-1] <= keys[-2])):
        kinds = np.empty(len(keys) // 2, dtype=np.int32)
        curve.keyframe_points.foreach_get("interpolation", kinds)
        if ((kinds == CONSTANT) | (kinds == LINEAR) | (kinds == BEZIER)).all():
            return key_values(curve, keys, kinds, frames)
    return np.array([curve.evaluate(frame) for frame in frames.tolist()])


def key_values(curve, keys, kinds, frames) -> np.ndarray:
    """Values between constant, linear and Bezier keys, without modifiers."""
    handles = np.zeros((2, len(keys)), dtype=np.float32)
    if (kinds == BEZIER).any():
        curve.keyframe_points.foreach_get("handle_left", handles[0])
        curve.keyframe_points.foreach_get("handle_right", handles[1])
    return evaluate_keys(frames, keys.reshape(-1, 2), handles[0].reshape(-1, 2), handles[1].reshape(-1, 2), kinds)


# What keys don't say


def _slow_reason(armature, rig, channels, found):
    """Why keys alone don't say how the armature moves, in words, or None where they do."""
    if rig.constrained.any() or any(not c.mute and c.influence > 0 for c in armature.constraints):
        return "constraints"
    data, settings = armature.animation_data, armature.data.animation_data
    if data is not None:
        if any(not driver.mute for driver in data.drivers):
            return "drivers"
        if data.use_tweak_mode or _has_strips(data):
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


def _object_matrices(armature, channels):
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


def _evaluated_poses(armature, rig, action, slot, scene, frames):
    """Blender's own poses: turns, places, linear, world, outside of Reading. A generator that yields the share done."""
    if armature.name not in bpy.context.view_layer.objects:
        raise MotionError(
            f"'{armature.name}' isn't in this scene's view layer, so Blender doesn't move it. Enable its collection."
        )
    count = len(frames)
    turns, places = np.empty((4, len(rig.names), count)), np.empty((3, len(rig.names), count))
    linear = np.empty((count, len(rig.names), 3, 3), dtype=np.float32)
    world, outside = np.empty((count, 4, 4)), np.empty((count, 3, 3))
    rest_turns = linear_to_quaternions(rig.rest[:, :3, :3])
    done = 0
    while done < count:
        try:
            state = capture(armature, scene)
            try:
                if assigned_action(armature) != (action, slot):
                    assign_action(armature, action, slot)
                start, until = done, time.monotonic() + STEP_S
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
        yield KEYS_SHARE + (1 - KEYS_SHARE) * done / count
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
