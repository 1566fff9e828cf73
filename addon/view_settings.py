"""How ghosts and the heat line look: settings of the scene, none of which touches an action."""

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, FloatVectorProperty, IntProperty, PointerProperty

MAX_GHOSTS = 20  # before, and after

AROUND = (
    ("NONE", "None", "Draw no ghosts of other frames"),
    ("SHOWN", "Shown variation", "Draw the shown action's skeleton some frames before and after the current one"),
    ("SOURCE", "Source", "Draw the source's skeleton some frames before and after the current one"),
)


def _ghosts_changed(settings, context):
    """Draws from now on, or not any more."""
    from . import ghosts

    ghosts.follow()


class MotionVariationsView(bpy.types.PropertyGroup):
    """Ghosts and heat line, kept with the scene."""

    ghosts: BoolProperty(
        name="Ghosts",
        description="Draw the source's skeleton as lines over the shown variation in the 3D view. Nothing of it is "
        "rendered or saved as objects",
        default=False,
        update=_ghosts_changed,
    )
    around: EnumProperty(
        name="Around",
        description="Whose skeleton is also drawn at frames before and after the current one",
        items=AROUND,
        default="NONE",
    )
    before: IntProperty(
        name="Before",
        description="How many ghosts are drawn before the current frame",
        default=2,
        min=0,
        max=MAX_GHOSTS,
    )
    after: IntProperty(
        name="After", description="How many ghosts are drawn after the current frame", default=2, min=0, max=MAX_GHOSTS
    )
    step: IntProperty(
        name="Step", description="Frames from one ghost to the next", default=4, min=1, soft_max=50, max=1000
    )
    colour: FloatVectorProperty(
        name="Source",
        description="Colour of the source's skeleton at the current frame",
        subtype="COLOR_GAMMA",  # drawn as the swatch shows it
        size=4,
        default=(0.16, 0.62, 1.0, 0.9),
        min=0.0,
        max=1.0,
    )
    colour_before: FloatVectorProperty(
        name="Before",
        description="Colour of the ghosts before the current frame; they fade with their distance",
        subtype="COLOR_GAMMA",
        size=4,
        default=(0.95, 0.45, 0.25, 0.7),
        min=0.0,
        max=1.0,
    )
    colour_after: FloatVectorProperty(
        name="After",
        description="Colour of the ghosts after the current frame; they fade with their distance",
        subtype="COLOR_GAMMA",
        size=4,
        default=(0.45, 0.85, 0.35, 0.7),
        min=0.0,
        max=1.0,
    )
    width: FloatProperty(
        name="Line Width",
        description="Width of the ghosts' lines in pixels, before the interface's scale",
        default=2.5,
        min=1.0,
        max=10.0,
        precision=1,
    )
    in_front: BoolProperty(
        name="In Front",
        description="Draw the ghosts over everything; without it meshes hide what lies behind them",
        default=True,
    )
    heat: BoolProperty(
        name="Heat line",
        description="Show in the panel where in time the shown variation differs from its source, and by how much",
        default=True,
    )


def register():
    """Adds `motion_variations_view` to scenes."""
    bpy.utils.register_class(MotionVariationsView)
    bpy.types.Scene.motion_variations_view = PointerProperty(type=MotionVariationsView)


def unregister():
    """Takes it away; what was stored stays in the file."""
    del bpy.types.Scene.motion_variations_view
    bpy.utils.unregister_class(MotionVariationsView)
