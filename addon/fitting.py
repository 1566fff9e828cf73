"""Dense samples -> as few Bezier keys as a tolerance allows. Pure numpy; knows neither Blender nor rotations.

Several curves that share their key times (the components of one bone's rotation) are one *strip*: samples in order of
time, of up to four values. All strips lie behind one another in the same arrays, so that no loop goes over bones.

Keys stand on samples and keep their values. Between two keys runs a cubic with handles at a third of the time between
them, where a Bezier curve is a polynomial in time: its two slopes come from least squares (Schneider, An Algorithm for
Automatically Fitting Digitized Curves, 1990). The longest stretch that fits, again and again from the left, gives
nearly the fewest keys, since a part of what fits nearly always fits too.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

LANE = 64  # samples after which a key is set for a start, which may go again
FIRST_REACH = 4  # samples that the search for the longest stretch first tries to skip
FEW = 6  # samples inside a stretch that don't say enough of what a cubic does between them
CHORD_WEIGHT = 1e-4  # of the straight line's slope against the samples, for stretches with too few of them


@dataclass(frozen=True)
class Samples:
    """Strips behind one another.

    Attributes:
        times: `[P]` frames, rising within a strip. values: `[P, C]`.
        first: `[P]` bool, where strips start. fixed: `[P]` bool, which samples stay keys, the ends of strips included.
    """

    times: np.ndarray
    values: np.ndarray
    first: np.ndarray
    fixed: np.ndarray

    @cached_property
    def last(self) -> np.ndarray:
        """`[P]` bool, where strips end."""
        return np.append(self.first[1:], True)

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Times `[2 P]` and values `[2 P, C]` of the samples, then of what is half way from each to the next."""
        middle = 0.5 * (self.times + np.append(self.times[1:], self.times[-1:]))
        return np.append(self.times, middle), np.concatenate((self.values, halfway(self.values, self.first)[1]))


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
        aligned: `[K]` bool, both are the same, so that the key is smooth.
        values: `[P, C]` the curves at the samples.
    """

    keys: np.ndarray
    left: np.ndarray
    right: np.ndarray
    aligned: np.ndarray
    values: np.ndarray


def stretches(samples: Samples, keys) -> tuple[np.ndarray, np.ndarray]:
    """From which row to which the curve runs, for keys given as a mask `[P]`."""
    rows = np.flatnonzero(keys)
    inside = ~samples.last[rows[:-1]]
    return rows[:-1][inside], rows[1:][inside]


class _Hermite:
    """Cubics between the rows `start` and `stop` of the samples, and the points that lie inside them.

    Where few samples do, the points half way between them are among these, so that nothing swings out between frames.

    Attributes:
        rows: `[R]` of `Samples.points`. owner: `[R]` which stretch they lie in.
    """

    def __init__(self, samples: Samples, start, stop):
        count = stop - start - 1
        fine = count <= FEW
        length = np.where(fine, 2 * count + 1, count)
        self.owner = np.repeat(np.arange(len(start)), length)
        self.offset = np.cumsum(length) - length
        at, fine, begin = np.arange(len(self.owner)) - self.offset[self.owner], fine[self.owner], start[self.owner]
        between = fine & (at % 2 == 0)
        self.rows = begin + np.where(between, at // 2 + len(samples.times), np.where(fine, (at + 1) // 2, at + 1))
        self.filled = length > 0
        self._start, self._count, self._samples = start, count, len(samples.times)
        times, values = samples.points
        self.span = times[stop] - times[start]
        self.rise = values[stop] - values[start]
        u = (times[self.rows] - times[start][self.owner]) / self.span[self.owner]
        self.out, self.into = u * (1 - u) ** 2, -u * u * (1 - u)  # what a slope adds at the start, at the end
        self.bare = values[start][self.owner] + self.rise[self.owner] * (u * u * (3 - 2 * u))[:, None]
        self.rest = values[self.rows] - self.bare

    def _sums(self, products):
        """Sums `[S, ...]` of the samples' `[R, ...]` in each stretch."""
        sums = np.zeros((len(self.span), *products.shape[1:]))
        if len(products):
            sums[self.filled] = np.add.reduceat(products, self.offset[self.filled], axis=0)
        return sums

    def equations(self):
        """Least squares for the two slopes (times the span): `a`, `b`, `d` `[S]` of the matrix, right sides `[S, C]`.

        The straight line's slope has a little weight, so that they can be solved where there are no samples.
        """
        matrix = self._sums(np.stack((self.out**2, self.out * self.into, self.into**2), axis=1))
        a, b, d = matrix[:, 0] + CHORD_WEIGHT, matrix[:, 1], matrix[:, 2] + CHORD_WEIGHT
        chord = CHORD_WEIGHT * self.rise
        out, into = (self._sums(part[:, None] * self.rest) for part in (self.out, self.into))
        return a, b, d, out + chord, into + chord

    def slopes(self):
        """The slopes at the start and at the end that fit each stretch by itself, times the span."""
        a, b, d, left, right = self.equations()
        a, b, d = (x[:, None] for x in (a, b, d))
        determinant = a * d - b * b
        return (d * left - b * right) / determinant, (a * right - b * left) / determinant

    def values(self, out, into):
        """The curves at the samples inside, for slopes times the span."""
        return self.bare + self.out[:, None] * out[self.owner] + self.into[:, None] * into[self.owner]

    def worst(self, errors):
        """The largest error of each stretch, and the sample inside that is nearest to it, -1 where there is none."""
        worst, where = np.zeros(len(self.span)), np.full(len(self.span), -1)
        if len(errors):
            worst[self.filled] = np.maximum.reduceat(errors, self.offset[self.filled])
            hits = np.flatnonzero(errors >= worst[self.owner])[::-1]
            where[self.owner[hits]] = self.rows[hits] % self._samples
            where = np.where(self._count > 0, np.maximum(where, self._start + 1), -1)
        return worst, where


