"""A change of the joints -> changes of the control bones' channels. No bpy.

Every bone gets a *step*: the world turn and the new place that it ends up with. The joints have the steps that are
wanted; a control takes the step of the joint that it drives; a mechanism bone goes with what its constraints follow;
any other bone goes with its parent. A control's channels get the difference between its own step and the one it is
handed down.
"""

from dataclasses import dataclass

import numpy as np

from .armature import local_rest, split_rotation
from .backend.rotations import matrix_to_quaternion, quaternion_to_euler, quaternion_to_rotvec
from .channels import (
    CHANNEL_SIZE,
    OBJECT,
    basis_quaternions,
    conjugate,
    multiply,
    rotate,
    rotation_channel,
    turn_basis,
)
from .links import FOLLOWING, WHOLE_INFLUENCE, step_sources

SMALLEST_VOLUME = 1e-9
STRAIGHT_SHARE = (
    0.03  # of a limb's length: a middle joint nearer to the axis than this doesn't say how the limb is turned
)


@dataclass(frozen=True)
class Poses:
    """Where the bones are: turns `[4, N, T]` and heads `[3, N, T]` of a body of the object's true shape, and own turns.

    Attributes:
        own: `[4, N, T]`, the rotations in the bones' channels.
    """

    turns: np.ndarray
    heads: np.ndarray
    own: np.ndarray


@dataclass(frozen=True)
class Goal:
    """Where the joints shall be: turns `[4, J, T]` and heads `[3, J, T]`, in the same space as `Poses`."""

    turns: np.ndarray
    heads: np.ndarray


@dataclass(frozen=True)
class Rises:
    """What is added to channels.

    Attributes:
        turns: bone -> `[4, T]`, in the bone's own axes. shifts: bone (or OBJECT) -> `[3, T]`, to its location.
    """

    turns: dict[int, np.ndarray]
    shifts: dict[int, np.ndarray]


