"""Every other button of the tab, menus and preferences, each clicked; what has none is listed with its reason."""

from animator import PACKAGE, Animator

NO_BUTTON = {
    "rename": "in the list a double-click on the name does it; the operator is for scripts",
}
SETTINGS = "bpy.context.scene.motion_variations"
PARTS = f"[p.words for p in sys.modules['{PACKAGE}.body'].body_parts(bpy.data.objects[NAME])]"
EDIT = """
action = bpy.data.objects[NAME].animation_data.action
curve = [c for c in curves_of(action) if len(c.keyframe_points) > 3][4]
curve.keyframe_points[2].co.y += 0.25
curve.update()
bpy.ops.ed.undo_push(message="edit")
"""


def reconstruct_and_presets(animator: Animator) -> None:
    """The button beside Encode; the presets' menu in the header of Resample."""
    animator.call("reconstruct", lambda found: found["job"] is None and "var" not in found["action"], beside="Encode")
    around = open_presets(animator)
    animator.picture("presets", around, rest=False)
    animator.pick("Subtle take", f"{SETTINGS}.strength < 1", within=around)
    open_presets(animator)
    x, y = animator.blender.wait_text("New Preset", within=around, timeout=60)
    for step in range(8, 24):  # the plus at the end of that line
        if "motion_variations.preset(" in animator.blender.under(x + step * 13, y):
            animator.choose("", lambda found: found["called"].get("preset", 0) > 0, (x + step * 13, y))
            break
    animator.blender.key("Escape")
    assert animator.facts()["called"].get("preset", 0), "the plus of the presets wasn't found"
    print("  a preset was loaded, and one saved")
    animator.blender.eval(f"{SETTINGS}.strength = 1.0; {SETTINGS}.level = 'PHRASES'; {SETTINGS}.count = 3")


def open_presets(animator: Animator) -> tuple[float, float, float, float]:
    """Clicks along the header of Resample until the presets are there; where they are."""
    x, _, width, _ = animator.blender.sidebar()
    y = animator.find("Resample")[1]
    around = (x - 40, y - 22, width + 110, 260)  # it hangs over the border of the sidebar
    for step in range(10):
        place = (x + width - 66 - step * 8, y)
        animator.press("", place)
        animator.settle()
        if animator.blender.find_text("Subtle take", around):
            return around
        if not animator.blender.find_text("Strength", animator.blender.sidebar()):
            animator.press("", place)  # the panel was closed by it
            animator.settle()
    raise SystemExit("No click on the header of Resample shows its presets.")


def choose_from(animator: Animator, row: str, words: str, condition: str) -> None:
    """Opens the menu on a line of settings, and picks an entry."""
    x, _, width, _ = animator.blender.sidebar()
    animator.find(row)  # scrolls there
    within = animator.blender.sidebar()  # the report of Encode says "bones" and "frames" as well: the last is meant
    y = (animator.blender.find_text(row, within, nth=1) or animator.blender.find_text(row, within))[1]
    for _ in range(3):
        animator.press("", (x + 0.65 * width, y))
        animator.settle()
        place = animator.blender.find_text(words, animator.blender.region("VIEW_3D"))
        if place:
            animator.press("", place)
            animator.blender.wait(condition, timeout=60)
            animator.settle()
            return
        animator.blender.key("Escape")
    animator.shot("no-entry")
    raise SystemExit(f"The menu on the line {row} doesn't show {words}.")


def control(animator: Animator) -> None:
    """What changes, what stays, pinned frames, keys."""
    animator.toggle_panel("What changes", "Falloff")
    choose_from(animator, "Bones", "Body parts", f"{SETTINGS}.bones == 'PARTS'")
    animator.settle()
    part = animator.blender.eval(PARTS)[0]
    animator.call("toggle_part", beside=part)
    animator.settle()
    animator.panel_picture("what_changes", "What changes", "Falloff")
    animator.blender.eval(f"{SETTINGS}.bones = 'ALL'")
    animator.close_panel("What changes")
    animator.toggle_panel("What stays", "Loop")
    animator.panel_picture("what_stays", "What stays", "Loop")
    animator.close_panel("What stays")
    animator.toggle_panel("Pinned frames", "Ease")
    for frame in (12, 40):
        animator.blender.eval(f"bpy.context.scene.frame_set({frame})")
        count = len(animator.facts()["pins"])
        animator.call("pin_frame", lambda found, count=count: len(found["pins"]) == count + 1, beside="Pin This Frame")
    animator.panel_picture("pins", "Pinned frames", "Ease")
    animator.call("unpin_frame", lambda found: found["pins"] == [12], beside="Pin This Frame")
    animator.call("clear_pins", lambda found: not found["pins"], beside="Pin This Frame")
    animator.close_panel("Pinned frames")
    animator.toggle_panel("Keys", "Tolerance")
    animator.panel_picture("keys", "Keys", "Tolerance", below=40)
    animator.close_panel("Keys")
    print("  body parts, pins and keys")


