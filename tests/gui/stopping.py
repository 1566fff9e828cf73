"""Jobs that are left: by Esc, by Cancel, by an undo, another file, and switching the extension off."""

import time
from pathlib import Path

from animator import PACKAGE, Animator
from watching import SETUP, WALKER
from window import is_gone

LONG_FRAMES = 2000
CANCEL_GOAL_S, CANCEL_LIMIT_S = 0.5, 5.0  # on an idle computer; on one that is busy and draws in software
WAITING_GOAL_S, WAITING_LIMIT_S = 0.3, 5.0  # for an event, the same


def stop_by_esc_and_button(animator: Animator, clip: Path) -> None:
    """A long job is left by Esc and by Cancel: at once, and with nothing changed."""
    animator.open_clip(clip, frames=LONG_FRAMES)
    animator.blender.eval("bpy.context.scene.motion_variations.count = 20")
    before = animator.facts()
    for way in ("Esc", "Cancel"):
        animator.blender.eval("session.say('')")  # "Resample motion was cancelled" isn't the button
        animator.rest()  # Blender 4.3 leaves a button grey while the pointer stays on it
        animator.choose("Resample motion", lambda found: found["job"] or found["action"].endswith("var 01"))
        waited_s = animator.wait(lambda found: found["job"] and found["job"].startswith("Variation 2"))
        if way == "Esc":
            place = animator.find("Cancel")  # where the button will be the next time as well
            animator.shot("running")
            assert animator.facts()["job"], "the job ended before it could be stopped; use a longer clip"
            pressed_s = time.time()
            animator.blender.xdo("key", "Escape")
            animator.wait(lambda found: found["job"] is None, 60)
        else:
            pressed_s = animator.choose("Cancel", lambda found: found["job"] is None, place)
        took_s = time.time() - pressed_s
        found = animator.facts()
        said = {"message": "", "error": 0, "called": 0}
        assert {**found, **said} == {**before, **said}, found
        assert "cancelled" in found["message"] and not found["error"]
        print(f"  {way}: over after {took_s:.2f} s, goal under {CANCEL_GOAL_S}; Blender's longest answer before that ")
        print(f"    {waited_s:.2f} s, goal under {WAITING_GOAL_S}; both on an idle computer")
        assert took_s < CANCEL_LIMIT_S and waited_s < WAITING_LIMIT_S
        animator.settle()
        animator.shot(f"stopped-{way}")


def undo_and_load_while_running(animator: Animator, clip: Path) -> None:
    """Ctrl+Z, another file, and switching the extension off in the middle of a job."""
    animator.open_clip(clip, frames=LONG_FRAMES)
    animator.blender.eval(
        "bpy.context.scene.motion_variations.count = 3\nbpy.ops.ed.undo_push(message='count')\n"
        "bpy.context.object.location.x = 1\nbpy.ops.ed.undo_push(message='moved')"
    )
    animator.choose("Resample motion", lambda found: found["job"])
    animator.wait(lambda found: found["job"] and found["job"].startswith("Variation"))
    animator.blender.move(600, 500)
    animator.blender.key("ctrl+z")
    animator.wait(lambda found: found["job"] is None)
    found = animator.facts()
    assert animator.blender.eval("bpy.context.object.location.x") == 0
    assert found["action"].endswith("var 01") and len(found["rows"]) == 4, found
    print("  an undo while the backend works: undone, and the job comes to its end")
    animator.blender.eval("bpy.context.scene.motion_variations.count = 20")
    animator.choose("Resample motion", lambda found: found["job"])
    animator.wait(lambda found: found["job"] and found["job"].startswith("Variation"))
    animator.open_clip(clip)
    found = animator.facts()
    assert found["job"] is None and "another file" in found["message"] and not found["rows"], found
    animator.blender.eval("bpy.context.scene.motion_variations.count = 1")
    animator.choose("Resample motion", lambda found: found["job"] or found["action"].endswith("var 01"))
    animator.wait(lambda found: found["action"].endswith("var 01"))
    print("  another file while a job runs: cancelled, and the next click works")
    animator.blender.eval("bpy.context.scene.motion_variations.count = 20")
    animator.choose("Resample motion", lambda found: found["job"])
    animator.wait(lambda found: found["job"] and found["job"].startswith("Variation"))
    pid = animator.blender.eval("connection.client().pid")
    animator.blender.eval(f"addon_utils.disable('{PACKAGE}')")
    assert is_gone(pid), "the backend outlived the extension"
    animator.shot("disabled")
    animator.blender.eval(f"addon_utils.enable('{PACKAGE}')\n" + SETUP + WALKER)
    animator.blender.open_sidebar("Variations")
    print("  switched off while a job ran: no process left")