class Steps:
    """One pass over the bones of a rig: from where they are, and where the joints shall be, to what the channels get.

    Args:
        reading: of the timeline. controls: its `Controls`. poses, goal: now and wanted.
        fixed: None in the first pass; in later ones changes of controls that are settled: they take these alone.
        rows: of the reading, which the poses and the goal are.
    """

    def __init__(self, reading, controls, poses: Poses, goal: Goal, fixed=None, rows=slice(None)):
        self.rig, self.choice, self.controls = reading.rig, reading.choice, controls
        self.reading, self.poses, self.goal, self.rows = reading, poses, goal, rows
        self.first, self.fixed = fixed is None, Rises({}, {}) if fixed is None else fixed
        bones = self.choice.bones
        self.joint_turns = multiply(goal.turns, conjugate(poses.turns[:, bones]))  # [4, J, T]
        self.steps = {}  # bone -> (turn, place)
        self.turns, self.shifts = {}, {}
        self.pole_of = {pole.bone: pole for pole in controls.poles}
        self.sources = step_sources(self.rig)
        self.partial = {}
        for link in self.rig.links:
            if link.influence < WHOLE_INFLUENCE and link.kind in (*FOLLOWING, "COPY_LOCATION", "COPY_ROTATION"):
                self.partial.setdefault(link.owner, []).append(link)
        frames = poses.turns.shape[2]
        self.still = np.zeros((4, frames))
        self.still[0] = 1
        self.root_shift = self._root_shift()

    def run(self) -> Rises:
        """The changes of all channels."""
        for bone in _order(self.rig, self.sources, self.partial):
            self._step(bone)
        if self.root_shift is not None:
            outside, world = self.reading.outside[self.rows], self.reading.world[self.rows]
            self.shifts[OBJECT] = mapped(np.linalg.inv(outside) @ stretch_of(world), self.root_shift)
        return Rises(self.turns, self.shifts)

    def _root_shift(self):
        """The shift of the whole object, where no bone can shift the body's root and the object is keyed; else None."""
        if (self.controls.shift & (self.controls.joints == 0)).any():
            return None
        if not self.reading.channels.rows(OBJECT, "location"):
            return None
        return self.goal.heads[:, 0] - self.poses.heads[:, self.choice.bones[0]]

    def _moved(self, joint, point):
        """Where a joint carries a point that moves with it, `[3, T]`."""
        step = rotate(self.joint_turns[:, joint], point - self.poses.heads[:, self.choice.bones[joint]])
        return step + self.goal.heads[:, joint]

    def _carried(self, source, point):
        """The turn and the place that a point gets from the bone `source`, -1 for the object."""
        if source < 0 or source not in self.steps:
            return self.still, point if self.root_shift is None else point + self.root_shift
        turn, place = self.steps[source]
        return turn, rotate(turn, point - self.poses.heads[:, source]) + place

    def _step(self, bone):
        """The step of a bone, whose sources have theirs, and what its channels get for it."""
        rig, controls, head = self.rig, self.controls, self.poses.heads[:, bone]
        turn_from, place_from = self.sources[bone]
        turn = self._carried(turn_from, head)[0]
        place = self._carried(place_from, head)[1]
        if turn_from == rig.parents[bone] and not rig.turns_along[bone]:
            turn = self.still
        for link in self.partial.get(bone, ()):
            turn, place = self._blended(link, turn, place, head)
        joint = int(controls.joints[bone])
        handed = self._carried(place_from, head)[0]
        if controls.begins[bone]:
            if self.first:
                self.turns[bone] = self._turn(bone, self._wanted_above(bone), self.joint_turns[:, joint])
        elif bone in self.fixed.turns:
            turn = self._turned(bone, turn, self.fixed.turns[bone])
        elif controls.turn[bone]:
            self.turns[bone] = self._turn(bone, turn, self.joint_turns[:, joint])
            turn = self._turned(bone, turn, self._possible(bone, self.turns[bone]))
        if bone in self.fixed.shifts:
            axes, size = self._location_axes(bone)
            place = place + rotate(handed, rotate(axes, self.fixed.shifts[bone] * size))
        elif controls.shift[bone] or bone in self.pole_of:
            goal = self._pole_goal(self.pole_of[bone]) if bone in self.pole_of else self._moved(joint, head)
            axes, size = self._location_axes(bone)
            shift = rotate(conjugate(axes), rotate(conjugate(handed), goal - place)) / size
            self.shifts[bone] = shift
            place = place + rotate(handed, rotate(axes, shift * self._keyed(bone, "location")[:, None] * size))
        if turn_from < 0 <= joint and rig.parents[bone] >= 0 and not controls.turn[bone]:
            # What an IK or an aim makes of a bone is the joint's own change at first, and little in the later passes.
            turn = self.joint_turns[:, joint] if self.first else self.still
            place = self._moved(joint, head) if self.first else place
        self.steps[bone] = (turn, place)

    def _blended(self, link, turn, place, head):
        """A bone's step where a constraint takes it part of the way to that of its target."""
        other_turn, other_place = self._carried(link.target, head)
        if link.kind != "COPY_LOCATION":
            sign = np.where((turn * other_turn).sum(axis=0) < 0, -1.0, 1.0)
            turn = (1 - link.influence) * turn + link.influence * sign * other_turn
            turn = turn / np.linalg.norm(turn, axis=0)
        if link.kind != "COPY_ROTATION":
            place = (1 - link.influence) * place + link.influence * other_place
        return turn, place

    def _turn(self, bone, handed, wanted):
        """The turn in a bone's own axes between what it is handed down and what it shall get."""
        step = multiply(conjugate(handed), wanted)
        step = np.where(step[0] < 0, -step, step)
        vector = rotate(conjugate(self.poses.turns[:, bone]), step[1:])
        return np.concatenate((step[:1], vector))

    def _wanted_above(self, bone):
        """The turn that a bone of an IK limb is handed down where the limb bends as it shall."""
        parent = int(self.rig.parents[bone])
        if parent >= 0 and self.controls.inner[parent] and self.controls.joints[parent] >= 0:
            return self.joint_turns[:, self.controls.joints[parent]]
        return self.steps[parent][0] if parent in self.steps else self.still

    def _turned(self, bone, handed, own):
        """The world turn of a bone that is handed one down and gets a turn in its own axes."""
        return multiply(handed, np.concatenate((own[:1], rotate(self.poses.turns[:, bone], own[1:]))))

    def _keyed(self, bone, kind) -> np.ndarray:
        """Which components of a bone's property have keys, bool."""
        keyed = np.zeros(CHANNEL_SIZE[kind], dtype=bool)
        channels = self.reading.channels
        keyed[channels.indices[channels.rows(bone, kind)]] = True
        return keyed

    def _possible(self, bone, turn):
        """What becomes of a turn in a bone's own axes where only some of the rotation's components have keys."""
        mode = self.rig.modes[bone]
        keyed = self._keyed(bone, rotation_channel(mode))
        if keyed.all():
            return turn
        own = self.poses.own[:, bone]
        before = own
        if mode == "AXIS_ANGLE":
            vector = quaternion_to_rotvec(own.T).T
            angle = np.linalg.norm(vector, axis=0)
            before = np.concatenate((angle[None], vector / np.maximum(angle, 1e-9)))
        elif mode != "QUATERNION":
            before = quaternion_to_euler(own.T, mode).T
        after = np.where(keyed[:, None], turn_basis(mode, before, turn), before)
        return multiply(conjugate(own), basis_quaternions(mode, after))

    def _location_axes(self, bone):
        """The axes of a bone's location, `[4, 1 or T]`, and the size of its units."""
        rig, parent = self.rig, int(self.rig.parents[bone])
        rest = matrix_to_quaternion(local_rest(rig)[bone, :3, :3])[:, None]
        if self.controls.inner[bone] or rig.held_turn[bone]:  # its own turn doesn't tell its axes
            axes = multiply(self.poses.turns[:, parent], rest) if parent >= 0 else rest
        else:
            axes = multiply(self.poses.turns[:, bone], conjugate(self.poses.own[:, bone]))
        if not rig.local_location[bone]:
            axes = multiply(axes, conjugate(rest))
        size = 1.0
        if self.reading.linear is not None and parent >= 0:
            volume = np.abs(np.linalg.det(self.reading.linear[self.rows, parent].astype(np.float64)))
            size = np.maximum(volume, SMALLEST_VOLUME) ** (1 / 3)
        return axes, size

    def _pole_goal(self, pole):
        """Where a pole belongs: it turns with the plane of its limbs, `[3, T]`."""
        goals = [self._limb_goal(pole.bone, *limb) for limb in pole.limbs]
        return np.mean(goals, axis=0)

    def _limb_goal(self, bone, top, middle, end):
        """Where one limb wants its pole: swung with the limb's axis, turned about it with the limb's middle."""
        heads = self.poses.heads
        now = [heads[:, row] for row in (top, middle, end)]
        new = [self._goal_of(row) for row in (top, middle, end)]
        axis_now, axis_new = now[2] - now[0], new[2] - new[0]
        swing = _between(axis_now, axis_new)
        axis = axis_new / np.maximum(np.linalg.norm(axis_new, axis=0), 1e-12)
        turned = rotate(swing, now[1] - now[0])
        from_, to = _off_axis(turned, axis), _off_axis(new[1] - new[0], axis)
        angle = np.arctan2((_cross(from_, to) * axis).sum(axis=0), (from_ * to).sum(axis=0))
        length = np.linalg.norm(axis_new, axis=0)
        bend = np.minimum(np.linalg.norm(from_, axis=0), np.linalg.norm(to, axis=0)) / np.maximum(length, 1e-12)
        angle = angle * bend**2 / (bend**2 + STRAIGHT_SHARE**2)
        twist = np.concatenate((np.cos(0.5 * angle)[None], np.sin(0.5 * angle) * axis))
        return rotate(multiply(twist, swing), heads[:, bone] - now[0]) + new[0]

    def _goal_of(self, bone):
        """Where a bone of a limb shall be: with the joint that it moves with, else with what carries it."""
        joint = int(self.controls.joints[bone])
        head = self.poses.heads[:, bone]
        if joint >= 0:
            return self._moved(joint, head)
        return self.steps[bone][1] if bone in self.steps else head


