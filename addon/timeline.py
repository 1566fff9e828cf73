"""F-curves and frames: an armature's animation -> Motion; a change -> keys on the same channels of a new action.

The only module that touches F-curves, slots and `frame_set`, and the only one that knows Blender's versions: 4.2 has
`action.fcurves` and no slots, 4.4 has slots and channelbags, 5.0 nothing else.
"""

import re
import time
from dataclasses import dataclass, field

import bpy
import numpy as np

from .armature import (
    MotionError,
    Rig,
    check_armature,
    check_writable,
    joint_choice,
    joint_skeleton,
    read_rig,
)
from .backend.motion import Motion, sample_rows
from .backend.skeleton import JointChoice
from .curves import (
    BEZIER,
    CHANNEL_SIZE,
    CONSTANT,
    LINEAR,
    OBJECT,
    TIME_TOLERANCE,
    Channels,
    channel_values,
    evaluate_keys,
    rotation_channel,
    sample_frames,
    turn_basis,
)
from .kinematics import (
    heads_to_world,
    is_scaled,
    linear_to_quaternions,
    object_matrices,
    poses_from_channels,
    rotations_to_world,
)
from .rewrite import plan_change

HAS_SLOTS = bpy.app.version >= (4, 4, 0)
STEP_S = 0.04  # how long the slow reading keeps Blender between two steps
POSE_PATH = re.compile(r'pose\.bones\["((?:[^"\\]|\\.)*)"\]\.(\w+)')
TRANSFORMS = tuple(CHANNEL_SIZE)
SAME_KEY = 1e-4  # frames: Blender takes keys that are nearer for one
FREE, AUTO_CLAMPED, ALIGNED = 0, 4, 3  # Blender's numbers for handle types
FIXED_HANDLES = (FREE, ALIGNED)
KEY_PROPERTIES = (  # of a key, with size and type; the first two say all of a key without handles
    ("co", 2, np.float32),
    ("interpolation", 1, np.int32),
    ("handle_left", 2, np.float32),
    ("handle_right", 2, np.float32),
    ("handle_left_type", 1, np.int32),
    ("handle_right_type", 1, np.int32),
    ("easing", 1, np.int32),
    ("type", 1, np.int32),
    ("back", 1, np.float32),
    ("amplitude", 1, np.float32),
    ("period", 1, np.float32),
)


@dataclass(frozen=True)
class Block:
    """A data-block to be found again after an undo or a rename."""

    uid: int
    name: str

    @classmethod
    def of(cls, block) -> "Block":
        """Remembers `block`."""
        return cls(block.session_uid, block.name)

    def find(self, collection):
        """The data-block in `bpy.data.<collection>`.

        Raises:
            MotionError: it isn't there any more.
        """
        for block in getattr(bpy.data, collection):
            if block.session_uid == self.uid:
                return block
        raise MotionError(f"'{self.name}' isn't in the file any more. Encode again.")


@dataclass(frozen=True)
class Reading:
    """An armature's animation as it was read, with what writing needs.

    Attributes:
        motion: the joints' motion. frames: `[T]` the timeline frame of each row, not always whole.
        choice: which bones are joints. rig: all bones.
        armature, action, slot: what was read; the slot's identifier, "" without slots.
        channels: the curves. basis: unkeyed values of the pose, property name -> `[N, 3 or 4]`, for the object in the last row.
        rotations: `[T, N, 4]` float32 world rotation of every bone. heads: `[T, N, 3]` world, metres.
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
    basis: dict[str, np.ndarray]
    rotations: np.ndarray
    heads: np.ndarray
    linear: np.ndarray | None
    world: np.ndarray
    outside: np.ndarray
    evaluated: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def fps(self) -> float:
        """Rows a second."""
        return self.motion.fps

    @property
    def bones(self) -> tuple[str, ...]:
        """All bones' names, parents first."""
        return self.rig.names


# Actions and slots


def assigned_action(armature):
    """The action and the slot that drive the object, each None where there is none (the slot also before Blender 4.4)."""
    data = armature.animation_data
    if data is None:
        return None, None
    return data.action, (data.action_slot if HAS_SLOTS else None)


