"""Dense samples -> as few Bezier keys as a tolerance allows. Pure numpy; knows neither Blender nor rotations.

Several curves that share their key times (the components of one bone's rotation) are one *strip*: samples in order of
time, of up to four values. All strips lie behind one another in the same arrays, so that no loop goes over bones.

Keys stand on samples and keep their values; `handles` says what runs between two of them. The longest stretch that
fits, again and again from the left, gives nearly the fewest keys, since a part of what fits nearly always fits too.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .handles import SHAPES, Stretches

LANE = 24  # samples after which a key is set for a start, which may go again
FIRST_REACH = 4  # samples that the search for the longest stretch first tries to skip
SAME = 1e-6  # of a slope: less is no change of it
SETTLES = 2  # times that lengths of handles and slopes that stretches share are chosen anew for each other


@dataclass(frozen=True)
class Samples:
    """Strips behind one another.

    Attributes:
        times: `[P]` frames, rising within a strip. values: `[P, C]`.
        first: `[P]` bool, where strips start. fixed: `[P]` bool, which samples stay keys, the ends of strips included.
        between: `[P, C]` values half way to the next sample, where they aren't those of a smooth curve through
            the samples alone.
    """

    times: np.ndarray
    values: np.ndarray
    first: np.ndarray
    fixed: np.ndarray
    between: np.ndarray | None = None

    @cached_property
    def last(self) -> np.ndarray:
        """`[P]` bool, where strips end."""
        return np.append(self.first[1:], True)

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Times `[2 P]` and values `[2 P, C]` of the samples, then of what is half way from each to the next."""
        middle = 0.5 * (self.times + np.append(self.times[1:], self.times[-1:]))
        between = halfway(self.values, self.first)[1] if self.between is None else self.between
        return np.append(self.times, middle), np.concatenate((self.values, between))

    @cached_property
    def even(self) -> bool:
        """Whether all stand a frame apart."""
        return bool((np.diff(self.times)[~self.last[:-1]] == 1).all())


def halfway(values, first) -> tuple[np.ndarray, np.ndarray]:
    """Half way from each sample `[P, C]` to the next of its strip: on a straight line, and on a smooth curve."""
    row, last = np.arange(len(values)), np.append(first[1:], True)
    behind = np.where(last, row, row + 1)
    begins, ends = first[row], last[behind]
    before, beyond = np.where(begins, row, row - 1), np.where(ends, behind, np.minimum(behind + 1, row[-1]))
    here, there = values, values[behind]
    straight = 0.5 * (here + there)
    smooth = (9 * (here + there) - values[before] - values[beyond]) / 16
    smooth = np.where(begins[:, None], (3 * here + 6 * there - values[beyond]) / 8, smooth)
    smooth = np.where(ends[:, None], (3 * there + 6 * here - values[before]) / 8, smooth)
    return straight, np.where((begins & ends)[:, None], straight, smooth)


@dataclass(frozen=True)
class Fit:
    """Keys and what runs between them.

    Attributes:
        keys: `[K]` rows of the samples that are keys.
        left, right: `[K, C]` slopes of the curves before and behind each key, in values a frame.
        before, behind: `[K, C]` how many frames the handles reach from it.
        aligned: `[K]` bool, both are the same, so that the key is smooth.
        values: `[P, C]` the curves at the samples.
    """

    keys: np.ndarray
    left: np.ndarray
    right: np.ndarray
    before: np.ndarray
    behind: np.ndarray
    aligned: np.ndarray
    values: np.ndarray


def stretches(samples: Samples, keys) -> tuple[np.ndarray, np.ndarray]:
    """From which row to which the curve runs, for keys given as a mask `[P]`."""
    rows = np.flatnonzero(keys)
    inside = ~samples.last[rows[:-1]]
    return rows[:-1][inside], rows[1:][inside]


def _worst(samples, measure, start, stop):
    """The largest error of the best curve over each stretch; 1 is the tolerance."""
    curves = Stretches(samples, start, stop)
    return curves.errors(measure, *curves.own())[0]


def place_keys(samples: Samples, measure):
    """Few keys, as a mask `[P]`: from each fixed one on as far as one curve reaches, and on from there to the next.

    A generator that yields the share done and returns the mask.

    Args:
        measure: (rows, values) -> errors over tolerance, for some rows of `Samples.points`.
    """
    keys = samples.fixed.copy()
    lanes, still = _lane_starts(samples), _still(samples)
    keys[lanes[~still[lanes]]] = True  # so that long strips are worked on in many places at once
    start, end = stretches(samples, keys)
    start, end = start[~still[start]], end[~still[start]]
    rows = max(int((end - start).sum()), 1)
    while len(start):
        reach = _reach(samples, measure, start, end)
        keys[reach] = True
        more = reach < end
        start, end = reach[more], end[more]
        yield 1 - int((end - start).sum()) / rows
    return drop_spare(samples, measure, keys)


