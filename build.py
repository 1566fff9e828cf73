"""Builds, shows, tests and times Motion Variations: `python build.py [build | demo | test | bench | setup] [options]`.

    python build.py                  the extension as dist/motion_variations-<version>.zip, validated by Blender
    python build.py demo             installs that zip in a real Blender and varies a clip: out/ has the .blend, a
                                     contact sheet and report.json (`demo -h` for --clip, --strength, ...)
    python build.py test             every test, against the built zip; further arguments go to pytest
    python build.py bench            the speed table
    python build.py setup            only the environment, with PyTorch, for `python -m training`

Needs nothing but Python 3.11: what else is needed goes into `.venv-blender` beside this file, once.
"""

import os
import shutil
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as xml_tree
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv-blender"
DIST = ROOT / "dist"
EXTENSION_ID = "motion_variations"
MAX_ZIP_BYTES = 20 * 2**20
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same in every build, so that equal sources make equal zips
PYTHON_VERSION = (3, 11)  # bpy 5.0 is built for this one
LEFT_OUT = ("__pycache__", "*.pyc")
NOTHING_COLLECTED = 5  # pytest's exit code where a -k or a path picked no test
# What `import bpy` needs of the system, and Debian's packages that have it.
SYSTEM_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXi.so.6": "libxi6",
    "libXrender.so.1": "libxrender1",
    "libXfixes.so.3": "libxfixes3",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libgomp.so.1": "libgomp1",
}


class BuildError(Exception):
    """Something that the reader can mend; its text says how."""


def say(text: str) -> None:
    """One line of progress."""
    print(f"[build] {text}", flush=True)


# The environment


def environment_python() -> Path:
    """The Python of the environment beside this file."""
    return ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def requirements(groups) -> list[str]:
    """The pinned packages of the groups, from pyproject.toml."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        pins = tomllib.load(file)["project"]["optional-dependencies"]
    return [pin for group in groups for pin in pins[group]]


def ensure_environment(groups) -> Path:
    """Makes or completes `.venv-blender`; returns its Python. Quick where a stamp says that it's all there."""
    python = environment_python()
    pins = requirements(groups)
    stamp = ENVIRONMENT / "installed"
    installed = stamp.read_text().split() if stamp.is_file() and python.exists() else []
    if set(pins) <= set(installed):
        return python
    if not python.exists():
        say(f"making {ENVIRONMENT.name} with Python {sys.version.split()[0]}")
        if run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)]):
            shutil.rmtree(ENVIRONMENT, ignore_errors=True)
            raise BuildError("The virtual environment couldn't be made. On Debian: apt-get install python3.11-venv.")
    stamp.unlink(missing_ok=True)
    say(f"installing {', '.join(pins)} (the first time takes minutes)")
    # All groups that are there already are named again, so that pip can't move one group's version for another's sake.
    wanted = sorted(set(installed) | set(pins))
    if run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]):
        raise BuildError("pip couldn't install these packages: its message is above. Check the network and try again.")
    ensure_system_libraries(python)
    stamp.write_text("\n".join(wanted))
    return python


def ensure_system_libraries(python: Path) -> None:
    """Checks that `import bpy` works; as root in Debian's CI installs what it lacks, elsewhere says what to install."""
    for attempt in (1, 2):
        result = subprocess.run([str(python), "-c", "import bpy, os; os._exit(0)"], capture_output=True, text=True)
        if result.returncode == 0:
            return
        missing = missing_libraries()
        packages = sorted({SYSTEM_LIBRARIES[name] for name in missing if name in SYSTEM_LIBRARIES})
        command = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
        may_install = os.environ.get("CI") and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")
        if not packages or not may_install or attempt == 2:
            found = f"It lacks {', '.join(missing)}. " if missing else ""
            advice = f"On Debian or Ubuntu: sudo {command}" if packages else "See its message above."
            raise BuildError(f"Blender's module doesn't start here: {result.stderr.strip()}\n{found}{advice}")
        say(command)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], env=environment)
        run(command.replace("install -y", "install -y -qq").split(), env=environment)


def missing_libraries() -> list[str]:
    """Shared libraries that bpy links and this system doesn't have."""
    module = in_packages("bpy/__init__.so")
    if module is None or not shutil.which("ldd"):
        return []
    lines = subprocess.run(["ldd", str(module)], capture_output=True, text=True).stdout.splitlines()
    return sorted(line.split()[0] for line in lines if "not found" in line)


def in_packages(pattern: str) -> Path | None:
    """The first file of the environment's packages that fits the pattern."""
    folders = (ENVIRONMENT / "lib/python3.11/site-packages", ENVIRONMENT / "Lib/site-packages")
    return next((path for folder in folders for path in sorted(folder.glob(pattern))), None)


def run(command, **options) -> int:
    """Runs a command in the repository with its output shown; returns its exit code."""
    return subprocess.run(command, cwd=ROOT, **options).returncode


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
    validator = in_packages("bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py")
    if validator is None:
        raise BuildError(f"Blender's validator isn't in {ENVIRONMENT.name}. Delete that folder and try again.")
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
    build_zip(ensure_environment(["blender"]))
    return 0


