"""Skeletons: kinematics against a plain loop, heights that no pose or scale changes, and the choice of joints.

python -m pytest tests/plain/test_skeleton.py
"""

import numpy as np
import pytest

from backend import skeleton as sk
from backend.features import pose_positions, structure_arrays
from backend.rotations import (
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_matrix,
    rotvec_to_quaternion,
    yaw_to_quaternion,
)

# pelvis, spine, head, left thigh, shin, foot, right thigh, shin, foot, left arm, forearm, right arm, forearm
PARENTS = np.array([-1, 0, 1, 0, 3, 4, 0, 6, 7, 1, 9, 1, 11])
OFFSETS = np.array(
    [
        [0, 0, 0.95], [0, 0, 0.5], [0, 0, 0.25],
        [0.1, 0, -0.05], [0, 0, -0.42], [0, 0, -0.42], [-0.1, 0, -0.05], [0, 0, -0.42], [0, 0, -0.42],
        [0.18, 0, 0], [0.28, 0, 0], [-0.18, 0, 0], [-0.28, 0, 0],
    ]
)  # fmt: skip


def random_turns(shape, degrees, seed=0):
    """Quaternions of about that many degrees about random axes."""
    v = np.random.default_rng(seed).normal(size=(*shape, 3))
    return rotvec_to_quaternion(np.radians(degrees) * v / np.sqrt(3))


def posed(parents, offsets, local, root=0.0):
    """World rotations and positions by a loop over the bones: the judge of everything below."""
    rotations, positions = np.zeros_like(local), np.zeros((*local.shape[:2], 3))
    for joint, parent in enumerate(parents):
        if parent < 0:
            rotations[:, joint], positions[:, joint] = local[:, joint], offsets[joint] + root
        else:
            rotations[:, joint] = quaternion_multiply(rotations[:, parent], local[:, joint])
            positions[:, joint] = positions[:, parent] + quaternion_rotate(rotations[:, parent], offsets[joint])
    return rotations, positions


def rest_skeleton(parents, offsets):
    """A skeleton whose rest pose has no turned bones."""
    rest = np.tile(np.eye(4), (len(parents), 1, 1))
    for joint, parent in enumerate(parents):
        rest[joint, :3, 3] = offsets[joint] + (rest[parent, :3, 3] if parent >= 0 else 0)
    return sk.Skeleton(np.asarray(parents), rest)


def test_rigid_positions_are_those_of_a_loop_over_the_bones():
    """One matrix product against joint after joint."""
    rotations, positions = posed(PARENTS, OFFSETS, random_turns((9, 13), 40))
    found = sk.rigid_positions(rest_skeleton(PARENTS, OFFSETS), positions[:, 0], rotations)
    np.testing.assert_allclose(found, positions, atol=1e-12)


def test_a_turned_rest_pose_changes_nothing():
    """Bone rolls and a rest pose along odd axes drop out."""
    rotations, positions = posed(PARENTS, OFFSETS, random_turns((5, 13), 30))
    skeleton = rest_skeleton(PARENTS, OFFSETS)
    roll = random_turns((13,), 90, 3)
    rest = skeleton.rest.copy()
    rest[:, :3, :3] = quaternion_to_matrix(roll)
    found = sk.rigid_positions(sk.Skeleton(PARENTS, rest), positions[:, 0], quaternion_multiply(rotations, roll))
    np.testing.assert_allclose(found, positions, atol=1e-12)


