"""New latents for a source: from the prior where the weights have one, else noise shaped like the training set's.

Both leave alone what a level of change doesn't touch. With the prior a source's latents are noised part of the way and
carried back along the flow (SDEdit, Meng et al., 2022), twice: what sets the two apart goes together. Chunks that must
stay are held, and the others are drawn to fit them.
"""

import numpy as np

from .encoding import Encoding, Model
from .features import MODEL_FPS
from .prior import draw, sample

# How far noise goes, in standard deviations of what the training set shows: of the clip's latent, of what is common to
# a clip's chunks, of what is a chunk's own.
SPREADS = {"WHOLE": (2.0, 0.6, 0.0), "PHRASES": (0.0, 0.0, 0.9), "DETAIL": (0.0, 0.0, 0.8)}
# From where on the prior's way (0 noise, 1 the source) chunks are drawn anew, given the clip's latent. The other levels
# take shaped noise: chunks say nearly all of a clip's latent, and detail is what differs inside chunks.
START_TIMES = {"PHRASES": 0.2}
# What the prior draws changes calm clips much less than wild ones. Half of that (the square root) is evened out,
# towards this mean turn and within these factors.
EVEN_RAD, EVEN_LEAST, EVEN_MOST = np.radians(32.0), 0.7, 2.4


def is_drawn(model: Model, level: str) -> bool:
    """Whether a level's latents come from the prior."""
    return model.prior is not None and level in START_TIMES


def evening_gain(turns) -> float:
    """The factor on a drawn change at strength 1; `turns [T, J, 3]` are its rotation vectors."""
    mean = float(np.linalg.norm(turns, axis=-1).mean())
    return float(np.clip((EVEN_RAD / max(mean, 1e-6)) ** 0.5, EVEN_LEAST, EVEN_MOST))


def new_latents(model: Model, encoding: Encoding, level: str, rng, held=None) -> tuple:
    """The source's latents, changed at one level: WHOLE, PHRASES or DETAIL.

    Args:
        held: `[N]` bool, chunks of which nothing may change; None for no chunk.

    Returns:
        As `Encoding.latents`.
    """
    if not is_drawn(model, level):
        return noised_latents(model, encoding, level, rng)
    return drawn_latents(model, encoding, (1.0, START_TIMES[level]), rng, held)


def still_chunks(model: Model, encoding: Encoding, weight) -> np.ndarray:
    """The chunks of which nothing may change, `[N]` bool; `weight [T]` is what each row takes of the change."""
    motion = encoding.motion
    at = np.arange(encoding.frames) * (motion.fps / MODEL_FPS)
    moving = np.zeros(encoding.latents[0].shape[1] * model.config.levels[0].stride, bool)
    moving[: encoding.frames] = np.interp(at, np.arange(motion.frames), weight) > 0
    return ~moving.reshape(-1, model.config.levels[0].stride).any(axis=1)


def fresh_latents(model: Model, adapters: dict, count: int, rng) -> tuple:
    """Latents of a clip that has no source, drawn from the prior for a skeleton and so many chunks.

    Args:
        adapters: the skeleton's, see `model.embed_skeleton`.

    Returns:
        As `Encoding.latents`.
    """
    scale = prior_scales(model)
    sizes = (1, scale["clip_mean"].shape[-1]), (1, count, scale["chunk_mean"].shape[-1])
    noise = tuple(model.engine.from_numpy(rng.standard_normal(size).astype(np.float32), model.device) for size in sizes)
    drawn = sample(model.parameters["prior"], model.prior, adapters["token"], noise)
    clip, chunks = (model.engine.to_numpy(array) for array in drawn)
    return (
        chunks * scale["chunk_spread"] + scale["chunk_mean"],
        clip * scale["clip_spread"] + scale["clip_mean"],
    )


def prior_scales(model: Model) -> dict[str, np.ndarray]:
    """Mean and spread of the latents that the prior was trained on."""
    return {
        name: model.statistics[f"prior_{name}"] for name in ("clip_mean", "clip_spread", "chunk_mean", "chunk_spread")
    }


def drawn_latents(model: Model, encoding: Encoding, start_times: tuple[float, float], rng, held=None) -> tuple:
    """The source's latents plus what sets two draws from the prior apart, over the root of two.

    A draw by itself leans towards what is common: a wave becomes a half-raised arm, whatever the seed. What sets two
    draws apart has no such lean, is as large, and still goes together.

    Args:
        start_times: of the clip, of its chunks.
    """
    (chunks, clip), scale = encoding.latents, prior_scales(model)
    times = np.full((2, 1 + chunks.shape[1]), start_times[1])
    times[:, 0] = start_times[0]
    if held is not None:
        times[:, 1:][:, held] = 1.0
    noise = rng.standard_normal((2, *clip.shape[1:])), rng.standard_normal((2, *chunks.shape[1:]))

    def move(array):
        return model.engine.from_numpy(np.asarray(array, np.float32), model.device)

    skeleton = model.engine.concat((encoding.adapters["token"],) * 2, 0)
    drawn = draw(
        model.parameters["prior"],
        model.prior,
        skeleton,
        move(np.repeat((clip - scale["clip_mean"]) / scale["clip_spread"], 2, axis=0)),
        move(np.repeat((chunks - scale["chunk_mean"]) / scale["chunk_spread"], 2, axis=0)),
        times,
        tuple(move(array) for array in noise),
    )
    clips, both = (model.engine.to_numpy(array) for array in drawn)
    apart = 0.5**0.5
    return (
        chunks + apart * (both[:1] - both[1:]) * scale["chunk_spread"],
        clip + apart * (clips[:1] - clips[1:]) * scale["clip_spread"],
    )


def noised_latents(model: Model, encoding: Encoding, level: str, rng) -> tuple:
    """The source's latents plus noise shaped like the training set's, for one level.

    The statistics are factors of covariances: `clip_factor` of the clip's latent, `shift_factor` of what a clip's
    chunks share, `chunk_factor` of a chunk's own; `chunk_correlation` ties a chunk to the one before.
    """
    *windows, clip = encoding.latents
    clip_noise = rng.standard_normal(clip.shape[-1]) @ model.statistics["clip_factor"].T
    moved = [_moved_windows(model.statistics, index, latents, level, rng) for index, latents in enumerate(windows)]
    return (*moved, clip + SPREADS[level][0] * clip_noise)


def level_name(name: str, index: int) -> str:
    """A statistic's name at a level of the hierarchy; the first level has the plain one."""
    return name if index == 0 else f"{name}_{index}"


def _moved_windows(statistics, index: int, latents, level: str, rng) -> np.ndarray:
    """Latents `[1, N, Z]` of one level of the hierarchy, plus noise."""
    statistics = {
        name: statistics[level_name(name, index)] for name in ("shift_factor", "chunk_factor", "chunk_correlation")
    }
    _, shift_spread, chunk_spread = SPREADS[level]
    count, size = latents.shape[1:]
    shift = rng.standard_normal(size) @ statistics["shift_factor"].T
    own = rng.standard_normal((count, size))
    correlation = 0.0 if level == "DETAIL" else float(statistics["chunk_correlation"][0])
    for chunk in range(1, count):
        own[chunk] = correlation * own[chunk - 1] + (1 - correlation**2) ** 0.5 * own[chunk]
    own = own @ statistics["chunk_factor"].T
    return latents + shift_spread * shift + chunk_spread * own