def assign_action(armature, action, slot=None) -> None:
    """Lets `action` drive the object through `slot` (a slot, its identifier, or None: the slot with most bone curves)."""
    data = armature.animation_data or armature.animation_data_create()
    if data.use_tweak_mode:
        raise MotionError(f"'{armature.name}' has an NLA strip in tweak mode. Leave it (Tab in the NLA editor) first.")
    data.action = action
    if action is None or not HAS_SLOTS:
        return
    slot = find_slot(armature, action, slot)
    if slot is not None and data.action_slot != slot:
        data.action_slot = slot


def slot_identifier(armature) -> str:
    """The identifier of the slot that drives the object, "" where there is none."""
    return _identifier(assigned_action(armature)[1])


def _identifier(slot) -> str:
    return "" if slot is None else slot.identifier


def find_slot(armature, action, slot=None):
    """The action's slot by object or identifier; the one with most of the armature's bone curves where None is given."""
    if not HAS_SLOTS or action is None:
        return None
    if slot is not None and not isinstance(slot, str):
        return slot
    if slot:
        return next((one for one in action.slots if one.identifier == slot), None)
    fitting = [one for one in action.slots if one.target_id_type in ("OBJECT", "UNSPECIFIED")]
    return max(fitting, key=lambda one: bone_curve_count(armature, action, one), default=None)


def curve_collection(action, slot):
    """The F-curves of a slot; empty where it has none."""
    if not HAS_SLOTS:
        return action.fcurves
    for layer in action.layers:
        for strip in layer.strips:
            bag = strip.channelbag(slot) if slot is not None else None
            if bag is not None:
                return bag.fcurves
    return ()


def curve_target(path: str):
    """Bone name (None for the object itself) and property that a data path leads to, or None where it is neither."""
    match = POSE_PATH.fullmatch(path)
    if match:
        name = match[1]
        return (bpy.utils.unescape_identifier(name) if "\\" in name else name), match[2]
    return (None, path) if "." not in path and "[" not in path else None


def bone_curve_count(armature, action, slot) -> int:
    """How many curves move bones that the armature has."""
    bones = armature.data.bones
    return sum(1 for curve in curve_collection(action, slot) if _moves_bone(curve, bones))


def _moves_bone(curve, bones) -> bool:
    target = curve_target(curve.data_path)
    return target is not None and target[0] is not None and target[1] in CHANNEL_SIZE and target[0] in bones


def action_frame_range(armature, action=None, slot=None):
    """First and last frame of the keys that move bones, or None where there are none."""
    if action is None:
        action, slot = assigned_action(armature)
    if action is None:
        return None
    bones = armature.data.bones
    ranges = []
    for curve in curve_collection(action, find_slot(armature, action, slot)):
        if _moves_bone(curve, bones) and len(curve.keyframe_points):
            ranges.append(curve.range())
    return (min(start for start, _ in ranges), max(stop for _, stop in ranges)) if ranges else None


@dataclass(frozen=True)
class State:
    """What showing an action, or stepping through frames, disturbs; see `capture` and `restore`."""

    armature: Block
    action: Block | None
    slot: str
    frame: tuple[int, float]
    ranges: tuple
    pose: dict[str, np.ndarray] = field(repr=False)


RANGES = ("use_preview_range", "frame_start", "frame_end", "frame_preview_start", "frame_preview_end")


def capture(armature, scene) -> State:
    """Remembers the armature's action and pose and the scene's frame and ranges."""
    action, slot = assigned_action(armature)
    pose = {name: _pose_values(armature, name) for name in TRANSFORMS}
    ranges = tuple((name, getattr(scene, name)) for name in RANGES)
    frame = (scene.frame_current, scene.frame_subframe)
    return State(Block.of(armature), Block.of(action) if action else None, _identifier(slot), frame, ranges, pose)


def restore(state: State, scene) -> None:
    """Brings back what `capture` remembered, poses that have no keys included."""
    armature = state.armature.find("objects")
    action, slot = assigned_action(armature)
    wanted = state.action.find("actions") if state.action else None
    if action != wanted or _identifier(slot) != state.slot:
        if wanted is not None or armature.animation_data is not None:
            assign_action(armature, wanted, state.slot or None)
    for name, value in state.ranges:
        if getattr(scene, name) != value:
            setattr(scene, name, value)
    scene.frame_set(state.frame[0], subframe=state.frame[1])
    for name, values in state.pose.items():
        if not np.array_equal(values, _pose_values(armature, name)):
            armature.pose.bones.foreach_set(name, values[:-1].ravel())
            setattr(armature, name, values[-1])
            armature.update_tag(refresh={"OBJECT"})


