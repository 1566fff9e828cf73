"""Opens a real Blender window with the zip for a script of this folder, and looks through its log at the end."""

import argparse
import contextlib
import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from animator import ROOT, SCREEN, TOOLS, Animator
from watching import SETUP

GOODBYE_S = 10.0  # for a backend process to notice that its Blender is gone, on a busy machine


def arguments(description: str) -> argparse.ArgumentParser:
    """What every script of this folder can be told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zip", type=Path, default=next(iter(sorted((ROOT / "dist").glob("*.zip"))), None))
    parser.add_argument("--clip", type=Path, required=True, help="a BVH file of 50 to 500 frames")
    parser.add_argument("--version", default="", help="of Blender; the newest that there is")
    parser.add_argument("--shots", type=Path, default=ROOT / "out" / "gui", help="folder for pictures of the screen")
    return parser


def is_there(options) -> bool:
    """Whether a window can be opened; says why not.

    Raises:
        SystemExit: it could, but there is no zip.
    """
    if not (TOOLS / "gui.py").is_file():
        print(f"skipped: there is no {TOOLS}")
        return False
    if options.zip is None:
        raise SystemExit("There is no zip in dist. Run python build.py first.")
    return True


@contextlib.contextmanager
def opened(options, setup: str, manual: Path | None = None):
    """A window with the extension, closed at the end; an `Animator` before it.

    Args:
        setup: Python that runs in Blender after what `watching` needs.
        manual: the folder of the manual's pictures, where they are to be taken anew.

    Raises:
        AssertionError: Blender's log has a traceback, or the backend outlived Blender.
    """
    sys.path.insert(0, str(TOOLS))
    from gui import Blender

    remember_words(Blender)
    options.shots.mkdir(parents=True, exist_ok=True)
    with Blender(zips=[options.zip], version=options.version, size=SCREEN) as blender:
        print("Blender", blender.eval("bpy.app.version_string"))
        blender.eval(SETUP + setup)
        yield Animator(blender, options.shots, manual)
        log = Path(blender.run_dir, "blender.log").read_text()
        pid = blender.eval("connection.client().pid")
    assert "Traceback" not in log, log[log.index("Traceback") :][:2000]
    assert not pid or is_gone(pid), f"The backend (process {pid}) outlived Blender."


def remember_words(blender_class) -> None:
    """Reads a picture of the screen only once while it stays the same: reading takes most of the time."""
    read, known = blender_class._read, {}

    def read_once(self, rect=None, turn=0, scale=3):
        with tempfile.TemporaryDirectory() as folder:
            pixels = self.shot(Path(folder, "screen.ppm"), rect).read_bytes()
        key = (hashlib.sha256(pixels).digest(), rect, turn, scale)
        if key not in known:
            known[key] = read(self, rect, turn, scale)
        return known[key]

    blender_class._read = read_once


def is_gone(pid: int) -> bool:
    """Whether a process has ended, or does so soon."""
    end = time.monotonic() + GOODBYE_S
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > end:
            subprocess.run(["ps", "-p", str(pid), "-f"], check=False)
            return False
        time.sleep(0.1)
    return True
