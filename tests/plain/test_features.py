"""Features: what they leave out (names, axes, units, place), what they keep (every pose), the same on both engines.

python -m pytest tests/plain/test_features.py
"""

from dataclasses import replace

import numpy as np
import pytest

from backend.engines import load_engine, to_numpy
from backend.features import (
    IDENTITY_SIXD,
    JOINT_INPUTS,
    JOINT_OUTPUTS,
    ROOT_FEATURES,
    columns,
    heading_angle,
    motion_features,
    pose_from_outputs,
    pose_positions,
    reference_pose,
    smooth_frames,
    source_slides,
    structure_arrays,
)
from backend.motion import joint_positions
from backend.rotations import (
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_matrix,
    rotvec_to_quaternion,
    sixd_to_matrix,
    yaw_to_quaternion,
)
from backend.skeleton import Skeleton
from tests.plain.bodies import JOINTS, PARENTS, body


def features(motion):
    """Joints, root and heading of a motion at the model's rate, in double precision, and what made them."""
    reference = reference_pose(motion)
    structure = structure_arrays(motion.skeleton.parents, reference.offsets, reference.slides)
    joints, root, heading = motion_features(
        motion.rotations,
        motion.root_positions / reference.height_m,
        reference.rotations,
        structure,
        source_slides(motion, reference),
        reference.root_height,
    )
    return joints, root, heading, structure, reference


def moved(motion, turn_rad=0.0, scale=1.0, shift=(0.0, 0.0, 0.0)):
    """The motion with its whole world turned about Z, scaled and shifted."""
    turn = yaw_to_quaternion(np.array(turn_rad))
    rest = motion.skeleton.rest.copy()
    rest[:, :3, :3] = quaternion_to_matrix(turn) @ rest[:, :3, :3]
    rest[:, :3, 3] = scale * quaternion_rotate(turn, rest[:, :3, 3])
    place = lambda points: scale * quaternion_rotate(turn, points) + np.asarray(shift)  # noqa: E731
    return replace(
        motion,
        skeleton=Skeleton(motion.skeleton.parents, rest),
        root_positions=place(motion.root_positions),
        rotations=quaternion_multiply(turn + 0 * motion.rotations, motion.rotations),
        positions=None if motion.positions is None else place(motion.positions),
    )


def rolled(motion, seed=3):
    """The motion of a rig whose bones have other axes: every one turned in itself by a constant."""
    turns = rotvec_to_quaternion(np.random.default_rng(seed).uniform(-2, 2, (JOINTS, 3)))
    rest = motion.skeleton.rest.copy()
    rest[:, :3, :3] = rest[:, :3, :3] @ quaternion_to_matrix(turns)
    rotations = quaternion_multiply(motion.rotations, turns[None] + 0 * motion.rotations)
    return replace(motion, skeleton=Skeleton(motion.skeleton.parents, rest), rotations=rotations)


def assert_same_features(first, second, order=slice(None)):
    """Joints and root agree to 1e-5, with the second's joints put into `order`."""
    for a, b in zip(features(first)[:2], features(second)[:2], strict=True):
        np.testing.assert_allclose(b[:, order] if b.ndim == 3 else b, a, atol=1e-5)


@pytest.mark.parametrize("slides", (False, True))
def test_the_way_a_body_faces_and_where_it_is_do_not_matter(slides):
    """Turned about Z by anything, and moved along the floor."""
    motion = body(slides=slides)
    for turn in (0.3, 1.8, -2.9):
        assert_same_features(motion, moved(motion, turn, shift=(5.0, -3.0, 0.0)))


@pytest.mark.parametrize("scale", (0.01, 100.0))
def test_units_do_not_matter(scale):
    """Centimetres, metres, giants."""
    assert_same_features(body(slides=True), moved(body(slides=True), scale=scale))


def test_the_axes_of_bones_do_not_matter():
    """Every bone rolled by another constant, rest pose alike; a sliding foot too."""
    for slides in (False, True):
        assert_same_features(body(slides=slides), rolled(body(slides=slides)))


def test_the_order_of_joints_does_not_matter():
    """Another order of the same tree has the same rows in that order."""
    motion = body()
    order = np.array([0, 6, 3, 1, 11, 4, 7, 9, 2, 12, 5, 10, 8])
    row_of = np.argsort(order)
    parents = np.where(PARENTS[order] < 0, -1, row_of[PARENTS[order]])
    other = replace(
        motion, skeleton=Skeleton(parents, motion.skeleton.rest[order]), rotations=motion.rotations[:, order]
    )
    assert_same_features(motion, other, row_of)


@pytest.mark.parametrize("slides", (False, True))
def test_features_hold_the_whole_pose(slides):
    """Rotations and positions of every joint come back from a frame's features, the reference and the heading."""
    motion = body(slides=slides)
    joints, root, heading, structure, reference = features(motion)
    turn = yaw_to_quaternion(heading)[:, None]
    matrices = sixd_to_matrix(joints[..., columns(JOINT_INPUTS, "rotation")])
    expected = quaternion_to_matrix(motion.rotations)
    found = quaternion_to_matrix(turn) @ matrices @ quaternion_to_matrix(reference.rotations)
    np.testing.assert_allclose(found, expected, atol=1e-6)

    positions = joint_positions(motion)
    against_root = (positions - positions[:, :1]) / reference.height_m
    slide = joints[..., columns(JOINT_INPUTS, "slide")]
    for local in (joints[..., columns(JOINT_INPUTS, "position")], pose_positions(matrices, slide, structure)):
        np.testing.assert_allclose(quaternion_rotate(turn + np.zeros((1, JOINTS, 1)), local), against_root, atol=1e-6)
    assert reference.slides.any() == slides


