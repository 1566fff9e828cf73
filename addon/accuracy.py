"""How far fitted curves are from the poses that they stand for: turns, places, and where joints come to lie. No bpy.

A turn of the hip moves the foot far and a turn of the toe hardly, so one tolerance in degrees isn't enough: bones whose
turn carries joints far away get less, and where joints still miss their places, the bones above them get less there.
"""

from dataclasses import dataclass, replace

import numpy as np

from .backend.skeleton import SPAN_OVER_HEIGHT
from .channels import OBJECT, basis_quaternions
from .fitting import halfway
from .kinematics import pose_steps

PLACE_AT_HALF_DEGREE = 2e-3 / 1.7  # body heights that joints and locations may be off at half a degree
LEVER_SHARE = 0.7  # of a joint's tolerance that one bone may use up by its turn alone
TIGHTEN = 0.9  # of what would just do
NO_MATTER = 0.25, 0.15  # of a joint's tolerance: bones that move it less aren't asked to do better, at first and later
STILL = 1.0  # joint tolerances a frame: a joint that moves less may be off by less, ...
RESTING = 0.25  # ... down to this share of the tolerance where it rests
LEAST = 0.05  # of what a bone was allowed, each time: below that, keys would only follow noise
AROUND = 3  # samples before and behind one where joints miss: keys may come to stand there instead
PLAIN = ("location", "scale", "QUATERNION")  # values whose distance is straight
STEP = 1e-6  # radians, to see what angles turn
SAMPLED_POSES = 24  # enough to see how far from a bone its joints are


@dataclass(frozen=True)
class Strip:
    """A stretch of one property of one bone that has a sample on every frame, and whose curves share their keys.

    Attributes:
        bone: row of the rig, or OBJECT. kind: property. mode: the bone's rotation mode.
        times: `[n]` frames. values: `[n, 4]`, four numbers, or three and a zero.
        fixed: `[n]` bool, samples that stay keys.
        written: `[4]` bool, components whose curves get new keys; the others stay as they are.
    """

    bone: int
    kind: str
    mode: str
    times: np.ndarray
    values: np.ndarray
    fixed: np.ndarray
    written: np.ndarray


