"""Variations by a small random model: the dial, seeds, levels, all that must stay, any rate, length and rig.

python -m pytest tests/plain/test_variation.py
"""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from backend import refinement, variation
from backend.change import apply_change, change_to_arrays, changed_positions
from backend.contacts import find_contacts
from backend.encoding import encode_motion
from backend.errors import Cancelled
from backend.features import heading_angle, smooth_frames, structure_arrays
from backend.limits import MARGIN_RAD, RANGE_SHARE, limit_joints
from backend.motion import joint_positions, slice_motion
from backend.pins import row_weight
from backend.prior import PriorConfig
from backend.rotations import (
    euler_to_quaternion,
    quaternion_angle,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_euler,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
    yaw_to_quaternion,
)
from backend.sampling import evening_gain, new_latents, still_chunks
from backend.skeleton import skeleton_height
from backend.variation import (
    LEVELS,
    VariationSettings,
    vary,
)
from tests.plain.bodies import JOINTS, PARENTS, THREE_LEVELS, body, disguised, tiny_model
from tests.plain.test_contacts import walker
from training import metrics

MODEL = tiny_model(spread=2.0)
PRIOR = PriorConfig(width=32, heads=2, depth=1)
FREE = VariationSettings(keep_ends=False, root_path="FREE")


def quiet(fraction, text):
    """A report that nobody reads."""


def encoded(motion, model=MODEL):
    """The encoding of a motion."""
    return encode_motion(model, motion, quiet)


def varied(motion, settings=None, seed=1, model=MODEL, **more):
    """A change of the motion."""
    return vary(model, encoded(motion, model), settings or VariationSettings(), seed, quiet, **more)


def degrees(change) -> np.ndarray:
    """The angle of each joint's turn, `[T, J]`."""
    return np.degrees(np.linalg.norm(change.rotation, axis=-1))


def nothing(change, rows=slice(None)) -> bool:
    """Whether the change is zero to the last bit in those rows."""
    return not any(array[rows].any() for array in (change.rotation, change.root, change.slide))


def same(first, second) -> bool:
    """Whether two changes are the same to the last bit."""
    a, b = change_to_arrays(first), change_to_arrays(second)
    return all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module", params=("rigid", "slides", "walker"))
def motion(request):
    """Somebody who walks about; the same with a foot that slides off its shin; somebody whose feet rest."""
    if request.param == "walker":
        return walker(seconds=4.0)[0]
    return body(slides=request.param == "slides")


@pytest.mark.parametrize("level", LEVELS)
def test_strength_zero_is_the_source_exactly(motion, level):
    """Not a small change: none, with and without pins, paths and contacts."""
    for settings in (VariationSettings(), FREE):
        change = varied(motion, replace(settings, strength=0.0, level=level))
        assert nothing(change)
        assert change.rotation.shape == motion.rotations.shape[:2] + (3,)


@pytest.mark.parametrize("level", LEVELS)
def test_more_strength_is_more_change(motion, level):
    """In order, and in proportion where no contact is to be kept."""
    encoding = encoded(motion)
    for contacts in (True, False):
        sizes = []
        for strength in (0.125, 0.25, 0.5, 1.0, 2.0):
            settings = VariationSettings(strength=strength, level=level, contacts=contacts)
            sizes.append(degrees(vary(MODEL, encoding, settings, 3, quiet)).mean())
        assert all(a < b for a, b in zip(sizes[:-1], sizes[1:], strict=True))
    assert sizes[1] / sizes[0] == pytest.approx(2, rel=1e-3)


def test_the_same_seed_is_the_same_variation(motion):
    """To the last bit, also after encoding again; another seed is another variation."""
    first = varied(motion, seed=5)
    assert same(first, varied(motion, seed=5))
    other = varied(motion, seed=6)
    assert np.degrees(np.linalg.norm(first.rotation - other.rotation, axis=-1)).mean() > 0.5 * degrees(first).mean()


def test_engines_agree_on_variations(motion):
    """numpy and torch to 0.01 degrees."""
    pytest.importorskip("torch")
    torch_model = tiny_model("torch", spread=2.0)
    for level in LEVELS:
        settings = VariationSettings(level=level)
        here, there = varied(motion, settings), varied(motion, settings, model=torch_model)
        turns = quaternion_angle(rotvec_to_quaternion(here.rotation), rotvec_to_quaternion(there.rotation))
        assert np.degrees(turns).max() < 0.01
        assert np.abs(here.root - there.root).max() < 1e-4


