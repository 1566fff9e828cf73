"""The verbs in the header menus: animation editors, and the 3D view's Object > Animation and Pose."""

import bpy

EDITORS = ("DOPESHEET_MT_editor_menus", "GRAPH_MT_editor_menus", "NLA_MT_editor_menus")
VIEW_MENUS = ("VIEW3D_MT_object_animation", "VIEW3D_MT_pose")  # so that F3 finds the verbs in the 3D view too


class MOTION_VARIATIONS_MT_verbs(bpy.types.Menu):
    """Variations of the active armature's motion"""

    bl_idname = "MOTION_VARIATIONS_MT_verbs"
    bl_label = "Variations"

    def draw(self, context):
        """The buttons of the sidebar's tab, named so that F3 makes sense of them; the settings are those of the tab."""
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("motion_variations.encode", text="Encode Motion", icon="VIEWZOOM")
        layout.operator("motion_variations.reconstruct", text="Reconstruct Motion", icon="MOD_MIRROR")
        layout.operator("motion_variations.resample", text="Resample Motion", icon="MOD_NOISE")
        layout.menu("MOTION_VARIATIONS_MT_presets", icon="PRESET")
        layout.operator("motion_variations.adapt", icon="ARMATURE_DATA")
        layout.operator("motion_variations.forget", icon="TRASH")
        layout.operator("motion_variations.cancel", text="Cancel Variations Job", icon="X")
        layout.separator()
        layout.operator("motion_variations.pin_frame", icon="PINNED")
        layout.operator("motion_variations.unpin_frame", icon="UNPINNED")
        layout.operator("motion_variations.clear_pins", text="Unpin All Frames")
        layout.separator()
        layout.operator("motion_variations.flip", text="Next Variation", icon="TRIA_DOWN").offset = 1
        layout.operator("motion_variations.flip", text="Previous Variation", icon="TRIA_UP").offset = -1
        layout.operator("motion_variations.show", text="Show Source", icon="LOOP_BACK").index = 0
        layout.operator("motion_variations.ghosts", icon="ONIONSKIN_ON")
        layout.operator("motion_variations.read_poses", icon="FILE_REFRESH")
        layout.separator()
        _draw_verbs_of_the_shown(layout)
        layout.separator()
        layout.operator("motion_variations.show_log", text="Show Backend Log", icon="TEXT")
        layout.operator("motion_variations.restart_backend", text="Restart Backend", icon="FILE_REFRESH")


def _draw_verbs_of_the_shown(layout) -> None:
    """What can be done with the shown variation, and with all of them."""
    layout.operator("motion_variations.star", text="Star Variation", icon="SOLO_ON")
    layout.operator("motion_variations.regenerate", text="Regenerate Variation", icon="FILE_REFRESH")
    layout.operator("motion_variations.mix", text="Mix Variations", icon="ARROW_LEFTRIGHT")
    layout.operator("motion_variations.reduce_keys", text="Reduce Keys of Variation", icon="KEYFRAME")
    layout.operator("motion_variations.accept", text="Accept Variation", icon="CHECKMARK").place = "ACTION"
    layout.operator("motion_variations.accept", text="Accept as NLA Strip", icon="NLA").place = "STRIP"
    layout.operator("motion_variations.delete", text="Delete Variation", icon="TRASH")
    layout.operator("motion_variations.reject", text="Reject All Variations").keep_starred = False


def _draw_menu(self, context):
    """Appended to an editor's own menus."""
    self.layout.menu(MOTION_VARIATIONS_MT_verbs.bl_idname)


def _draw_in_view(self, context):
    """Appended to the 3D view's menus where an armature is active."""
    active = context.active_object
    if active is not None and (active.type == "ARMATURE" or active.find_armature() is not None):
        self.layout.separator()
        self.layout.menu(MOTION_VARIATIONS_MT_verbs.bl_idname)


def register():
    """Adds the menu to the editors."""
    bpy.utils.register_class(MOTION_VARIATIONS_MT_verbs)
    for menu in EDITORS:
        getattr(bpy.types, menu).append(_draw_menu)
    for menu in VIEW_MENUS:
        getattr(bpy.types, menu).append(_draw_in_view)


def unregister():
    """Takes it away."""
    for menu in VIEW_MENUS:
        getattr(bpy.types, menu).remove(_draw_in_view)
    for menu in EDITORS:
        getattr(bpy.types, menu).remove(_draw_menu)
    bpy.utils.unregister_class(MOTION_VARIATIONS_MT_verbs)
