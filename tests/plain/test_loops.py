"""Loops, root paths and pins: gaps at the seam in numbers, travel taken out, no pops where a change fades.

python -m pytest tests/plain/test_loops.py
"""

from dataclasses import replace

import numpy as np
import pytest

from backend.change import apply_change
from backend.encoding import encode_motion
from backend.errors import UserError
from backend.loops import find_seam, loop_gap
from backend.motion import joint_positions, position_jerk, slice_motion
from backend.pins import row_weight
from backend.rotations import quaternion_angle, quaternion_conjugate, quaternion_multiply, quaternion_rotate
from backend.variation import LEVELS, VariationSettings, vary
from tests.plain.bodies import JOINTS, body, tiny_model
from tests.plain.test_contacts import walker
from training import metrics

MODEL = tiny_model(spread=2.0)
CYCLE = slice_motion(walker(seconds=4.0)[0], 0, 91)  # three strides: the last row shows what the first does
BROKEN = slice_motion(walker(seconds=4.0)[0], 0, 84)  # the same, cut in the middle of a step
FREE = VariationSettings(keep_ends=False, loop="KEEP")
NEAR_ROWS = 4


def quiet(fraction, text):
    """A report that nobody reads."""


def encoded(motion):
    """The encoding of a motion."""
    return encode_motion(MODEL, motion, quiet)


def seam_turn(encoding) -> np.ndarray:
    """From facing at the end to facing at the start."""
    return find_seam(encoding, np.ones(encoding.motion.frames)).turn


def made(encoding, settings, seed=1, **more):
    """A variation, as a motion."""
    return apply_change(encoding.motion, vary(MODEL, encoding, settings, seed, quiet, **more))


def jerk_near(jerk, rows) -> float:
    """Peak jerk near some rows over the peak elsewhere (99th percentile, so that one frame isn't everything)."""
    at = np.arange(len(jerk)) + 1.5
    near = (np.abs(at[:, None] - np.atleast_1d(rows)) <= NEAR_ROWS).any(axis=1)
    return float(np.quantile(jerk[near], 0.99) / np.quantile(jerk[~near], 0.99))


