"""How much of a change each row of a clip takes: nothing where poses stay, all of it elsewhere, eased between."""

import numpy as np

from .motion import Motion
from .rests import ease

EASE_S = 0.45  # over which the change fades in from what stays, where the user doesn't say


def row_weight(motion: Motion, settings, pinned=None, tempo: float = 1.0) -> np.ndarray:
    """How much of the change each row takes, `[T]` from 0 at what stays to 1, without corners.

    Where the clip loops, its end and start are one row, and what stays at one of them stays at the other.

    Args:
        settings: VariationSettings. pinned: `[T]` bool, rows whose pose stays. tempo: factor on EASE_S.
    """
    frames = motion.frames
    start, stop = changing_rows(frames, settings)
    if stop <= start:
        return np.zeros(frames)
    border = np.ones(frames, bool)
    border[start:stop] = False
    if settings.keep_ends:
        border[[start, stop - 1]] = True
    pinned = np.zeros(frames, bool) if pinned is None else np.array(pinned, bool)
    loops = settings.loop != "OFF"
    if loops:
        border[[0, -1]], pinned[[0, -1]] = border[[0, -1]].any(), pinned[[0, -1]].any()
    weight = np.ones(frames)
    for fixed, ease_s in ((border, settings.falloff_s), (pinned, settings.pin_ease_s)):
        # Chosen for the user, never longer than a third of the free stretch, so that short clips change at all.
        longest = (stop - start) / (3 if ease_s is None else 2)
        rows = max(min((EASE_S * tempo if ease_s is None else ease_s) * motion.fps, longest), 1.0)
        weight *= _fade(fixed, rows, loops)
    return weight


def changing_rows(frames: int, settings) -> tuple[int, int]:
    """The rows that may change: the first, and the one after the last."""
    start = 0 if settings.start is None else max(settings.start, 0)
    return start, frames if settings.stop is None else min(settings.stop, frames)


def _fade(fixed, rows: float, loops: bool) -> np.ndarray:
    """0 where `fixed [T]`, 1 from `rows` rows away on; a product over both sides, so that short gaps have no corner."""
    frames = len(fixed)
    marks = np.flatnonzero(fixed)
    if not len(marks):
        return np.ones(frames)
    if loops:
        marks = np.concatenate((marks - (frames - 1), marks, marks + (frames - 1)))
    at, marks = np.arange(frames), np.concatenate(([-np.inf], marks, [np.inf]))
    before = at - marks[np.searchsorted(marks, at, side="right") - 1]
    after = marks[np.searchsorted(marks, at, side="left")] - at
    return ease(before / rows) * ease(after / rows)