def _worst(samples, measure, start, stop):
    """The largest error of the best cubic over each stretch; 1 is the tolerance."""
    cubics = _Hermite(samples, start, stop)
    return cubics.worst(measure(cubics.rows, cubics.values(*cubics.slopes())))[0]


def place_keys(samples: Samples, measure):
    """Few keys, as a mask `[P]`: from each fixed one on as far as one cubic reaches, and on from there to the next.

    A generator that yields the share done and returns the mask.

    Args:
        measure: (rows, values) -> errors over tolerance, for some rows of `Samples.points`.
    """
    keys = samples.fixed.copy()
    keys[_lane_starts(samples)] = True  # so that long strips are worked on in many places at once
    start, end = stretches(samples, keys)
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


def _reach(samples, measure, start, end):
    """The row up to which one cubic from `start` fits, `end` at the latest: first in doubled steps, then halving."""
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


def split_where_bad(samples: Samples, measure, keys) -> np.ndarray:
    """More keys, as a mask `[P]`, until every stretch fits: each that doesn't is cut where it is worst."""
    keys = keys.copy()
    start, stop = stretches(samples, keys)
    while len(start):
        cubics = _Hermite(samples, start, stop)
        worst, where = cubics.worst(measure(cubics.rows, cubics.values(*cubics.slopes())))
        bad = (worst > 1) & (where >= 0)
        cut = where[bad]
        keys[cut] = True
        start, stop = np.concatenate((start[bad], cut)), np.concatenate((cut, stop[bad]))
    return keys