def command_setup(arguments) -> int:
    """The environment with PyTorch."""
    if arguments:
        raise BuildError(f"setup takes no arguments, but got {' '.join(arguments)}.")
    python = ensure_environment(["blender", "training", "dev"])
    say(f"ready: {python.relative_to(ROOT)} -m training")
    return 0


def command_demo(arguments) -> int:
    """The demo, in the environment's Python."""
    python = ensure_environment(["blender", "training"] if "torch" in arguments else ["blender"])
    if "-h" in arguments or "--help" in arguments:
        return run([str(python), "-m", "demo", *arguments])
    return run([str(python), "-m", "demo", *arguments, "--zip", str(build_zip(python))])


def command_bench(arguments) -> int:
    """The speed table, in the environment's Python."""
    python = ensure_environment(["blender"])
    return run([str(python), "-m", "demo.bench", *arguments, "--zip", str(build_zip(python))])


def command_test(arguments) -> int:
    """Every test, against the zip: Blender's files in a process each, since bpy can be imported once a process."""
    started = time.monotonic()
    python = ensure_environment(["blender", "training", "dev"])
    path = build_zip(python)
    unpacked = DIST / "unpacked" / EXTENSION_ID
    shutil.rmtree(unpacked, ignore_errors=True)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(unpacked)
    environment = {
        **os.environ,
        "MOTION_VARIATIONS_ZIP": str(path),
        "MOTION_VARIATIONS_FOLDER": str(unpacked),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    named = [argument for argument in arguments if (ROOT / argument.split("::")[0]).exists()]
    options = [argument for argument in arguments if argument not in named]
    total = {"passed": 0, "failed": 0, "skipped": 0}
    slow = []
    for targets in test_processes(named):
        begun = time.monotonic()
        say(f"pytest {' '.join(targets + options)}")
        for name, count in run_pytest(python, targets + options, environment).items():
            total[name] += count
        slow.append((time.monotonic() - begun, targets[0]))
    say("slowest: " + ", ".join(f"{name} {seconds:.0f} s" for seconds, name in sorted(slow, reverse=True)[:5]))
    say(f"all tests took {time.monotonic() - started:.0f} s")
    if os.environ.get("CI") and total["skipped"]:
        say("CI has everything that tests need, so a skipped test counts as a failure there.")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped", flush=True)
    return int(total["failed"] > 0 or total["passed"] == 0 or bool(os.environ.get("CI") and total["skipped"]))


def test_processes(named) -> list[list[str]]:
    """What each pytest process gets: the plain and process tests together, each Blender file alone."""
    if not named:
        plain = [f"tests/{folder}" for folder in ("plain", "process") if (ROOT / "tests" / folder).is_dir()]
        return [plain] + [[str(file.relative_to(ROOT))] for file in sorted((ROOT / "tests/blender").glob("test_*.py"))]
    processes, together = [], []
    for name in named:
        path = ROOT / name.split("::")[0]
        if (ROOT / "tests/blender") not in (path, *path.parents):
            together.append(name)
        elif path.is_dir():
            processes += [[str(file.relative_to(ROOT))] for file in sorted(path.glob("test_*.py"))]
        else:
            processes.append([name])
    return [together] * bool(together) + processes


def run_pytest(python: Path, arguments, environment) -> dict[str, int]:
    """One pytest process; how many passed, failed and were skipped. A process that dies counts as a failure."""
    report = DIST / "pytest.xml"
    report.unlink(missing_ok=True)
    # bpy may hang or crash while Python ends, after all tests are done; hence os._exit.
    script = "import os, sys, pytest; code = pytest.main(sys.argv[1:]); sys.stdout.flush(); os._exit(int(code))"
    code = run([str(python), "-c", script, *arguments, f"--junitxml={report}"], env=environment)
    if not report.is_file():
        say(f"pytest ended with {code} and without a report.")
        return {"failed": 1}
    suites = list(xml_tree.parse(report).getroot().iter("testsuite"))
    tests, errors, failures, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "errors", "failures", "skipped")
    )
    failed = errors + failures
    if code not in (0, NOTHING_COLLECTED) and not failed:
        failed = 1
    return {"passed": max(tests - errors - failures - skipped, 0), "failed": failed, "skipped": skipped}


def right_python() -> None:
    """Goes on in Python 3.11 where another one was called."""
    if sys.version_info[:2] == PYTHON_VERSION:
        return
    wanted = "python{}.{}".format(*PYTHON_VERSION)
    other = shutil.which(wanted)
    if other and not run([other, "-c", "pass"], stderr=subprocess.DEVNULL):
        sys.exit(run([other, *sys.argv]))
    raise BuildError(f"This is Python {sys.version.split()[0]}; bpy 5.0 needs {wanted}, which isn't on the PATH.")


COMMANDS = {
    "build": command_build,
    "demo": command_demo,
    "test": command_test,
    "bench": command_bench,
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
