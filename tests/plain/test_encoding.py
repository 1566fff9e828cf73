"""Encodings of a small random model: the reconstruction and its figures, the decoder's own path, mended borders.

python -m pytest tests/plain/test_encoding.py
"""

from dataclasses import replace

import numpy as np
import pytest

from backend import refinement
from backend.change import apply_change
from backend.encoding import (
    encode_motion,
    load_model,
    mend_borders,
    mending_matrix,
    reconstruction_change,
    reconstruction_figures,
)
from backend.engines import load_engine, to_numpy
from backend.features import MODEL_FPS
from backend.jobs import SHIPPED_CHECKPOINT
from backend.motion import joint_positions
from backend.rotations import matrix_angle, quaternion_angle, quaternion_rotate, yaw_to_quaternion
from backend.skeleton import skeleton_height
from tests.plain.bodies import body, disguised, tiny_model
from training import metrics
from training.held_out import decoded_motion


@pytest.fixture(scope="module", params=(False, True), ids=("rigid", "slides"))
def motion(request):
    """Somebody who walks about; the same with a foot that slides off its shin."""
    return body(slides=request.param)


def encoded(motion):
    """The encoding of a motion."""
    return encode_motion(tiny_model(spread=2.0), motion, lambda fraction, text: None)


def test_refining_the_latents_never_makes_them_worse(motion, monkeypatch):
    """The shipped model gains from it; a random one gains where its codes say nothing of the motion."""
    shipped = load_model(SHIPPED_CHECKPOINT, "numpy")

    def joint_mm(model, steps):
        monkeypatch.setattr(refinement, "steps_for", lambda frames: steps)
        return reconstruction_figures(encode_motion(model, motion, lambda fraction, text: None))["joint_mm"]

    assert joint_mm(shipped, 12) < 0.8 * joint_mm(shipped, 0)
    assert joint_mm(tiny_model(spread=2.0), 6) < joint_mm(tiny_model(spread=2.0), 0)


def test_long_clips_are_refined_in_pieces(motion, monkeypatch):
    """Piece by piece the error is nearly that of the whole at once, and far below what the encoder says."""
    shipped = load_model(SHIPPED_CHECKPOINT, "numpy")
    monkeypatch.setattr(refinement, "steps_for", lambda frames: 12)

    def joint_mm(piece):
        monkeypatch.setattr(refinement, "PIECE", piece)
        return reconstruction_figures(encode_motion(shipped, motion, lambda fraction, text: None))["joint_mm"]

    whole, pieces = joint_mm(32), joint_mm(2)
    monkeypatch.setattr(refinement, "steps_for", lambda frames: 0)
    assert pieces < 1.3 * whole and pieces < 0.85 * joint_mm(32)


def test_a_rig_in_disguise_is_encoded_alike(motion):
    """Steps of the refinement enlarge differences; in double precision those of another rig's numbers stay small."""
    shipped = load_model(SHIPPED_CHECKPOINT, "numpy")
    other, row_of, *_ = disguised(motion)
    first, second = (encode_motion(shipped, one, lambda fraction, text: None).decoded for one in (motion, other))
    assert np.degrees(matrix_angle(first["matrices"], second["matrices"][:, row_of])).max() < 0.01


def test_both_engines_encode_alike(motion):
    """numpy and torch to 0.01 degrees, with the shipped weights."""
    pytest.importorskip("torch")
    models = [load_model(SHIPPED_CHECKPOINT, name) for name in ("numpy", "torch")]
    first, second = (encode_motion(model, motion, lambda fraction, text: None).decoded for model in models)
    assert np.degrees(matrix_angle(first["matrices"], second["matrices"])).max() < 0.01


def test_the_reconstruction_is_what_the_figures_say(motion):
    """The change to the decoder's pose, laid on the source, has the errors that Encode reports."""
    encoding = encoded(motion)
    figures = reconstruction_figures(encoding)
    made = apply_change(motion, reconstruction_change(encoding))
    scale = encoding.reference.height_m / skeleton_height(motion.skeleton)
    assert metrics.joint_error_mm(motion, made) == pytest.approx(figures["joint_mm"] * scale, rel=1e-3)
    assert metrics.rotation_error_deg(motion, made) == pytest.approx(figures["rotation_world_deg"], rel=1e-3)
    np.testing.assert_array_equal(made.root_positions, motion.root_positions)


def test_a_decoder_that_says_the_source_brings_it_back(motion):
    """The reconstruction's change is then nothing, and the decoder's own path is the source's."""
    encoding = encoded(motion)
    heading, height = encoding.heading, encoding.reference.height_m
    velocity = quaternion_rotate(
        yaw_to_quaternion(-heading[:-1]), np.diff(motion.root_positions, axis=0) * MODEL_FPS / height
    )
    root = np.zeros((motion.frames, 4))
    root[:, 0] = motion.root_positions[:, 2] / height - encoding.reference.root_height
    root[:-1, 1:3], root[:-1, 3] = velocity[:, :2], np.diff(heading) * MODEL_FPS
    perfect = {"matrices": encoding.source_matrices, "slides": encoding.source_slides, "root": root}
    encoding = replace(encoding, decoded=perfect)
    assert np.degrees(np.linalg.norm(reconstruction_change(encoding).rotation, axis=-1)).max() < 0.01
    assert reconstruction_figures(encoding)["joint_mm"] < 1e-3
    made = decoded_motion(encoding)
    np.testing.assert_allclose(made.root_positions, motion.root_positions, atol=1e-5)
    np.testing.assert_allclose(joint_positions(made), joint_positions(motion), atol=1e-5)
    assert np.degrees(quaternion_angle(made.rotations, motion.rotations)).max() < 0.01


def test_borders_are_mended_and_the_rest_is_left():
    """A step between windows becomes a slope; frames away from it, the clip's ends and straight lines stay."""
    frames = np.arange(96.0)
    steps = np.floor(frames / 32)
    mended = mend_borders(np.stack((steps, frames), axis=1)[None], 32)[0]
    assert np.abs(np.diff(mended[:, 0])).max() < 0.25
    away = np.abs(frames[:, None] - [31.5, 63.5]).min(axis=1) >= 10
    np.testing.assert_array_equal(mended[away, 0], steps[away])
    np.testing.assert_allclose(mended[:, 1], frames, atol=1e-2)
    assert (np.diff(mended[:, 0]) > -1e-9).all()


@pytest.mark.parametrize("stride", (8, 16, 32))
def test_mending_keeps_constants(stride):
    """The rows of the matrix add up to one and only reach into their window."""
    matrix = mending_matrix(stride)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(matrix[[0, -1]], np.eye(stride)[[0, -1]], atol=1e-12)


def test_clips_of_one_window_have_no_border():
    """They come out as they are."""
    values = np.random.default_rng(0).standard_normal((1, 32, 3))
    np.testing.assert_array_equal(mend_borders(values, 32), values)


def test_engines_mend_alike():
    """numpy and torch."""
    pytest.importorskip("torch")
    values = np.random.default_rng(0).standard_normal((1, 128, 5)).astype(np.float32)
    there = mend_borders(load_engine("torch").from_numpy(values, "cpu"), 32)
    np.testing.assert_allclose(to_numpy(there), mend_borders(values, 32), atol=1e-5)
