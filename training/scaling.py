"""python -m training scaling RUN... --out DIR: loss and held-out error against compute, for runs of any sizes.

Reads each run's `log.jsonl` and, for the sizes, `latest.pt`. Writes `scaling.png`, `scaling.md` and `scaling.json`.
Compute is counted, not timed: three times the operations of the matrix products of a forward pass (PyTorch's counter,
on windows of a body of 24 joints) for every frame that a run has seen.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.errors import UserError

from .figures import canvas
from .tables import table

JOINTS, FRAMES = 24, 64  # of the windows that the operations are counted on
WINDOWS = 4
PASSES = 3  # a training step takes as much as three forward passes
UNSEEN = ["characters", "creatures", "decentraland", "eval_bandai"]  # sets whose held-out clips are other rigs
COLOURS = ("#c8553d", "#28586e", "#d9a441", "#6fa3b8", "#7a5c8e", "#5b8c5a", "#9a9a96", "#222222")


@dataclass(frozen=True)
class Run:
    """What a run's files say.

    Attributes:
        name: of its folder. parameters: how many. flop_frame: operations a frame seen. clips: that it trained on, if
        its settings say so. lines: of its log, in order of steps. unseen: sets whose held-out clips are of other rigs.
    """

    name: str
    parameters: int
    flop_frame: float
    clips: int | None
    lines: list[dict]
    unseen: tuple[str, ...]

    def flop(self) -> np.ndarray:
        """Operations until each line of the log."""
        return np.array([line["frames"] for line in self.lines]) * self.flop_frame

    def held_out(self, unseen: bool) -> np.ndarray:
        """Joint error in mm at each line, mean over the sets of held-out clips; NaN where there are none."""
        rows = []
        for line in self.lines:
            errors = [figures[0] for name, figures in line["probe"].items() if (name in self.unseen) == unseen]
            rows.append(np.mean(errors) if errors else np.nan)
        return np.array(rows)


def log_lines(path: Path) -> list[dict]:
    """The reports of a run's log; a last line that was cut is left out.

    Raises:
        UserError: there is no log, or no report in it.
    """
    if not path.exists():
        raise UserError(f"{path.parent} is no run: it lacks {path.name}. Give folders that `train` has written.")
    lines = {}
    for text in path.read_text().splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and {"step", "frames", "loss", "probe"} <= set(line):
            lines[line["step"]] = line  # a run that went on from an earlier step has its last word
    if not lines:
        raise UserError(f"{path} holds no report with step, frames, loss and probe. Has the run reached its first?")
    return [lines[step] for step in sorted(lines)]


def forward_flop(config) -> float:
    """Operations a frame of a forward pass, of all matrix products, by PyTorch's counter."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from backend.features import JOINT_INPUT_SIZE, ROOT_SIZE, structure_arrays
    from backend.model import decode, embed_skeleton, encode, initial_parameters

    from .train import as_module, as_tree

    parents = np.maximum(np.arange(JOINTS) - 2, -1)
    parents[1] = 0
    offsets = np.full((JOINTS, 3), 1 / JOINTS)
    offsets[0] = 0
    arrays = structure_arrays(parents, offsets, np.zeros(JOINTS, bool))
    structure = {}
    for name, array in arrays.items():
        kind = torch.int64 if name == "relations" else torch.float32
        structure[name] = torch.as_tensor(np.stack([array] * WINDOWS)).to(kind)
    tree = as_tree(as_module(initial_parameters(config, 0)))
    joints, root = torch.zeros(WINDOWS, FRAMES, JOINTS, JOINT_INPUT_SIZE), torch.zeros(WINDOWS, FRAMES, ROOT_SIZE)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        adapters = embed_skeleton(tree, config, structure)
        posteriors = encode(tree, config, adapters, joints, root, structure["mask"])
        decode(tree, config, adapters, tuple(mean for mean, _ in posteriors))
    return counter.get_total_flops() / (WINDOWS * FRAMES)