def test_phrases_that_are_drawn_from_the_prior_are_the_same_on_both_engines(motion):
    """To 0.01 degrees, other than shaped noise gives, and the same again for the same seed."""
    pytest.importorskip("torch")
    here, again, there, noise = (
        varied(motion, model=tiny_model(engine, spread=2.0, prior=prior))
        for engine, prior in (("numpy", PRIOR), ("numpy", PRIOR), ("torch", PRIOR), ("numpy", None))
    )
    np.testing.assert_array_equal(here.rotation, again.rotation)
    turns = quaternion_angle(rotvec_to_quaternion(here.rotation), rotvec_to_quaternion(there.rotation))
    assert np.degrees(turns).max() < 0.01
    assert np.abs(here.rotation - noise.rotation).max() > 0.01


def test_chunks_that_must_stay_keep_their_latents():
    """Those without a row that may change; chunks with one are drawn anew."""
    model = tiny_model(spread=2.0, prior=PRIOR)
    encoding = encoded(body(6.0), model)
    weight = row_weight(encoding.motion, VariationSettings(start=encoding.motion.frames // 2))
    held = still_chunks(model, encoding, weight)
    assert held.any() and not held.all() and (np.diff(held.astype(int)) <= 0).all()
    chunks, clip = new_latents(model, encoding, "PHRASES", np.random.default_rng(0), held)
    np.testing.assert_array_equal(chunks[:, held], encoding.latents[0][:, held])
    np.testing.assert_array_equal(clip, encoding.latents[1])
    assert (np.abs(chunks - encoding.latents[0])[:, ~held].max(axis=-1) > 1e-3).all()


def test_drawn_changes_are_evened_out_but_not_made_equal():
    """A calm change is raised and a wild one lowered, by the square root of what they are off, within limits."""
    calm, wild = np.full((10, 3, 3), 0.01), np.full((10, 3, 3), 0.4)
    assert 1 < evening_gain(calm) and evening_gain(wild) < 1
    assert evening_gain(wild) * 0.4 > evening_gain(calm) * 0.01
    assert evening_gain(0 * calm) == evening_gain(calm / 1000)


@pytest.mark.parametrize("root_path", ("KEEP", "FREE"))
@pytest.mark.parametrize("level", LEVELS)
def test_ends_are_kept_exactly(motion, level, root_path):
    """The first and the last row are the source's to the last bit; the rows between are not."""
    change = varied(motion, VariationSettings(level=level, root_path=root_path))
    assert nothing(change, [0, -1])
    assert degrees(change)[20:-20].mean() > 0.1
    free = varied(motion, replace(FREE, level=level, root_path=root_path))
    assert degrees(free)[[0, -1]].mean() > 0.1


@pytest.mark.parametrize("keep_ends", (True, False))
@pytest.mark.parametrize("root_path", ("KEEP", "FREE"))
def test_rows_outside_the_range_stay(motion, keep_ends, root_path):
    """To the last bit, the body's place as well, and the change grows and fades smoothly inside."""
    settings = VariationSettings(keep_ends=keep_ends, root_path=root_path, start=30, stop=90)
    change = varied(motion, settings)
    assert nothing(change, slice(0, 30)) and nothing(change, slice(90, None))
    assert degrees(change)[45:75].mean() > 0.2
    steps = np.abs(np.diff(change.root, axis=0)).max(axis=1)
    assert steps[[29, 30, 88, 89]].max() <= steps.max() * 0.7 + 1e-6


@pytest.mark.parametrize("root_path", ("KEEP", "FREE"))
def test_pinned_rows_stay(motion, root_path):
    """A marked pose in the middle is the source's to the last bit, wherever the body went before."""
    pinned = np.zeros(motion.frames, bool)
    pinned[[40, 41, 80]] = True
    for keep_ends in (True, False):
        settings = VariationSettings(root_path=root_path, keep_ends=keep_ends)
        change = varied(motion, settings, pinned=pinned)
        assert nothing(change, pinned)
        assert degrees(change)[[60, 100]].mean() > 0.1


def test_everything_pinned_or_an_empty_range_is_no_change(motion):
    """All rows marked; a range without rows."""
    assert nothing(varied(motion, pinned=np.ones(motion.frames, bool)))
    assert nothing(varied(motion, VariationSettings(start=50, stop=50)))


def test_the_body_goes_where_it_went(motion):
    """With the root's path kept the root moves up and down alone, and the body faces where it did."""
    encoding = encoded(motion)
    structure = structure_arrays(motion.skeleton.parents, encoding.reference.offsets, encoding.reference.slides)
    away = quaternion_conjugate(encoding.reference.rotations)[None] + 0 * motion.rotations
    headings = {}
    for keep in (True, False):
        settings = VariationSettings(root_path="KEEP" if keep else "FREE", keep_ends=False)
        change = vary(MODEL, encoding, settings, 2, quiet)
        assert (np.abs(change.root[:, :2]).max() == 0) == keep
        paths = [quaternion_multiply(each.rotations, away) for each in (motion, apply_change(motion, change))]
        source, made = (heading_angle(path, structure["weights"]) for path in paths)
        headings[keep] = np.degrees(np.abs(np.angle(np.exp(1j * (made - source)))).max())
    assert headings[True] < 6 and headings[True] < headings[False]


def test_joints_that_are_not_selected_keep_their_pose_against_their_parents(motion):
    """One arm selected: it alone turns; all but the pelvis selected: the body stays where it is."""
    joints = motion.rotations.shape[1]
    chosen = np.zeros(joints, bool)
    chosen[[9, 10]] = True
    change = varied(motion, selected=chosen)
    before, after = (metrics.local_rotations(each) for each in (motion, apply_change(motion, change)))
    turned = np.degrees(quaternion_angle(before, after))
    assert turned[:, ~chosen].max() < 1e-3
    assert turned[:, chosen].mean() > 0.2
    assert not change.root.any()
    below = ~np.isin(motion.skeleton.parents, np.flatnonzero(chosen)) & ~chosen
    moved = np.linalg.norm(
        changed_positions(motion.skeleton.parents, joint_positions(motion), change) - joint_positions(motion), axis=-1
    )
    assert moved[:, below].max() < 1e-5

    for seed in (1, 2):
        upper = np.ones(joints, bool)
        upper[0] = False
        change = varied(motion, seed=seed, selected=upper)
        assert not change.root.any() and np.abs(change.rotation[:, 0]).max() < 1e-9


def low_pass(values, frames=8.0):
    """What of a curve `[T, ...]` is slow."""
    return smooth_frames(values.reshape(len(values), -1), frames).reshape(values.shape)


def test_levels_differ_in_what_they_move():
    """Whole motion leans the same way all along, phrases come and go, detail is quick and nothing else."""
    motion = body(seconds=10.0)
    encoding = encoded(motion)
    shares, slow = {}, {}
    for level in LEVELS:
        change = [
            vary(MODEL, encoding, VariationSettings(level=level, keep_ends=False, contacts=False), seed, quiet)
            for seed in range(4)
        ]
        back = yaw_to_quaternion(-encoding.heading)[:, None]
        local = [quaternion_rotate(back, each.rotation.astype(np.float64)) for each in change]
        size = np.sqrt(np.mean([(each**2).mean() for each in local]))
        shares[level] = np.sqrt(np.mean([((each - each.mean(axis=0)) ** 2).mean() for each in local])) / size
        slow[level] = np.sqrt(np.mean([(low_pass(each) ** 2).mean() for each in local])) / size
    assert shares["WHOLE"] < 0.75 * shares["PHRASES"]
    assert slow["DETAIL"] < 0.3 < 0.7 < slow["PHRASES"]


def test_contacts_stay_where_the_switch_is_on():
    """A walker's feet stand as still as in the source, against sliding without."""
    source = walker(seconds=4.0)[0]
    contacts = find_contacts(
        joint_positions(source), source.fps, skeleton_height(source.skeleton), source.skeleton.parents
    )
    assert contacts.any()
    skates = {}
    for keep in (True, False):
        made = apply_change(source, varied(source, VariationSettings(contacts=keep)))
        skates[keep] = metrics.skate_cm_s(made, contacts)
    still = metrics.skate_cm_s(source, contacts)
    assert skates[True] < still + 0.5 < skates[False]


def test_what_hangs_on_a_sliding_joint_follows_it():
    """A foot that is off its shin in the source moves with the body, and slides by what the model says on top."""
    motion = body(slides=True)
    change = varied(motion, VariationSettings(contacts=False))
    assert list(change.slide_joints) == [5]
    made = apply_change(motion, change)
    positions, before = joint_positions(made), joint_positions(motion)
    np.testing.assert_allclose(positions[:, 5], before[:, 5] + change.slide[:, 0], atol=1e-6)
    lengths = [np.linalg.norm(each[:, 1:] - each[:, PARENTS[1:]], axis=-1) for each in (positions, before)]
    difference = np.abs(lengths[0] - lengths[1]).max(axis=0)
    assert np.delete(difference, 4).max() < 1e-5  # every other bone keeps its length


@pytest.mark.parametrize("fps", (24.0, 60.0, 120.0))
def test_changes_are_smooth_at_any_rate(fps, monkeypatch):
    """Curves without corners: accelerations are those at 30 fps, where a line between frames would have four times."""
    monkeypatch.setattr(variation, "TEMPOS", (1.0,))  # the same band at both rates
    monkeypatch.setattr(refinement, "steps_for", lambda frames: 0)  # and nearly the same latents
    for level in LEVELS:
        settings = replace(FREE, level=level)
        most = {}
        for rate in (30.0, fps):
            change = varied(body(fps=rate), settings).rotation.astype(np.float64)
            most[rate] = np.linalg.norm(np.diff(change, 2, axis=0), axis=-1).max() * rate**2
        assert most[fps] < 1.6 * most[30.0]


def test_a_motion_at_120_fps_has_the_change_of_the_same_at_30():
    """Where both have a frame; the model reads 30 a second of both."""
    settings = VariationSettings(keep_ends=False)
    slow = varied(body(seconds=97 / 30, fps=30.0), settings)
    motion = slice_motion(body(seconds=97 / 30, fps=120.0), 0, 4 * 96 + 1)
    quick = varied(motion, settings)
    difference = quaternion_angle(rotvec_to_quaternion(quick.rotation[::4]), rotvec_to_quaternion(slow.rotation))
    assert np.degrees(difference).max() < 0.3


@pytest.mark.parametrize("frames", (2, 3, 7, 33, 65))
def test_short_clips_vary(frames):
    """Down to two rows; what there is of a free stretch changes, the ends stay."""
    clip = slice_motion(body(), 0, frames)
    change = varied(clip)
    assert change.rotation.shape == (frames, JOINTS, 3)
    assert all(np.isfinite(array).all() for array in change_to_arrays(change).values())
    assert nothing(change, [0, -1])
    assert frames < 7 or degrees(change).max() > 0.05


def test_long_clips_cost_in_proportion():
    """4,100 frames in one go; memory grows with the length and not with its square."""
    peaks = {}
    for frames in (1025, 4100):
        motion = body(seconds=frames / 30)
        tracemalloc.start()
        change = varied(motion)
        peaks[frames] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert change.rotation.shape == (frames, JOINTS, 3) and np.isfinite(change.rotation).all()
        assert degrees(change)[frames // 2 :].mean() > 0.2
    assert peaks[4100] < 4.4 * peaks[1025]


def test_names_order_axes_place_and_units_change_nothing():
    """The same rig with its joints in another order, its bones rolled, in centimetres, turned and elsewhere."""
    motion = body()
    other, row_of, turn, scale = disguised(motion)
    for settings in (VariationSettings(), FREE):
        first, second = varied(motion, settings), varied(other, settings)
        back = quaternion_rotate(quaternion_conjugate(turn), second.rotation[:, row_of].astype(np.float64))
        difference = quaternion_angle(rotvec_to_quaternion(back), rotvec_to_quaternion(first.rotation))
        assert np.degrees(difference).max() < 0.01
        root = quaternion_rotate(quaternion_conjugate(turn), second.root.astype(np.float64)) / scale
        np.testing.assert_allclose(root, first.root, atol=1e-4)


def test_a_third_level_of_the_model_needs_nothing_new():
    """Levels are data: the same calls on a model with three."""
    model = tiny_model(config=THREE_LEVELS, spread=2.0)
    for level in LEVELS:
        change = varied(body(), VariationSettings(level=level), model=model)
        assert degrees(change).mean() > 0.1 and nothing(change, [0, -1])


def test_an_unknown_level_is_an_error():
    """Never taken for another one."""
    with pytest.raises(ValueError, match="SENTENCES"):
        varied(body(), VariationSettings(level="SENTENCES"))


def test_a_report_can_stop_the_work_at_every_step():
    """What the report raises comes out, from encoding and from varying; progress only grows."""
    seen = []
    encoding = encode_motion(MODEL, body(), lambda fraction, text: seen.append(fraction))
    vary(MODEL, encoding, VariationSettings(), 1, lambda fraction, text: seen.append(1 + fraction))
    assert seen == sorted(seen) and len(seen) > 10
    for stop in range(len(seen)):
        count = iter(range(len(seen) + 1))

        def report(fraction, text, stop=stop, count=count):
            if next(count) == stop:
                raise Cancelled

        with pytest.raises(Cancelled):
            vary(MODEL, encode_motion(MODEL, body(), report), VariationSettings(), 1, report)


def test_pins_are_eased_from_and_never_swallow_a_short_clip():
    """The weight is 0 at pins, 1 away from them, without corners; in ten frames it still gets to 1."""
    motion = body()
    pinned = np.zeros(motion.frames, bool)
    pinned[60] = True
    weight = row_weight(motion, VariationSettings(), pinned)
    assert weight[0] == weight[60] == weight[-1] == 0 and weight[30] == weight[90] == 1
    assert np.abs(np.diff(weight, 2)).max() < 0.06
    assert row_weight(slice_motion(motion, 0, 10), VariationSettings()).max() > 0.9
    assert (row_weight(motion, FREE) == 1).all()


def test_a_hinge_stays_one_whichever_way_it_lies():
    """A joint that only turns about one slanting axis is hardly turned about others, but freely about its own."""
    motion = body()
    hinge, across = np.array([0.6, 0.8, 0.0]), np.array([-0.8, 0.6, 0.0])
    frames, axes = motion.frames, np.tile([1.0, 0, 0, 0], (JOINTS, 1))
    bend = rotvec_to_quaternion(np.radians(30) * np.sin(np.arange(frames) / 8)[:, None] * hinge)
    rotations = np.tile([1.0, 0, 0, 0], (frames, JOINTS, 1))
    rotations[:, 10] = bend
    motion = replace(motion, rotations=rotations, positions=None)
    heading = np.tile([1.0, 0, 0, 0], (frames, 1))
    turn = np.zeros((frames, JOINTS, 3))

    def held_deg(axis):
        turn[:, 10] = np.radians(5) * axis
        return np.degrees(np.linalg.norm(limit_joints(motion, turn, axes, heading)[:, 10], axis=-1).max())

    assert held_deg(across) < 0.5
    assert held_deg(hinge) > 4


def test_a_joint_with_two_axes_gets_no_third_one():
    """Keyed about X and Z as Euler angles, it can be read so afterwards; what never turned doesn't turn."""
    motion = body()
    frames, axes = np.arange(motion.frames), np.tile([1.0, 0, 0, 0], (JOINTS, 1))
    heading = np.tile([1.0, 0, 0, 0], (motion.frames, 1))
    x, z = np.radians(25) * np.sin(frames / 7), np.radians(30) * np.cos(frames / 11)
    rotations = np.tile([1.0, 0, 0, 0], (motion.frames, JOINTS, 1))
    rotations[:, 10] = euler_to_quaternion(np.stack((x, 0 * x, z), axis=-1), "XYZ")
    motion = replace(motion, rotations=rotations, positions=None)
    turn = np.zeros((motion.frames, JOINTS, 3))
    turn[:, [2, 10]] = np.radians(6) * np.sin(frames / 9)[:, None, None] * np.ones(3)
    held = limit_joints(motion, turn, axes, heading)
    after = quaternion_multiply(rotvec_to_quaternion(held), motion.rotations)
    angles = np.degrees(quaternion_to_euler(after[:, 10], "XYZ"))
    assert np.abs(angles[:, 1]).max() < 1  # the turn that was asked for is 6 degrees about each axis
    assert np.abs(angles[:, 0] - np.degrees(x)).max() > 3
    assert np.degrees(np.abs(held[:, 2])).max() < 1e-3


def test_joints_stay_near_the_range_that_the_clip_shows():
    """A turn inside it is left alone; one far outside ends near it; children keep their own turn."""
    motion = body()
    local = metrics.local_rotations(motion)
    middle = local[len(local) // 2]
    axes = np.tile([1.0, 0, 0, 0], (JOINTS, 1))
    own = quaternion_to_rotvec(quaternion_multiply(quaternion_conjugate(middle)[None] + 0 * local, local))
    small = 1e-4 * np.ones((motion.frames, JOINTS, 3))
    heading = np.tile([1.0, 0, 0, 0], (motion.frames, 1))
    np.testing.assert_allclose(limit_joints(motion, small, axes, heading), small, atol=1e-4)
    bent = np.zeros((motion.frames, JOINTS, 3))
    bent[:, 10] = quaternion_rotate(motion.rotations[:, 9], np.array([0.0, 0.0, 1.2]))  # the forearm alone
    held = limit_joints(motion, bent, axes, heading)
    rotations = quaternion_multiply(rotvec_to_quaternion(held), motion.rotations)
    after = metrics.local_rotations(replace(motion, rotations=rotations))
    turned = quaternion_to_rotvec(quaternion_multiply(quaternion_conjugate(middle)[None] + 0 * after, after))
    # In whatever axes the box lies, it reaches no farther than the longest way through it and the margins.
    way = np.linalg.norm(np.ptp(own[:, 10], axis=0))
    assert np.linalg.norm(turned[:, 10] - own[:, 10], axis=-1).max() < (1 + RANGE_SHARE) * way + 2 * MARGIN_RAD
    assert np.abs(held).max() < 1.2
    assert np.degrees(quaternion_angle(after, local))[:, :10].max() < 1e-3
