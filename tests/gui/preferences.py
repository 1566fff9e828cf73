"""The extension's preferences by clicks: shortcuts, the pie menu, and the PyTorch engine that can learn a character."""

import importlib.util
import sys

from animator import PACKAGE, Animator

OWN = f"bpy.context.preferences.addons[{PACKAGE!r}].preferences"
NAMES_PX = 50  # by which the middles of two fields' names differ at most
WORST = "lay_to_idle"  # the action of the horse that the model knows worst
LEARN_S = 40  # on a busy computer little is learnt in less
WHEEL = (0, -40, 5, 5, 5, 5, 5, 5, 5, 5)  # turns over the preferences: from the top down
CREATURE = """
addon_utils.enable("io_scene_gltf2", default_set=True)
with view3d(): bpy.ops.import_scene.gltf(filepath=FILE)
armature = [thing for thing in bpy.data.objects if thing.type == "ARMATURE"][0]
armature.name = NAME
for thing in bpy.context.view_layer.objects.selected[:]: thing.select_set(False)
bpy.context.view_layer.objects.active = armature
armature.select_set(True)
clips = sorted(bpy.data.actions, key=lambda action: WORST not in action.name)
armature.animation_data.action = clips[0]
if hasattr(clips[0], "slots"): armature.animation_data.action_slot = clips[0].slots[0]
for track in armature.animation_data.nla_tracks: track.mute = True
first, last = clips[0].frame_range
bpy.context.scene.frame_start, bpy.context.scene.frame_end = int(first), int(last)
"""


def torch_python(given: str | None) -> str | None:
    """A Python that has torch: the one that was named, or the one that runs this."""
    return given or (sys.executable if importlib.util.find_spec("torch") else None)


def open_preferences(animator: Animator) -> None:
    """The preferences, with the extension unfolded."""
    animator.blender.eval(f"bpy.ops.preferences.addon_show(module={PACKAGE!r})")
    animator.blender.wait("len(bpy.context.window_manager.windows) == 2", timeout=60)
    animator.settle()


def shown(animator: Animator) -> tuple[int, int, int, int]:
    """Where the preferences are on the screen."""
    return animator.blender.region("PREFERENCES", "WINDOW")


def find(animator: Animator, words: str) -> tuple[float, float]:
    """Where words of the preferences are; scrolls to them."""
    for clicks in WHEEL:
        x, y, width, height = shown(animator)
        if clicks:
            animator.turn_wheel(clicks, (x + width - 60, y + height - 8))
        place = animator.blender.find_text(words, shown(animator))
        if place:
            return place
    animator.shot("not-in-preferences")
    raise SystemExit(f"The preferences don't show {words}.")


def part_picture(animator: Animator, name: str, first: str, last: str) -> None:
    """A picture from one line of the preferences to another, or to the lower border."""
    if animator.manual is None:
        return
    top = find(animator, first)[1] - 20
    x, y, width, height = shown(animator)
    bottom = animator.blender.find_text(last, shown(animator))[1] - 16 if last else y + height
    animator.picture(name, (x, top, width, bottom - top), rest=False)


def choose(animator: Animator, words: str, condition, limit_s: float = 20.0) -> None:
    """Clicks words of the preferences, until a condition on `facts` is true."""
    place = find(animator, words)
    for _ in range(3):
        animator.press(words, place)
        if animator.comes(condition, limit_s):
            return
    animator.wait(condition, 0)


def choose_engine(animator: Animator, shows: str, entry: str, value: str) -> None:
    """The menu of engines."""
    animator.press(shows, find(animator, shows))
    animator.settle()
    animator.pick(entry, f"{OWN}.engine == {value!r}", within=lambda: shown(animator))
    animator.settle()


def shortcuts(animator: Animator) -> None:
    """Shortcuts on; one of each used, and the pie menu."""
    open_preferences(animator)
    choose(animator, "Shortcuts and Pie", lambda now: animator.blender.eval(f"{OWN}.use_shortcuts"))
    animator.settle()
    part_picture(animator, "preferences", "Engine", "")
    animator.close_windows()
    before = animator.facts()["action"]
    animator.rest()
    animator.blender.key("alt+Next")
    animator.wait(lambda now: now["action"] != before and now["called"].get("flip", 0) > 0)
    x, y, width, height = animator.blender.region("VIEW_3D")
    middle = (x + (width - 380) / 2, y + height / 2)
    animator.blender.move(*middle)
    animator.blender.key("ctrl+alt+v")
    animator.settle()
    animator.picture("pie", (middle[0] - 370, middle[1] - 190, 740, 380), rest=False)
    animator.blender.key("Escape")
    print("  preferences, a shortcut, the pie menu")