def _lane_starts(samples) -> np.ndarray:
    """Rows every `LANE` samples from the start of a strip."""
    begins = np.flatnonzero(samples.first)
    into = np.arange(len(samples.first)) - np.repeat(begins, np.diff(np.append(begins, len(samples.first))))
    return np.flatnonzero(into % LANE == 0)


def _still(samples) -> np.ndarray:
    """`[P]` bool, strips on which nothing moves."""
    begins = np.flatnonzero(samples.first)
    strip = np.cumsum(samples.first) - 1
    moved = (samples.values != samples.values[begins[strip]]).any(axis=1)
    return ~np.logical_or.reduceat(moved, begins)[strip]


def _reach(samples, measure, start, end):
    """The row up to which one curve from `start` fits, `end` at the latest: first in doubled steps, then halving."""
    good, bad = start + 1, end + 1
    step = np.full(len(start), FIRST_REACH)
    growing = good < end
    while True:
        probe = np.where(growing, np.minimum(good + step, end), (good + bad) // 2)
        rows = np.flatnonzero(growing | (bad - good > 1))
        if not len(rows):
            return good
        fits = np.zeros(len(start), dtype=bool)
        fits[rows] = _worst(samples, measure, start[rows], probe[rows]) <= 1
        tried = np.zeros(len(start), dtype=bool)
        tried[rows] = True
        good, bad = np.where(fits, probe, good), np.where(tried & ~fits, probe, bad)
        growing &= fits & (good < end)
        step *= 2


def split_where_bad(samples: Samples, measure, keys, doubtful=None) -> np.ndarray:
    """More keys, as a mask `[P]`, until every stretch fits: each that doesn't is cut where it is worst.

    Args:
        doubtful: `[P]` bool, samples that may not be fitted; all others are.
    """
    keys = keys.copy()
    start, stop = stretches(samples, keys)
    if doubtful is not None:
        count = np.append(0, np.cumsum(doubtful))
        some = count[stop] > count[start]
        start, stop = start[some], stop[some]
    while len(start):
        curves = Stretches(samples, start, stop)
        worst, where = curves.errors(measure, *curves.own())
        bad = (worst > 1) & (where >= 0)
        cut = where[bad]
        keys[cut] = True
        start, stop = np.concatenate((start[bad], cut)), np.concatenate((cut, stop[bad]))
    return keys


def drop_spare(samples: Samples, measure, keys, new=None) -> np.ndarray:
    """Fewer keys, as a mask `[P]`: those go over which one curve reaches between their neighbours, best ones first.

    Args:
        new: `[P]` bool, keys that came after others couldn't go: only they, and those beside them, may.
    """
    keys = keys.copy()
    cost = np.full(len(keys), np.nan)  # the error without a key; NaN where it isn't known
    if new is not None:
        rows = np.flatnonzero(keys)
        at = np.flatnonzero(new[rows])
        cost[:] = np.inf
        cost[rows[np.clip(at[:, None] + (-1, 0, 1), 0, len(rows) - 1)]] = np.nan
    while True:
        rows = np.flatnonzero(keys)
        free = ~samples.fixed[rows]
        asked = np.flatnonzero(free & np.isnan(cost[rows]))
        if len(asked):
            cost[rows[asked]] = _worst(samples, measure, rows[asked - 1], rows[asked + 1])
        costs = np.where(free & (cost[rows] <= 1), cost[rows], np.inf)
        before, behind = np.append(np.inf, costs[:-1]), np.append(costs[1:], np.inf)
        gone = np.flatnonzero(np.isfinite(costs) & (costs <= before) & (costs < behind))
        if not len(gone):
            return keys
        keys[rows[gone]] = False
        cost[rows[gone - 1]] = cost[rows[gone + 1]] = np.nan


def fit_keys(samples: Samples, measure, keys) -> Fit:
    """The curves through keys given as a mask `[P]`: smooth at a key wherever the tolerance allows that.

    Slopes that two stretches share are solved for together; where a stretch then misses the tolerance, the key at which
    its own slope would be more different gets two slopes, and so on.
    """
    start, stop = stretches(samples, keys)
    curves = Stretches(samples, start, stop)
    span = curves.span[:, None]
    own_shape, own_out, own_into = curves.own()
    smooth = start[1:] == stop[:-1]  # stretch s + 1 goes on where s ends
    turn = np.abs(own_out[1:] / span[1:] - own_into[:-1] / span[:-1]).max(axis=1, initial=0.0)
    shape, values = own_shape, samples.values.copy()
    for _ in range(SETTLES):
        shape = curves.best_shapes(*_shared_slopes(curves, shape, smooth))
    worst, slopes = np.zeros(len(start)), np.full((2, *shape.shape), np.inf)
    while True:
        before, behind = np.append(False, smooth), np.append(smooth, False)
        shape = np.where((before | behind)[:, None], shape, own_shape)
        new = np.array(_shared_slopes(curves, shape, smooth))
        moved = (np.abs(new - slopes) > SAME * np.abs(new)).any(axis=(0, 2))
        slopes[:, moved] = new[:, moved]
        out, into = slopes
        worst = np.where(moved, curves.errors(measure, shape, out, into, values, moved)[0], worst)
        bad = (worst > 1) & (before | behind)  # a stretch with slopes of its own is as good as it can be
        if not bad.any():
            break
        corner = np.append(-1.0, np.where(smooth, turn, -1.0)), np.append(np.where(smooth, turn, -1.0), -1.0)
        at_start = bad & (corner[0] >= corner[1])
        smooth &= ~at_start[1:] & ~(bad & ~at_start)[:-1]
        shape[bad] = curves.best_shapes(out, into, bad)
        slopes[:, bad] = np.inf
    rows = np.flatnonzero(keys)
    begins, ends = np.searchsorted(rows, start), np.searchsorted(rows, stop)
    sides = [np.zeros((len(rows), samples.values.shape[1])) for _ in range(4)]
    reaches = span * SHAPES[shape, 0], span * SHAPES[shape, 1]
    for side, at, found in zip(sides, (ends, begins) * 2, (into / span, out / span, *reaches[::-1]), strict=True):
        side[at] = found
    left, right, before, behind = sides
    for ends_of, one, other in ((samples.first[rows], 0, 1), (samples.last[rows], 1, 0)):
        for pair in ((left, right), (before, behind)):
            pair[one][ends_of] = pair[other][ends_of]
    aligned = samples.first[rows] | samples.last[rows]
    aligned[ends[:-1][smooth]] = True
    return Fit(rows, left, right, before, behind, aligned, values)


def _shared_slopes(curves: Stretches, shape, smooth):
    """Slopes times the spans `[S, C]` at the starts and the ends of all stretches, the same where `smooth` says so."""
    a, b, d, left, right = curves.equations(shape)
    span = curves.span[:, None]
    count = 2 * len(span) - int(smooth.sum())
    starts = 2 * np.arange(len(span)) - np.append(0, np.cumsum(smooth))  # which unknown a slope is
    ends = starts + 1
    diagonal, above, right_side = (np.zeros((count, shape.shape[1])) for _ in range(3))
    for place, square, side in ((starts, a, left), (ends, d, right)):
        diagonal[place] += square * span**2
        right_side[place] += side * span
    above[starts] = b * span**2
    slopes = solve_tridiagonal(np.roll(above, 1, axis=0), diagonal, above, right_side)
    return slopes[starts] * span, slopes[ends] * span


def solve_tridiagonal(below, diagonal, above, right) -> np.ndarray:
    """x `[n, C]` of `below[i] x[i-1] + diagonal[i] x[i] + above[i] x[i+1] = right[i]`, by parallel cyclic reduction.

    All are `[n, C]`; the first of `below` and the last of `above` are 0.
    """
    step = 1
    while step < len(diagonal) and (below.any() or above.any()):
        up, down = np.zeros_like(below), np.zeros_like(above)
        up[step:] = -below[step:] / diagonal[:-step]
        down[:-step] = -above[:-step] / diagonal[step:]
        new, side = diagonal.copy(), right.copy()
        new[step:] += up[step:] * above[:-step]
        new[:-step] += down[:-step] * below[step:]
        side[step:] += up[step:] * right[:-step]
        side[:-step] += down[:-step] * right[step:]
        up[step:] *= below[:-step]
        down[:-step] *= above[step:]
        tiny = 1e-14 * diagonal.max()
        below, above = np.where(np.abs(up) > tiny, up, 0.0), np.where(np.abs(down) > tiny, down, 0.0)
        diagonal, right = new, side
        step *= 2
    return right / diagonal
