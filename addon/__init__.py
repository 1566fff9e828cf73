"""Motion Variations: variations of an armature's own animation. Registers the extension's parts, in order."""

from . import (
    backend_operators,
    body,
    browser_operators,
    browser_panel,
    character_operators,
    character_panel,
    connection,
    control_panels,
    ghosts,
    idle,
    key_operators,
    manual,
    menus,
    operators,
    origin,
    overrides,
    panels,
    pins,
    pose_cache,
    preferences,
    properties,
    resample_presets,
    session,
    shortcuts,
    torch_panel,
    translations,
    view_operators,
    view_panels,
    view_settings,
)

MODULES = (
    translations,
    preferences,
    properties,
    origin,
    view_settings,
    session,
    overrides,
    connection,
    operators,
    body,
    pins,
    browser_operators,
    backend_operators,
    character_operators,
    torch_panel,
    idle,
    key_operators,
    view_operators,
    resample_presets,
    pose_cache,
    ghosts,
    panels,
    character_panel,
    control_panels,
    browser_panel,
    view_panels,
    menus,
    shortcuts,
    manual,
)


def register():
    """Blender enables the extension."""
    for module in MODULES:
        module.register()


def unregister():
    """Blender disables the extension, or quits. A running job ends first, while all that it needs is there."""
    session.abandon("")
    for module in reversed(MODULES):
        module.unregister()
