"""Fewer keys: the baked curves of an action -> Bezier keys within a tolerance, the user's own keys among them.

A curve is *baked* where it has a key on every frame (or on every step of a faster grid): nobody set those by hand.
Keys that stand alone, and marked ones (extremes, breakdowns, holds), are the user's own.
"""

import contextlib
from dataclasses import dataclass, replace

import bpy
import numpy as np

from ..accuracy import PLACE_AT_HALF_DEGREE, Body, Ruler, body_height
from ..armature import MotionError, joint_choice, read_rig
from ..channels import OBJECT
from ..curves import TIME_TOLERANCE, merge_times
from ..few_keys import few_keys
from .actions import Block, curve_collection, find_slot, identifier_of, remove_action
from .baked import BREAKDOWN, KEYFRAME, Piece, own_keys, replace_stretches
from .evaluation import object_worlds
from .holding import hold_frames, with_held
from .keys import gather_curves, sample_curves
from .strips import StripFinder, same_curves
from .writing import write_steps

KEEP_SOURCE, THIN_ALL, DENSE = "AS_SOURCE", "REDUCED", "EVERY_FRAME"
TOLERANCE_RAD = float(np.radians(0.5))
GATHERED, FITTED = 0.2, 0.95  # shares of the work


@dataclass(frozen=True)
class Reduced:
    """What became of an action's keys.

    Attributes:
        before, after: keys on the stretches that were baked. curves: how many curves those are on.
        tolerance_rad: what was asked for. height_m: the body's.
        joints_m: how far joints are off at most, by the curves; None if unknown. asked_m: how far they might be.
    """

    before: int
    after: int
    curves: int
    tolerance_rad: float
    joints_m: float | None
    asked_m: float
    height_m: float


def reduction_sentence(reduced: list[Reduced]) -> str:
    """What became of the keys of some actions, for the panel."""
    before, after = sum(one.before for one in reduced), sum(one.after for one in reduced)
    if not before:
        return "No curve here has a key on every frame, so there is nothing to reduce."
    text = f"{after} keys instead of {before} ({100 * after / before:.0f} %), bones within "
    text += f"{np.degrees(reduced[0].tolerance_rad):.3g}\u00b0"
    missed = max((one.joints_m / one.height_m for one in reduced if one.joints_m and one.height_m), default=0)
    return text + (f" and joints within {100 * missed:.2g} % of the body's height." if missed else ".")


def write_keys_steps(
    reading, change, name, keys=DENSE, frame_range=None, tolerance_rad=TOLERANCE_RAD, thin_rest=True, held=()
):
    """`writing.write_steps` for all kinds of keys: the two that it knows, and the two that are reduced.

    Args:
        keys: also "AS_SOURCE", the source's keys and between them as few as needed, or "REDUCED", as few as needed and
            of the source's only those that nobody baked.
        tolerance_rad: for these two. thin_rest: "REDUCED" also thins curves on which nothing happens.
        held: frames of the reading that get keys in any case, for their poses stay.
    """
    if keys == KEEP_SOURCE and reading.channels.dense.all():
        keys = DENSE
    if keys not in (KEEP_SOURCE, THIN_ALL):
        written = yield from write_steps(reading, change, name, keys, frame_range)
        if len(held) and keys != DENSE:
            hold_frames(written.action, written.slot, reading.action.find("actions"), reading.slot, held)
        return written
    armature, source = reading.armature.find("objects"), reading.action.find("actions")
    own = own_keys(source, find_slot(None, source, reading.slot or None), reading.fps, keys == KEEP_SOURCE)
    own = with_held(own, held)
    written = yield from _part(0.0, 0.5, write_steps(reading, change, name, DENSE, frame_range))
    copied, complete = Block.of(written.action), False
    try:
        unlike = None if thin_rest and keys == THIN_ALL else Block.of(source)
        steps = reduce_steps(armature, written.action, written.slot, tolerance_rad, own, frame_range, unlike, reading)
        reduced = yield from _part(0.5, 1.0, steps)
        complete = True
    finally:
        if not complete:
            remove_action(copied)
    return replace(written, reduced=reduced)


