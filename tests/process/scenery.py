"""What the process tests stand on: the extension without Blender, a tiny seeded model, motions, environments."""

import importlib
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np

from backend.checkpoint import Checkpoint, save_checkpoint
from backend.model import Level, ModelConfig, initial_parameters
from backend.motion import Motion, motion_to_arrays
from backend.rotations import quaternion_normalize
from backend.skeleton import Skeleton

TINY = ModelConfig(
    width=32,
    heads=2,
    joint_width=16,
    joint_heads=2,
    joint_depth=1,
    levels=(Level(32, 1, 1, 8, 6), Level(None, 1, 1, 4)),
)


def load_extension(folder: Path) -> types.SimpleNamespace:
    """The client's modules from an extension's folder, entered beside its `__init__`, which needs bpy."""
    name = f"extension_{abs(hash(str(folder)))}"
    package = types.ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules[name] = package
    modules = {module: importlib.import_module(f"{name}.{module}") for module in ("client", "pythons")}
    return types.SimpleNamespace(folder=folder, package=name, **modules)


def save_tiny_checkpoint(path: Path) -> Path:
    """A seeded, untrained model of a few thousand weights."""
    chunk, clip = (level.latent for level in TINY.levels)
    statistics = {
        "clip_factor": np.eye(clip),
        "shift_factor": np.eye(chunk),
        "chunk_factor": np.eye(chunk),
        "chunk_correlation": np.array([0.5]),
    }
    save_checkpoint(path, Checkpoint(TINY, initial_parameters(TINY, seed=1), statistics, "tiny", "seeded, untrained"))
    return path


def example_motion(frames: int = 90, joints: int = 12, seed: int = 0) -> dict:
    """The message arrays of a smooth motion of a seeded body: three limbs on a root."""
    generator = np.random.default_rng(seed)
    parents = np.array([-1] + [0 if joint % 4 == 1 else joint - 1 for joint in range(1, joints)])
    rest = np.tile(np.eye(4), (joints, 1, 1))
    for joint in range(1, joints):
        rest[joint, :3, 3] = rest[parents[joint], :3, 3] + generator.normal(0, 0.2, 3)
    time_s = np.arange(frames)[:, None, None] / 30
    phase, rate = generator.uniform(0, 6, (joints, 3)), generator.uniform(1, 4, (joints, 3))
    turns = 0.3 * np.sin(rate * time_s + phase)
    rotations = quaternion_normalize(np.concatenate((np.ones((frames, joints, 1)), turns), axis=-1))
    roots = np.concatenate((0.2 * time_s[:, 0], 0 * time_s[:, 0], 1 + 0 * time_s[:, 0]), axis=-1)
    return motion_to_arrays(Motion(Skeleton(parents, rest), 30.0, roots, rotations))


def is_alive(pid: int) -> bool:
    """Whether a process runs (a child that ended and wasn't waited for doesn't)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, limit_s: float = 10.0) -> float:
    """Wait for a condition; the seconds that it took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > limit_s:
            raise TimeoutError(f"Nothing within {limit_s} s.")
        time.sleep(0.005)
    return time.monotonic() - started


def wait_ready(client) -> None:
    """Start a client and wait for its first answer."""
    client.start()
    wait_until(lambda: client.poll() is not None and client.state != "starting", 30)


def bare_environment(folder: Path, packages=("numpy",)) -> Path:
    """A real Python environment that has only the named packages of this one; its python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for package in packages:
        source = Path(importlib.import_module(package).__file__).parent
        (site / package).symlink_to(source)
        if (source.parent / f"{package}.libs").is_dir():
            (site / f"{package}.libs").symlink_to(source.parent / f"{package}.libs")
    return folder / "bin" / "python"
