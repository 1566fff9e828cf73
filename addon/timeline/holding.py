"""Frames whose poses stay: keys that hold them where a variation has no key on every frame."""

import numpy as np

from ..curves import TIME_TOLERANCE
from .actions import curve_collection, find_slot
from .baked import KEYFRAME, OwnKeys
from .keys import curve_values


def with_held(own: dict, held) -> dict:
    """The user's own keys of each curve, see `baked.own_keys`, and keys on the held frames among them."""
    held = np.asarray(held, dtype=np.float64)
    result = {}
    for name, keys in own.items():
        new = held[~_stands(keys.times, held)]
        times = np.concatenate((keys.times, new))
        types = np.concatenate((keys.types, np.full(len(new), KEYFRAME, dtype=keys.types.dtype)))
        order = np.argsort(times, kind="stable")
        result[name] = OwnKeys(times[order], types[order])
    return result


def hold_frames(action, slot, source, source_slot, held) -> int:
    """Puts the source's value on the held frames of every curve that differs from it and has no key there.

    Args:
        action, source: the variation and what it was made from, with their slots.

    Returns:
        how many keys were added.
    """
    originals = {(curve.data_path, curve.array_index): curve for curve in _curves(source, source_slot)}
    added = 0
    for curve in _curves(action, slot):
        original = originals.get((curve.data_path, curve.array_index))
        if original is None:
            continue
        keys, before = _points(curve), _points(original)
        if np.array_equal(keys, before):
            continue
        inside = (held > before[0] + TIME_TOLERANCE) & (held < before[-2] - TIME_TOLERANCE)
        times = np.asarray(held)[inside & ~_stands(keys[0::2].astype(np.float64), held)]
        for time, value in zip(times, curve_values(original, before, times, False), strict=True):
            curve.keyframe_points.insert(float(time), float(value))
            added += 1
        if len(times):
            curve.update()
    return added


def _curves(action, slot):
    return curve_collection(action, find_slot(None, action, slot or None))


def _points(curve) -> np.ndarray:
    """Times and values of a curve's keys, `[2 n]`."""
    keys = np.empty(2 * len(curve.keyframe_points), dtype=np.float32)
    curve.keyframe_points.foreach_get("co", keys)
    return keys


def _stands(times, frames) -> np.ndarray:
    """At which of the frames a key stands, `[F]` bool."""
    if not len(times):
        return np.zeros(len(frames), dtype=bool)
    return np.abs(np.asarray(frames)[:, None] - np.asarray(times)[None]).min(axis=1) <= TIME_TOLERANCE
