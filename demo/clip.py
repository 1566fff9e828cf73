"""A motion file opened in Blender: which armature, which action, at the clip's own frame rate."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.blender_files import import_file

from .session import clear_scene

FORMATS = (".bvh", ".fbx", ".glb", ".gltf", ".blend")
WHOLE_RATE = 0.02  # a rate this near to a whole number is that number


class ClipError(Exception):
    """A file that can't be shown; the text says what was found."""


@dataclass(frozen=True)
class Clip:
    """What the demo works on.

    Attributes:
        name: the file's name. armature: the object. action: its longest, or the named one.
        start, stop: first and last frame of the action's keys.
    """

    name: str
    armature: object
    action: object
    start: int
    stop: int


def open_clip(path: Path, action_name: str | None = None) -> Clip:
    """Opens the file, gives the scene the clip's frame rate and the armature its action.

    Raises:
        ClipError: the file has no armature with an action, or not that one.
    """
    if path.suffix.lower() not in FORMATS:
        raise ClipError(f"{path.name} is no {', '.join(FORMATS)} file.")
    if not path.is_file():
        raise ClipError(f"There is no file {path}.")
    import_file(path)
    armature, action, slot = choose_action(action_name, path.name)
    rate = clip_rate(action, slot)
    if path.suffix.lower() in (".glb", ".gltf") and abs(rate - scene_rate()) > WHOLE_RATE:
        # The glTF importer lays seconds out at the scene's rate: once more, with the scene at the clip's.
        clear_scene()
        set_scene_rate(rate)
        import_file(path)
        armature, action, slot = choose_action(action_name, path.name)
    return show_action(path.name, armature, action, slot)


def show_action(name: str, armature, action, slot) -> Clip:
    """Makes the armature active, alone with its action, and the scene as long as it."""
    import bpy

    data = armature.animation_data or armature.animation_data_create()
    data.action, data.action_slot = action, slot
    for track in data.nla_tracks:
        track.mute = True
    for thing in bpy.context.view_layer.objects:
        thing.select_set(thing == armature)
    bpy.context.view_layer.objects.active = armature
    action.use_fake_user = True
    start, stop = key_range(action, slot)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = start, stop
    scene.frame_set(start)
    return Clip(name, armature, action, start, stop)


def slot_curves(action, slot):
    """The F-curves of the slot."""
    from bpy_extras.anim_utils import action_get_channelbag_for_slot

    bag = action_get_channelbag_for_slot(action, slot)
    return list(bag.fcurves) if bag else []


def bone_curves(action, slot):
    """The F-curves of the slot that belong to bones."""
    return [curve for curve in slot_curves(action, slot) if curve.data_path.startswith("pose.bones[")]


def key_range(action, slot) -> tuple[int, int]:
    """First and last whole frame between the first and the last key of the bones."""
    curves = bone_curves(action, slot)
    starts, stops = zip(*(curve.range() for curve in curves), strict=True)
    return int(np.ceil(min(starts) - 1e-3)), int(np.floor(max(stops) + 1e-3))


def choose_action(name: str | None, file_name: str):
    """The armature, action and slot that the name gives, else the longest action that moves an armature's bones."""
    import bpy

    armatures = [thing for thing in bpy.context.scene.objects if thing.type == "ARMATURE" and thing.data.bones]
    if not armatures:
        raise ClipError(f"{file_name} has no armature.")
    found = []
    for action in bpy.data.actions:
        for slot in action.slots:
            curves = bone_curves(action, slot)
            if not curves or (name is not None and action.name != name):
                continue
            bones = {curve.data_path.split('"')[1] for curve in curves}
            armature = max(armatures, key=lambda thing: len(bones & set(thing.data.bones.keys())))
            start, stop = key_range(action, slot)
            if bones & set(armature.data.bones.keys()):
                found.append((stop - start, len(curves), armature, action, slot))
    if not found:
        wanted = f"no action {name!r} that moves" if name is not None else "no action that moves"
        names = ", ".join(repr(action.name) for action in bpy.data.actions) or "none"
        raise ClipError(f"{file_name} has {wanted} bones of its armature. Its actions: {names}.")
    return max(found, key=lambda item: item[:2])[2:]


def scene_rate() -> float:
    """Frames a second of the scene."""
    import bpy

    return bpy.context.scene.render.fps / bpy.context.scene.render.fps_base


def set_scene_rate(rate: float) -> None:
    """Gives the scene that many frames a second."""
    import bpy

    whole = max(1, round(rate))
    bpy.context.scene.render.fps = whole
    bpy.context.scene.render.fps_base = 1.0 if abs(rate - whole) < WHOLE_RATE else whole / rate


def clip_rate(action, slot) -> float:
    """The rate at which the action was sampled: the scene's, unless its keys lie on another regular grid."""
    steps = []
    for curve in bone_curves(action, slot):
        times = np.empty(2 * len(curve.keyframe_points), dtype=np.float32)
        curve.keyframe_points.foreach_get("co", times)
        steps.append(np.diff(times[::2]))
    steps = np.concatenate(steps)
    steps = steps[steps > 1e-3]
    if not len(steps):
        return scene_rate()
    step = float(np.median(steps))
    regular = np.abs(steps / step - np.round(steps / step)) < 0.02
    if regular.mean() < 0.95 or abs(step - round(step)) < 1e-3:
        return scene_rate()
    rate = scene_rate() / step
    return float(round(rate)) if abs(rate - round(rate)) < WHOLE_RATE * rate else rate
