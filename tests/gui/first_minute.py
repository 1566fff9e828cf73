"""The first minutes with a clip: Encode, Resample, looking, strength, accept, undo, reject; all by clicks."""

import time

from animator import Animator


def encode_and_resample(animator: Animator, picture) -> None:
    """Two clicks, and a variation is to be seen."""
    started_s = animator.press("Encode")
    animator.wait(lambda found: "Encoded" in found["message"])
    print(f"  Encode with the backend's start: {time.time() - started_s:.2f} s")
    animator.shot("encoded")
    animator.panel_picture("encode", "Motion", "Model error", below=24)
    before = animator.facts()
    started_s = animator.press("Resample motion")
    waited_s = animator.wait(lambda found: found["action"].endswith("var 01"))
    print(f"  Resample, 3 variations: {time.time() - started_s:.2f} s from the click to the variation on screen, ")
    print(f"    Blender's longest answer meanwhile {waited_s:.2f} s")
    animator.settle()
    animator.shot("resampled")
    animator.panel_picture("resample", "Resample", "What changes", below=-18)
    if picture:
        animator.blender.eval("bpy.context.scene.frame_set(50)")
        animator.look()
        view = animator.blender.region("VIEW_3D")
        animator.picture("panel", view)
    found = animator.facts()
    source = before["action"]
    assert found["rows"] == [source, *(f"{source} var 0{number}" for number in (1, 2, 3))], found
    undo(animator, lambda now: now["actions"] == before["actions"] and not now["rows"])
    assert animator.facts()["action"] == source
    print("  Ctrl+Z took the three variations back in one step")
    animator.blender.key("ctrl+shift+z")
    animator.wait(lambda now: now["rows"] == found["rows"] and now["action"] == found["action"])
    print("  Ctrl+Shift+Z brought them again")


def undo(animator: Animator, condition) -> None:
    """Ctrl+Z over the 3D view."""
    animator.blender.move(600, 500)
    animator.blender.key("ctrl+z")
    animator.wait(condition, 60)
    animator.settle()


def look_through(animator: Animator) -> None:
    """Clicks on lines and arrow keys show one after the other; line 0 is the source."""
    found = animator.facts()
    source = found["rows"][0]
    animator.choose("var 02", lambda now: now["action"] == f"{source} var 02")
    animator.blender.key("Down")
    animator.wait(lambda now: now["action"] == f"{source} var 03")
    animator.blender.key("Up", "Up", "Up")
    animator.wait(lambda now: now["action"] == source)
    third = animator.below("var 01", "var 02")
    animator.choose("var 03", lambda now: now["action"] == f"{source} var 03", third)
    animator.shot("shown")
    animator.panel_picture("variations", "Variations", "Amount", below=16)
    print("  clicks and arrow keys show source and variations")


def drag_amount(animator: Animator) -> None:
    """The slider below the list is dragged to the right; Ctrl+Z puts it back."""
    animator.drag(animator.find("Amount"), 60, lambda now: now["amount"] > 1.0)
    animator.shot("amount")
    print(f"  the slider was dragged to {animator.facts()['amount']:.2f}")
    undo(animator, lambda now: now["amount"] == 1.0)


def accept_and_reject(animator: Animator) -> None:
    """Accept as an action and as a strip, and Reject All; each is one step for Ctrl+Z."""
    found = animator.facts()
    shown, others = found["action"], [name for name in found["rows"] if name != found["action"]]
    animator.call("accept", lambda now: now["rows"] == others, beside="Accept", holds="'ACTION'")
    assert animator.facts()["action"] == shown
    animator.shot("accepted")
    undo(animator, lambda now: now["rows"] == found["rows"])
    print("  Accept, and its undo")
    animator.call("accept", lambda now: now["tracks"], beside="Accept", holds="'STRIP'")
    animator.shot("strip")
    undo(animator, lambda now: not now["tracks"] and now["rows"] == found["rows"])
    print("  Accept as an NLA strip, and its undo")
    source = found["rows"][0]
    animator.call("reject", lambda now: not now["rows"], below="Variations", holds="keep_starred=False")
    assert animator.facts()["actions"] == [source] and animator.facts()["action"] == source
    undo(animator, lambda now: now["rows"] == found["rows"])
    print("  Reject All leaves the source alone, and its undo")


def speed(animator: Animator, crowd: str) -> None:
    """Flipping, the slider and Accept on 300 frames of 141 bones: Blender's own work, and what an eye waits for."""
    animator.blender.eval(crowd)
    animator.show_tab()
    animator.blender.eval("bpy.context.scene.motion_variations.contacts = False")
    animator.choose("Resample motion", lambda found: found["job"] or found["action"].endswith("var 01"))
    animator.wait(lambda found: found["job"] is None and found["action"].endswith("var 01"), 400)
    animator.settle()  # the sentence below the button moves what is below it
    animator.blender.eval("took_ms.clear()")
    seen_s = []
    for words, name in (("var 02", "crowd var 02"), ("var 01", "crowd var 01"), ("var 02", "crowd var 02")):
        animator.choose(words, lambda now, name=name: now["action"] == name)
        animator.blender.wait(f"drawn['action'] == {name!r}", timeout=60, every=0.02)
        seen_s.append(animator.blender.eval("drawn['time']") - animator.down_s)
        animator.settle()
    animator.drag(animator.find("Amount"), 40, lambda now: now["amount"] != 1.0)
    animator.call("accept", beside="Accept", holds="'ACTION'")
    took = animator.blender.eval("took_ms")
    print("  300 frames of 141 bones:")
    print(f"    click to the variation drawn (by software): {', '.join(f'{1e3 * one:.0f}' for one in seen_s)} ms")
    for words, name, limit_ms in (
        ("flip", "show_active", 50),
        ("slider", "follow_slider", 100),
        ("Accept", "accept", 500),
    ):
        print(f"    {words}: {', '.join(f'{one:.0f}' for one in took[name])} ms of work, goal under {limit_ms}")
