"""Bodies that walk on the spot stay on the floor, and only they.

python -m pytest tests/plain/test_floor.py
"""

from dataclasses import replace

import numpy as np

from backend.change import Change, changed_positions
from backend.floor import keep_floor, soft_minimum
from backend.motion import Motion, joint_positions
from backend.rotations import rotvec_to_quaternion
from tests.plain.bodies import JOINTS, OFFSETS, PARENTS, skeleton_of

FRAMES, FPS, HEIGHT_M = 60, 30.0, 1.7
LEFT_THIGH, LEFT_SHIN, LEFT_FOOT, RIGHT_THIGH, RIGHT_SHIN, RIGHT_FOOT = range(3, 9)
NOTHING_RESTS = np.zeros((FRAMES, JOINTS), bool)
BUSY = np.ones(FRAMES)


def on_the_spot(bounce_m: float = 0.0) -> Motion:
    """Legs that swing in turn below a body that stays where it is."""
    swing = 0.4 * np.sin(2 * np.pi * np.arange(FRAMES) / FPS)
    turns = np.zeros((FRAMES, JOINTS, 3))
    turns[:, [LEFT_THIGH, LEFT_SHIN, LEFT_FOOT], 0] = swing[:, None]
    turns[:, [RIGHT_THIGH, RIGHT_SHIN, RIGHT_FOOT], 0] = -swing[:, None]
    path = np.zeros((FRAMES, 3))
    path[:, 2] = 0.9 + bounce_m * np.sin(2 * np.pi * np.arange(FRAMES) / 30)
    return Motion(skeleton_of(PARENTS, OFFSETS), FPS, path, rotvec_to_quaternion(turns))


def bent_knees() -> Change:
    """Both knees bend and straighten again: without more the feet leave the floor."""
    rotation = np.zeros((FRAMES, JOINTS, 3), np.float32)
    bend = np.sin(np.pi * np.arange(FRAMES) / (FRAMES - 1))
    rotation[:, [LEFT_THIGH, RIGHT_THIGH], 0] = 0.5 * bend[:, None]
    rotation[:, [LEFT_SHIN, LEFT_FOOT, RIGHT_SHIN, RIGHT_FOOT], 0] = -0.5 * bend[:, None]
    root, slide = np.zeros((FRAMES, 3), np.float32), np.zeros((FRAMES, 0, 3), np.float32)
    return Change(rotation, root, np.zeros(0, np.int32), slide)


def lowest(motion: Motion, change: Change) -> np.ndarray:
    """How high the lowest joint is, `[T]` metres."""
    return changed_positions(PARENTS, joint_positions(motion), change)[..., 2].min(axis=1)


def test_the_lowest_part_stays_as_high_as_the_sources():
    """Within 8 mm where the feet were 8 cm in the air; only up and down, and nothing turns otherwise."""
    motion, change = on_the_spot(), bent_knees()
    source = joint_positions(motion)[..., 2].min(axis=1)
    assert np.abs(lowest(motion, change) - source).max() > 0.08
    kept = keep_floor(motion, change, NOTHING_RESTS, BUSY, HEIGHT_M)
    assert np.abs(lowest(motion, kept) - source).max() < 0.008
    np.testing.assert_array_equal(kept.rotation, change.rotation)
    np.testing.assert_array_equal(kept.root[:, :2], change.root[:, :2])


def test_what_slides_goes_with_the_body():
    """A foot that has a place of its own is lifted as far."""
    motion, change = on_the_spot(), bent_knees()
    change = replace(change, slide_joints=np.array([RIGHT_FOOT], np.int32), slide=np.zeros((FRAMES, 1, 3), np.float32))
    kept = keep_floor(motion, change, NOTHING_RESTS, BUSY, HEIGHT_M)
    assert np.abs(kept.root).max() > 0
    np.testing.assert_allclose(kept.slide[:, 0], kept.root, atol=1e-6)


def test_bodies_without_a_floor_and_bodies_that_rest_are_left_alone():
    """One that goes up and down, one whose feet rest most of the time, rows that must stay, and rows that rest."""
    change = bent_knees()
    assert keep_floor(on_the_spot(bounce_m=0.3), change, NOTHING_RESTS, BUSY, HEIGHT_M) is change
    rests = NOTHING_RESTS.copy()
    rests[:40, LEFT_FOOT] = True
    assert keep_floor(on_the_spot(), change, rests, BUSY, HEIGHT_M) is change
    weight = np.where(np.arange(FRAMES) < 30, 0.0, 1.0)
    kept = keep_floor(on_the_spot(), change, NOTHING_RESTS, weight, HEIGHT_M)
    assert not kept.root[:20].any() and kept.root[40:50].any()
    rests[:] = False
    rests[20:40, LEFT_FOOT] = True
    kept = keep_floor(on_the_spot(), change, rests, BUSY, HEIGHT_M)
    assert not kept.root[24:36].any() and kept.root[10:14].any()


def test_the_soft_minimum_is_below_the_least_and_near_it():
    """By the logarithm of how many are equally low, times its softness."""
    heights = np.array([[0.0, 0.5, 0.6], [0.2, 0.2, 0.9]])
    np.testing.assert_allclose(soft_minimum(heights), [0.0, 0.2 - 0.01 * np.log(2)], atol=1e-9)
