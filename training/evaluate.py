"""python -m training evaluate --checkpoint FILE --data DATA --out DIR [--quick]: the figures of a weights file.

Writes `report.json` (all figures, clip by clip) and `report.md` (tables) to DIR. On numpy, as most users run the model;
the same weights and data give the same report.
"""

import argparse
import json
import time
from pathlib import Path

from backend.encoding import load_model
from backend.variation import LEVELS

from .baselines import MOST_CHUNKS
from .held_out import MOST_CLIPS, reconstruction_rows
from .store import ClipStore
from .tables import markdown
from .varied import variation_tables

FRAMES = 512  # of a clip at most
VARIED_FRAMES = 240
QUICK_CLIPS, QUICK_FRAMES, QUICK_CHUNKS = 6, 192, 400

TRAINED_MM, NEW_PEOPLE_MM = 35.0, 60.0
SEAM = 1.05
JERK_WITHIN = 0.15
SKATE_CM_S = 0.5
OVERLAP = 0.9
POSE_CM = 0.5
GLOBAL_DEG = 2.0
DIVERSE_DEG = 8.0


def goal(text: str, figure: str, met: bool) -> dict:
    """One line of the list of goals."""
    return {"goal": text, "figure": figure, "met": bool(met)}


def reconstruction_goals(rows) -> list[dict]:
    """What reconstructions should reach."""
    trained = [row for row in rows if row["trained"]]
    new = [row for row in rows if not row["trained"] and row["people"]]
    goals = []
    for name, chosen, limit in (("trained skeletons", trained, TRAINED_MM), ("unseen human rigs", new, NEW_PEOPLE_MM)):
        if chosen:
            figures = ", ".join(f"{row['name']} {row['joint_mm']:.0f}" for row in chosen)
            met = all(row["joint_mm"] <= limit for row in chosen)
            goals.append(goal(f"joint error of {name} at most {limit:.0f} mm, every set", figures, met))
    if seams := [row for row in rows if row["seam_ratio"] is not None]:
        worst = max(seams, key=lambda row: row["seam_ratio"])
        text = f"seam of reconstructions at most {SEAM} times the source's, every set"
        goals.append(goal(text, f"{worst['seam_ratio']:.2f} ({worst['name']})", worst["seam_ratio"] <= SEAM))
    if beside := [row for row in trained if row["linear_mm"] is not None]:
        figures = ", ".join(f"{r['name']} {r['joint_mm_beside_linear']:.0f} to {r['linear_mm']:.0f}" for r in beside)
        met = all(row["joint_mm_beside_linear"] < row["linear_mm"] for row in beside)
        goals.append(goal("below the linear code on trained skeletons, every set", figures, met))
    return goals


def variation_goals(rows, levels, diversity) -> list[dict]:
    """What variations should be like; means over all clips, the worst of the strengths and levels."""
    rows = [row for row in rows if row["group"] == "all"]
    strengths = [row["change_deg"] for row in rows if row["level"] == "PHRASES"]
    goals = [
        goal(
            "more strength, more change",
            ", ".join(f"{degrees:.1f}" for degrees in strengths) + " deg",
            all(a < b for a, b in zip(strengths[:-1], strengths[1:], strict=True)),
        )
    ]
    jerk = max((row["jerk_ratio"] for row in rows), key=lambda ratio: abs(ratio - 1))
    text = f"mean jerk within {JERK_WITHIN:.0%} of the source's"
    goals.append(goal(text, f"{jerk:.2f} times", abs(jerk - 1) <= JERK_WITHIN))
    if seams := [row["seam_ratio"] for row in rows if row["seam_ratio"] is not None]:
        text = f"seam of variations at most {SEAM} times the source's"
        goals.append(goal(text, f"{max(seams):.2f}", max(seams) <= SEAM))
    if standing := [row for row in rows if row["skate_cm_s"] is not None]:
        skate = max(row["skate_cm_s"] - row["source_skate_cm_s"] for row in standing)
        overlap = min(row["contact_overlap"] for row in standing)
        goals.append(goal(f"skate at most the source's + {SKATE_CM_S} cm/s", f"{skate:+.2f} cm/s", skate <= SKATE_CM_S))
        goals.append(goal(f"contact overlap at least {OVERLAP:.0%}", f"{overlap:.1%}", overlap >= OVERLAP))
    pose = max(row["pose_cm_worst"] for row in rows)
    goals.append(goal(f"end poses within {POSE_CM} cm, every clip", f"{pose:.3f} cm", pose <= POSE_CM))
    whole, phrases, detail = (next(row for row in levels if row["level"] == name) for name in LEVELS)
    effect = whole["global_latent_deg"]
    text = f"whole motion: the clip's latent alone at least {GLOBAL_DEG:.0f} deg"
    goals.append(goal(text, f"{effect:.1f} deg", effect >= GLOBAL_DEG))
    figures = f"{phrases['varying']:.0%} of it, whole motion {whole['varying']:.0%}"
    goals.append(goal("phrases varies over the clip", figures, phrases["varying"] > whole["varying"]))
    figures = f"{detail['change_deg']:.1f} deg at {detail['per_s']:.1f} /s, phrases {phrases['change_deg']:.1f} deg"
    figures += f" at {phrases['per_s']:.1f} /s"
    small = detail["change_deg"] < phrases["change_deg"] and detail["per_s"] > phrases["per_s"]
    goals.append(goal("detail stays small and fast", figures, small))
    if diversity:
        figures = ", ".join(f"{row['kind']} {row['moving_deg']:.1f}" for row in diversity)
        met = all(row["moving_deg"] >= DIVERSE_DEG for row in diversity)
        text = f"three seeds at least {DIVERSE_DEG:.0f} deg apart on the joints that move most, every clip"
        goals.append(goal(text, f"{figures} deg", met))
    return goals


def evaluate(checkpoint: Path, data: Path, out: Path, quick: bool = False, report=print) -> dict:
    """Measures a weights file on the held-out clips of a data set and writes the report."""
    began = time.perf_counter()
    model, store = load_model(checkpoint, "numpy"), ClipStore(data)
    clips, frames, chunks = (QUICK_CLIPS, QUICK_FRAMES, QUICK_CHUNKS) if quick else (MOST_CLIPS, FRAMES, MOST_CHUNKS)
    rows = reconstruction_rows(model, store, clips, frames, chunks, report)
    if not rows:
        raise ValueError(f"{data} holds no clip out of training; prepare folders with a test or eval folder in them.")
    variation = variation_tables(model, store, QUICK_FRAMES if quick else VARIED_FRAMES, quick, report)
    result = {
        "checkpoint": checkpoint.name,
        "version": model.version,
        "quick": quick,
        "reconstruction": rows,
        "variation": variation,
        "goals": reconstruction_goals(rows)
        + variation_goals(variation["rows"], variation["levels"], variation["diversity"]),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(result, indent=1))
    (out / "report.md").write_text(markdown(result))
    met = sum(each["met"] for each in result["goals"])
    seconds = time.perf_counter() - began
    report(f"{met} of {len(result['goals'])} goals met; {out / 'report.md'} after {seconds:.0f} s")
    return result


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m training evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="a weights file made by export")
    parser.add_argument("--data", type=Path, required=True, help="a folder made by prepare, with held-out clips")
    parser.add_argument("--out", type=Path, required=True, help="the report's folder")
    parser.add_argument("--quick", action="store_true", help="few and short clips: a look during training")
    arguments = parser.parse_args(argv)
    evaluate(arguments.checkpoint, arguments.data, arguments.out, arguments.quick)