def _pose_values(armature, name) -> np.ndarray:
    """A property of every pose bone, in the pose's order, and of the object in the last row."""
    size = CHANNEL_SIZE[name]
    values = np.empty((len(armature.pose.bones) + 1, size), dtype=np.float32)
    armature.pose.bones.foreach_get(name, values[:-1].reshape(-1))
    values[-1] = getattr(armature, name)
    return values


# Reading


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
    """`read` as a generator: yields the share done every `STEP_S`, returns the Reading. Between steps all is as before."""
    check_armature(armature)
    action, slot = _source(armature, action, slot)
    scene = bpy.context.scene
    rig = read_rig(armature)
    order = np.append(rig.pose_rows, len(rig.names))
    basis = {name: _pose_values(armature, name)[order].astype(np.float64) for name in TRANSFORMS}
    found, ignored = _gather_curves(rig, armature, action, slot)
    start, stop = frame_range if frame_range is not None else (None, None)
    frames, step = sample_frames(np.concatenate([times for times in _distinct_times(found)]), start, stop)
    if len(frames) < 2:
        raise MotionError(
            f"'{action.name}' has {'one frame' if len(frames) else 'no keys'} "
            f"{'between these frames' if frame_range else 'of animation'}. Two are needed at least: key more frames"
            f"{' or widen the range' if frame_range else ''}."
        )
    channels = _sample_curves(found, frames)
    evaluated = "asked for" if keys_only is False else slow_reason(armature, rig, channels, action, slot)
    if evaluated is None:
        rotations, heads, linear = poses_from_channels(rig, channels, basis)
        world, outside = _object_matrices(armature, channels, basis)
        rotations, heads = rotations_to_world(rotations, world), heads_to_world(heads, world)
    else:
        rotations, heads, linear, world, outside = yield from _evaluated_poses(armature, rig, action, slot, scene, frames)

    keyed = np.zeros(len(rig.names), dtype=bool)
    keyed[channels.keyed()] = True
    choice = joint_choice(rig, rotations, heads, keyed)
    joints = choice.bones
    skeleton, rigid = joint_skeleton(rig, choice, rotations[:, joints], heads[:, joints], world[0])
    motion = Motion(
        skeleton=skeleton,
        fps=scene.render.fps / scene.render.fps_base / step,
        root_positions=np.ascontiguousarray(heads[:, joints[0]]),
        rotations=np.ascontiguousarray(rotations[:, joints]),
        positions=None if rigid else np.ascontiguousarray(heads[:, joints]),
    )
    return Reading(
        motion=motion,
        frames=frames,
        choice=choice,
        rig=rig,
        armature=Block.of(armature),
        action=Block.of(action),
        slot=_identifier(slot),
        channels=channels,
        basis=basis,
        rotations=rotations.astype(np.float32),
        heads=heads,
        linear=linear,
        world=world,
        outside=outside,
        evaluated=evaluated,
        notes=_reading_notes(ignored, evaluated, rig),
    )


def _source(armature, action, slot):
    """The action and slot to read, checked."""
    assigned, assigned_slot = assigned_action(armature)
    if action is None:
        action = assigned
        slot = assigned_slot if slot is None else find_slot(armature, action, slot)
        if action is None:
            raise MotionError(f"'{armature.name}' has no action. Choose one in the Action editor, or key its bones.")
    else:
        slot = find_slot(armature, action, slot or (assigned_slot if action == assigned else None))
    if not bone_curve_count(armature, action, slot):
        better = find_slot(armature, action)
        if better is not None and bone_curve_count(armature, action, better):
            found = f"The slot '{slot.name_display}'" if slot is not None else "No slot"
            raise MotionError(
                f"{found} of '{action.name}' {'moves no bone of' if slot is not None else 'is chosen for'} "
                f"'{armature.name}', but the slot '{better.name_display}' does. Choose that one in the Action editor."
            )
        raise MotionError(f"'{action.name}' has no keys on the bones of '{armature.name}'. Key some bones, or choose another action.")
    return action, slot