def read_run(folder: Path, unseen) -> Run:
    """A run's sizes and log.

    Raises:
        UserError: see `log_lines`; or its weights are missing.
    """
    import torch

    from .export import model_config

    lines, latest = log_lines(folder / "log.jsonl"), folder / "latest.pt"
    if not latest.exists():
        raise UserError(f"{folder} has a log but no {latest.name}, which says how large its model is.")
    state = torch.load(latest, weights_only=False, map_location="cpu", mmap=True)
    config = model_config(state["settings"]["model"])
    count = sum(array.numel() for array in state["averaged"].values())
    return Run(folder.name, count, PASSES * forward_flop(config), state["settings"].get("clips"), lines, tuple(unseen))


def draw_scaling(path: Path, runs: list[Run]) -> None:
    """Training loss and held-out errors against operations, a line a run."""
    figure, axes = canvas(13.0, 4.4, 3)
    titles = ("training loss", "held-out clips, trained skeletons", "held-out clips, unseen rigs")
    for each, title in zip(axes, titles, strict=True):
        each.set(xscale="log", yscale="log", xlabel="operations of training, FLOP", title=title)
    for run, colour in zip(runs, COLOURS * len(runs), strict=False):
        label = f"{run.name}, {run.parameters / 1e6:.1f} M" + (f", {run.clips} clips" if run.clips else "")
        values = (np.array([line["loss"] for line in run.lines]), run.held_out(False), run.held_out(True))
        for each, column in zip(axes, values, strict=True):
            each.plot(run.flop(), column, "o-", color=colour, markersize=3, linewidth=1.2, label=label)
    axes[1].set_ylabel("joint error, mm")
    for each in axes:
        each.yaxis.set_major_formatter("{x:g}")
        each.yaxis.set_minor_formatter("{x:g}")
        each.tick_params(axis="y", which="both", labelsize=7)
    axes[0].legend(fontsize=7, frameon=False)
    figure.savefig(path)


def scaling_rows(runs: list[Run]) -> list[dict]:
    """What each run came to."""
    return [
        {
            "run": run.name,
            "parameters": run.parameters,
            "clips": run.clips,
            "mflop_frame": run.flop_frame / 1e6,
            "frames": run.lines[-1]["frames"],
            "flop": float(run.flop()[-1]),
            "seconds": run.lines[-1].get("seconds"),
            "loss": run.lines[-1]["loss"],
            "trained_mm": float(run.held_out(False)[-1]),
            "unseen_mm": float(run.held_out(True)[-1]),
        }
        for run in runs
    ]


def scaling_table(rows: list[dict]) -> str:
    """The same as Markdown."""
    heads = ["run", "parameters, M", "MFLOP a frame", "frames seen, M", "FLOP", "hours", "loss"]
    heads += ["held out, trained skeletons, mm", "unseen rigs, mm"]
    lines = [
        [
            row["run"],
            f"{row['parameters'] / 1e6:.2f}",
            f"{row['mflop_frame']:.1f}",
            f"{row['frames'] / 1e6:.2f}",
            f"{row['flop']:.2e}",
            "-" if row["seconds"] is None else f"{row['seconds'] / 3600:.2f}",
            f"{row['loss']:.3f}",
            *("-" if np.isnan(row[name]) else f"{row[name]:.1f}" for name in ("trained_mm", "unseen_mm")),
        ]
        for row in rows
    ]
    return table(heads, lines)


def scaling(folders: list[Path], out: Path, unseen=UNSEEN, report=print) -> list[dict]:
    """Reads the runs and writes the figure and the table."""
    runs = [read_run(folder, unseen) for folder in folders]
    rows = scaling_rows(runs)
    out.mkdir(parents=True, exist_ok=True)
    draw_scaling(out / "scaling.png", runs)
    (out / "scaling.json").write_text(json.dumps(rows, indent=1))
    page = f"# Loss against compute\n\n{scaling_table(rows)}\n\n![Loss and held-out error by run](scaling.png)\n"
    (out / "scaling.md").write_text(page)
    report(scaling_table(rows))
    return rows


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m training scaling", description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders that `train` has written")
    parser.add_argument("--out", type=Path, required=True, help="the folder for figure and table")
    text = "sets whose held-out clips are of rigs that training never saw, commas between"
    parser.add_argument("--unseen", type=lambda text: text.split(","), default=UNSEEN, help=text)
    arguments = parser.parse_args(argv)
    scaling(arguments.runs, arguments.out, arguments.unseen)
