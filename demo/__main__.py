"""python build.py demo: the extension, installed in a real Blender, varies a clip; what came of it lies in one folder.

The folder gets the .blend (source and all results as actions), contact_sheet.png and report.json.
"""

import argparse
import hashlib
import json
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pictures.contact_sheet import Row, draw_contact_sheet

from . import session
from .clip import Clip, ClipError, open_clip, show_action, slot_curves
from .figures import reconstruction_figures, round_trip_figures, source_contacts, variation_figures
from .take import Take, read_take

LEVELS = ("WHOLE", "PHRASES", "DETAIL")
LEVEL_WORDS = {"WHOLE": "whole motion", "PHRASES": "phrases", "DETAIL": "detail"}
DIGITS = 4


def parse(arguments):
    """The options."""
    parser = argparse.ArgumentParser(prog="python build.py demo", description=__doc__.split("\n")[0])
    parser.add_argument("--clip", type=Path, help="a BVH, FBX, GLB, glTF or .blend file (default: our walk)")
    parser.add_argument("--action", help="which action of the file (default: its longest)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="the folder for what comes of it (default: out)")
    parser.add_argument("--strength", type=float, default=1.0, help="how far variations go (default: 1)")
    parser.add_argument("--count", type=int, default=3, help="how many variations, with EACH per level (default: 3)")
    parser.add_argument("--seed", type=int, default=1, help="the first one's seed (default: 1)")
    parser.add_argument("--level", choices=(*LEVELS, "EACH"), default="PHRASES", help="what changes; EACH: all three")
    parser.add_argument("--engine", choices=("numpy", "torch"), default="numpy", help="what computes (default: numpy)")
    parser.add_argument("--python", default=sys.executable, help="for torch: a Python that has it (default: this one)")
    parser.add_argument("--zip", type=Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments=None) -> int:
    """Runs the demo; returns the exit code."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="motion_variations_demo_") as user_folder:
        try:
            run(options, Path(user_folder))
        except ClipError as error:
            print(f"[demo] {error}", file=sys.stderr)
            return 1
        except RuntimeError as error:  # what Blender's operators report
            print(f"[demo] {str(error).strip()}", file=sys.stderr)
            return 1
    return 0


def run(options, user_folder: Path) -> None:
    """Opens the clip, clicks as a user would, reads back, writes the folder."""
    bpy = session.open_blender(options.zip.resolve(), user_folder)
    say(f"Blender {bpy.app.version_string} with {options.zip.name}")
    clip = open_clip(options.clip.resolve(), options.action) if options.clip else own_clip()
    frames = clip.stop - clip.start + 1
    say(f"{clip.name}: armature {clip.armature.name!r}, action {clip.action.name!r}, {frames} frames")
    choose_engine(bpy, options)
    source_slot = clip.armature.animation_data.action_slot
    source = read_take(clip.armature, clip.action, source_slot, clip.start, clip.stop)
    contacts = source_contacts(source)
    before = fingerprint(clip.action)
    seconds = {}
    verbs = bpy.ops.motion_variations
    seconds["backend_start"] = timed(verbs.restart_backend)
    seconds["encode"] = timed(verbs.encode)
    # The figures judge the motion, not what fewer keys leave of it; `python build.py reduction` judges those.
    bpy.context.scene.motion_variations.keys = "EVERY_FRAME"
    timed(verbs.reconstruct)
    levels = LEVELS if options.level == "EACH" else (options.level,)
    settings = {"strength": options.strength, "count": options.count, "seed": options.seed}
    seconds["resample"] = sum(timed(verbs.resample, level=level, **settings) for level in levels)
    unchanged = fingerprint(clip.action) == before

    say("reading the results back through Blender")
    lines = [line for line in clip.armature.motion_variations.rows if line.source == clip.action]
    takes = [read_line(clip, line, source) for line in lines]
    variations = []
    for line, take in zip(lines, takes, strict=True):
        if line.kind == "VARIATION":
            figures = variation_figures(source, take, contacts)
            facts = {"action": line.action.name, "seed": line.seed, "strength": line.strength, "level": line.level}
            variations.append({**facts, **figures})
    reconstruction = next(take for line, take in zip(lines, takes, strict=True) if line.kind == "RECONSTRUCTION")
    report = {
        "blender": bpy.app.version_string,
        "zip_mb": options.zip.stat().st_size / 2**20,
        "clip": clip.name,
        "armature": clip.armature.name,
        "source_action": clip.action.name,
        "frames": source.motion.frames,
        "joints": source.motion.rotations.shape[1],
        "fps": source.motion.fps,
        "engine": used_engine(),
        "seconds": seconds,
        "round_trip": round_trip_figures(clip, source),
        "reconstruction": reconstruction_figures(source, reconstruction),
        "source_unchanged": unchanged,
        "variations": variations,
    }
    write_results(bpy, options.out, clip, report, sheet_rows(clip, lines, takes, report), contacts)


def own_clip() -> Clip:
    """The walk that the project owns."""
    from .walk_clip import NAME, make_walk

    armature = make_walk()
    data = armature.animation_data
    return show_action(NAME, armature, data.action, data.action_slot)


def choose_engine(bpy, options) -> None:
    """Sets the extension's preferences."""
    preferences = bpy.context.preferences.addons[session.EXTENSION].preferences
    preferences.engine = options.engine.upper()
    if options.engine == "torch":
        preferences.python_path = options.python


def used_engine() -> str:
    """The engine that did the work: where PyTorch can't, NumPy does."""
    connection = sys.modules[f"{session.EXTENSION}.connection"]
    if connection.notice():
        say(connection.notice())
    return connection.last_status()["engine"]


def timed(operator, **settings) -> float:
    """Runs an operator as a script does; seconds. A failure is a RuntimeError with Blender's report."""
    started = time.perf_counter()
    operator(**settings)
    return time.perf_counter() - started


def read_line(clip: Clip, line, source: Take) -> Take:
    """The action of a line of the extension's list, on the source's joints."""
    slot = next(slot for slot in line.action.slots if slot.identifier == line.slot)
    return read_take(clip.armature, line.action, slot, clip.start, clip.stop, source.choice)


def fingerprint(action) -> str:
    """A digest of every key of an action, bit for bit."""
    digest = hashlib.sha256()
    for slot in action.slots:
        for curve in slot_curves(action, slot):
            digest.update(f"{slot.identifier} {curve.data_path} {curve.array_index} {curve.mute}".encode())
            for name, size in (("co", 2), ("handle_left", 2), ("handle_right", 2)):
                values = np.empty(size * len(curve.keyframe_points), dtype=np.float32)
                curve.keyframe_points.foreach_get(name, values)
                digest.update(values.tobytes())
            kinds = "".join(f"{key.interpolation}{key.handle_left_type}{key.type}" for key in curve.keyframe_points)
            digest.update(kinds.encode())
    return digest.hexdigest()


def sheet_rows(clip: Clip, lines, takes, report) -> list[Row]:
    """The contact sheet's rows: source, reconstruction, variations."""
    rows = []
    variations = iter(report["variations"])
    for line, take in zip(lines, takes, strict=True):
        if line.kind == "SOURCE":
            facts = f"{clip.action.name}; below the poses: when it rests on the floor"
            rows.append(Row("Source", facts, take, is_variation=False))
        elif line.kind == "RECONSTRUCTION":
            errors = report["reconstruction"]
            facts = (
                f"what the model knows of it: {errors['joint_mm']:.0f} mm, {errors['rotation_world_deg']:.1f}\u00b0 off"
            )
            rows.append(Row("Reconstruction", facts, take))
        else:
            figures = next(variations)
            level = LEVEL_WORDS[figures["level"]]
            facts = (
                f"{level}, strength {figures['strength']:g}, seed {figures['seed']}: {figures['change_deg']:.1f}\u00b0 "
                f"from the source, contacts kept {100 * figures['contact_overlap']:.0f} %, "
                f"jerk {figures['jerk_ratio']:.2f} times the source's"
            )
            rows.append(Row(f"Variation {len(rows) - 1}", facts, take))
    return sorted(rows, key=lambda row: row.title != "Source")


def write_results(bpy, out: Path, clip: Clip, report, rows, contacts) -> None:
    """The .blend, the contact sheet and the report."""
    out.mkdir(parents=True, exist_ok=True)
    for action in bpy.data.actions:
        action.use_fake_user = True
    bpy.ops.motion_variations.show(index=0)
    stem = re.sub(r"[^\w.-]+", "_", Path(clip.name).stem)
    blend = (out / f"{stem}.blend").resolve()
    bpy.context.preferences.filepaths.save_version = 0  # no .blend1 of an earlier demo beside it
    bpy.ops.wm.save_as_mainfile(filepath=str(blend), compress=True)
    facts = (
        f"Motion Variations on {report['armature']}, {report['frames']} frames at {report['fps']:.4g} fps, "
        f"{report['joints']} joints, {report['engine']} engine"
    )
    draw_contact_sheet(out / "contact_sheet.png", clip.action.name, facts, rows, contacts, clip.start)
    text = json.dumps(rounded(report), indent=2)
    (out / "report.json").write_text(text + "\n", encoding="utf-8")
    print(text, flush=True)
    say(f"{out}: {blend.name}, contact_sheet.png, report.json")


def rounded(value):
    """Floats with as many digits as mean something."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def say(text: str) -> None:
    """One line of progress."""
    print(f"[demo] {text}", flush=True)


if __name__ == "__main__":
    session.leave(main())
