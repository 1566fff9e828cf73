"""The poses of actions that are looked at, read once and kept until their keys, or the armature, change.

Nothing is watched before something is kept. Blender tells of edits of what it shows; the keys of an action that isn't
shown are compared when another action comes on, which is when they can have changed unseen.
"""

import time
import zlib
from collections import OrderedDict
from dataclasses import dataclass

import bpy
import numpy as np

from . import timeline
from .armature import MotionError
from .timeline.poses import Poses, action_fingerprint, poses_from_keys, poses_from_reading

MAX_BYTES = 128 * 2**20  # of kept poses; the ones that weren't used for longest go first
SETTLE_S = 0.3  # while keys are being dragged, what was read last stays this long


@dataclass
class _Entry:
    """What is known of one action on one armature.

    Attributes:
        poses: what was read, None where `problem` says why not.
        data_uid: of the armature's bones. rest: their fingerprint.
        shown_uid: the action that was on the armature when the keys were last compared.
        stale_s: when it was found to be out of date, None while it isn't.
        asked_for: Blender evaluated it on a click, for its keys don't say all.
    """

    poses: Poses | None
    problem: MotionError | None
    data_uid: int
    rest: int
    shown_uid: int
    fingerprint: int
    stale_s: float | None = None
    asked_for: bool = False


_entries: "OrderedDict[tuple[int, int], _Entry]" = OrderedDict()


def poses_of(armature, action, slot: str, like=None, patient: bool = False) -> Poses:
    """An action's poses on an armature, read from its keys where they aren't known.

    Args:
        slot: the slot's identifier, "" for the fitting one. like: the source's poses, whose joints and frames are used.
        patient: keep what was read last while it is still being changed.

    Raises:
        MotionError: they can't be read; the text says why. `NotInKeys` where a click has to ask for them.
    """
    key = (armature.session_uid, action.session_uid)
    entry = _entries.get(key)
    if entry is not None:
        _compare_keys(entry, armature, action, slot)
        if entry.stale_s is None or (patient and time.monotonic() < entry.stale_s + SETTLE_S):
            _entries.move_to_end(key)
            return _given(entry)
    try:
        found = timeline.find_slot(armature, action, slot or None)
        entry = _entry(armature, poses_from_keys(armature, action, found, like))
    except MotionError as error:
        entry = _entry(armature, None, error)
        entry.fingerprint = _fingerprint(armature, action, slot)
    _keep(key, entry)
    return _given(entry)


def keep_reading(armature, action, reading, like=None) -> Poses:
    """Keeps the poses of a Reading that Blender evaluated frame by frame."""
    fingerprint = _fingerprint(armature, action, reading.slot)
    entry = _entry(armature, poses_from_reading(armature, reading, fingerprint, like))
    entry.asked_for = True
    _keep((armature.session_uid, action.session_uid), entry)
    return entry.poses


def is_settled(armature, action) -> bool:
    """Whether what is kept of an action is up to date."""
    entry = _entries.get((armature.session_uid, action.session_uid))
    return entry is not None and entry.stale_s is None


def clear() -> None:
    """Forgets everything."""
    _entries.clear()


def _entry(armature, poses, problem=None) -> _Entry:
    fingerprint = poses.fingerprint if poses is not None else 0
    data = armature.data
    return _Entry(poses, problem, data.session_uid, _rest_fingerprint(data), _shown_uid(armature), fingerprint)


def _rest_fingerprint(data) -> int:
    """A number that changes when a bone of the rest pose does."""
    matrices = np.empty(16 * len(data.bones), dtype=np.float32)
    data.bones.foreach_get("matrix_local", matrices)
    return zlib.crc32(matrices.tobytes(), zlib.crc32("\n".join(data.bones.keys()).encode()))


def _keep(key, entry) -> None:
    _entries[key] = entry
    _entries.move_to_end(key)
    _watch(True)
    total = sum(one.poses.bytes for one in _entries.values() if one.poses is not None)
    while total > MAX_BYTES and len(_entries) > 2:  # a source and what is compared with it
        _, dropped = _entries.popitem(last=False)
        total -= dropped.poses.bytes if dropped.poses is not None else 0


def _given(entry):
    if entry.poses is None:
        raise entry.problem
    return entry.poses


def _shown_uid(armature) -> int:
    action, _ = timeline.assigned_action(armature)
    return action.session_uid if action is not None else 0


def _compare_keys(entry, armature, action, slot) -> None:
    """Once after every change of the shown action: are the keys still those that were read?"""
    shown = _shown_uid(armature)
    if entry.shown_uid == shown or entry.stale_s is not None:
        return
    entry.shown_uid = shown
    if _fingerprint(armature, action, slot) != entry.fingerprint:
        entry.stale_s = 0.0  # long ago: there is nothing to wait for


def _fingerprint(armature, action, slot) -> int:
    return action_fingerprint(armature, action, timeline.find_slot(armature, action, slot or None))


@bpy.app.handlers.persistent
def _after_update(scene, depsgraph=None):
    """Blender evaluated something anew: what was read of it is out of date."""
    if depsgraph is None:
        return
    now = time.monotonic()
    for update in depsgraph.updates:
        block = update.id.original
        if isinstance(block, bpy.types.Action):
            _expire(lambda key, entry, uid=block.session_uid: key[1] == uid, now)
        elif isinstance(block, bpy.types.Armature):  # with every pose, so its rest pose is looked at
            uid = block.session_uid
            if any(entry.data_uid == uid for entry in _entries.values()):
                rest = _rest_fingerprint(block)
                _expire(lambda key, entry, uid=uid, rest=rest: entry.data_uid == uid and entry.rest != rest, now)


def _expire(is_meant, now: float) -> None:
    """Marks entries as out of date."""
    for key, entry in _entries.items():
        if is_meant(key, entry):
            entry.stale_s = now


@bpy.app.handlers.persistent
def _after_replace(*_):
    """Undo, redo and another file replace everything."""
    clear()


_HANDLERS = (
    ("depsgraph_update_post", _after_update),
    ("undo_post", _after_replace),
    ("redo_post", _after_replace),
    ("load_post", _after_replace),
)


def _watch(on: bool) -> None:
    """Adds or takes away the handlers."""
    for event, handler in _HANDLERS:
        handlers = getattr(bpy.app.handlers, event)
        if on and handler not in handlers:
            handlers.append(handler)
        elif not on and handler in handlers:
            handlers.remove(handler)


def register():
    """Nothing is read before it is looked at."""


def unregister():
    """Nothing is left."""
    clear()
    _watch(False)
