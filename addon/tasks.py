"""What the jobs do, step by step: read the timeline, ask the backend, write actions.

Each is a generator for `session`: it yields `Progress` and returns the sentence for the panel. Blender's data may be
replaced between two steps (undo), so it is held by its session number and looked up again. What changes the file comes
last, in steps between which the user's other clicks wait.
"""

import contextlib
import random
from dataclasses import replace

import bpy
import numpy as np

from . import connection, results, timeline
from .backend.change import arrays_to_change
from .backend.errors import UserError
from .backend.motion import motion_to_arrays
from .names import new_reconstruction_name, new_variation_name
from .recipe import Choice, choice_to_text
from .report import keep_report, learnt_sentence
from .scope import Scope
from .session import Progress
from .settings import MAX_SEED

READ_UNTIL = 0.15  # of the progress bar
ASK_UNTIL = 0.9
FRAME_TOLERANCE = 1e-3
LOOPING_DEG = 5.0  # a clip whose last pose is farther from its first doesn't loop


class Target:
    """An armature, its source action and the scene, found again after an undo; `clip` is the NLA strip meant."""

    def __init__(self, context, armature=None):
        armature = armature or results.armature_of(context)
        self._armature = timeline.Block.of(armature)
        self._source = timeline.Block.of(results.source_action(armature))
        self._scene = timeline.Block.of(context.scene)
        self.clip = timeline.playing_clip(armature)

    @property
    def armature(self):
        """The armature object; a MotionError where it is gone."""
        return self._armature.find("objects")

    @property
    def source(self):
        """The source action; a MotionError where it is gone."""
        return self._source.find("actions")

    @property
    def scene(self):
        """The scene of the click; a MotionError where it is gone."""
        return self._scene.find("scenes")


def encode(target: Target):
    """How well the model knows the source; kept with the armature."""
    reading = yield from read(target)
    head = yield from _ask("encode", reading, ASK_UNTIL)
    yield Progress(1.0, "Keeping what was found", exclusive=True, ready=True)
    report = keep_report(target.armature, target.source, target.scene, reading, head)
    learnt = learnt_sentence(head["adaptation"])
    sentence = (
        f"Encoded {report.frames} frames. The model knows this motion to {report.rotation_deg:.1f}\u00b0 and "
        f"{report.joint_cm:.1f} cm."
    )
    return _sentences(" ".join(filter(None, (sentence, learnt))), reading)


def reconstruct(target: Target, keys: str, key_tolerance: float = 0.5):
    """A new action: the source as the model knows it."""
    reading = yield from read(target)
    changes = []
    head = yield from _ask("reconstruct", reading, ASK_UNTIL, changes)
    written = yield from _write(reading, changes, keys, key_tolerance, None, new_reconstruction_name)
    keep_report(target.armature, target.source, target.scene, reading, head)
    armature, source = target.armature, target.source
    results.ensure_source_row(armature, source, reading.slot)
    action = written[0].action
    row = results.add_row(armature, source, action, "RECONSTRUCTION")
    row.change_deg = float(np.degrees(np.linalg.norm(changes[0][1].rotation, axis=-1)).mean())
    results.show(armature, len(armature.motion_variations.rows) - 1)
    return _sentences(f"'{action.name}' shows the motion as the model knows it.", reading, written)


