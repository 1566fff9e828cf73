"""python tests/gui/torch_setup.py [--zip FILE] [--version 5.2] [--shots DIR]

Sets up the torch engine in a real Blender window by mouse: finds Pythons in the preferences, chooses the one that runs
this script (if it has torch), and sees the backend end when nobody needs it. Prints what it saw.

Needs `../shared/gui` (a window on a virtual screen, `setup` done once); says so and ends well where it isn't there.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT.parent / "shared" / "gui"
PACKAGE = "bl_ext.user_default.motion_variations"
SEARCH_LIMIT_S = 240
SETUP = f"""
import sys
session, connection = sys.modules["{PACKAGE}.session"], sys.modules["{PACKAGE}.connection"]
chosen = bpy.context.preferences.addons["{PACKAGE}"].preferences
chosen.engine = "TORCH"
def open_preferences():
    area = max(bpy.context.window_manager.windows[0].screen.areas, key=lambda one: one.width * one.height)
    area.type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "Motion Variations"
    import addon_utils
    for module in addon_utils.modules():
        if module.__name__ == "{PACKAGE}":
            addon_utils.module_bl_info(module)["show_expanded"] = True
"""


def has_torch() -> bool:
    """Whether the Python that runs this can be found as one with torch."""
    return importlib.util.find_spec("torch") is not None


def drive(blender, shots: Path) -> None:
    """The clicks, in order."""
    blender.eval(SETUP)
    blender.eval(f"import os; os.environ['VIRTUAL_ENV'] = {sys.prefix!r}")
    blender.eval("open_preferences()")
    area = lambda: blender.region("PREFERENCES", "WINDOW")  # noqa: E731
    blender.shot(shots / "torch-1-before.png")
    blender.click(*blender.wait_text("Find Pythons", within=area()))
    blender.wait("session.job is not None", 5)
    started = time.monotonic()
    blender.wait("len(chosen.found) > 0", SEARCH_LIMIT_S)
    blender.shot(shots / "torch-2-searching.png")
    blender.wait("session.job is None", SEARCH_LIMIT_S)
    found = blender.eval("[(line.line, line.path, line.usable) for line in chosen.found]")
    print(f"{len(found)} Pythons in {time.monotonic() - started:.1f} s: {blender.eval('session.message')}")
    for line, path, usable in found:
        print(f"  {'usable' if usable else '-':7} {line:45} {path}")
    blender.shot(shots / "torch-3-found.png")
    if not has_torch():
        return
    assert found[0][2], "the Python that runs this has torch"
    blender.click(*blender.wait_text(found[0][0].split(",")[1].strip(), within=area()))
    blender.wait("chosen.python_path != ''", 5)
    print("chosen:", blender.eval("chosen.python_path"), "|", blender.eval("chosen.check_result"))
    blender.shot(shots / "torch-4-chosen.png")
    blender.eval("chosen.idle_minutes = 0.05")
    blender.eval("bpy.ops.motion_variations.restart_backend()")
    print(blender.eval("session.message"))
    assert blender.eval("connection.last_status()['engine']") == "torch"
    started = time.monotonic()
    blender.wait("connection.state_words().startswith('Memory was given back')", 40)
    print(f"the process ended by itself after {time.monotonic() - started:.0f} s")


def main() -> int:
    """Opens the window, drives it, closes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[2])
    parser.add_argument("--zip", type=Path)
    parser.add_argument("--version", default="5.2")
    parser.add_argument("--shots", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    if not (TOOLS / "gui.py").exists():
        print("There is no ../shared/gui, so no window: nothing was tried.")
        return 0
    sys.path[:0] = [str(TOOLS), str(ROOT)]
    from gui import Blender

    import build

    options.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        archive = options.zip or Path(folder) / "motion_variations.zip"
        if options.zip is None:
            build.zip_folder(build.assemble(Path(folder) / "assembled"), archive)
        with Blender(zips=[archive], version=options.version, size="1600x1120") as blender:
            drive(blender, options.shots)
    return 0


if __name__ == "__main__":
    sys.exit(main())
