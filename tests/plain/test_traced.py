"""The numpy engine's gradients: the same as torch's, through all that the decoder and the pose are made of.

python -m pytest tests/plain/test_traced.py
"""

import numpy as np
import pytest

from backend.engines import load_engine, traced_engine, value_and_gradients
from backend.features import pose_from_outputs, pose_positions
from backend.model import decode, embed_skeleton
from backend.rotations import matrix_to_sixd
from tests.plain.bodies import THREE_LEVELS, TWO_LEVELS, body, model_inputs, tiny_parameters


def in_doubles(engine, tree):
    """A nested dict of arrays on an engine, in double precision where they aren't whole numbers."""
    if isinstance(tree, dict):
        return {name: in_doubles(engine, value) for name, value in tree.items()}
    return engine.from_numpy(tree.astype(np.float64) if tree.dtype.kind == "f" else tree, "cpu")


@pytest.mark.parametrize("config", (TWO_LEVELS, THREE_LEVELS), ids=("lapped", "three levels"))
@pytest.mark.parametrize("slides", (False, True), ids=("rigid", "slides"))
def test_gradients_are_those_of_torch(config, slides):
    """Of a pose's distance from nothing, by all latents, to rounding."""
    pytest.importorskip("torch")
    structure, _, _ = model_inputs(body(slides=slides), config.chunk)
    rng = np.random.default_rng(0)
    counts = [
        128 // int(np.prod([level.stride for level in config.levels[: n + 1]])) for n in range(len(config.levels) - 1)
    ]
    shapes = [(1, count, level.latent) for count, level in zip(counts, config.levels, strict=False)]
    latents = [rng.standard_normal(shape) for shape in (*shapes, (1, config.levels[-1].latent))]
    results = []
    for name in ("numpy", "torch"):
        engine = load_engine(name)
        parameters = in_doubles(engine, tiny_parameters(config))
        own = in_doubles(engine, {key: array[None] for key, array in structure.items()})
        adapters = embed_skeleton(parameters, config, own)

        def size(candidate, parameters=parameters, own=own, adapters=adapters):
            outputs, root = decode(parameters, config, adapters, candidate)
            matrices, shifts = pose_from_outputs(outputs, own)
            positions = pose_positions(matrices, shifts, own)
            total = (positions * positions).sum() + (matrix_to_sixd(matrices) - 1.0).sum() * 0.3
            return total + (2.0 - root / 3.0).sum() + (root * root).sum(), (positions,)

        value, (positions,), gradients = value_and_gradients(
            size, tuple(in_doubles(engine, {"": one})[""] for one in latents)
        )
        results.append((value, engine.to_numpy(positions), *(engine.to_numpy(one) for one in gradients)))
    for here, there in zip(*results, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-8, atol=1e-10)


def test_gradients_of_single_functions_are_differences():
    """Of broadcast sums, products, quotients, powers, cross products, slices that overlap, unused arrays."""
    rng = np.random.default_rng(1)
    arrays = (rng.standard_normal((2, 3)), rng.uniform(1, 2, (4, 1, 3)), rng.standard_normal(3))

    def value(inputs):
        a, b, _ = inputs
        c = traced_engine.cross(a + b, b * b) / (b * 2.0) - a / b
        d = traced_engine.stack((c[..., :2], c[..., 1:]), -1)
        return (traced_engine.concat((d.reshape(4, 2, 4), a[None] ** 2.0 * b), 2) ** 3.0).sum(), ()

    _, _, gradients = value_and_gradients(value, arrays)
    for number, gradient in enumerate(gradients):
        for place in np.ndindex(*gradient.shape):
            both = []
            for step in (1e-6, -1e-6):
                moved = [array.copy() for array in arrays]
                moved[number][place] += step
                both.append(value_and_gradients(value, tuple(moved))[0])
            assert gradient[place] == pytest.approx((both[0] - both[1]) / 2e-6, rel=1e-5, abs=1e-5)
