"""Builds, shows, tests and times Motion Variations: `python build.py [COMMAND] [options]`.

    python build.py                  the extension as dist/motion_variations-<version>.zip, validated by Blender
    python build.py demo             installs that zip in a real Blender and varies a clip: out/ has the .blend, a
                                     contact sheet and report.json (`demo -h` for --clip, --strength, ...)
    python build.py test             every test, against the built zip; further arguments go to pytest
    python build.py test --blender all   the tests in each version of Blender (or some: --blender 4.2,5.2)
    python build.py bench            the speed table
    python build.py reduction        what fewer keys cost, clip by clip: table and picture
    python build.py setup            only the environment, with PyTorch, for `python -m training`

Needs nothing but Python 3.11 (Blender 5.2 also 3.13): what else is needed goes into `.venv-blender` beside this file,
once.
"""

import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

from tools.environments import MAIN, ROOT, BuildError, ensure_environment, find_python, run, say
from tools.testing import chosen_blenders, run_tests

DIST = ROOT / "dist"
EXTENSION_ID = "motion_variations"
MAX_ZIP_BYTES = 20 * 2**20
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same in every build, so that equal sources make equal zips
LEFT_OUT = ("__pycache__", "*.pyc")


# The extension


def manifest() -> dict:
    """addon/blender_manifest.toml."""
    with open(ROOT / "addon" / "blender_manifest.toml", "rb") as file:
        return tomllib.load(file)


def assemble(folder) -> Path:
    """Makes the extension as the folder `folder/motion_variations`: the add-on's files, `backend` and the licence."""
    target = Path(folder) / EXTENSION_ID
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "addon", target, ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.copytree(ROOT / "backend", target / "backend", ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.copy2(ROOT / "LICENSE", target / "LICENSE")
    return target


def zip_folder(folder: Path, path: Path) -> None:
    """The folder's files as a zip, the same bytes for the same files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, file.read_bytes())


def build_zip(python: Path) -> Path:
    """Assembles, zips and validates the extension; returns the zip."""
    started = time.monotonic()
    folder = assemble(DIST)
    path = DIST / f"{EXTENSION_ID}-{manifest()['version']}.zip"
    zip_folder(folder, path)
    size = path.stat().st_size
    if size > MAX_ZIP_BYTES:
        raise BuildError(f"{path.name} has {size / 2**20:.1f} MB, over the {MAX_ZIP_BYTES / 2**20:.0f} MB promised.")
    validator = MAIN.find("bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py")
    if validator is None:
        raise BuildError(f"Blender's validator isn't in {MAIN.folder.name}. Delete that folder and try again.")
    result = subprocess.run([str(python), str(validator), "validate", str(path)], capture_output=True, text=True)
    if result.returncode:
        raise BuildError(f"Blender's validator refuses {path.name}:\n{result.stdout}{result.stderr}")
    say(f"{path.relative_to(ROOT)}: {size / 2**20:.1f} MB, valid, {time.monotonic() - started:.1f} s")
    return path


# The commands


def command_build(arguments) -> int:
    """The zip."""
    if arguments:
        raise BuildError(f"build takes no arguments, but got {' '.join(arguments)}.")
    build_zip(ensure_environment())
    return 0


def command_setup(arguments) -> int:
    """The environment with PyTorch."""
    if arguments:
        raise BuildError(f"setup takes no arguments, but got {' '.join(arguments)}.")
    python = ensure_environment(["training", "dev"])
    say(f"ready: {python.relative_to(ROOT)} -m training")
    return 0


def command_demo(arguments) -> int:
    """The demo, in the environment's Python."""
    python = ensure_environment(["training"] if "torch" in arguments else [])
    if "-h" in arguments or "--help" in arguments:
        return run([str(python), "-m", "demo", *arguments])
    return run([str(python), "-m", "demo", *arguments, "--zip", str(build_zip(python))])


def command_reduction(arguments) -> int:
    """Keys against error, in the environment's Python."""
    python = ensure_environment()
    if "-h" in arguments or "--help" in arguments:
        return run([str(python), "-m", "demo.reduction", *arguments, "--zip", "-"])
    return run([str(python), "-m", "demo.reduction", *arguments, "--zip", str(build_zip(python))])


def command_bench(arguments) -> int:
    """The speed table, in the environment's Python."""
    python = ensure_environment()
    return run([str(python), "-m", "demo.bench", *arguments, "--zip", str(build_zip(python))])


def command_test(arguments) -> int:
    """Every test, against the zip, in the named versions of Blender."""
    blenders, rest = chosen_blenders(arguments)
    return run_tests(build_zip(ensure_environment()), DIST, EXTENSION_ID, blenders, rest)


def right_python() -> None:
    """Goes on in the main Blender's Python where another one was called."""
    if sys.version_info[:2] != MAIN.python:
        sys.exit(run([find_python(MAIN.python), *sys.argv]))


COMMANDS = {
    "build": command_build,
    "demo": command_demo,
    "test": command_test,
    "bench": command_bench,
    "reduction": command_reduction,
    "setup": command_setup,
}


def main() -> int:
    """Runs the command that the first argument names."""
    name, *arguments = sys.argv[1:] or ["build"]
    if name in ("-h", "--help"):
        print(__doc__)
        return 0
    try:
        right_python()
        if name not in COMMANDS:
            raise BuildError(f"There is no command {name}; there are {', '.join(COMMANDS)}.")
        return COMMANDS[name](arguments)
    except BuildError as error:
        print(f"[build] {error}", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
