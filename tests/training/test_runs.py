"""Runs as a user starts them: several processes, kill -9, full disks, checkpoints of something else.

python -m pytest tests/training/test_runs.py
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from backend.errors import UserError  # noqa: E402
from backend.model import initial_parameters  # noqa: E402
from tests.training.takes import write_takes  # noqa: E402
from training.augment import Augmentation, augment, joint_count  # noqa: E402
from training.dataset import MOST_PADDING, WindowBatches  # noqa: E402
from training.measure import measure  # noqa: E402
from training.objective import Losses, as_module, draw  # noqa: E402
from training.prepare import prepare  # noqa: E402
from training.presets import TINY  # noqa: E402
from training.run_folder import Log, load, save  # noqa: E402
from training.store import ClipStore  # noqa: E402
from training.train import train  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
STEPS = 20
OPTIONS = ["--preset", "tiny", "--steps", str(STEPS), "--frames", "256", "--threads", "1", "--report-seconds", "1e9"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A prepared data set."""
    folder = tmp_path_factory.mktemp("data")
    write_takes(folder / "takes")
    prepare([folder / "takes"], folder / "set", 1, lambda text: None)
    return folder / "set"


def command(data: Path, out: Path, *more: str) -> list[str]:
    """The arguments of Python for a short run."""
    return ["-m", "training", "train", str(data), "--out", str(out), *OPTIONS, *more]


def run(*arguments: str, **more):
    """Runs Python to its end."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, **more
    )


def losses(out: Path) -> list[float]:
    """The loss of every step of a run, which are all there."""
    lines = [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """A run by one process, two parts a step."""
    out = tmp_path_factory.mktemp("alone")
    done = run(*command(data, out, "--parts", "2"))
    assert done.returncode == 0, done.stderr
    return out


# Muon's iterations magnify how shares of a matrix round.
@pytest.mark.parametrize("more, near", (((), 1e-4), (("--shard",), 1e-3)), ids=("DistributedDataParallel", "FSDP2"))
def test_two_processes_learn_as_one_does(more, near, data, alone, tmp_path):
    """The same global batch, the same losses over all steps; weights that agree."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = run(*launch, *command(data, tmp_path, "--parts", "2", *more))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 processes" in done.stdout and done.stdout.count("going on") == 0
    np.testing.assert_allclose(losses(tmp_path), losses(alone), atol=near)
    first, second = (torch.load(out / "latest.pt", weights_only=False) for out in (alone, tmp_path))
    for name, value in first["module"].items():
        torch.testing.assert_close(second["module"][name], value, atol=2e-3, rtol=0.02)


def test_a_killed_run_goes_on_as_if_nothing_had_happened(data, alone, tmp_path):
    """kill -9 between checkpoints, then the same command: every step's loss is the uninterrupted run's, exactly."""
    arguments = command(data, tmp_path, "--parts", "2", "--save-steps", "4")
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    until = time.monotonic() + 100
    while not (tmp_path / "latest.pt").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = torch.load(tmp_path / "latest.pt", weights_only=False)
    assert 4 <= kept["step"] < STEPS and kept["step"] % 4 == 0
    done = run(*arguments)
    assert done.returncode == 0 and f"going on at step {kept['step']}" in done.stdout
    assert losses(tmp_path) == losses(alone)
    first, second = (torch.load(out / "latest.pt", weights_only=False) for out in (alone, tmp_path))
    assert all(torch.equal(second["averaged"][name], value) for name, value in first["averaged"].items())
    assert all(torch.equal(second["module"][name], value) for name, value in first["module"].items())


def test_a_run_leaves_what_a_person_wants_to_see(alone):
    """Latest and best weights, figures for TensorBoard with a picture, reports with active units and padding."""
    names = {path.name for path in alone.iterdir()}
    assert {"latest.pt", "best.pt", "log.jsonl", "steps.jsonl"} <= names
    (line,) = [json.loads(line) for line in (alone / "log.jsonl").read_text().splitlines()]
    assert {"nats_0", "nats_1", "active_0", "active_1", "padding", "waited", "probe", "loss"} <= set(line)
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    shown = events.EventAccumulator(str(alone / "tensorboard"))
    shown.Reload()
    assert {"loss", "nats_0", "active_1", "joint_mm/walkers"} <= set(shown.Tags()["scalars"])
    assert shown.Tags()["images"] == ["reconstruction"]


