"""Contacts: found on walkers whose steps are planned, kept in variations of them; real clips where they are at hand.

python -m pytest tests/plain/test_contacts.py
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.change import Change, apply_change, changed_positions, scale_change
from backend.contacts import find_contacts, keep_contacts
from backend.features import smooth_frames
from backend.motion import Motion, joint_positions
from backend.reach import Turning, reach_shifts
from backend.rotations import (
    matrix_to_quaternion,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
    yaw_to_quaternion,
)
from backend.skeleton import Skeleton, skeleton_height
from training import metrics
from training.sources import bvh_motion

FORMATS = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats"
REAL_WALKS = ("bvh_zxy_walk01_bvhtoolbox.bvh", "bvh_zyx_120fps_cmu_motionbuilder.bvh")
PELVIS, CHEST, HEAD = 0, 1, 2
LEFT, RIGHT = (3, 4, 5, 6), (7, 8, 9, 10)  # thigh, shin, foot, toe
ARMS = (11, 12, 13, 14)
PARENTS = np.array([-1, 0, 1, 0, 3, 4, 5, 0, 7, 8, 9, 1, 11, 1, 13])
THIGH, SHIN, FOOT = 0.45, 0.45, 0.16
STRIDE_S, STANCE = 1.0, 0.6  # a step of each foot a second, on the floor for this share of it
SPEED = 1.1  # metres a second


def frame_along(direction) -> np.ndarray:
    """Quaternions of bones that point along `direction [T, 3]` and keep their x as sideways as they can."""
    down = -direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    side = np.tile([1.0, 0, 0], (len(down), 1))
    front = np.cross(down, side)
    front /= np.linalg.norm(front, axis=-1, keepdims=True)
    return matrix_to_quaternion(np.stack((np.cross(front, down), front, down), axis=-1))


def walker(fps=30.0, seconds=6.0, in_place=False):
    """A person who walks along y: the motion, and when each foot is planned to stand, `[T, 2]` bool."""
    time = np.arange(int(seconds * fps)) / fps
    root = np.stack((0.02 * np.sin(2 * np.pi * time), SPEED * time, 0.93 + 0.015 * np.cos(4 * np.pi * time)), axis=1)
    rest = np.tile(np.eye(4), (15, 1, 1))
    offsets = np.zeros((15, 3))
    offsets[[1, 2]] = [0, 0, 0.5], [0, 0, 0.25]
    for hip, (thigh, shin, foot, toe) in ((0.1, LEFT), (-0.1, RIGHT)):
        offsets[thigh], offsets[shin], offsets[foot] = [hip, 0, -0.04], [0, 0, -THIGH], [0, 0, -SHIN]
        offsets[toe] = [0, FOOT, -0.07]
    offsets[[11, 12, 13, 14]] = [0.18, 0, 0], [0, 0, -0.55], [-0.18, 0, 0], [0, 0, -0.55]
    for joint in range(1, 15):
        rest[joint, :3, 3] = rest[PARENTS[joint], :3, 3] + offsets[joint]
    rotations = np.tile([1.0, 0, 0, 0], (len(time), 15, 1))
    swing = 0.35 * np.sin(2 * np.pi * time / STRIDE_S)
    for joint, sign in ((11, 1), (12, 1), (13, -1), (14, -1), (CHEST, 0.1)):
        rotations[:, joint] = rotvec_to_quaternion(sign * swing[:, None] * np.array([1.0, 0, 0]))
    stands = np.zeros((len(time), 2), bool)
    for side, (limb, hip, phase) in enumerate(((LEFT, 0.1, 0.0), (RIGHT, -0.1, 0.5))):
        cycle = time / STRIDE_S + phase
        step, share = np.floor(cycle), cycle % 1
        stands[:, side] = share < STANCE
        go = np.clip((share - STANCE) / (1 - STANCE), 0, 1)
        go = go**3 * (10 - 15 * go + 6 * go**2)
        place = SPEED * STRIDE_S * (step - phase + STANCE / 2 + go)
        ankle = np.stack((hip + 0 * place, place, 0.08 + 0.15 * np.sin(np.pi * go) ** 2), axis=1)
        line = ankle - (root + offsets[limb[0]])
        length = np.minimum(np.linalg.norm(line, axis=-1), 0.995 * (THIGH + SHIN))
        bend = np.arccos(0.5 * length / THIGH)  # both bones alike: the knee goes forward
        along = line / np.linalg.norm(line, axis=-1, keepdims=True)
        lift = quaternion_rotate(rotvec_to_quaternion(bend[:, None] * np.array([1.0, 0, 0])), along)
        fall = quaternion_rotate(rotvec_to_quaternion(-bend[:, None] * np.array([1.0, 0, 0])), along)
        rotations[:, limb[0]], rotations[:, limb[1]] = frame_along(lift), frame_along(fall)
        pitch = 0.5 * np.sin(2 * np.pi * go) * np.array([-1.0, 0, 0])[:, None]
        rotations[:, limb[2]] = rotations[:, limb[3]] = rotvec_to_quaternion(pitch.T)
    if in_place:
        root = root * [1, 0, 1]
    return Motion(Skeleton(PARENTS, rest), fps, root, rotations), stands


def noise_change(motion: Motion, degrees=8.0, seed=0, fade=True):
    """A smooth random change of all joints, and how much of it each row takes."""
    generator = np.random.default_rng(seed)
    frames, joints = motion.frames, len(motion.skeleton.parents)
    noise = smooth_frames(generator.normal(size=(frames, joints, 3)), 6 * motion.fps / 30, -3)
    noise *= np.radians(degrees) / np.linalg.norm(noise, axis=-1).mean()
    weight = np.ones(frames)
    if fade:
        distance = np.minimum(np.arange(frames), np.arange(frames)[::-1]) / (0.45 * motion.fps)
        weight = np.clip(distance, 0, 1) ** 2 * (3 - 2 * np.clip(distance, 0, 1))
    rigid = np.zeros(0, int), np.zeros((frames, 0, 3))
    return Change(noise * weight[:, None, None], np.zeros((frames, 3)), *rigid), weight


def feet(contacts) -> np.ndarray:
    """When either joint of each foot rests, `[T, 2]` bool."""
    return np.stack([contacts[:, [limb[2], limb[3]]].any(axis=1) for limb in (LEFT, RIGHT)], axis=1)


def shared(a, b) -> float:
    """What two flags have in common over what either has."""
    return (a & b).sum() / (a | b).sum()


FREE = np.ones(15, bool)
LEVEL = (False, False, True)


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0, 120.0])
def test_the_planned_steps_are_found_at_any_rate(fps):
    """Both feet, within a frame or two, and nothing else of the body."""
    motion, stands = walker(fps)
    contacts = metrics.source_contacts(motion)
    assert shared(feet(contacts), stands) > 0.85
    assert not contacts[:, [PELVIS, CHEST, HEAD, *ARMS, LEFT[0], LEFT[1]]].any()


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_scale_heading_floor_and_order_of_joints_change_nothing(scale):
    """The same contacts of a body in other units, turned, on a floor far up, with its joints listed otherwise."""
    motion, _ = walker()
    height = skeleton_height(motion.skeleton)
    expected = find_contacts(joint_positions(motion), 30.0, height, PARENTS)
    places = quaternion_rotate(yaw_to_quaternion(np.array(1.0)), joint_positions(motion)) * scale
    places = places + np.array([5.0, -3.0, 37.0]) * scale
    order = np.array([0, 7, 3, 1, 8, 4, 2, 9, 5, 13, 11, 10, 6, 14, 12])
    parents = np.where(PARENTS[order] < 0, -1, np.argsort(order)[PARENTS[order]])
    found = find_contacts(places[:, order], 30.0, scale * height, parents)
    np.testing.assert_array_equal(found, expected[:, order])


def test_the_noise_of_capture_does_not_hide_steps():
    """2 mm a frame, which alone is 6 cm/s."""
    motion, stands = walker()
    places = joint_positions(motion)
    places = places + 0.002 * np.random.default_rng(0).normal(size=places.shape)
    assert shared(feet(find_contacts(places, 30.0, skeleton_height(motion.skeleton), PARENTS)), stands) > 0.75


def test_steps_on_the_spot_are_no_contacts():
    """The feet slide under a body that stays."""
    motion, _ = walker(in_place=True)
    assert not metrics.source_contacts(motion).any()


def test_a_body_that_floats_has_no_contacts():
    """All of it drifts and bobs alike; and a fish sways."""
    motion, _ = walker()
    still = replace(motion, rotations=np.repeat(motion.rotations[:1], motion.frames, 0))
    time = np.arange(motion.frames)[:, None] / 30
    drifting = replace(still, root_positions=np.concatenate((0 * time, 0 * time, 0.1 * np.sin(3 * time)), axis=1))
    assert not metrics.source_contacts(drifting).any()
    parents = np.array([-1, 0, 1, 2, 3, 0, 0])
    fish = np.cumsum(np.tile([0, -0.2, 0.0], (7, 1)), axis=0) * np.array([0, 1, 0])
    fish[5:] = [0.1, -0.1, -0.1], [-0.1, -0.1, -0.1]
    sway = np.zeros((90, 7, 3))
    sway[..., 0] = 0.1 * (fish[:, 1] ** 2) * np.sin(6 * np.arange(90) / 30)[:, None]
    sway[:, 5:, 2] = 0.03 * np.sin(4 * np.arange(90) / 30)[:, None]
    assert not find_contacts(fish + sway, 30.0, 0.8 / 1.45, parents).any()


def test_a_foot_that_stands_all_the_time_is_in_contact_all_the_time():
    """An idle: the body sways over feet that stay."""
    motion, _ = walker(seconds=2)
    start = joint_positions(motion)[:1]
    places = np.repeat(start, 60, axis=0)
    sway = 0.02 * np.sin(np.arange(60) / 8)[:, None]
    places[:, [PELVIS, CHEST, HEAD, *ARMS, LEFT[0], RIGHT[0]], 0] += sway
    places[:, [LEFT[1], RIGHT[1]], 0] += 0.5 * sway
    contacts = find_contacts(places, 30.0, skeleton_height(motion.skeleton), PARENTS)
    assert contacts[:, [LEFT[2], LEFT[3], RIGHT[2], RIGHT[3]]].any(axis=1).all()
    assert not contacts[:, ARMS].any()


@pytest.mark.parametrize("move_root", [LEVEL, (True, True, True)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_variation_rests_where_its_source_does(seed, move_root):
    """The goals of the design, at 8 degrees of change on a walk."""
    motion, _ = walker()
    contacts = metrics.source_contacts(motion)
    change, weight = noise_change(motion, seed=seed)
    loose = metrics.variation_figures(motion, apply_change(motion, change), contacts)
    kept = keep_contacts(motion, change, contacts, FREE, weight, move_root)
    row = metrics.variation_figures(motion, apply_change(motion, kept), contacts)
    assert loose["skate_cm_s"] > loose["source_skate_cm_s"] + 10 and loose["contact_overlap"] < 0.5
    assert row["skate_cm_s"] < row["source_skate_cm_s"] + 0.2
    assert row["contact_overlap"] > 0.95
    assert row["jerk_ratio"] < 1.15
    assert row["start_pose_cm"] < 0.01 and row["end_pose_cm"] < 0.01
    assert row["change_deg"] > 0.75 * loose["change_deg"]


def test_feet_rest_at_their_height_and_stay_above_the_floor():
    """Within 3 mm in contact; never deeper than the source's deepest by more than that."""
    motion, _ = walker()
    contacts = metrics.source_contacts(motion)
    change, weight = noise_change(motion, degrees=10.0, seed=5)
    before = joint_positions(motion)[..., 2]
    after = joint_positions(apply_change(motion, keep_contacts(motion, change, contacts, FREE, weight, LEVEL)))[..., 2]
    assert np.abs(after - before)[contacts].max() < 0.003
    ends = [LEFT[2], LEFT[3], RIGHT[2], RIGHT[3]]
    assert after[:, ends].min() > before[:, ends].min() - 0.003
    assert joint_positions(apply_change(motion, change))[:, ends, 2].min() < before[:, ends].min() - 0.02


