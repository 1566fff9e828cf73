"""Keys as arrays: which frames to sample, values between keys, rotations in each of Blender's modes. No bpy."""

from dataclasses import dataclass

import numpy as np

from .backend.rotations import (
    euler_to_quaternion,
    quaternion_multiply,
    quaternion_normalize,
    quaternion_to_euler,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
)

CONSTANT, LINEAR, BEZIER = 0, 1, 2  # Blender's numbers for Keyframe.interpolation
TIME_TOLERANCE = 1e-3  # frames: keys nearer than this are at the same time
MIN_STEP = 0.05  # frames: a key grid finer than this is no grid, but keys that happen to lie close
GRID_TOLERANCE = 0.01  # of a step
BISECTIONS = 60
SOLVED = 1e-10  # of a key interval
ROTATION_CHANNEL = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}  # else rotation_euler
OBJECT = -1  # the row of the armature object itself where bones have theirs
CHANNEL_SIZE = {"location": 3, "rotation_quaternion": 4, "rotation_axis_angle": 4, "rotation_euler": 3, "scale": 3}


@dataclass(frozen=True)
class Channels:
    """The F-curves that pose the armature, and their values at the sampled frames.

    Attributes:
        bones: `[C]` int, row of the rig, or OBJECT. kinds: `[C]` property names. indices: `[C]` int.
        paths: `[C]` data paths.
        values: `[C, T]` float32.
        dense: `[C]` bool, the curve's keys stand on the sampled frames, all and only.
    """

    bones: np.ndarray
    kinds: tuple[str, ...]
    indices: np.ndarray
    paths: tuple[str, ...]
    values: np.ndarray
    dense: np.ndarray

    def keyed(self) -> np.ndarray:
        """The bones that have any of these curves, sorted; without the object."""
        return np.unique(self.bones[self.bones != OBJECT])

    def rows(self, bone, kind) -> list[int]:
        """The curves of one property of a bone."""
        return [row for row in np.flatnonzero(self.bones == bone).tolist() if self.kinds[row] == kind]

    def keyed_kinds(self, bone) -> set[str]:
        """The kinds of curves that a bone has."""
        return {kind for row, kind in zip(self.bones.tolist(), self.kinds, strict=True) if row == bone}


def rotation_channel(mode: str) -> str:
    """The property that a rotation mode reads."""
    return ROTATION_CHANNEL.get(mode, "rotation_euler")


def time_tolerance(times) -> float:
    """How far apart two float32 times can be and still mean the same frame."""
    return TIME_TOLERANCE + 4 * np.finfo(np.float32).eps * float(np.abs(times).max(initial=0.0))


def merge_times(times) -> np.ndarray:
    """Sorted distinct times."""
    times = np.unique(np.asarray(times, dtype=np.float64))
    return times[np.concatenate(([True], np.diff(times) > time_tolerance(times)))] if len(times) else times


