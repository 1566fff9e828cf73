"""Motion files through Blender's importers and the add-on's own reader: the model is trained on what it will read.

Runs in a process with the `bpy` package; one Blender a process.
"""

import functools
import importlib
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from backend.errors import UserError
from backend.motion import arrays_to_motion

from .sources import SAMPLED_FRAMES

FORMATS = (".fbx", ".glb", ".gltf", ".blend")


FITTING_SHARE = 0.5  # of an action's bone curves that an armature must have the bones of


@functools.cache
def extension() -> SimpleNamespace:
    """The add-on's modules by their last names, from the extension assembled into a temporary folder."""
    from build import EXTENSION_ID, assemble

    folder = tempfile.mkdtemp(prefix="motion-variations-")
    assemble(folder)
    sys.path.insert(0, folder)
    names = ("timeline", "armature", "timeline.actions", "backend.motion", "backend.skeleton", "backend.errors")
    return SimpleNamespace(**{name.split(".")[-1]: importlib.import_module(f"{EXTENSION_ID}.{name}") for name in names})


def import_file(path: Path) -> None:
    """Reads the file into the scene with Blender's own importers; a .blend takes the scene's place."""
    import addon_utils
    import bpy

    kind = path.suffix.lower()
    if kind == ".blend":
        bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False)
    elif kind == ".bvh":
        addon_utils.enable("io_anim_bvh", default_set=True)
        bpy.ops.import_anim.bvh(filepath=str(path), update_scene_fps=True, update_scene_duration=True)
    elif kind == ".fbx":
        bpy.ops.wm.fbx_import(filepath=str(path), ignore_leaf_bones=True)
    else:
        addon_utils.enable("io_scene_gltf2", default_set=True)
        bpy.ops.import_scene.gltf(filepath=str(path))


def file_motions(path: Path):
    """Every action and slot of every armature in the file: yields (name, Motion or the sentence why there is none).

    Raises:
        UserError: Blender can't open the file, or no armature in it has an animation.
    """
    import bpy

    modules = extension()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    try:
        import_file(path)
    except RuntimeError as error:
        reason = " ".join(str(error).split()).removeprefix("Error: ")
        raise UserError(f"Blender can't open {path.name}: {reason}") from error
    armatures = [thing for thing in bpy.context.scene.objects if thing.type == "ARMATURE"]
    found = False
    for armature in armatures:
        data = armature.animation_data or armature.animation_data_create()
        for track in data.nla_tracks:
            track.mute = True
        for action, slot in fitting_actions(armature):
            found = True
            parts = [path.stem]
            parts += [armature.name] if len(armatures) > 1 else []
            parts += [action.name] + ([slot.name_display] if slot is not None and len(action.slots) > 1 else [])
            try:
                modules.timeline.assign_action(armature, action, slot)
                reading = modules.timeline.read(armature, action, slot)
                motion = arrays_to_motion(modules.motion.motion_to_arrays(deform_motion(reading)))
            except (modules.errors.UserError, ValueError) as error:
                yield "__".join(parts), str(error)
            else:
                yield "__".join(parts), motion
    if not found:
        reason = f"{len(armatures)} armatures, none with keys on its bones" if armatures else "no armature"
        raise UserError(f"{path.name} has {reason}; there is nothing to learn from.")


def fitting_actions(armature):
    """Actions of the file and their slots that move mostly bones which the armature has: yields (action, slot)."""
    import bpy

    modules = extension()
    if not armature.data.bones:
        return
    for action in list(bpy.data.actions):
        slots = list(action.slots) if modules.timeline.HAS_SLOTS else [None]
        for slot in slots:
            if slot is not None and slot.target_id_type not in ("OBJECT", "UNSPECIFIED"):
                continue
            mine = modules.timeline.bone_curve_count(armature, action, slot)
            curves = modules.timeline.curve_collection(action, slot)
            bones = sum(1 for curve in curves if curve.data_path.startswith("pose.bones"))
            if mine and mine >= FITTING_SHARE * bones:
                yield action, slot


def deform_motion(reading):
    """What was read, for control rigs of the bones that deform alone: controls are not what the body does."""
    modules, rig = extension(), reading.rig
    if not rig.constrained.any() or rig.deform.all() or not rig.deform.any():
        return reading.motion
    rotations, heads = reading.rotations, reading.heads
    rows = np.unique(np.linspace(0, len(heads) - 1, SAMPLED_FRAMES).astype(int))
    try:
        choice = modules.skeleton.choose_joints(rig.parents, rotations[rows], heads[rows], rig.deform)
    except ValueError:  # only bones that don't deform move: a file of controls
        return reading.motion
    rotations, heads = rotations[:, choice.bones], heads[:, choice.bones]
    skeleton, rigid = modules.armature.joint_skeleton(rig, choice, rotations, heads, reading.world[0], False)
    return modules.motion.Motion(skeleton, reading.fps, heads[:, 0], rotations, None if rigid else heads)