def _gather_curves(rig, armature, action, slot):
    """The curves that pose the armature: (row, kind, index, path, keys `[2 n]`, curve) each, and how many address no bone."""
    row_of = {name: row for row, name in enumerate(rig.names)}
    row_of[None] = OBJECT
    channel_of = [rotation_channel(mode) for mode in (*rig.modes, armature.rotation_mode)]
    found, ignored = [], 0
    for curve in curve_collection(action, slot):
        path = curve.data_path
        target = curve_target(path)
        if target is None or curve.mute or (curve.group is not None and curve.group.mute):
            continue
        name, kind = target
        row = row_of.get(name)
        if row is None:
            ignored += 1
            continue
        if kind not in CHANNEL_SIZE or (kind.startswith("rotation") and kind != channel_of[row]):
            continue
        points = curve.keyframe_points
        keys = np.empty(2 * len(points), dtype=np.float32)
        if len(keys):
            points.foreach_get("co", keys)
            if not np.isfinite(keys.sum(dtype=np.float64)):
                _refuse_keys(name, kind, curve.array_index, keys, action)
        elif not len(curve.sampled_points):
            continue
        found.append((row, kind, curve.array_index, path, keys, curve))
    if not any(row >= 0 for row, *_ in found):
        raise MotionError(f"All bone channels of '{action.name}' are muted or empty. Unmute them in the Graph editor.")
    return found, ignored


def _refuse_keys(name, kind, index, keys, action):
    """Raises MotionError with the place of the first key that isn't a number."""
    bad = int(np.flatnonzero(~np.isfinite(keys).reshape(-1, 2).all(axis=1))[0])
    place = f"of bone '{name}'" if name is not None else "of the object"
    raise MotionError(
        f"'{action.name}' has a key that is not a finite number: {kind}[{index}] {place} at frame {keys[2 * bad]:g} is "
        f"{keys[2 * bad + 1]}. Delete that key and try again."
    )


def _distinct_times(found) -> list[np.ndarray]:
    """The different sets of key times among the curves; most clips have one or two."""
    distinct = []
    for *_, keys, curve in found:
        times = keys[0::2] if len(keys) else np.array(curve.range(), dtype=np.float32)
        if not any(len(times) == len(known) and np.array_equal(times, known) for known in distinct[-4:]):
            distinct.append(times)
    return distinct


def _sample_curves(found, frames) -> Channels:
    """The curves' values at the frames."""
    frames32 = frames.astype(np.float32)
    values = np.empty((len(found), len(frames)), dtype=np.float32)
    dense = np.zeros(len(found), dtype=bool)
    known, first = None, None
    for row, (*_, keys, curve) in enumerate(found):
        plain = not len(curve.modifiers) and len(keys) > 0
        times = keys[0::2]
        if known is None or len(known) != len(times) or not np.array_equal(known, times):
            known, first = times, _first_row(times, frames32)
        if plain and first is not None:
            values[row] = keys[2 * first + 1 : 2 * (first + len(frames)) : 2]
            dense[row] = len(times) == len(frames)
        else:
            values[row] = _curve_values(curve, keys, frames, plain)
    rows, kinds, indices, paths, _, _ = zip(*found, strict=True)
    return Channels(np.array(rows), kinds, np.array(indices), paths, values, dense)


def _first_row(times, frames32):
    """Where the frames begin among the key times, when each has its key and no other lies between; else None."""
    first = int(np.searchsorted(times, frames32[0]))
    stop = first + len(frames32)
    return first if stop <= len(times) and np.array_equal(times[first:stop], frames32) else None


def _curve_values(curve, keys, frames, plain) -> np.ndarray:
    """A curve's values at the frames; with modifiers, odd interpolation or extrapolation Blender evaluates it."""
    count = len(keys) // 2
    # Of two keys on one frame Blender takes the one that its search finds first.
    plain = plain and bool((np.diff(keys[0::2]) > SAME_KEY).all())
    if plain and (curve.extrapolation == "CONSTANT" or (frames[0] >= keys[0] and frames[-1] <= keys[-2])):
        kinds = np.empty(count, dtype=np.int32)
        curve.keyframe_points.foreach_get("interpolation", kinds)
        if np.isin(kinds, (CONSTANT, LINEAR, BEZIER)).all():
            return key_values(curve, keys, kinds, frames)
    return np.array([curve.evaluate(frame) for frame in frames.tolist()])