def test_forward_kinematics_takes_world_changes():
    """Against the loop, from a reference pose that is itself turned, with a joint that slides."""
    reference, places = posed(PARENTS, OFFSETS, random_turns((1, 13), 50, 1))
    changes = random_turns((7, 13), 30, 2)
    offsets = places[0] - places[0, sk.parent_rows(PARENTS)]
    offsets[0] = 0
    slides = np.zeros((7, 13, 3))
    slides[:, 5] = np.random.default_rng(4).normal(size=(7, 3))
    structure = structure_arrays(PARENTS, offsets, np.zeros(13))
    found = pose_positions(quaternion_to_matrix(changes), slides, structure)
    expected = np.zeros((7, 13, 3))
    for joint in range(1, 13):
        parent = PARENTS[joint]
        step = quaternion_rotate(changes[:, parent], np.tile(offsets[joint], (7, 1))) + slides[:, joint]
        expected[:, joint] = expected[:, parent] + step
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_height_is_about_that_of_a_person_and_follows_the_scale():
    """1.75 m from sole to crown here; the pose isn't asked for, only lengths."""
    height = sk.tree_height(PARENTS, OFFSETS)
    assert 1.3 < height < 1.8
    assert sk.tree_height(PARENTS, 100 * OFFSETS) == pytest.approx(100 * height)
    turned = quaternion_rotate(random_turns((13,), 90, 5), OFFSETS)
    assert sk.tree_height(PARENTS, turned) == pytest.approx(height)
    assert sk.skeleton_height(rest_skeleton(PARENTS, OFFSETS)) == pytest.approx(height)


def test_leaf_distances_and_depths():
    """Counted by hand."""
    lengths = np.linalg.norm(OFFSETS, axis=-1)
    far = sk.leaf_distances(PARENTS, lengths)
    assert far[5] == 0 and far[3] == pytest.approx(0.84) and far[1] == pytest.approx(0.46)
    np.testing.assert_array_equal(sk.tree_depths(PARENTS), [0, 1, 2, 1, 2, 3, 1, 2, 3, 2, 3, 2, 3])


def test_relations_of_joints_are_all_told_apart():
    """From the row to the column."""
    names = np.array(sk.RELATIONS)[sk.joint_relations(PARENTS)]
    assert names[4, 4] == "self" and names[4, 3] == "parent" and names[3, 4] == "child"
    assert names[5, 0] == "ancestor" and names[0, 5] == "descendant" and names[3, 6] == "sibling"
    assert names[5, 8] == "other" and names[1, 3] == "sibling"


def test_facts_are_finite_and_as_wide_as_told():
    """One column set a joint, none of them depends on the order in the list."""
    facts = sk.skeleton_facts(PARENTS, OFFSETS, np.zeros(13, bool))
    assert facts.shape == (13, sk.FACTS_SIZE) and np.isfinite(facts).all()
    order = np.array([0, 3, 6, 1, 4, 7, 5, 8, 2, 9, 11, 10, 12])
    row_of = np.argsort(order)
    parents = np.where(PARENTS[order] < 0, -1, row_of[PARENTS[order]])
    np.testing.assert_allclose(sk.skeleton_facts(parents, OFFSETS[order], np.zeros(13, bool)), facts[order], atol=1e-6)


def moving_rig(extra=()):
    """A walking body on a still root bone, `extra` bones (parent, offset, turns) hung on: what `choose_joints` takes.

    Bone 0 is the still root; the body's joints are bones 1 to 13.
    """
    parents = np.concatenate(([-1], PARENTS + 1, [p for p, _, _ in extra])).astype(int)
    offsets = np.concatenate((np.zeros((1, 3)), OFFSETS, [o for _, o, _ in extra] or np.zeros((0, 3))))
    frames = 40
    wave = np.sin(np.linspace(0, 12, frames))[:, None] * np.linspace(0.2, 0.6, 14)
    v = np.zeros((frames, len(parents), 3))
    v[:, 1:14, 0] = wave[:, 1:]
    for index, (_, _, turns) in enumerate(extra):
        v[:, 14 + index, 1] = turns * np.sin(np.linspace(0, 9, frames))
    rotations, positions = posed(parents, offsets, rotvec_to_quaternion(v))
    return parents, rotations, positions, np.ones(len(parents), bool)


def test_the_bodys_root_is_where_the_limbs_meet_not_the_first_bone():
    """A still bone at the ground above it is left out."""
    choice = sk.choose_joints(*moving_rig())
    assert choice.bones[0] == 1 and choice.parents[0] == -1
    assert 0 not in choice.bones and choice.followers[0] == -1
    assert sorted(choice.bones) == list(range(1, 14))