def test_a_checkpoint_of_something_else_is_named(data, alone, tmp_path):
    """Another size, other batches, a broken file: what differs and what to do, without touching the run."""
    before = (alone / "latest.pt").read_bytes()
    other = replace(TINY, parts=2, frames=256, steps=STEPS, model=replace(TINY.model, width=96))
    with pytest.raises(UserError, match="another configuration.*width.*48.*width.*96.*another --out"):
        load(alone, other)
    done = run(*command(data, alone, "--parts", "4"))
    assert done.returncode == 1 and "parts: 2 there, 4 asked for" in done.stderr and "Traceback" not in done.stderr
    assert (alone / "latest.pt").read_bytes() == before
    (tmp_path / "latest.pt").write_bytes(before[: len(before) // 2])
    with pytest.raises(UserError, match="can't be read"):
        load(tmp_path, other)


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, capsys):
    """A limit on the size of files stands in for the disk: training hears of it, the file stays whole."""
    path = tmp_path / "latest.pt"
    assert save(path, value=torch.zeros(10))
    limits, old = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        assert not save(path, value=torch.zeros(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert "the one before is kept" in capsys.readouterr().out
    assert torch.equal(torch.load(path)["value"], torch.zeros(10)) and list(tmp_path.iterdir()) == [path]


def test_a_damaged_shard_stops_a_run_before_it_begins(data, tmp_path):
    """One flipped bit is named; nothing is written."""
    for path in data.rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(data)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    shard = sorted(tmp_path.glob("shards/*.safetensors"))[0]
    data_bytes = bytearray(shard.read_bytes())
    data_bytes[len(data_bytes) // 2] ^= 1
    shard.write_bytes(data_bytes)
    with pytest.raises(UserError, match=shard.name):
        train(tmp_path, tmp_path / "run", TINY)
    assert not (tmp_path / "run" / "latest.pt").exists()


def test_lines_after_the_checkpoint_are_taken_out(tmp_path):
    """A log opened at a step has nothing of later steps, nor the half line of a kill."""
    log = Log(tmp_path / "log", 0)
    for step in (1, 2, 3):
        log.add(step=step)
    log.write()
    with (tmp_path / "log").open("a") as file:
        file.write('{"step": 2, "lo')
    Log(tmp_path / "log", 2)
    assert (tmp_path / "log").read_text() == '{"step": 1}\n{"step": 2}\n'


# Batches


def test_batches_are_a_function_of_seed_step_and_part(data):
    """Whoever makes them, wherever they begin, with or without workers."""
    store = ClipStore(data)

    def batches(parts, step=0, seed=0, workers=0):
        made = WindowBatches(store, store.select("train"), ((64, 1.0),), 256, Augmentation(), seed, parts, step)
        return iter(torch.utils.data.DataLoader(made, batch_size=None, num_workers=workers))

    def same(first, second):
        return first["rotations"].shape == second["rotations"].shape and all(
            torch.equal(first[name], second[name]) for name in first
        )

    whole = batches((0, 1))
    first = [next(whole) for _ in range(6)]  # steps 0, 1, 2 of parts 0, 1
    late, loaded, half = batches((0, 1), step=1), batches((0, 1), workers=2), batches((1,))
    assert all(same(next(late), batch) for batch in first[2:])
    assert all(same(next(loaded), batch) for batch in first)
    assert all(same(next(half), batch) for batch in first[1::2])
    assert not same(first[0], first[1]) and not same(first[0], next(batches((0,), seed=1)))


def test_joints_are_counted_without_changing_a_clip(data):
    """`joint_count` says what `augment` does with the same random numbers."""
    store, wild = ClipStore(data), Augmentation(merge=0.6, drop=0.6, split=0.5)
    for seed in range(60):
        index = store.select("train")[seed % 12]
        clip, hands = store.window(index, np.arange(4.0)), seed % 2 == 0
        frame = (store.rotations(index, np.array([0]))[0], 0.5)
        rest = store.skeleton(index)["rests"]
        other = augment(clip, rest, frame, wild, np.random.default_rng(seed), hands)
        assert joint_count(store.parents(index), wild, np.random.default_rng(seed), hands) == len(other.parents)


def test_few_joints_of_a_batch_are_padding(data):
    """With skeletons of many sizes, half of them with hands."""
    store = ClipStore(data)
    batches = WindowBatches(store, store.select("train"), ((64, 1.0),), 1024, Augmentation(hands=0.5), 0)
    masks = [batches.batch(step, 0)["mask"] for step in range(25)]
    assert len({mask.shape[1] for mask in masks}) > 5
    assert 1 - sum(float(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks) < MOST_PADDING


# Other ways to compute


def test_bfloat16_losses_are_the_same_losses(data):
    """Within what eight bits allow, gradients finite."""
    store = ClipStore(data)
    batch = WindowBatches(store, store.select("train"), ((64, 1.0),), 256, Augmentation(), 0).batch(0, 0)
    drawn = draw(TINY, *batch["valid"].shape, (0, 0, 0))
    module = as_module(initial_parameters(TINY.model, 0))
    plain, _ = Losses(module, TINY)(batch, drawn)
    short, _ = Losses(module, replace(TINY, bf16=True))(batch, drawn)
    assert float(short.detach()) == pytest.approx(float(plain.detach()), rel=0.02) and not torch.equal(short, plain)
    short.backward()
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in module.parameters())


def test_measure_prints_what_a_step_costs(data):
    """Every figure is there and sound; memory grows with the length and no faster."""
    lines = []
    figures = measure(data, replace(TINY, workers=0), 0.0, lines.append)
    text = "\n".join(lines)
    assert "frames a second" in text and "plain torch.nn" in text
    assert 0 < figures["peak_share"] < 1.5 and 0 <= figures["padding"] < MOST_PADDING and 0.3 < figures["ratio"] < 30
    memory = figures["memory"]
    assert 2 < memory[1024] / memory[256] < 4.5 and 2 < memory[4096] / memory[1024] < 4.5
