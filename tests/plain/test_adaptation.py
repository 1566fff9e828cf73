"""What is learnt of a character: known again by its joints, kept in a file, refused for other weights, learnt for real.

python -m pytest tests/plain/test_adaptation.py
"""

from dataclasses import replace

import numpy as np
import pytest

from backend.adapt import Effort, adapt
from backend.adapt_clips import FEWEST_CHUNKS, joint_table, split_clips
from backend.adaptation import (
    Adaptation,
    adapted_model,
    joint_marks,
    knows,
    load_adaptation,
    match_joints,
    save_adaptation,
    weights_digest,
)
from backend.characters import Characters, describe
from backend.encoding import encode_motion, reconstruction_figures
from backend.errors import Cancelled, UserError
from backend.features import JOINT_INPUT_SIZE, JOINT_OUTPUT_SIZE
from backend.rotations import quaternion_to_matrix, rotvec_to_quaternion
from backend.skeleton import Skeleton, skeleton_height
from tests.plain.bodies import JOINTS, PARENTS, TWO_LEVELS, body, tiny_model

WIDTH = TWO_LEVELS.width


def silent(fraction, text):
    """Nobody looks."""


def scrambled(seed=0) -> Skeleton:
    """The test's body with bone axes of its own, as rigs have them."""
    skeleton = body(0.5).skeleton
    turns = np.random.default_rng(seed).normal(0, 1, (JOINTS, 3))
    rest = skeleton.rest.copy()
    rest[:, :3, :3] = quaternion_to_matrix(rotvec_to_quaternion(turns))
    return Skeleton(skeleton.parents, rest)


def part_of(skeleton: Skeleton, kept) -> Skeleton:
    """The joints `kept`, whose parents are among them or left out."""
    rows = {joint: row for row, joint in enumerate(kept)}
    parents = []
    for joint in kept:
        parent = skeleton.parents[joint]
        while parent >= 0 and parent not in rows:
            parent = skeleton.parents[parent]
        parents.append(-1 if parent < 0 else rows[parent])
    return Skeleton(np.array(parents), skeleton.rest[list(kept)])


