"""Keys as arrays: which frames to sample, values between keys. No bpy."""

import numpy as np

CONSTANT, LINEAR, BEZIER = 0, 1, 2  # Blender's numbers for Keyframe.interpolation
TIME_TOLERANCE = 1e-3  # frames: keys nearer than this are at the same time
MIN_STEP = 0.05  # frames: a key grid finer than this is no grid, but keys that happen to lie close
GRID_TOLERANCE = 0.01  # of a step
BISECTIONS = 60
SOLVED = 1e-10  # of a key interval


def time_tolerance(times) -> float:
    """How far apart two float32 times can be and still mean the same frame."""
    return TIME_TOLERANCE + 4 * np.finfo(np.float32).eps * float(np.abs(times).max(initial=0.0))


def merge_times(times) -> np.ndarray:
    """Sorted distinct times."""
    times = np.unique(np.asarray(times, dtype=np.float64))
    return times[np.concatenate(([True], np.diff(times) > time_tolerance(times)))] if len(times) else times


def sample_frames(times, start=None, stop=None) -> tuple[np.ndarray, float]:
    """The timeline frames at which a motion is read, and the step between them.

    Whole frames; where the keys lie on another uniform grid (a clip of 30 fps in a scene of 24), that grid, divided
    until it is as fine as the frames. A row near a key stands exactly on it.

    Args:
        times: key times. start, stop: first and last frame wanted, None for the keys' own.
    """
    times = merge_times(times)
    tolerance = time_tolerance(times)
    origin, step = _grid(times, tolerance)
    low = times[0] if start is None else max(float(start), np.floor(times[0]))
    high = times[-1] if stop is None else min(float(stop), np.ceil(times[-1]))
    if step is None:
        origin, step = 0.0, 1.0
        low, high = (np.floor(low), np.ceil(high)) if start is None and stop is None else (low, high)
    first = int(np.ceil((low - origin - tolerance) / step))
    last = int(np.floor((high - origin + tolerance) / step))
    frames = origin + step * np.arange(first, last + 1)
    if len(frames):
        near = np.minimum(np.searchsorted(times, frames), len(times) - 1)
        before = np.maximum(near - 1, 0)
        nearest = np.where(np.abs(times[near] - frames) < np.abs(times[before] - frames), times[near], times[before])
        frames = np.where(np.abs(nearest - frames) <= max(tolerance, GRID_TOLERANCE * step), nearest, frames)
    return frames, float(step)


def _grid(times, tolerance):
    """Origin and step of the uniform grid that all times lie on; (0, 1) where they are whole; (0, None) without one."""
    if np.abs(times - np.round(times)).max() <= tolerance:
        return 0.0, 1.0
    if len(times) < 3:
        return 0.0, None
    gap = float(np.diff(times).min())
    length = times[-1] - times[0]
    if gap < MIN_STEP:
        return 0.0, None
    gap = length / round(length / gap)
    steps = (times - times[0]) / gap
    if np.abs(steps - np.round(steps)).max() > max(GRID_TOLERANCE, tolerance / gap):
        return 0.0, None
    return float(times[0]), gap / max(1, int(np.ceil(gap - tolerance)))


def evaluate_keys(frames, keys, left, right, interpolation) -> np.ndarray:
    """The curve's values at `frames`, `[T]` float64, as Blender has them; constant beyond the ends.

    Args:
        keys: `[n, 2]` times and values in order. left, right: `[n, 2]` handles. interpolation: `[n]`, of the three.
    """
    keys = np.asarray(keys, dtype=np.float64)
    times, values = keys[:, 0], keys[:, 1]
    tolerance = 1e-4  # Blender's own, for being on a key
    segment = np.searchsorted(times, np.asarray(frames) + tolerance, side="right") - 1
    inside = (segment >= 0) & (segment < len(times) - 1)
    result = values[np.clip(segment, 0, len(times) - 1)]
    on_key = inside & (np.abs(frames - times[np.maximum(segment, 0)]) <= tolerance)
    between = inside & ~on_key
    kinds = np.asarray(interpolation)[np.maximum(segment, 0)]
    rows = np.flatnonzero(between & (kinds == LINEAR))
    if len(rows):
        s = segment[rows]
        span = times[s + 1] - times[s]
        result[rows] = values[s] + (values[s + 1] - values[s]) * (frames[rows] - times[s]) / span
    rows = np.flatnonzero(between & (kinds == BEZIER))
    if len(rows):
        s = segment[rows]
        out, into = np.asarray(right, np.float64)[s], np.asarray(left, np.float64)[s + 1]
        result[rows] = _bezier(frames[rows], keys[s], out, into, keys[s + 1])
    return result


def _bezier(frames, start, out, into, end) -> np.ndarray:
    """Values of cubic segments at times inside them; all points `[n, 2]`."""
    span = end[:, 0] - start[:, 0]
    # Handles that reach beyond the other key are shortened, so that time doesn't run backwards.
    out = start + (out - start) * np.minimum(1.0, span / np.maximum(np.abs(out[:, 0] - start[:, 0]), 1e-12))[:, None]
    into = end + (into - end) * np.minimum(1.0, span / np.maximum(np.abs(into[:, 0] - end[:, 0]), 1e-12))[:, None]
    x1, x2 = (out[:, 0] - start[:, 0]) / span, (into[:, 0] - start[:, 0]) / span
    wanted = (frames - start[:, 0]) / span
    t, low, high = wanted.copy(), np.zeros_like(wanted), np.ones_like(wanted)
    for _ in range(BISECTIONS):  # Newton's step where it stays between the bounds, else half way: x(t) never falls
        u = 1 - t
        error = t * (3 * u * (u * x1 + t * x2) + t * t) - wanted
        solved = np.abs(error) < SOLVED
        if solved.all():
            break
        low, high = np.where(error < 0, t, low), np.where(error < 0, high, t)
        slope = 3 * u * u * x1 + 6 * u * t * (x2 - x1) + 3 * t * t * (1 - x2)
        newton = t - error / np.maximum(slope, 1e-9)
        inside = (newton >= low) & (newton <= high)
        t = np.where(solved, t, np.where(inside, newton, 0.5 * (low + high)))
    u = 1 - t
    return u**3 * start[:, 1] + 3 * u * u * t * out[:, 1] + 3 * u * t * t * into[:, 1] + t**3 * end[:, 1]
