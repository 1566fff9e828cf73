"""Clips drawn from the prior: what is measured of them, on motions of which it is known what should come out.

python -m pytest tests/training/test_prior_samples.py
"""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

from backend.checkpoint import Checkpoint, save_checkpoint  # noqa: E402
from backend.engines import to_numpy  # noqa: E402
from backend.motion import joint_positions  # noqa: E402
from backend.prior import PriorConfig  # noqa: E402
from backend.rotations import quaternion_multiply, quaternion_rotate, yaw_to_quaternion  # noqa: E402
from tests.plain.bodies import TWO_LEVELS, body, tiny_model, tiny_parameters  # noqa: E402
from tests.training.takes import write_bvh  # noqa: E402
from training import gallery, goals, metrics  # noqa: E402
from training.drawn import drawn_motion, lent_pose, walk_on_feet  # noqa: E402
from training.evaluate import USUAL_PARTS, choose_scope, evaluate  # noqa: E402
from training.held_out import held_out_clips, middle_motion  # noqa: E402
from training.prepare import prepare  # noqa: E402
from training.prior_samples import coverages, prior_rows  # noqa: E402
from training.varied import rig_clips  # noqa: E402

PRIOR = PriorConfig(width=32, heads=2, depth=1)


def silent(*_):
    """A report that nobody reads."""


def write_weights(path):
    """A weights file with a prior, untrained."""
    model = tiny_model(prior=PRIOR)
    parameters = tiny_parameters(TWO_LEVELS) | {"prior": model.parameters["prior"]}
    save_checkpoint(path, Checkpoint(TWO_LEVELS, parameters, model.statistics, "tiny", "untrained", PRIOR))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A prepared data set of one rig: three clips to train on, six held out."""
    folder = tmp_path_factory.mktemp("data")
    for seed in range(9):
        write_bvh(folder / "takes" / "walkers" / ("train" if seed < 3 else "test") / f"{seed}.bvh", 120, seed)
    prepare([folder / "takes"], folder / "set", 1, report=silent)
    return folder / "set"


@pytest.fixture(scope="module")
def scope(data):
    """A quick look at it."""
    return choose_scope(data, quick=True, sets=None, clips=None)


def test_the_report_holds_what_is_drawn_against_data(data, tmp_path):
    """Rows, page, picture and goals; the real clips' line is theirs, and weights without a prior have nothing."""
    path = write_weights(tmp_path / "tiny.safetensors")
    result = evaluate(path, data, tmp_path, quick=True, report=silent, parts=["prior"])
    assert not result["failed"]
    row = json.loads((tmp_path / "report.json").read_text())["prior"][0]
    store = choose_scope(data, True, None, None).store
    clips = [middle_motion(store, index, 192) for index in held_out_clips(store, "walkers", 6)]
    real = row["kinds"]["real"]
    assert real["jerk"] == pytest.approx(np.mean([metrics.jerk_curve(clip).mean() for clip in clips]))
    assert row["jerk_ratio"] == pytest.approx(row["kinds"]["drawn"]["jerk"] / real["jerk"])
    assert row["clips"] == 6 == len(real["each"]) and 0 < row["copied_nearest"]
    text = (tmp_path / "report.md").read_text()
    assert "| walkers | **drawn** |" in text and "prior samples: jerk within 25%" in text and "](prior.png)" in text
    assert (tmp_path / "prior.png").stat().st_size > 1000
    assert prior_rows(tiny_model(), choose_scope(data, True, None, None), silent) == []


def test_goals_of_samples_are_missed_on_either_side():
    """Too calm is as wrong as too wild; a set without a figure doesn't count."""
    row = {"name": "a", "jerk_ratio": 1.2, "skate_ratio": None, "coverage_ratio": 0.61}
    assert [each["met"] for each in goals.prior_goals([row])] == [True, True]
    for jerk, cover in ((0.7, 0.59), (1.3, 0.2)):
        found = goals.prior_goals([row, row | {"jerk_ratio": jerk, "coverage_ratio": cover, "skate_ratio": 1.0}])
        assert [each["met"] for each in found] == [False, True, False]


def test_a_clip_is_drawn_from_the_skeleton_and_a_length_alone(scope):
    """As long as asked for, from the given place on; the seed decides, and what the lending clip does has no say."""
    model, index = tiny_model(spread=2.0, prior=PRIOR), held_out_clips(scope.store, "walkers", 1)[0]
    motion = middle_motion(scope.store, index, 100)
    lent = lent_pose(scope.store, index, motion, np.random.default_rng(0))
    drawn = [drawn_motion(model, lent, 75, seed, (1.0, 2.0, 0.0)) for seed in (1, 1, 2)]
    assert drawn[0].frames == 75 and drawn[0].skeleton is motion.skeleton
    np.testing.assert_array_equal(drawn[0].rotations, drawn[1].rotations)
    assert metrics.change_deg(drawn[0], drawn[2]) > 1
    np.testing.assert_allclose(drawn[0].root_positions[0, :2], [1, 2], atol=1e-6)
    backwards = replace(lent, rotations=lent.rotations[::-1], root_positions=lent.root_positions[::-1])
    again = drawn_motion(model, backwards, 75, 1, (1.0, 2.0, 0.0))
    assert metrics.change_deg(drawn[0], again) < 0.1