def test_a_shift_of_the_whole_body_is_kept():
    """A body that walks 20 cm to the left walks there with its feet."""
    motion, _ = walker()
    contacts = metrics.source_contacts(motion)
    change, _ = noise_change(motion, degrees=1e-9)
    change = replace(change, root=np.tile([0.2, 0.0, 0.0], (motion.frames, 1)))
    kept = keep_contacts(motion, change, contacts, FREE)
    moved = joint_positions(apply_change(motion, kept)) - joint_positions(motion)
    np.testing.assert_allclose(moved, np.broadcast_to([0.2, 0.0, 0.0], moved.shape), atol=1e-4)


def test_no_change_stays_no_change():
    """To the last bit that counts: strength 0 is the source."""
    motion, _ = walker()
    contacts = metrics.source_contacts(motion)
    change, weight = noise_change(motion)
    kept = keep_contacts(motion, scale_change(change, 0.0), contacts, FREE, weight)
    assert np.abs(kept.rotation).max() < 1e-6 and np.abs(kept.root).max() < 1e-7


def test_pinned_rows_keep_their_change_bit_for_bit():
    """At both ends and in the middle of the clip, without a jump beside them."""
    motion, _ = walker()
    contacts = metrics.source_contacts(motion)
    change, weight = noise_change(motion)
    weight = weight.copy()
    middle = np.abs(np.arange(motion.frames) - 90) / 14.0
    weight *= np.clip(middle, 0, 1) ** 2 * (3 - 2 * np.clip(middle, 0, 1))
    change = replace(change, rotation=(change.rotation * weight[:, None, None]).astype(np.float32))
    kept = keep_contacts(motion, change, contacts, FREE, weight)
    pinned = weight == 0
    assert pinned[90] and pinned[0] and pinned[-1]
    np.testing.assert_array_equal(kept.rotation[pinned], change.rotation[pinned])
    steps = np.linalg.norm(np.diff(kept.rotation, axis=0), axis=-1).max(axis=1)
    assert steps[[0, 89, 90, -1]].max() < np.radians(1.0)


