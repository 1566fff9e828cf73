"""Bezier curves between two keys, fitted to the samples between them: slopes and lengths of handles. Pure numpy.

With handles at a third of the time between two keys the curve is a cubic in time. Longer and shorter ones bend it in
ways that a cubic can't, so that it follows a motion over a quarter more frames. For given lengths the slopes come from
least squares (Schneider, An Algorithm for Automatically Fitting Digitized Curves, 1990); of a few lengths each
component takes those that fit it best.

Stretches with the same number of samples have the same equations, so that one matrix product fits all of them.
"""

from functools import lru_cache

import numpy as np

LENGTHS = (1 / 3, 0.15, 0.55, 0.8)  # of handles, in parts of the time between two keys
SHAPES = np.array([(a, b) for a in LENGTHS for b in LENGTHS if a + b <= 1])  # thirds first; handles don't overlap
WORTH = 0.8  # of the squared error with thirds: other lengths are taken where they leave less
FEW = 6  # samples inside a stretch that don't say enough of what a curve does between them
CHORD_WEIGHT = 1e-4  # of the straight line's slope against the samples, for stretches with too few of them
EVEN = 1e-5  # parts of a stretch: samples that stand so evenly stand evenly
STEPS = 4  # of Newton's, to find where on a Bezier curve a time is
FINE = np.linspace(0, 1, 129)[:, None]  # places on it to begin from
TIMES = FINE * (3 * (1 - FINE) * ((1 - FINE) * SHAPES[:, 0] + FINE * (1 - SHAPES[:, 1])) + FINE * FINE)


class _Pattern:
    """Where samples stand inside a stretch, and what each shape does there.

    Attributes:
        steps: `[R]` from the stretch's first row. halves: `[R]` bool, half way on to the next row.
        rise, out, into: `[R, G]` what a rise, a slope at the start and a slope at the end add, of each shape.
        gram: `[3, G]` of `out` and `into`. across: `[2, G]` of these and `rise`. square: `[G]` of `rise`.
    """

    def __init__(self, places):
        """`places` `[n + 1]`: of the samples, from 0 to 1."""
        count = len(places) - 2
        samples, between = np.arange(1, count + 1), np.arange(count + 1) if count <= FEW else np.zeros(0, dtype=int)
        self.steps = np.concatenate((samples, between))
        self.halves = np.arange(len(self.steps)) >= count
        u = np.concatenate((places[1:-1], 0.5 * (places[between] + places[between + 1])))[:, None]
        a, b = SHAPES.T
        s = np.stack([np.interp(u[:, 0], times, FINE[:, 0]) for times in TIMES.T], axis=1)
        for _ in range(STEPS):
            r = 1 - s
            late = s * (3 * r * (r * a + s * (1 - b)) + s * s) - u
            s = s - late / (3 * r * r * a + 6 * r * s * (1 - a - b) + 3 * s * s * b)
        self.rise = s * s * (3 - 2 * s)
        self.out, self.into = 3 * (1 - s) ** 2 * s * a, -3 * (1 - s) * s * s * b
        forms = np.stack((self.out, self.into, self.rise), axis=1)  # [R, 3, G]
        self.forms = forms.reshape(len(u), -1).T
        self.gram = np.stack([(x * y).sum(axis=0) for x, y in self._pairs()])
        self.gram[[0, 2]] += CHORD_WEIGHT
        self.across = (forms[:, :2] * self.rise[:, None]).sum(axis=0)
        self.square = (self.rise**2).sum(axis=0)

    def _pairs(self):
        return (self.out, self.out), (self.out, self.into), (self.into, self.into)


@lru_cache(maxsize=4096)
def _pattern(places: tuple[float, ...]) -> _Pattern:
    return _Pattern(np.array(places))


@lru_cache(maxsize=1024)
def _even_pattern(steps: int) -> _Pattern:
    return _Pattern(np.linspace(0, 1, steps + 1))


