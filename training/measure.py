"""python -m training measure DATA [--preset base]: what a step costs here, and what the machine could do.

Frames a second, the share of the machine's matrix peak, the share of the time that training waits for data, the padded
share of joints, the work over the same layers in plain torch.nn, and memory against length. Nothing is kept; run it
on a machine that does nothing else.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from backend.features import JOINT_INPUT_SIZE
from backend.model import MLP_RATIO, initial_parameters

from .objective import Losses, as_module, draw
from .plain_layers import PlainLayers
from .presets import PRESETS, Settings
from .processes import World
from .store import ClipStore
from .train import batches_of, loaded, optimizers_for, to_device

LENGTHS = (64, 256, 1024, 4096)  # frames at which memory is measured
PEAK_SECONDS = 1.0


def wait_for(device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_peak(settings: Settings, device) -> float:
    """Floating-point operations a second of the model's widest product on a batch's frames."""
    kind = torch.bfloat16 if settings.bf16 else torch.float32
    width = settings.model.width
    shapes = ((settings.frames, width), (width, MLP_RATIO * width))
    a, b = (torch.randn(shape, device=device, dtype=kind) for shape in shapes)
    rates, until = [], time.perf_counter() + PEAK_SECONDS
    while time.perf_counter() < until or len(rates) < 5:
        began = time.perf_counter()
        for _ in range(10):
            a @ b
        wait_for(device)
        rates.append(10 * 2 * a.numel() * b.shape[1] / (time.perf_counter() - began))
    return float(np.max(rates))


def work_time(device) -> float:
    """Seconds of this process's own work: on a CPU what others do at the same time doesn't count."""
    wait_for(device)
    return time.process_time() if device.type == "cpu" else time.perf_counter()


def one_step(engine, optimizers, batch, drawn, device) -> tuple[float, float]:
    """Seconds of a training step, and of the work of its forward and backward pass alone."""
    began, work = time.perf_counter(), work_time(device)
    engine(batch, drawn)[0].backward()
    work = work_time(device) - work
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    wait_for(device)
    return time.perf_counter() - began, work


def plain_work(plain: PlainLayers, batch, settings: Settings, device) -> float:
    """Seconds of work of the same layers in plain torch.nn, forward and back, on a batch of this shape."""
    count, frames = batch["valid"].shape
    joints = torch.randn(count, frames, batch["mask"].shape[1] * JOINT_INPUT_SIZE, device=device)
    began = work_time(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
        output = plain(batch["facts"], joints)
    output.float().square().mean().backward()
    work = work_time(device) - began
    plain.zero_grad(set_to_none=True)
    return work


def steps(store: ClipStore, settings: Settings, device, seconds: float) -> dict:
    """Figures of real steps for some seconds, each beside a plain one on the same shapes."""
    world = World(0, 1, device)
    engine = Losses(as_module(initial_parameters(settings.model, settings.seed)).to(device), settings)
    optimizers = optimizers_for(engine.weights, settings)
    plain = PlainLayers(settings.model).to(device)
    batches = batches_of(store, settings, (0,))
    loader = loaded(batches, settings, world)
    own, ratios, waits, frames, flops, padding, joints = [], [], [], [], [], [], []
    until, step = time.perf_counter() + seconds, 0
    while time.perf_counter() < until or step < 4:
        began = time.perf_counter()
        batch = to_device(next(loader), device)
        waits.append(time.perf_counter() - began)
        drawn = to_device(draw(settings, *batch["valid"].shape, (settings.seed, step, 0)), device)
        if step % 8 == 1:
            with FlopCounterMode(display=False) as counter:
                engine(batch, drawn)[0].backward()
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            flops.append(counter.get_total_flops() / batch["valid"].numel())
        seconds_taken, work = one_step(engine, optimizers, batch, drawn, device)
        own.append(seconds_taken)
        ratios.append(work / plain_work(plain, batch, settings, device))
        frames.append(batch["valid"].numel())
        padding.append(float(batch["mask"].numel() - batch["mask"].sum()) / batch["mask"].numel())
        joints.append(batch["mask"].shape[1])
        step += 1
    kept = slice(2, None)  # the first steps warm up
    rate = sum(frames[kept]) / sum(own[kept])
    return {
        "steps": len(own[kept]),
        "frames_per_s": rate,
        "flop_per_frame": float(np.mean(flops)),
        "ratio": float(np.median(ratios[kept])),
        "waited": sum(waits[kept]) / (sum(waits[kept]) + sum(own[kept])),
        "padding": float(np.average(padding, weights=frames)),
        "joints": float(np.mean(joints)),
    }


def kept_bytes(store: ClipStore, settings: Settings, frames: int, device) -> int:
    """Bytes that a window of one clip keeps from the forward pass for the backward one."""
    one = replace(settings, lengths=((frames, 1.0),), frames=frames)
    batch = batches_of(store, one, (0,)).batch(0, 0)
    batch = to_device({name: value[:1] for name, value in batch.items()}, device)
    engine = Losses(as_module(initial_parameters(settings.model, 0)).to(device), one)
    weights = {parameter.untyped_storage().data_ptr() for parameter in engine.parameters()}
    sizes = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss, _ = engine(batch, to_device(draw(one, 1, frames, (0, 0, 0)), device))
    del loss
    return sum(sizes.values())


def measure(data: Path, settings: Settings, seconds: float, report=print) -> dict:
    """All figures; reports them as a Markdown table and returns them."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    store = ClipStore(data)
    figures = steps(store, settings, device, seconds)
    figures["peak"] = matrix_peak(settings, device)
    figures["peak_share"] = figures["frames_per_s"] * figures["flop_per_frame"] / figures["peak"]
    figures["memory"] = {frames: kept_bytes(store, settings, frames, device) for frames in LENGTHS}
    kind = "bfloat16" if settings.bf16 else "float32"
    rows = [
        ("frames a second", f"{figures['frames_per_s']:,.0f}"),
        ("operations a frame, forward and back", f"{figures['flop_per_frame'] / 1e6:.1f} MFLOP"),
        ("the machine's own rate on such products", f"{figures['peak'] / 1e9:.0f} GFLOP/s, {kind}"),
        ("share of that rate", f"{figures['peak_share']:.0%}"),
        ("forward and back over the same layers in plain torch.nn", f"{figures['ratio']:.2f} times"),
        ("time waited for data", f"{figures['waited']:.1%}"),
        ("padded joints", f"{figures['padding']:.1%} of {figures['joints']:.0f}"),
    ]
    for frames, size in figures["memory"].items():
        rows.append((f"kept for a window of {frames} frames", f"{size / 2**20:.1f} MiB"))
    report(f"| {torch.get_num_threads()} threads, {device}, {figures['steps']} steps | |\n| --- | ---: |")
    report("\n".join(f"| {name} | {value} |" for name, value in rows))
    return figures


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m training measure", description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="a folder made by prepare")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="base")
    parser.add_argument("--seconds", type=float, default=30.0, help="of training steps")
    parser.add_argument("--bf16", action="store_true", help="the model's products in bfloat16")
    parser.add_argument("--threads", type=int, help="CPU threads")
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    measure(arguments.data, replace(PRESETS[arguments.preset], bf16=arguments.bf16), arguments.seconds)