def key_values(curve, keys, kinds, frames) -> np.ndarray:
    """Values between constant, linear and Bezier keys, without modifiers."""
    handles = np.zeros((2, len(keys)), dtype=np.float32)
    if (kinds == BEZIER).any():
        curve.keyframe_points.foreach_get("handle_left", handles[0])
        curve.keyframe_points.foreach_get("handle_right", handles[1])
    return evaluate_keys(frames, keys.reshape(-1, 2), handles[0].reshape(-1, 2), handles[1].reshape(-1, 2), kinds)


def slow_reason(armature, rig, channels, action, slot):
    """Why keys alone don't say how the armature moves, in words, or None where they do."""
    data = armature.animation_data
    if rig.constrained.any() or any(not c.mute and c.influence > 0 for c in armature.constraints):
        return "constraints"
    if data is not None:
        if any(not driver.mute for driver in data.drivers):
            return "drivers"
        if data.use_tweak_mode or (data.use_nla and any(not t.mute and any(not s.mute for s in t.strips) for t in data.nla_tracks)):
            return "NLA tracks"
        if data.action is not None and (data.action_influence < 1 or data.action_blend_type != "REPLACE"):
            return "an action that is blended"
    if armature.data.animation_data is not None and (armature.data.animation_data.action or len(armature.data.animation_data.drivers)):
        return "animated armature settings"
    if any(target is not None and (target[1] == "rotation_mode" or target[1].startswith("delta_")) for target in
           (curve_target(curve.data_path) for curve in curve_collection(action, slot))):  # fmt: skip
        return "keyed rotation modes or delta transforms"
    if OBJECT in channels.bones and _has_delta(armature):
        return "delta transforms"
    parent = armature.parent
    if parent is not None and armature.parent_type != "OBJECT":
        return "a parent that deforms"
    while parent is not None:
        if _is_animated(parent):
            return f"the animated parent '{parent.name}'"
        parent = parent.parent
    odd = ~(rig.turns_along & rig.plain_scale)
    if odd.any() and ("scale" in channels.kinds or _is_pose_scaled(armature)):
        return "scaled bones that don't inherit in full"
    return None


def _has_delta(armature) -> bool:
    """Whether the object is shifted, turned or scaled by its delta transforms."""
    turned = (*armature.delta_rotation_euler, *armature.delta_rotation_quaternion)
    return any(armature.delta_location) or turned != (0, 0, 0, 1, 0, 0, 0) or any(x != 1 for x in armature.delta_scale)


def _is_pose_scaled(armature) -> bool:
    return bool((np.abs(_pose_values(armature, "scale")[:-1] - 1) > 1e-6).any())


def _is_animated(thing) -> bool:
    """Whether an object may move over time."""
    if any(not constraint.mute for constraint in thing.constraints):
        return True
    data = thing.animation_data
    if data is None:
        return False
    if any(not driver.mute for driver in data.drivers) or (data.use_nla and any(not track.mute for track in data.nla_tracks)):
        return True
    return data.action is not None and any(not _is_level(curve) for curve in curve_collection(*assigned_action(thing)))


def _is_level(curve) -> bool:
    """Whether a curve has the same value throughout."""
    if len(curve.modifiers) or not len(curve.keyframe_points):
        return False
    keys = np.empty(2 * len(curve.keyframe_points), dtype=np.float32)
    curve.keyframe_points.foreach_get("co", keys)
    return bool(np.ptp(keys[1::2]) == 0) and (len(keys) == 2 or np.ptp([curve.evaluate(f) for f in np.linspace(keys[0], keys[-2], 9)]) == 0)




def _object_matrices(armature, channels, basis):
    """The object's world matrix, `[1 or T, 4, 4]`, and the axes of its own location, `[1, 3, 3]`; parents stand still."""
    bpy.context.view_layer.update()
    world, own = np.array(armature.matrix_world), np.array(armature.matrix_basis)
    if abs(np.linalg.det(own[:3, :3])) < 1e-18 or abs(np.linalg.det(world[:3, :3])) < 1e-18:
        raise MotionError(f"'{armature.name}' is scaled to zero. Give it some scale and try again.")
    outside = world @ np.linalg.inv(own)
    if (channels.bones == OBJECT).any():
        world = outside @ object_matrices(channels, basis, armature.rotation_mode)
    return world.reshape(-1, 4, 4), outside[None, :3, :3]


