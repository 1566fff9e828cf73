"""python -m training train DATA --out RUN [--preset base]: trains the model; goes on where a run in RUN stopped.

Several processes: torchrun --nproc-per-node N --nnodes M -m training train DATA --out RUN --parts P, P a multiple of
them. A step is made of parts, whoever computes them: N processes with P parts train as one process with P parts does.
Everything random in a part is drawn from the run's seed, the step and the part, so that a run that was killed and is
started again goes on as if nothing had happened: to the bit with `--steps`; with `--minutes` the rate follows the
clock.

RUN then holds `latest.pt` (everything to go on), `best.pt` (the average with the smallest held-out error), `log.jsonl`
(a line a report), `steps.jsonl` (a line a step) and `tensorboard/`.
"""

import argparse
import math
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from backend.checkpoint import load_checkpoint, unflatten
from backend.errors import UserError
from backend.model import decode, embed_skeleton, encode, initial_parameters

from .board import Board
from .dataset import WindowBatches, batch_features, clip_batch
from .linear_start import linear_start
from .losses import probe_figures
from .muon import Muon
from .objective import Losses, as_module, as_tree, draw
from .presets import PRESETS, Settings
from .processes import World, engine_for, join, leave, load_optimizer, mean_over, of_first, sharded, whole, without_sync
from .run_folder import BEST, LATEST, REPORTS, STEPS, Log, load, save
from .store import ClipStore

ADAM_NAMES = ("pool_query", "log_variance", "root_in", "root_out")  # matrices that Muon doesn't suit
PREFETCH = 6  # batches that a worker is ahead
PROBE_CLIPS, PROBE_FRAMES = 10, 256  # of each set, for the figures during training


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
    muon = Muon(matrices, lr=settings.matrix_rate, weight_decay=0.02, momentum=0.95)
    groups = [{"params": others, "lr": settings.rate}, {"params": skeleton, "lr": settings.skeleton_rate}]
    adam = torch.optim.AdamW(groups, weight_decay=0.0, betas=(0.9, 0.98))
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["full_rate"] = group["lr"]
    return [muon, adam]


def rate_share(step: int, done: float, settings: Settings) -> float:
    """The share of the full rate: warm-up by steps, then held, then to zero over the last `fall` of the run."""
    fall = min(max(1.0 - done, 0.0) / settings.fall, 1.0)
    if settings.curve == "cosine":
        fall = 0.5 - 0.5 * math.cos(math.pi * fall)
    return settings.gain * min((step + 1) / settings.warmup, 1.0) * fall


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
            structure, joints, root, _ = batch_features(batch)
            adapters = embed_skeleton(tree, config, structure)
            posteriors = encode(tree, config, adapters, joints, root, structure["mask"])
            outputs, _ = decode(tree, config, adapters, tuple(mean for mean, _ in posteriors))
            errors.append(probe_figures(outputs[:, :frames], joints[:, :frames], structure))
        results[name] = tuple(np.mean(errors, axis=0).tolist())
    return results


def show(step: int, seconds: float, speeds: dict, means: dict, known: dict) -> None:
    """Prints a report."""
    print(
        f"step {step} {seconds / 60:.1f} min, {speeds['frames_per_s']:.0f} frames/s, rate {speeds['rate']:.2f}, "
        f"waited {speeds['waited']:.0%}, skipped {speeds['skipped']}",
    )
    print("  " + " ".join(f"{name} {value}" for name, value in means.items()))
    for name, (mm, world, local) in known.items():
        print(f"  {name:18s} {mm:6.1f} mm {world:5.1f} deg world {local:5.1f} local", flush=True)


def to_device(value, device):
    """Tensors in dicts and lists on the device."""
    if isinstance(value, dict):
        return {name: to_device(one, device) for name, one in value.items()}
    if isinstance(value, list):
        return [to_device(one, device) for one in value]
    return value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value


def batches_of(store: ClipStore, settings: Settings, parts, step: int = 0) -> WindowBatches:
    """The batches of some parts of each step."""
    drawn = (settings.lengths, settings.frames, settings.augmentation, settings.seed)
    return WindowBatches(store, store.select("train"), *drawn, parts, step)


def loaded(batches: WindowBatches, settings: Settings, world: World):
    """An iterator of batches that workers fill."""
    ahead = {"prefetch_factor": PREFETCH} if settings.workers else {}
    gpu = world.device.type == "cuda"
    loader = torch.utils.data.DataLoader(
        batches, batch_size=None, num_workers=settings.workers, pin_memory=gpu, **ahead
    )
    return iter(loader)