def seam_jerk(motion, turn) -> float:
    """The same at the seam: the clip is followed by itself, moved and turned to where it ended."""
    positions, ends = joint_positions(motion), motion.root_positions[[-1, 0]] * [1, 1, 0]
    again = quaternion_rotate(quaternion_conjugate(turn), positions[1:] - ends[1]) + ends[0]
    jerk = position_jerk(np.concatenate((positions, again)))[len(positions) // 2 :][: len(positions)]
    return jerk_near(jerk, len(positions) - 1 - len(positions) // 2)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("root_path", ("KEEP", "IN_PLACE", "FREE"))
def test_variations_of_a_loop_loop(level, root_path):
    """Pose, speed and jerk at the seam are about the source's; without the setting they aren't; the ends do change."""
    encoding = encoded(CYCLE)
    turn = seam_turn(encoding)
    pose, speed = loop_gap(CYCLE, turn)
    settings = replace(FREE, level=level, root_path=root_path)
    for seed in range(4):
        variation = made(encoding, settings, seed)
        gap = loop_gap(variation, turn)
        assert gap[0] < pose + 0.01
        assert gap[1] < speed + 1.5
        assert seam_jerk(variation, turn) < 1.2 * max(seam_jerk(CYCLE, turn), 1.0)
        ends = quaternion_angle(variation.rotations[[0, -1]], CYCLE.rotations[[0, -1]])
        assert np.degrees(ends).mean() > 0.2
    open_gap = loop_gap(made(encoding, replace(settings, loop="OFF", root_path="KEEP")), turn)
    assert open_gap[0] > pose + 1.0


def test_feet_rest_across_the_seam_of_a_loop():
    """As still as in the source over all rows that rest, the seam's among them."""
    encoding = encoded(CYCLE)
    still = metrics.skate_cm_s(CYCLE, encoding.contacts)
    for seed in range(4):
        assert metrics.skate_cm_s(made(encoding, FREE, seed), encoding.contacts) < still + 0.5


@pytest.mark.parametrize("motion", (BROKEN, body(), body(slides=True)), ids=("cut", "wild", "slides"))
def test_a_clip_that_does_not_loop(motion):
    """KEEP loops as badly as the source; CLOSE brings pose, height, speed and sliding joints together."""
    encoding = encoded(motion)
    turn = seam_turn(encoding)
    pose, speed = loop_gap(motion, turn)
    assert pose > 30
    kept = loop_gap(made(encoding, FREE), turn)
    assert kept[0] == pytest.approx(pose, abs=0.01)
    for seed in range(3):
        closed = made(encoding, replace(FREE, loop="CLOSE"), seed)
        gap = loop_gap(closed, turn)
        assert gap[0] < 1e-3 and gap[1] < 0.15 * speed
        places = joint_positions(closed)
        places = places - closed.root_positions[:, None] * [1, 1, 0]
        assert np.abs(quaternion_rotate(turn, places[-1]) - places[0]).max() < 1e-4
        assert seam_jerk(closed, turn) < 1.5


def test_closing_with_kept_ends_moves_the_end_alone():
    """The first pose is the source's to the last bit, and the last one is the first; the change is nothing there."""
    encoding = encoded(BROKEN)
    settings = VariationSettings(loop="CLOSE")
    change = vary(MODEL, encoding, settings, 1, quiet)
    assert not change.rotation[0].any() and np.degrees(np.linalg.norm(change.rotation[-1], axis=-1)).max() > 10
    assert loop_gap(apply_change(BROKEN, change), seam_turn(encoding))[0] < 1e-3


def test_pins_win_over_the_loop():
    """Pinned rows stay to the last bit; both ends pinned can't be closed; a range leaves no end to close."""
    encoding, pinned = encoded(BROKEN), np.zeros(BROKEN.frames, bool)
    pinned[[6, 40, 80]] = True
    for settings in (FREE, replace(FREE, loop="CLOSE"), VariationSettings(loop="CLOSE")):
        change = vary(MODEL, encoding, settings, 1, quiet, pinned=pinned)
        assert not change.rotation[pinned].any() and not change.root[pinned].any()
    pinned[[0, -1]] = True
    with pytest.raises(UserError, match="both pinned"):
        vary(MODEL, encoding, replace(FREE, loop="CLOSE"), 1, quiet, pinned=pinned)
    with pytest.raises(UserError, match="Let all frames change"):
        vary(MODEL, encoding, replace(FREE, loop="CLOSE", stop=50), 1, quiet)
    assert not vary(MODEL, encoding, replace(FREE, loop="CLOSE", strength=0.0), 1, quiet).rotation.any()


def test_joints_that_may_not_turn_keep_their_turn_in_a_loop():
    """Local turns of the others are the source's, with closing and without."""
    encoding, chosen = encoded(body()), np.zeros(JOINTS, bool)
    chosen[[1, 2, 9, 10]] = True
    for loop in ("KEEP", "CLOSE"):
        variation = made(encoding, replace(FREE, loop=loop), selected=chosen)
        turned = quaternion_angle(metrics.local_rotations(encoding.motion), metrics.local_rotations(variation))
        assert np.degrees(turned[:, ~chosen]).max() < 1e-3 and np.degrees(turned[:, chosen]).mean() > 0.2
        np.testing.assert_array_equal(variation.root_positions, encoding.motion.root_positions)


@pytest.mark.parametrize("loop", ("OFF", "KEEP"))
def test_in_place_takes_the_travel_out_and_leaves_the_sway(loop):
    """The walker's root stays where it starts, sways and bounces as it does otherwise, and turns the same."""
    encoding = encoded(CYCLE)
    settings = VariationSettings(loop=loop)
    walks = made(encoding, settings)
    stays = made(encoding, replace(settings, root_path="IN_PLACE"))
    assert np.ptp(walks.root_positions[:, 1]) > 3.0 and np.ptp(stays.root_positions[:, 1]) < 0.02
    np.testing.assert_allclose(stays.root_positions[0], walks.root_positions[0], atol=1e-6)
    np.testing.assert_array_equal(stays.rotations, walks.rotations)
    np.testing.assert_allclose(stays.root_positions[:, 2], walks.root_positions[:, 2], atol=1e-6)
    assert np.ptp(stays.root_positions[10:-10, 0]) > 0.9 * np.ptp(walks.root_positions[10:-10, 0])


def test_in_place_carries_sliding_joints_and_leaves_a_body_that_does_not_travel():
    """Every joint goes with the root; who stands about keeps swaying; masks and ranges forbid it with a sentence."""
    encoding = encoded(body(slides=True))
    walks, stays = (made(encoding, VariationSettings(root_path=path)) for path in ("KEEP", "IN_PLACE"))
    steps = [joint_positions(each) - each.root_positions[:, None] for each in (walks, stays)]
    np.testing.assert_allclose(steps[0], steps[1], atol=1e-5)
    still = replace(body(), root_positions=body().root_positions * [0.3, 0.05, 1])
    encoding = encoded(still)
    walks, stays = (made(encoding, VariationSettings(root_path=path)) for path in ("KEEP", "IN_PLACE"))
    np.testing.assert_array_equal(walks.root_positions, stays.root_positions)
    arm = np.arange(JOINTS) == 9
    with pytest.raises(UserError, match="root of the body must stay"):
        vary(MODEL, encoding, VariationSettings(root_path="IN_PLACE"), 1, quiet, selected=arm)
    with pytest.raises(UserError, match="some frames must stay"):
        vary(MODEL, encoding, VariationSettings(root_path="IN_PLACE", start=20), 1, quiet)


@pytest.mark.parametrize("loop", ("OFF", "KEEP"))
@pytest.mark.parametrize("root_path", ("KEEP", "FREE"))
def test_no_pops_at_borders_and_pins(loop, root_path):
    """Jerk near range borders and pinned rows is about that elsewhere, with falloffs chosen and given."""
    for motion in (walker(seconds=6.0)[0], body(seconds=6.0)):
        encoding, pinned = encoded(motion), np.zeros(motion.frames, bool)
        pinned[[70, 100]] = True
        for falloff in (None, 0.4):
            settings = VariationSettings(
                root_path=root_path, loop=loop, start=30, stop=150, falloff_s=falloff, pin_ease_s=falloff
            )
            variation = made(encoding, settings, pinned=pinned)
            own, new = (position_jerk(joint_positions(each)) for each in (motion, variation))
            rows = [30, 70, 100, 149]
            assert jerk_near(new, rows) < 1.25 * max(jerk_near(own, rows), 1.0)


def test_a_falloff_is_as_long_as_asked():
    """Rows from the border to the full change; pins have their own; both never meet with a corner."""
    motion = body(seconds=6.0)
    settings = VariationSettings(start=30, stop=150, falloff_s=1.0, pin_ease_s=0.2)
    pinned = np.zeros(motion.frames, bool)
    pinned[90] = True
    weight = row_weight(motion, settings, pinned)
    assert (weight[:31] == 0).all() and (weight[149:] == 0).all() and weight[90] == 0
    assert weight[59] < 1 and weight[60] == 1 and weight[84] == 1 and weight[85] < 1 and weight[95] < 1
    assert row_weight(motion, replace(settings, falloff_s=0.2), pinned)[36] == 1
    near = np.zeros(motion.frames, bool)
    near[[90, 96]] = True
    assert np.abs(np.diff(row_weight(motion, VariationSettings(), near), 2)).max() < 0.06


def test_what_stays_at_one_end_of_a_loop_stays_at_the_other():
    """The seam is one row: a pin near the start fades the end as well."""
    pinned = np.zeros(CYCLE.frames, bool)
    pinned[3] = True
    weight = row_weight(CYCLE, FREE, pinned)
    assert weight[0] == weight[-1] < 0.2 and weight[45] == 1
    pinned[[3, 0]] = False, True
    assert row_weight(CYCLE, FREE, pinned)[-1] == 0
    turned = quaternion_multiply(quaternion_conjugate(CYCLE.rotations[0]), CYCLE.rotations[-1])
    assert np.degrees(2 * np.arccos(np.clip(np.abs(turned[:, 0]), 0, 1))).max() < 0.1