def _evaluated_poses(armature, rig, action, slot, scene, frames):
    """The same as from keys, but from Blender's evaluation frame by frame; a generator that yields the share done."""
    if armature.name not in bpy.context.view_layer.objects:
        raise MotionError(f"'{armature.name}' isn't in this scene's view layer, so Blender doesn't move it. Link it, or enable its collection.")
    count = len(frames)
    rotations, heads = np.empty((count, len(rig.names), 4)), np.empty((count, len(rig.names), 3))
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
            raise MotionError(f"'{armature.name}' has a pose that is not finite at frame {frames[start]:g} or after. Mend its constraints or drivers.")
        rotations[start:done] = linear_to_quaternions(matrices[..., :3, :3], rest_turns)
        heads[start:done], linear[start:done] = matrices[..., :3, 3], matrices[..., :3, :3]
        yield done / count
    rotations, heads = rotations_to_world(rotations, world), heads_to_world(heads, world)
    return rotations, heads, linear if is_scaled(linear) else None, world, outside


def _evaluated_frame(armature, scene, frame, world, outside, row) -> np.ndarray:
    """Blender's pose matrices at a frame, as it stores them; fills the object's row of `world` and `outside`."""
    whole = int(np.floor(frame))
    scene.frame_set(whole, subframe=frame - whole)
    evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    buffer = np.empty(16 * len(evaluated.pose.bones), dtype=np.float32)
    evaluated.pose.bones.foreach_get("matrix", buffer)
    world[row] = np.array(evaluated.matrix_world)
    own = np.array(evaluated.matrix_basis)
    if abs(np.linalg.det(own[:3, :3])) < 1e-18 or abs(np.linalg.det(world[row, :3, :3])) < 1e-18:
        raise MotionError(f"'{armature.name}' is scaled to zero at frame {frame:g}. Give it some scale and try again.")
    outside[row] = (world[row] @ np.linalg.inv(own))[:3, :3]
    return buffer


def _reading_notes(ignored, evaluated, rig) -> tuple[str, ...]:
    """What the user should know of the reading, in sentences."""
    notes = []
    if evaluated is not None:
        notes.append(f"Read frame by frame because of {evaluated}.")
    if ignored:
        notes.append(f"{ignored} curves address bones that this armature doesn't have; they were ignored.")
    if rig.ruled.any():
        notes.append(f"{int(rig.ruled.sum())} bones are turned by constraints; their own keys are not changed.")
    return tuple(notes)


# Writing


@dataclass(frozen=True)
class Written:
    """A new action.

    Attributes:
        action: the data-block. slot: identifier of the slot for the armature, "" without slots.
        curves: how many of its curves differ from the source's.
        notes: sentences on what could not be written.
    """

    action: bpy.types.Action
    slot: str
    curves: int
    notes: tuple[str, ...]


def write_variation(reading, change, name, keys="EVERY_FRAME", frame_range=None, everything=False) -> Written:
    """A copy of the source action, with fake user, whose keyed channels do what `change` says; the source stays as it is.

    Args:
        change: `backend.change.Change`, row for row of the reading.
        name: of the new action.
        keys: "EVERY_FRAME", a key on each row in the range, or "SOURCE_KEYS", only the source's keys moved.
        frame_range: first and last frame that may get keys, None for all that was read.
        everything: writes also the channels on which nothing happens.

    Raises:
        MotionError: the source is gone or was changed beyond use, or the armature can't take a new action.
    """
    steps = write_steps(reading, change, name, keys, frame_range, everything)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def write_steps(reading, change, name, keys="EVERY_FRAME", frame_range=None, everything=False):
    """`write_variation` as a generator: yields the share done every `STEP_S`. Closed early, it leaves nothing behind."""
    if keys not in ("EVERY_FRAME", "SOURCE_KEYS"):
        raise ValueError(f"Keys are EVERY_FRAME or SOURCE_KEYS, not {keys}.")
    if change.rotation.shape[:2] != reading.motion.rotations.shape[:2]:
        raise ValueError(f"The change has shape {change.rotation.shape[:2]}, the motion {reading.motion.rotations.shape[:2]}.")
    check_writable(reading.armature.find("objects"))
    plan = plan_change(reading, change, everything)
    low, high = frame_range if frame_range is not None else (-np.inf, np.inf)
    rows = np.flatnonzero((reading.frames >= low - TIME_TOLERANCE) & (reading.frames <= high + TIME_TOLERANCE))
    action = reading.action.find("actions").copy()
    action_block = Block.of(action)
    complete = False
    try:
        action.name = name
        action.use_fake_user = True
        curves = {(curve.data_path, curve.array_index): curve for curve in curve_collection(action, _own_slot(action, reading))}
        written = 0
        if len(rows):
            write = _write_rows if keys == "EVERY_FRAME" else _write_keys
            until = time.monotonic() + STEP_S
            tasks = [(bone, rotation_channel(reading.rig.modes[bone]), turn) for bone, turn in zip(plan.turned, plan.turns, strict=True)]
            tasks += [(bone, "location", shift) for bone, shift in zip(plan.shifted, plan.shifts, strict=True)]
            for done, (bone, kind, rise) in enumerate(tasks):
                written += write(reading, curves, bone, kind, rise, rows)
                if time.monotonic() > until:
                    yield done / len(tasks)
                    until = time.monotonic() + STEP_S
        complete = True
        return Written(action, reading.slot, written, plan.notes)
    except (ReferenceError, KeyError) as error:
        raise MotionError(f"'{reading.action.name}' was changed while its variation was written. Encode again.") from error
    finally:
        if not complete:
            _remove(action_block)


