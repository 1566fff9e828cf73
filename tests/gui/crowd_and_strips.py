"""python tests/gui/crowd_and_strips.py --clip BVH [--zip FILE] [--version 5.2] [--shots DIR]

Two armatures selected in a real Blender window: one click encodes both, one varies both, one undo takes both back. Then
a clip on an NLA track without an active action: varied by a click, shown in the strip, and rejected.

Needs `../shared/gui` (a window on a virtual screen, `setup` done once); says so and ends well where it isn't there.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import window
from animator import Animator

BOTH = """
def strip():
    tracks = bpy.data.objects["Bob"].animation_data.nla_tracks
    return tracks[0].strips[0] if len(tracks) else None
def facts():
    armatures = [bpy.data.objects[name] for name in ("Ann", "Bob")]
    return dict(actions=[a.animation_data.action and a.animation_data.action.name for a in armatures],
                rows=[[r.action.name for r in a.motion_variations.rows] for a in armatures],
                frames=[a.motion_variations.report.frames for a in armatures],
                strip=strip() and strip().action.name, all=sorted(bpy.data.actions.keys()),
                job=session.job and session.job.progress.text, message=session.message, error=session.message_is_error)
"""
TWO = """
for place, name in enumerate(("Ann", "Bob")):
    bpy.ops.import_anim.bvh(filepath=CLIP, global_scale=0.01, update_scene_fps=True, update_scene_duration=True)
    bpy.context.object.name = name
    bpy.context.object.location.x = place
    bpy.context.object.animation_data.action.name = name.lower()
for name in ("Ann", "Bob"):
    bpy.data.objects[name].select_set(True)
bpy.ops.ed.undo_push(message="two")
with view3d(): bpy.ops.view3d.view_selected()
"""
TRACK = """
bob = bpy.data.objects["Bob"]
bpy.data.objects["Ann"].select_set(False)
bpy.context.view_layer.objects.active = bob
action, slot = bob.animation_data.action, getattr(bob.animation_data, "action_slot", None)
bob.animation_data.action = None
clip = bob.animation_data.nla_tracks.new().strips.new("clip", 11, action)
if slot: clip.action_slot = slot
bpy.ops.ed.undo_push(message="track")
"""


def vary_both(animator: Animator) -> None:
    """A click on Encode, one on Resample motion, Ctrl+Z."""
    animator.press("Encode")
    animator.wait(lambda found: found["job"] is None and all(found["frames"]))
    animator.shot("both-encoded")
    before = animator.facts()
    assert "'Bob':" in before["message"] and "'Ann':" in before["message"], before
    animator.press("Resample motion")
    animator.wait(lambda found: found["job"] and found["job"].startswith("Ann"))
    animator.shot("both-running")
    animator.wait(lambda found: found["job"] is None and found["actions"] == ["ann var 01", "bob var 01"])
    animator.settle()
    animator.shot("both-varied")
    found = animator.facts()
    assert [len(rows) for rows in found["rows"]] == [4, 4], found
    animator.blender.move(600, 500)
    animator.blender.key("ctrl+z")
    animator.wait(lambda now: now["all"] == ["ann", "bob"] and now["actions"] == ["ann", "bob"])
    print("  one click varied both armatures, one Ctrl+Z took both back")


def vary_strip(animator: Animator) -> None:
    """A click on Resample motion; the strip plays the variation, the list's line 0 the source."""
    animator.blender.eval(TRACK)
    animator.blender.move(600, 500)
    animator.settle()  # the buttons move up
    animator.shot("track")
    animator.press("Resample motion")
    animator.wait(lambda found: found["job"] is None and found["strip"] == "bob var 01")
    animator.settle()
    animator.shot("strip-varied")
    found = animator.facts()
    assert found["actions"][1] is None and found["rows"][1] == ["bob", "bob var 01", "bob var 02", "bob var 03"], found
    animator.choose("var 02", lambda now: now["strip"] == "bob var 02")
    animator.blender.key("Up", "Up")
    animator.wait(lambda now: now["strip"] == "bob")
    print("  a clip on a track was varied and shown in its strip; the list's lines switch the strip")


def main() -> int:
    """Both, in one window."""
    options = window.arguments(__doc__).parse_args()
    if not window.is_there(options):
        return 0
    with window.opened(options, BOTH) as animator:
        animator.blender.eval("bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)")
        animator.blender.eval(TWO.replace("CLIP", repr(str(options.clip))))
        animator.blender.open_sidebar("Variations")
        animator.shot("both")
        vary_both(animator)
        vary_strip(animator)
    print(f"all went well; {animator.pictures} pictures in {options.shots}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
