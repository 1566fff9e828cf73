"""Virtual environments beside the checkout, one for each version of Blender's module; made once, then quick.

The first version's environment, `.venv-blender`, has everything: demo, training, all tests. The others, such as
`.venv-blender-5.2`, have Blender and what its tests need.
"""

import os
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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
PIP_TRIES = 3  # registries have bad minutes
PIP_PAUSE_S = 10


class BuildError(Exception):
    """Something that the reader can mend; its text says how."""


@dataclass(frozen=True)
class Blender:
    """A version of Blender's module.

    Attributes:
        version: such as "5.2". python: the one that it is built for. group: its packages in pyproject.toml.
        folder: of its environment. lacks: marks of tests that need what it doesn't have.
    """

    version: str
    python: tuple[int, int]
    group: str
    folder: Path
    lacks: tuple[str, ...] = ()

    @property
    def executable(self) -> Path:
        """The Python of its environment."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def find(self, pattern: str) -> Path | None:
        """The first file of the environment's packages that fits the pattern."""
        folders = (*self.folder.glob("lib/python3*/site-packages"), self.folder / "Lib/site-packages")
        return next((path for folder in folders for path in sorted(folder.glob(pattern))), None)


MAIN = Blender("5.0", (3, 11), "blender", ROOT / ".venv-blender")
BLENDERS = {
    one.version: one
    for one in (
        Blender("4.2", (3, 11), "blender-4-2", ROOT / ".venv-blender-4.2", lacks=("newer", "draco")),
        Blender("4.5", (3, 11), "blender-4-5", ROOT / ".venv-blender-4.5"),
        MAIN,
        Blender("5.2", (3, 13), "blender-5-2", ROOT / ".venv-blender-5.2", lacks=("draco",)),
    )
}


def say(text: str) -> None:
    """One line of progress."""
    print(f"[build] {text}", flush=True)


def run(command, **options) -> int:
    """Runs a command in the repository with its output shown; returns its exit code."""
    return subprocess.run(command, cwd=ROOT, **options).returncode


def requirements(groups) -> list[str]:
    """The pinned packages of the groups, from pyproject.toml."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        pins = tomllib.load(file)["project"]["optional-dependencies"]
    return [pin for group in groups for pin in pins[group]]


def find_python(wanted: tuple[int, int]) -> str:
    """A Python of the version that can make environments: this one, one on the PATH, pyenv's, or uv's.

    Raises:
        BuildError: there is none.
    """
    name = "{}.{}".format(*wanted)
    home = Path.home()
    pyenv, uv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv")), home / ".local/share/uv/python"
    found = [sys.executable] if sys.version_info[:2] == wanted else []
    found += [path for path in [shutil.which(f"python{name}")] if path]
    found += sorted(map(str, pyenv.glob(f"versions/{name}.*/bin/python")), key=_patch, reverse=True)
    found += sorted(map(str, uv.glob(f"cpython-{name}.*/bin/python")), key=_patch, reverse=True)
    check = f"import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != {wanted})"
    for path in found:
        if not subprocess.run([path, "-c", check], capture_output=True).returncode:
            return path
    raise BuildError(
        f"Python {name} was found neither on the PATH nor in pyenv or uv. Install it: `pyenv install {name}`, "
        f"`uv python install {name}`, or on a Debian that has it `apt-get install python{name}-venv`."
    )


def _patch(path: str) -> int:
    """The last number of a version in a path such as `3.13.2/bin/python`."""
    number = Path(path).parts[-3].split(".")[2].split("-")[0]
    return int(number) if number.isdigit() else -1


def ensure_environment(groups=(), blender: Blender = MAIN) -> Path:
    """Makes or completes a Blender's environment with more groups; returns its Python. Quick where a stamp fits."""
    pins = requirements([blender.group, *groups])
    python, stamp = blender.executable, blender.folder / "installed"
    installed = stamp.read_text().split() if stamp.is_file() and python.exists() else []
    if set(pins) <= set(installed):
        return python
    if not python.exists():
        base = find_python(blender.python)
        say(f"making {blender.folder.name} with {base}")
        if run([base, "-m", "venv", "--clear", str(blender.folder)]):
            shutil.rmtree(blender.folder, ignore_errors=True)
            raise BuildError("The virtual environment couldn't be made. On Debian: apt-get install python3.11-venv.")
    stamp.unlink(missing_ok=True)
    say(f"installing {', '.join(pins)} (the first time takes minutes)")
    # All groups that are there already are named again, so that pip can't move one group's version for another's sake;
    # an older pin of a package that pyproject.toml moved on is not.
    names = {pin.split("==")[0] for pin in pins}
    wanted = sorted({pin for pin in installed if pin.split("==")[0] not in names} | set(pins))
    _install(python, wanted)
    ensure_system_libraries(blender)
    stamp.write_text("\n".join(wanted))
    return python


def _install(python: Path, pins) -> None:
    """Puts packages into an environment, with more than one try."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins]
    for attempt in range(1, PIP_TRIES + 1):
        if not run(command):
            return
        if attempt < PIP_TRIES:
            say(f"pip failed; once more in {PIP_PAUSE_S} s")
            time.sleep(PIP_PAUSE_S)
    raise BuildError("pip couldn't install these packages: its message is above. Check the network and try again.")


def ensure_system_libraries(blender: Blender) -> None:
    """Checks that `import bpy` works; as root in Debian's CI installs what it lacks, elsewhere says what to install."""
    check = [str(blender.executable), "-c", "import bpy, os; os._exit(0)"]
    for attempt in (1, 2):
        result = subprocess.run(check, capture_output=True, text=True)
        if result.returncode == 0:
            return
        missing = missing_libraries(blender)
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


def missing_libraries(blender: Blender) -> list[str]:
    """Shared libraries that bpy links and this system doesn't have."""
    module = blender.find("bpy/__init__*.so")
    if module is None or not shutil.which("ldd"):
        return []
    lines = subprocess.run(["ldd", str(module)], capture_output=True, text=True).stdout.splitlines()
    return sorted({line.split()[0] for line in lines if "not found" in line})