def sample_frames(times, start=None, stop=None) -> tuple[np.ndarray, float]:
    """The timeline frames at which a motion is read, and the step between them.

    Whole frames; where the keys lie on another uniform grid (a clip of 30 fps in a scene of 24), that grid, halved until
    it is as fine as the frames. A row near a key stands exactly on it.

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
        near = np.clip(np.searchsorted(times, frames), 1, len(times) - 1) if len(times) > 1 else np.zeros(len(frames), int)
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
        keys: `[n, 2]` times and values in order. left, right: `[n, 2]` handles. interpolation: `[n]`, of the three above.
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
        result[rows] = _bezier(frames[rows], keys[s], np.asarray(right, np.float64)[s], np.asarray(left, np.float64)[s + 1], keys[s + 1])
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
        error = 3 * u * u * t * x1 + 3 * u * t * t * x2 + t**3 - wanted
        if np.abs(error).max() < SOLVED:
            break
        low, high = np.where(error < 0, t, low), np.where(error < 0, high, t)
        slope = 3 * u * u * x1 + 6 * u * t * (x2 - x1) + 3 * t * t * (1 - x2)
        newton = t - error / np.where(np.abs(slope) < 1e-9, 1e-9, slope)
        t = np.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
    u = 1 - t
    return u**3 * start[:, 1] + 3 * u * u * t * out[:, 1] + 3 * u * t * t * into[:, 1] + t**3 * end[:, 1]


def basis_quaternions(mode: str, values) -> np.ndarray:
    """Channel values `[..., 3 or 4]` of a rotation mode as unit quaternions `[..., 4]`."""
    values = np.asarray(values, dtype=np.float64)
    if mode == "QUATERNION":
        length = np.linalg.norm(values, axis=-1, keepdims=True)
        fallback = np.array([0.0, 1.0, 0.0, 0.0])  # what Blender makes of a quaternion of zeros
        return np.where(length > 1e-12, values / np.maximum(length, 1e-12), fallback)
    if mode == "AXIS_ANGLE":
        length = np.linalg.norm(values[..., 1:], axis=-1, keepdims=True)
        return rotvec_to_quaternion(values[..., :1] * values[..., 1:] / np.maximum(length, 1e-12))
    return euler_to_quaternion(values, mode)


def turn_basis(mode: str, values, turns) -> np.ndarray:
    """Channel values turned in the bone's own axes, in the same mode and as near to what they were as can be.

    Args:
        values: `[..., 3 or 4]`. turns: `[..., 3]` rotation vectors: `basis_new = basis exp(turn)`.
    """
    values = np.asarray(values, dtype=np.float64)
    turn = rotvec_to_quaternion(np.asarray(turns, dtype=np.float64))
    if mode == "QUATERNION":
        return quaternion_multiply(values, turn)  # keeps length and, for a turn below 360 degrees, the sign
    turned = quaternion_multiply(basis_quaternions(mode, values), turn)
    if mode != "AXIS_ANGLE":
        return quaternion_to_euler(turned, mode, near_rad=values)
    vector = quaternion_to_rotvec(quaternion_normalize(turned))
    angle = np.linalg.norm(vector, axis=-1, keepdims=True)
    axis = np.where(angle > 1e-9, vector / np.maximum(angle, 1e-12), values[..., 1:])
    flip = (axis * values[..., 1:]).sum(axis=-1, keepdims=True) < 0
    axis, angle = np.where(flip, -axis, axis), np.where(flip, -angle, angle)
    angle = angle - 2 * np.pi * np.round((angle - values[..., :1]) / (2 * np.pi))
    return np.concatenate((angle, axis), axis=-1)


def channel_values(channels, basis, kind, rows) -> np.ndarray:
    """Values of one property of some bones over time, unkeyed ones from the pose, `[3 or 4, len(rows), T]` float64."""
    values = np.empty((CHANNEL_SIZE[kind], len(rows), channels.values.shape[1]))
    values[:] = basis[kind][rows].T[:, :, None]
    place = {row: at for at, row in enumerate(rows)}
    for curve, (bone, name, index) in enumerate(zip(channels.bones, channels.kinds, channels.indices, strict=True)):
        if name == kind and bone in place:
            values[index, place[bone]] = channels.values[curve]
    return values


def own_rotations(channels, basis, modes, rows) -> np.ndarray:
    """Each bone's own rotation over time from its channels, `[4, len(rows), T]`."""
    rows = np.asarray(rows)
    turns = np.empty((4, len(rows), channels.values.shape[1]))
    for mode in {modes[row] for row in rows}:
        same = np.flatnonzero([modes[row] == mode for row in rows])
        kind = rotation_channel(mode)
        values = channel_values(channels, basis, kind, rows[same])
        if mode == "QUATERNION":
            lengths = np.sqrt((values * values).sum(axis=0))
            if (lengths > 1e-12).all():
                turns[:, same] = values / lengths
                continue
        turns[:, same] = np.moveaxis(basis_quaternions(mode, np.moveaxis(values, 0, -1)), -1, 0)
    return turns
