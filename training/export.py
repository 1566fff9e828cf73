"""python -m training export RUN DATA --out FILE: a run's averaged weights, with statistics and card, as what ships."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from backend.checkpoint import Checkpoint, flatten, save_checkpoint, unflatten
from backend.model import Level, ModelConfig, embed_skeleton, encode
from backend.prior import PriorConfig
from backend.sampling import level_name

from .card import made_from
from .dataset import batch_features, clip_batch
from .store import ClipStore

STATISTICS_CLIPS = 400
STATISTICS_FRAMES = 1024
SMALLEST = 1e-6


def model_config(fields: dict) -> ModelConfig:
    """A model's configuration from a run's settings."""
    return ModelConfig(**{**fields, "levels": tuple(Level(**level) for level in fields["levels"])})


@torch.no_grad()
def latent_statistics(parameters, config: ModelConfig, store: ClipStore, indices) -> dict[str, np.ndarray]:
    """How the latents of training clips spread; shapes the noise of variations.

    Returns:
        chunk_mean `[Z]`; factors `[Z, Z]` of covariances: chunk_factor (chunks within a clip), shift_factor (means of
        clips), clip_factor (the clip's latent); chunk_correlation `[1]` from one chunk to the next. Levels between the
        first and the last have the same with the level's number behind the names.
    """
    windows, clips = [[] for _ in config.levels[:-1]], []
    for index in indices:
        batch, _ = clip_batch(store, index, STATISTICS_FRAMES, config.chunk)
        structure, joints, root, _ = batch_features(batch)
        posteriors = encode(
            parameters, config, embed_skeleton(parameters, config, structure), joints, root, structure["mask"]
        )
        for level, (mean, _) in zip(windows, posteriors, strict=False):
            level.append(mean[0].numpy())
        clips.append(posteriors[-1][0][0].numpy())
    statistics = {"clip_factor": _factor(np.cov(np.array(clips).T))}
    for index, level in enumerate(windows):
        statistics |= {level_name(name, index): value for name, value in _window_statistics(level).items()}
    return statistics


def _window_statistics(chunks: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The statistics of one level's latents, `[N, Z]` a clip."""
    means = np.array([clip.mean(axis=0) for clip in chunks])
    own = [clip - clip.mean(axis=0) for clip in chunks if len(clip) > 2]
    within = np.concatenate(own)
    before, after = np.concatenate([clip[:-1] for clip in own]), np.concatenate([clip[1:] for clip in own])
    correlation = (before * after).sum() / np.sqrt((before**2).sum() * (after**2).sum())
    return {
        "chunk_mean": np.concatenate(chunks).mean(axis=0),
        "chunk_factor": _factor(np.cov(within.T)),
        "shift_factor": _factor(np.cov(means.T)),
        "chunk_correlation": np.array([max(correlation, 0.0)]),
    }


def _factor(covariance) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, SMALLEST))


def load_prior(path: Path, model_step: int) -> tuple[PriorConfig, dict, dict[str, np.ndarray]]:
    """The prior's sizes, parameters, and the latents' scales as statistics named `prior_*`.

    Raises:
        ValueError: it was trained for the weights of another step.
    """
    state = torch.load(path, weights_only=False, map_location="cpu")
    if state["model_step"] != model_step:
        raise ValueError(
            f"{path} was trained for step {state['model_step']}, but the model is at step {model_step}. "
            "Train the prior again."
        )
    scales = {f"prior_{name}": value.numpy() for name, value in state["scales"].items()}
    return PriorConfig(**state["config"]), unflatten(state["averaged"]), scales


def export(run: Path, data: Path, out: Path, version: str, card: str, licences: Path | None = None):
    """Writes the weights file at `out` from `latest.pt` of a run, with the terms of its data (see `card`)."""
    state = torch.load(run / "latest.pt", weights_only=False, map_location="cpu")
    config = model_config(state["settings"]["model"])
    parameters = unflatten(state["averaged"])
    store = ClipStore(data)
    indices = store.select("train")
    rng = np.random.default_rng(0)
    chosen = rng.choice(indices, size=min(STATISTICS_CLIPS, len(indices)), replace=False)
    statistics = latent_statistics(parameters, config, store, chosen)
    prior = None
    if (run / "prior.pt").exists():
        prior, prior_parameters, scales = load_prior(run / "prior.pt", state["step"])
        parameters["prior"] = prior_parameters
        statistics |= scales
    arrays = unflatten({name: value.numpy() for name, value in flatten(parameters).items()})
    save_checkpoint(out, Checkpoint(config, arrays, statistics, version, card, prior, made_from(store, licences)))
    print(
        f"{out}: {out.stat().st_size / 1e6:.2f} MB, step {state['step']}, "
        f"{state['frames_seen'] / 1e6:.1f} M frames seen"
    )


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m training export", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path, help="the data set of the run, for the latents' statistics")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--version", default="0.3.0")
    parser.add_argument("--card", type=Path, help="a text file that goes into the weights file")
    text = "a table: pattern, licence and source of clips whose terms the data set doesn't know, tabs between"
    parser.add_argument("--licences", type=Path, help=text)
    arguments = parser.parse_args(argv)
    card = arguments.card.read_text() if arguments.card else json.dumps({"data": str(arguments.data.name)})
    export(arguments.run, arguments.data, arguments.out, arguments.version, card, arguments.licences)
