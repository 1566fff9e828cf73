"""What runs inside the tested Blender: says what the file holds, which operators were called, and how long work took.

The extension's own functions do the work; around those that are timed lies a clock.
"""

from animator import PACKAGE

SETUP = f"""
import addon_utils, sys, time
addon_utils.enable("io_anim_bvh", default_set=True)
session = sys.modules["{PACKAGE}.session"]
connection = sys.modules["{PACKAGE}.connection"]
draws = [0]

def count_draw():
    draws[0] += 1

places = dict(VIEW_3D="UI", PREFERENCES="WINDOW")
bpy.types.SpaceView3D.draw_handler_add(count_draw, (), "UI", "POST_PIXEL")
bpy.types.SpacePreferences.draw_handler_add(count_draw, (), "WINDOW", "POST_PIXEL")

def draw_again():
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                if region.type == places.get(area.type):
                    region.tag_redraw()  # the view itself would take software most of a second
    return draws[0]
"""
WALKER = f"""
NAME = "Walker"
called = globals().get("called", {{}})  # also when the extension was off in between
took_ms, drawn = {{}}, {{}}

def curves_of(action):
    bag = action.layers[0].strips[0].channelbags[0] if hasattr(action, "layers") else action
    return bag.fcurves

def facts():
    armature = bpy.data.objects.get(NAME)
    rows, data = armature.motion_variations.rows, armature.animation_data
    action = data.action
    return dict(action=action.name if action else "", rows=[r.action and r.action.name for r in rows],
                actions=sorted(bpy.data.actions.keys()), job=session.job and session.job.progress.text,
                message=session.message, error=session.message_is_error, called=dict(called),
                stars=[r.star for r in rows], tracks=[t.name for t in data.nla_tracks],
                amount=action.motion_variations.amount if action else 0.0,
                pins=sorted(p.frame for p in armature.motion_variations.pins))

def operators():
    classes = [c for c in bpy.types.Operator.__subclasses__() if c.__module__.startswith("{PACKAGE}")]
    return {{c.bl_idname.split(".")[1]: c for c in classes}}

def watch():
    for name, cls in operators().items():
        for part in ("invoke", "execute"):  # menus and the popover of presets go straight to the second
            if hasattr(cls, part):
                setattr(cls, part, counting(name, getattr(cls, part)))
    for module, function in (("results", "show_active"), ("results", "accept"), ("strength", "follow_slider")):
        module = sys.modules["{PACKAGE}." + module]
        setattr(module, function, timing(function, getattr(module, function)))
    bpy.types.SpaceView3D.draw_handler_add(stamp, (), "WINDOW", "POST_PIXEL")

def counting(name, function):
    def count():
        called[name] = called.get(name, 0) + 1
    def invoke(self, context, event):
        count()
        return function(self, context, event)
    def execute(self, context):
        count()
        return function(self, context)
    return dict(invoke=invoke, execute=execute)[function.__name__]  # Blender counts a method's arguments

def timing(name, function):
    def timed(*given, **named):
        start = time.perf_counter()
        try:
            return function(*given, **named)
        finally:
            bpy.context.view_layer.update()  # the new pose is there
            took_ms.setdefault(name, []).append(1e3 * (time.perf_counter() - start))
    return timed

def stamp():
    armature = bpy.data.objects.get(NAME)
    action = armature and armature.animation_data and armature.animation_data.action
    if action and drawn.get("action") != action.name:
        drawn.update(action=action.name, time=time.time())

watch()
"""
CROWD = """
import numpy as np
from mathutils import Quaternion
bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
armature = bpy.data.objects.new(NAME, bpy.data.armatures.new(NAME))
bpy.context.scene.collection.objects.link(armature)
bpy.context.view_layer.objects.active = armature
armature.select_set(True)
with view3d(): bpy.ops.object.mode_set(mode="EDIT")
bones = []
for row in range(141):  # five limbs of 28 bones on a root
    bone = armature.data.edit_bones.new(f"bone {row}")
    limb, place = divmod(row - 1, 28)
    side = np.array((np.cos(1.26 * limb), np.sin(1.26 * limb), 0.0)) if row else np.array((0, 0, 1.0))
    bone.head = (0.05 * place * side if row else 0 * side) + (0, 0, 1.0)
    bone.tail = 0.05 * side + bone.head
    bone.parent = bones[0 if place == 0 else row - 1] if row else None
    bones.append(bone)
with view3d(): bpy.ops.object.mode_set(mode="OBJECT")
times = np.arange(1, 301, dtype=np.float32)
armature.animation_data_create().action = bpy.data.actions.new("crowd")
for row, bone in enumerate(armature.pose.bones):
    bone.rotation_mode = "QUATERNION"
    bone.keyframe_insert("rotation_quaternion", frame=1)
for number, curve in enumerate(curves_of(armature.animation_data.action)):
    values = np.sin(times / 20 + number) * 0.05 + (curve.array_index == 0)
    curve.keyframe_points.clear()
    curve.keyframe_points.add(300)
    curve.keyframe_points.foreach_set("co", np.stack((times, values), axis=1).astype(np.float32).ravel())
    curve.update()
bpy.context.scene.frame_end = 300
"""