def drop_spare(samples: Samples, measure, keys) -> np.ndarray:
    """Fewer keys, as a mask `[P]`: those go over which one cubic reaches between their neighbours, best ones first."""
    keys = keys.copy()
    cost = np.full(len(keys), np.nan)  # the error without a key; NaN where it isn't known
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
    cubics = _Hermite(samples, start, stop)
    own_out, own_into = (slope / cubics.span[:, None] for slope in cubics.slopes())
    joined = start[1:] == stop[:-1]  # stretch s + 1 goes on where s ends
    turn = np.abs(own_out[1:] - own_into[:-1]).max(axis=1, initial=0.0)
    smooth = joined.copy()
    while True:
        out, into = _shared_slopes(cubics, smooth)
        inside = cubics.values(out * cubics.span[:, None], into * cubics.span[:, None])
        bad = cubics.worst(measure(cubics.rows, inside))[0] > 1
        before, behind = np.append(False, smooth), np.append(smooth, False)
        bad &= before | behind  # a stretch with slopes of its own is as good as it can be
        if not bad.any():
            break
        corner = np.append(-1.0, np.where(smooth, turn, -1.0)), np.append(np.where(smooth, turn, -1.0), -1.0)
        at_start = bad & (corner[0] >= corner[1])
        smooth &= ~at_start[1:] & ~(bad & ~at_start)[:-1]
    rows = np.flatnonzero(keys)
    width = samples.values.shape[1]
    left, right = np.zeros((len(rows), width)), np.zeros((len(rows), width))
    begins, ends = np.searchsorted(rows, start), np.searchsorted(rows, stop)
    right[begins], left[ends] = out, into
    outer = samples.first[rows]
    left[outer] = right[outer]
    outer = samples.last[rows]
    right[outer] = left[outer]
    aligned = np.zeros(len(rows), dtype=bool)
    aligned[ends[:-1][smooth]] = True
    aligned |= samples.first[rows] | samples.last[rows]
    values = samples.values.copy()
    is_sample = cubics.rows < len(values)
    values[cubics.rows[is_sample]] = inside[is_sample]
    return Fit(rows, left, right, aligned, values)


def _shared_slopes(cubics: _Hermite, smooth):
    """Slopes `[S, C]` at the starts and the ends of all stretches, the same where `smooth` `[S - 1]` says so."""
    a, b, d, left, right = cubics.equations()
    span = cubics.span
    count = 2 * len(span) - int(smooth.sum())
    starts = 2 * np.arange(len(span)) - np.append(0, np.cumsum(smooth))  # which unknown a slope is
    ends = starts + 1
    diagonal, above = np.zeros(count), np.zeros(count)
    right_side = np.zeros((count, cubics.rise.shape[1]))
    for place, square, side in ((starts, a, left), (ends, d, right)):
        diagonal[place] += square * span**2
        right_side[place] += side * span[:, None]
    above[starts] = b * span**2
    slopes = solve_tridiagonal(np.append(0.0, above[:-1]), diagonal, above, right_side)
    return slopes[starts], slopes[ends]


def solve_tridiagonal(below, diagonal, above, right) -> np.ndarray:
    """x `[n, C]` of `below[i] x[i-1] + diagonal[i] x[i] + above[i] x[i+1] = right[i]`, by parallel cyclic reduction."""
    below, diagonal, above, right = below.copy(), diagonal.copy(), above.copy(), right.copy()
    step = 1
    while step < len(diagonal) and (below.any() or above.any()):
        up, down = np.zeros_like(below), np.zeros_like(above)
        up[step:] = -below[step:] / diagonal[:-step]
        down[:-step] = -above[:-step] / diagonal[step:]
        new = diagonal.copy()
        new[step:] += up[step:] * above[:-step]
        new[:-step] += down[:-step] * below[step:]
        side = right.copy()
        side[step:] += up[step:, None] * right[:-step]
        side[:-step] += down[:-step, None] * right[step:]
        up[step:] *= below[:-step]
        down[:-step] *= above[step:]
        tiny = 1e-14 * diagonal.max()
        below, above = np.where(np.abs(up) > tiny, up, 0.0), np.where(np.abs(down) > tiny, down, 0.0)
        diagonal, right = new, side
        step *= 2
    return right / diagonal[:, None]