class Ruler:
    """Measures fitted values of strips, laid behind one another, against their samples.

    Attributes:
        starts, stops: `[strips]` rows. times `[P]`, values `[P, 4]`: of all samples. Rows from P on, in `off` and
            `measure`, are half way to the next sample.
        between: `[P, 4]` half way from each sample to the next, on a smooth curve.
        first, last, fixed: `[P]` bool, where strips begin and end, and which samples stay keys.
        allowed: `[P]` what each sample may be off: radians, the bone's units, parts of one.
    """

    def __init__(self, strips: list[Strip], tolerance_rad: float, place: float):
        """`place` is how far locations may be off, in the bones' units."""
        lengths = [len(strip.times) for strip in strips]
        self.strips, self.stops = strips, np.cumsum(lengths)
        self.starts = self.stops - lengths
        self.times = np.concatenate([strip.times for strip in strips])
        self.values = np.concatenate([strip.values for strip in strips])
        self.fixed = np.concatenate([strip.fixed for strip in strips])
        owner = np.repeat(np.arange(len(strips)), lengths)
        self.first = np.zeros(len(self.times), dtype=bool)
        self.first[self.starts] = True
        self.last = np.append(self.first[1:], True)
        written = np.array([strip.written for strip in strips])
        self._held = None if written.all() else ~written[owner]
        kinds = [strip.mode if strip.kind.startswith("rotation") else strip.kind for strip in strips]
        self._kinds = sorted(set(kinds))
        self._kind = np.array([self._kinds.index(kind) for kind in kinds])[owner]
        self._target, self._slack = self._targets()
        self._metric = self._metrics()
        self.allowed = np.where([strip.kind == "location" for strip in strips], place, tolerance_rad)[owner]

    def _targets(self):
        """What values are compared with, `[2 P, 4]`, and how far that may be from them in any case, `[2 P]`.

        Half way between two frames nobody says what is right: anything from a straight line to a smooth curve.
        """
        straight, smooth = halfway(self.values, self.first)
        self.between = smooth
        self._points = np.concatenate((self.values, 0.5 * (straight + smooth)))
        target, slack = np.empty((2 * len(self.times), 4)), np.zeros(2 * len(self.times))
        for number, kind in enumerate(self._kinds):
            mine = np.flatnonzero(self._kind == number)
            target[mine] = _comparable(kind, self.values[mine])
            ends = [_comparable(kind, values[mine]) for values in (straight, smooth)]
            target[mine + len(self.times)] = 0.5 * (ends[0] + ends[1])
            slack[mine + len(self.times)] = 0.5 * _factor(kind) * np.linalg.norm(ends[0] - ends[1], axis=1)
        return target, slack

    def _metrics(self):
        """For Euler angles, what a small step `[3]` turns: the squares' and the products' parts of it, `[6, 2 P]`.

        Turns of half a degree are as good as straight lines, and this is much faster than to make quaternions of them.
        """
        metric = np.empty((6, 2 * len(self.times)))
        for number, kind in enumerate(self._kinds):
            if kind not in ("AXIS_ANGLE", *PLAIN):
                mine = np.flatnonzero(np.tile(self._kind == number, 2))
                here = _comparable(kind, self._points[mine])
                steps = [_comparable(kind, self._points[mine] + step) - here for step in STEP * np.eye(3, 4)]
                pairs = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
                metric[:, mine] = [(_factor(kind) / STEP) ** 2 * (steps[a] * steps[b]).sum(axis=1) for a, b in pairs]
        return metric

    def off(self, rows, values) -> np.ndarray:
        """How far values `[R, 4]` for some rows are off, in the units of `allowed`."""
        samples = rows % len(self.times)
        apart = values - self._points[rows]
        if self._held is not None:
            apart[self._held[samples]] = 0.0
        if len(self._kinds) == 1:
            return np.maximum(self._distance(self._kinds[0], rows, apart) - self._slack[rows], 0.0)
        distance, kinds = np.empty(len(rows)), self._kind[samples]
        for number, kind in enumerate(self._kinds):
            mine = np.flatnonzero(kinds == number)
            if len(mine):
                distance[mine] = self._distance(kind, rows[mine], apart[mine])
        return np.maximum(distance - self._slack[rows], 0.0)

    def _distance(self, kind, rows, apart):
        """How far points are from the targets of some rows, all of one kind."""
        if kind == "AXIS_ANGLE":
            found = _comparable(kind, self._points[rows] + apart) - self._target[rows]
            return _factor(kind) * np.sqrt(np.einsum("rc,rc->r", found, found))
        if kind in PLAIN:
            return _factor(kind) * np.sqrt(np.einsum("rc,rc->r", apart, apart))
        x, y, z = apart[:, :3].T
        xx, yy, zz, xy, xz, yz = (part[rows] for part in self._metric)
        square = x * (xx * x + 2 * (xy * y + xz * z)) + y * (yy * y + 2 * yz * z) + zz * z * z
        return np.sqrt(np.maximum(square, 0.0))

    def measure(self, rows, values) -> np.ndarray:
        """`off` over what is allowed."""
        return self.off(rows, values) / self.allowed[rows % len(self.times)]


def _factor(kind) -> float:
    """From the distance between what `_comparable` gives to radians, units, parts of one."""
    return 1.0 if kind in ("location", "scale") else 2.0


def _comparable(kind, values):
    """Values `[R, 4]` as numbers whose distance says how far apart they are: rotations as quaternions.

    Those of quaternion curves keep their length, so that straying from it counts as an error.
    """
    if kind in PLAIN:
        return values
    return basis_quaternions(kind, values[:, : 4 if kind == "AXIS_ANGLE" else 3].T).T


