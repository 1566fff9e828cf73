"""Few Bezier keys for many samples: within the tolerance, few, smooth, own keys kept; no Blender.

python -m pytest tests/plain/test_fitting.py
"""

import importlib
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

ADDON = Path(__file__).resolve().parents[2] / "addon"


@pytest.fixture(scope="module")
def fitting():
    """The module and what it imports, in a package of their own: the add-on's needs Blender."""
    package = types.ModuleType("fitting_alone")
    package.__path__ = [str(ADDON)]
    sys.modules[package.__name__] = package
    yield importlib.import_module("fitting_alone.fitting")
    for name in [name for name in sys.modules if name.split(".")[0] == package.__name__]:
        del sys.modules[name]


def place_keys(fitting, samples, measure):
    """The mask that the generator returns, and the shares that it yields."""
    steps, shares = fitting.place_keys(samples, measure), []
    while True:
        try:
            shares.append(next(steps))
        except StopIteration as end:
            return end.value, shares


def strips(fitting, curves, fixed=()):
    """Samples of several curves `[n, C]` behind one another; `fixed` are further rows that stay keys."""
    lengths = [len(curve) for curve in curves]
    starts = np.cumsum([0, *lengths[:-1]])
    first = np.zeros(sum(lengths), dtype=bool)
    first[starts] = True
    stays = first | np.append(first[1:], True)
    stays[list(fixed)] = True
    times = np.concatenate([np.arange(length, dtype=float) for length in lengths])
    return fitting.Samples(times, np.concatenate(curves), first, stays)


def distance(fitting, samples, tolerance):
    """Errors as distances over a tolerance; half way between samples a straight line is as right as a smooth curve."""
    straight, smooth = fitting.halfway(samples.values, samples.first)
    slack = np.append(np.zeros(len(straight)), 0.5 * np.linalg.norm(straight - smooth, axis=1))
    wanted = np.concatenate((samples.values, 0.5 * (straight + smooth)))

    def measure(rows, values):
        return np.maximum(np.linalg.norm(values - wanted[rows], axis=1) - slack[rows], 0) / tolerance

    return measure


def waves(count=3, length=200, seed=0):
    """Smooth curves of four values."""
    rng = np.random.default_rng(seed)
    t = np.arange(length)[:, None]
    return [np.sin(rng.uniform(0.05, 0.3, 4) * t + rng.uniform(0, 6, 4)) for _ in range(count)]


def bezier(start, stop, slopes, reaches, at):
    """Blender's curve between two keys (time, value) with handles of some slopes and reaches, evaluated by halving."""
    handles = np.array([reaches, np.multiply(slopes, reaches)]).T * [[1], [-1]]
    points = np.array([start, start + handles[0], stop + handles[1], stop])
    low, high = 0.0, 1.0
    for _ in range(60):
        s = 0.5 * (low + high)
        left = points
        while len(left) > 1:
            left = (1 - s) * left[:-1] + s * left[1:]
        low, high = (s, high) if left[0, 0] < at else (low, s)
    return left[0, 1]


@pytest.mark.parametrize("tolerance", (0.2, 0.02, 0.002))
def test_within_the_tolerance_and_few(fitting, tolerance):
    """Every sample is within the tolerance, by what is returned and by a Bezier curve evaluated another way."""
    samples = strips(fitting, waves())
    measure = distance(fitting, samples, tolerance)
    keys, shares = place_keys(fitting, samples, measure)
    fit = fitting.fit_keys(samples, measure, keys)
    assert measure(np.arange(600), fit.values).max() <= 1
    assert len(fit.keys) < {0.2: 0.15, 0.02: 0.25, 0.002: 0.4}[tolerance] * 600
    assert shares == sorted(shares)
    for place in range(5):
        rows = fit.keys[place : place + 2]
        for row in range(rows[0], rows[1] + 1):
            keys = np.stack((samples.times[rows], samples.values[rows, 1]), axis=1)
            slopes = fit.right[place, 1], fit.left[place + 1, 1]
            reaches = fit.behind[place, 1], fit.before[place + 1, 1]
            made = bezier(*keys, slopes, reaches, samples.times[row])
            assert sum(reaches) <= keys[1, 0] - keys[0, 0] + 1e-9  # handles don't overlap
            assert made == pytest.approx(fit.values[row, 1], abs=1e-9)


def test_keys_keep_their_values_and_own_ones_stay(fitting):
    """A key's value is the sample's; rows that are fixed are keys even on a straight line."""
    line = np.outer(np.arange(100.0), (1, 2, 0, 0))
    samples = strips(fitting, [line, line + 1], fixed=(17, 18, 130))
    measure = distance(fitting, samples, 0.01)
    keys, _ = place_keys(fitting, samples, measure)
    fit = fitting.fit_keys(samples, measure, keys)
    assert fit.keys.tolist() == [0, 17, 18, 99, 100, 130, 199]
    assert np.array_equal(fit.values[fit.keys], samples.values[fit.keys])
    assert np.allclose(fit.left, (1, 2, 0, 0)) and np.allclose(fit.right, (1, 2, 0, 0))
    assert fit.aligned.all()


def test_a_cubic_needs_no_key_inside(fitting):
    """What one cubic can be is found exactly, whatever the tolerance."""
    t = np.linspace(-1, 1, 64)[:, None]
    samples = strips(fitting, [t**3 - t + np.array([0, 1, 2, 3]) * t**2])
    measure = distance(fitting, samples, 5e-3)
    keys, _ = place_keys(fitting, samples, measure)
    assert np.flatnonzero(keys).tolist() == [0, 63]


