"""The verbs in the header menus of the animation editors."""

import bpy

EDITORS = ("DOPESHEET_MT_editor_menus", "GRAPH_MT_editor_menus", "NLA_MT_editor_menus")


class MOTION_VARIATIONS_MT_verbs(bpy.types.Menu):
    """Variations of the active armature's motion"""

    bl_idname = "MOTION_VARIATIONS_MT_verbs"
    bl_label = "Variations"

    def draw(self, context):
        """The buttons of the sidebar's tab that need no list; the settings are those of the tab."""
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("motion_variations.encode", icon="VIEWZOOM")
        layout.operator("motion_variations.reconstruct", icon="MOD_MIRROR")
        layout.operator("motion_variations.resample", icon="MOD_NOISE")
        layout.operator("motion_variations.cancel", icon="X")
        layout.separator()
        layout.operator("motion_variations.show", text="Show Source", icon="LOOP_BACK").index = 0
        layout.operator("motion_variations.accept", icon="CHECKMARK")
        layout.operator("motion_variations.delete", icon="TRASH")
        layout.operator("motion_variations.reject")


def _draw_menu(self, context):
    """Appended to an editor's own menus."""
    self.layout.menu(MOTION_VARIATIONS_MT_verbs.bl_idname)


def register():
    """Adds the menu to the editors."""
    bpy.utils.register_class(MOTION_VARIATIONS_MT_verbs)
    for editor in EDITORS:
        getattr(bpy.types, editor).append(_draw_menu)


def unregister():
    """Takes it away."""
    for editor in EDITORS:
        getattr(bpy.types, editor).remove(_draw_menu)
    bpy.utils.unregister_class(MOTION_VARIATIONS_MT_verbs)
