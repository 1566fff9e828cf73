"""Adapting to a character: its motion is read and sent, what was learnt lies in a folder of the user's.

The steps are a generator for `session`, as those in `tasks` are.
"""

from pathlib import Path

import bpy

from . import results, tasks, timeline
from .backend.errors import UserError
from .backend.motion import motion_to_arrays
from .preferences import preferences
from .report import keep_report
from .session import Progress

HIGH_ERROR = 0.03  # of the height: from here on adapting is offered
FOLDER = "characters"


def folder() -> str:
    """Where files of characters are: as the preferences say, else in the extension's own user folder."""
    chosen = bpy.path.abspath(preferences().characters_path).strip()
    return chosen or bpy.utils.extension_path_user(__package__, path=FOLDER)


def own_actions(armature, source) -> list:
    """The actions of the file that animate an armature, the source first; without those that were made from others."""
    found = [source]
    for action in timeline.animating_actions(armature):
        row = results.row_with(action)
        made = action.motion_variations.digest or (row is not None and row.kind != "SOURCE")
        if action != source and not made:
            found.append(action)
    return found


def adapt(target: tasks.Target, which: str, seconds: float):
    """Learns the character of an armature; the file is used from the next click on."""
    source = yield from tasks.read(target)
    armature = target.armature
    actions = own_actions(armature, target.source) if which == "ALL" else [target.source]
    names = [timeline.Block.of(action) for action in actions[1:]]
    motions, left_out = [source.motion], []
    for index, block in enumerate(names):
        try:
            reading = yield from _read(target, block, index + 2, len(actions))
        except UserError as error:
            left_out.append(f"'{block.name}' was left out: {error}")
            continue
        motions.append(reading.motion)
    arrays = {
        f"{n}.{name}": array for n, motion in enumerate(motions) for name, array in motion_to_arrays(motion).items()
    }
    learnt = yield from tasks.ask("adapt", arrays, tasks.ASK_UNTIL, motions=len(motions), seconds=seconds)
    head = yield from tasks.ask("encode", motion_to_arrays(source.motion), 1.0, start=tasks.ASK_UNTIL)
    yield Progress(1.0, "Keeping what was found", exclusive=True, ready=True)
    keep_report(target.armature, target.source, target.scene, source, head)
    facts = learnt["facts"]
    seconds_read = facts["seconds_of_motion"]
    sentence = (
        f"Learnt from {len(motions)} actions, {seconds_read:.0f} s: the model's error of these went from "
        f"{100 * facts['used_before']:.1f} to {100 * facts['used_after']:.1f} % of the height, of motion that was held "
        f"out from {100 * facts['before']:.1f} to {100 * facts['after']:.1f} %. Encode and Resample use it from now on."
    )
    return " ".join((sentence, *left_out))


def _read(target: tasks.Target, block, number: int, count: int):
    """The Reading of another action of the armature."""
    steps = timeline.read_steps(target.armature, block.find("actions"))
    try:
        while True:
            yield Progress(tasks.READ_UNTIL, f"Reading action {number} of {count}", fragile=True)
            try:
                next(steps)
            except StopIteration as end:
                return end.value
    finally:
        steps.close()


def forget(armature) -> str:
    """Deletes what was learnt of an armature's character, and says so."""
    report = armature.motion_variations.report
    path = Path(folder()) / Path(report.learnt_file).name
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"'{path}' can't be deleted ({error.strerror}). Delete it by hand.") from error
    report.learnt_file = report.learnt_problem = ""
    return "What was learnt of this character is forgotten. Click Encode to see how well the model knows it without."
