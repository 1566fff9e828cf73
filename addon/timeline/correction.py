"""Writing on a control rig: the controls are changed, Blender plays the result, and what is missing is added.

What constraints make of a control's change can only be seen: each pass evaluates the new action, takes how far every
joint is from where it should be, and puts that on the joint's controls. A control that it doesn't help keeps what it
had.
"""

import bpy
import numpy as np

from ..backend.change import changed_positions
from ..backend.motion import joint_positions, sample_rows
from ..backend.rotations import quaternion_angle, quaternion_to_rotvec, rotvec_to_quaternion
from ..backend.skeleton import skeleton_height
from ..channels import OBJECT, conjugate, multiply, own_rotations, rotation_channel, rotation_plan
from ..control_plan import Goal, Poses, Rises, Steps, mapped, stretch_of
from ..rewrite import NOTHING_HEIGHTS, NOTHING_RAD, Plan, turns_of_joints
from ..shortfall import shortfalls
from .actions import Block, find_slot, remove_action
from .evaluation import evaluated_poses

PASSES = 3  # corrections at most
STEP_S = 0.25  # how long evaluating keeps Blender: changing what it shows costs as much as some frames
MAX_EVALUATED = 240  # rows that are evaluated in a pass; between them what is missing is interpolated
MATCH_RAD, MATCH_HEIGHTS = np.radians(1.0), 0.005 / 1.7  # a joint nearer than this is where it should be
ENOUGH_SHARE = 0.5  # of that: with all joints nearer no further pass is made
GOOD_SHARE = 0.1  # of that: a joint nearer is left alone
BETTER = 0.8  # a control that doesn't bring its joint's error down to this share of it is put back, and left


def correct_steps(reading, change, rows, key_times, everything, write):
    """Writes a change on a control rig.

    A generator that yields the share done and returns `write`'s result and sentences on what can't follow.

    Args:
        rows: `[R]` rows of the reading that may get keys.
        key_times: where only the source's keys are moved, the times of those by bone; else None.
        everything: writes also the channels on which nothing happens.
        write: called with a Plan; a generator that returns the new action and how many of its curves were written.
    """
    fitting = _Fitting(reading, change, rows, key_times, everything)
    share = 1 / (PASSES + 2)
    written = yield from _part(0.0, 0.4 * share, write(fitting.plan()))
    if not fitting.happens():
        return written, fitting.notes() if fitting.asked else ()
    number = 0
    while True:
        action, looked = Block.of(written[0]), False
        try:
            start = (number + 0.4) * share
            poses = yield from _part(start, start + 0.6 * share, fitting.evaluate_steps(written[0]))
            if number == PASSES:
                fitting.measure(poses)
            looked = number == PASSES or not fitting.improve(poses)
        finally:
            if not looked:
                remove_action(action)
        if looked:
            return written, fitting.notes()
        number += 1
        written = yield from _part(number * share, (number + 0.4) * share, write(fitting.plan()))


def _part(start, stop, steps):
    """Passes on shares of a part of the work as shares of the whole, and returns what the generator returns."""
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            return end.value
        yield min(start + (stop - start) * share, 1.0)


