"""As few keys as the tolerances of bones and joints allow, for all strips of an action. No bpy.

Bones get keys for their own tolerance first. Where joints then miss their places, the bones above them are allowed
less, and only what that touches is fitted again.
"""

from dataclasses import dataclass

import numpy as np

from .fitting import Samples, drop_spare, fit_keys, place_keys, split_where_bad

SEARCH_SHARE = 0.55  # of the tolerance that keys are placed for; the rest goes into making them smooth
BATCH_SAMPLES = 30_000  # of strips that are fitted together
ROUNDS, LOOSE = 9, 6  # of adding keys until joints are where they should be; in so many of them keys also go again
WHOLE = 3  # so many rounds fit whole strips again, later ones what lies between two corners
MARGIN = 0.97  # of what joints may be off: Blender's numbers are short
PLACED = 0.6  # share of the work until then
SIDES, BEHIND = ("left", "right", "before", "behind"), ("right", "behind")


@dataclass(frozen=True)
class Keys:
    """The keys of all strips.

    Attributes:
        mask: `[P]` bool, samples of the ruler that are keys. aligned: `[P]` bool.
        sides: `[4, P, 4]` at keys what SIDES names of `fitting.Fit`.
        values: `[P, 4]` the curves at the samples.
    """

    mask: np.ndarray
    aligned: np.ndarray
    sides: np.ndarray
    values: np.ndarray

    @classmethod
    def none(cls, count: int):
        """Without any, for so many samples."""
        empty = np.zeros(count, dtype=bool)
        return cls(empty, empty.copy(), np.zeros((len(SIDES), count, 4)), np.zeros((count, 4)))

    def copy(self):
        """The same, that later fits leave alone."""
        return Keys(self.mask.copy(), self.aligned.copy(), self.sides.copy(), self.values.copy())

    def fit(self, portion, mask) -> None:
        """New keys for a portion. Where it begins and ends at corners, what is beyond them stays."""
        fit = fit_keys(portion.samples, portion.measure, mask)
        self.mask[portion.rows], self.values[portion.rows] = mask, fit.values
        begins, ends = portion.samples.first[fit.keys], portion.samples.last[fit.keys]
        at = portion.rows[fit.keys]
        inner = ~((begins & ~portion.outer_first[at]) | (ends & ~portion.outer_last[at]))
        self.aligned[at[inner]] = fit.aligned[inner]
        for side, name in zip(self.sides, SIDES, strict=True):
            mine = inner | (begins if name in BEHIND else ends)
            side[at[mine]] = getattr(fit, name)[mine]


class _Portion:
    """Stretches of strips that are fitted together.

    Attributes:
        rows: of the ruler; where one stretch ends and the next begins at the same row, it is there twice.
        samples: of these rows. outer_first, outer_last: `[P]` bool, where strips begin and end.
    """

    def __init__(self, ruler, begins, stops):
        lengths = stops - begins
        ends = np.cumsum(lengths)
        self.rows = np.arange(ends[-1]) + np.repeat(begins - (ends - lengths), lengths)
        first, fixed = np.zeros(len(self.rows), dtype=bool), ruler.fixed[self.rows]
        first[ends - lengths] = True
        fixed[ends - lengths] = fixed[ends - 1] = True
        parts = (part[self.rows] for part in (ruler.times, ruler.values))
        self.samples = Samples(*parts, first, fixed, ruler.between[self.rows])
        self.outer_first, self.outer_last = ruler.first, ruler.last
        self._ruler, self._points = ruler, np.append(self.rows, self.rows + len(ruler.times))

    def measure(self, rows, values):
        """The ruler, for rows of these samples."""
        return self._ruler.measure(self._points[rows], values)

    def strictly(self, rows, values):
        """The same with the share of the tolerance that keys are placed for."""
        return self.measure(rows, values) / SEARCH_SHARE


def few_keys(ruler, body, place_m, columns, rows_of):
    """The keys of all strips: a generator that yields the share done and returns Keys and how far joints miss.

    Args:
        ruler, body: of `accuracy`; `body` is None where nobody knows where joints come to lie.
        place_m: how far joints may be off. columns, rows_of: see `Body.misses`.
    """
    if body is not None:
        body.limit_levers(ruler, place_m)
    keys = Keys.none(len(ruler.times))
    portions = _portions(ruler, ruler.starts, ruler.stops)
    for number, portion in enumerate(portions):
        mask = yield from _scaled(place_keys(portion.samples, portion.strictly), number, len(portions))
        keys.fit(portion, mask)
    if body is None:
        return keys, None
    best = None
    for around in range(ROUNDS):
        misses = body.misses(ruler, keys.values, columns, rows_of)
        yield PLACED + (1 - PLACED) * around / ROUNDS
        over = body.over(misses, MARGIN * place_m)
        if best is None or over.max() < best[0]:
            best = over.max(), float(misses.max()), keys.copy()
        loose, allowed = around < LOOSE, ruler.allowed.copy()
        if over.max() <= 1 or not body.tighten(ruler, keys.values, over, columns, place_m, loose):
            break
        _fit_again(ruler, keys, ruler.allowed < allowed, loose, around < WHOLE)
        yield PLACED + (1 - PLACED) * (around + 0.5) / ROUNDS
    return best[2], best[1]


def _scaled(steps, number, count):
    """Passes on a portion's shares as shares of the work, and returns what it returns."""
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            return end.value
        yield PLACED * (number + share) / count


def _fit_again(ruler, keys, stricter, loose, whole) -> None:
    """More keys where less is allowed now, `[P]` bool; if `loose`, fewer where new ones make that possible.

    What lies between two corners hangs on nothing else, so that it is enough to fit such stretches again; if `whole`,
    strips are, so that corners may go.
    """
    corners = np.flatnonzero((keys.mask & ~keys.aligned & (not whole)) | ruler.first | ruler.last)
    begins, ends = corners[:-1][~ruler.last[corners[:-1]]], corners[1:][~ruler.first[corners[1:]]]
    count = np.append(0, np.cumsum(stricter))
    touched = count[ends + 1] > count[begins]
    for portion in _portions(ruler, begins[touched], ends[touched] + 1):
        before = keys.mask[portion.rows]
        mask = split_where_bad(portion.samples, portion.strictly, before, stricter[portion.rows])
        if loose:
            mask = drop_spare(portion.samples, portion.strictly, mask, mask & ~before)
        keys.fit(portion, mask)


def _portions(ruler, begins, stops) -> list[_Portion]:
    """Stretches from `begins` to before `stops` in portions."""
    portion = (np.cumsum(stops - begins) - 1) // BATCH_SAMPLES
    edges = np.flatnonzero(np.diff(portion)) + 1
    return [_Portion(ruler, *some) for some in zip(np.split(begins, edges), np.split(stops, edges), strict=True)]