def test_the_root_features_hold_the_path():
    """Height, and velocity and turn rate that add up to where the body went and faced."""
    from backend.features import ROOT_SCALE

    motion = body()
    _, root, heading, _, reference = features(motion)
    root = root / np.array(ROOT_SCALE)
    height = root[:, columns(ROOT_FEATURES, "height")][:, 0] + reference.root_height
    np.testing.assert_allclose(height * reference.height_m, motion.root_positions[:, 2], atol=1e-9)
    velocity = np.concatenate((root[:, columns(ROOT_FEATURES, "velocity")], np.zeros((len(root), 1))), axis=1)
    steps = quaternion_rotate(yaw_to_quaternion(heading), velocity)[:-1] * reference.height_m / 30
    np.testing.assert_allclose(
        np.cumsum(steps, axis=0)[:, :2], (motion.root_positions - motion.root_positions[0])[1:, :2], atol=1e-9
    )
    turned = np.cumsum(root[:-1, columns(ROOT_FEATURES, "turn")][:, 0]) / 30
    np.testing.assert_allclose(turned, np.unwrap(heading)[1:] - heading[0], atol=1e-9)


def test_outputs_of_zero_are_the_reference_pose():
    """What the decoder says is measured against the reference, which is the clip's mean pose."""
    *_, structure, reference = features(body())
    outputs = np.zeros((1, 2, JOINTS, sum(JOINT_OUTPUTS.values())))
    batched = {name: array[None] for name, array in structure.items()}
    matrices, slide = pose_from_outputs(outputs, batched)
    np.testing.assert_allclose(matrices, np.broadcast_to(np.eye(3), matrices.shape), atol=1e-12)
    assert len(IDENTITY_SIXD) == JOINT_OUTPUTS["rotation"] and not slide.any()


def test_only_sliding_joints_slide():
    """A slide that the decoder says of a rigid joint is not listened to."""
    *_, structure, _ = features(body(slides=True))
    outputs = np.ones((1, 2, JOINTS, sum(JOINT_OUTPUTS.values())))
    _, slide = pose_from_outputs(outputs, {name: array[None] for name, array in structure.items()})
    assert set(np.flatnonzero(np.abs(slide).max(axis=(0, 1, 3)))) == {5}


def test_a_reference_is_the_mean_pose_whatever_the_body_faces():
    """Turning on the spot by a full circle doesn't smear it: mean changes are nothing."""
    motion = body(seconds=6)
    spin = yaw_to_quaternion(np.linspace(0, 2 * np.pi, motion.frames))[:, None]
    motion = replace(motion, rotations=quaternion_multiply(spin + 0 * motion.rotations, motion.rotations))
    joints, *_ = features(motion)
    matrices = sixd_to_matrix(joints[..., columns(JOINT_INPUTS, "rotation")])
    sine = np.abs(matrices.mean(axis=0) - np.swapaxes(matrices.mean(axis=0), -1, -2)) / 2
    assert sine.max() < 0.02


def test_the_heading_follows_turns_and_not_steps():
    """A full turn in ten seconds is followed to a few degrees; a wobble at walking pace is left to the joints."""
    frames = 300
    turn = np.linspace(0, 2 * np.pi, frames)
    for wobble, most_deg in ((0.0, 3.0), (np.radians(10), 6.0)):
        yaw = turn + wobble * np.sin(2 * np.pi * 2.0 * np.arange(frames) / 30)
        changes = np.repeat(yaw_to_quaternion(yaw)[:, None], 3, axis=1)
        heading = np.unwrap(heading_angle(changes, np.array([0.5, 0.3, 0.2])))
        assert np.degrees(np.abs(heading - turn)[15:-15]).max() < most_deg


def test_smoothing_keeps_constants_and_straight_lines():
    """The weights add up to one and are the same to both sides."""
    line = np.stack((np.full(80, 3.0), np.arange(80.0)), axis=1)
    smooth = smooth_frames(line, 4.0)
    np.testing.assert_allclose(smooth[:, 0], 3.0)
    np.testing.assert_allclose(smooth[15:-15], line[15:-15], atol=1e-9)


@pytest.mark.parametrize("slides", (False, True))
def test_engines_agree_on_features_and_kinematics(slides):
    """numpy and torch to 1e-4, in single precision."""
    pytest.importorskip("torch")
    torch_engine = load_engine("torch")
    motion = body(slides=slides)
    reference = reference_pose(motion)
    structure = structure_arrays(motion.skeleton.parents, reference.offsets, reference.slides)
    arrays = (
        motion.rotations,
        motion.root_positions / reference.height_m,
        reference.rotations,
        source_slides(motion, reference),
    )
    arrays = [array.astype(np.float32) for array in arrays]
    results = []
    for move in (lambda array: array, lambda array: torch_engine.from_numpy(array, "cpu")):
        own = {name: move(array) for name, array in structure.items()}
        rotations, roots, pose, slide = map(move, arrays)
        joints, root, heading = motion_features(rotations, roots, pose, own, slide, reference.root_height)
        matrices = sixd_to_matrix(joints[..., :6])
        results.append([to_numpy(each) for each in (joints, root, heading, pose_positions(matrices, slide, own))])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-4)
