"""The pie menu and the shortcuts: off until the preferences switch them on, and the user's to change there."""

from dataclasses import dataclass, field

import bpy

PIE = "MOTION_VARIATIONS_MT_pie"
EDITORS = (("3D View", "VIEW_3D"), ("Dopesheet", "DOPESHEET_EDITOR"), ("Graph Editor", "GRAPH_EDITOR"))
EDITORS += (("NLA Editor", "NLA_EDITOR"),)


@dataclass(frozen=True)
class Shortcut:
    """A key, what it calls, and with which properties."""

    operator: str
    key: str
    modifiers: dict = field(default_factory=dict)
    properties: dict = field(default_factory=dict)


# None of these keys means anything in the four editors of Blender's own keymap.
SHORTCUTS = (
    Shortcut("wm.call_menu_pie", "V", {"ctrl": True, "alt": True}, {"name": PIE}),
    Shortcut("motion_variations.flip", "PAGE_DOWN", {"alt": True}, {"offset": 1}),
    Shortcut("motion_variations.flip", "PAGE_UP", {"alt": True}, {"offset": -1}),
    Shortcut("motion_variations.ghosts", "V", {"ctrl": True, "alt": True, "shift": True}),
)

_added = []  # (keymap, item) of the add-on's own key configuration


class MOTION_VARIATIONS_MT_pie(bpy.types.Menu):
    """Variations of the active armature's motion, around the pointer"""

    bl_idname = PIE
    bl_label = "Variations"

    def draw(self, context):
        """Left and right flip, below the source, above new ones; the corners keep or drop what is shown."""
        pie = self.layout.menu_pie()
        pie.operator_context = "INVOKE_DEFAULT"
        pie.operator("motion_variations.flip", text="Previous Variation", icon="TRIA_LEFT").offset = -1
        pie.operator("motion_variations.flip", text="Next Variation", icon="TRIA_RIGHT").offset = 1
        pie.operator("motion_variations.show", text="Show Source", icon="LOOP_BACK").index = 0
        pie.operator("motion_variations.resample", icon="MOD_NOISE")
        pie.operator("motion_variations.encode", icon="VIEWZOOM")
        pie.operator("motion_variations.ghosts", icon="ONIONSKIN_ON")
        pie.operator("motion_variations.delete", icon="TRASH")
        pie.operator("motion_variations.accept", icon="CHECKMARK")


def add(keyconfig) -> list:
    """Puts the shortcuts into a key configuration; gives the keymaps and their items."""
    added = []
    for name, space in EDITORS:
        keymap = keyconfig.keymaps.new(name=name, space_type=space)
        for shortcut in SHORTCUTS:
            item = keymap.keymap_items.new(shortcut.operator, shortcut.key, "PRESS", **shortcut.modifiers)
            for prop, value in shortcut.properties.items():
                setattr(item.properties, prop, value)
            added.append((keymap, item))
    return added


def remove(added) -> None:
    """Takes out what `add` gave."""
    for keymap, item in added:
        keymap.keymap_items.remove(item)


def follow(wanted: bool) -> None:
    """Switches the shortcuts on or off; a Blender without windows may have no place for them."""
    keyconfig = bpy.context.window_manager.keyconfigs.addon
    if wanted and not _added and keyconfig is not None:
        _added.extend(add(keyconfig))
    elif not wanted:
        remove(_added)
        _added.clear()


def draw(layout, context) -> None:
    """The shortcuts as Blender's preferences list them, for the user to change; nothing while they are off."""
    import rna_keymap_ui

    keyconfig = context.window_manager.keyconfigs.user
    for name, space in EDITORS:
        keymap = keyconfig.keymaps.find(name, space_type=space)
        if keymap is None:
            continue
        column = layout.column(align=True)
        column.label(text=name)
        for item in keymap.keymap_items:
            if _is_ours(item):
                column.context_pointer_set("keymap", keymap)
                rna_keymap_ui.draw_kmi(["ADDON", "USER", "DEFAULT"], keyconfig, keymap, item, column, 0)


def _is_ours(item) -> bool:
    if item.idname == "wm.call_menu_pie":
        return item.properties is not None and item.properties.name == PIE
    return item.idname.startswith("motion_variations.")


def register():
    """The pie menu is there for whoever gives it a key; the shortcuts as the preferences say."""
    from .preferences import preferences

    bpy.utils.register_class(MOTION_VARIATIONS_MT_pie)
    follow(preferences().use_shortcuts)


def unregister():
    """No shortcut is left."""
    follow(False)
    bpy.utils.unregister_class(MOTION_VARIATIONS_MT_pie)