def test_joints_that_are_not_free_keep_their_local_rotation():
    """One leg is locked: its joints turn with the body and not against it."""
    motion, _ = walker()
    contacts = metrics.source_contacts(motion)
    change, weight = noise_change(motion)
    rotation = change.rotation.copy()
    rotation[:, list(LEFT)] = rotation[:, [PELVIS]]
    change = replace(change, rotation=rotation)
    free = FREE.copy()
    free[list(LEFT)] = False
    kept = keep_contacts(motion, change, contacts, free, weight)
    np.testing.assert_allclose(kept.rotation[:, list(LEFT)], rotation[:, list(LEFT)], atol=1e-6)
    assert np.abs(kept.rotation[:, RIGHT[0]] - rotation[:, RIGHT[0]]).max() > 0.01


def test_the_root_keeps_its_path_if_it_has_to():
    """Only its height helps."""
    motion, _ = walker()
    contacts = metrics.source_contacts(motion)
    change, weight = noise_change(motion)
    kept = keep_contacts(motion, change, contacts, FREE, weight, LEVEL)
    np.testing.assert_array_equal(kept.root[:, :2], 0)
    assert np.abs(kept.root[:, 2]).max() > 1e-3
    assert np.abs(keep_contacts(motion, change, contacts, FREE, weight).root[:, 1]).max() > 1e-3
    fixed = FREE.copy()
    fixed[0] = False
    np.testing.assert_array_equal(keep_contacts(motion, change, contacts, fixed, weight).root, 0)


