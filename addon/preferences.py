"""The user's choices for the backend: engine, device, the Python that has PyTorch."""

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from . import devices

ENGINES = (
    ("NUMPY", "NumPy", "Runs on the processor with what Blender ships. Nothing to install"),
    ("TORCH", "PyTorch", "Runs in a Python of yours that has PyTorch, on the graphics card where PyTorch can use one"),
)
COMMANDS = (
    ("AUTO", "This computer", "The PyTorch that suits the graphics card of this computer, as far as can be seen"),
    ("CUDA", "NVIDIA card", "CUDA 13: cards since 2018, with a driver of version 580 or later"),
    ("CUDA_OLD", "NVIDIA card, older", "CUDA 12.6: older cards, or a driver older than 580"),
    ("ROCM", "AMD card on Linux", "ROCm: the AMD cards that it supports"),
    ("MPS", "Mac", "Macs with an Apple processor"),
    ("CPU", "Processor alone", "A small download, for computers without such a card"),
)

_shown_devices = []  # Blender reads the strings of a menu after the function that made them has returned


def _restart(preferences, context):
    """Another engine or device needs another process; it starts with the next click."""
    from . import connection

    connection.stop()


def _change_python(preferences, context):
    """Nothing is known of another Python before it is checked."""
    preferences.check_result = preferences.devices = ""
    _restart(preferences, context)


def _choose(preferences, context):
    """A click on a line of the list: that Python is taken where it can be used; below the list it says why not."""
    if not 0 <= preferences.found_index < len(preferences.found):
        return
    line = preferences.found[preferences.found_index]
    if line.usable:
        preferences.python_path = line.path
        preferences.devices = line.devices
        preferences.check_result, preferences.check_failed = line.sentence, False


def _devices(preferences, context):
    """The menu of devices: those of the chosen Python."""
    found = devices.choices(devices.from_text(preferences.devices), preferences.device_name)
    _shown_devices[:] = [(*choice, index) for index, choice in enumerate(found)]
    return _shown_devices


def _device(preferences) -> int:
    """The menu's number of the remembered device."""
    names = [choice[0].lower() for choice in _devices(preferences, None)]
    return names.index(preferences.device_name)


def _set_device(preferences, number):
    """Remembers a device by its name: its number is another one in another Python."""
    preferences.device_name = _devices(preferences, None)[number][0].lower()


def _switch_shortcuts(preferences, context):
    """On or off at once."""
    from . import shortcuts

    shortcuts.follow(preferences.use_shortcuts)


class FoundPython(bpy.types.PropertyGroup):
    """A line of the list of Pythons: where it is, what it is, and how much it is worth."""

    path: StringProperty(options={"HIDDEN"})
    line: StringProperty(options={"HIDDEN"})
    sentence: StringProperty(options={"HIDDEN"})
    usable: BoolProperty(options={"HIDDEN"})
    can_make: BoolProperty(options={"HIDDEN"})  # an environment for torch
    devices: StringProperty(options={"HIDDEN"})
    rank: IntProperty(options={"HIDDEN"})


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
        name="Device",
        description="Where PyTorch computes: what the chosen Python was found to have. The backend starts anew with it",
        items=_devices,
        get=_device,
        set=_set_device,
        update=_restart,
    )
    device_name: StringProperty(default="auto", options={"HIDDEN"})
    devices: StringProperty(options={"HIDDEN"})  # of the chosen Python, as it was checked last
    found: CollectionProperty(type=FoundPython, options={"HIDDEN"})
    found_index: IntProperty(name="Python of the list", update=_choose, options={"HIDDEN"})
    command_for: EnumProperty(
        name="Command for",
        description="For which graphics card the command below makes an environment. It is text; nothing is installed",
        items=COMMANDS,
        default="AUTO",
    )
    idle_minutes: FloatProperty(
        name="Give Memory Back After",
        description="Minutes without a job after which the backend process ends and its memory is free for others. The "
        "next click starts it again, which takes a moment. 0 keeps it",
        default=5.0,
        min=0.0,
        max=1440.0,
        soft_max=60.0,
        precision=1,
        step=100,
    )
    python_path: StringProperty(
        name="Python",
        description="The Python program of an environment that has PyTorch, for example "
        "/home/me/torch-environment/bin/python. It is started as a process of its own; nothing is installed into it",
        subtype="FILE_PATH",
        update=_change_python,
    )
    characters_path: StringProperty(
        name="Characters",
        description="The folder with what was learnt of characters, for example one that a team shares. Empty: in the "
        "extension's own folder of your user",
        subtype="DIR_PATH",
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
        """The engine, its memory, and the shortcuts."""
        from . import manual, shortcuts, torch_panel

        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "engine")
        if self.engine == "TORCH":
            torch_panel.draw(layout, context, self)
        layout.prop(self, "idle_minutes")
        layout.prop(self, "characters_path")
        layout.separator()
        layout.prop(self, "use_shortcuts")
        if self.use_shortcuts:
            shortcuts.draw(layout, context)
        manual.draw_button(layout, "Manual")


def preferences():
    """The extension's preferences."""
    return bpy.context.preferences.addons[__package__].preferences


def register():
    """Makes the preferences known to Blender."""
    bpy.utils.register_class(FoundPython)
    bpy.utils.register_class(MotionVariationsPreferences)


def unregister():
    """Takes them away."""
    bpy.utils.unregister_class(MotionVariationsPreferences)
    bpy.utils.unregister_class(FoundPython)
