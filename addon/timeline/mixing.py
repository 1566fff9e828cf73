"""Keys of one action also at the times at which another has them, without changing how it moves."""

import numpy as np

from ..curves import BEZIER, CONSTANT, LINEAR
from .blending import slopes_at, values_at
from .copying import SIDES, Curve, read_curves
from .keys import SAME_KEY
from .writing import FREE, KEY_PROPERTIES

THIRD = 1 / 3  # of a stretch: how far the handles of a cubic reach whose time runs evenly


def add_key_times(action, other, slot: str) -> None:
    """Gives each curve of `action` keys where the same curve of `other` has some. Both moves stay as they are."""
    own = read_curves(action, slot)
    for key, model in read_curves(other, slot).items():
        if key in own and len(own[key].times) and len(model.times) and not np.array_equal(own[key].times, model.times):
            _add_times(own[key], model.times)


def _add_times(curve: Curve, times) -> None:
    """New keys; the stretches that they cut get handles by the curve's slopes, the others keep theirs."""
    near = np.abs(times[:, None] - curve.times[None]).min(axis=1) <= SAME_KEY
    added = times[~near]
    if not len(added):
        return
    union = np.concatenate((curve.times, added))
    order = np.argsort(union, kind="stable")
    union, is_old = union[order], (np.arange(len(union)) < len(curve.times))[order]
    values, slopes = values_at(curve, union), slopes_at(curve, union)
    points = curve.curve.keyframe_points
    old = {name: np.empty((len(points), size), dtype=kind) for name, size, kind in KEY_PROPERTIES}
    for name, array in old.items():
        points.foreach_get(name, array.reshape(-1))
    behind = np.clip(np.cumsum(is_old) - 1, 0, None)  # for each key the old one at or before it
    new = {name: array[behind] for name, array in old.items()}
    new["co"][:, 0], new["co"][:, 1] = union, values
    gaps, cut = np.diff(union), {}
    for side, sign, slope in zip(SIDES, (-1, 1), slopes, strict=True):
        gap = np.concatenate((gaps[:1], gaps)) if sign < 0 else np.concatenate((gaps, gaps[-1:]))
        cut[side] = ~(is_old & np.roll(is_old, -sign))  # one end of the stretch on that side is new
        reach = np.stack((sign * THIRD * gap, sign * THIRD * gap * slope), axis=1)
        new[side] = np.where(cut[side][:, None], new["co"] + reach, new[side]).astype(np.float32)
    for side in SIDES:  # an automatic handle would move the one on the other side as well
        new[f"{side}_type"][cut[SIDES[0]] | cut[SIDES[1]]] = FREE
    outside = (union < curve.times[0] - SAME_KEY) | (union > curve.times[-1] + SAME_KEY)
    odd = cut["handle_right"] & ~np.isin(new["interpolation"][:, 0], (CONSTANT, LINEAR, BEZIER))
    new["interpolation"][outside | odd] = BEZIER
    points.clear()
    points.add(len(union))
    for name, _, _ in KEY_PROPERTIES:
        points.foreach_set(name, new[name].ravel())
    curve.curve.update()
