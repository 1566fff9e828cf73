"""Adapting to a character: offered where the model errs, refused in words on NumPy, learnt for real with PyTorch."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.blender.stage import add_armature, add_walk, contents, module, walker


@pytest.fixture
def folder(extension, tmp_path):
    """The folder of what was learnt; the preferences are as at first afterwards."""
    chosen = module("preferences").preferences()
    chosen.characters_path = str(tmp_path)
    yield tmp_path
    chosen.characters_path, chosen.engine, chosen.python_path = "", "NUMPY", ""


def learn_something(folder, armature, helps=True) -> Path:
    """A file for the armature's own skeleton and the weights that ship: what the decoder is off by on average, or noise
    that helps nobody."""
    adaptation, encoding, timeline = (module(name) for name in ("backend.adaptation", "backend.encoding", "timeline"))
    checkpoint = Path(module("backend").__file__).parent / "checkpoints" / "motion_variations.safetensors"
    model = encoding.load_model(checkpoint, "numpy")
    motion = timeline.read(armature).motion
    seen = encoding.encode_motion(model, motion, lambda fraction, text: None)
    marks, width = adaptation.joint_marks(motion.skeleton), model.config.width
    joints, rng = len(marks), np.random.default_rng(0)
    sizes = {"input": (joints, 12, width), "output": (joints, 9, width), "bias": (joints, 9), "token": (width,)}
    adapters = {name: np.zeros(size, np.float32) for name, size in sizes.items()}
    if helps:
        off = (seen.source_matrices - seen.decoded["matrices"]).mean(axis=0)
        adapters["bias"][:, :6] = np.concatenate((off[..., 0], off[..., 1]), axis=-1)
    else:
        adapters["bias"] += 0.2 * rng.standard_normal(sizes["bias"]).astype(np.float32)
    learnt = adaptation.Adaptation(
        marks=marks,
        height_m=module("backend.skeleton").skeleton_height(motion.skeleton),
        adapters=adapters,
        trunk={},
        weights=adaptation.weights_digest(model.parameters),
        facts={"before": 0.05, "after": 0.025},
    )
    return adaptation.save_adaptation(folder, learnt)


def offered() -> bool:
    """Whether the panel is there."""
    import bpy

    return module("character_panel").MOTION_VARIATIONS_PT_character.poll(bpy.context)


def test_it_is_offered_where_the_model_errs_and_only_there(operators, folder):
    """Not before Encode, not where the model knows the motion."""
    armature = walker()
    module("session").say("", "MOTION")
    assert not offered()
    operators.encode()
    report = armature.motion_variations.report
    report.joint_heights = 0.04
    assert offered()
    report.joint_heights = 0.02
    assert not offered()
    report.learnt_file = "character_of_old.safetensors"
    assert offered()


def test_numpy_says_why_it_cannot_and_what_to_do(operators, folder):
    """The button is grey, a script gets the sentence, nothing changes."""
    walker()
    operators.encode()
    before = contents()
    assert not operators.adapt.poll()
    with pytest.raises(RuntimeError, match="Choose the PyTorch engine in the preferences"):
        operators.adapt()
    assert contents() == before and list(folder.iterdir()) == []


def test_what_was_learnt_is_used_by_every_click_and_said(operators, folder):
    """By Encode and by Resample; without the file all is as before."""
    armature = walker()
    operators.encode()
    report, session = armature.motion_variations.report, module("session")
    plain = report.joint_heights
    assert report.learnt_file == "" and "learnt" not in session.message
    path = learn_something(folder, armature)
    operators.encode()
    assert report.learnt_file == path.name and report.learnt_problem == "" and report.joint_heights < plain
    assert (report.held_before, report.held_after) == pytest.approx((0.05, 0.025))
    assert "What was learnt of this character was used." in session.message
    operators.resample(count=1, seed=3)
    assert "What was learnt of this character was used." in session.message
    assert operators.forget.poll() and operators.forget() == {"FINISHED"}
    assert not path.exists() and report.learnt_file == "" and not operators.forget.poll()
    operators.encode()
    assert report.joint_heights == pytest.approx(plain, rel=1e-6)


def test_what_helps_nobody_is_not_used(operators, folder):
    """The motion is read as without it, and the panel says so."""
    armature = walker()
    operators.encode()
    report = armature.motion_variations.report
    plain = report.joint_heights
    path = learn_something(folder, armature, helps=False)
    operators.encode()
    assert report.joint_heights == pytest.approx(plain, rel=1e-6) and report.learnt_file == path.name
    assert "is known better without what was learnt" in module("session").message


def test_a_file_that_cannot_be_used_is_named(operators, folder):
    """Of other weights, or broken; the model works as it ships."""
    armature = walker()
    path = learn_something(folder, armature)
    tensors = module("backend.tensors")
    arrays, metadata = tensors.load_tensors(path)
    tensors.save_tensors(path, arrays, metadata | {"weights": "of yesterday"})
    operators.encode()
    report = armature.motion_variations.report
    assert "belongs to other weights" in report.learnt_problem and report.learnt_problem in module("session").message
    path.write_bytes(b"not much")
    operators.encode()
    assert path.name in report.learnt_problem and "can't be read" in report.learnt_problem
    operators.forget()
    assert not path.exists()


def test_forgetting_deletes_nothing_outside_of_the_folder(operators, folder, tmp_path_factory):
    """A file's name in a .blend file is somebody else's word."""
    other = tmp_path_factory.mktemp("other") / "precious.txt"
    other.write_text("precious")
    armature = walker()
    armature.motion_variations.report.learnt_file = str(other)
    operators.forget()
    assert other.read_text() == "precious"


def test_all_actions_are_those_of_this_armature_that_nobody_made(operators, scene, folder):
    """Not another armature's, not variations of it; the source comes first."""
    import bpy

    armature = walker()
    operators.resample(count=2, seed=1)
    other = add_armature("robot", bones=[("a", None, (0, 0, 0), (0, 0, 1)), ("b", "a", (0, 0, 1), (0, 0, 2))])
    add_walk(other, "of the robot")
    bpy.context.view_layer.objects.active = armature
    source = module("results").source_action(armature)
    second = source.copy()
    second.name, second.use_fake_user = "a run", True
    found = module("characters").own_actions(armature, source)
    assert [action.name for action in found] == ["walk", "a run"]


