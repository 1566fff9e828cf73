"""python -m training prior RUN DATA: trains the flow over a run's latents; RUN then holds `prior.pt`.

The clips are encoded once, augmented a few times over, and the flow learns from these latents.
"""

import argparse
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from backend.checkpoint import unflatten
from backend.model import embed_skeleton, encode
from backend.motion import whole_chunk_rows
from backend.prior import PriorConfig, flow, initial_prior, on_path, path_velocity

from .augment import NONE, Augmentation, augment
from .dataset import batch_features, clip_arrays, clip_weights, collate, random_frame
from .export import model_config
from .store import ClipStore
from .train import as_module, as_tree, save

LONGEST = 1024  # frames of a clip that are encoded at once
LENGTHS = ((1, 0.05), (2, 0.15), (4, 0.25), (8, 0.3), (16, 0.25))  # chunks of a training sequence, their share
SMALLEST_SPREAD = 1e-3


@dataclass(frozen=True)
class PriorSettings:
    """What a prior is trained with.

    Attributes:
        passes: how often every clip is encoded, each time augmented anew. tokens: chunks a batch.
        hold_clip: share of sequences whose clip latent is given. hold_chunks: share of which some chunks are.
    """

    config: PriorConfig = PriorConfig()
    augmentation: Augmentation = replace(Augmentation(), hands=0.0, random_reference=0.0, rest_reference=0.0)
    passes: int = 6
    minutes: float = 12.0
    tokens: int = 512
    rate: float = 2e-3
    warmup: int = 200
    average: float = 0.999
    hold_clip: float = 0.5
    hold_chunks: float = 0.3
    seed: int = 0


@torch.no_grad()
def encode_clips(tree, config, store: ClipStore, indices, augmentation, rng) -> list[dict]:
    """Latents of clips, each of at most LONGEST frames: skeleton `[D]`, clip `[Z]`, chunks `[N, Z]`, tensors."""
    latents = []
    for index in indices:
        frames = store.clips[index]["frames"]
        start = int(rng.integers(0, max(frames - LONGEST, 0) + 1))
        rows = start + whole_chunk_rows(min(frames, LONGEST), config.chunk)
        clip = store.window(index, rows.astype(float))
        frame = random_frame(store, index, rng)
        clip = augment(clip, store.skeleton(index)["rests"], frame, augmentation, rng)
        batch = collate([clip_arrays(clip)])
        structure, joints, root, _ = batch_features(batch)
        adapters = embed_skeleton(tree, config, structure)
        (chunks, _), (whole, _) = encode(tree, config, adapters, joints, root, structure["mask"])
        latents.append({"skeleton": adapters["token"][0], "clip": whole[0], "chunks": chunks[0]})
    return latents


def latent_scales(latents: list[dict]) -> dict[str, torch.Tensor]:
    """Mean and spread of each latent number: clip_mean, clip_spread, chunk_mean, chunk_spread."""
    clips, chunks = torch.stack([one["clip"] for one in latents]), torch.cat([one["chunks"] for one in latents])
    return {
        "clip_mean": clips.mean(dim=0),
        "clip_spread": clips.std(dim=0).clamp_min(SMALLEST_SPREAD),
        "chunk_mean": chunks.mean(dim=0),
        "chunk_spread": chunks.std(dim=0).clamp_min(SMALLEST_SPREAD),
    }


def normalised(latents: list[dict], scales) -> list[dict]:
    """The same latents with zero mean and unit spread."""
    return [
        {
            "skeleton": one["skeleton"],
            "clip": (one["clip"] - scales["clip_mean"]) / scales["clip_spread"],
            "chunks": (one["chunks"] - scales["chunk_mean"]) / scales["chunk_spread"],
        }
        for one in latents
    ]


def draw_batch(latents: list[dict], weights, tokens: int, rng) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(skeleton `[B, D]`, clip `[B, Z]`, chunks `[B, N, Z]`): runs of equally many chunks of random clips."""
    length = LENGTHS[rng.choice(len(LENGTHS), p=[share for _, share in LENGTHS])][0]
    counts = np.array([len(one["chunks"]) for one in latents])
    able = np.flatnonzero(counts >= length)
    while not len(able):
        length //= 2
        able = np.flatnonzero(counts >= length)
    chosen = rng.choice(able, size=max(tokens // length, 1), p=weights[able] / weights[able].sum())
    starts = [int(rng.integers(0, counts[i] - length + 1)) for i in chosen]
    chunks = [latents[i]["chunks"][start : start + length] for i, start in zip(chosen, starts, strict=True)]
    skeletons, clips = (torch.stack([latents[i][name] for i in chosen]) for name in ("skeleton", "clip"))
    return skeletons, clips, torch.stack(chunks)


def draw_times(batch: int, count: int, settings: PriorSettings, generator) -> torch.Tensor:
    """A time for the clip and for every chunk, `[B, 1 + N]`; 1 where a latent is given."""
    times = torch.rand(batch, 1, generator=generator).expand(batch, 1 + count).clone()
    times[:, 0] = torch.rand(batch, generator=generator)
    times[torch.rand(batch, generator=generator) < settings.hold_clip, 0] = 1.0
    some = torch.rand(batch, 1, generator=generator) < settings.hold_chunks
    held = torch.rand(batch, count, generator=generator) < torch.rand(batch, 1, generator=generator)
    times[:, 1:][some & held] = 1.0
    return times


def flow_loss(tree, config: PriorConfig, batch, times, generator) -> torch.Tensor:
    """Mean squared error of what the network adds, over the latents that aren't given."""
    skeleton, clip, chunks = batch
    noise = torch.randn(clip.shape, generator=generator), torch.randn(chunks.shape, generator=generator)
    at = times[:, :1], times[:, 1:, None]
    moving = [on_path(data, n, t) for t, data, n in zip(at, (clip, chunks), noise, strict=True)]
    added = flow(tree, config, skeleton, *moving, times)
    total, count = 0.0, 0.0
    for t, data, n, found in zip(at, (clip, chunks), noise, added, strict=True):
        free = (t < 1).float().expand_as(data)
        total = total + (free * (found - path_velocity(data, n, t)).square()).sum()
        count = count + free.sum()
    return total / count.clamp_min(1.0)


