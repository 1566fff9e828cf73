"""The user's choices for the backend: engine, device, the Python that has PyTorch."""

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

ENGINES = (
    ("NUMPY", "NumPy", "Runs on the processor with what Blender ships. Nothing to install"),
    ("TORCH", "PyTorch", "Runs in a Python of yours that has PyTorch, on the graphics card where PyTorch can use one"),
)
DEVICES = (
    ("AUTO", "Automatic", "The graphics card where PyTorch can use one, else the processor"),
    ("CPU", "Processor", "The processor, even where there is a graphics card"),
    ("CUDA", "NVIDIA or AMD card", "The graphics card through CUDA or ROCm"),
    ("MPS", "Apple GPU", "The graphics processor of an Apple computer"),
)


def _restart(preferences, context):
    """Another engine or Python needs another process; it starts with the next click."""
    from . import connection

    preferences.check_result = ""
    connection.stop()


def _switch_shortcuts(preferences, context):
    """On or off at once."""
    from . import shortcuts

    shortcuts.follow(preferences.use_shortcuts)


class MotionVariationsPreferences(bpy.types.AddonPreferences):
    """Shown in Blender's preferences under the extension."""

    bl_idname = __package__

    engine: EnumProperty(
        name="Engine",
        description="What computes the variations. Both give the same results",
        items=ENGINES,
        default="NUMPY",
        update=_restart,
    )
    device: EnumProperty(
        name="Device", description="Where PyTorch computes", items=DEVICES, default="AUTO", update=_restart
    )
    python_path: StringProperty(
        name="Python",
        description="The Python program of an environment that has PyTorch, for example "
        "/home/me/torch-environment/bin/python. It is started as a process of its own; nothing is installed into it",
        subtype="FILE_PATH",
        update=_restart,
    )
    use_shortcuts: BoolProperty(
        name="Shortcuts and Pie Menu",
        description="Add shortcuts for flipping through the variations, for ghosts and for a pie menu to the 3D view "
        "and the animation editors. Off, Blender's keys are as they were",
        default=False,
        update=_switch_shortcuts,
    )
    check_result: StringProperty(name="Result of the check", options={"SKIP_SAVE", "HIDDEN"})
    check_failed: BoolProperty(name="The check failed", options={"SKIP_SAVE", "HIDDEN"})

    def draw(self, context):
        """The engine, and the shortcuts."""
        from . import shortcuts

        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "engine")
        if self.engine == "TORCH":
            self.draw_torch(layout, context)
        layout.separator()
        layout.prop(self, "use_shortcuts")
        if self.use_shortcuts:
            shortcuts.draw(layout, context)

    def draw_torch(self, layout, context):
        """Its Python, its device and a check."""
        from .panels import draw_sentence

        layout.prop(self, "python_path")
        layout.prop(self, "device")
        layout.operator("motion_variations.check_python", icon="CHECKMARK")
        if self.check_result:
            draw_sentence(layout, self.check_result, context.region.width, is_error=self.check_failed)


def preferences():
    """The extension's preferences."""
    return bpy.context.preferences.addons[__package__].preferences


def register():
    """Makes the preferences known to Blender."""
    bpy.utils.register_class(MotionVariationsPreferences)


def unregister():
    """Takes them away."""
    bpy.utils.unregister_class(MotionVariationsPreferences)
