"""Who sits in front of a real Blender window: finds buttons by their words or by what they call, and clicks them.

Nothing is waited for by the clock alone: a computer may be busy, and software draws the window. Before a look at the
screen the animator waits until Blender has drawn all that it wants to draw, before the next event until the last one
has been handled.
"""

import inspect
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT.parent / "shared" / "gui"
PACKAGE = "bl_ext.user_default.motion_variations"
SCREEN = "1600x1500"
PROBE_PX = 20  # from one place to the next where a button is looked for; the narrowest have 25
QUIET_S = 0.25  # without a drawing: the picture is as it stays
SETTLE_LIMIT_S = 20.0
EFFECT_S = 4.0  # that a click may take to show its effect after it was handled
DRAG_PX = 4  # that the pointer goes at once; a hand makes many small moves
MARGIN_PX = 20  # of the sidebar, at its lower border
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


LOOK = """
from mathutils import Vector
with view3d(): bpy.ops.view3d.view_selected()
for area in bpy.context.window_manager.windows[0].screen.areas:
    if area.type == "VIEW_3D":
        look = area.spaces.active.region_3d
        look.view_distance *= 1.2
        look.view_location += look.view_rotation @ Vector((0.14 * look.view_distance, 0, 0))
"""


class Animator:
    """Who sits in front of the window."""

    def __init__(self, blender, shots: Path, manual: Path | None = None):
        self.blender, self.shots, self.manual = blender, shots, manual
        self.pictures = 0
        self.down_s = 0.0  # when the mouse button was last pressed
        self.excused = {}  # operators that can't be clicked here, and why

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
        self.turn_wheel(clicks, (x + 12, y + height - 12))

    def turn_wheel(self, clicks: int, place) -> None:
        """Turns the wheel over a place, down for positive numbers."""
        self.blender.move(*place)
        self.blender.xdo("click", "--repeat", abs(clicks), "--delay", 30, 5 if clicks > 0 else 4)
        self.settle()

    def answer(self) -> None:
        """Waits until Blender has handled all events: it answers between two rounds of them."""
        for _ in range(2):
            self.blender.eval("0")

    def settle(self) -> None:
        """Waits until Blender has drawn sidebar and preferences, and draws no more (or goes on, where a job runs)."""
        end, before = time.monotonic() + SETTLE_LIMIT_S, self.blender.eval("draw_again()")
        while self.blender.eval("draws[0]") == before and time.monotonic() < end:
            time.sleep(0.05)
        while time.monotonic() < end:
            before = self.blender.eval("draws[0]")
            time.sleep(QUIET_S)
            if self.blender.eval("draws[0]") == before or self.blender.eval("session.job is not None"):
                return

    def picture(self, name: str, rect, rest: bool = True) -> None:
        """A picture for the manual, with few colours, so that it is small; only where the manual is to be renewed.

        Args:
            rest: the pointer goes away first; a menu under it closes then.
        """
        if self.manual is None:
            return
        if rest:
            self.rest()
        path = self.manual / f"{name}.png"
        self.blender.shot(path, tuple(round(one) for one in rect))
        subprocess.run(["mogrify", "-strip", "+dither", "-colors", str(COLOURS), "-define", "png:compression-level=9",
                        str(path)], check=True)  # fmt: skip

    def panel_picture(self, name: str, first: str, last: str, below: float = 22) -> None:
        """A picture of the sidebar from one line of words to another."""
        if self.manual is None:
            return
        x, _, width, _ = self.blender.sidebar()
        bottom = self.find(last)[1]
        _, start, _, height = self.blender.sidebar()
        if bottom + below > start + height - MARGIN_PX:  # the lower border would cut it
            self.scroll(6)
            bottom = self.blender.wait_text(last, self.blender.sidebar, timeout=5)[1]
        place = self.blender.find_text(first, self.blender.sidebar())  # without scrolling away from the other
        assert place, f"{first} and {last} aren't in sight together"
        top = place[1]
        assert top < bottom, f"{first} is below {last}"
        self.picture(name, (x, top - 16, width - TABS_PX, bottom - top + 16 + below))

    def rest(self) -> None:
        """The pointer away from all buttons, and all drawn."""
        x, y, _, height = self.blender.region("VIEW_3D")
        self.blender.move(x + 300, y + height - 60)
        self.settle()

    # what a hand does

    def press(self, words: str, place=None) -> float:
        """Presses a button; the moment when the mouse button went up. When it went down is kept: lists take that."""
        x, y = place or self.find(words)
        self.blender.move(x, y)
        self.answer()  # the button is under the pointer
        self.down_s = time.time()
        self.blender.xdo("mousedown", 1)
        self.answer()
        up_s = time.time()
        self.blender.xdo("mouseup", 1)
        return up_s

    def drag(self, place, by_px: int, condition) -> None:
        """Drags a slider to the right until a condition on `facts` is true: press, many small moves, release."""
        for last in (False, False, True):
            self.blender.move(*place)
            self.answer()
            self.blender.xdo("mousedown", 1)
            self.answer()
            for step in range(DRAG_PX, by_px + 1, DRAG_PX):
                self.blender.xdo("mousemove", int(place[0]) + step, int(place[1]))
                self.answer()
            self.blender.xdo("mouseup", 1)
            self.answer()
            if last or self.comes(condition, EFFECT_S):
                break
            self.blender.key("Escape")  # it was taken for a click, which lets a number be typed
            self.settle()
        self.wait(condition, EFFECT_S)

    def comes(self, condition, limit_s: float) -> bool:
        """Whether a condition on `facts` is true within some seconds."""
        end = time.monotonic() + limit_s
        while not condition(self.facts()):
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def wait(self, condition, limit_s: float = 300.0) -> float:
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
                raise SystemExit(f"This didn't come: {inspect.getsource(condition).strip()}. Last seen: {found}")
            time.sleep(0.01)

    def below(self, first: str, second: str) -> tuple[float, float]:
        """The place under two lines of a list; for a line whose words can't be read."""
        (x, y), (_, next_y) = self.find(first), self.find(second)
        return x, 2 * next_y - y

    def choose(self, words: str, condition, place=None) -> float:
        """Presses until it has had its effect, for a press may be missed while the sidebar is drawn anew.

        Returns:
            The moment of the press that had it.
        """
        place = place or self.find(words)
        for last in (False, False, True):
            pressed_s = self.press(words, place)
            self.answer()
            if last or self.comes(condition, EFFECT_S):
                break
        self.wait(condition, EFFECT_S)
        return pressed_s

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
            self.settle()
        self.find(shows)

    def close_panel(self, title: str) -> None:
        """Closes it again."""
        self.press(title)
        self.settle()

    def leave(self) -> None:
        """Out of menus, fields, jobs and further windows, after a step that failed."""
        self.blender.key("Escape", "Escape")
        self.close_windows()
        self.blender.eval("session.stop()")
        self.blender.wait("session.job is None", timeout=60)
        self.settle()

    def close_windows(self) -> None:
        """All but the first."""
        self.blender.eval(
            "for window in list(bpy.context.window_manager.windows)[1:]:\n"
            "    with bpy.context.temp_override(window=window): bpy.ops.wm.window_close()"
        )
        self.settle()

    def pick(self, words: str, condition: str, within=None) -> None:
        """Picks an entry of the menu that is open, until an expression is true in Blender."""
        for _ in range(3):
            self.press(words, self.blender.wait_text(words, within, timeout=60))
            self.answer()
            end = time.monotonic() + EFFECT_S
            while time.monotonic() < end:
                if self.blender.eval(condition):
                    return
                time.sleep(0.05)
        raise SystemExit(f"A click on {words} didn't bring {condition}.")

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
        self.look()
        self.blender.open_sidebar("Variations")
        self.settle()

    def look(self) -> None:
        """The view shows all of the armature, left of the sidebar."""
        self.blender.eval(LOOK)
