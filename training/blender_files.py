"""Motion files through Blender's importers and the add-on's own reader: the model is trained on what it will read.

Runs in a process with the `bpy` package; one Blender a process.
"""

import functools
import importlib
import sys
import tempfile
from pathlib import Path

from backend.errors import UserError
from backend.motion import Motion, arrays_to_motion

FORMATS = (".fbx", ".glb", ".gltf", ".blend")


@functools.cache
def reader():
    """The add-on's modules, from the extension assembled into a temporary folder."""
    from build import EXTENSION_ID, assemble

    folder = tempfile.mkdtemp(prefix="motion-variations-")
    assemble(folder)
    sys.path.insert(0, folder)
    names = ("timeline", "backend.motion", "backend.errors")
    modules = {name: importlib.import_module(f"{EXTENSION_ID}.{name}") for name in names}
    return modules["timeline"], modules["backend.motion"].motion_to_arrays, modules["backend.errors"].UserError


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
    """Every action of every armature in the file: yields (name, Motion or the sentence why there is none).

    Raises:
        UserError: Blender can't open the file.
    """
    import bpy

    timeline, motion_to_arrays, reader_error = reader()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    try:
        import_file(path)
    except RuntimeError as error:
        raise UserError(f"Blender can't open {path.name}: {error}") from error
    armatures = [thing for thing in bpy.context.scene.objects if thing.type == "ARMATURE" and thing.data.bones]
    for armature in armatures:
        data = armature.animation_data or armature.animation_data_create()
        for track in data.nla_tracks:
            track.mute = True
        for action in list(bpy.data.actions):
            try:
                slot = timeline.find_slot(armature, action)
                timeline.assign_action(armature, action, slot)
                if not timeline.bone_curve_count(armature, action, slot):
                    continue
                motion: Motion = arrays_to_motion(motion_to_arrays(timeline.read(armature).motion))
            except reader_error as error:
                yield f"{path.stem}__{action.name}", str(error)
            else:
                yield f"{path.stem}__{action.name}", motion
