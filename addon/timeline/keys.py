"""The F-curves that pose an armature: their keys, and their values at the sampled frames."""

import time
from dataclasses import dataclass

import numpy as np

from ..armature import MotionError
from ..channels import CHANNEL_SIZE, OBJECT, Channels, rotation_channel
from ..curves import BEZIER, CONSTANT, LINEAR, evaluate_keys
from .actions import (
    TRANSFORMS,
    bone_curve_count,
    curve_collection,
    curve_target,
    find_slot,
    pose_values,
)

STEP_S = 0.04  # how long gathering and sampling keep Blender between two steps
GATHER_SHARE = 0.7  # of the work on the keys
SAME_KEY = 1e-4  # frames: Blender takes keys that are nearer for one


@dataclass(frozen=True)
class Found:
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


def gather_curves(rig, armature, action, slot):
    """The curves that pose the armature, with their keys: a generator that yields the share done and returns Found."""
    row_of = {name: row for row, name in enumerate(rig.names)}
    row_of[None] = OBJECT
    channel_of = [rotation_channel(mode) for mode in (*rig.modes, armature.rotation_mode)]
    targets, curves, times, time_sets = {}, [], [], []
    ignored, odd = 0, False
    collection = _curve_list(action, slot)
    count, until = len(collection), time.monotonic() + STEP_S
    for place in range(count):
        if time.monotonic() > until:
            yield GATHER_SHARE * place / count
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
    return Found(curves, times, time_sets, ignored, odd, count)


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


def sample_curves(found, frames, rig, armature, action, slot):
    """The curves' values at the frames: a generator that yields the share done and returns Channels."""
    frames32 = frames.astype(np.float32)
    firsts = [_first_row(times, frames32) for times in found.times]
    values = np.empty((len(found.curves), len(frames)), dtype=np.float32)
    dense = np.zeros(len(found.curves), dtype=bool)
    collection, until = _curve_list(action, slot, found.count), time.monotonic() + STEP_S
    for row, (*_, keys, place) in enumerate(found.curves):
        if time.monotonic() > until:
            yield GATHER_SHARE + (1 - GATHER_SHARE) * row / len(found.curves)
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
