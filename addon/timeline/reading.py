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
    is_surely_rigid,
    joint_choice,
    joint_skeleton,
    read_rig,
    sample_of,
)
from ..backend.motion import Motion
from ..backend.skeleton import JointChoice
from ..channels import OBJECT, Channels
from ..controls import Controls, find_controls
from ..curves import sample_frames
from ..kinematics import pose_steps
from .actions import Block, assigned_action, find_slot, identifier_of
from .evaluation import evaluated_poses, object_worlds, slow_reason
from .keys import gather_curves, sample_curves

STEP_S = 0.04  # how long reading keeps Blender between two steps
KEYS_SHARE = 0.3  # of the work: the curves, before the poses


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
        controls: which joint each keyed bone drives, on a rig with constraints or drivers; else None.
        alone: it was read without the armature's NLA tracks.
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
    controls: Controls | None
    alone: bool
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


def read(armature, action=None, slot=None, frame_range=None, report=None, keys_only=None, clip=None) -> Reading:
    """Reads the animation of an armature object.

    Args:
        action, slot: what to read; None for what is assigned. The slot may be an identifier.
        frame_range: first and last timeline frame, or None for all keys.
        report: called with the share done, 0 to 1; an exception that it raises ends the reading.
        keys_only: False evaluates every frame even where the keys alone say everything.
        clip: the NLA strip that plays the action, which is read by itself, without the tracks, at the strip's speed.

    Raises:
        MotionError: there is nothing that can be read; the text says why and what to do.
    """
    steps = read_steps(armature, action, slot, frame_range, keys_only, clip)
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            return end.value
        if report is not None:
            report(share)


def read_steps(armature, action=None, slot=None, frame_range=None, keys_only=None, clip=None):
    """`read` as a generator that returns the Reading: yields the share done; between steps all is as before."""
    check_armature(armature)
    action, slot = _source(armature, action, slot)
    scene = bpy.context.scene
    rig = read_rig(armature, bpy.data.objects)
    found = yield from _part(0.0, KEYS_SHARE, gather_curves(rig, armature, action, slot))
    start, stop = frame_range if frame_range is not None else (None, None)
    frames, step = sample_frames(np.concatenate(found.times), start, stop)
    if len(frames) < 2:
        raise MotionError(
            f"'{action.name}' has {'one frame' if len(frames) else 'no keys'} "
            f"{'between these frames' if frame_range else 'of animation'}. Two are needed at least: key more frames"
            f"{' or widen the range' if frame_range else ''}."
        )
    channels = yield from _part(0.0, KEYS_SHARE, sample_curves(found, frames, rig, armature, action, slot))
    evaluated = "asked for" if keys_only is False else slow_reason(armature, rig, channels, found, clip is not None)
    if evaluated is None:
        world, outside = object_worlds(armature, channels)
        turns, places, linear = yield from _part(KEYS_SHARE, 1.0, _paced(pose_steps(rig, channels, world)))
    else:
        steps = evaluated_poses(armature, rig, action, slot, scene, frames, clip is not None)
        poses = yield from _part(KEYS_SHARE, 1.0, steps)
        turns, places, linear, world, outside = poses

    keyed = np.zeros(len(rig.names), dtype=bool)
    keyed[channels.bones[channels.bones != OBJECT]] = True
    choice = joint_choice(rig, turns.transpose(2, 1, 0), places.transpose(2, 1, 0), keyed)
    joint_turns = turns[:, choice.bones].transpose(2, 1, 0)
    joint_places = places[:, choice.bones].transpose(2, 1, 0)
    controls = _controls(rig, choice, channels, turns, places) if rig.has_controls else None
    surely_rigid = evaluated is None and is_even(world) and is_surely_rigid(rig, choice, channels)
    skeleton, rigid = joint_skeleton(rig, choice, joint_turns, joint_places, world[0], surely_rigid)
    motion = Motion(
        skeleton=skeleton,
        fps=scene.render.fps / scene.render.fps_base / step / (clip.scale if clip is not None else 1.0),
        root_positions=np.ascontiguousarray(joint_places[:, 0]),
        rotations=joint_turns,
        positions=None if rigid else joint_places,
        held=controls.held if controls is not None and not rigid else None,
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
        controls=controls,
        alone=clip is not None,
        evaluated=evaluated,
        notes=_notes(found.ignored, evaluated),
    )


def _part(start, stop, steps):
    """Passes on shares of a part of the work as shares of the whole, and returns what the generator returns."""
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            return end.value
        yield start + (stop - start) * share


def _paced(steps):
    """Passes on what a generator of shares yields, at most every `STEP_S`, and returns what it returns."""
    until = time.monotonic() + STEP_S
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            return end.value
        if time.monotonic() >= until:
            yield share
            until = time.monotonic() + STEP_S


def _controls(rig, choice, channels, turns, places) -> Controls:
    """What the keyed bones drive, seen on a sample of the frames."""
    sample = sample_of(turns.shape[2])
    return find_controls(rig, choice, channels, *(part[..., sample].transpose(2, 1, 0) for part in (turns, places)))


def _notes(ignored, evaluated) -> tuple[str, ...]:
    """What the user should know of the reading, in sentences."""
    notes = []
    if evaluated is not None:
        notes.append(f"Read frame by frame because of {evaluated}.")
    if ignored:
        notes.append(f"{ignored} curves address bones that this armature doesn't have; they were ignored.")
    return tuple(notes)


def _source(armature, action, slot):
    """The action and slot to read."""
    assigned, assigned_slot = assigned_action(armature)
    if action is None:
        if assigned is None:
            raise MotionError(f"'{armature.name}' has no action. Choose one in the Action editor, or key its bones.")
        action = assigned
    if slot and find_slot(armature, action, slot) is None:
        slot = None  # it was renamed or removed
    if not slot and action == assigned:
        return action, assigned_slot
    return action, find_slot(armature, action, slot)
