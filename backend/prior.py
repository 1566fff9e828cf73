"""The prior: how a clip's latents go together, given the skeleton, as a flow from noise to latents.

A transformer over one token for the clip's latent and one a chunk. Every token has its own time (0 is noise, 1 the
latent itself; Chen et al., Diffusion Forcing, 2024), so that any of them can be held while the others are drawn: the
chunks given the clip, both together, or some chunks given the rest. Trained by flow matching (Lipman et al., 2023) on
the trigonometric path (Albergo & Vanden-Eijnden, 2023) `x_t = sin(a) x + cos(a) noise` with `a = t pi / 2`. There the
velocity per angle is `cos(a) x - sin(a) noise`, which is nothing on average for Gaussian data: the network gives just
what the data has beyond that. The same functions run on both engines. Suffixes as in `model`.
"""

from dataclasses import dataclass

import numpy as np

from .engines import engine_of
from .model import Level, ModelConfig, blocks_shapes, level_blocks

STEPS = 8  # of a flow from noise to latents; shorter ways take fewer
TIME_RATES = np.array([1.0, 2.0, 4.0, 8.0, 16.0])  # of the waves over the path that tell the network the time


@dataclass(frozen=True)
class PriorConfig:
    """Sizes of the prior; `reach` is how many chunks to each side a chunk attends to."""

    width: int = 192
    heads: int = 6
    depth: int = 4
    reach: int = 8


def prior_shapes(config: PriorConfig, model: ModelConfig) -> dict:
    """Every parameter of the prior, as a nested dict of shapes.

    Raises:
        ValueError: the model has levels between chunks and clip, of whose latents the prior knows nothing.
    """
    if len(model.levels) != 2:
        raise ValueError(f"A prior is for models of 2 levels; this one has {len(model.levels)}.")
    width, chunk, clip = config.width, model.levels[0].latent, model.levels[1].latent
    return {
        "chunk_in": (width, chunk),
        "clip_in": (width, clip),
        "clip_bias": (width,),
        "skeleton": (width, model.width),
        "time": (width, 2 * len(TIME_RATES)),
        "time_gain": (width, 2 * len(TIME_RATES)),
        "blocks": blocks_shapes(config.depth, width),
        "norm": (width,),
        "chunk_out": (chunk, width),
        "clip_out": (clip, width),
    }


def initial_prior(config: PriorConfig, model: ModelConfig, seed: int) -> dict:
    """Random parameters to start training from; the flow starts as that of Gaussian data."""
    rng = np.random.default_rng(seed)

    def start(name, shape):
        if name.endswith("norm"):
            return np.ones(shape, np.float32)
        if name.endswith("bias") or name in ("attention_out", "mlp_down", "chunk_out", "clip_out", "time_gain"):
            return np.zeros(shape, np.float32)
        return (shape[-1] ** -0.5 * rng.standard_normal(shape)).astype(np.float32)

    def walk(shapes):
        return {name: walk(shape) if isinstance(shape, dict) else start(name, shape) for name, shape in shapes.items()}

    return walk(prior_shapes(config, model))


def on_path(data, noise, times):
    """Data on its way, `x_t`; times broadcast to the data."""
    xp = engine_of(data)
    angle = times * (np.pi / 2)
    return xp.sin(angle) * data + xp.cos(angle) * noise


def path_velocity(data, noise, times):
    """What `flow` should give at `on_path(data, noise, times)`."""
    xp = engine_of(data)
    angle = times * (np.pi / 2)
    return xp.cos(angle) * data - xp.sin(angle) * noise


def flow(parameters, config: PriorConfig, skeleton_BD, clip_BZ, chunks_BNZ, times_BN):
    """The velocity of latents on their way, per radian of the path.

    Args:
        skeleton: the adapters' token. clip, chunks: normalised latents on their way. times: of the clip (column 0) and
            of every chunk, `[B, 1 + N]`.

    Returns:
        `[B, Z]` for the clip and `[B, N, Z]` for the chunks.
    """
    xp = engine_of(chunks_BNZ)
    clip = xp.linear(clip_BZ[:, None], parameters["clip_in"], parameters["clip_bias"])
    turns = times_BN[..., None] * xp.asarray(np.pi / 2 * TIME_RATES, times_BN)
    features = xp.concat((xp.sin(turns), xp.cos(turns)), -1)
    x = xp.concat((clip, xp.linear(chunks_BNZ, parameters["chunk_in"])), 1)
    x = x * (1 + xp.linear(features, parameters["time_gain"]))
    x = x + xp.linear(features, parameters["time"]) + xp.linear(skeleton_BD, parameters["skeleton"])[:, None]
    level = Level(None, config.depth, 0, 0, reach=config.reach)
    x = level_blocks(x, parameters["blocks"], config, level, causal=False)
    x = xp.rms_norm(x, parameters["norm"])
    return xp.linear(x[:, 0], parameters["clip_out"]), xp.linear(x[:, 1:], parameters["chunk_out"])


def sample(parameters, config: PriorConfig, skeleton_BD, noise, tick=None):
    """Latents of clips of which nothing but the skeleton and the length is given: noise carried all along the flow.

    Args:
        noise: (`[B, Z]`, `[B, N, Z]`). tick: called after each step.

    Returns:
        (clip, chunks), normalised.
    """
    clip, chunks = noise
    times = np.zeros((chunks.shape[0], 1 + chunks.shape[1]))
    return draw(parameters, config, skeleton_BD, clip, chunks, times, noise, tick)


def draw(parameters, config: PriorConfig, skeleton_BD, clip_BZ, chunks_BNZ, start_times, noise, tick=None):
    """Latents noised to their start times and carried back along the flow (SDEdit, Meng et al., 2022).

    Args:
        clip, chunks: normalised latents of a source. start_times: `[B, 1 + N]` numpy; 1 holds a latent, 0 draws a new
            one. noise: (`[B, Z]`, `[B, N, Z]`). tick: called after each step.

    Returns:
        (clip, chunks), normalised.
    """
    xp = engine_of(chunks_BNZ)
    moving = start_times < 1
    if not moving.any():
        return clip_BZ, chunks_BNZ
    begin = xp.asarray(start_times[..., None], chunks_BNZ)
    held = xp.asarray(~moving[..., None], chunks_BNZ)
    clip = held[:, 0] * clip_BZ + (1 - held[:, 0]) * on_path(clip_BZ, noise[0], begin[:, 0])
    chunks = held[:, 1:] * chunks_BNZ + (1 - held[:, 1:]) * on_path(chunks_BNZ, noise[1], begin[:, 1:])
    earliest = start_times[moving].min()
    # Tokens that start later wait for the others, noised no more than asked for.
    times = np.linspace(earliest, 1, max(2, round(STEPS * (1 - earliest))) + 1)
    for now, after in zip(times[:-1], times[1:], strict=True):
        here, there = np.maximum(now, start_times), np.maximum(after, start_times)
        step = xp.asarray((there - here)[..., None] * (np.pi / 2), chunks_BNZ)
        first = flow(parameters, config, skeleton_BD, clip, chunks, xp.asarray(here, chunks_BNZ))
        half = clip + 0.5 * step[:, 0] * first[0], chunks + 0.5 * step[:, 1:] * first[1]
        middle = xp.asarray(0.5 * (here + there), chunks_BNZ)
        second = flow(parameters, config, skeleton_BD, *half, middle)
        clip, chunks = clip + step[:, 0] * second[0], chunks + step[:, 1:] * second[1]
        if tick is not None:
            tick()
    return clip, chunks