def test_still_helpers_follow_and_far_tips_stay():
    """A still bone in the shin follows it; a still toe shows where the foot ends; a speck at the hand doesn't count."""
    extra = [(5, [0.0, 0.0, -0.2], 0.0), (6, [0.0, -0.2, 0.0], 0.0), (11, [0.0, 0.0, 0.001], 0.0)]
    choice = sk.choose_joints(*moving_rig(extra))
    row = {int(bone): index for index, bone in enumerate(choice.bones)}
    assert 14 not in row and choice.followers[14] == row[5]
    assert 15 in row and choice.parents[row[15]] == row[6]
    assert 16 not in row and choice.followers[16] == row[11]


def test_parents_come_before_children():
    """Whatever the order of the rig's bones."""
    choice = sk.choose_joints(*moving_rig([(2, [0, 0.1, 0], 0.5), (14, [0, 0.2, 0], 0.5)]))
    assert all(parent < row for row, parent in enumerate(choice.parents))
    assert choice.parents[0] == -1 and (choice.parents[1:] >= 0).all()


def test_the_choice_does_not_depend_on_the_order_of_bones():
    """The same bones, however the rig lists them."""
    parents, rotations, positions, candidates = moving_rig([(6, [0.0, -0.2, 0.0], 0.0)])
    choice = sk.choose_joints(parents, rotations, positions, candidates)
    order = np.array([0, 1, 7, 4, 2, 8, 5, 9, 6, 3, 12, 10, 13, 11, 14])
    row_of = np.argsort(order)
    shuffled = np.where(parents[order] < 0, -1, row_of[parents[order]])
    other = sk.choose_joints(shuffled, rotations[:, order], positions[:, order], candidates)

    def edges(bones, parents):
        above = np.where(parents >= 0, bones[parents], -1)
        return set(zip(bones.tolist(), above.tolist(), strict=True))

    assert edges(choice.bones, choice.parents) == edges(order[other.bones], other.parents)


def test_a_detached_foot_belongs_to_the_body_and_slides():
    """Hung on the root bone beside the body, as game rigs have it."""
    parents, rotations, positions, candidates = moving_rig([(0, [0.1, 0, 0.05], 0.4)])
    positions[:, 14, 1] += 0.3 * np.sin(np.linspace(0, 12, 40))
    choice = sk.choose_joints(parents, rotations, positions, candidates)
    row = list(choice.bones).index(14)
    assert choice.parents[row] == 0


def test_nothing_that_moves_is_a_clear_error():
    """A pose is no motion."""
    parents, rotations, positions, candidates = moving_rig()
    with pytest.raises(ValueError, match="None of the 14 bones .* moves"):
        sk.choose_joints(parents, np.repeat(rotations[:1], 5, 0), np.repeat(positions[:1], 5, 0), candidates)


def test_too_many_joints_is_a_clear_error():
    """It says how many and what to do."""
    extra = [(2, [0.0, 0.01 * k, 0.1], 0.5) for k in range(sk.MAX_JOINTS)]
    with pytest.raises(ValueError, match=r"269 bones move; the model takes up to 256\..*select"):
        sk.choose_joints(*moving_rig(extra))


def test_turning_the_whole_animation_chooses_the_same_joints():
    """Heading and place say nothing about which bones are joints."""
    parents, rotations, positions, candidates = moving_rig([(6, [0.0, -0.2, 0.0], 0.0)])
    turn = yaw_to_quaternion(np.array(2.0))
    choice = sk.choose_joints(parents, rotations, positions, candidates)
    moved = quaternion_rotate(turn, positions) + np.array([30.0, -5.0, 2.0])
    other = sk.choose_joints(parents, quaternion_multiply(turn[None, None], rotations), moved, candidates)
    np.testing.assert_array_equal(choice.bones, other.bones)
    np.testing.assert_array_equal(choice.followers, other.followers)