def resample(target: Target, choice: Choice):
    """New actions: variations of the source."""
    reading = yield from read(target)
    arrays = _scope_arrays(reading, choice.scope)
    start, stop = _rows(reading, choice.scope.limits)
    first_seed = random.randrange(MAX_SEED // 1000) if choice.new_seed else choice.seed
    seeds = [(first_seed + index) % (MAX_SEED + 1) for index in range(choice.count)]
    settings = {
        "strength": choice.strength,
        "level": choice.level,
        "keep_ends": choice.keep_ends,
        "root_path": choice.root_path,
        "loop": choice.loop,
        "contacts": choice.contacts,
        "start": start,
        "stop": stop,
        "falloff_s": _seconds(reading, choice.falloff),
        "pin_ease_s": _seconds(reading, choice.pin_ease),
    }
    changes = []
    done = yield from _ask("resample", reading, ASK_UNTIL, changes, arrays, settings=settings, seeds=seeds)
    tolerance, scope = choice.key_tolerance, choice.scope
    rest = scope.bones is None  # bones that weren't chosen keep their keys
    names, held = new_variation_name, _held_frames(reading, arrays.get("pinned"), start, stop)
    written = yield from _write(reading, changes, choice.keys, tolerance, scope.limits, names, rest, held)
    armature, source = target.armature, target.source
    results.ensure_source_row(armature, source, reading.slot)
    first_line = len(armature.motion_variations.rows)
    for one, (head, _) in zip(written, changes, strict=True):
        facts = {"seed": head["seed"], "change_deg": head["change_deg"]}
        facts |= {"strength": choice.strength, "level": choice.level, "settings": choice_to_text(choice)}
        results.add_row(armature, source, one.action, "VARIATION", **facts)
    if choice.new_seed:
        target.scene.motion_variations.seed = first_seed
    if choice.show_first:
        results.show(armature, first_line)
    degrees = ", ".join(f"{head['change_deg']:.1f}\u00b0" for head, _ in changes)
    made = "1 variation" if len(written) == 1 else f"{len(written)} variations"
    where = f"{written[0].curves} of {len(reading.channels.paths)} curves differ"
    learnt = learnt_sentence(done["adaptation"])
    sentence = f"{made}: {degrees} from the source; {where}.{_loop_sentence(changes)}"
    return _sentences(" ".join(filter(None, (sentence, learnt))), reading, written)


def restart():
    """A new backend process, waited for until it answers."""
    connection.stop()
    yield from _await_status(0.5)
    status = connection.last_status() or {}
    if status.get("problem"):
        raise UserError(status["problem"])
    ready = f"The backend is ready: {status.get('engine', '')}, {status.get('device') or 'device not known yet'}."
    return f"{ready} {connection.notice()}".strip()


def read(target: Target):
    """The source's motion."""
    armature, source = target.armature, target.source
    row = results.row_index(armature, source)
    slot = armature.motion_variations.rows[row].slot if row >= 0 else target.clip and target.clip.slot
    yield Progress(0.0, "Reading the animation", fragile=True)
    steps = timeline.read_steps(armature, source, slot or None, clip=target.clip)
    with contextlib.closing(steps):
        while True:
            try:
                share = next(steps)
            except StopIteration as end:
                return end.value
            yield Progress(READ_UNTIL * share, f"Reading the animation: {100 * share:.0f} %", fragile=True)


def _ask(request, reading, until, changes=None, arrays=None, **fields):
    """`ask` about the motion that was read, with more arrays where given."""
    return ask(request, motion_to_arrays(reading.motion) | (arrays or {}), until, changes, **fields)


def ask(request, arrays, until, changes=None, start=READ_UNTIL, **fields):
    """Sends motion with a request; gives the head of `done` and puts (head, change) pairs into `changes`.

    Args:
        start, until: of the progress bar.
    """
    yield Progress(start, "Sending the motion")
    progress = Progress(start, "Waiting for the backend", waiting=True)
    head = None
    with contextlib.closing(connection.ask(request, arrays, **fields)) as events:
        for event in events:
            if event is None:
                yield progress
            elif event.kind == "progress":
                fraction = start + (until - start) * event.head["fraction"]
                progress = Progress(fraction, event.head["text"], waiting=True)
                yield replace(progress, waiting=False)
            else:
                if "rotation" in event.arrays:
                    changes.append((event.head, arrays_to_change(event.arrays)))
                head = event.head
    yield from _await_status(until)
    return head


def _await_status(fraction: float):
    """Asks the backend for its state, for the panel."""
    with contextlib.closing(connection.ask("status")) as events:
        for event in events:
            if event is None:
                yield Progress(fraction, "Asking the backend for its state", waiting=True)
            elif event.kind == "done":
                connection.remember(event.head)


def _write(reading, changes, keys, key_tolerance, limits, new_name, thin_rest=True, held=()):
    """One new action a change; gives a list of `timeline.Written`. Stopped on the way, it takes back what it wrote."""
    settings = {"keys": keys, "frame_range": limits, "tolerance_rad": np.radians(key_tolerance), "thin_rest": thin_rest}
    settings["held"] = held
    written = []
    try:
        for index, (_, change) in enumerate(changes):
            text, share = f"Writing action {index + 1} of {len(changes)}", 0.0
            yield Progress(ASK_UNTIL + (1 - ASK_UNTIL) * index / len(changes), text, exclusive=True)
            name = new_name(reading.action.find("actions"))
            with contextlib.closing(timeline.write_keys_steps(reading, change, name, **settings)) as steps:
                while True:
                    try:
                        share = next(steps)
                    except StopIteration as end:
                        written.append(end.value)
                        break
                    fraction = ASK_UNTIL + (1 - ASK_UNTIL) * (index + share) / len(changes)
                    yield Progress(fraction, text, exclusive=True, fragile=True)
        yield Progress(1.0, "Adding to the list", exclusive=True, fragile=True, ready=True)
    except BaseException:
        for one in written:
            bpy.data.actions.remove(one.action)
        raise
    return written


def _loop_sentence(changes) -> str:
    """How well the variations loop, where that was asked for."""
    gaps = [head["loop_gaps_deg"] for head, _ in changes if "loop_gaps_deg" in head]
    if not gaps:
        return ""
    source, worst = gaps[0][0], max(gap for _, gap in gaps)
    text = f" The last pose is {worst:.1f}\u00b0 from the first (the source's: {source:.1f}\u00b0)."
    if worst > LOOPING_DEG:
        text += " The source doesn't loop; to close the gap, choose Loop: Close the gap."
    return text


def _sentences(first: str, reading, written=()) -> str:
    """The result, then what reading and writing have to say, each once."""
    notes = dict.fromkeys((*reading.notes, *(note for one in written for note in one.notes)))
    if connection.notice():
        notes[connection.notice()] = None
    reduced = [one.reduced for one in written if one.reduced is not None and one.reduced.before]
    return " ".join((first, *([timeline.reduction_sentence(reduced)] if reduced else []), *notes))


def _scope_arrays(reading, scope: Scope) -> dict[str, np.ndarray]:
    """The joints that may turn and the rows whose pose stays, for the backend.

    Raises:
        UserError: none of the chosen bones moves.
    """
    arrays = {}
    if scope.bones is not None:
        arrays["selected"] = _chosen_joints(reading, scope)
    if reading.controls is not None:  # the others stay with what carries them: no control could turn them
        arrays["selected"] = reading.controls.free.astype(np.uint8) & arrays.get("selected", 1)
    pinned = np.zeros(len(reading.frames), dtype=np.uint8)
    for frame in scope.pins:  # between two rows both stay
        pinned[np.abs(reading.frames - frame) < reading.frames[1] - reading.frames[0] - FRAME_TOLERANCE] = 1
    if pinned.any():
        arrays["pinned"] = pinned
    return arrays


def _chosen_joints(reading, scope: Scope) -> np.ndarray:
    """The joints whose bones are chosen, `[J]` u8; where none is, those that the chosen bones follow.

    Raises:
        UserError: there is none.
    """
    chosen = np.array([name in scope.bones for name in reading.bones])
    selected = chosen[reading.choice.bones].astype(np.uint8)
    if reading.controls is not None:
        selected[reading.controls.driven_by(chosen)] = 1
    if not selected.any():
        followed = reading.choice.followers[chosen]
        selected[followed[followed >= 0]] = 1
    if not selected.any():
        raise UserError(
            f"None of {scope.named} moves in this action, so there is nothing to vary. Choose others, or let all bones "
            "change (Bones: All)."
        )
    return selected


def _held_frames(reading, pinned, start, stop) -> np.ndarray:
    """The frames whose poses stay inside of what changes: pinned ones, and the borders of the range."""
    held = np.zeros(len(reading.frames), dtype=bool) if pinned is None else pinned.astype(bool)
    if start is not None:
        held[[start, stop - 1]] = True
    return reading.frames[held]


def _seconds(reading, frames: int) -> float | None:
    """Frames of the timeline as seconds; None for 0."""
    return frames / (reading.fps * float(reading.frames[1] - reading.frames[0])) if frames else None


def _rows(reading, limits) -> tuple[int | None, int | None]:
    """The rows of the motion that may change: the first, and the one after the last; None for all.

    Raises:
        UserError: fewer than two rows lie inside.
    """
    if limits is None:
        return None, None
    first, last = limits
    inside = np.flatnonzero((reading.frames >= first - FRAME_TOLERANCE) & (reading.frames <= last + FRAME_TOLERANCE))
    if len(inside) < 2:
        raise UserError(
            f"The range {first} to {last} holds fewer than two frames of the action, which goes from "
            f"{reading.frames[0]:g} to {reading.frames[-1]:g}. Choose another range."
        )
    return int(inside[0]), int(inside[-1]) + 1
