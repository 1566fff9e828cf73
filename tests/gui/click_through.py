"""python tests/gui/click_through.py --clip BVH [--zip FILE] [--version 5.2] [--shots DIR] [--pictures]

Installs the zip in a real Blender window, and works with it by mouse and keys as an animator does: first minute,
looking, strength, accepting, every button, undo, Esc, Cancel. Prints what it measured: how long a click takes until the
variation is to be seen, how long flipping, the slider and Accept work, how long Blender ever leaves an event waiting.

With --pictures the manual's pictures and docs/panel.png are taken anew on the way; look at them afterwards.

Needs `../shared/gui` (a window on a virtual screen, `setup` done once); says so and ends well where it isn't there.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import buttons
import careless
import first_minute
import preferences
import stopping
import window
from animator import ROOT, Animator
from watching import CROWD, WALKER

CREATURE = ROOT.parent / "shared" / "data" / "creatures" / "test" / "m2m_horse.glb"
MANUAL = ROOT / "addon" / "docs" / "pictures"


def steps(animator: Animator, options) -> dict:
    """What is done, by name, in this order."""
    clip, python = options.clip, preferences.torch_python(options.torch)

    def start():
        animator.open_clip(clip)
        animator.shot("opened")
        first_minute.encode_and_resample(animator, options.pictures)
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
        "preferences": lambda: preferences.shortcuts(animator),
        "torch": lambda: preferences.torch(animator, python),
        "learn": lambda: preferences.learn(animator, options.creature, python),
        "speed": lambda: first_minute.speed(animator, CROWD),
        "stop": lambda: stopping.stop_by_esc_and_button(animator, clip),
        "careless": lambda: careless.all_of_it(animator, clip),
        "leave": lambda: stopping.undo_and_load_while_running(animator, clip),
        "all": lambda: buttons.assert_all_called(animator),
    }


def main() -> int:
    """The whole way, in one window."""
    parser = window.arguments(__doc__)
    parser.add_argument("--torch", help="a Python with torch; the one that runs this where it has torch")
    parser.add_argument("--creature", type=Path, default=CREATURE, help="a GLB file whose motion the model knows badly")
    parser.add_argument("--pictures", action="store_true", help="take the manual's pictures anew")
    parser.add_argument("--only", nargs="*", default=[], help="steps to do, beside the first, while working on them")
    options = parser.parse_args()
    if not window.is_there(options):
        return 0
    MANUAL.mkdir(exist_ok=True)
    failed, began_s = [], time.time()
    with window.opened(options, WALKER, MANUAL if options.pictures else None) as animator:
        for name, step in steps(animator, options).items():
            if options.only and name not in ("start", *options.only):
                continue
            print(f"{name}, after {time.time() - began_s:.0f} s", flush=True)
            try:
                step()
            except (AssertionError, SystemExit, RuntimeError) as error:
                animator.shot(f"{name}-failed")
                print(f"  {name} FAILED: {error}", flush=True)
                failed.append(name)
                animator.leave()
    if options.pictures:
        (MANUAL / "panel.png").replace(ROOT / "docs" / "panel.png")
    left_out = f" ({' and '.join(('start', *options.only))} alone)" if options.only else ""
    print(f"failed: {', '.join(failed)}" if failed else f"all went well{left_out}", f"; pictures in {options.shots}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
