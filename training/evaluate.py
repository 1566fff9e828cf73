"""python -m training evaluate --checkpoint FILE --data DATA --out DIR [--quick] [--sets A,B] [--clips N] [--parts P,Q]

The figures of a weights file, as one report: `report.md` (tables), `report.json` (all figures, clip by clip) and PNGs.
On numpy, as most users run the model; the same weights and data give the same report.
"""

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

from backend.encoding import Model, load_model
from backend.errors import UserError

from .baselines import MOST_CHUNKS
from .figures import draw_figures
from .gallery import draw_gallery
from .goals import all_goals
from .held_out import LinearCodes, Scope, held_out_sets, reconstruction_rows
from .lengths import length_rows
from .prior_samples import prior_rows
from .rates import rate_rows
from .realism import realism_rows
from .report import ON_REQUEST, PARTS, markdown
from .sheets import draw_sheets
from .store import ClipStore
from .varied import variation_tables

CLIPS, FRAMES, VARIED_FRAMES = 24, 512, 240  # of a set, of a clip, of a clip that is varied, at most
QUICK_CLIPS, QUICK_FRAMES, QUICK_CHUNKS = 6, 192, 400
USUAL_PARTS = tuple(part for part in PARTS if part not in ON_REQUEST)


def choose_scope(data: Path, quick: bool, sets, clips: int | None) -> Scope:
    """How much is measured.

    Raises:
        UserError: the data set holds no clip out, or lacks a set that is asked for.
    """
    store = ClipStore(data)
    held = held_out_sets(store)
    if not held:
        raise UserError(f"{data} holds no clip out of training; prepare folders with a test or eval folder in them.")
    if unknown := set(sets or ()) - set(held):
        raise UserError(f"{data} holds no clip out of {', '.join(sorted(unknown))}; choose from {', '.join(held)}.")
    chosen = tuple(name for name in held if not sets or name in sets)
    if quick:
        return Scope(store, chosen, clips or QUICK_CLIPS, QUICK_FRAMES, QUICK_FRAMES, QUICK_CHUNKS, quick)
    return Scope(store, chosen, clips or CLIPS, FRAMES, VARIED_FRAMES, MOST_CHUNKS, quick)


def measure(part: str, model: Model, scope: Scope, codes: LinearCodes, out: Path, report):
    """One part of the report."""
    if part == "reconstruction":
        return reconstruction_rows(model, scope, codes, report)
    if part == "lengths":
        return length_rows(model, scope, report)
    if part == "rates":
        return rate_rows(model, scope, codes, report)
    if part == "variation":
        return variation_tables(model, scope, report)
    if part == "realism":
        return realism_rows(model, scope, report)
    if part == "prior":
        return prior_rows(model, scope, report)
    if part == "pictures":
        return draw_gallery(model, scope, out, report)
    return draw_sheets(model, scope, out, report)


def evaluate(
    checkpoint: Path, data: Path, out: Path, quick=False, report=print, sets=None, clips=None, parts=USUAL_PARTS
) -> dict:
    """Measures a weights file on the held-out clips of a data set and writes the report.

    A part that fails is named in the report, and the others are there.
    """
    began = time.perf_counter()
    scope = choose_scope(data, quick, sets, clips)
    try:
        model = load_model(checkpoint, "numpy")
    except (OSError, ValueError) as error:
        raise UserError(f"{checkpoint} can't be read as weights: {error}") from error
    codes, level = LinearCodes(scope.store, scope.chunks), model.config.levels[0]
    out.mkdir(parents=True, exist_ok=True)
    result = {
        "checkpoint": checkpoint.name,
        "version": model.version,
        "quick": quick,
        "sets": list(scope.sets),
        "model_rate": level.latent / level.stride,
        "failed": {},
    }
    for part in parts:
        started = time.perf_counter()
        try:
            result[part] = measure(part, model, scope, codes, out, report)
        except Exception as error:  # minutes of other figures shall not be lost with it
            traceback.print_exc()
            result["failed"][part] = f"{type(error).__name__}: {error}"
        report(f"{part}: {time.perf_counter() - started:.0f} s")
    result["goals"] = all_goals(result)
    result["figures"] = draw_figures(out, result, report)
    (out / "report.json").write_text(json.dumps(result, indent=1))
    (out / "report.md").write_text(markdown(result))
    met = sum(each["met"] for each in result["goals"])
    seconds = time.perf_counter() - began
    report(f"{met} of {len(result['goals'])} goals met; {out / 'report.md'} after {seconds:.0f} s")
    return result


def names(text: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m training evaluate", description=__doc__.split("\n\n")[1])
    parser.add_argument("--checkpoint", type=Path, required=True, help="a weights file made by export")
    parser.add_argument("--data", type=Path, required=True, help="a folder made by prepare, with held-out clips")
    parser.add_argument("--out", type=Path, required=True, help="the report's folder")
    parser.add_argument("--quick", action="store_true", help="few and short clips: a look during training")
    parser.add_argument("--sets", type=names, help="these sets alone, with commas between")
    parser.add_argument("--clips", type=int, help=f"of a set at most (default: {CLIPS}, quick {QUICK_CLIPS})")
    parser.add_argument(
        "--parts", type=names, default=USUAL_PARTS, help=f"of {', '.join(PARTS)} (default: all but the last)"
    )
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    options = {"sets": arguments.sets, "clips": arguments.clips, "parts": arguments.parts}
    result = evaluate(arguments.checkpoint, arguments.data, arguments.out, arguments.quick, **options)
    sys.exit(1 if result["failed"] else 0)
