"""What *Adapt to This Character* takes: panel and operator."""

from bpy.props import EnumProperty, FloatProperty

ACTIONS = (
    ("ALL", "All Actions", "Learn from every action of the file that animates this armature, without variations"),
    ("SOURCE", "This Action", "Learn from the source alone: it is known better then, other actions hardly"),
)


class AdaptSettings:
    """The settings, kept with the scene and given by scripts."""

    adapt_actions: EnumProperty(
        name="Learn from", description="From which motion the character is learnt", items=ACTIONS, default="ALL"
    )
    adapt_seconds: FloatProperty(
        name="Seconds",
        description="How long learning may take. It ends earlier where nothing more is gained on motion that is held "
        "out",
        default=60.0,
        min=1.0,
        soft_max=600.0,
        step=1000,
        precision=0,
    )