def test_what_a_cubic_cannot_be_takes_other_handles(fitting):
    """A curve with long and short handles is found again with no key inside, and thirds need some there."""
    ends, reaches = np.array([(0.0, 0.0), (40.0, 1.0)]), (0.55 * 40, 0.15 * 40)
    curve = np.array([[bezier(*ends, (0.01, -0.02), reaches, at)] for at in np.arange(41.0)])
    samples = strips(fitting, [curve])
    measure = distance(fitting, samples, 0.004)
    keys, _ = place_keys(fitting, samples, measure)
    fit = fitting.fit_keys(samples, measure, keys)
    assert fit.keys.tolist() == [0, 40]
    assert (fit.behind[0, 0], fit.before[1, 0]) == pytest.approx(reaches)
    assert (fit.right[0, 0], fit.left[1, 0]) == pytest.approx((0.01, -0.02), rel=0.02)
    thirds = curve[0] + np.array([[bezier(*ends, (0.01, -0.02), (40 / 3, 40 / 3), at)] for at in np.arange(41.0)])
    assert np.abs(thirds - curve).max() > 0.02


def test_a_jump_gets_a_key_on_either_side_and_a_corner(fitting):
    """A step isn't smoothed over, and nothing swings beyond it."""
    step = np.zeros((80, 1))
    step[40:] = 1
    samples = strips(fitting, [step])
    measure = distance(fitting, samples, 0.01)
    keys, _ = place_keys(fitting, samples, measure)
    fit = fitting.fit_keys(samples, measure, keys)
    assert {39, 40} <= set(fit.keys.tolist())
    assert len(fit.keys) <= 6
    assert -0.011 < fit.values.min() and fit.values.max() < 1.011


def test_smooth_where_the_tolerance_allows(fitting):
    """With room between placing and tolerance most keys of a smooth curve have both handles on one line."""
    samples = strips(fitting, waves(6))
    measure = distance(fitting, samples, 0.05)
    keys, _ = place_keys(fitting, samples, lambda rows, values: 2 * measure(rows, values))
    fit = fitting.fit_keys(samples, measure, keys)
    assert fit.aligned.mean() > 0.5
    assert np.allclose(fit.left[fit.aligned], fit.right[fit.aligned])
    assert measure(np.arange(len(samples.times)), fit.values).max() <= 1


def test_splitting_and_dropping(fitting):
    """Too few keys become enough; too many become fewer and stay within the tolerance."""
    samples = strips(fitting, waves())
    measure = distance(fitting, samples, 0.02)
    placed, _ = place_keys(fitting, samples, measure)
    split = fitting.split_where_bad(samples, measure, samples.fixed)
    dropped = fitting.drop_spare(samples, measure, np.ones(600, dtype=bool))
    for keys in (split, dropped):
        fit = fitting.fit_keys(samples, measure, keys)
        assert measure(np.arange(600), fit.values).max() <= 1
        assert placed.sum() <= keys.sum() < 2.5 * placed.sum()
    assert fitting.drop_spare(samples, measure, split).sum() <= split.sum()


def test_uneven_times(fitting):
    """Samples need not stand on whole frames."""
    rng = np.random.default_rng(3)
    times = np.sort(rng.uniform(0, 100, 150))
    first = np.arange(150) == 0
    samples = fitting.Samples(times, np.sin(times / 9)[:, None], first, first | (np.arange(150) == 149))
    measure = distance(fitting, samples, 1e-3)
    keys, _ = place_keys(fitting, samples, measure)
    fit = fitting.fit_keys(samples, measure, keys)
    assert measure(np.arange(150), fit.values).max() <= 1
    assert len(fit.keys) < 30


def test_half_way(fitting):
    """Smooth means exact for a parabola, at the ends of strips too; two samples have a straight line between them."""
    t = np.arange(9.0)
    samples = strips(fitting, [np.stack((t, t * t - 3 * t), axis=1), np.array([[1.0, 2], [3, 5]])])
    straight, smooth = fitting.halfway(samples.values, samples.first)
    middle = t[:-1] + 0.5
    assert np.allclose(smooth[:8], np.stack((middle, middle * middle - 3 * middle), axis=1))
    assert np.allclose(straight[:8], 0.5 * (samples.values[:8] + samples.values[1:9]))
    assert smooth[9].tolist() == straight[9].tolist() == [2, 3.5]


def test_linear_equations(fitting):
    """Against numpy's general solver, with couplings that are missing here and there."""
    rng = np.random.default_rng(1)
    below, above = rng.normal(size=(2, 37))
    below[[0, 9, 20]] = above[[8, 19, 36]] = 0
    diagonal = 3 + rng.uniform(size=37)
    right = rng.normal(size=(37, 4))
    matrix = np.diag(diagonal) + np.diag(below[1:], -1) + np.diag(above[:-1], 1)
    wide = (np.repeat(part[:, None], 4, axis=1) for part in (below, diagonal, above))
    assert np.allclose(fitting.solve_tridiagonal(*wide, right), np.linalg.solve(matrix, right))


def test_time_grows_with_the_length(fitting):
    """141 bones over 300 frames: well under half a second of the processor's time."""
    samples = strips(fitting, waves(141, 300))
    measure = distance(fitting, samples, 0.02)
    started = time.process_time()
    keys, _ = place_keys(fitting, samples, measure)
    fitting.fit_keys(samples, measure, keys)
    assert time.process_time() - started < 2.0