class Stretches:
    """Curves between the rows `start` and `stop` of the samples.

    Slopes here are `[S, C]` times the stretch's span, shapes `[S, C]` rows of SHAPES.

    Attributes:
        span: `[S]` frames.
    """

    def __init__(self, samples, start, stop):
        times, points = samples.points
        self._total, self._begin, self._count = len(samples.times), start, stop - start - 1
        self.span = times[stop] - times[start]
        self._low, self._climb = points[start], points[stop] - points[start]
        shapes, width = len(SHAPES), points.shape[1]
        self._gram = np.empty((3, shapes, len(start)))
        self._sides = np.empty((2, shapes, len(start), width))
        self._rest = np.empty((shapes, len(start), width))
        self._groups = [self._group(points, pattern, some) for pattern, some in _groups(samples, start, stop)]

    def _group(self, points, pattern, some):
        """Prepares stretches of one pattern: their place among all, rows of the points `[R, S]`, the pattern."""
        rows = pattern.steps[:, None] + np.where(pattern.halves, self._total, 0)[:, None] + self._begin[some]
        climb = self._climb[some]
        above = points[rows]
        above -= self._low[some]
        forms = pattern.forms @ above.reshape(len(rows), -1)
        out, into, rise = forms.reshape(3, len(SHAPES), *climb.shape)
        self._gram[:, :, some] = pattern.gram[..., None]
        for side, form, across in zip(self._sides, (out, into), pattern.across, strict=True):
            side[:, some] = form - (across - CHORD_WEIGHT)[:, None, None] * climb
        square = np.einsum("rsc,rsc->sc", above, above)
        self._rest[:, some] = square + climb * (climb * pattern.square[:, None, None] - 2 * rise)
        return some, rows, pattern

    def own(self):
        """The shapes and slopes that fit each stretch by itself."""
        a, b, d = self._gram[..., None]
        left, right = self._sides
        determinant = a * d - b * b
        out, into = (d * left - b * right) / determinant, (a * right - b * left) / determinant
        shape = _best(self._rest - left * out - right * into)
        return shape, _take(out, shape), _take(into, shape)

    def best_shapes(self, out, into, some=slice(None)):
        """The shapes of some of the stretches that fit best with given slopes."""
        a, b, d = self._gram[:, :, some, None]
        left, right = self._sides[:, :, some]
        out, into = out[some], into[some]
        return _best(self._rest[:, some] + out * (a * out + 2 * (b * into - left)) + into * (d * into - 2 * right))

    def equations(self, shape):
        """Least squares for the slopes: `a`, `b`, `d` of the matrix and the right sides, `[S, C]` each."""
        stretch = np.arange(len(shape))[:, None]
        return *(part[shape, stretch] for part in self._gram), *(_take(side, shape) for side in self._sides)

    def errors(self, measure, shape, out, into, values=None, among=None):
        """The largest error of each stretch, and the sample inside that is nearest to it, -1 where there is none.

        Args:
            values: `[P, C]`, gets the curves at the samples. among: `[S]` bool, those that count; 0 for the others.
        """
        worst, where = np.zeros(len(self.span)), np.full(len(self.span), -1)
        for some, rows, pattern in self._groups:
            if among is not None and not among[some].all():
                some, rows = some[among[some]], rows[:, among[some]]
                if not len(some):
                    continue
            picked = shape[some]
            found = pattern.rise[:, picked]
            found *= self._climb[some]
            found += self._low[some]
            found += pattern.out[:, picked] * out[some]
            found += pattern.into[:, picked] * into[some]
            if values is not None:
                values[rows[~pattern.halves]] = found[~pattern.halves]
            errors = measure(rows.ravel(), found.reshape(-1, found.shape[-1])).reshape(rows.shape)
            at = errors.argmax(axis=0)
            worst[some] = errors[at, np.arange(len(at))]
            where[some] = self._begin[some] + np.maximum(pattern.steps[at], 1)
        return worst, np.where(self._count > 0, where, -1)


def _groups(samples, start, stop):
    """Stretches of the same pattern: the pattern, and which they are."""
    steps = stop - start
    for count in np.unique(steps):
        some = np.flatnonzero(steps == count)
        if samples.even:
            yield _even_pattern(int(count)), some
            continue
        times = samples.times[start[some] + np.arange(count + 1)[:, None]]
        places = (times - times[0]) / (times[-1] - times[0])
        even = np.abs(places - np.linspace(0, 1, count + 1)[:, None]).max(axis=0) < EVEN
        if even.any():
            yield _even_pattern(int(count)), some[even]
        for one in np.flatnonzero(~even):
            yield _pattern(tuple(places[:, one].tolist())), some[one : one + 1]


def _best(costs):
    """The shapes `[S, C]` with the least costs `[G, S, C]`, thirds unless others are clearly better."""
    costs = np.concatenate((WORTH * costs[:1], costs[1:]))
    return costs.argmin(axis=0)


def _take(values, shape):
    """Of values `[G, S, C]` those of each one's shape."""
    return np.take_along_axis(values, shape[None], axis=0)[0]
