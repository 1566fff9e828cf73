"""python tests/gui/crowd_and_strips.py --clip BVH [--zip FILE] [--version 5.2] [--shots DIR]

Two armatures selected in a real Blender window: one click encodes both, one varies both, one undo takes both back. Then
a clip on an NLA track without an active action: varied by a click, shown in the strip, and rejected.

Needs `../shared/gui` (a window on a virtual screen, `setup` done once); says so and ends well where it isn't there.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from animator import PACKAGE, ROOT, SCREEN, TOOLS, Animator

SETUP = f"""
import addon_utils, sys
addon_utils.enable("io_anim_bvh", default_set=True)
session = sys.modules["{PACKAGE}.session"]
connection = sys.modules["{PACKAGE}.connection"]
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
    time.sleep(3)
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
    time.sleep(3)  # the buttons move up
    animator.shot("track")
    animator.press("Resample motion")
    animator.wait(lambda found: found["job"] is None and found["strip"] == "bob var 01")
    time.sleep(3)
    animator.shot("strip-varied")
    found = animator.facts()
    assert found["actions"][1] is None and found["rows"][1] == ["bob", "bob var 01", "bob var 02", "bob var 03"], found
    animator.choose("var 02", lambda now: now["strip"] == "bob var 02")
    animator.blender.key("Up", "Up")
    animator.wait(lambda now: now["strip"] == "bob", 5)
    print("  a clip on a track was varied and shown in its strip; the list's lines switch the strip")


def main() -> int:
    """Both, in one window."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zip", type=Path, default=next(iter(sorted((ROOT / "dist").glob("*.zip"))), None))
    parser.add_argument("--clip", type=Path, required=True, help="a BVH file of 50 to 500 frames")
    parser.add_argument("--version", default="")
    parser.add_argument("--shots", type=Path, default=ROOT / "out" / "gui")
    options = parser.parse_args()
    if not (TOOLS / "gui.py").is_file():
        print(f"skipped: there is no {TOOLS}")
        return 0
    if options.zip is None:
        raise SystemExit("There is no zip in dist. Run python build.py first.")
    sys.path.insert(0, str(TOOLS))
    from gui import Blender

    options.shots.mkdir(parents=True, exist_ok=True)
    with Blender(zips=[options.zip], version=options.version, size=SCREEN) as blender:
        print("Blender", blender.eval("bpy.app.version_string"))
        blender.eval(SETUP)
        animator = Animator(blender, options.shots)
        blender.eval("bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)")
        blender.eval(TWO.replace("CLIP", repr(str(options.clip))))
        blender.open_sidebar("Variations")
        animator.shot("both")
        vary_both(animator)
        vary_strip(animator)
        log = Path(blender.run_dir, "blender.log").read_text()
        assert "Traceback" not in log, log[log.index("Traceback") :][:2000]
    print(f"all went well; {animator.pictures} pictures in {options.shots}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
