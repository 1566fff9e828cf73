"""python -m training adapt-check DATA --checkpoint FILE [--sets A,B] [--rigs N] [--seconds S] [--out DIR]

What adapting to a character brings: for rigs that training never saw, half of each rig's clips are learnt from as a
user would, the other half judges. Errors and variations before and after, as a table and as JSON. Needs torch.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.adapt import Effort, adapt
from backend.adaptation import adapted_model
from backend.change import apply_change
from backend.characters import encode_better
from backend.encoding import Model, load_model, reconstruction_figures
from backend.errors import UserError
from backend.motion import Motion
from backend.variation import VariationSettings, vary

from . import metrics
from .evaluate import names
from .held_out import RIG_A_FILE, is_trained, silent
from .store import ClipStore, clip_motion
from .tables import cell, table

MOST_CLIPS, MOST_FRAMES = 40, 600  # of a rig, of a clip
FEWEST_CLIPS = 6  # of a rig
WITHOUT_CONTACTS = ("change_deg", "jerk_ratio")
JUDGED, VARIED = 12, 4  # clips of each half: whose errors are measured, and of which variations are made
FIGURES = {"change_deg": "change, deg", "jerk_ratio": "jerk", "skate_cm_s": "skate, cm/s", "contact_overlap": "overlap"}


@dataclass(frozen=True)
class Rig:
    """A character of a data set: its name, the clips that are learnt from, and the others."""

    name: str
    used: list[Motion]
    other: list[Motion]


def find_rigs(store: ClipStore, sets, most: int) -> list[Rig]:
    """Rigs of held-out clips that have enough of them, those with most motion first, `most` of each set."""
    groups = {}
    for index, clip in enumerate(store.clips):
        if clip["split"] == "train" or clip["set"] not in sets or is_trained(store, clip["set"]):
            continue
        file = clip["path"].replace("\\", "/").split("/")[-1]
        key = file if clip["set"] in RIG_A_FILE else f"{clip['joints']} joints"
        groups.setdefault((clip["set"], key), []).append(index)
    rigs = []
    for name in sets:
        mine = [(key, clips) for key, clips in groups.items() if key[0] == name and len(clips) >= FEWEST_CLIPS]
        mine.sort(key=lambda pair: -sum(store.clips[index]["frames"] for index in pair[1]))
        for (_, key), clips in mine[:most]:
            rows = np.unique(np.linspace(0, len(clips) - 1, min(len(clips), MOST_CLIPS)).astype(int))
            motions = [clip_motion(store, clips[row], 0, MOST_FRAMES) for row in rows]
            rigs.append(Rig(f"{name}: {key}", motions[::2], motions[1::2]))
    if not rigs:
        raise UserError(f"No rig of {', '.join(sets)} that training never saw has {FEWEST_CLIPS} clips or more.")
    return rigs


def errors_mm(model: Model, adapted: Model, motions) -> float:
    """The mean joint error of some clips, of a body of 1.7 m, each read in the better way as users get it."""
    encodings = [encode_better(model, adapted, motion, silent)[0] for motion in spread(motions, JUDGED)]
    return float(np.mean([reconstruction_figures(encoding)["joint_mm"] for encoding in encodings]))


def spread(motions, most: int) -> list:
    """At most so many, evenly over all."""
    return [motions[row] for row in np.unique(np.linspace(0, len(motions) - 1, min(most, len(motions))).astype(int))]


def variation_figures(model: Model, adapted: Model, motions) -> dict[str, float | None]:
    """Means of what variations at strength 1 are like; contacts of clips that have them."""
    rows = []
    for seed, motion in enumerate(spread(motions, VARIED)):
        contacts = metrics.source_contacts(motion)
        encoding, used = encode_better(model, adapted, motion, silent)
        change = vary(used, encoding, VariationSettings(), seed, silent)
        figures = metrics.variation_figures(motion, apply_change(motion, change), contacts)
        rows.append({name: figures[name] for name in FIGURES if contacts.any() or name in WITHOUT_CONTACTS})
    found = {name: [row[name] for row in rows if name in row] for name in FIGURES}
    return {name: float(np.mean(values)) if values else None for name, values in found.items()}


def rig_figures(model: Model, adapted: Model, rig: Rig) -> dict:
    """Errors and variations of both halves."""
    halves = {"used": rig.used, "other": rig.other}
    return {
        name: {"joint_mm": errors_mm(model, adapted, half)} | variation_figures(model, adapted, half)
        for name, half in halves.items()
    }


def check_rig(model: Model, rig: Rig, effort: Effort) -> dict:
    """All figures of a rig, before and after; `after` is as before where adapting didn't help."""
    row = {"rig": rig.name, "clips": [len(rig.used), len(rig.other)], "problem": ""}
    row["seconds_of_motion"] = sum(motion.frames / motion.fps for motion in rig.used)
    row["before"] = rig_figures(model, model, rig)
    started_s = time.monotonic()
    try:
        learnt = adapt(model, rig.used, silent, effort)
    except UserError as error:
        return row | {"problem": str(error), "after": row["before"], "seconds": time.monotonic() - started_s}
    row |= {"facts": learnt.facts, "seconds": time.monotonic() - started_s}
    return row | {"after": rig_figures(model, adapted_model(model, learnt), rig)}


def markdown(rows) -> str:
    """The table: before -> after."""

    def pair(row, half, name, form):
        return " -> ".join(cell(row[when][half][name], form) for when in ("before", "after"))

    lines = []
    for row in rows:
        lines.append(
            [
                row["rig"],
                f"{row['clips'][0]}, {row['seconds_of_motion']:.0f} s",
                f"{row['seconds']:.0f}",
                pair(row, "used", "joint_mm", "{:.0f}"),
                pair(row, "other", "joint_mm", "{:.0f}"),
                *(pair(row, "used", name, "{:.2f}") for name in FIGURES),
                "nothing" if row["problem"] else "yes",
            ]
        )
    heads = ["rig", "learnt from", "took, s", "learnt clips, mm", "other clips, mm", *FIGURES.values(), "kept"]
    return table(heads, lines)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m training adapt-check", description=__doc__.split("\n\n")[1])
    parser.add_argument("data", type=Path, help="a folder made by prepare, with held-out clips")
    parser.add_argument("--checkpoint", type=Path, required=True, help="a weights file made by export")
    parser.add_argument(
        "--sets", type=names, default=["creatures", "characters", "eval_bandai"], help="with commas between"
    )
    parser.add_argument("--rigs", type=int, default=3, help="of a set at most")
    parser.add_argument("--seconds", type=float, default=Effort.seconds, help="of learning, for each rig")
    parser.add_argument("--device", help="torch's name of it (default: the best there is)")
    parser.add_argument("--out", type=Path, help="a folder for adapt.md and adapt.json")
    arguments = parser.parse_args(argv)
    model = load_model(arguments.checkpoint, "torch", arguments.device)
    rows = []
    for rig in find_rigs(ClipStore(arguments.data), arguments.sets, arguments.rigs):
        rows.append(check_rig(model, rig, Effort(seconds=arguments.seconds)))
        print(markdown(rows[-1:]).splitlines()[-1], rows[-1]["problem"], flush=True)
    text = f"Weights {model.version}, {model.device_words}.\n\n{markdown(rows)}"
    print(text)
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "adapt.md").write_text(text + "\n", encoding="utf-8")
        (arguments.out / "adapt.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
