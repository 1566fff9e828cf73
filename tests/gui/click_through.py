"""python tests/gui/click_through.py --clip BVH [--zip FILE] [--version 5.2] [--shots DIR] [--pictures]

Installs the zip in a real Blender window, and works with it by mouse and keys as an animator does: first minute,
looking, strength, accepting, every button, undo, Esc, Cancel. Prints what it measured: how long a click takes until the
variation is to be seen, how long flipping, the slider and Accept work, how long Blender ever leaves an event waiting.

With --pictures the manual's pictures and docs/panel.png are taken anew on the way; look at them afterwards.

Needs `../shared/gui` (a window on a virtual screen, `setup` done once); says so and ends well where it isn't there.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import buttons
import first_minute
import stopping
from animator import ROOT, SCREEN, TOOLS, Animator
from watching import CROWD, SETUP

MANUAL = ROOT / "addon" / "docs" / "pictures"


def steps(animator: Animator, clip: Path, pictures: bool) -> dict:
    """What is done, by name, in this order."""

    def start():
        animator.open_clip(clip)
        animator.shot("opened")
        first_minute.encode_and_resample(animator, pictures)
        first_minute.look_through(animator)

    return {
        "start": start,
        "amount": lambda: first_minute.drag_amount(animator),
        "accept": lambda: first_minute.accept_and_reject(animator),
        "reconstruct": lambda: buttons.reconstruct_and_presets(animator),
        "control": lambda: buttons.control(animator),
        "lines": lambda: buttons.lines(animator),
        "edits": lambda: buttons.edits(animator),
        "looks": lambda: buttons.looks(animator),
        "backend": lambda: buttons.backend(animator),
        "preferences": lambda: buttons.preferences(animator),
        "speed": lambda: first_minute.speed(animator, CROWD),
        "stop": lambda: stopping.stop_by_esc_and_button(animator, clip),
        "all": lambda: buttons.assert_all_called(animator),
        "leave": lambda: stopping.undo_and_load_while_running(animator, clip),
    }


def main() -> int:
    """The whole way, in one window."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zip", type=Path, default=next(iter(sorted((ROOT / "dist").glob("*.zip"))), None))
    parser.add_argument("--clip", type=Path, required=True, help="a BVH file of 50 to 500 frames")
    parser.add_argument("--version", default="")
    parser.add_argument("--shots", type=Path, default=ROOT / "out" / "gui")
    parser.add_argument("--pictures", action="store_true", help="take the manual's pictures anew")
    parser.add_argument("--skip", nargs="*", default=[], help="steps to leave out, while working on the others")
    options = parser.parse_args()
    if not (TOOLS / "gui.py").is_file():
        print(f"skipped: there is no {TOOLS}")
        return 0
    if options.zip is None:
        raise SystemExit("There is no zip in dist. Run python build.py first.")
    sys.path.insert(0, str(TOOLS))
    from gui import Blender

    options.shots.mkdir(parents=True, exist_ok=True)
    MANUAL.mkdir(exist_ok=True)
    with Blender(zips=[options.zip], version=options.version, size=SCREEN) as blender:
        print("Blender", blender.eval("bpy.app.version_string"))
        blender.eval(SETUP + "\nwatch()")
        animator = Animator(blender, options.shots, MANUAL if options.pictures else None)
        failed = []
        for name, step in steps(animator, options.clip, options.pictures).items():
            if name not in options.skip:
                try:
                    step()
                except (AssertionError, SystemExit, RuntimeError) as error:
                    animator.shot(f"{name}-failed")
                    print(f"  {name} FAILED: {error}")
                    failed.append(name)
                    blender.key("Escape")
                    buttons.close_windows(animator)
        log = Path(blender.run_dir, "blender.log").read_text()
        if "Traceback" in log:
            failed.append("log")
            print(log[log.index("Traceback") :][:2000])
        pid = blender.eval("connection.client().pid")
    if options.pictures:
        (MANUAL / "panel.png").replace(ROOT / "docs" / "panel.png")
    time.sleep(1)
    if pid and Path(f"/proc/{pid}").exists():
        subprocess.run(["ps", "-p", str(pid), "-f"])
        raise SystemExit("The backend outlived Blender.")
    left_out = f" but for {', '.join(options.skip)}" if options.skip else ""
    print(f"failed: {', '.join(failed)}" if failed else f"all went well{left_out}", f"; pictures in {options.shots}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