def lines(animator: Animator) -> None:
    """The buttons beside and below the list."""
    source, first, *_ = animator.facts()["rows"]
    animator.choose("var 01", lambda now: now["action"] == first)
    x, y = animator.find("var 01")
    animator.blender.click(x, y, double=True)
    animator.blender.key("ctrl+a")
    animator.blender.type("Slow turn")
    animator.blender.key("Return")
    animator.wait(lambda now: now["action"] == "Slow turn")
    count = len(animator.facts()["rows"])
    animator.call("regenerate", lambda now: len(now["rows"]) == count + 1 and now["job"] is None, below="Variations")
    choose_mix(animator)
    animator.call("mix", lambda now: len(now["rows"]) == count + 2, beside="0.50")
    animator.call("reduce_keys", lambda now: now["job"] is None, beside="Accept")
    animator.shot("mixed")
    count = len(animator.facts()["rows"])
    animator.call("delete", lambda now: len(now["rows"]) == count - 1, below="Variations")
    animator.call("show", lambda now: now["action"] == source, below="Variations")
    print("  rename, Regenerate, Mix, Reduce Keys, Delete, the source")


def choose_mix(animator: Animator) -> None:
    """The other variation: a field with a search of its own."""
    x, _, width, _ = animator.blender.sidebar()
    y = animator.find("0.50")[1]
    condition = "bpy.data.objects[NAME].motion_variations.mix_with is not None"
    for _ in range(3):
        animator.press("", (x + 0.2 * width, y))
        animator.settle()
        animator.blender.key("Down", "Return")
        animator.settle()
        if animator.blender.eval(condition):
            return
        animator.blender.key("Escape")
    animator.shot("no-mix")
    raise SystemExit("The field beside Mix offers nothing.")


def edits(animator: Animator) -> None:
    """Keys that were edited by hand: overwritten by the slider's keys, or kept."""
    third = animator.facts()["rows"][3]
    animator.choose("var 03", lambda now: now["action"] == third)
    animator.drag(animator.find("Amount"), 60, lambda now: now["amount"] != 1.0)
    animator.blender.eval(EDIT)
    animator.settle()
    animator.shot("edited")
    animator.panel_picture("edited", "Variations", "Keep Edits", below=16)
    animator.call("scale", beside="Keep Edits", holds="overwrite=True")
    animator.blender.eval(EDIT)
    animator.settle()
    animator.call("keep_edits", beside="Keep Edits")
    print("  edits were overwritten, and kept")


def looks(animator: Animator) -> None:
    """The entries of the menu, ghosts, shortcuts and the pie menu."""
    view = animator.blender.region("VIEW_3D")
    first = animator.facts()["rows"][1]
    animator.choose(first.split()[-1] if "var" not in first else first, lambda now: now["action"] == first)
    for entry, command in (("Star Variation", "star"), ("Read Poses", "read_poses"), ("Toggle Ghosts", "ghosts")):
        open_menu(animator, "MOTION_VARIATIONS_MT_verbs")
        animator.pick(entry, f"called.get({command!r}, 0)", within=view)
        animator.wait(lambda now: now["job"] is None)
    animator.blender.eval("bpy.context.scene.motion_variations_view.around = 'SHOWN'")
    animator.blender.eval("bpy.context.scene.frame_set(30)")
    animator.look()
    animator.picture("ghosts", (view[0], view[1] + 60, view[2] - 380, view[3] - 160))
    animator.blender.eval("session.say('')\nfor area in bpy.context.screen.areas: area.tag_redraw()")
    animator.settle()  # the sentence that is gone said "ghosts and heat line" as well
    animator.panel_picture("heat", "Heat line", "Ghosts", below=-16)
    animator.call("reject", lambda now: any(now["stars"]), below="Variations", holds="keep_starred=True")
    print("  star, ghosts, heat line, Reject those without a star")


def open_menu(animator: Animator, name: str) -> None:
    """A menu under the pointer, over the 3D view."""
    x, y, _, _ = animator.blender.region("VIEW_3D")
    animator.blender.move(x + 300, y + 200)
    kind = "call_menu_pie" if name.endswith("pie") else "call_menu"
    animator.blender.eval(f"with view3d(): bpy.ops.wm.{kind}('INVOKE_DEFAULT', name={name!r})")
    animator.settle()


def backend(animator: Animator) -> None:
    """The panel of the process: Log and Restart."""
    animator.toggle_panel("Backend", "Restart")
    animator.settle()
    animator.call("restart_backend", lambda now: now["job"] is None, beside="Restart")
    animator.settle()
    animator.panel_picture("backend", "Backend", "Restart", below=16)
    animator.press("Log")
    log = "called.get('show_log', 0) and len(bpy.context.window_manager.windows) == 2"
    animator.blender.wait(log, timeout=60)
    animator.close_windows()
    animator.close_panel("Backend")
    print("  Log and Restart")


def assert_all_called(animator: Animator) -> None:
    """Each operator of the extension was called by a click, or says why it has no button."""
    called, reasons = set(animator.facts()["called"]), NO_BUTTON | animator.excused
    every = set(animator.blender.eval("sorted(operators())"))
    missing = every - called - set(reasons)
    assert not missing, f"never clicked: {', '.join(sorted(missing))}"
    assert not set(reasons) - every, "a reason for an operator that isn't there"
    print(f"  {len(every & called)} of {len(every)} operators were called by clicks; {reasons}")
