"""python tests/gui/click_through.py [--zip FILE] [--clip BVH] [--version 5.2] [--shots DIR] [--picture docs/panel.png]

Installs the zip in a real Blender window, and works with it by mouse and keys as an animator does: Encode, Resample,
looking at variations, undo, Esc, Cancel, Accept, Delete. Prints what it measured: how long a click takes until the
variation is to be seen, how long Blender ever leaves an event waiting, how long a cancellation takes.

Needs `../shared/gui` (a window on a virtual screen, `setup` done once); says so and ends well where it isn't there.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT.parent / "shared" / "gui"
PACKAGE = "bl_ext.user_default.motion_variations"
SCREEN = "1600x1120"
LONG_FRAMES = 1000
CANCEL_LIMIT_S = 0.5
WAITING_LIMIT_S = 2.0  # for an event, on a busy machine that also draws the window in software; 0.3 on an idle one
SETUP = f"""
NAME = "Walker"
import addon_utils, sys
import importlib
addon_utils.enable("io_anim_bvh", default_set=True)
session = sys.modules["{PACKAGE}.session"]
connection = sys.modules["{PACKAGE}.connection"]
def facts():
    armature = bpy.data.objects.get(NAME)
    rows = armature.motion_variations.rows
    return dict(action=armature.animation_data.action.name, rows=[r.action and r.action.name for r in rows],
                actions=sorted(bpy.data.actions.keys()), job=session.job and session.job.progress.text,
                message=session.message, error=session.message_is_error)
"""


class Animator:
    """Who sits in front of the window."""

    def __init__(self, blender, shots: Path):
        self.blender, self.shots = blender, shots
        self.pictures = 0

    def shot(self, name: str) -> None:
        """A picture of the whole screen."""
        self.pictures += 1
        self.blender.shot(self.shots / f"{self.pictures:02d}-{name}.png")

    def facts(self) -> dict:
        """What the file and the extension say."""
        return self.blender.eval("facts()")

    def find(self, words: str) -> tuple[float, float]:
        """Where a button of the sidebar is."""
        return self.blender.wait_text(words, within=self.blender.sidebar)

    def open_clip(self, clip: Path, frames: int | None = None) -> None:
        """Imports a BVH file into an empty scene, cut or repeated to `frames`, and opens the tab."""
        self.blender.eval("bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)")
        self.blender.eval(
            f"bpy.ops.import_anim.bvh(filepath={str(clip)!r}, global_scale=0.01, update_scene_fps=True, "
            "update_scene_duration=True)\nbpy.context.object.name = NAME\n"
            "bpy.context.object.animation_data.action.name = 'walk'"
        )
        if frames:
            self.blender.eval(REPEAT.replace("FRAMES", str(frames)))
        self.blender.eval("bpy.ops.ed.undo_push(message='clip')")
        self.blender.eval("with view3d(): bpy.ops.view3d.view_selected()")
        self.blender.open_sidebar("Variations")

    def press(self, words: str, place=None) -> float:
        """Presses a button; the moment when the mouse button went up."""
        x, y = place or self.find(words)
        self.blender.move(x, y)
        self.blender.xdo("mousedown", 1, "sleep", 0.05, "mouseup", 1)
        return time.monotonic()

    def wait(self, condition, limit_s: float = 180.0) -> float:
        """Waits for a condition on `facts`; gives the longest that Blender took for an answer meanwhile."""
        end, longest_s = time.monotonic() + limit_s, 0.0
        while True:
            asked_s = time.monotonic()
            found = self.facts()
            longest_s = max(longest_s, time.monotonic() - asked_s)
            if condition(found):
                return longest_s
            if asked_s > end:
                self.shot("failed")
                raise SystemExit(f"This didn't come: {condition}. Last seen: {found}")
            time.sleep(0.01)

    def below(self, first: str, second: str) -> tuple[float, float]:
        """The place under two lines of a list; for a line whose words can't be read."""
        (x, y), (_, next_y) = self.find(first), self.find(second)
        return x, 2 * next_y - y

    def choose(self, words: str, condition, place=None) -> None:
        """Presses until it has had its effect; a window that is drawn in software now and then misses a click."""
        for last in (False, False, True):
            self.press(words, place)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                if condition(self.facts()):
                    return
                time.sleep(0.05)
            if last:
                self.wait(condition, 0)


