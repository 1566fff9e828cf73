"""Motion Variations: variations of an armature's own animation. Registers the extension's parts, in order."""

from . import backend_operators, connection, menus, operators, panels, preferences, properties, session

MODULES = (preferences, properties, session, connection, operators, backend_operators, panels, menus)


def register():
    """Blender enables the extension."""
    for module in MODULES:
        module.register()


def unregister():
    """Blender disables the extension, or quits. A running job ends first, while all that it needs is there."""
    session.abandon("")
    for module in reversed(MODULES):
        module.unregister()