def test_knees_bend_to_their_own_side():
    """However the change and the floor push them."""
    motion, _ = walker()
    contacts = metrics.source_contacts(motion)
    for seed in range(3):
        change, weight = noise_change(motion, degrees=15.0, seed=seed)
        varied = apply_change(motion, keep_contacts(motion, change, contacts, FREE, weight, LEVEL))
        places = joint_positions(varied)
        for thigh, shin, foot, _ in (LEFT, RIGHT):
            upper, lower = places[:, shin] - places[:, thigh], places[:, foot] - places[:, shin]
            side = quaternion_rotate(varied.rotations[:, thigh], np.array([1.0, 0, 0]))
            bend = np.arctan2((np.cross(upper, lower) * side).sum(axis=-1), (upper * lower).sum(axis=-1))
            assert bend.max() < np.radians(2.0)  # negative: forward


def detached_walker():
    """The walker as game rigs have it: the feet hang on the root and slide; the shins end where they are."""
    motion, _ = walker()
    parents = PARENTS.copy()
    parents[[LEFT[2], RIGHT[2]]] = 0
    return replace(motion, skeleton=Skeleton(parents, motion.skeleton.rest), positions=joint_positions(motion))


def test_detached_feet_are_put_in_place_and_their_legs_follow():
    """The foot slides to its place; the shin still ends in it."""
    motion = detached_walker()
    parents, places = motion.skeleton.parents, joint_positions(motion)
    contacts = metrics.source_contacts(motion)
    change, weight = noise_change(motion)
    joints = np.array([LEFT[2], RIGHT[2]])
    drift = smooth_frames(np.random.default_rng(3).normal(size=(motion.frames, 2, 3)), 8, -3) * weight[:, None, None]
    change = Change(change.rotation, change.root, joints, 0.3 * drift)
    kept = keep_contacts(motion, change, contacts, FREE, weight, LEVEL)

    def gaps(some: Change):
        varied = changed_positions(parents, places, some)
        turns = rotvec_to_quaternion(some.rotation.astype(np.float64))
        ends = [
            varied[:, limb[1]] + quaternion_rotate(turns[:, limb[1]], places[:, limb[2]] - places[:, limb[1]])
            for limb in (LEFT, RIGHT)
        ]
        return np.linalg.norm(np.stack(ends, axis=1) - varied[:, joints], axis=-1)

    row = metrics.variation_figures(motion, apply_change(motion, kept), contacts)
    assert row["skate_cm_s"] < row["source_skate_cm_s"] + 0.2
    assert row["contact_overlap"] > 0.95
    assert gaps(change).max() > 0.05
    assert gaps(kept).max() < 0.01