def test_the_pose_is_lent_by_another_clip_of_the_rig(scope):
    """A training clip where the rig was trained, never the clip itself."""
    for index in held_out_clips(scope.store, "walkers", 6):
        motion = middle_motion(scope.store, index, 100)
        others = list(rig_clips(scope.store, index))
        assert len(others) == 3 and {scope.store.clips[other]["split"] for other in others} == {"train"}
        lent = lent_pose(scope.store, index, motion, np.random.default_rng(1))
        assert lent.skeleton is motion.skeleton
        assert metrics.change_deg(motion, replace(lent, rotations=lent.rotations[: motion.frames])) > 0.5


def turned(source, angle_rad: float):
    """The same, seen from elsewhere."""
    turn = yaw_to_quaternion(np.array(angle_rad))
    rotations = quaternion_multiply(turn + 0 * source.rotations, source.rotations)
    return replace(
        source, rotations=rotations, root_positions=quaternion_rotate(turn + 0 * rotations[:, 0], source.root_positions)
    )


def test_a_copied_clip_has_no_distance_to_its_original():
    """Whichever way it faces; others have one, and the nearest of many counts."""
    clips = [metrics.posture_features(body(seed=seed)) for seed in range(4)]
    copied = metrics.posture_features(turned(body(seed=2), 2.0))
    assert metrics.nearest_distance(copied, clips) < 1e-3
    alone = [metrics.nearest_distance(copied, [clips[seed]]) for seed in (0, 1, 3)]
    assert 0.2 < metrics.nearest_distance(copied, [clips[0], clips[1], clips[3]]) <= min(alone)


def test_a_clip_isnt_covered_by_what_was_made_for_it():
    """Copies of all clips cover no more than the other clips do; one clip twice is covered wholly."""
    clips = [body(seed=seed) for seed in range(3)]
    alone = coverages(clips, clips)
    assert alone == coverages(clips, [turned(clip, 0.0) for clip in clips]) and max(alone) < 0.5
    assert coverages([*clips, clips[0]], [*clips, clips[0]])[0] == 1


def test_what_stands_stops_sliding_and_what_is_carried_fast_goes_on():
    """A body that drifts slowly on still feet is held in place; what joints that slide have is moved along."""
    source = body(seed=3)
    rotations = np.repeat(source.rotations[:1], source.frames, axis=0)
    drift = np.linspace(0, 0.4, source.frames)[:, None] * np.array([1.0, 0, 0]) + [0, 0, 0.95]
    mended = walk_on_feet(replace(source, rotations=rotations, root_positions=drift))
    assert np.ptp(mended.root_positions[:, 0]) < 0.1
    np.testing.assert_array_equal(mended.root_positions[:, 2], drift[:, 2])
    fast = replace(source, rotations=rotations, root_positions=10 * drift)
    assert np.ptp(walk_on_feet(fast).root_positions[:, 0]) > 3.9
    whole = body(seed=3, slides=True)
    moved = walk_on_feet(whole)
    shift = moved.root_positions - whole.root_positions
    expected = joint_positions(whole) + shift[:, None]
    np.testing.assert_allclose(joint_positions(moved), expected)
    assert np.abs(shift).max() > 1e-3


def test_both_engines_draw_the_same_clip(scope):
    """numpy and torch, to rounding."""
    index = held_out_clips(scope.store, "walkers", 1)[0]
    lent = middle_motion(scope.store, index, 100)
    ours, theirs = (drawn_motion(tiny_model(engine, prior=PRIOR), lent, 64, 1) for engine in ("numpy", "torch"))
    np.testing.assert_allclose(to_numpy(ours.rotations), to_numpy(theirs.rotations), atol=1e-3)


def test_pictures_are_made_where_they_are_asked_for(data, tmp_path):
    """One a clip, a small copy beside, and the page shows them; drawn clips stand by themselves in the picture."""
    path = write_weights(tmp_path / "tiny.safetensors")
    result = evaluate(path, data, tmp_path, quick=True, report=silent, clips=1, parts=["pictures"])
    assert not result["failed"] and len(result["pictures"]) == 1 and "pictures" not in USUAL_PARTS
    file = result["pictures"][0]["file"]
    assert f"]({file})" in (tmp_path / "report.md").read_text()
    with Image.open(tmp_path / file) as picture:
        assert picture.height == 132 + 7 * 392 + 20  # seven rows
    assert 10_000 < (tmp_path / "small" / "other_1.jpg").stat().st_size <= gallery.SMALL_BYTES
