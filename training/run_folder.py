"""A run's folder: checkpoints that are whole or not there, and logs that end where the checkpoint does."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import torch

from backend.errors import UserError

from .presets import Settings

LATEST, BEST = "latest.pt", "best.pt"
STEPS, REPORTS = "steps.jsonl", "log.jsonl"


def save(path: Path, **state) -> bool:
    """Writes a checkpoint beside `path` and renames it, so that a cut never leaves half a file.

    Returns:
        Whether it could be written. Where not (a full disk), the one before stays and the reason is printed: hours of
        training must not end for want of a file, and the next one may succeed.
    """
    part = path.with_suffix(".part")
    try:
        with open(part, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch wraps what the disk says
        part.unlink(missing_ok=True)
        kept = "the one before is kept" if path.exists() else "there is none before it"
        print(
            f"{path} can't be written ({error}); {kept}. Make room: the next checkpoint is tried in time.", flush=True
        )
        return False
    return True


def load(folder: Path, settings: Settings) -> dict | None:
    """The latest checkpoint of a run, None where there is none.

    Raises:
        UserError: it can't be read, or is of another model or of other batches than the settings say.
    """
    path = folder / LATEST
    if not path.exists():
        return None
    try:
        state = torch.load(path, weights_only=False, map_location="cpu")
        kept, wanted = state["settings"], asdict(settings)
    except Exception as error:  # a broken pickle raises many kinds
        raise UserError(
            f"{path} can't be read ({error}). Move it away to start anew, or put a copy of the run in its place."
        ) from error
    names = ("model", "seed", "frames", "lengths", "parts")
    other = {name: (kept.get(name), wanted[name]) for name in names if not same(kept.get(name), wanted[name])}
    if other:
        listed = "; ".join(f"{name}: {found} there, {asked} asked for" for name, (found, asked) in other.items())
        raise UserError(f"{path} is of another configuration ({listed}). Use its preset and options, or another --out.")
    for name in wanted:
        if name not in names and not same(kept.get(name), wanted[name]):
            print(f"changed since: {name} was {kept.get(name)}, is {wanted[name]}")
    return state


def same(first, second) -> bool:
    """Whether two settings agree, lists and tuples alike."""
    return json.loads(json.dumps(first, default=str)) == json.loads(json.dumps(second, default=str))


class Log:
    """Lines of JSON in a file; opened at a step, what was written of later steps is taken out."""

    def __init__(self, path: Path, step: int):
        self.path = path
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _step_of(line) <= step]
            if len(kept) < len(lines):
                part = path.with_suffix(".part")
                part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
                part.replace(path)
        self.waiting = []

    def add(self, **line) -> None:
        """Keeps a line for the next `write`."""
        self.waiting.append(json.dumps(line))

    def write(self) -> None:
        """Appends the lines kept; on a full disk they are kept on."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in self.waiting))
        except OSError as error:
            print(f"{self.path} can't be written ({error})", flush=True)
        else:
            self.waiting = []


def _step_of(line: str) -> float:
    """The step of a line; a line that was cut counts as late."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
        return float("inf")