def random_adaptation(model, skeleton: Skeleton, size=0.05, rank=2) -> Adaptation:
    """Differences of about `size`, in which nothing is zero."""
    rng, joints = np.random.default_rng(3), len(skeleton.parents)
    shapes = {
        "input": (joints, JOINT_INPUT_SIZE, WIDTH),
        "output": (joints, JOINT_OUTPUT_SIZE, WIDTH),
        "bias": (joints, JOINT_OUTPUT_SIZE),
        "token": (WIDTH,),
    }
    adapters = {name: (size * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    factors = [(size * rng.standard_normal(shape)).astype(np.float32) for shape in ((rank, WIDTH), (WIDTH, rank))]
    trunk = {"decoder.0.blocks.0.attention_out": tuple(factors)}
    facts = {"before": 0.05, "after": 0.02}
    height_m = skeleton_height(skeleton)
    return Adaptation(joint_marks(skeleton), height_m, adapters, trunk, weights_digest(model.parameters), facts)


@pytest.mark.parametrize("make", [scrambled, lambda: body(0.5).skeleton], ids=["a rig", "a capture"])
def test_joints_are_known_again_wherever_the_object_stands(make):
    """Moved, turned and scaled as a whole; every joint finds its own row."""
    skeleton = make()
    marks, height_m = joint_marks(skeleton), skeleton_height(skeleton)
    turn = np.eye(4)
    turn[:3, :3] = quaternion_to_matrix(rotvec_to_quaternion(np.array([0.3, -1.0, 2.0])))
    rest = turn @ skeleton.rest
    rest[:, :3, 3] = 2.5 * rest[:, :3, 3] + [3, 4, 5]
    rows, off = match_joints(marks, height_m, Skeleton(skeleton.parents, rest))
    assert rows.tolist() == list(range(JOINTS)) and off.max() < 1e-6 and knows(rows, off)


def test_joints_are_known_again_when_others_are_left_out_or_come_in_another_order():
    """Another action of the same armature moves other bones."""
    skeleton = scrambled()
    kept = [0, 6, 7, 8, 3, 5, 1, 11]
    rows, off = match_joints(joint_marks(skeleton), skeleton_height(skeleton), part_of(skeleton, kept))
    assert rows.tolist() == kept and knows(rows, off)


def test_another_character_is_not_taken_for_it():
    """Other bone axes, other proportions, a rig of which hardly a part is the same."""
    skeleton = scrambled()
    marks, height_m = joint_marks(skeleton), skeleton_height(skeleton)
    assert not knows(*match_joints(marks, height_m, scrambled(seed=1)))
    rest = body(0.5).skeleton.rest.copy()
    rest[:, :3, 3] *= [1.0, 1.0, 0.6]
    capture = body(0.5).skeleton
    squat = Skeleton(capture.parents, rest)
    assert not knows(*match_joints(joint_marks(capture), skeleton_height(capture), squat))
    assert not knows(*match_joints(marks, height_m, part_of(skeleton, [0])))


def test_clips_that_move_different_joints_share_one_table():
    """Every joint has one row, whichever clip moves it; other characters are refused."""
    skeleton = scrambled()
    first, second = [0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 1, 9, 10, 3, 11, 12]
    marks, _, rows = joint_table([part_of(skeleton, first), part_of(skeleton, second)])
    assert len(marks) == JOINTS and rows[0].tolist() == list(range(9))
    own = joint_marks(skeleton)
    for table, kept in zip(rows, (first, second), strict=True):
        np.testing.assert_allclose(marks[table], own[kept], atol=1e-9)
    with pytest.raises(UserError, match="different characters"):
        joint_table([skeleton, scrambled(seed=1)])


def test_what_is_held_out_is_never_learnt_from():
    """Whole clips where there are four or more, else pieces; both parts have something, and nothing is lost."""
    for chunks in ([9], [6, 1], [20, 3, 5], [2, 3, 1, 4, 2], [1] * 17):
        splits = split_clips(chunks, 32)
        for count, (learnt, held) in zip(chunks, splits, strict=True):
            covered = sorted((*learnt, *held))
            assert covered[0][0] == 0 and covered[-1][1] == 32 * count
            assert all(one[1] == next_one[0] for one, next_one in zip(covered, covered[1:], strict=False))
        held = sum(b - a for _, parts in splits for a, b in parts)
        assert 0.05 < held / (32 * sum(chunks)) < 0.5
        if len(chunks) >= 4:
            assert all(not (learnt and held) for learnt, held in splits)
    with pytest.raises(UserError, match="Choose more actions"):
        split_clips([FEWEST_CHUNKS - 1], 32)


def test_a_file_keeps_what_was_learnt(tmp_path):
    """To the precision of its numbers; the same character's next file takes its place."""
    model, skeleton = tiny_model(), scrambled()
    learnt = random_adaptation(model, skeleton)
    path = save_adaptation(tmp_path / "new" / "folder", learnt)
    again = load_adaptation(path)
    for name, value in learnt.adapters.items():
        np.testing.assert_allclose(again.adapters[name], value, rtol=1e-3, atol=1e-6)
    for mine, other in zip(again.trunk.values(), learnt.trunk.values(), strict=True):
        np.testing.assert_allclose(mine[1] @ mine[0], other[1] @ other[0], rtol=1e-2, atol=1e-4)
    assert (again.weights, again.facts) == (learnt.weights, learnt.facts)
    fewer = part_of(skeleton, range(JOINTS - 1))
    cut = {name: value if name == "token" else value[:-1] for name, value in learnt.adapters.items()}
    other = save_adaptation(path.parent, replace(learnt, marks=joint_marks(fewer), adapters=cut))
    assert other != path and list(path.parent.iterdir()) == [other]


def test_the_model_uses_it_for_that_character_alone(tmp_path):
    """With the file other figures come out, for the motion of another character the same ones."""
    model, motion = tiny_model(), body(3.0)
    characters = Characters(tmp_path)
    assert characters.find(model, motion.skeleton) is None and describe(None) is None
    before = reconstruction_figures(encode_motion(model, motion, silent))
    characters.save(random_adaptation(model, motion.skeleton))
    found = characters.find(model, motion.skeleton)
    adapted = characters.model_with(model, found)
    assert reconstruction_figures(encode_motion(adapted, motion, silent))["joint_mm"] != before["joint_mm"]
    assert describe(found) == {"file": found.path.name, "problem": "", "used": True, "before": 0.05, "after": 0.02}
    assert characters.find(model, scrambled()) is None
    assert characters.model_with(model, None) is model


def test_a_part_of_the_body_gets_its_own_rows():
    """What is added to the joints of a clip is what the file has for these joints."""
    from backend.adaptation import adapted_adapters

    model, skeleton = tiny_model(), scrambled()
    learnt = random_adaptation(model, skeleton)
    kept = [0, 3, 4, 5, 9]
    joints = len(kept)
    none = {
        "input": np.zeros((1, joints * JOINT_INPUT_SIZE, WIDTH), np.float32),
        "output": np.zeros((1, WIDTH, joints * JOINT_OUTPUT_SIZE), np.float32),
        "bias": np.zeros((1, joints * JOINT_OUTPUT_SIZE), np.float32),
        "token": np.zeros((1, WIDTH), np.float32),
        "reference": np.zeros((1, joints, JOINT_INPUT_SIZE), np.float32),
    }
    added = adapted_adapters(learnt, none, part_of(skeleton, kept))
    np.testing.assert_array_equal(added["input"][0].reshape(joints, -1, WIDTH), learnt.adapters["input"][kept])
    np.testing.assert_array_equal(added["output"][0].T.reshape(joints, -1, WIDTH), learnt.adapters["output"][kept])
    np.testing.assert_array_equal(added["bias"][0].reshape(joints, -1), learnt.adapters["bias"][kept])
    np.testing.assert_array_equal(added["token"][0], learnt.adapters["token"])


def test_files_for_other_weights_and_broken_ones_are_refused_with_a_sentence(tmp_path):
    """And the model is used as it ships."""
    model, motion = tiny_model(), body(1.5)
    path = save_adaptation(tmp_path, random_adaptation(tiny_model(seed=5), motion.skeleton))
    found = Characters(tmp_path).find(model, motion.skeleton)
    assert found.adaptation is None and "other weights" in found.problem and "Adapt again" in found.problem
    assert Characters(tmp_path).model_with(model, found) is model
    good = random_adaptation(model, motion.skeleton)
    width = {name: value[..., :-1] for name, value in good.adapters.items()}
    save_adaptation(tmp_path, replace(good, adapters=good.adapters | {"token": width["token"]}))
    assert Characters(tmp_path).find(model, motion.skeleton).adaptation is None
    path.write_bytes(path.read_bytes()[:-7])
    found = Characters(tmp_path).find(model, motion.skeleton)
    assert found.adaptation is None and path.name in found.problem and "can't be read" in found.problem
    save_adaptation(tmp_path, good)
    assert Characters(tmp_path).find(model, motion.skeleton).adaptation is not None


def test_numpy_says_why_it_cannot_learn():
    """And what to do."""
    with pytest.raises(UserError, match="Choose the PyTorch engine"):
        adapt(tiny_model(), [body(8.0)], silent)


def test_learning_helps_on_motion_that_was_held_out():
    """On a model that knows nothing there is much to learn; numpy uses what torch learnt, with the same figures."""
    pytest.importorskip("torch")
    model = tiny_model("torch")
    motions = [body(3.0, seed=seed) for seed in range(5)]
    fractions = []
    learnt = adapt(
        model, motions, lambda fraction, text: fractions.append(fraction), Effort(600.0, most_steps=24, rate=0.2)
    )
    assert learnt.facts["after"] < 0.97 * learnt.facts["before"]
    assert fractions == sorted(fractions) and fractions[-1] <= 1
    other = body(3.0, seed=9)
    figures = {}
    for engine in ("numpy", "torch"):
        plain = tiny_model(engine)
        assert weights_digest(plain.parameters) == learnt.weights
        for name, used in (("plain", plain), ("adapted", adapted_model(plain, learnt))):
            figures[engine, name] = reconstruction_figures(encode_motion(used, other, silent))["joint_mm"]
    assert figures["torch", "adapted"] < figures["torch", "plain"]
    for name in ("plain", "adapted"):
        assert figures["numpy", name] == pytest.approx(figures["torch", name], rel=1e-3)


def test_where_nothing_is_learnt_nothing_is_kept():
    """A rate so small that nothing comes of it ends in a sentence."""
    pytest.importorskip("torch")
    with pytest.raises(UserError, match="didn't help"):
        adapt(tiny_model("torch"), [body(8.0)], silent, Effort(most_steps=5, rate=1e-9))


def test_learning_stops_when_it_is_cancelled():
    """At the next step."""
    pytest.importorskip("torch")
    calls = []

    def report(fraction, text):
        calls.append(fraction)
        if fraction > 0.2:
            raise Cancelled

    with pytest.raises(Cancelled):
        adapt(tiny_model("torch"), [body(8.0)], report, Effort(most_steps=100))
    assert calls[-1] < 0.4


def test_the_table_of_a_body_is_its_own():
    """A capture, whose bones all have the same axes, keeps its joints apart by their places."""
    skeleton = body(0.5).skeleton
    _, _, rows = joint_table([skeleton, part_of(skeleton, [0, 3, 4, 6, 7, 9])])
    assert rows[1].tolist() == [0, 3, 4, 6, 7, 9] and len(PARENTS) == JOINTS