REPEAT = """
import numpy as np
action = bpy.context.object.animation_data.action
bag = action.layers[0].strips[0].channelbags[0] if hasattr(action, "layers") else action
for curve in bag.fcurves:
    count = len(curve.keyframe_points)
    keys = np.empty(2 * count, dtype=np.float32)
    curve.keyframe_points.foreach_get("co", keys)
    rows = np.arange(FRAMES) % (2 * count - 2)
    rows = np.where(rows < count, rows, 2 * count - 2 - rows)  # forth and back
    curve.keyframe_points.clear()
    curve.keyframe_points.add(FRAMES)
    keys = np.stack((np.arange(1, FRAMES + 1), keys[1::2][rows]), axis=1).astype(np.float32)
    curve.keyframe_points.foreach_set("co", keys.ravel())
    curve.update()
"""


def encode_and_resample(animator: Animator, picture: Path | None) -> None:
    """The first minute: two clicks, and a variation is to be seen."""
    started_s = animator.press("Encode")
    animator.wait(lambda found: "Encoded" in found["message"])
    print(f"  Encode with the backend's start: {time.monotonic() - started_s:.2f} s")
    animator.shot("encoded")
    before = animator.facts()
    started_s = animator.press("Resample motion")
    waited_s = animator.wait(lambda found: found["action"].endswith("var 01"))
    print(f"  Resample, 3 variations: {time.monotonic() - started_s:.2f} s from the click to the variation on screen, ")
    print(f"    Blender's longest answer meanwhile {waited_s:.2f} s")
    time.sleep(0.5)
    animator.blender.move(600, 880)
    time.sleep(0.5)
    animator.shot("resampled")
    if picture:
        animator.blender.eval("bpy.context.scene.frame_set(50)")
        animator.blender.eval("with view3d(): bpy.ops.view3d.view_selected()")
        time.sleep(2)
        x, y, width, height = animator.blender.region("VIEW_3D")
        animator.blender.shot(picture, (x, y, width, height))
    found = animator.facts()
    source = before["action"]
    assert found["rows"] == [source, *(f"{source} var 0{number}" for number in (1, 2, 3))], found
    animator.blender.move(600, 500)
    animator.blender.key("ctrl+z")
    animator.wait(lambda now: now["actions"] == before["actions"] and not now["rows"])
    assert animator.facts()["action"] == source
    print("  Ctrl+Z took the three variations back in one step")
    animator.blender.key("ctrl+shift+z")
    animator.wait(lambda now: now["rows"] == found["rows"] and now["action"] == found["action"])
    print("  Ctrl+Shift+Z brought them again")


def look_through(animator: Animator) -> None:
    """Clicks on lines and arrow keys show one after the other; line 0 is the source."""
    found = animator.facts()
    source = found["rows"][0]
    animator.choose("var 02", lambda now: now["action"] == f"{source} var 02")
    animator.blender.key("Down")
    animator.wait(lambda now: now["action"] == f"{source} var 03", 5)
    animator.blender.key("Up", "Up", "Up")
    animator.wait(lambda now: now["action"] == source, 5)
    third = animator.below("var 01", "var 02")
    animator.choose("var 03", lambda now: now["action"] == f"{source} var 03", third)
    animator.shot("shown")
    print("  clicks and arrow keys show source and variations")
    animator.choose("Accept", lambda now: now["rows"] == found["rows"][:3])
    assert animator.facts()["action"] == f"{source} var 03"
    animator.shot("accepted")
    animator.blender.move(600, 500)
    animator.blender.key("ctrl+z")
    animator.wait(lambda now: now["rows"] == found["rows"], 5)
    print("  Accept, and its undo")


