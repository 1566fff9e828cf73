"""Baked stretches of an action's curves as strips of samples, ready to be fitted."""

import numpy as np

from ..accuracy import Strip
from ..channels import CHANNEL_SIZE, OBJECT
from ..curves import TIME_TOLERANCE
from .actions import curve_collection, find_slot, pose_values
from .baked import baked_runs
from .keys import curve_values, key_values


def same_curves(found, action, identifier) -> set[int]:
    """Which of the found curves have the same keys in another action."""
    others = {(curve.data_path, curve.array_index): curve for curve in _curves_of(action, identifier)}
    same = set()
    for row, (_, _, index, path, keys, _) in enumerate(found.curves):
        other = others.get((path, index))
        if other is not None and 2 * len(other.keyframe_points) == len(keys):
            theirs = np.empty_like(keys)
            other.keyframe_points.foreach_get("co", theirs)
            if np.array_equal(keys, theirs):
                same.add(row)
    return same


def _curves_of(action, identifier) -> list:
    return list(curve_collection(action, find_slot(None, action, identifier or None)))


class StripFinder:
    """Finds the baked stretches.

    Attributes:
        rows: for each strip, (component, row of the found curves) of the curves that get new keys.
    """

    def __init__(self, rig, armature, found, curves, own, frame_range, spared):
        self._rig, self._armature, self._found, self._own = rig, armature, found, own
        self._curves = [curves[place] for *_, place in found.curves]
        self._range = frame_range if frame_range is not None else (-np.inf, np.inf)
        self._spared, self._basis = spared, {}
        self.rows = []

    def strips(self, fps: float) -> list[Strip]:
        """All of them."""
        groups, runs, strips = {}, {}, []
        for row, (bone, kind, index, *_) in enumerate(self._found.curves):
            groups.setdefault((bone, kind), {})[index] = row
        for (bone, kind), components in groups.items():
            by_times = {}
            for component, row in components.items():
                if row not in self._spared and len(self._found.curves[row][4]):
                    by_times.setdefault(self._found.time_sets[row], []).append(component)
            for times, baked in by_times.items():
                if times not in runs:
                    runs[times] = self._runs(self._found.times[times].astype(np.float64), fps)
                for run in runs[times]:
                    strip = self._strip(bone, kind, components, baked, run)
                    if not strip.fixed.all():
                        strips.append(strip)
                        self.rows.append([(component, components[component]) for component in baked])
        return strips

    def _runs(self, times, fps) -> list[np.ndarray]:
        """The times of the baked stretches inside the range."""
        low, high = self._range
        times = times[(times >= low - TIME_TOLERANCE) & (times <= high + TIME_TOLERANCE)]
        return [times[first : last + 1] for first, last in baked_runs(times, fps)]

    def _strip(self, bone, kind, components, baked, times) -> Strip:
        """The strip on a run of times, with the own keys that stand between them."""
        paths = [(self._found.curves[row][3], component) for component, row in components.items()]
        mine = [self._own[key].times for key in paths if key in self._own] or [np.zeros(0)]
        mine = np.unique(np.concatenate(mine))
        mine = mine[(mine > times[0] + TIME_TOLERANCE) & (mine < times[-1] - TIME_TOLERANCE)]
        if len(mine):
            at = np.searchsorted(times, mine)
            new = np.minimum(np.abs(times[at] - mine), np.abs(times[at - 1] - mine)) > TIME_TOLERANCE
            times = np.sort(np.concatenate((times, mine[new])))
        fixed = np.zeros(len(times), dtype=bool)
        fixed[[0, -1]] = True
        if len(mine):
            fixed[np.searchsorted(times, mine - TIME_TOLERANCE)] = True
        values, written = np.zeros((len(times), 4)), np.zeros(4, dtype=bool)
        values[:, : CHANNEL_SIZE[kind]] = self._pose(bone, kind)
        for component, row in components.items():
            values[:, component] = self._values(row, times)
        written[baked] = True
        written[CHANNEL_SIZE[kind] :] = True  # nothing is there
        mode = self._rig.modes[bone] if bone != OBJECT else self._armature.rotation_mode
        if kind.startswith("rotation") and written.all() and self._ends_here(components, times[-1]):
            values = _without_jumps(values, mode)
        return Strip(bone, kind, mode, times, values, fixed, written)

    def _pose(self, bone, kind) -> np.ndarray:
        """The pose's own values, which hold where there is no curve."""
        if kind not in self._basis:
            self._basis[kind] = pose_values(self._armature, kind).astype(np.float64)
        return self._basis[kind][self._rig.pose_rows[bone] if bone != OBJECT else -1]

    def _values(self, row, times) -> np.ndarray:
        """A curve's values by its keys alone."""
        keys, curve = self._found.curves[row][4], self._curves[row]
        if not len(keys):
            return curve_values(curve, keys, times, False)
        first = int(np.searchsorted(keys[0::2], times[0] - TIME_TOLERANCE))
        if np.array_equal(keys[2 * first : 2 * (first + len(times)) : 2], times.astype(np.float32)):
            return keys[2 * first + 1 : 2 * (first + len(times)) : 2]
        if not len(curve.modifiers):
            return curve_values(curve, keys, times, True)
        kinds = np.empty(len(keys) // 2, np.int32)
        curve.keyframe_points.foreach_get("interpolation", kinds)
        return key_values(curve, keys, kinds, times)

    def _ends_here(self, components, time) -> bool:
        """No curve has a key behind that time, so that nothing there depends on a rotation's sign or winding."""
        return all(self._found.curves[row][4][-2] <= time + TIME_TOLERANCE for row in components.values())

    def has_modifiers(self, number: int) -> bool:
        """Whether keys alone don't say what one of the strip's curves does."""
        return any(len(self._curves[row].modifiers) for _, row in self.rows[number])


def _without_jumps(values, mode) -> np.ndarray:
    """The same rotations `[n, 4]` without changes of a quaternion's sign or whole turns of an angle between frames."""
    if mode == "QUATERNION":
        flips = (values[1:] * values[:-1]).sum(axis=1) < 0
        return values * np.append(1.0, np.where(np.cumsum(flips) % 2, -1.0, 1.0))[:, None]
    if mode == "AXIS_ANGLE":
        return values
    return np.unwrap(values, axis=0)
