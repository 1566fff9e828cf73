"""A change -> a copy of the source action, whose keyed channels do what the change says."""

import time
from dataclasses import dataclass

import bpy
import numpy as np

from ..armature import MotionError, check_writable
from ..backend.motion import sample_rows
from ..backend.rotations import quaternion_to_rotvec, rotvec_to_quaternion
from ..channels import channel_values, rotation_channel, turn_basis
from ..curves import BEZIER, LINEAR, TIME_TOLERANCE
from ..rewrite import plan_change
from .actions import HAS_SLOTS, Block, curve_collection, find_slot, remove_action
from .correction import correct_steps
from .keys import SAME_KEY, curve_values, key_values

STEP_S = 0.04  # how long writing keeps Blender between two steps
BATCH_BONES, BATCH_VALUES = 16, 16_000  # whose values are computed together: at most so many bones, and rows of them
FREE, ALIGNED, AUTO_CLAMPED = 0, 3, 4  # Blender's numbers for handle types
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
class Written:
    """A new action.

    Attributes:
        action: the data-block. slot: identifier of the slot for the armature, "" without slots.
        curves: how many of its curves differ from the source's.
        notes: sentences on what could not be written. reduced: `reduction.Reduced` where keys were reduced.
    """

    action: bpy.types.Action
    slot: str
    curves: int
    notes: tuple[str, ...]
    reduced: object = None


def write_variation(reading, change, name, keys="EVERY_FRAME", frame_range=None, everything=False) -> Written:
    """A copy of the source action, with fake user, whose keyed channels do what `change` says.

    The copy has all of the source's slots: the armature's own is changed, those of others stay as they were.

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
            end.value.action.use_fake_user = True
            return end.value


def write_steps(reading, change, name, keys="EVERY_FRAME", frame_range=None, everything=False):
    """`write_variation` as a generator, without fake user: yields the share done; closed early, it leaves nothing."""
    if keys not in ("EVERY_FRAME", "SOURCE_KEYS"):
        raise ValueError(f"Keys are EVERY_FRAME or SOURCE_KEYS, not {keys}.")
    if change.rotation.shape[:2] != reading.motion.rotations.shape[:2]:
        shapes = f"{change.rotation.shape[:2]}, the motion {reading.motion.rotations.shape[:2]}"
        raise ValueError(f"The change has shape {shapes}.")
    check_writable(reading.armature.find("objects"))
    low, high = frame_range if frame_range is not None else (-np.inf, np.inf)
    rows = np.flatnonzero((reading.frames >= low - TIME_TOLERANCE) & (reading.frames <= high + TIME_TOLERANCE))
    if reading.controls is None:
        plan = plan_change(reading, change, everything)
        action, written = yield from _action_steps(reading, plan, name, keys, rows)
        return Written(action, reading.slot, written, plan.notes)
    times = _key_times(reading) if keys == "SOURCE_KEYS" else None
    (action, written), notes = yield from correct_steps(
        reading, change, rows, times, everything, lambda plan: _action_steps(reading, plan, name, keys, rows)
    )
    return Written(action, reading.slot, written, notes)


def _key_times(reading) -> dict[int, np.ndarray]:
    """The frames of each bone's keys in the source."""
    action, channels = reading.action.find("actions"), reading.channels
    curves = {
        (curve.data_path, curve.array_index): curve for curve in curve_collection(action, _own_slot(action, reading))
    }
    times = {}
    for bone, path, index in zip(channels.bones.tolist(), channels.paths, channels.indices.tolist(), strict=True):
        curve = curves.get((path, index))
        keys = np.empty(2 * len(curve.keyframe_points) if curve is not None else 0, dtype=np.float32)
        if len(keys):
            curve.keyframe_points.foreach_get("co", keys)
        times.setdefault(bone, []).append(keys[0::2])
    return {bone: np.unique(np.concatenate(found)) for bone, found in times.items()}