def torch(animator: Animator, python: str | None) -> None:
    """The PyTorch engine: Find Pythons, a line of the list, Check, Copy Command."""
    if python:
        environment = python.rpartition("/bin/")[0]
        animator.blender.eval(f"import os; os.environ['VIRTUAL_ENV'] = {environment!r}")
    open_preferences(animator)
    choose_engine(animator, "NumPy", "PyTorch", "TORCH")
    choose(animator, "Find Pythons", lambda now: now["called"].get("find_pythons", 0) > 0)
    animator.wait(lambda now: now["job"] is None, 400)
    animator.settle()
    animator.shot("pythons")
    if python:
        line = animator.blender.eval(f"[one.line for one in {OWN}.found][0]")
        choose(animator, line.split(",")[1].strip(), lambda now: animator.blender.eval(f"{OWN}.python_path") != "")
    else:
        animator.blender.eval(f"{OWN}.python_path = {sys.executable!r}")
    animator.settle()
    click_check(animator)
    animator.wait(lambda now: now["job"] is None, 400)
    animator.settle()
    part_picture(animator, "torch", "Engine", "Command for")
    choose(animator, "Copy Command", lambda now: now["called"].get("copy_command", 0) > 0)
    print("  Find Pythons,", "one of the list," if python else "none with torch,", "Check and Copy Command")
    animator.close_windows()


def click_check(animator: Animator) -> None:
    """The tick at the end of the line of the Python."""
    y = python_line(animator)
    x, _, width, _ = shown(animator)
    for step in range(12):
        place = (x + width - 24 - step * 8, y)
        if "motion_variations.check_python(" in animator.blender.under(*place):
            animator.choose("", lambda now: now["called"].get("check_python", 0) > 0, place)
            return
    animator.shot("no-check")
    raise SystemExit("No button at the end of the line of the Python calls check_python.")


def python_line(animator: Animator) -> float:
    """Where the field is: of the names of fields, above each other, the one above the device."""
    x, y = find(animator, "Device")
    words = animator.blender.words(shown(animator))
    return max(word[2] for word in words if word[0] == "Python" and word[2] < y and abs(word[1] - x) < NAMES_PX)


def learn(animator: Animator, creature, python: str | None) -> None:
    """A creature that the model doesn't know well: Adapt, and Forget with its question."""
    animator.blender.eval("bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)")
    animator.blender.eval(CREATURE.replace("FILE", repr(str(creature))).replace("WORST", repr(WORST)))
    animator.show_tab()
    animator.blender.eval(f"bpy.context.scene.motion_variations.adapt_seconds = {LEARN_S}")
    animator.press("Encode")
    animator.wait(lambda now: now["job"] is None and "Encoded" in now["message"])
    animator.settle()
    animator.panel_picture("character", "This Character", "Adapt to", below=24)
    animator.choose("Adapt to This", lambda now: now["called"].get("adapt", 0) > 0)
    animator.wait(lambda now: now["job"] and "Held-out" in now["job"], 400)
    animator.settle()
    animator.panel_picture("learning", "This Character", "Cancel", below=14)
    animator.wait(lambda now: now["job"] is None, 600)
    animator.settle()
    animator.shot("learnt")
    print(f"  Adapt: {animator.facts()['message']}")
    if "slow or busy" in animator.facts()["message"]:  # then there is nothing to forget
        animator.excused["forget"] = "nothing was learnt, for this computer is slow or busy"
        animator.blender.eval(f"{OWN}.engine = 'NUMPY'")
        return
    assert "Learnt from" in animator.facts()["message"], "nothing was learnt"
    animator.panel_picture("learnt", "This Character", "Adapt to", below=14)
    animator.call("forget", beside="Adapt to This")
    animator.blender.key("Return")
    animator.wait(lambda now: "forgotten" in now["message"], 60)
    print(f"  Forget: {animator.facts()['message']}")
    animator.blender.eval(f"{OWN}.engine = 'NUMPY'")
