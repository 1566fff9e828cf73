"""An action's keys as part of the way from one action to another.

Both have the same channels, as a variation and its source have. Values are blended at the keys' own times; handles that
stand free are blended along, by the slopes of both curves there.
"""

from dataclasses import dataclass, field

import numpy as np

from ..blend import LINEAR_MODE, blend, blend_slopes, rotation_change
from ..channels import CHANNEL_SIZE
from ..curves import BEZIER
from .actions import curve_target
from .copying import SIDES, Curve, free_handles, numbers
from .keys import SAME_KEY, curve_values
from .writing import unmodified

ROTATIONS = ("rotation_quaternion", "rotation_euler", "rotation_axis_angle")
SLOPE_STEP = 0.01  # frames beside a key, where no handle says how steep the curve is
MIN_HANDLE = 1e-4  # frames


@dataclass(frozen=True)
class Batch:
    """What is blended together: targets of one rotation mode with keys at the same times. Plain arrays throughout.

    Attributes:
        mode: rotation mode, or LINEAR_MODE. targets: `[K]`. times: `[n]`.
        start, end: `[C, K, n]` values of the two. change: from the one to the other as turns, None without rotations.
        slopes: of start and end, each `[2, C, K, n]`, left and right of the keys; None where no handle stands free.
    """

    mode: str
    targets: tuple
    times: np.ndarray = field(repr=False)
    start: np.ndarray = field(repr=False)
    end: np.ndarray = field(repr=False)
    change: np.ndarray | None = field(repr=False)
    slopes: tuple[np.ndarray, np.ndarray] | None = field(repr=False)


@dataclass(frozen=True)
class Target:
    """A rotation's components, or one curve alone.

    Attributes:
        mode: as of its batch. curves: `[C]` of the second action. sources: of the first. times: of all their keys.
        start, end: `[C, n]` values.
    """

    mode: str
    curves: tuple[Curve, ...]
    sources: tuple[Curve, ...]
    times: np.ndarray = field(repr=False)
    start: np.ndarray = field(repr=False)
    end: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Model:
    """Keys to be given new values.

    Attributes:
        key: path and index of the curve. keys: `[2 n]` times and values. at: which of the batch's times they are.
        handles: left and right, `[2 n]` each; None where Blender places them all.
    """

    key: tuple[str, int]
    keys: np.ndarray = field(repr=False)
    at: slice | np.ndarray = field(repr=False)
    handles: tuple[np.ndarray, np.ndarray] | None = field(repr=False)


def plan_blend(starts, ends, modes: dict) -> list[Batch]:
    """Everything that blending needs whatever the amount: of the curves on which the two actions differ.

    Args:
        starts, ends: what `read_curves` gave of the two. A channel that the first has lost is left as it is.
        modes: rotation modes by bone name, the object's under None.
    """
    return [_batch(targets) for targets in _grouped(_targets(starts, ends, modes))]


def blend_keys(curves: dict, plan: list[Batch], amount: float) -> dict[tuple[str, int], Curve]:
    """Gives an action's keys the values `amount` of the way. Gives its curves as they are then.

    Args:
        curves: what `read_curves` gave of the action, whose keys are where the second action of the plan has them.
    """
    curves = dict(curves)
    for batch in plan:
        values, slopes = blend(batch.mode, batch.start, batch.end, amount, batch.change), None
        if batch.slopes is not None:
            pairs = zip(*batch.slopes, strict=True)
            slopes = [blend_slopes(batch.mode, batch.start, batch.end, *pair, amount) for pair in pairs]
        for place, models in enumerate(batch.targets):
            for row, model in enumerate(models):
                steep = slopes and [slope[row, place][model.at] for slope in slopes]
                curve = curves[model.key]
                curves[model.key] = curve._replace(
                    keys=_set_keys(curve.curve, model, values[row, place][model.at], steep)
                )
    return curves


def _targets(starts, ends, modes):
    """What differs between the two."""
    grouped = {}
    for (path, index), curve in ends.items():
        if len(curve.times) and (path, index) in starts and len(starts[path, index].times):
            grouped.setdefault(path, []).append(curve)
    for path, curves in grouped.items():
        bone, kind = curve_target(path) or (None, "")
        whole = kind in ROTATIONS and len(curves) == CHANNEL_SIZE[kind]
        parts = [sorted(curves, key=lambda curve: curve.index)] if whole else [[curve] for curve in curves]
        for part in parts:
            times = part[0].times
            if any(not np.array_equal(times, curve.times) for curve in part[1:]):
                times = np.unique(np.concatenate([curve.times for curve in part]))
            end = np.stack([values_at(curve, times) for curve in part])
            start = np.stack([values_at(starts[path, curve.index], times) for curve in part])
            if not np.array_equal(start.astype(np.float32), end.astype(np.float32)):
                mode = _mode(kind, modes.get(bone, "")) if whole else LINEAR_MODE
                sources = tuple(starts[path, curve.index] for curve in part)
                yield Target(mode, tuple(part), sources, times, start, end)