def _action_steps(reading, plan, name, keys, rows):
    """A copy of the source action with a plan on it: a generator that returns it and how many curves were written."""
    action = reading.action.find("actions").copy()
    copied, complete = Block.of(action), False
    try:
        action.name = name
        action.use_fake_user = False  # whoever keeps it sets it, so that a file saved meanwhile doesn't hold it
        bag = curve_collection(action, _own_slot(action, reading))
        curves = {(curve.data_path, curve.array_index): curve for curve in bag}
        write = _write_rows if keys == "EVERY_FRAME" else _write_keys
        tasks = _batches(reading, plan) if len(rows) else []
        written, until = 0, time.monotonic() + STEP_S
        for done, (kind, bones, rises) in enumerate(tasks):
            written += write(reading, curves, kind, bones, rises, rows)
            if time.monotonic() > until:
                yield done / len(tasks)
                until = time.monotonic() + STEP_S
        complete = True
        return action, written
    except (ReferenceError, KeyError) as error:
        name = reading.action.name
        raise MotionError(f"'{name}' was changed while its variation was written. Encode again.") from error
    finally:
        if not complete:
            remove_action(copied)


def _batches(reading, plan) -> list:
    """The plan in portions: property, bones of one rotation mode, their turns `[4, K, T]` or shifts `[3, K, T]`."""
    modes = np.array(reading.rig.modes)[plan.turned] if len(plan.turned) else np.array([], dtype=str)
    tasks = []
    for mode in sorted(set(modes)):
        same = np.flatnonzero(modes == mode)
        size = max(1, min(BATCH_BONES, BATCH_VALUES // len(reading.frames)))
        for start in range(0, len(same), size):
            part = same[start : start + size]
            turns = plan.turns if len(part) == len(modes) else plan.turns[:, part]
            tasks.append((rotation_channel(mode), plan.turned[part], turns))
    tasks += [("location", plan.shifted[at : at + 1], plan.shifts[:, at : at + 1]) for at in range(len(plan.shifted))]
    return tasks


def _own_slot(action, reading):
    """The copy's slot that drives the armature."""
    slot = find_slot(None, action, reading.slot) if reading.slot else None
    if HAS_SLOTS and slot is None:
        raise MotionError(f"'{reading.action.name}' has lost the slot that was read. Encode again.")
    return slot


def _changed(reading, kind, bones, values, rises):
    """Channel values `[3 or 4, K, ...]` of bones of one rotation mode after turns or shifts of that shape."""
    if kind == "location":
        return values + rises
    return turn_basis(reading.rig.modes[bones[0]], values, rises)


def _write_rows(reading, curves, kind, bones, rises, rows) -> int:
    """A key on each row: the source's values turned or shifted. Gives the number of curves."""
    channels = reading.channels
    selection = channels.select(kind, bones)
    old = channel_values(channels, kind, bones, selection)
    new = _changed(reading, kind, bones, old, rises)
    frames = reading.frames.astype(np.float32)
    keys = np.empty(2 * len(frames), dtype=np.float32)
    keys[0::2] = frames
    whole = len(rows) == len(frames)
    for row, component, place in zip(*(part.tolist() for part in selection), strict=True):
        curve = curves[channels.paths[row], component]
        values, before = new[component, place], old[component, place]
        if len(curve.modifiers):  # they act on top of the keys, so the keys get the difference
            values = unmodified(curve, reading.frames, before) + (values - before)
        if whole and channels.dense[row] and len(frames) == len(curve.keyframe_points):
            keys[1::2] = values
            _set_values(curve, keys, values, before)
        else:
            _replace_keys(curve, frames[rows], values[rows])
    return len(selection[0])


def unmodified(curve, frames, modified) -> np.ndarray:
    """The curve's values without its modifiers; what cycles make beyond the keys stays, for keys will stand there."""
    keys, kinds = np.empty(2 * len(curve.keyframe_points), np.float32), np.empty(len(curve.keyframe_points), np.int32)
    curve.keyframe_points.foreach_get("co", keys)
    curve.keyframe_points.foreach_get("interpolation", kinds)
    values = key_values(curve, keys, kinds, frames)
    if any(modifier.type == "CYCLES" and not modifier.mute for modifier in curve.modifiers):
        values = np.where((frames < keys[0] - SAME_KEY) | (frames > keys[-2] + SAME_KEY), modified, values)
    return values


def _set_values(curve, keys, after, before) -> None:
    """New values for keys that stay where they are in time; handles move along.

    Args:
        keys: `[2 n]` times and new values. after, before: `[n]` values, for what the handles do.
    """
    points = curve.keyframe_points
    points.foreach_set("co", keys)
    kinds = np.empty(len(points), dtype=np.int32)
    points.foreach_get("interpolation", kinds)
    if (kinds == BEZIER).any():
        for side in ("handle_left", "handle_right"):
            points.foreach_get(f"{side}_type", kinds)
            if ((kinds == FREE) | (kinds == ALIGNED)).any():  # Blender places the others itself
                handles = np.empty(2 * len(points), dtype=np.float32)
                points.foreach_get(side, handles)
                handles[1::2] += after - before
                points.foreach_set(side, handles)
    curve.update()


def _write_keys(reading, curves, kind, bones, rises, rows) -> int:
    """The source's keys in the range moved, and no others. Gives the number of curves."""
    first, last = reading.frames[rows[0]] - TIME_TOLERANCE, reading.frames[rows[-1]] + TIME_TOLERANCE
    channels, count = reading.channels, 0
    for place, bone in enumerate(bones.tolist()):
        found = []
        for row in channels.rows(bone, kind):
            component = int(channels.indices[row])
            curve = curves[channels.paths[row], component]
            keys = np.empty(2 * len(curve.keyframe_points), dtype=np.float32)
            curve.keyframe_points.foreach_get("co", keys)
            found.append((component, curve, keys))
        times = np.unique(np.concatenate([keys[0::2] for *_, keys in found])).astype(np.float64)
        times = times[(times >= first) & (times <= last)]
        if not len(times):
            continue
        values = np.tile(channels.basis[kind][bone][:, None, None], (1, 1, len(times)))
        for component, curve, keys in found:
            values[component, 0] = curve_values(curve, keys, times, len(keys) > 0 and not len(curve.modifiers))
        rise = _rises_at(kind, rises[:, place], np.interp(times, reading.frames, np.arange(len(reading.frames))))
        moved = (_changed(reading, kind, [bone], values, rise[:, None]) - values)[:, 0]
        for component, curve, keys in found:
            at = np.minimum(np.searchsorted(times, keys[0::2]), len(times) - 1)
            before = keys[1::2].copy()
            keys[1::2] += np.where(times[at] == keys[0::2], moved[component, at], 0.0)
            _set_values(curve, keys, keys[1::2], before)
            count += 1
    return count


def _rises_at(kind, rises, rows):
    """Turns `[4, T]` or shifts `[3, T]` at fractional rows, turns along their axes."""
    if kind == "location":
        return sample_rows(rises.T, rows).T
    return rotvec_to_quaternion(sample_rows(quaternion_to_rotvec(rises.T), rows)).T


def _replace_keys(curve, times, values) -> None:
    """Keys at `times` in place of those between the first and the last of them; the others stay as they are."""
    points = curve.keyframe_points
    old = {name: np.empty((len(points), size), dtype=kind) for name, size, kind in KEY_PROPERTIES}
    for name, array in old.items():
        points.foreach_get(name, array.reshape(-1))
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
    """The new key in `row` gets the old key's handle, fixed, so that the curve outside keeps its shape."""
    new[side][row] = old[side][at] + (new["co"][row] - old["co"][at])
    new["handle_left_type"][row] = new["handle_right_type"][row] = FREE  # an automatic one would move the other as well
