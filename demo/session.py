"""A real Blender with the extension installed from its zip, in this process (the `bpy` package)."""

import contextlib
import io
import os
import sys
from pathlib import Path

EXTENSION = "bl_ext.user_default.motion_variations"
MODULE_TOO_LATE = "bpy was imported before the user folder was chosen: open Blender through this function alone."


def open_blender(zip_path: Path, user_folder: Path):
    """Starts Blender with a user folder of its own, installs the zip and enables it; returns `bpy`. Once a process.

    Raises:
        RuntimeError: Blender refuses the zip.
    """
    if "bpy" in sys.modules:
        raise RuntimeError(MODULE_TOO_LATE)
    user_folder.mkdir(parents=True, exist_ok=True)
    os.environ["BLENDER_USER_RESOURCES"] = str(user_folder)
    import bpy

    clear_scene()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        done = bpy.ops.extensions.package_install_files(
            filepath=str(zip_path), repo="user_default", enable_on_install=True
        )
    if "FINISHED" not in done or EXTENSION not in bpy.context.preferences.addons:
        raise RuntimeError(f"Blender didn't install {zip_path.name}:\n{said.getvalue()}")
    return bpy


def clear_scene() -> None:
    """An empty file; add-ons stay enabled."""
    import bpy

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)


def leave(code: int) -> None:
    """Ends the process at once: bpy may hang while Python ends."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
