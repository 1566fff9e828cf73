"""How variations land on control rigs, measured in Blender: a row of Markdown for each rig.

    python -m tests.blender.control_rig_table [FILE.blend ...] [--actions 4] [--keys SOURCE_KEYS] [--strength 1]

Without files: all of the shared control rigs, and a human that Rigify generates here. It runs in a Python that has bpy
(`python build.py test` makes one), with the extension as the working tree has it and the real backend. Each clip gets
one variation; the new action is played by Blender, and every joint is compared with where the change wants it.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from backend.motion import Motion
from tests.blender import stage
from tests.blender.motions import SHARED, backend, blender_poses, load
from training.metrics import skate_cm_s, source_contacts

REPORT_MM = 1700  # of a body's height
COLUMNS = (
    ("rig", "---"), ("clips", "---:"), ("controls that carry", "---:"), ("turn error, deg", "---:"),
    ("place error, mm", "---:"), ("inside IK limbs, deg", "---:"), ("inside IK limbs, mm", "---:"),
    ("jolts inside IK limbs, mm", "---:"), ("skate, cm/s", "---:"), ("keys", "---:"), ("seconds a clip", "---:"),
)  # fmt: skip


@dataclass
class Row:
    """What was measured on one rig, clips one after the other.

    Attributes:
        carry, moving: keyed bones that the animator moves, and how many of them drive a joint.
        turn_deg, place_mm: errors of the joints with a control that has keys on all axes, every frame of them.
        inner_deg, inner_mm: errors of joints that an IK turns. jolts: of those the largest second difference from frame
            to frame, mm, and skate: (variation, source) by clip.
        keys: (written, source's) by clip. seconds: of writing by clip. notes: what the panel said of each clip.
    """

    name: str
    carry: int = 0
    moving: int = 0
    turn_deg: list = field(default_factory=list)
    place_mm: list = field(default_factory=list)
    inner_deg: list = field(default_factory=list)
    inner_mm: list = field(default_factory=list)
    jolts: list = field(default_factory=list)
    skate: list = field(default_factory=list)
    keys: list = field(default_factory=list)
    seconds: list = field(default_factory=list)
    notes: dict = field(default_factory=dict)


def finish(steps):
    """Runs a job's generator to its end; gives what it returns."""
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            return end.value
        if getattr(progress, "waiting", False):
            time.sleep(0.005)


def actions_of(armature, count) -> list:
    """The file's longest actions that move bones of the armature."""
    import bpy

    timeline = stage.module("timeline")
    found = []
    for action in bpy.data.actions:
        span = timeline.action_frame_range(armature, action)
        if span is not None and span[1] - span[0] >= 2:
            found.append((span[1] - span[0], action.name))
    return [name for _, name in sorted(found, reverse=True)[:count]]


def measure(row: Row, armature, name: str, keys: str, strength: float) -> None:
    """Varies one action and adds what came of it to the row."""
    import bpy

    timeline = stage.module("timeline")
    action = bpy.data.actions[name]
    timeline.assign_action(armature, action)
    reading = timeline.read(armature)
    head, change = vary(reading, strength)
    start = time.monotonic()
    written = timeline.write_variation(reading, change, f"{name} varied", keys)
    row.seconds.append(time.monotonic() - start)
    row.notes[name] = written.notes
    timeline.assign_action(armature, written.action, written.slot)
    names = [reading.bones[bone] for bone in reading.choice.bones]
    rows = np.arange(len(reading.frames))
    if keys == "SOURCE_KEYS":  # between its keys a curve is its own
        times = {round(key.co[0]) for curve in stage.curves_of(action) for key in curve.keyframe_points}
        rows = np.flatnonzero([round(frame) in times for frame in reading.frames.tolist()])
    blender_poses(armature, names, reading.frames[[0, 0, 0]])  # bones that depend on each other in a circle settle
    turns, heads = blender_poses(armature, names, reading.frames)
    compare(row, reading, change, turns, heads, rows)
    count_keys(row, action, written.action)
    timeline.assign_action(armature, action, reading.slot or None)
    bpy.data.actions.remove(written.action)


def vary(reading, strength):
    """One variation by the backend: its head and its change."""
    tasks, scope = stage.module("tasks"), stage.module("scope")
    settings = {"strength": strength, "level": "PHRASES", "keep_ends": True, "contacts": True}
    changes = []
    arrays = tasks._scope_arrays(reading, scope.Scope())
    finish(tasks._ask("resample", reading, 1.0, changes, arrays, settings=settings, seeds=[1]))
    return changes[0]


def compare(row, reading, change, turns, heads, rows) -> None:
    """Adds errors and skate of the evaluated poses of all rows; errors of `rows` alone."""
    wanted = backend("change").apply_change(reading.motion, change)
    joint_positions = backend("motion").joint_positions
    size = REPORT_MM / backend("skeleton").skeleton_height(reading.motion.skeleton)
    found = backend("rotations").matrix_to_quaternion(turns)
    degrees = np.degrees(backend("rotations").quaternion_angle(found, wanted.rotations.astype(float)))[rows]
    places = size * np.linalg.norm(heads - joint_positions(wanted), axis=-1)[rows]
    controls = reading.controls
    if controls is None:  # a rig without constraints: every joint is its own control
        turned = placed = np.ones(degrees.shape[1], dtype=bool)
        inner = ~turned
        count_controls(row, reading, np.ones(len(reading.bones), dtype=bool))
    else:
        turned, placed = controls.turned, controls.placed
        inner = np.zeros(len(turned), dtype=bool)
        limbs = controls.joints[controls.inner]
        inner[limbs[limbs >= 0]] = True
        inner &= ~turned
        carries = controls.turn | controls.shift
        carries[[pole.bone for pole in controls.poles]] = True
        count_controls(row, reading, carries)
    row.turn_deg.append(degrees[:, turned].ravel())
    row.place_mm.append(places[:, placed].ravel())
    row.inner_deg.append(degrees[:, inner].ravel())
    row.inner_mm.append(places[:, inner].ravel())
    if inner.any() and len(heads) > 2:
        moved = [poses[:, inner] for poses in (heads, joint_positions(reading.motion))]
        row.jolts.append([size * np.linalg.norm(np.diff(one, 2, axis=0), axis=-1).max() for one in moved])
    motion, places = reading.motion, reading.heads[:, reading.choice.bones]
    source = Motion(motion.skeleton, motion.fps, motion.root_positions, motion.rotations, places)
    result = Motion(source.skeleton, source.fps, heads[:, 0], found, heads)
    contacts = source_contacts(source)
    row.skate.append((skate_cm_s(result, contacts), skate_cm_s(source, contacts)))


def count_controls(row, reading, carries) -> None:
    """Adds the keyed bones that the animator moves, and those of them that carry the change."""
    channels = reading.channels
    moves = (np.ptp(channels.values, axis=1) > 1e-6) & (channels.bones >= 0)
    moving = np.unique(channels.bones[moves])
    row.moving += len(moving)
    row.carry += int(carries[moving].sum())


def count_keys(row, source, action) -> None:
    """Adds the keys of the curves that differ, in the new action and in the source."""
    before, after = stage.keys_of(source), stage.keys_of(action)
    differ = {key for key in before if before[key] != after[key]}
    counts = []
    for one in (action, source):
        curves = {(curve.data_path, curve.array_index): curve for curve in stage.curves_of(one)}
        counts.append(sum(len(curves[key].keyframe_points) for key in differ))
    row.keys.append(tuple(counts))


def line(row: Row) -> str:
    """The row in Markdown."""

    def middle_and_most(parts, digits):
        values = np.concatenate(parts) if parts else np.zeros(0)
        return f"{np.median(values):.{digits}f} / {values.max():.{digits}f}" if len(values) else "-"

    jolts = " over ".join(f"{value:.0f}" for value in np.max(row.jolts, axis=0)) if row.jolts else "-"
    skates = np.array(row.skate)
    known = skates[np.isfinite(skates).all(axis=1)]
    skate = " over ".join(f"{value:.2f}" for value in known.mean(axis=0)) if len(known) else "-"
    written, source = np.array(row.keys).sum(axis=0)
    cells = (
        row.name,
        str(len(row.seconds)),
        f"{row.carry} of {row.moving}",
        middle_and_most(row.turn_deg, 2),
        middle_and_most(row.place_mm, 1),
        middle_and_most(row.inner_deg, 1),
        middle_and_most(row.inner_mm, 1),
        jolts,
        skate,
        f"{written} over {source}",
        f"{np.mean(row.seconds):.1f}",
    )
    return f"| {' | '.join(cells)} |"


def rows_of(arguments):
    """Measures rig after rig; yields the rows."""
    from tests.blender import rigify_human

    files = arguments.files or sorted((SHARED / "control_rigs").glob("*.blend"))
    error = stage.module("armature").MotionError
    for path in files:
        armatures = load(path)
        armature = max(armatures, key=lambda one: len(actions_of(one, 99)))
        row = Row(Path(path).stem)
        for name in actions_of(armature, arguments.actions):
            try:
                measure(row, armature, name, arguments.keys, arguments.strength)
            except error as reason:  # a pose of one frame, a clip in which nothing moves
                row.notes[name] = (f"Not read: {reason}",)
        if row.seconds:
            yield row
    if not arguments.files:
        stage.fresh_file()
        armature = rigify_human.make()
        row = Row("Rigify human, generated")
        measure(row, armature, rigify_human.NAME, arguments.keys, arguments.strength)
        yield row


def main() -> None:
    """Prints the table, then what the panel said of each rig."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="control rigs with actions (default: the shared ones)")
    parser.add_argument("--actions", type=int, default=4, help="of each file its longest so many")
    parser.add_argument("--keys", choices=("EVERY_FRAME", "SOURCE_KEYS"), default="EVERY_FRAME")
    parser.add_argument("--strength", type=float, default=1.0)
    arguments = parser.parse_args()
    stage.install()
    print(f"| {' | '.join(name for name, _ in COLUMNS)} |")
    print(f"| {' | '.join(rule for _, rule in COLUMNS)} |", flush=True)
    said = []
    for row in rows_of(arguments):
        print(line(row), flush=True)
        said += [f"- {row.name}, {clip}: {' '.join(notes)}" for clip, notes in row.notes.items() if notes]
    print("\n" + "\n".join(said), flush=True)
    sys.stdout.flush()
    os._exit(0)  # Blender as a module may hang on leaving after Rigify


if __name__ == "__main__":
    main()
