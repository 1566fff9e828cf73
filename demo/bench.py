"""python build.py bench: how long a click takes in a real Blender, stage by stage, and the bare limits beside.

65 joints, a key on every frame, the numpy engine, a backend that runs already. A click includes everything: reading the
keys, the message there and back, encoding, the variations with their contacts, writing the new actions. The limits are
the same work with nothing around it: reading and writing keys with Blender's barest calls, and the model's matrix
products alone, of the same shapes, on this machine.
"""

import argparse
import dataclasses
import importlib
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from . import bench_clip, session

CASES = ((300, 3), (4_000, 1), (16_000, 1))
GOALS_S = {300: 3.0, 4_000: 15.0}
GROWTH_GOAL = 4.4
REPEATS = {300: 3}  # the median of so many clicks; one where a click takes seconds
WARM_FRAMES = 64
PRODUCT_SIZE, PRODUCT_REPEATS = 1024, 8
POLL_S = 0.002


class Recorded(np.ndarray):
    """Arrays that note the shapes of the matrix products that they take part in."""

    shapes = Counter()

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **settings):
        plain = [part.view(np.ndarray) if isinstance(part, Recorded) else part for part in inputs]
        if ufunc is np.matmul and method == "__call__":
            Recorded.shapes[plain[0].shape, plain[1].shape] += 1
        if out is not None:
            settings["out"] = tuple(part.view(np.ndarray) if isinstance(part, Recorded) else part for part in out)
        result = getattr(ufunc, method)(*plain, **settings)
        return result.view(Recorded) if isinstance(result, np.ndarray) else result


def recorded(tree):
    """A nested dict's arrays as recorded ones."""
    return {name: recorded(part) if isinstance(part, dict) else part.view(Recorded) for name, part in tree.items()}


def product_limit(motion, variations: int) -> tuple[float, float]:
    """Seconds and GFLOP of the matrix products in one encoding and so many variations, run alone."""
    encoder = importlib.import_module(f"{session.EXTENSION}.backend.encoding")
    sampling = importlib.import_module(f"{session.EXTENSION}.backend.sampling")
    jobs = importlib.import_module(f"{session.EXTENSION}.backend.jobs")
    model = encoder.load_model(jobs.SHIPPED_CHECKPOINT, "numpy")
    model = dataclasses.replace(model, parameters=recorded(model.parameters))
    Recorded.shapes.clear()
    encoding = encoder.encode_motion(model, motion, ignore)
    for seed in range(variations):
        latents = sampling.new_latents(model, encoding, "PHRASES", np.random.default_rng(seed))
        encoder.decode_pose(model, encoding, latents)
    seconds = flops = 0.0
    for (left, right), count in Recorded.shapes.items():
        a, b = np.ones(left, np.float32), np.ones(right, np.float32)
        a @ b
        started = time.perf_counter()
        a @ b
        seconds += count * (time.perf_counter() - started)
        flops += count * 2.0 * np.prod(np.broadcast_shapes(left[:-2], right[:-2])) * left[-2] * left[-1] * right[-1]
    return seconds, flops / 1e9


def ignore(fraction, text) -> None:
    """Takes progress that nobody looks at."""


def product_rate() -> float:
    """GFLOP/s of large float32 products."""
    a = np.ones((PRODUCT_SIZE, PRODUCT_SIZE), np.float32)
    a @ a
    started = time.perf_counter()
    for _ in range(PRODUCT_REPEATS):
        a @ a
    return PRODUCT_REPEATS * 2 * PRODUCT_SIZE**3 / (time.perf_counter() - started) / 1e9


def click(count: int) -> float:
    """Seconds of one click on Resample motion, as a script does it."""
    import bpy

    started = time.perf_counter()
    bpy.ops.motion_variations.resample(count=count, seed=1, show_first=False)
    return time.perf_counter() - started


def stages(armature, action, count: int):
    """Seconds of each stage of the same work, done step by step with the extension's own parts, and the motion read."""
    timeline, connection, motions, changes = (
        importlib.import_module(f"{session.EXTENSION}.{name}")
        for name in ("timeline", "connection", "backend.motion", "backend.change")
    )
    seconds = Counter()
    started = time.perf_counter()
    reading = timeline.read(armature, action)
    seconds["reading the keys"] = time.perf_counter() - started
    arrays = motions.motion_to_arrays(reading.motion)
    stage, begun, found = "the message", time.perf_counter(), []
    fields = {"settings": {}, "seeds": list(range(1, count + 1))}
    for event in connection.ask("resample", arrays, **fields):
        if event is None:
            time.sleep(POLL_S)
            continue
        now = time.perf_counter()
        seconds[stage] += now - begun
        begun = now
        if event.kind == "progress":
            stage = event.head["text"].split(": ")[-1].lower()
        elif "rotation" in event.arrays:
            stage = "the message"
            found.append(changes.arrays_to_change(event.arrays))
    started = time.perf_counter()
    for change in found:
        timeline.write_variation(reading, change, "benchmark")
    seconds["writing the keys"] = time.perf_counter() - started
    return seconds, reading.motion


