"""python -m training train DATA --out RUN [--preset base]: trains the model; goes on where a run in RUN stopped.

RUN then holds `latest.pt` (everything to go on), and `log.jsonl`, a line a report.
"""

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from backend.model import decode, embed_skeleton, encode, initial_parameters

from .dataset import STRUCTURE, WindowBatches, batch_features, clip_batch
from .linear_start import linear_start
from .losses import WEIGHTS, divergence_losses, divergence_weights, probe_figures, reconstruction_losses
from .presets import PRESETS, Settings
from .store import ClipStore

ADAM_NAMES = ("pool_query", "log_variance", "root_in", "root_out")  # matrices that Muon doesn't suit
PROBE_CLIPS, PROBE_FRAMES = 10, 256  # of each set, for the figures during training


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


def optimizers_for(module, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon on the trunk's matrices, AdamW on the rest; slower on the skeleton encoder, on which all adapters hang."""
    matrices, skeleton, others = [], [], []
    for name, parameter in module.named_parameters():
        path = name.split(".")
        if path[0] == "skeleton":
            skeleton.append(parameter)
        elif parameter.ndim == 2 and path[-1] not in ADAM_NAMES:
            matrices.append(parameter)
        else:
            others.append(parameter)
    muon = torch.optim.Muon(matrices, lr=settings.matrix_rate, weight_decay=0.02, momentum=0.95)
    groups = [{"params": others, "lr": settings.rate}, {"params": skeleton, "lr": settings.skeleton_rate}]
    adam = torch.optim.AdamW(groups, weight_decay=0.0, betas=(0.9, 0.98))
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["full_rate"] = group["lr"]
    return [muon, adam]


def rate_share(step: int, done: float, settings: Settings) -> float:
    """The share of the full rate: warm-up by steps, then held, then linear to zero over the last `fall` of the time."""
    return min((step + 1) / settings.warmup, 1.0) * min(max(1.0 - done, 0.0) / settings.fall, 1.0)


def hidden_run(batch: int, count: int, share: float, whole: float, generator) -> torch.Tensor | None:
    """1 over a random run of the second axis in a `share` of the rows, `[B, N]`; over all of it in `whole` of these."""
    chosen = torch.rand(batch, generator=generator) < share
    if not chosen.any():
        return None
    length = torch.randint(1, count + 1, (batch, 1), generator=generator)
    length[torch.rand(batch, generator=generator) < whole] = count
    start = (torch.rand(batch, 1, generator=generator) * (count - length + 1)).long()
    row = torch.arange(count)[None]
    return ((row >= start) & (row < start + length) & chosen[:, None]).float()


def losses_of(tree, config, batch, settings: Settings, generator):
    """All losses of a batch and what to log of it."""
    structure = {name: batch[name] for name in STRUCTURE}
    with torch.no_grad():
        joints, root, _ = batch_features(batch, structure)
    count, frames = joints.shape[:2]
    hidden_frames = hidden_run(count, frames, settings.hide_frames, 0.0, generator)
    windows = frames // config.levels[0].stride
    hidden_latents = hidden_run(count, windows, settings.hide_latents, settings.hide_all, generator)
    causal = bool(torch.rand((), generator=generator) < settings.causal)
    adapters = embed_skeleton(tree, config, structure)
    posteriors = encode(tree, config, adapters, joints, root, structure["mask"], hidden_frames, causal)
    latents = tuple(
        mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
        for mean, log_variance in posteriors
    )
    outputs, root_outputs = decode(tree, config, adapters, latents, hidden_latents, causal)
    terms = reconstruction_losses(outputs, root_outputs, joints, root, structure, batch["valid"])
    penalised, nats, active = divergence_losses(posteriors)
    loss = sum(WEIGHTS[name] * term for name, term in terms.items())
    weights = divergence_weights(len(config.levels))
    loss = loss + sum(weight * term for weight, term in zip(weights, penalised, strict=True))
    logged = {name: term.detach() for name, term in terms.items()}
    logged |= {f"nats_{index}": term.detach() for index, term in enumerate(nats)}
    logged |= {f"active_{index}": term.float() for index, term in enumerate(active)}
    return loss, logged


@torch.no_grad()
def probe(tree, config, store: ClipStore, splits=("test", "eval")) -> dict[str, tuple[float, float, float]]:
    """Reconstruction of some held-out clips of every set: joint error in mm, rotation in degrees, world and local."""
    results = {}
    for name in sorted({clip["set"] for clip in store.clips}):
        indices = [i for split in splits for i in store.select(split, [name])]
        if not indices:
            continue
        errors = []
        for index in indices[:: max(1, len(indices) // PROBE_CLIPS)][:PROBE_CLIPS]:
            batch, frames = clip_batch(store, index, PROBE_FRAMES, config.chunk)
            structure = {key: batch[key] for key in STRUCTURE}
            joints, root, _ = batch_features(batch, structure)
            adapters = embed_skeleton(tree, config, structure)
            posteriors = encode(tree, config, adapters, joints, root, structure["mask"])
            outputs, _ = decode(tree, config, adapters, tuple(mean for mean, _ in posteriors))
            errors.append(probe_figures(outputs[:, :frames], joints[:, :frames], structure))
        results[name] = tuple(np.mean(errors, axis=0).tolist())
    return results


def save(path: Path, **state):
    """Written beside and renamed, so that a cut never leaves half a file."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def train(data: Path, out: Path, settings: Settings, report_every: float = 240.0):
    """The loop: batch, loss, step, average, report, save."""
    out.mkdir(parents=True, exist_ok=True)
    store = ClipStore(data)
    module = as_module(initial_parameters(settings.model, settings.seed))
    averaged = as_module(initial_parameters(settings.model, settings.seed))
    optimizers = optimizers_for(module, settings)
    step, seconds, frames_seen = 0, 0.0, 0
    latest = out / "latest.pt"
    if latest.exists():
        state = torch.load(latest, weights_only=False)
        module.load_state_dict(state["module"])
        averaged.load_state_dict(state["averaged"])
        for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        step, seconds, frames_seen = state["step"], state["seconds"], state["frames_seen"]
        print(f"going on at step {step}, {seconds / 60:.1f} of {settings.minutes} minutes")
    generator = torch.Generator().manual_seed(settings.seed + step)
    batches = WindowBatches(
        store, store.select("train"), settings.lengths, settings.frames, settings.augmentation, settings.seed + step
    )
    loader = iter(torch.utils.data.DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=4))
    if step == 0:
        linear_start(as_tree(module), settings.model, iter(batches))
        averaged.load_state_dict(module.state_dict())
    parameters = list(module.parameters())
    print(f"{sum(p.numel() for p in parameters) / 1e6:.2f} M parameters, {len(batches.indices)} clips", flush=True)
    sums, counted, last_report, waited, skipped = {}, 0, seconds, 0.0, 0
    while seconds < settings.minutes * 60:
        began = time.perf_counter()
        batch = next(loader)
        waited += time.perf_counter() - began

        loss, logged = losses_of(as_tree(module), settings.model, batch, settings, generator)
        loss.backward()
        gradient = torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        share = rate_share(step, seconds / (settings.minutes * 60), settings)
        healthy = bool(torch.isfinite(gradient)) and float(gradient) < settings.skip_norm
        skipped += not healthy
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["full_rate"] * share
            if healthy:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        decay = min(settings.average, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(averaged.parameters()), parameters, 1 - decay)

        step += 1
        seconds += time.perf_counter() - began
        frames_seen += int(batch["valid"].sum())
        for name, value in (logged | {"loss": loss.detach(), "gradient": gradient}).items():
            sums[name] = sums.get(name, 0.0) + float(value)
        counted += 1
        if seconds - last_report > report_every or seconds >= settings.minutes * 60:
            means = {name: round(total / counted, 4) for name, total in sums.items()}
            figures = probe(as_tree(averaged), settings.model, store)
            speed = frames_seen / seconds
            print(
                f"step {step} {seconds / 60:.1f} min, {speed:.0f} frames/s, rate {share:.2f}, "
                f"waited {waited / (seconds - last_report):.0%}, skipped {skipped}",
                flush=True,
            )
            print("  " + " ".join(f"{name} {value}" for name, value in means.items()))
            for name, (mm, world, local) in figures.items():
                print(f"  {name:18s} {mm:6.1f} mm {world:5.1f} deg world {local:5.1f} local", flush=True)
            with (out / "log.jsonl").open("a") as log:
                log.write(
                    json.dumps(
                        {
                            "step": step,
                            "seconds": seconds,
                            "frames": frames_seen,
                            "rate": share,
                            **means,
                            "probe": figures,
                        }
                    )
                    + "\n"
                )
            save(
                latest,
                module=module.state_dict(),
                averaged=averaged.state_dict(),
                optimizers=[optimizer.state_dict() for optimizer in optimizers],
                step=step,
                seconds=seconds,
                frames_seen=frames_seen,
                settings=asdict(settings),
            )
            sums, counted, last_report, waited = {}, 0, seconds, 0.0


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m training train", description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="a folder made by prepare")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="base")
    parser.add_argument("--minutes", type=float, help="of training in all, when other than the preset's")
    parser.add_argument("--threads", type=int, help="CPU threads")
    arguments = parser.parse_args(argv)
    settings = PRESETS[arguments.preset]
    if arguments.minutes is not None:
        settings = replace(settings, minutes=arguments.minutes)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    train(arguments.data, arguments.out, settings)