class Body:
    """Where a rig's joints come to lie by its curves alone, constraints aside.

    Attributes:
        lever: `[N]` metres from each bone to the farthest joint that it carries, on average over time.
        height_m: the body's. scale: from the bones' units to metres.
    """

    def __init__(self, rig, channels, world, choose_joints):
        """`world` gives the object's matrices for Channels; `choose_joints` the joints' bones for world poses."""
        self._rig, self._channels, self._world = rig, channels, world
        turns, heads = self._poses(channels)
        self._joints = choose_joints(turns, heads)
        self._heads = heads[:, self._joints]
        steps = np.sqrt((np.diff(self._heads, axis=2) ** 2).sum(axis=0))
        self._steps_m = np.minimum(np.pad(steps, ((0, 0), (1, 0)), "edge"), np.pad(steps, ((0, 0), (0, 1)), "edge"))
        self._above = _ancestors(rig.parents)[:, self._joints]  # [N, J]: the bone is above the joint, or is it
        some = np.unique(np.linspace(0, heads.shape[2] - 1, SAMPLED_POSES).astype(int))
        apart = heads[:, :, None, some] - heads[:, self._joints][:, None, :, some]
        self.lever = np.where(self._above, np.sqrt((apart**2).sum(axis=0)).mean(axis=-1), 0.0).max(axis=1, initial=0.0)
        self.height_m = body_height(rig.parents, heads[:, :, some].mean(axis=-1), self._joints)
        self.scale = float(np.abs(np.linalg.det(world(channels)[0, :3, :3])) ** (1 / 3))

    def _poses(self, channels):
        """World rotations `[4, N, T]` and heads `[3, N, T]`."""
        steps = pose_steps(self._rig, channels, self._world(channels))
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value[:2]

    def misses(self, ruler: Ruler, values, columns, rows_of) -> np.ndarray:
        """How far the joints are from where the samples have them, `[J, T]` metres.

        Args:
            values: `[P, 4]` in place of the ruler's. columns: `[P]` the samples' among the channels' frames.
            rows_of: for each strip, (component, row of the channels) of the curves to be replaced.
        """
        fitted = self._channels.values.copy()
        for start, stop, curves in zip(ruler.starts, ruler.stops, rows_of, strict=True):
            for component, row in curves:
                fitted[row, columns[start:stop]] = values[start:stop, component]
        heads = self._poses(replace(self._channels, values=fitted))[1][:, self._joints]
        return np.sqrt(((heads - self._heads) ** 2).sum(axis=0))

    def over(self, misses, place_m: float) -> np.ndarray:
        """How far the joints are off over what they may be, `[J, T]`: `place_m`, and less where they rest.

        A foot that is off by as much as it moves in a frame is seen to slide.
        """
        return misses / (place_m * np.clip(self._steps_m / (STILL * place_m), RESTING, 1.0))

    def limit_levers(self, ruler: Ruler, place_m: float) -> None:
        """Allows bones less of a turn whose turn carries joints far away."""
        for start, stop, strip in zip(ruler.starts, ruler.stops, ruler.strips, strict=True):
            if strip.kind != "location":
                less = LEVER_SHARE * place_m / max(self._lever(strip), 1e-9)
                ruler.allowed[start:stop] = np.minimum(ruler.allowed[start:stop], less)

    def _lever(self, strip) -> float:
        """Metres that a joint moves at most for one radian, or one of the bone's units."""
        if strip.kind == "location":
            return self.scale
        return float(self.lever[strip.bone] if strip.bone != OBJECT else self.lever.max(initial=0.0))

    def tighten(self, ruler: Ruler, values, over, columns, place_m: float, loose: bool) -> bool:
        """Allows bones less where joints that they carry are off by more than they may be; whether any was.

        Args:
            over: of `over`.
            loose: keys will also go, so that errors will lie elsewhere; without, keys will only be added.
        """
        off = ruler.off(np.arange(len(ruler.times)), values)
        tightened = False
        for number, strip in enumerate(ruler.strips):
            below = self._above[strip.bone] if strip.bone != OBJECT else np.ones(len(self._joints), dtype=bool)
            rows = slice(ruler.starts[number], ruler.stops[number])
            worst = over[below][:, columns[rows]].max(axis=0, initial=0.0)
            guilty = (worst > 1) & (off[rows] * self._lever(strip) > NO_MATTER[0 if loose else 1] * place_m)
            if guilty.any():
                worst, allowed = np.where(guilty, worst, 1.0), ruler.allowed[rows]
                less = (
                    allowed / _largest_around(worst)
                    if loose
                    else np.maximum(TIGHTEN * off[rows] / worst, LEAST * allowed)
                )
                ruler.allowed[rows] = np.where(guilty | loose, np.minimum(allowed, less), allowed)
                tightened = True
        return tightened


def _largest_around(values) -> np.ndarray:
    """The largest of the values `[n]` up to `AROUND` before and behind each."""
    padded = np.pad(values, AROUND, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * AROUND + 1).max(axis=1)


def _ancestors(parents) -> np.ndarray:
    """`[N, N]` bool: the bone of the row is above that of the column, or is it."""
    above = np.eye(len(parents), dtype=bool)
    for bone, parent in enumerate(parents):
        if parent >= 0:
            above[:, bone] |= above[:, parent]
    return above


def body_height(parents, heads, joints) -> float:
    """The body's height in metres: the longest way along bones between two joints, as `backend.skeleton` has it.

    Args:
        heads: `[3, N]` of all bones. joints: the bones that count.
    """
    below, span = np.full(len(parents), -np.inf), 0.0
    below[joints] = 0.0
    for bone in range(len(parents) - 1, -1, -1):
        parent = parents[bone]
        if parent >= 0:
            reach = below[bone] + float(np.linalg.norm(heads[:, bone] - heads[:, parent]))
            span = max(span, below[parent] + reach)
            below[parent] = max(below[parent], reach)
    return span / SPAN_OVER_HEIGHT
