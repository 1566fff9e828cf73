"""What Blender's *Adjust Last Operation* panel (F9) shows of *Resample motion*, and what *Repeat Last* does with it.

Blender answers a change in that panel by undoing the click and running it again on the spot, while the window waits. A
job takes seconds and makes actions with new seeds, so that would be a surprise with every slider that is touched. Hence
the panel is a record: it lists the settings that the click had, greyed out; the sidebar has them for the next click,
Ctrl+Z takes the click back. *Repeat Last* (Shift+R) starts the job anew as a click does, in the background.
"""

import bpy

ONLY_WITH = {  # settings that mean something only beside some values of another one
    "frame_start": ("frame_range", ("CUSTOM",)),
    "frame_end": ("frame_range", ("CUSTOM",)),
    "bone_collection": ("bones", ("COLLECTION",)),
    "parts": ("bones", ("PARTS",)),
    "key_tolerance": ("keys", ("AS_SOURCE", "REDUCED")),
    "seed": ("lock_seed", (True,)),
}


def unremembered(settings):
    """The properties of a settings class for an operator: Blender doesn't carry their values over to the next click,
    which starts from the sidebar."""
    annotations = {}
    for name, deferred in settings.__annotations__.items():
        options = set(deferred.keywords.get("options", {"ANIMATABLE"})) | {"SKIP_SAVE"}
        annotations[name] = deferred.function(**{**deferred.keywords, "options": options})
    return type(f"Unremembered{settings.__name__}", (), {"__annotations__": annotations, "__doc__": settings.__doc__})


def shown_settings(operator, settings) -> list[str]:
    """The settings that the panel lists: those that had a say in this click."""
    shown = []
    for name in settings.__annotations__:
        other, values = ONLY_WITH.get(name, ("", ()))
        if not other or getattr(operator, other) in values:
            shown.append(name)
    return shown


def draw_record(layout, operator, settings) -> None:
    """The settings of the click, greyed out, and what to do for others."""
    layout.use_property_split = True
    layout.use_property_decorate = False
    column = layout.column()
    column.enabled = False
    for name in shown_settings(operator, settings):
        column.prop(operator, name)
    layout.label(text="The sidebar has these settings for the next click", icon="INFO")


def is_repeated(operator) -> bool:
    """Whether Blender runs the operator again by itself, in a window that must not wait."""
    return not bpy.app.background and (operator.options.is_repeat or operator.options.is_repeat_last)


def repeat_as_click(operator, context, settings):
    """What such a run does instead: *Repeat Last* starts the job anew as soon as the window is free. Whatever Blender
    undid for *Adjust Last Operation* comes back, for the run counts as cancelled."""
    if operator.options.is_repeat_last:
        given = {name: getattr(operator, name) for name in shown_settings(operator, settings)}
        place = {"window": context.window, "area": context.area, "region": context.region}
        name = operator.bl_idname.split("_OT_")[-1].lower().split(".")[-1]

        def click():
            with bpy.context.temp_override(**place):
                verb = getattr(bpy.ops.motion_variations, name)
                if verb.poll():
                    verb("INVOKE_DEFAULT", **given)

        bpy.app.timers.register(click, first_interval=0.0)
    return {"CANCELLED"}
