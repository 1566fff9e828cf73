"""The prior with small random weights: the flow's closed forms, held latents, engines, and its place in a weights file.

python -m pytest tests/plain/test_prior.py
"""

from dataclasses import replace

import numpy as np
import pytest

from backend.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from backend.engines import load_engine, to_numpy
from backend.prior import PriorConfig, draw, flow, initial_prior, on_path, path_velocity, sample
from tests.plain.bodies import THREE_LEVELS, TWO_LEVELS, tiny_parameters

CONFIG = PriorConfig(width=32, heads=2, depth=2)
CHUNK, CLIP, SKELETON = TWO_LEVELS.levels[0].latent, TWO_LEVELS.levels[1].latent, TWO_LEVELS.width


def random_prior(seed=0) -> dict:
    """Parameters whose flow does something."""
    rng = np.random.default_rng(seed)

    def shake(tree):
        return {
            name: shake(value)
            if isinstance(value, dict)
            else (value + 0.2 * rng.standard_normal(value.shape)).astype(np.float32)
            for name, value in tree.items()
        }

    return shake(initial_prior(CONFIG, TWO_LEVELS, seed))


def numbers(batch=3, count=6, seed=1):
    """skeleton, clip, chunks and noise for clip and chunks."""
    rng = np.random.default_rng(seed)
    shapes = (batch, SKELETON), (batch, CLIP), (batch, count, CHUNK), (batch, CLIP), (batch, count, CHUNK)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def test_the_path_goes_from_noise_to_data_at_its_velocity():
    """Unit spread all the way; its slope is what the network shall learn."""
    rng = np.random.default_rng(0)
    data, noise = rng.standard_normal((2, 500, 4))
    np.testing.assert_allclose(on_path(data, noise, np.zeros(1)), noise)
    np.testing.assert_allclose(on_path(data, noise, np.ones(1)), data, atol=1e-12)
    for time in (0.1, 0.5, 0.8):
        assert on_path(data, noise, np.array([time])).std() == pytest.approx(1, abs=0.05)
        step = 1e-4
        ahead, behind = (on_path(data, noise, np.array([time + way * step])) for way in (1, -1))
        slope = (ahead - behind) / (2 * step * np.pi / 2)
        np.testing.assert_allclose(path_velocity(data, noise, np.array([time])), slope, atol=1e-6)


def test_an_untrained_flow_leaves_noise_as_it_is():
    """Before training nothing is added to what Gaussian data would do: noise comes out as the latents."""
    skeleton, clip, chunks, *noise = numbers()
    parameters = initial_prior(CONFIG, TWO_LEVELS, 0)
    drawn = draw(parameters, CONFIG, skeleton, clip, chunks, np.zeros((3, 7)), noise)
    for latents, plain in zip(drawn, noise, strict=True):
        np.testing.assert_allclose(latents, plain, atol=1e-6)


def test_what_is_drawn_from_nothing_is_what_is_drawn_from_any_source_all_the_way():
    """Noise and the skeleton decide; a flow that starts at noise has nothing of a source in it."""
    skeleton, clip, chunks, *noise = numbers()
    parameters = random_prior()
    sampled = sample(parameters, CONFIG, skeleton, noise)
    for one, other in zip(
        sampled, draw(parameters, CONFIG, skeleton, clip, chunks, np.zeros((3, 7)), noise), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)
    for one, other in zip(sampled, sample(parameters, CONFIG, skeleton + 1, noise), strict=True):
        assert np.abs(one - other).max() > 1e-3


def test_held_latents_stay_to_the_last_bit():
    """Time 1 holds; the others move, more so the earlier they start; all held is the source."""
    skeleton, clip, chunks, *noise = numbers()
    parameters = random_prior()
    times = np.ones((3, 7))
    assert draw(parameters, CONFIG, skeleton, clip, chunks, times, noise)[1] is chunks
    times[:, 3:5], times[:, 6] = 0.5, 0.9
    new_clip, new_chunks = draw(parameters, CONFIG, skeleton, clip, chunks, times, noise)
    np.testing.assert_array_equal(new_clip, clip)
    moved = np.abs(new_chunks - chunks).mean(axis=(0, 2))
    assert (moved[[0, 1, 4]] == 0).all()
    assert moved[2] > 2 * moved[5] > 0 and moved[3] > 2 * moved[5]


def test_held_chunks_and_the_skeleton_have_a_say():
    """What is drawn depends on what is held beside it, on the clip's latent and on the skeleton."""
    skeleton, clip, chunks, *noise = numbers()
    parameters = random_prior()
    times = np.ones((3, 7))
    times[:, 3] = 0.0

    def third(skeleton, clip, chunks):
        return draw(parameters, CONFIG, skeleton, clip, chunks, times, noise)[1][:, 2]

    plain = third(skeleton, clip, chunks)
    other = chunks.copy()
    other[:, 1] += 1
    for changed in (third(skeleton + 1, clip, chunks), third(skeleton, clip + 1, chunks), third(skeleton, clip, other)):
        assert np.abs(changed - plain).max() > 1e-3
    forgotten = chunks.copy()
    forgotten[:, 2] += 5  # what is drawn anew has nothing of what stood there
    np.testing.assert_array_equal(third(skeleton, clip, forgotten), plain)


def test_engines_agree_on_the_flow_and_on_what_is_drawn():
    """numpy and torch, to rounding."""
    torch_engine = load_engine("torch")
    parameters = random_prior()
    arrays = numbers()
    times = np.random.default_rng(3).random((3, 7))

    def to_torch(tree):
        if isinstance(tree, dict):
            return {name: to_torch(value) for name, value in tree.items()}
        return torch_engine.from_numpy(np.asarray(tree, np.float32), "cpu")

    on_torch = [to_torch(array) for array in arrays]
    ours = flow(parameters, CONFIG, *arrays[:3], times.astype(np.float32))
    theirs = flow(to_torch(parameters), CONFIG, *on_torch[:3], to_torch(times))
    drawn = draw(parameters, CONFIG, *arrays[:3], times, arrays[3:])
    drawn_there = draw(to_torch(parameters), CONFIG, *on_torch[:3], times, on_torch[3:])
    for one, other in zip((*ours, *drawn), (*theirs, *drawn_there), strict=True):
        np.testing.assert_allclose(one, to_numpy(other), atol=1e-4)


def test_a_weights_file_brings_the_prior_back(tmp_path):
    """With its sizes; a file without one has none; a prior for more levels is refused."""
    parameters = tiny_parameters(TWO_LEVELS)
    prior = initial_prior(CONFIG, TWO_LEVELS, 0)
    path = tmp_path / "with.safetensors"
    save_checkpoint(path, Checkpoint(TWO_LEVELS, parameters | {"prior": prior}, {}, "1", "", CONFIG))
    found = load_checkpoint(path)
    assert found.prior == CONFIG
    np.testing.assert_allclose(found.parameters["prior"]["chunk_in"], prior["chunk_in"], atol=2e-3)
    save_checkpoint(path, Checkpoint(TWO_LEVELS, parameters, {}, "1", ""))
    assert load_checkpoint(path).prior is None
    save_checkpoint(path, Checkpoint(TWO_LEVELS, parameters | {"prior": prior}, {}, "1", "", replace(CONFIG, width=48)))
    with pytest.raises(ValueError, match=r"prior\."):
        load_checkpoint(path)
    with pytest.raises(ValueError, match="3"):
        initial_prior(CONFIG, THREE_LEVELS, 0)