def starting_weights(path: Path, settings: Settings) -> dict:
    """The weights of a file that `export` wrote, as a module's state.

    Raises:
        UserError: it can't be read, or is of another configuration.
    """
    try:
        checkpoint = load_checkpoint(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read ({error}). Give a file that export wrote.") from error
    if checkpoint.config != settings.model:
        raise UserError(f"{path} is of another model ({checkpoint.config}). Train with its preset.")
    parameters = {name: part for name, part in checkpoint.parameters.items() if name != "prior"}
    return as_module(parameters).state_dict()


def modules_for(settings: Settings, state, store: ClipStore, start: Path | None = None):
    """The weights and their running average, the same in every process.

    They come from a checkpoint; for a new run from the weights in the file `start`, without one from the linear start.
    """
    module, averaged = (as_module(initial_parameters(settings.model, settings.seed)) for _ in range(2))
    if state is None and start is not None:
        module.load_state_dict(starting_weights(start, settings))
        averaged.load_state_dict(module.state_dict())
    elif state is None:
        batches = iter(batches_of(store, settings, range(settings.parts)))
        linear_start(as_tree(module), settings.model, batches, settings.start_windows)
        averaged.load_state_dict(module.state_dict())
    else:
        module.load_state_dict(state["module"])
        averaged.load_state_dict(state["averaged"])
    return module, averaged


def train(data: Path, out: Path, settings: Settings, report_every: float = 240.0, check: bool = True, start=None):
    """The loop: batch, loss, step, average, report, save. See `presets.Settings` for what can be set.

    Raises:
        UserError: the data set is damaged, or what is in `out` or `start` doesn't fit the settings.
    """
    world = join()
    if settings.parts % world.size:
        raise UserError(f"{settings.parts} parts can't be shared by {world.size} processes; set --parts to a multiple.")
    out.mkdir(parents=True, exist_ok=True)
    store = ClipStore(data)
    if check:
        store.check(world.rank, world.size)
    state = load(out, settings)
    step, seconds, frames_seen, best = 0, 0.0, 0, float("inf")
    if state is not None:
        step, seconds, frames_seen, best = (state[name] for name in ("step", "seconds", "frames_seen", "best"))
        torch.set_rng_state(state["rng"])
        print(f"going on at step {step}, {seconds / 60:.1f} minutes")
    batches = batches_of(store, settings, range(world.rank, settings.parts, world.size), step)
    loader = loaded(batches, settings, world)
    module, averaged = (one.to(world.device) for one in modules_for(settings, state, store, start))
    losses = Losses(module, settings)
    if settings.compiled:
        losses.compile(dynamic=True)
    engine = engine_for(losses, world, settings.sharded)
    if settings.sharded and world.size > 1:
        sharded(averaged)
    optimizers = optimizers_for(module, settings)
    if state is not None:
        for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
            load_optimizer(optimizer, kept)
    parameters, mine = list(module.parameters()), settings.parts // world.size
    count = sum(p.numel() for p in parameters)
    print(f"{count / 1e6:.2f} M parameters, {len(batches.indices)} clips, {world.size} processes", flush=True)
    board = Board(out, step) if world.first else None
    logs = {name: Log(out / name, step) for name in (STEPS, REPORTS)} if world.first else {}
    sums, counted, last_report, last_save, waited, skipped = {}, 0, seconds, seconds, 0.0, 0

    def ended() -> bool:
        return step >= settings.steps if settings.steps else seconds >= settings.minutes * 60

    while not ended():
        began = time.perf_counter()
        logged = {}
        for number in range(mine):
            waits = time.perf_counter()
            batch = to_device(next(loader), world.device)
            waited += time.perf_counter() - waits
            place = (settings.seed, step, batches.parts[number])
            drawn = to_device(draw(settings, *batch["valid"].shape, place), world.device)
            with without_sync(engine, number == mine - 1):
                loss, part = engine(batch, drawn)
                (loss / mine).backward()
            logged = {name: logged.get(name, 0) + value / mine for name, value in part.items()}
        gradient = torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        gradient = gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient
        done = step / settings.steps if settings.steps else seconds / (settings.minutes * 60)
        share = rate_share(step, done, settings)
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

        values = mean_over(torch.stack([value.float() for value in logged.values()]), world).tolist()
        figures = dict(zip(logged, values, strict=True)) | {"gradient": float(gradient)}
        frames_seen += round(figures.pop("frames") * settings.parts)
        step += 1
        seconds = of_first(seconds + time.perf_counter() - began, world)
        sums = {name: sums.get(name, 0.0) + value for name, value in figures.items()}
        counted += 1
        if world.first:
            logs[STEPS].add(step=step, loss=figures["loss"], gradient=figures["gradient"], rate=share)
        reports = seconds - last_report > report_every or ended()
        saves = reports or seconds - last_save > settings.save_minutes * 60
        saves = saves or bool(settings.save_steps and step % settings.save_steps == 0)
        if not saves:
            continue
        average = whole(averaged.state_dict())
        own = {"averaged": average, "step": step, "seconds": seconds, "frames_seen": frames_seen}
        own["settings"] = asdict(settings)
        if reports and world.first:
            means = {name: round(total / counted, 4) for name, total in sums.items()}
            speeds = {"rate": share, "frames_per_s": frames_seen / seconds}
            speeds |= {"waited": waited / max(seconds - last_report, 1e-9), "skipped": skipped}
            known = probe(unflatten(average), settings.model, store)
            show(step, seconds, speeds, means, known)
            logs[REPORTS].add(step=step, seconds=seconds, frames=frames_seen, **speeds, **means, probe=known)
            board.scalars(step, speeds | means | {f"joint_mm/{name}": row[0] for name, row in known.items()})
            board.motion(step, unflatten(average), settings.model, store)
            error = float(np.mean([mm for mm, _, _ in known.values()])) if known else float("inf")
            if error < best:
                best = error
                save(out / BEST, **own, best=best)
        trained = {"module": whole(module.state_dict()), "optimizers": [whole(one.state_dict()) for one in optimizers]}
        if world.first:
            save(out / LATEST, **own, **trained, best=best, rng=torch.get_rng_state())
            for log in logs.values():
                log.write()
        last_save = seconds
        if reports:
            sums, counted, last_report, waited = {}, 0, seconds, 0.0
    leave(world)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m training train", description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="a folder made by prepare")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="base")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="of training in all, when other than the preset's")
    length.add_argument("--steps", type=int, help="the same in steps; such a run can be repeated exactly")
    parser.add_argument("--parts", type=int, help="batches a step, shared by the processes (one a process)")
    parser.add_argument("--frames", type=int, help="frames of a part")
    parser.add_argument("--start", type=Path, help="weights to begin a new run with, a file that export wrote")
    parser.add_argument("--gain", type=float, help="of all learning rates; below 1 for weights that were trained")
    parser.add_argument("--fall", type=float, help="the share of the run, at its end, over which the rate falls")
    parser.add_argument("--curve", choices=("linear", "cosine"), help="how the rate falls")
    parser.add_argument("--bf16", action="store_true", help="the model's products in bfloat16; pays on GPUs")
    parser.add_argument("--compile", action="store_true", help="torch.compile; needs a C++ compiler on CPUs")
    parser.add_argument("--shard", action="store_true", help="FSDP2: parameters spread over the processes")
    parser.add_argument("--workers", type=int, help="processes that load batches, for each training process")
    parser.add_argument("--save-minutes", type=float, help="between checkpoints")
    parser.add_argument("--save-steps", type=int, help="the same in steps, besides")
    parser.add_argument("--report-seconds", type=float, default=240.0, help="between reports on held-out clips")
    parser.add_argument("--trust", action="store_true", help="start without comparing the shards' checksums")
    parser.add_argument("--threads", type=int, help="CPU threads of each process")
    arguments = parser.parse_args(argv)
    settings = PRESETS[arguments.preset]
    names = ("parts", "frames", "gain", "fall", "curve", "workers", "save_minutes", "save_steps")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    given |= {"bf16": arguments.bf16, "compiled": arguments.compile, "sharded": arguments.shard}
    if arguments.minutes is not None:
        given |= {"minutes": arguments.minutes, "steps": None}
    if arguments.steps is not None:
        given |= {"steps": arguments.steps, "minutes": None}
    given.setdefault("parts", int(os.environ.get("WORLD_SIZE", 1)))
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    settings = replace(settings, **given)
    train(arguments.data, arguments.out, settings, arguments.report_seconds, not arguments.trust, arguments.start)
