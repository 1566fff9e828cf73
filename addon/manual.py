"""The manual's pages in the folder `docs`: the button that opens it, and which page *Online Manual* opens."""

from pathlib import Path

import bpy

FOLDER = Path(__file__).parent / "docs"
PAGES = (  # patterns of what a right click was on; the first that fits counts
    ("bpy.ops.motion_variations.reduce_keys*", "keys.md"),
    ("bpy.ops.motion_variations.*pin*", "pins_and_loops.md"),
    ("bpy.ops.motion_variations.toggle_part*", "what_changes.md"),
    ("bpy.ops.motion_variations.*preset*", "presets_and_shortcuts.md"),
    ("bpy.ops.motion_variations.*python*", "torch_engine.md"),
    ("bpy.ops.motion_variations.copy_command*", "torch_engine.md"),
    ("bpy.ops.motion_variations.restart_backend*", "trouble.md"),
    ("bpy.ops.motion_variations.show_log*", "trouble.md"),
    ("bpy.ops.motion_variations.encode*", "first_variation.md"),
    ("bpy.ops.motion_variations.reconstruct*", "first_variation.md"),
    ("bpy.ops.motion_variations.resample*", "first_variation.md"),
    ("bpy.ops.motion_variations.adapt*", "characters.md"),
    ("bpy.ops.motion_variations.forget*", "characters.md"),
    ("bpy.ops.motion_variations.*", "choosing.md"),
    ("bpy.types.motionvariationssettings.adapt*", "characters.md"),
    ("bpy.types.motionvariationssettings.key*", "keys.md"),
    ("bpy.types.motionvariationssettings.pin*", "pins_and_loops.md"),
    ("bpy.types.motionvariationssettings.keep_ends*", "pins_and_loops.md"),
    ("bpy.types.motionvariationssettings.contacts*", "pins_and_loops.md"),
    ("bpy.types.motionvariationssettings.loop*", "pins_and_loops.md"),
    ("bpy.types.motionvariationssettings.root_path*", "pins_and_loops.md"),
    ("bpy.types.motionvariationssettings.*", "what_changes.md"),
    ("bpy.types.motionvariationspreferences.*", "torch_engine.md"),
    ("bpy.types.motionvariations*", "choosing.md"),
)


def draw_button(layout, text: str = "") -> None:
    """A button that opens the manual's folder, where README.md is the first page."""
    layout.operator("wm.path_open", text=text, icon="HELP", emboss=bool(text)).filepath = str(FOLDER)


def pages():
    """For Blender: where the pages are, and which belongs to what."""
    return FOLDER.as_uri() + "/", PAGES


def register():
    """Right click, *Online Manual*, knows the pages."""
    bpy.utils.register_manual_map(pages)


def unregister():
    """Not any more."""
    bpy.utils.unregister_manual_map(pages)
