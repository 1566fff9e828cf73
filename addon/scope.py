"""What a click may change: the bones, frames and pinned poses that its settings stand for at that moment."""

import math
from dataclasses import dataclass

import bpy

from . import timeline
from .backend.errors import UserError
from .body import part_bones
from .timeline.marks import selected_key_range

PIN_NAME = "pin"  # how the names of timeline markers begin that pin a pose
# Settings that are resolved here; the job gets a Scope in their place.
FIELDS = (
    "bones", "bone_collection", "parts", "frame_range", "frame_start", "frame_end", "pin_frames", "pin_pose_markers",
    "pin_scene_markers",
)  # fmt: skip


@dataclass(frozen=True)
class Scope:
    """What a click may change.

    Attributes:
        bones: names of those that may change, None for all. named: what they are, for sentences.
        limits: first and last frame that may change, None for all.
        pins: frames whose poses stay.
    """

    bones: frozenset[str] | None = None
    named: str = ""
    limits: tuple[float, float] | None = None
    pins: tuple[float, ...] = ()


def scope_of(scene, armature, source, settings: dict) -> Scope:
    """What the settings (by name, see FIELDS) stand for now.

    Raises:
        UserError: there is no such range, collection or part, or nothing is selected.
    """
    bones, named = chosen_bones(armature, settings)
    limits = frame_limits(scene, armature, source, settings)
    return Scope(bones, named, limits, pinned_frames(scene, armature, source, settings))


def chosen_bones(armature, settings: dict) -> tuple[frozenset[str] | None, str]:
    """Names of the bones that may change, None for all; and what they are, as a sentence's subject.

    Raises:
        UserError: none are chosen, or what was chosen isn't there.
    """
    kind = settings["bones"]
    if kind == "ALL":
        return None, ""
    if kind == "SELECTED":
        on_pose = "select" in bpy.types.PoseBone.bl_rna.properties  # since Blender 5.0; on the bone before
        chosen = [bone.name for bone in armature.pose.bones if (bone if on_pose else bone.bone).select]
        if not chosen:
            raise UserError(
                "No bone that moves is selected. Select bones in pose mode, or let all bones change (Bones: All)."
            )
        return frozenset(chosen), "the selected bones"
    if kind == "PARTS":
        return part_bones(armature, settings["parts"]), "the chosen body parts"
    return _collection_bones(armature, settings["bone_collection"])


def _collection_bones(armature, name: str) -> tuple[frozenset[str], str]:
    """The bones of a collection and of those below it."""
    collections = armature.data.collections_all
    if not name:
        raise UserError("No bone collection is chosen. Choose one below Bones, or let all bones change (Bones: All).")
    if name not in collections:
        known = ", ".join(f"'{each.name}'" for each in collections)
        raise UserError(
            f"'{armature.name}' has no bone collection '{name}'; it has {known or 'none'}. Choose another one."
        )
    chosen = frozenset(bone.name for bone in collections[name].bones_recursive)
    if not chosen:
        raise UserError(f"The bone collection '{name}' is empty. Choose another one, or assign bones to it.")
    return chosen, f"the bones of the collection '{name}'"


def frame_limits(scene, armature, source, settings: dict) -> tuple[float, float] | None:
    """First and last frame that may change; None for the whole action.

    Raises:
        UserError: there is no such range.
    """
    kind = settings["frame_range"]
    if kind == "WHOLE":
        return None
    start, end = settings["frame_start"], settings["frame_end"]
    if kind == "PREVIEW":
        if not scene.use_preview_range:
            raise UserError("The scene has no preview range. Set one (P in the timeline), or choose the whole action.")
        start, end = scene.frame_preview_start, scene.frame_preview_end
    elif kind == "MARKERS":
        start, end = _marker_limits(scene)
    elif kind == "KEYS":
        found = selected_key_range(armature, source)
        if found is None:
            raise UserError(
                f"No keys of '{source.name}' are selected. Select some in the Dope Sheet, or choose the whole action."
            )
        start, end = found
        if start == end:
            raise UserError(
                f"All selected keys lie on frame {start:g}. Select keys of two frames, or choose the whole action."
            )
    if start >= end:
        raise UserError(f"The range starts at {start} and ends at {end}. Let it end later than it starts.")
    clip = timeline.playing_clip(armature)
    return (start, end) if clip is None or kind == "KEYS" else clip.action_frames(start, end)


def _marker_limits(scene) -> tuple[int, int]:
    """From the first to the last selected marker; where fewer than two are, the two around the current frame."""
    chosen = {marker.frame for marker in scene.timeline_markers if marker.select}
    if len(chosen) >= 2:
        return min(chosen), max(chosen)
    frames, now = {marker.frame for marker in scene.timeline_markers}, scene.frame_current
    if not frames:
        raise UserError("The scene has no markers. Add two (M in the timeline), or choose the whole action.")
    before, after = [frame for frame in frames if frame <= now], [frame for frame in frames if frame > now]
    if not before or not after:
        side = "before" if not before else "after"
        raise UserError(
            f"There is no marker {side} frame {now}. Select the first and the last marker of the range, or go to a "
            "frame between two of them."
        )
    return max(before), min(after)


def pinned_frames(scene, armature, source, settings: dict) -> tuple[float, ...]:
    """The frames whose poses stay, in order."""
    frames = []
    if settings["pin_frames"]:
        frames += [pin.frame for pin in armature.motion_variations.pins if pin.action == source]
    if settings["pin_pose_markers"] and source is not None:
        frames += [float(marker.frame) for marker in source.pose_markers]
    if settings["pin_scene_markers"]:
        clip = timeline.playing_clip(armature)
        marked = [float(each.frame) for each in scene.timeline_markers if each.name.lower().startswith(PIN_NAME)]
        frames += marked if clip is None else [one for frame in marked for one in clip.action_frame(frame)]
    return tuple(sorted({frame for frame in frames if math.isfinite(frame)}))
