"""The model with small random weights: engines agree, masks mask, padding and names don't matter, levels are data.

python -m pytest tests/plain/test_model.py
"""

from dataclasses import replace

import numpy as np
import pytest

from backend.checkpoint import Checkpoint, flatten, load_checkpoint, save_checkpoint, unflatten
from backend.engines import load_engine, to_numpy
from backend.model import (
    Level,
    ModelConfig,
    banded_attention,
    cosine_basis,
    decode,
    embed_skeleton,
    encode,
    expand,
    initial_parameters,
    parameter_shapes,
    window_attention,
)
from tests.plain.bodies import JOINTS, THREE_LEVELS, TWO_LEVELS, body, model_inputs, tiny_parameters

SECONDS = 5.2  # 156 frames: 5 chunks of 32, the last one filled up
CONFIGS = {"two levels": TWO_LEVELS, "three levels": THREE_LEVELS}


def batch_of(motion, config):
    """structure, joints and root of a motion with a batch axis of 1."""
    structure, joints, root = model_inputs(motion, config.chunk)
    return {name: array[None] for name, array in structure.items()}, joints[None], root[None]


def run(config, parameters, inputs, hidden_frames=None, hidden_latents=None, causal=False, latents=None):
    """(latents, joint outputs, root outputs) of the whole model."""
    structure, joints, root = inputs
    adapters = embed_skeleton(parameters, config, structure)
    posteriors = encode(parameters, config, adapters, joints, root, structure["mask"], hidden_frames, causal)
    means = tuple(mean for mean, _ in posteriors)
    return means, *decode(parameters, config, adapters, means if latents is None else latents, hidden_latents, causal)


@pytest.fixture(params=CONFIGS, ids=list(CONFIGS))
def setting(request):
    """A configuration, its random weights, and a body's inputs."""
    config = CONFIGS[request.param]
    return config, tiny_parameters(config), batch_of(body(SECONDS), config)


def largest(a, b) -> float:
    """The largest difference."""
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max())


def test_shapes_are_what_the_levels_say(setting):
    """A latent a window of each level, one for the clip, and outputs for every frame and joint."""
    config, parameters, inputs = setting
    latents, joints, root = run(config, parameters, inputs)
    count = inputs[1].shape[1]
    for level, latent in zip(config.levels[:-1], latents[:-1], strict=True):
        count //= level.stride
        assert latent.shape == (1, count, level.latent)
    assert latents[-1].shape == (1, config.levels[-1].latent)
    assert joints.shape == (*inputs[1].shape[:3], 9) and root.shape == inputs[2].shape