def measure(armature, frames: int, count: int) -> dict:
    """One case: clicks, stages, limits."""
    import bpy

    clicks = []
    for repeat in range(REPEATS.get(frames, 1)):  # another motion each time, or the backend would know it already
        values = bench_clip.channel_values(armature, frames, seed=repeat + 1)
        bench_clip.make_action(armature, values, f"{frames} frames {repeat}")
        clicks.append(click(count))
    values = bench_clip.channel_values(armature, frames, seed=99)
    started = time.perf_counter()
    action, slot = bench_clip.make_action(armature, values, f"{frames} frames staged")
    writing = count * (time.perf_counter() - started)
    started = time.perf_counter()
    bench_clip.read_keys(action, slot)
    reading = time.perf_counter() - started
    parts, motion = stages(armature, action, count)
    if motion.rotations.shape[1] != bench_clip.JOINTS:
        raise RuntimeError(f"{motion.rotations.shape[1]} joints were read, expected {bench_clip.JOINTS}.")
    products, gflop = product_limit(motion, count)
    armature.motion_variations.rows.clear()
    for leftover in list(bpy.data.actions):
        bpy.data.actions.remove(leftover)
    bare = {"reading the keys": reading, "writing the keys": writing}
    return {"click": float(np.median(clicks)), "stages": parts, "bare": bare, "products": products, "gflop": gflop}


def table(results) -> str:
    """The figures as Markdown."""
    heads = [f"{frames:,} frames, {count} variation{'s' * (count > 1)}" for frames, count in CASES]
    lines = ["| seconds (bare limit) | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    lines.append("| **click to written** | " + " | ".join(f"**{result['click']:.2f}**" for result in results) + " |")
    names = list(dict.fromkeys(name for result in results for name in result["stages"]))
    names.sort(key=lambda name: (name == "writing the keys", name == "the message", name != "reading the keys"))
    for name in names:
        cells = []
        for result in results:
            share = result["stages"][name] / sum(result["stages"].values())
            bare = f" ({result['bare'][name]:.3f})" if name in result["bare"] else ""
            cells.append(f"{result['stages'][name]:.3f}{bare}, {100 * share:.0f} %")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    cells = [f"{result['products']:.3f}, {result['gflop']:.1f} GFLOP" for result in results]
    lines.append("| the model's matrix products alone | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdict(results) -> list[str]:
    """Which goals are met, in sentences."""
    by_frames = {frames: result["click"] for (frames, _), result in zip(CASES, results, strict=True)}
    sentences = [
        f"{frames:,} frames in {by_frames[frames]:.2f} s, goal under {goal:g} s: "
        f"{'met' if by_frames[frames] < goal else 'NOT met'}."
        for frames, goal in GOALS_S.items()
    ]
    growth = by_frames[16_000] / by_frames[4_000]
    is_met = "met" if growth <= GROWTH_GOAL else "NOT met"
    return [*sentences, f"16,000 frames take {growth:.1f} times the 4,000, goal at most {GROWTH_GOAL}: {is_met}."]


def main(arguments=None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python build.py bench", description=__doc__.split("\n")[0])
    parser.add_argument("--zip", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="motion_variations_bench_") as folder:
        bpy = session.open_blender(options.zip.resolve(), Path(folder))
        armature = bench_clip.make_performer()
        bpy.context.scene.render.fps = 24
        bench_clip.make_action(armature, bench_clip.channel_values(armature, WARM_FRAMES, seed=0), "warm")
        click(1)
        results = [measure(armature, frames, count) for frames, count in CASES]
        rate = product_rate()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"\nBlender {bpy.app.version_string}, {bench_clip.JOINTS} joints, {os.cpu_count()} cores, load {load:.1f},")
    print(f"large float32 products {rate:.0f} GFLOP/s\n")
    print(table(results))
    print("\n" + "\n".join(verdict(results)), flush=True)
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    session.leave(code)
