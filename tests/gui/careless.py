"""What a careless user does: clicks with the wrong thing selected, twice, undoes too far, saves and loads meanwhile."""

from pathlib import Path

from animator import Animator
from stopping import LONG_FRAMES

ADD = {
    "MESH": "bpy.ops.mesh.primitive_cube_add()",
    "LIGHT": "bpy.ops.object.light_add(type='POINT')",
    "CAMERA": "bpy.ops.object.camera_add()",
    "EMPTY": "bpy.ops.object.empty_add()",
}
ACTIVATE = """
for thing in bpy.context.view_layer.objects.selected[:]: thing.select_set(False)
bpy.context.view_layer.objects.active = bpy.data.objects[NAME]
bpy.data.objects[NAME].select_set(True)
"""
MANY = 40  # undo steps, more than there are


def all_of_it(animator: Animator, clip: Path) -> None:
    """One after the other, in one window."""
    wrong_thing(animator, clip)
    no_action(animator)
    twice(animator, clip)
    undo_too_far(animator, clip)
    save_and_load(animator, clip)


def click_in_vain(animator: Animator, words: str) -> None:
    """A click on a button that is greyed out: nothing may happen."""
    before = animator.facts()
    animator.press(words)
    animator.settle()
    now = animator.facts()
    assert now["job"] is None and now["called"] == before["called"] and now["actions"] == before["actions"], now


def says(animator: Animator, words: str) -> None:
    """Whether the tab says so."""
    animator.settle()
    animator.find(words)


def wrong_thing(animator: Animator, clip: Path) -> None:
    """Encode while something else than an armature is active."""
    animator.open_clip(clip)
    for kind, command in ADD.items():
        animator.blender.eval(f"with view3d(): {command}\nbpy.context.object.name = 'thing'")
        says(animator, f"is an {kind.lower()}" if kind == "EMPTY" else f"is a {kind.lower()}")
        if kind == "LIGHT":
            animator.shot("light")
        click_in_vain(animator, "Encode")
        animator.blender.eval("bpy.data.objects.remove(bpy.data.objects['thing'])")
    animator.blender.eval(ACTIVATE)
    print(f"  {', '.join(ADD).lower()} active: Encode does nothing, and the tab says what to select")


def no_action(animator: Animator) -> None:
    """Encode while the armature has no action."""
    animator.blender.eval("kept = bpy.context.object.animation_data.action\nkept.use_fake_user = True")
    animator.blender.eval("bpy.context.object.animation_data.action = None")
    says(animator, "No action")
    animator.shot("no-action")
    click_in_vain(animator, "Encode")
    animator.blender.eval("bpy.context.object.animation_data.action = kept")
    print("  no action: Encode does nothing")


def twice(animator: Animator, clip: Path) -> None:
    """Other buttons while a job runs, then Cancel."""
    animator.open_clip(clip, frames=LONG_FRAMES)
    animator.blender.eval("bpy.context.scene.motion_variations.count = 20")
    encode, resample = animator.find("Encode"), animator.find("Resample motion")
    animator.choose("", lambda found: found["job"] is not None, resample)
    called = animator.facts()["called"]
    for place in (encode, resample, encode):
        animator.press("", place)
    now = animator.facts()
    assert now["called"] == called and now["job"] is not None, now
    animator.choose("Cancel", lambda found: found["job"] is None)
    now = animator.facts()
    assert now["actions"] == ["walk"] and not now["rows"] and "cancelled" in now["message"], now
    print("  a second and a third click while a job runs: nothing; Cancel leaves all as it was")


def undo_too_far(animator: Animator, clip: Path) -> None:
    """Ctrl+Z past the click and past all that can be undone; Ctrl+Shift+Z brings it back."""
    animator.open_clip(clip)
    animator.blender.eval("bpy.context.scene.motion_variations.count = 3\nbpy.ops.ed.undo_push(message='count')")
    animator.choose("Resample motion", lambda found: found["job"] or found["action"].endswith("var 01"))
    animator.wait(lambda found: found["job"] is None and found["action"].endswith("var 01"))
    made = animator.facts()["actions"]
    animator.rest()
    animator.blender.key(*("ctrl+z",) * MANY)
    animator.settle()
    animator.shot("undone")
    left = animator.blender.eval("sorted(bpy.data.actions.keys())")
    assert "walk var 01" not in left, left
    animator.blender.key(*("ctrl+shift+z",) * MANY)
    animator.wait(lambda found: found["actions"] == made and len(found["rows"]) == 4)
    animator.show_tab()
    animator.choose("var 02", lambda now: now["action"] == "walk var 02")
    print(f"  {MANY} undos and {MANY} redos: the variations are there again, and a click shows one")


def save_and_load(animator: Animator, clip: Path) -> None:
    """Ctrl+S in the middle of a job, and the file loaded again in the middle of another."""
    animator.open_clip(clip, frames=LONG_FRAMES)
    path = str(Path(animator.blender.run_dir, "saved.blend"))
    animator.blender.eval(
        f"bpy.context.scene.motion_variations.count = 3\nbpy.ops.wm.save_as_mainfile(filepath={path!r})"
    )
    animator.choose("Resample motion", lambda found: found["job"] is not None)
    animator.wait(lambda found: found["job"] and found["job"].startswith("Variation"))
    saved_ns = Path(path).stat().st_mtime_ns
    animator.rest()
    animator.blender.key("ctrl+s")
    animator.blender.wait(lambda: Path(path).stat().st_mtime_ns > saved_ns, timeout=60)
    animator.wait(lambda found: found["job"] is None and found["action"].endswith("var 01"))
    animator.blender.eval("bpy.ops.wm.save_mainfile()\nbpy.context.scene.motion_variations.count = 20")
    animator.choose("Resample motion", lambda found: found["job"] is not None)
    animator.wait(lambda found: found["job"] and found["job"].startswith("Variation"))
    animator.blender.eval(f"bpy.ops.wm.open_mainfile(filepath={path!r})")
    animator.show_tab()
    now = animator.facts()
    assert now["job"] is None and now["action"] == "walk var 01" and len(now["rows"]) == 4, now
    animator.choose("var 02", lambda found: found["action"] == "walk var 02")
    print("  saved while a job runs: it ends well; loaded while one runs: cancelled, the list is as saved")