def reduce_keys(armature, action, slot=None, tolerance_rad=TOLERANCE_RAD, own=None, frame_range=None) -> Reduced:
    """Thins the baked curves of an action out; see `reduce_steps`."""
    steps = reduce_steps(armature, action, slot, tolerance_rad, own, frame_range)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def reduce_steps(armature, action, slot, tolerance_rad, own=None, frame_range=None, unlike=None, reading=None):
    """Thins the baked curves of an action out: a generator that yields the share done and returns Reduced.

    Nothing is written before all is fitted, so that closing it early leaves the action as it was.

    Args:
        slot: a slot, its identifier, or None. own: of `own_keys`: keys that stay.
        frame_range: first and last frame whose keys may go. unlike: an action, as Block; curves that are the same
            there stay as they are.
        reading: of the source where there is one: for the body's joints and the frame rate.
    """
    rig = reading.rig if reading is not None else read_rig(armature)
    block, own = Block.of(action), own or {}
    slot = find_slot(armature, action, slot or None)
    identifier = identifier_of(slot)
    found = yield from _part(0.0, 0.5 * GATHERED, gather_curves(rig, armature, action, slot))
    spared = same_curves(found, unlike.find("actions"), identifier) if unlike is not None else set()
    finder = StripFinder(rig, armature, found, list(curve_collection(action, slot)), own, frame_range, spared)
    strips = finder.strips(reading.fps if reading is not None else _scene_fps())
    if not strips:
        return Reduced(0, 0, 0, tolerance_rad, None, 0.0, 0.0)
    frames = merge_times(np.concatenate([strip.times for strip in strips]))
    channels = yield from _part(0.5 * GATHERED, GATHERED, sample_curves(found, frames, rig, armature, action, slot))
    body = _body(rig, armature, channels, reading)
    height_m = body.height_m if body else _rest_height(rig)
    place_m = PLACE_AT_HALF_DEGREE * np.degrees(tolerance_rad) / 0.5 * height_m
    ruler = Ruler(strips, tolerance_rad, place_m / (body.scale if body else 1.0))
    columns = np.minimum(np.searchsorted(frames, ruler.times - TIME_TOLERANCE), len(frames) - 1)
    plain = [[] if finder.has_modifiers(number) else rows for number, rows in enumerate(finder.rows)]
    steps = few_keys(ruler, body, place_m, columns, plain)
    keys, missed_m = yield from _part(GATHERED, FITTED, steps)
    action = block.find("actions")
    curves = list(curve_collection(action, find_slot(armature, action, identifier or None)))
    if len(curves) != found.count:
        raise MotionError(f"'{block.name}' was changed while its keys were reduced. Try again.")
    return _write(ruler, keys, finder, found, curves, own, Reduced(0, 0, 0, tolerance_rad, missed_m, place_m, height_m))


def _part(start, stop, steps):
    """Passes on a generator's shares as a part of the whole, and returns what it returns."""
    with contextlib.closing(steps):
        while True:
            try:
                share = next(steps)
            except StopIteration as end:
                return end.value
            yield start + (stop - start) * share


def _scene_fps() -> float:
    render = bpy.context.scene.render
    return render.fps / render.fps_base


def _body(rig, armature, channels, reading) -> Body | None:
    """The rig as its curves move it; None where kinematics from curves doesn't know how scale is inherited."""
    scaled = "scale" in channels.kinds or np.abs(channels.basis["scale"][:-1] - 1).max() > 1e-6
    if scaled and not (rig.turns_along & rig.plain_scale).all():
        return None

    def joints(turns, heads):
        if reading is not None:
            return reading.choice.bones
        keyed = np.zeros(len(rig.names), dtype=bool)
        keyed[channels.bones[channels.bones != OBJECT]] = True
        try:
            return joint_choice(rig, turns.transpose(2, 1, 0), heads.transpose(2, 1, 0), keyed).bones
        except MotionError:  # nothing moves, or a crowd: then all bones count
            return np.arange(len(rig.names))

    return Body(rig, channels, lambda channels: object_worlds(armature, channels)[0], joints)


def _rest_height(rig) -> float:
    return body_height(rig.parents, rig.rest[:, :3, 3].T, np.arange(len(rig.names)))


def _write(ruler, keys, finder, found, curves, own, reduced) -> Reduced:
    """Puts the new keys onto the curves."""
    pieces = {}
    for number in range(len(ruler.strips)):
        rows = ruler.starts[number] + np.flatnonzero(keys.mask[ruler.starts[number] : ruler.stops[number]])
        for component, curve in finder.rows[number]:
            path = found.curves[curve][3]
            types = _types(ruler.times[rows], own.get((path, component)))
            values, sides = ruler.values[rows, component], keys.sides[:, rows, component]
            piece = Piece(ruler.times[rows], values, *sides, keys.aligned[rows], types)
            pieces.setdefault(curve, []).append(piece)
    before = sum(replace_stretches(curves[found.curves[curve][5]], parts) for curve, parts in pieces.items())
    after = sum(len(piece.times) for parts in pieces.values() for piece in parts)
    return replace(reduced, before=before, after=after, curves=len(pieces))


def _types(times, own) -> np.ndarray:
    """The user's own keys keep their types; beside them the added ones are breakdowns, to be told apart."""
    types = np.full(len(times), KEYFRAME)
    if own is None or not len(own.times):
        return types
    near = np.clip(np.searchsorted(own.times, times - TIME_TOLERANCE), 0, len(own.times) - 1)
    is_own = np.abs(own.times[near] - times) <= TIME_TOLERANCE
    if is_own[1:-1].any():
        types[:] = BREAKDOWN
    return np.where(is_own, own.types[near], types)