@torch.no_grad()
def held_out_loss(tree, settings: PriorSettings, latents, weights) -> float:
    """The loss on held-out clips, always with the same draws."""
    rng, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
    losses = []
    for _ in range(20):
        batch = draw_batch(latents, weights, settings.tokens, rng)
        times = draw_times(*batch[2].shape[:2], settings, generator)
        losses.append(float(flow_loss(tree, settings.config, batch, times, generator)))
    return float(np.mean(losses))


def train_prior(run: Path, data: Path, settings: PriorSettings, report_every: float = 60.0):
    """The loop: batch, loss, step, average, report, save."""
    state = torch.load(run / "latest.pt", weights_only=False, map_location="cpu")
    config = model_config(state["settings"]["model"])
    tree = unflatten(state["averaged"])
    store = ClipStore(data)
    rng, generator = np.random.default_rng(settings.seed), torch.Generator().manual_seed(settings.seed)
    train, test = store.select("train"), store.select("test")
    began = time.perf_counter()
    latents = []
    for number in range(settings.passes):
        latents += encode_clips(tree, config, store, train, settings.augmentation, rng)
        print(f"encoded {number + 1} of {settings.passes} passes, {time.perf_counter() - began:.0f} s", flush=True)
    held_out = encode_clips(tree, config, store, test, NONE, rng)
    scales = latent_scales(latents)
    latents, held_out = normalised(latents, scales), normalised(held_out, scales)
    weights = np.tile(clip_weights([store.clips[i] for i in train]), settings.passes)
    test_weights = clip_weights([store.clips[i] for i in test])

    module = as_module(initial_prior(settings.config, config, settings.seed))
    averaged = as_module(initial_prior(settings.config, config, settings.seed))
    parameters = list(module.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=settings.rate, weight_decay=0.03, betas=(0.9, 0.98))
    count = sum(len(one["chunks"]) for one in latents)
    print(f"{sum(p.numel() for p in parameters) / 1e6:.2f} M parameters, {count} chunks of {len(latents)} clips")
    step, began, last_report, running = 0, time.perf_counter(), 0.0, []
    while (seconds := time.perf_counter() - began) < settings.minutes * 60:
        share = min((step + 1) / settings.warmup, 1.0) * min(1.0, 2 * (1 - seconds / (settings.minutes * 60)))
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * share
        batch = draw_batch(latents, weights, settings.tokens, rng)
        times = draw_times(*batch[2].shape[:2], settings, generator)
        loss = flow_loss(as_tree(module), settings.config, batch, times, generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        decay = min(settings.average, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(averaged.parameters()), parameters, 1 - decay)
        running.append(float(loss.detach()))
        if seconds - last_report > report_every:
            last_report = seconds
            outside = held_out_loss(as_tree(averaged), settings, held_out, test_weights)
            print(
                f"step {step} {seconds / 60:.1f} min, loss {np.mean(running):.4f}, held out {outside:.4f}, "
                f"Gaussian alone 1, rate {share:.2f}",
                flush=True,
            )
            running = []
    outside = held_out_loss(as_tree(averaged), settings, held_out, test_weights)
    print(f"step {step}, held out {outside:.4f}")
    save(
        run / "prior.pt",
        averaged=averaged.state_dict(),
        config=asdict(settings.config),
        scales=scales,
        held_out_loss=outside,
        model_step=state["step"],
    )


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m training prior", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="a run's folder with latest.pt")
    parser.add_argument("data", type=Path, help="the data set of the run")
    parser.add_argument("--minutes", type=float, default=PriorSettings.minutes)
    parser.add_argument("--passes", type=int, default=PriorSettings.passes)
    parser.add_argument("--threads", type=int, help="CPU threads")
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    settings = replace(PriorSettings(), minutes=arguments.minutes, passes=arguments.passes)
    train_prior(arguments.run, arguments.data, settings)
