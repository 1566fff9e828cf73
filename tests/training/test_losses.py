"""The losses against their plain formulas: values and gradients, with padding, sliding joints and held last poses.

python -m pytest tests/training/test_losses.py
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from backend.engines import load_engine  # noqa: E402
from backend.features import (  # noqa: E402
    JOINT_INPUTS,
    JOINT_OUTPUT_SIZE,
    MODEL_FPS,
    ROOT_SCALE,
    columns,
    parent_changes,
    pose_from_outputs,
    pose_positions,
)
from backend.rotations import sixd_to_matrix  # noqa: E402
from tests.plain.bodies import PARENTS, body  # noqa: E402
from training.augment import Clip  # noqa: E402
from training.dataset import batch_features, clip_arrays, collate  # noqa: E402
from training.losses import CONTACT_SPEED, WEIGHTS, masked_mean, norm, reconstruction_losses  # noqa: E402


def clip_of(seed: int, joints: int, slides: bool) -> Clip:
    """The first joints of a body, lengths in heights."""
    motion, rng = body(seconds=64 / 30, seed=seed), np.random.default_rng(seed)
    places = 0.2 * rng.standard_normal((joints, 3)).astype(np.float32)
    places[0] = 0
    moved = 0.05 * rng.standard_normal((64, joints, 3)).astype(np.float32) if slides else None
    rotations, roots = motion.rotations[:, :joints].astype(np.float32), motion.root_positions.astype(np.float32)
    return Clip(np.array(PARENTS)[:joints], places, rotations, roots, rotations[30], moved, float(roots[:, 2].mean()))


@pytest.fixture(scope="module")
def parts():
    """What the losses take: (outputs, root, joints, root_features, structure, valid)."""
    samples = [
        clip_arrays(clip_of(seed, joints, slides)) | {"valid": (np.arange(64) < rows).astype(np.float32)}
        for seed, joints, slides, rows in ((0, 13, False, 64), (1, 9, True, 64), (2, 13, True, 40))
    ]
    batch = collate(samples)
    structure, joints, root_features, _ = batch_features(batch)
    generator = torch.Generator().manual_seed(0)
    outputs = 0.2 * torch.randn(*joints.shape[:3], JOINT_OUTPUT_SIZE, generator=generator)
    root = root_features + 0.1 * torch.randn(root_features.shape, generator=generator)
    return outputs, root, joints, root_features, structure, batch["valid"]


def seen_steps(position, root):
    """Joint movement a frame as the world sees it, in the heading frame: its own and what the root's way adds."""
    velocity = root[:, :-1, None] / root.new_tensor(ROOT_SCALE) / MODEL_FPS
    x, y = position[:, :-1, :, 0], position[:, :-1, :, 1]
    turn = velocity[..., 3]
    return position.diff(dim=1) + torch.stack((velocity[..., 1] - turn * y, velocity[..., 2] + turn * x, 0 * x), -1)


def plain_losses(outputs, root, joints, root_features, structure, valid) -> dict:
    """The same losses, each as it reads, with the backend's own kinematics."""
    target = sixd_to_matrix(joints[..., columns(JOINT_INPUTS, "rotation")])
    place, slid = (joints[..., columns(JOINT_INPUTS, name)] for name in ("position", "slide"))
    matrices, slide = pose_from_outputs(outputs, structure)
    position = pose_positions(matrices, slide, structure)
    weight = structure["mask"][:, None] * valid[..., None]
    local, target_local = (parent_changes(each, structure).mT @ each for each in (matrices, target))
    speed, target_speed = seen_steps(position, root), seen_steps(place, root_features)
    resting = weight[:, 1:] * (norm(target_speed) * MODEL_FPS < CONTACT_SPEED)
    path = (root - root_features)[..., 1:3].cumsum(1) * valid[..., None] / MODEL_FPS
    return {
        "position": masked_mean(norm(position - place), weight),
        "rotation": masked_mean(norm(matrices - target, 2), weight),
        "local_rotation": masked_mean(norm(local - target_local, 2), weight),
        "velocity": masked_mean(norm(position.diff(dim=1) - place.diff(dim=1)), weight[:, 1:]),
        "slide": masked_mean(norm(slide - slid), weight),
        "root": masked_mean((root - root_features).abs(), valid[..., None]),
        "path": masked_mean(path.abs(), valid[..., None]),
        "contact": masked_mean(norm(speed - target_speed), resting),
    }


@pytest.mark.parametrize("name", WEIGHTS)
def test_losses_are_their_plain_formulas(parts, name):
    """To rounding, and so are their gradients."""
    found = []
    for losses in (reconstruction_losses, plain_losses):
        outputs, root = (part.clone().requires_grad_() for part in parts[:2])
        value = losses(outputs, root, *parts[2:])[name]
        grads = torch.autograd.grad(value, (outputs, root), allow_unused=True, materialize_grads=True)
        found.append((value.detach(), *grads))
    assert float(found[1][0]) > 1e-3 and max(float(grad.abs().max()) for grad in found[1][1:]) > 0
    for ours, plain in zip(*found, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("name", ["relu_squared", "rotary", "unbind"])
def test_ways_back_are_the_derivatives(name):
    """Functions with a way back of their own, against differences."""
    engine, generator = load_engine("torch"), torch.Generator().manual_seed(0)

    def numbers(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    rest = {"relu_squared": (), "rotary": (numbers(5, 1, 3), numbers(5, 1, 3)), "unbind": (2,)}[name]
    x = numbers(2, 5, 3, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: getattr(engine, name)(x, *rest), x)
