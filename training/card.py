"""python -m training card FILE: what a weights file says of itself: version, sizes, card, and the terms of its data."""

import argparse
import json
from fnmatch import fnmatch
from pathlib import Path

from backend.checkpoint import Checkpoint, flatten, load_checkpoint
from backend.errors import UserError

from .licences import UNKNOWN, Terms, read_table
from .store import ClipStore
from .tables import table


def made_from(store: ClipStore, licences: Path | None = None) -> list[dict]:
    """What a run on this data set learnt from, a row a set and its terms.

    Args:
        licences: a table as `licences` reads it, for clips of which the data set doesn't know the terms; its patterns
            are matched against the clip's path and against its set and name (`cmu/*`).

    Returns:
        set, clips, minutes, licence, source.
    """
    rules = read_table(licences) if licences else []
    rows = {}
    for index in store.select("train"):
        clip = store.clips[index]
        terms = Terms(clip.get("licence", UNKNOWN), clip.get("source", ""))
        if terms.licence == UNKNOWN:
            places = (clip["path"].replace("\\", "/"), f"{clip['set']}/{clip['name']}")
            found = [rule for pattern, rule in rules if any(fnmatch(place, pattern) for place in places)]
            terms = found[0] if found else terms
        row = rows.setdefault(
            (clip["set"], terms.licence, terms.source), {"clips": 0, "minutes": 0.0, "licence": terms.licence}
        )
        row["clips"] += 1
        row["minutes"] += clip["frames"] / store.fps / 60
    return [
        {"set": name, **row, "minutes": round(row["minutes"], 1), "source": source}
        for (name, _, source), row in sorted(rows.items())
    ]


def card_text(checkpoint: Checkpoint) -> str:
    """All of it as Markdown."""
    count = sum(array.size for array in flatten(checkpoint.parameters).values())
    text = f"Version {checkpoint.version}, {count / 1e6:.2f} M parameters.\n\n{checkpoint.card.strip()}\n"
    if checkpoint.licences:
        lines = [[str(row[name]) for name in checkpoint.licences[0]] for row in checkpoint.licences]
        text += f"\n## Licences of the data\n\n{table(list(checkpoint.licences[0]), lines)}\n"
    return text


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m training card", description=__doc__)
    parser.add_argument("file", type=Path, help="a weights file made by export")
    parser.add_argument("--json", action="store_true", help="the licences alone, for programs")
    arguments = parser.parse_args(argv)
    try:
        checkpoint = load_checkpoint(arguments.file)
    except (OSError, ValueError) as error:
        raise UserError(f"{arguments.file} can't be read as weights: {error}") from error
    print(json.dumps(checkpoint.licences, indent=1) if arguments.json else card_text(checkpoint))