def _own_slot(action, reading):
    """The copy's slot that drives the armature."""
    slot = find_slot(None, action, reading.slot) if reading.slot else None
    if HAS_SLOTS and slot is None:
        raise MotionError(f"'{reading.action.name}' has lost the slot that was read. Encode again.")
    return slot


def _remove(block):
    """Deletes the action if it is still there."""
    for action in bpy.data.actions:
        if action.session_uid == block.uid:
            bpy.data.actions.remove(action)
            return


def _changed(reading, bone, kind, values, rise):
    """Channel values `[n, 3 or 4]` after a turn or a shift `[n, 3]`."""
    if kind == "location":
        return values + rise
    return turn_basis(reading.rig.modes[bone], values, rise)


def _bone_curves(reading, curves, bone, kind):
    """The copy's curves of one property of a bone, and their rows in the reading's channels."""
    for row in reading.channels.rows(bone, kind):
        yield row, curves[reading.channels.paths[row], int(reading.channels.indices[row])]


def _write_rows(reading, curves, bone, kind, rise, rows) -> int:
    """A key on each row: the source's values turned or shifted. Gives the number of curves."""
    channels = reading.channels
    old = channel_values(channels, reading.basis, kind, [bone])[:, 0].T
    new = _changed(reading, bone, kind, old, rise)
    frames = reading.frames.astype(np.float32)
    count = 0
    for row, curve in _bone_curves(reading, curves, bone, kind):
        index = channels.indices[row]
        if len(curve.modifiers):  # they act on top of the keys, so the keys get the difference
            values = _unmodified(curve, reading.frames, old[:, index]) + (new[:, index] - old[:, index])
        else:
            values = new[:, index]
        if channels.dense[row] and len(rows) == len(frames) == len(curve.keyframe_points):
            _set_values(curve, frames, values, values - old[:, index])
        else:
            _replace_keys(curve, frames[rows], values[rows])
        count += 1
    return count


def _unmodified(curve, frames, modified) -> np.ndarray:
    """The curve's values without its modifiers; what cycles make beyond the keys stays, for keys will stand there."""
    keys, kinds = np.empty(2 * len(curve.keyframe_points), np.float32), np.empty(len(curve.keyframe_points), np.int32)
    curve.keyframe_points.foreach_get("co", keys)
    curve.keyframe_points.foreach_get("interpolation", kinds)
    values = key_values(curve, keys, kinds, frames)
    if any(modifier.type == "CYCLES" and not modifier.mute for modifier in curve.modifiers):
        values = np.where((frames < keys[0] - SAME_KEY) | (frames > keys[-2] + SAME_KEY), modified, values)
    return values


def _set_values(curve, times, values, rise) -> None:
    """New values for keys that stay where they are in time; handles move along."""
    points = curve.keyframe_points
    keys = np.empty(2 * len(times), dtype=np.float32)
    keys[0::2], keys[1::2] = times, values
    points.foreach_set("co", keys)
    for side in ("handle_left", "handle_right"):
        kinds = np.empty(len(times), dtype=np.int32)
        points.foreach_get(f"{side}_type", kinds)
        if (np.isin(kinds, FIXED_HANDLES)).any():  # Blender places the others itself
            points.foreach_get(side, keys)
            keys[1::2] += rise
            points.foreach_set(side, keys)
    curve.update()