def second_character_action(armature, name, scale):
    """Another action of the walker, with larger swings; the first one stays assigned."""
    first = armature.animation_data.action
    add_walk(armature, name, frames=int(96 * scale), every=3)
    made = armature.animation_data.action
    made.use_fake_user = True
    armature.animation_data.action = first
    return made


@pytest.mark.torch
def test_a_character_is_learnt_with_torch_and_used_by_numpy(operators, folder):
    """From several actions in one click; what was learnt helps, the actions stay as they are."""
    chosen = module("preferences").preferences()
    armature = walker(frames=130)
    for index in range(3):
        second_character_action(armature, f"walk {index}", 1.0 + 0.2 * index)
    operators.encode()
    plain = armature.motion_variations.report.joint_heights
    before = contents()
    chosen.engine, chosen.python_path, chosen.device_name = "TORCH", sys.executable, "cpu"
    assert operators.adapt.poll()
    try:
        assert operators.adapt(adapt_seconds=20.0) == {"FINISHED"}
    except RuntimeError as error:  # too little time on a busy computer: it says so and keeps nothing
        assert "Nothing was kept" in str(error) and list(folder.iterdir()) == []
        pytest.skip("no time to learn anything")
    after = contents()
    assert after["actions"] == before["actions"] and after["frame"] == before["frame"]
    report, session = armature.motion_variations.report, module("session")
    assert session.message.startswith("Learnt from 4 actions")
    assert report.joint_heights < plain and report.held_after <= report.held_before
    learnt = report.joint_heights
    chosen.engine = "NUMPY"
    operators.encode()
    assert report.joint_heights == pytest.approx(learnt, rel=1e-2)
    (path,) = folder.iterdir()
    assert path.name == report.learnt_file and path.stat().st_size < 2e6
