"""What training makes smaller, as a module that PyTorch's engines wrap, shard and compile; and the draws it needs."""

import numpy as np
import torch

from backend.engines import load_engine
from backend.model import decode, embed_skeleton, encode

from .dataset import batch_features
from .losses import WEIGHTS, divergence_losses, divergence_weights, reconstruction_losses
from .presets import Settings

NOISE = 1  # tells a part's own draws from those of its clips


def as_module(tree) -> torch.nn.Module:
    """A nested dict of arrays as a module, so that PyTorch's own tools apply; `as_tree` gives the dict back."""
    module = torch.nn.Module()
    for name, value in tree.items():
        if isinstance(value, dict):
            module.add_module(name, as_module(value))
        else:
            module.register_parameter(name, torch.nn.Parameter(torch.as_tensor(value)))
    return module


def as_tree(module: torch.nn.Module) -> dict:
    """The nested dict of a module's parameters, as the model's functions take it."""
    tree = {name: as_tree(child) for name, child in module.named_children()}
    return tree | dict(module.named_parameters(recurse=False))


def hidden_run(batch: int, count: int, share: float, whole: float, generator) -> torch.Tensor:
    """1 over a random run of the second axis in a `share` of the rows, `[B, N]`; over all of it in `whole` of these."""
    chosen = torch.rand(batch, generator=generator) < share
    length = torch.randint(1, count + 1, (batch, 1), generator=generator)
    length[torch.rand(batch, generator=generator) < whole] = count
    start = (torch.rand(batch, 1, generator=generator) * (count - length + 1)).long()
    row = torch.arange(count)[None]
    return ((row >= start) & (row < start + length) & chosen[:, None]).float()


def draw(settings: Settings, count: int, frames: int, place) -> dict:
    """The random choices of a part of a step: what is hidden, whether attention is causal, the latents' noise.

    Args:
        count, frames: of the batch. place: numbers that say which part of which step of which run this is.
    """
    levels = settings.model.levels
    seed = int(np.random.default_rng((*place, NOISE)).integers(2**62))
    generator = torch.Generator().manual_seed(seed)
    hidden_frames = hidden_run(count, frames, settings.hide_frames, 0.0, generator)
    windows = [
        frames // int(np.prod([level.stride for level in levels[: index + 1]])) for index in range(len(levels) - 1)
    ]
    shapes = [(count, number, level.latent) for number, level in zip(windows, levels, strict=False)]
    return {
        "hidden_frames": hidden_frames,
        "hidden_latents": hidden_run(count, windows[0], settings.hide_latents, settings.hide_all, generator),
        "causal": bool(torch.rand((), generator=generator) < settings.causal),
        "noise": [torch.randn(shape, generator=generator) for shape in (*shapes, (count, levels[-1].latent))],
    }


def losses_of(tree, settings: Settings, batch, drawn):
    """All losses of a batch and what to log of it."""
    config = settings.model
    with torch.no_grad():
        structure, joints, root, _ = batch_features(batch)
    with torch.autocast(joints.device.type, torch.bfloat16, enabled=settings.bf16):
        adapters = embed_skeleton(tree, config, structure)
        posteriors = encode(
            tree, config, adapters, joints, root, structure["mask"], drawn["hidden_frames"], drawn["causal"]
        )
        posteriors = [(mean.float(), log_variance.float()) for mean, log_variance in posteriors]
        latents = tuple(
            mean + (0.5 * log_variance).exp() * noise
            for (mean, log_variance), noise in zip(posteriors, drawn["noise"], strict=True)
        )
        outputs, root_outputs = decode(tree, config, adapters, latents, drawn["hidden_latents"], drawn["causal"])
    terms = reconstruction_losses(outputs.float(), root_outputs.float(), joints, root, structure, batch["valid"])
    penalised, nats, active = divergence_losses(posteriors)
    loss = sum(WEIGHTS[name] * term for name, term in terms.items())
    weights = divergence_weights(len(config.levels))
    loss = loss + sum(weight * term for weight, term in zip(weights, penalised, strict=True))
    logged = {"loss": loss.detach()} | {name: term.detach() for name, term in terms.items()}
    logged |= {f"nats_{index}": term.detach() for index, term in enumerate(nats)}
    logged |= {f"active_{index}": term.float() for index, term in enumerate(active)}
    logged |= {"padding": 1 - batch["mask"].mean(), "frames": batch["valid"].sum()}
    return loss, logged


class Losses(torch.nn.Module):
    """The losses of a batch as a module, so that PyTorch's engines wrap, shard and compile them."""

    def __init__(self, weights: torch.nn.Module, settings: Settings):
        super().__init__()
        self.weights, self.settings = weights, settings
        load_engine("torch")  # torch.compile can't look into an import

    def forward(self, batch, drawn):
        """See `losses_of`."""
        return losses_of(as_tree(self.weights), self.settings, batch, drawn)
