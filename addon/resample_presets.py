"""Presets of the settings of *Resample motion*: Blender's own menu of them, with a loader that outlives versions.

Those that ship lie in the extension's folder `presets`; the user's own lie where Blender keeps presets and stay there
through updates. A preset is a list of assignments. It is read, never run: an assignment that this version doesn't know,
or that doesn't fit any more, is left out and named.
"""

import ast
from pathlib import Path

import bpy
from bl_operators.presets import AddPresetBase
from bl_ui.utils import PresetPanel
from bpy.props import StringProperty

from .settings import ResampleSettings

FOLDER = "motion_variations/resample"  # below Blender's folders of presets
# What a preset's lines assign to. Blender 4.3 finds no name that stands for it where it runs on Python 3.13.
OWNER = "bpy.context.scene.motion_variations"
SHORT_OWNER = "settings"  # `settings.strength = 0.5`, as in the presets that ship
OF_ONE_CLIP = {"seed", "lock_seed", "frame_range", "frame_start", "frame_end", "bone_collection", "parts"}


def setting_names() -> list[str]:
    """The settings that a preset keeps."""
    return [name for name in ResampleSettings.__annotations__ if name not in OF_ONE_CLIP]


def read_preset(text: str) -> dict:
    """The values that a preset's text assigns to settings; lines of other kinds are passed over.

    Raises:
        SyntaxError: the text isn't a list of assignments.
    """
    values = {}
    for line in ast.parse(text).body:
        target = line.targets[0] if isinstance(line, ast.Assign) else None
        if isinstance(target, ast.Attribute) and ast.unparse(target.value) in (OWNER, SHORT_OWNER):
            try:
                values[target.attr] = ast.literal_eval(line.value)
            except ValueError:
                values[target.attr] = None  # not a plain value: it fits no setting
    return values


def apply_preset(settings, values: dict) -> list[str]:
    """Gives the settings their values; the names of those that don't exist here, or don't fit, come back."""
    left_out = []
    for name, value in values.items():
        try:
            if name not in ResampleSettings.__annotations__:
                raise AttributeError(name)
            setattr(settings, name, value)
        except (AttributeError, TypeError, ValueError, OverflowError):
            left_out.append(name)
    return left_out


class MOTION_VARIATIONS_OT_load_preset(bpy.types.Operator):
    """Set the settings of Resample motion to those of the preset. No action is changed"""

    bl_idname = "motion_variations.load_preset"
    bl_label = "Load Preset"
    bl_options = {"UNDO", "INTERNAL"}

    filepath: StringProperty(name="File", description="The preset's file", subtype="FILE_PATH", options={"SKIP_SAVE"})

    def execute(self, context):
        """Reads the file, and says what couldn't be used of it."""
        path = Path(self.filepath)
        name = bpy.path.display_name(path.stem, title_case=False)
        try:
            values = read_preset(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeError, SyntaxError, ValueError) as error:
            self.report({"ERROR"}, f"The preset '{name}' can't be read ({error}). Save it again, or delete it.")
            return {"CANCELLED"}
        left_out = apply_preset(context.scene.motion_variations, values)
        if left_out:
            self.report({"WARNING"}, f"The preset '{name}' has settings that don't exist here: {', '.join(left_out)}")
        return {"FINISHED"}


class MOTION_VARIATIONS_OT_preset(AddPresetBase, bpy.types.Operator):
    """Save the settings of Resample motion as a preset of this name, or delete a preset of yours"""

    bl_idname = "motion_variations.preset"
    bl_label = "Resample Preset"

    preset_menu = "MOTION_VARIATIONS_PT_presets"
    preset_subdir = FOLDER

    @property
    def preset_values(self):
        """What is written: all settings, those of other versions too."""
        return [f"{OWNER}.{name}" for name in setting_names()]


class MOTION_VARIATIONS_PT_presets(PresetPanel, bpy.types.Panel):
    """Presets of the settings: load one, save one, delete one"""

    bl_label = "Resample Presets"
    preset_subdir = FOLDER
    preset_operator = MOTION_VARIATIONS_OT_load_preset.bl_idname
    preset_add_operator = MOTION_VARIATIONS_OT_preset.bl_idname


class MOTION_VARIATIONS_MT_presets(bpy.types.Menu):  # for the header menus, which load only
    """Set the settings of Resample motion to those of a preset"""

    bl_idname = "MOTION_VARIATIONS_MT_presets"
    bl_label = "Resample Presets"
    preset_subdir = FOLDER
    preset_operator = MOTION_VARIATIONS_OT_load_preset.bl_idname
    draw = bpy.types.Menu.draw_preset


CLASSES = (
    MOTION_VARIATIONS_OT_load_preset,
    MOTION_VARIATIONS_OT_preset,
    MOTION_VARIATIONS_PT_presets,
    MOTION_VARIATIONS_MT_presets,
)


def register():
    """Makes the presets that ship known to Blender."""
    bpy.utils.register_preset_path(str(Path(__file__).parent))
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    """Takes them away; the user's own stay."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
    bpy.utils.unregister_preset_path(str(Path(__file__).parent))