def stop_by_esc_and_button(animator: Animator, clip: Path) -> None:
    """A long job is left by Esc and by Cancel: at once, and with nothing changed."""
    animator.open_clip(clip, frames=LONG_FRAMES)
    animator.blender.eval("bpy.context.scene.motion_variations.count = 20")
    before = animator.facts()
    for way in ("Esc", "Cancel"):
        animator.choose("Resample motion", lambda found: found["job"] or found["action"].endswith("var 01"))
        waited_s = animator.wait(lambda found: found["job"] and found["job"].startswith("Variation 2"))
        animator.shot(f"running-{way}")
        if way == "Esc":
            animator.blender.xdo("key", "Escape")
            pressed_s = time.monotonic()
        else:
            place = animator.find("Cancel")
            assert animator.facts()["job"], "the job ended before it could be cancelled; use a longer clip"
            pressed_s = animator.press("Cancel", place)
        animator.wait(lambda found: found["job"] is None, 10)
        took_s = time.monotonic() - pressed_s
        found = animator.facts()
        assert {**found, "message": "", "error": 0} == {**before, "message": "", "error": 0}, found
        assert "cancelled" in found["message"] and not found["error"]
        print(f"  {way}: over after {took_s:.2f} s; Blender's longest answer before that {waited_s:.2f} s")
        assert took_s < CANCEL_LIMIT_S and waited_s < WAITING_LIMIT_S
        time.sleep(0.3)
        animator.shot(f"stopped-{way}")


def undo_and_load_while_running(animator: Animator, clip: Path) -> None:
    """Ctrl+Z, another file, and switching the extension off in the middle of a job."""
    animator.blender.eval(
        "bpy.context.scene.motion_variations.count = 3\nbpy.ops.ed.undo_push(message='count')\n"
        "bpy.context.object.location.x = 1\nbpy.ops.ed.undo_push(message='moved')"
    )
    animator.choose("Resample motion", lambda found: found["job"] or found["action"].endswith("var 01"))
    animator.wait(lambda found: found["job"] and found["job"].startswith("Variation"))
    animator.blender.move(600, 500)
    animator.blender.key("ctrl+z")
    animator.wait(lambda found: found["job"] is None)
    found = animator.facts()
    assert animator.blender.eval("bpy.context.object.location.x") == 0
    assert found["action"].endswith("var 01") and len(found["rows"]) == 4, found
    print("  an undo while the backend works: undone, and the job comes to its end")
    animator.blender.eval("bpy.context.scene.motion_variations.count = 20")
    animator.choose("Resample motion", lambda found: found["job"] or found["action"].endswith("var 01"))
    animator.wait(lambda found: found["job"] and found["job"].startswith("Variation"))
    animator.open_clip(clip)
    found = animator.facts()
    assert found["job"] is None and "another file" in found["message"] and not found["rows"], found
    animator.blender.eval("bpy.context.scene.motion_variations.count = 1")
    animator.choose("Resample motion", lambda found: found["job"] or found["action"].endswith("var 01"))
    animator.wait(lambda found: found["action"].endswith("var 01"))
    print("  another file while a job runs: cancelled, and the next click works")
    animator.blender.eval("bpy.context.scene.motion_variations.count = 20")
    animator.choose("Resample motion", lambda found: found["job"] or found["action"].endswith("var 01"))
    animator.wait(lambda found: found["job"] and found["job"].startswith("Variation"))
    pid = animator.blender.eval("connection.client().pid")
    animator.blender.eval(f"addon_utils.disable('{PACKAGE}')")
    time.sleep(1)
    assert not Path(f"/proc/{pid}").exists(), "the backend outlived the extension"
    animator.shot("disabled")
    animator.blender.eval(f"addon_utils.enable('{PACKAGE}')\n" + SETUP)
    animator.blender.open_sidebar("Variations")
    print("  switched off while a job ran: no process left")


def main() -> int:
    """The whole way, in one window."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zip", type=Path, default=next(iter(sorted((ROOT / "dist").glob("*.zip"))), None))
    parser.add_argument("--clip", type=Path, required=True, help="a BVH file of 50 to 500 frames")
    parser.add_argument("--version", default="")
    parser.add_argument("--shots", type=Path, default=ROOT / "out" / "gui")
    parser.add_argument("--picture", type=Path, help="where the picture of the panel goes")
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
        animator.open_clip(options.clip)
        animator.shot("opened")
        encode_and_resample(animator, options.picture)
        look_through(animator)
        stop_by_esc_and_button(animator, options.clip)
        undo_and_load_while_running(animator, options.clip)
        log = Path(blender.run_dir, "blender.log").read_text()
        assert "Traceback" not in log, log[log.index("Traceback") :][:2000]
        pid = blender.eval("connection.client().pid")
    time.sleep(1)
    if pid and Path(f"/proc/{pid}").exists():
        subprocess.run(["ps", "-p", str(pid), "-f"])
        raise SystemExit("The backend outlived Blender.")
    print(f"all went well; {animator.pictures} pictures in {options.shots}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