class _Fitting:
    """The state of the passes: what the controls have so far, and the best that each of them had."""

    def __init__(self, reading, change, rows, key_times, everything):
        self.change, self.everything = change, everything
        self.reading, self.controls, self.rig = reading, reading.controls, reading.rig
        self.rows_with_keys = {}
        self.rows = self._looked_at(rows, key_times)
        shrink = np.linalg.inv(stretch_of(reading.world))
        self.shrink = shrink
        size = float(np.abs(np.linalg.det(shrink)).max() ** (1 / 3))
        self.height = size * max(skeleton_height(reading.motion.skeleton), 1e-9)
        bones = np.arange(len(self.rig.names))
        own = own_rotations(reading.channels, rotation_plan(reading.channels, self.rig.modes, bones))
        positions = changed_positions(reading.choice.parents, joint_positions(reading.motion), change)
        turns = multiply(turns_of_joints(change)[:, :-1].astype(np.float64), reading.turns[:, reading.choice.bones])
        heads = np.stack([mapped(shrink, positions[:, joint].T) for joint in range(positions.shape[1])], axis=1)
        source = Poses(reading.turns, self._shrunk(reading.places), own)
        self.asked = any(np.abs(part).max(initial=0.0) > 0 for part in (change.rotation, change.root, change.slide))
        self.goal = Goal(turns[..., self.rows], heads[..., self.rows])
        self.own = own[..., self.rows]
        self.before, self.errors = (
            {},
            {},
        )  # what the controls had before the last pass, and how far their joints were off
        self.settled = set()  # (part, bone) of controls that a pass doesn't help
        self.turn_error = self.place_error = None
        # The first plan is made for every row, so that nothing of the change is lost between the rows looked at.
        self.rises = Steps(reading, self.controls, source, Goal(turns, heads)).run() if self.asked else Rises({}, {})

    def _looked_at(self, rows, key_times) -> np.ndarray:
        """The rows that are evaluated: those at keys where only keys are written, else evenly spread ones."""
        if key_times is not None:
            self.rows_with_keys = {bone: self._near(times) for bone, times in key_times.items()}
            rows = np.intersect1d(rows, np.concatenate(list(self.rows_with_keys.values())))
        if len(rows) > MAX_EVALUATED:
            rows = rows[np.unique(np.linspace(0, len(rows) - 1, MAX_EVALUATED).astype(int))]
        return rows

    def _near(self, times) -> np.ndarray:
        """The rows nearest to some frames."""
        return np.rint(np.interp(times, self.reading.frames, np.arange(len(self.reading.frames)))).astype(np.int64)

    def _shrunk(self, places, rows=slice(None)):
        """World places `[3, N, T]` in the object's unscaled space."""
        shrink = self.shrink if len(self.shrink) == 1 else self.shrink[rows]
        columns = shrink.transpose(1, 2, 0)[:, :, None]
        return columns[:, 0] * places[0] + columns[:, 1] * places[1] + columns[:, 2] * places[2]

    def happens(self) -> bool:
        """Whether anything changes that can be looked at."""
        return self.asked and len(self.rows) > 0 and bool(self.rises.turns or self.rises.shifts)

    def plan(self) -> Plan:
        """What the controls have, as the writer wants it."""
        turns = {bone: turn for bone, turn in self.rises.turns.items() if np.abs(turn[1:]).max() > 0.5 * NOTHING_RAD}
        shifts = self.rises.shifts.items()
        shifts = {bone: shift for bone, shift in shifts if np.abs(shift).max() > NOTHING_HEIGHTS * self.height}
        frames = len(self.reading.frames)
        if self.everything:
            kinds = [rotation_channel(mode) for mode in self.rig.modes]
            has_turns = self.reading.channels.bones_with(kinds)
            has_shifts = self.reading.channels.bones_with(["location"] * len(kinds))
            still = np.zeros((4, frames))
            still[0] = 1
            turns = {int(bone): turns.get(bone, still) for bone in np.flatnonzero(has_turns)}
            shifts = {int(bone): shifts.get(bone, np.zeros((3, frames))) for bone in np.flatnonzero(has_shifts)}
        turned, shifted = (np.array(sorted(part), dtype=np.int64) for part in (turns, shifts))
        return Plan(
            turned,
            np.array([turns[bone] for bone in turned]).reshape(-1, 4, frames).swapaxes(0, 1).astype(np.float32),
            shifted,
            np.array([shifts[bone] for bone in shifted]).reshape(-1, 3, frames).swapaxes(0, 1),
            (),
        )

    def evaluate_steps(self, action):
        """The poses of the new action on the rows looked at: a generator."""
        reading, armature = self.reading, self.reading.armature.find("objects")
        slot = find_slot(None, action, reading.slot) if reading.slot else None
        frames = reading.frames[self.rows]
        turns, places, *_ = yield from evaluated_poses(
            armature, self.rig, action, slot, bpy.context.scene, frames, reading.alone, STEP_S
        )
        own = self.own.copy()
        for bone, turn in self.rises.turns.items():
            own[:, bone] = multiply(own[:, bone], turn[:, self.rows])
        return Poses(turns, self._shrunk(places, self.rows), own)

    def measure(self, poses) -> None:
        """Takes in how far every joint is from where it should be, 1 for as far as it may be."""
        bones = self.reading.choice.bones
        angles = quaternion_angle(poses.turns[:, bones].T, self.goal.turns.T).T
        self.turn_error = angles / MATCH_RAD
        self.place_error = np.linalg.norm(poses.heads[:, bones] - self.goal.heads, axis=0) / self.height / MATCH_HEIGHTS

    def improve(self, poses) -> bool:
        """Moves the controls by what is missing; gives whether anything was moved, so that it is to be written anew."""
        self.measure(poses)
        errors = {key: self._error_of(*key) for key in self._keys()}
        fixed = Rises({}, {})
        reverted = set()
        for key, error in sorted(errors.items(), key=lambda item: item[0][1]):  # parents before their children
            worse = key in self.before and not _is_better(error, self.errors[key])
            # What hangs on a bone that is put back couldn't get better, and has its turn in the next pass.
            if key not in self.settled and worse and not self._hangs_on(key[1], reverted):
                self.settled.add(key)
                reverted.add(key[1])
                self._put_back(*key, fixed)
            elif key in self.settled:
                self._hold(*key, fixed)
        worst = max((error[0] for key, error in errors.items() if key not in self.settled), default=0.0)
        if worst < ENOUGH_SHARE and not reverted:
            return False
        rises = Steps(self.reading, self.controls, poses, self.goal, fixed, self.rows).run()
        self.before, self.errors = {}, {}
        for part, found in (("turn", rises.turns), ("shift", rises.shifts)):
            for bone, rise in found.items():
                key = part, bone
                if bone != OBJECT and (self._has(part, bone) or errors[key][0] > GOOD_SHARE):
                    self.before[key], self.errors[key] = self._rises(part)[bone], errors[key]
                    self._add(part, bone, rise)
        return True

    def _hangs_on(self, bone, others) -> bool:
        """Whether one of some bones is above a bone."""
        above = int(self.rig.parents[bone])
        while above >= 0 and above not in others:
            above = int(self.rig.parents[above])
        return above >= 0

    def _rises(self, part) -> dict:
        return self.rises.turns if part == "turn" else self.rises.shifts

    def _keys(self):
        """Part and bone of everything that a pass can move."""
        yield from (("turn", bone) for bone in self.rises.turns)
        yield from (("shift", bone) for bone in self.rises.shifts if bone != OBJECT)

    def _has(self, part, bone) -> bool:
        """Whether a control takes anything so far."""
        rise = self._rises(part)[bone]
        if part == "turn":
            return bool(np.abs(rise[1:]).max() > 0.5 * NOTHING_RAD)
        return bool(np.abs(rise).max() > NOTHING_HEIGHTS * self.height)

    def _error_of(self, part, bone) -> tuple[float, float]:
        """How far what a control drives is from where it should be: the largest and the mean over the rows."""
        controls = self.controls
        joints = [int(controls.joints[bone])]
        for pole in controls.poles:
            if pole.bone == bone:
                joints = [int(controls.joints[middle]) for _, middle, _ in pole.limbs]
        joints = [joint for joint in joints if joint >= 0]
        if not joints:
            return 0.0, 0.0
        errors = (self.turn_error if part == "turn" or controls.aims[bone] else self.place_error)[joints]
        if bone in self.rows_with_keys:  # between its keys a control can do nothing about it
            errors = errors[:, np.isin(self.rows, self.rows_with_keys[bone])]
        if not errors.size:
            return 0.0, 0.0
        return float(errors.max()), float(errors.mean())

    def _put_back(self, part, bone, fixed) -> None:
        """Gives a control what it had before the last pass, and notes how that moves it."""
        now, before = self._rises(part)[bone], self.before[part, bone]
        self._rises(part)[bone] = before
        if part == "turn":
            fixed.turns[bone] = multiply(conjugate(now), before)[:, self.rows]
        else:
            fixed.shifts[bone] = (before - now)[:, self.rows]

    def _hold(self, part, bone, fixed) -> None:
        """Leaves a control as it is."""
        if part == "turn":
            fixed.turns[bone] = np.eye(4)[:, :1] + np.zeros(len(self.rows))
        else:
            fixed.shifts[bone] = np.zeros((3, len(self.rows)))

    def _add(self, part, bone, rise) -> None:
        """Adds a change on the rows looked at to what a control has, between those rows by interpolation."""
        at = np.interp(np.arange(len(self.reading.frames)), self.rows, np.arange(len(self.rows)))
        now = self._rises(part)[bone]
        if part == "shift":
            self.rises.shifts[bone] = now + sample_rows(rise.T, at).T
        else:
            full = rotvec_to_quaternion(sample_rows(quaternion_to_rotvec(rise.T), at)).T
            turned = multiply(now, full)
            self.rises.turns[bone] = np.where(turned[0] < 0, -turned, turned)

    def notes(self) -> tuple[str, ...]:
        """What can't follow, in sentences."""
        moved = sorted({bone for part, bone in self._keys() if self._has(part, bone)})
        errors = [np.zeros(len(self.reading.choice.bones))] * 2
        if self.turn_error is not None:
            errors = [error.max(axis=-1) for error in (self.turn_error, self.place_error)]
        if self.rows_with_keys and self.turn_error is not None:  # between keys nobody is held back, but unasked
            errors = [np.zeros_like(error) for error in errors]
            for part, bone in self._keys():
                if self.controls.joints[bone] >= 0:
                    errors[part == "shift"][self.controls.joints[bone]] = self._error_of(part, bone)[0]
        return shortfalls(self.reading, self.change, moved, *errors)


def _is_better(now, before) -> bool:
    """Whether a pass helped: errors (largest, mean) before and after it."""
    return now[0] < GOOD_SHARE or any(new <= BETTER * old for new, old in zip(now, before, strict=True))