def test_heading_may_turn_with_the_change():
    """Feet that are turned as a whole keep their turn on the floor."""
    motion, _ = walker()
    contacts = metrics.source_contacts(motion)
    rotation = np.zeros((motion.frames, 15, 3))
    rotation[:, [LEFT[2], LEFT[3]], 2] = np.radians(12)
    change = Change(rotation, np.zeros((motion.frames, 3)), np.zeros(0, int), np.zeros((motion.frames, 0, 3)))
    kept = keep_contacts(motion, change, contacts, FREE)
    stands = feet(contacts)[:, 0]
    assert np.degrees(kept.rotation[stands, LEFT[2], 2]).mean() == pytest.approx(12, abs=1.5)
    row = metrics.variation_figures(motion, apply_change(motion, kept), contacts)
    assert row["skate_cm_s"] < row["source_skate_cm_s"] + 0.2


def test_bones_without_length_break_nothing():
    """A helper in the knee, at the place of the shin; and a leg all of whose bones are points."""
    motion, _ = walker()
    contacts = metrics.source_contacts(motion)
    parents = np.concatenate((PARENTS, [4])).astype(int)
    parents[LEFT[2]] = 15
    order = np.array([0, 1, 2, 3, 4, 15, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
    rest = np.concatenate((motion.skeleton.rest, motion.skeleton.rest[[LEFT[1]]]))[order]
    rotations = np.concatenate((motion.rotations, motion.rotations[:, [LEFT[1]]]), axis=1)[:, order]
    row_of = np.argsort(order)
    parents = np.where(parents[order] < 0, -1, row_of[parents[order]])
    helped = Motion(Skeleton(parents, rest), 30.0, motion.root_positions, rotations)
    found = metrics.source_contacts(helped)
    assert shared(found[:, row_of[:15]], contacts) > 0.99
    change, weight = noise_change(helped)
    kept = keep_contacts(helped, change, found, np.ones(16, bool), weight, LEVEL)
    row = metrics.variation_figures(helped, apply_change(helped, kept), found)
    assert row["skate_cm_s"] < row["source_skate_cm_s"] + 0.3

    points = motion.skeleton.rest.copy()
    points[list(LEFT), :3, 3] = points[LEFT[0], :3, 3]
    flat = replace(motion, skeleton=Skeleton(PARENTS, points))
    change, weight = noise_change(flat)
    kept = keep_contacts(flat, change, contacts, FREE, weight)
    assert np.isfinite(kept.rotation).all() and np.isfinite(kept.root).all()


def test_clips_without_contacts_are_left_alone():
    """The very same change comes back."""
    motion, _ = walker(in_place=True)
    change, weight = noise_change(motion)
    assert keep_contacts(motion, change, np.zeros((motion.frames, 15), bool), FREE, weight) is change


@pytest.mark.skipif(not FORMATS.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize("name", REAL_WALKS)
def test_contacts_of_captured_walks_are_kept(name):
    """Two captured walks, at 24 and at 120 fps."""
    motion = bvh_motion(FORMATS / name)
    contacts = metrics.source_contacts(motion)
    assert 0.6 < contacts.any(axis=1).mean() <= 1
    change, weight = noise_change(motion, degrees=6.0)
    free = np.ones(len(motion.skeleton.parents), bool)
    kept = keep_contacts(motion, change, contacts, free, weight, LEVEL)
    row = metrics.variation_figures(motion, apply_change(motion, kept), contacts)
    assert row["skate_cm_s"] < row["source_skate_cm_s"] + 0.5
    assert row["contact_overlap"] > 0.9
    assert row["jerk_ratio"] < 1.15


def test_a_limbs_own_change_survives_where_nothing_rests():
    """Arms and head are as the change has them, against the chest."""
    motion, _ = walker()
    contacts = metrics.source_contacts(motion)
    change, weight = noise_change(motion)
    kept = keep_contacts(motion, change, contacts, FREE, weight)
    upper = [CHEST, HEAD, *ARMS]
    np.testing.assert_allclose(kept.rotation[:, upper], change.rotation[:, upper], atol=1e-6)
    before, after = (rotvec_to_quaternion(c.rotation[:, LEFT[0]].astype(np.float64)) for c in (change, kept))
    difference = quaternion_to_rotvec(quaternion_multiply(after, quaternion_conjugate(before)))
    assert 0.5 < np.degrees(np.linalg.norm(difference, axis=-1)).max() < 45


def test_a_foot_is_held_as_quickly_as_the_source_moves():
    """A jolt that would be a pop on a calm body is none at a take-off, and the foot stays where it is wanted."""
    rows = np.arange(30)
    bones = np.tile([[0.0, 0.1, -0.4], [0.0, -0.1, -0.4]], (30, 1, 1))
    shifts = np.where(rows[:, None] < 15, 0.0, [0.2, 0.0, 0.0])
    loose = Turning(np.tile(0.1 * np.eye(3), (2, 1, 1)), np.zeros(2, bool), np.zeros((2, 3)), np.zeros(2), np.zeros(2))
    uppers = np.tile([1.0, 0, 0, 0], (30, 2, 1))
    missed = []
    for pace in (0.0, np.radians(600.0)):
        turns = reach_shifts(bones, shifts, loose, uppers, np.ones(2, bool), rows, 30.0, np.full(30, pace))
        reached = quaternion_rotate(turns, bones).sum(axis=1) - bones.sum(axis=1)
        missed.append(np.linalg.norm(reached - shifts, axis=-1).max())
    assert missed[0] > 0.05 and missed[1] < 0.02