def test_engines_agree_on_encode_and_decode(setting):
    """numpy and torch to 1e-4, masks and causal or not."""
    pytest.importorskip("torch")
    engine = load_engine("torch")
    config, parameters, inputs = setting

    def move(tree):
        if isinstance(tree, dict):
            return {name: move(value) for name, value in tree.items()}
        return engine.from_numpy(tree, "cpu")

    hidden_frames = np.zeros(inputs[1].shape[:2], np.float32)
    hidden_frames[:, 20:50] = 1
    hidden_latents = np.zeros((1, inputs[1].shape[1] // config.levels[0].stride), np.float32)
    hidden_latents[:, 1:3] = 1
    for causal in (False, True):
        for masks in ((None, None), (hidden_frames, hidden_latents)):
            here = run(config, parameters, inputs, *masks, causal)
            there = run(
                config,
                move(parameters),
                (move(inputs[0]), *map(move, inputs[1:])),
                *(None if mask is None else move(mask) for mask in masks),
                causal,
            )
            for a, b in zip((*here[0], *here[1:]), (*there[0], *there[1:]), strict=True):
                assert largest(a, to_numpy(b)) < 1e-4


def test_a_hidden_frame_cannot_influence_its_code(setting):
    """Whatever stands in hidden frames, all latents are the same; shown, it changes them."""
    config, parameters, (structure, joints, root) = setting
    hidden = np.zeros(joints.shape[:2], np.float32)
    hidden[:, 40:70] = 1
    other = batch_of(body(SECONDS, seed=9), config)
    changed = (structure, joints.copy(), root.copy())
    changed[1][:, 40:70], changed[2][:, 40:70] = other[1][:, 40:70], other[2][:, 40:70]
    for a, b in zip(
        run(config, parameters, setting[2], hidden)[0], run(config, parameters, changed, hidden)[0], strict=True
    ):
        np.testing.assert_array_equal(a, b)
    shown = [
        largest(a, b)
        for a, b in zip(run(config, parameters, setting[2])[0], run(config, parameters, changed)[0], strict=True)
    ]
    assert min(shown) > 1e-3


def test_a_hidden_latent_cannot_influence_the_motion(setting):
    """Whatever the hidden latents of chunks are, the decoded clip is the same; shown, they change it."""
    config, parameters, inputs = setting
    latents = run(config, parameters, inputs)[0]
    hidden = np.zeros(latents[0].shape[:2], np.float32)
    hidden[:, 1:4] = 1
    other = (latents[0].copy(), *latents[1:])
    other[0][:, 1:4] += 3.0
    first, second = (run(config, parameters, inputs, None, hidden, latents=each) for each in (latents, other))
    np.testing.assert_array_equal(first[1], second[1])
    np.testing.assert_array_equal(first[2], second[2])
    first, second = (run(config, parameters, inputs, latents=each) for each in (latents, other))
    assert largest(first[1], second[1]) > 1e-3


def test_every_latent_has_a_say(setting):
    """Each level's latent reaches the decoded motion, the clip's all frames of it."""
    config, parameters, inputs = setting
    latents = run(config, parameters, inputs)[0]
    before = run(config, parameters, inputs, latents=latents)[1]
    for level in range(len(latents)):
        other = tuple(latent + (3.0 if index == level else 0.0) for index, latent in enumerate(latents))
        difference = np.abs(run(config, parameters, inputs, latents=tuple(np.float32(x) for x in other))[1] - before)
        assert difference.max(axis=(0, 2, 3)).min() > 1e-4


def test_a_later_chunk_cannot_influence_an_earlier_code_with_the_causal_mask(setting):
    """The codes of chunks before a change are the same; without the mask they aren't."""
    config, parameters, (structure, joints, root) = setting
    other = batch_of(body(SECONDS, seed=9), config)
    start = 2 * config.chunk if config.chunk * 3 <= joints.shape[1] else config.chunk
    changed = (structure, joints.copy(), root.copy())
    changed[1][:, start:], changed[2][:, start:] = other[1][:, start:], other[2][:, start:]
    for causal in (True, False):
        first = run(config, parameters, setting[2], causal=causal)[0]
        second = run(config, parameters, changed, causal=causal)[0]
        stride = 1
        for level, a, b in zip(config.levels[:-1], first, second, strict=False):
            stride *= level.stride
            before = largest(a[:, : start // stride], b[:, : start // stride])
            assert before == 0 if causal else before > 1e-4
            assert largest(a[:, start // stride :], b[:, start // stride :]) > 1e-3


def test_a_later_latent_cannot_influence_earlier_frames_with_the_causal_mask(setting):
    """Given the clip's latent, frames of chunks before a changed latent are the same; without the mask they aren't."""
    config, parameters, inputs = setting
    latents = run(config, parameters, inputs)[0]
    start = 2 * config.chunk if config.chunk * 3 <= inputs[1].shape[1] else config.chunk
    changed, stride = [], 1
    for level, latent in zip(config.levels[:-1], latents, strict=False):
        stride *= level.stride
        changed.append(latent.copy())
        changed[-1][:, start // stride :] += 3.0
    changed = (*changed, latents[-1])
    for causal in (True, False):
        first, second = (run(config, parameters, inputs, causal=causal, latents=each) for each in (latents, changed))
        before = max(largest(a[:, :start], b[:, :start]) for a, b in zip(first[1:], second[1:], strict=True))
        assert before == 0 if causal else before > 1e-4


def padded(inputs, count: int):
    """The same inputs with `count` joints of nonsense behind the mask."""
    structure, joints, root = inputs
    rng = np.random.default_rng(4)
    grown = {}
    for name, array in structure.items():
        axes = [axis for axis, size in enumerate(array.shape) if size == JOINTS]
        grown[name] = np.pad(array, [(0, count if axis in axes else 0) for axis in range(array.ndim)])
    grown["facts"][:, JOINTS:] = rng.standard_normal(grown["facts"][:, JOINTS:].shape)
    noise = rng.standard_normal((*joints.shape[:2], count, joints.shape[3])).astype(np.float32)
    return grown, np.concatenate((joints, noise), axis=2), root


def test_padding_joints_change_nothing(setting):
    """Skeletons are padded to batches; what stands in the padding reaches neither codes nor the others' outputs."""
    config, parameters, inputs = setting
    plain, wide = run(config, parameters, inputs), run(config, parameters, padded(inputs, 5))
    for a, b in zip(plain[0], wide[0], strict=True):
        assert largest(a, b) < 1e-5
    assert largest(plain[1], wide[1][:, :, :JOINTS]) < 1e-5
    assert largest(plain[2], wide[2]) < 1e-5


def test_the_order_of_joints_changes_nothing_beyond_rounding(setting):
    """There are no names and no places in a list: permuted joints give the same codes and permuted outputs."""
    config, parameters, (structure, joints, root) = setting
    order = np.array([0, 6, 3, 1, 11, 4, 7, 9, 2, 12, 5, 10, 8])
    shuffled = {}
    for name, array in structure.items():
        for axis, size in enumerate(array.shape):
            array = np.take(array, order, axis) if size == JOINTS else array
        shuffled[name] = array
    first, second = run(config, parameters, setting[2]), run(config, parameters, (shuffled, joints[:, :, order], root))
    for a, b in zip(first[0], second[0], strict=True):
        assert largest(a, b) < 1e-4
    assert largest(first[1][:, :, order], second[1]) < 1e-4


def test_clips_of_a_batch_do_not_see_each_other(setting):
    """Two clips together have the codes that they have alone."""
    config, parameters, inputs = setting
    other = batch_of(body(SECONDS, seed=5), config)
    both = {name: np.concatenate((inputs[0][name], other[0][name])) for name in inputs[0]}
    together = run(
        config, parameters, (both, *(np.concatenate(pair) for pair in zip(inputs[1:], other[1:], strict=True)))
    )
    alone = run(config, parameters, other)
    for a, b in zip(together[0], alone[0], strict=True):
        assert largest(a[1:], b) < 1e-5


def test_attention_inside_shifted_windows_is_that_of_a_plain_mask():
    """The windows' arithmetic against attention over everything with a mask."""
    rng = np.random.default_rng(0)
    query, key, value = rng.standard_normal((3, 1, 24, 2, 4))
    for shifted in (False, True):
        for causal in (False, True):
            chunk = np.arange(24) // 8
            window = (np.arange(24) + 4 * shifted) // 8
            seen = window[:, None] == window[None]
            if causal:
                seen &= chunk[None] <= chunk[:, None]
            scores = np.einsum("bnhk,bmhk->bhnm", query, key) / 2 + np.where(seen, 0, -1e9)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            weights /= weights.sum(axis=-1, keepdims=True)
            expected = np.einsum("bhnm,bmhk->bnhk", weights, value)
            np.testing.assert_allclose(window_attention(query, key, value, 8, shifted, causal), expected, atol=1e-12)


def test_attention_over_chunks_sees_its_band_and_the_clip_token():
    """300 tokens, so more than one block of queries, against attention over everything with a mask."""
    rng = np.random.default_rng(0)
    query, key, value = rng.standard_normal((3, 1, 301, 2, 4))
    place = np.arange(300)
    for causal in (False, True):
        seen = np.ones((301, 301), bool)
        seen[1:, 1:] = np.abs(place[:, None] - place[None]) <= 8
        if causal:
            seen[1:, 0] = False
            seen[1:, 1:] &= place[None] <= place[:, None]
        scores = np.einsum("bnhk,bmhk->bhnm", query, key) / 2 + np.where(seen, 0, -1e9)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        expected = np.einsum("bhnm,bmhk->bnhk", weights, value)
        np.testing.assert_allclose(banded_attention(query, key, value, 8, causal), expected, atol=1e-12)


def test_lapped_windows_meet_without_a_step_and_only_look_back():
    """Where windows are faded into each other no step is larger than inside them; earlier windows stay as they are."""
    rng = np.random.default_rng(0)
    level = Level(32, 1, 1, 16, coefficients=6, lap=8)
    x = rng.standard_normal((1, 4, 12)).astype(np.float32)
    parameters = {"expand": rng.standard_normal((6 * 12, 12)).astype(np.float32)}

    def steps(level):
        step = np.abs(np.diff(expand(x, parameters, level), axis=1)).mean(axis=(0, 2))
        at_borders = np.arange(1, 128) % 32 == 0
        return step[at_borders].max() / step[~at_borders].max()

    assert steps(level) < 1 < steps(replace(level, lap=0))
    later = x + np.array([0, 0, 1, 1], np.float32)[:, None]
    changed = np.abs(expand(later, parameters, level) - expand(x, parameters, level)).max(axis=(0, 2))
    assert changed[:64].max() == 0 and changed[64:].min() > 0


def test_the_cosine_basis_is_orthonormal():
    """All of it is a change of axes, the first part keeps what is slow."""
    basis = cosine_basis(32, 32)
    np.testing.assert_allclose(basis.T @ basis, np.eye(32), atol=1e-12)
    np.testing.assert_array_equal(cosine_basis(32, 12), basis[:, :12])


def test_parameters_are_those_of_the_one_list():
    """Names and shapes of fresh weights, finite and different from seed to seed."""
    config = ModelConfig(
        width=32, heads=2, joint_width=16, joint_heads=2, levels=(Level(8, 1, 1, 4, 4), Level(None, 1, 1, 4))
    )
    expected = flatten(parameter_shapes(config))
    first, second = (flatten(initial_parameters(config, seed)) for seed in (0, 1))
    assert {name: array.shape for name, array in first.items()} == expected
    assert all(np.isfinite(array).all() and array.dtype == np.float32 for array in first.values())
    assert any(largest(first[name], second[name]) > 0.1 for name in first)
    assert largest(first["frame_bias"], 0) == 0


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_a_weights_file_brings_the_same_model_back(tmp_path, config):
    """Any number of levels; parameters to half precision, statistics, version and card."""
    parameters = tiny_parameters(config)
    statistics = {"clip_factor": np.eye(8, dtype=np.float32)}
    save_checkpoint(tmp_path / "w.safetensors", Checkpoint(config, parameters, statistics, "7", "made by a test"))
    found = load_checkpoint(tmp_path / "w.safetensors")
    assert (found.config, found.version, found.card) == (config, "7", "made by a test")
    np.testing.assert_array_equal(found.statistics["clip_factor"], statistics["clip_factor"])
    kept, was = flatten(found.parameters), flatten(parameters)
    assert set(kept) == set(was)
    assert max(largest(kept[name], was[name]) for name in was) < 1e-2
    assert flatten(unflatten(was)).keys() == was.keys()


def test_a_weights_file_of_another_model_is_refused(tmp_path):
    """A parameter too few, one of another shape, one that the model doesn't have: the name is in the message."""
    path = tmp_path / "w.safetensors"
    flat = flatten(tiny_parameters(TWO_LEVELS))
    broken = {
        "frame_bias": {name: value for name, value in flat.items() if name != "frame_bias"},
        "root_in": flat | {"root_in": np.zeros((3, 3), np.float32)},
        "surplus": flat | {"surplus": np.zeros(2, np.float32)},
    }
    for name, arrays in broken.items():
        save_checkpoint(path, Checkpoint(TWO_LEVELS, unflatten(arrays), {}, "1", ""))
        with pytest.raises(ValueError, match=name):
            load_checkpoint(path)