def _mode(kind: str, mode: str) -> str:
    """The rotation mode in which a property is meant, whichever of them the bone uses now."""
    if kind == "rotation_euler":
        return "XYZ" if mode in ("", "QUATERNION", "AXIS_ANGLE") else mode
    return "QUATERNION" if kind == "rotation_quaternion" else "AXIS_ANGLE"


def _grouped(targets) -> list[list[Target]]:
    """Those of one mode that have their keys at the same times, together."""
    batches = []
    for target in targets:
        for batch in reversed(batches):
            if batch[0].mode == target.mode and np.array_equal(batch[0].times, target.times):
                if len(batch[0].curves) == len(target.curves):
                    batch.append(target)
                    break
        else:
            batches.append([target])
    return batches


def values_at(curve: Curve, times) -> np.ndarray:
    """The values that keys at the times would have, float64: exactly the curve's own where it has keys there."""
    if len(times) == len(curve.times) and np.array_equal(times, curve.times):
        return curve.keys[1::2].astype(np.float64)
    times = np.asarray(times, dtype=np.float64)
    if not len(curve.curve.modifiers):
        return curve_values(curve.curve, curve.keys, times, True).astype(np.float64)
    return unmodified(curve.curve, times, np.array([curve.curve.evaluate(time) for time in times.tolist()]))


def slopes_at(curve: Curve, times) -> list[np.ndarray]:
    """How steep the curve is before and after each time, a frame: `[left, right]`. Handles say it where there are."""
    times, own = np.asarray(times, dtype=np.float64), curve.times
    at = np.minimum(np.searchsorted(own, times - SAME_KEY), len(own) - 1)
    on_key = np.abs(own[at] - times) <= SAME_KEY
    bezier = numbers(curve.curve, "interpolation", np.int32) == BEZIER
    values, slopes = values_at(curve, times), []
    for side, sign in zip(SIDES, (-1, 1), strict=True):
        beside = (values_at(curve, times + sign * SLOPE_STEP) - values) / (sign * SLOPE_STEP)
        reach = (numbers(curve.curve, side, size=2) - curve.keys).reshape(-1, 2)[at].astype(np.float64)
        curved = bezier[np.maximum(at - 1, 0)] if sign < 0 else bezier[at]
        told = on_key & curved & (np.abs(reach[:, 0]) > MIN_HANDLE)
        slopes.append(np.where(told, reach[:, 1] / np.where(told, reach[:, 0], 1.0), beside))
    return slopes


def _batch(targets: list[Target]) -> Batch:
    mode, times = targets[0].mode, targets[0].times
    start, end = (np.stack([getattr(one, name) for one in targets], axis=1) for name in ("start", "end"))
    models = tuple(tuple(_model(curve, times) for curve in target.curves) for target in targets)
    slopes = None
    if any(model.handles is not None for target in models for model in target):
        found = [
            [[slopes_at(curve, times) for curve in getattr(target, name)] for target in targets]
            for name in ("sources", "curves")
        ]
        slopes = tuple(np.array(one).transpose(2, 1, 0, 3) for one in found)  # from [K, C, 2, n]
    change = None if mode == LINEAR_MODE else rotation_change(mode, start, end)
    return Batch(mode, models, times, start, end, change, slopes)


def _model(curve: Curve, times) -> Model:
    at = slice(None) if len(curve.times) == len(times) else np.searchsorted(times, curve.times)
    handles = None
    if any(free_handles(curve.curve, side).any() for side in SIDES):
        if (numbers(curve.curve, "interpolation", np.int32) == BEZIER).any():
            handles = tuple(numbers(curve.curve, side, size=2) for side in SIDES)
    return Model((curve.path, curve.index), curve.keys, at, handles)


def _set_keys(curve, model: Model, values, slopes) -> np.ndarray:
    """New values for the model's keys; handles that stand free keep their length in time. Gives the keys.

    Args:
        slopes: left and right, `[n]` each; None where all handles are placed by Blender.
    """
    keys = model.keys.copy()
    keys[1::2] = values
    curve.keyframe_points.foreach_set("co", keys)
    if model.handles is not None:
        for side, own, slope in zip(SIDES, model.handles, slopes, strict=True):
            handles = own.copy()
            handles[1::2] = values + slope * (own[0::2] - keys[0::2])
            curve.keyframe_points.foreach_set(side, handles)
    curve.update()
    return keys