def _order(rig, sources, partial) -> list[int]:
    """All bones, each after what hands its step down; where that goes in a circle, the bone tree's order."""
    order, state = [], [0] * len(sources)
    for start in range(len(sources)):
        stack = [start]
        while stack:
            bone = stack[-1]
            if state[bone] == 2:
                stack.pop()
                continue
            state[bone] = 1
            before = {*sources[bone], int(rig.parents[bone]), *(link.target for link in partial.get(bone, ()))}
            open_ = [other for other in before if other >= 0 and state[other] == 0]
            if open_:
                stack.extend(open_)
                continue
            state[bone] = 2
            order.append(bone)
            stack.pop()
    return order


def _off_axis(vectors, axis):
    """The part of vectors `[3, T]` across unit axes."""
    return vectors - (vectors * axis).sum(axis=0) * axis


def _cross(a, b):
    return np.cross(a, b, axis=0)


def _between(a, b):
    """The smallest turn `[4, T]` from the directions `a` to `b`, `[3, T]`."""
    a = a / np.maximum(np.linalg.norm(a, axis=0), 1e-12)
    b = b / np.maximum(np.linalg.norm(b, axis=0), 1e-12)
    turn = np.concatenate((1 + (a * b).sum(axis=0)[None], _cross(a, b)))
    return turn / np.maximum(np.linalg.norm(turn, axis=0), 1e-9)


def mapped(matrices, vectors):
    """Vectors `[3, T]` through matrices `[1 or T, 3, 3]`."""
    columns = matrices.transpose(1, 2, 0)
    return columns[:, 0] * vectors[0] + columns[:, 1] * vectors[1] + columns[:, 2] * vectors[2]


def stretch_of(world):
    """The object's scale as matrices `[1 or T, 3, 3]`, in world axes."""
    linear = world[:, :3, :3]
    return linear @ np.swapaxes(split_rotation(linear), -1, -2)