def _write_keys(reading, curves, bone, kind, rise, rows) -> int:
    """The source's keys in the range moved, and no others. Gives the number of curves."""
    found = []
    for row, curve in _bone_curves(reading, curves, bone, kind):
        keys = np.empty(2 * len(curve.keyframe_points), dtype=np.float32)
        curve.keyframe_points.foreach_get("co", keys)
        found.append((row, curve, keys))
    first, last = reading.frames[rows[0]], reading.frames[rows[-1]]
    times = np.unique(np.concatenate([keys[0::2] for *_, keys in found])).astype(np.float64)
    times = times[(times >= first - TIME_TOLERANCE) & (times <= last + TIME_TOLERANCE)]
    if not len(times):
        return 0
    place = np.interp(times, reading.frames, np.arange(len(reading.frames)))
    values = np.tile(reading.basis[kind][bone], (len(times), 1))
    for row, curve, keys in found:
        kinds = np.empty(len(keys) // 2, dtype=np.int32)
        curve.keyframe_points.foreach_get("interpolation", kinds)
        values[:, reading.channels.indices[row]] = _curve_values(curve, keys, times, not len(curve.modifiers))
    moved = _changed(reading, bone, kind, values, sample_rows(rise, place)) - values
    for row, curve, keys in found:
        at = np.searchsorted(times, keys[0::2])
        inside = (at < len(times)) & (times[np.minimum(at, len(times) - 1)] == keys[0::2])
        steps = np.where(inside, moved[np.minimum(at, len(times) - 1), reading.channels.indices[row]], 0.0)
        _set_values(curve, keys[0::2], keys[1::2] + steps, steps)
    return len(found)


def _replace_keys(curve, times, values) -> None:
    """Keys at `times` in place of those between the first and the last of them; the others stay as they are."""
    points = curve.keyframe_points
    old = {name: np.empty(size * len(points), dtype=kind) for name, size, kind in KEY_PROPERTIES}
    for name, array in old.items():
        points.foreach_get(name, array)
    old = {name: array.reshape(len(points), size) for (name, size, _), array in zip(KEY_PROPERTIES, old.values(), strict=True)}
    before = old["co"][:, 0] < times[0] - TIME_TOLERANCE
    after = old["co"][:, 0] > times[-1] + TIME_TOLERANCE
    new = {name: np.zeros((len(times), size), dtype=kind) for name, size, kind in KEY_PROPERTIES}
    new["co"][:, 0], new["co"][:, 1] = times, values
    new["interpolation"][:] = LINEAR
    for side, sign in (("handle_left", -1), ("handle_right", 1)):
        new[side][:] = new["co"] + np.array([sign / 3, 0], dtype=np.float32)
        new[f"{side}_type"][:] = AUTO_CLAMPED
    if after.any():  # the stretch behind the last new key keeps its kind
        last = int(np.flatnonzero(after)[0]) - 1
        if last >= 0:
            for name in ("interpolation", "easing", "back", "amplitude", "period"):
                new[name][-1] = old[name][last]
            if abs(old["co"][last, 0] - times[-1]) <= TIME_TOLERANCE:
                _keep_handle(old, new, "handle_right", last, -1)
    if before.any():
        first = int(np.flatnonzero(before)[-1]) + 1
        if first < len(points) and abs(old["co"][first, 0] - times[0]) <= TIME_TOLERANCE:
            _keep_handle(old, new, "handle_left", first, 0)
    count = int(before.sum()) + len(times) + int(after.sum())
    if count != len(points):
        points.clear()
        points.add(count)
    plain = not before.any() and not after.any()
    for name, _, _ in KEY_PROPERTIES[: 2 if plain else None]:
        points.foreach_set(name, np.concatenate((old[name][before], new[name], old[name][after])).ravel())
    curve.update()


def _keep_handle(old, new, side, at, row) -> None:
    """The new key in `row` gets the handle of the old key it replaces, fixed, so that the curve outside keeps its shape."""
    new[side][row] = old[side][at] + (new["co"][row] - old["co"][at])
    new["handle_left_type"][row] = new["handle_right_type"][row] = FREE  # an automatic one would move the other as well
