"""Who sits in front of a real Blender window: finds buttons by their words or by what they call, and clicks them."""

import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT.parent / "shared" / "gui"
PACKAGE = "bl_ext.user_default.motion_variations"
SCREEN = "1600x1500"
PROBE_PX = 20  # from one place to the next where a button is looked for; the narrowest have 25
TABS_PX = 36  # at the right of the sidebar
COLOURS = 96  # of a picture's palette
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


class Animator:
    """Who sits in front of the window."""

    def __init__(self, blender, shots: Path, manual: Path | None = None):
        self.blender, self.shots, self.manual = blender, shots, manual
        self.pictures = 0

    # what is to be seen

    def shot(self, name: str) -> None:
        """A picture of the whole screen."""
        self.pictures += 1
        self.blender.shot(self.shots / f"{self.pictures:02d}-{name}.png")

    def facts(self) -> dict:
        """What the file and the extension say."""
        return self.blender.eval("facts()")

    def find(self, words: str) -> tuple[float, float]:
        """Where words of the sidebar are; scrolls to them."""
        for clicks in (0, -40, 6, 6, 6):
            if clicks:
                self.scroll(clicks)
            place = self.blender.find_text(words, self.blender.sidebar())
            if place:
                return place
        self.shot("not-found")
        return self.blender.wait_text(words, within=self.blender.sidebar, timeout=5)

    def scroll(self, clicks: int) -> None:
        """Turns the wheel over the sidebar, down for positive numbers."""
        x, y, width, height = self.blender.sidebar()
        self.blender.move(x + 12, y + height - 12)
        self.blender.xdo("click", "--repeat", abs(clicks), "--delay", 30, 5 if clicks > 0 else 4)
        time.sleep(0.8)

    def picture(self, name: str, rect) -> None:
        """A picture for the manual, with few colours, so that it is small; only where the manual is to be renewed."""
        if self.manual is None:
            return
        self.blender.move(self.blender.region("VIEW_3D")[0] + 300, self.blender.region("VIEW_3D")[1] + 900)
        time.sleep(1.5)  # software draws it
        path = self.manual / f"{name}.png"
        self.blender.shot(path, tuple(round(one) for one in rect))
        subprocess.run(["mogrify", "-strip", "+dither", "-colors", str(COLOURS), "-define", "png:compression-level=9",
                        str(path)], check=True)  # fmt: skip

    def panel_picture(self, name: str, first: str, last: str, below: float = 22) -> None:
        """A picture of the sidebar from one line of words to another."""
        if self.manual is None:
            return
        x, _, width, _ = self.blender.sidebar()
        (_, top), (_, bottom) = self.find(first), self.find(last)
        self.picture(name, (x, top - 16, width - TABS_PX, bottom - top + 16 + below))

    # what a hand does

    def press(self, words: str, place=None) -> float:
        """Presses a button; the moment when the mouse button went up."""
        x, y = place or self.find(words)
        self.blender.move(x, y)
        self.blender.xdo("mousedown", 1, "sleep", 0.05, "mouseup", 1)
        return time.time()

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

    def button_of(self, command: str, beside: str = "", below: str = "", holds: str = "") -> tuple[float, float]:
        """Where the button is that calls an operator: Blender says what lies under the pointer.

        Args:
            beside: words on its line; it is looked for from the right border to the left.
            below: words above it; it is looked for down the column at the right border.
            holds: what its arguments say, as "place='STRIP'".
        """
        x, _, width, _ = self.blender.sidebar()
        right = x + width - 45
        if beside:
            y = self.find(beside)[1]
            places = [(right - step * PROBE_PX, y) for step in range(int((width - 60) / PROBE_PX))]
        else:
            y = self.find(below)[1]
            places = [(right - 15, y + step * PROBE_PX) for step in range(1, 16)]  # the middle of the column
        seen = []
        for place in places:
            found = self.blender.under(*place)
            seen.append(found)
            if f"motion_variations.{command}(" in found and holds in found:
                return place
        self.shot("no-button")
        raise SystemExit(f"No button calls {command} {holds} {beside or below}; there were {sorted(set(seen))}")

    def call(self, command: str, condition=None, **where) -> None:
        """Clicks the button that calls an operator, until the operator was called (and a condition holds)."""
        place, before = self.button_of(command, **where), self.facts()["called"].get(command, 0)
        self.choose(command, lambda found: found["called"].get(command, 0) > before, place)
        if condition:
            self.wait(condition)

    def toggle_panel(self, title: str, shows: str) -> None:
        """Opens a panel by a click on its title, until words of it are to be seen."""
        for _ in range(3):
            if self.blender.find_text(shows, self.blender.sidebar()):
                return
            self.press(title)
            time.sleep(1.2)
        self.find(shows)

    def close_panel(self, title: str) -> None:
        """Closes it again."""
        self.press(title)
        time.sleep(1)

    def pick(self, words: str, condition: str, within=None) -> None:
        """Picks an entry of the menu that is open, until an expression is true in Blender."""
        self.blender.click_text(words, within=within, until=condition)

    # what is worked on

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
        self.show_tab()

    def show_tab(self) -> None:
        """Frames the armature and opens the tab."""
        self.blender.eval("bpy.ops.ed.undo_push(message='clip')")
        self.blender.eval("with view3d(): bpy.ops.view3d.view_selected()")
        self.blender.open_sidebar("Variations")
