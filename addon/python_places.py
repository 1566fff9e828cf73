"""Where Pythons usually are on Linux, macOS and Windows. Looks at file names alone, starts nothing. No bpy in here."""

import os
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

WALK_DEPTH = 3  # ~/projects/ComfyUI/venv
WALK_FOLDERS = 4000
WALK_S = 4.0  # a home folder on a network may be slow
PYTHON_NAME = re.compile(r"python(3(\.\d+)?)?(\.exe)?")
IN_ENVIRONMENT = ("bin/python3", "bin/python")
IN_ENVIRONMENT_WINDOWS = ("Scripts/python.exe", "python.exe")
CONDA_ROOTS = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba", "mambaforge3")
# Folders of environments below the home folder.
HOME = (
    ".virtualenvs/*", ".venvs/*", "venvs/*", "envs/*", "Envs/*", ".asdf/installs/python/*",
    *(f"{root}{part}" for root in CONDA_ROOTS for part in ("", "/envs/*")), ".conda/envs/*",
)  # fmt: skip
HOME_POSIX = (
    ".pyenv/versions/*", ".pyenv/versions/*/envs/*", ".local/share/uv/python/*", ".local/share/virtualenvs/*",
    ".local/share/mamba/envs/*", ".local/share/mise/installs/python/*", ".local/share/pipx/venvs/*",
    ".local/pipx/venvs/*", ".cache/pypoetry/virtualenvs/*", "Library/Caches/pypoetry/virtualenvs/*",
    ".local/share/hatch/env/virtual/*/*/*",
)  # fmt: skip
HOME_WINDOWS = (
    ".pyenv/pyenv-win/versions/*", "AppData/Local/Programs/Python/*", "AppData/Roaming/uv/python/*",
    "AppData/Local/pypoetry/Cache/virtualenvs/*", "AppData/Local/hatch/env/virtual/*/*/*", "pipx/venvs/*",
    *(f"AppData/Local/{root}{part}" for root in CONDA_ROOTS for part in ("", "/envs/*")),
)  # fmt: skip
# Variables that name an environment, or a folder of them.
VARIABLES = {
    "VIRTUAL_ENV": ("",), "CONDA_PREFIX": ("",), "PYENV_ROOT": ("versions/*",), "WORKON_HOME": ("*",),
    "UV_PYTHON_INSTALL_DIR": ("*",), "MAMBA_ROOT_PREFIX": ("", "envs/*"), "CONDA_ROOT": ("", "envs/*"),
}  # fmt: skip
ROOT_POSIX = (
    *(f"opt/{root}{part}" for root in CONDA_ROOTS for part in ("", "/envs/*")),
    "Library/Frameworks/Python.framework/Versions/*", "opt/homebrew/opt/python@*", "usr/local/opt/python@*",
    "opt/python/*",
)  # fmt: skip
PROGRAMS_POSIX = ("usr/local/bin", "usr/bin", "opt/homebrew/bin", "home/linuxbrew/.linuxbrew/bin")
DRIVES_WINDOWS = ("ProgramFiles", "ProgramData", "SystemDrive")
EMBEDDED = ("python_embeded", "python_embedded")  # as portable programs of artists carry one (the first is no typo)
PASSED_OVER = {"node_modules", "Library", "AppData", "snap", "site-packages", "__pycache__"}


@dataclass(frozen=True)
class Machine:
    """Where to look: `sys.platform`, the home folder, variables, and the root of the file system."""

    platform: str
    home: Path
    environment: dict = field(default_factory=dict)
    root: Path = Path("/")

    @property
    def is_windows(self) -> bool:
        """Whether files are named as on Windows."""
        return self.platform == "win32"


def pythons(machine: Machine, stop=lambda: False) -> Iterator[str]:
    """The Python programs of a machine, each once: those of environments first.

    Args:
        stop: asked between two folders; true ends the search.
    """
    seen = set()
    for found in (_of_environments(machine), _on_path(machine), _near_home(machine, stop)):
        for path in found:
            if stop():
                return
            identity = _identity(path)
            if identity not in seen:
                seen.add(identity)
                yield str(path)


def _identity(path: Path) -> str:
    """The same for two names of one Python; two environments of one base are two."""
    for folder in (path.parent, path.parent.parent):
        if (folder / "pyvenv.cfg").is_file():
            return os.path.realpath(folder)
    return os.path.realpath(path)


def _is_program(path: Path, machine: Machine) -> bool:
    """Whether it can be run, and starting it asks for nothing: no door to a shop, no chooser of versions."""
    try:
        if not path.is_file() or "shims" in path.parts:
            return False
        if machine.is_windows:
            return path.stat().st_size > 0  # of size 0: Windows' own, which opens the shop
    except OSError:
        return False
    if machine.platform == "darwin" and path.parent == machine.root / "usr/bin":
        # Without the developer tools this one opens a window that offers them.
        return (machine.root / "Library/Developer/CommandLineTools/usr/bin/python3").exists()
    return os.access(path, os.X_OK)


def python_of(folder: Path, machine: Machine) -> Path | None:
    """The Python of an environment's folder, or None."""
    names = IN_ENVIRONMENT_WINDOWS if machine.is_windows else IN_ENVIRONMENT
    return next((folder / name for name in names if _is_program(folder / name, machine)), None)


def _of_environments(machine: Machine) -> Iterator[Path]:
    """Those in folders where tools keep environments."""
    places = [(machine.environment[name], parts) for name, parts in VARIABLES.items() if machine.environment.get(name)]
    places.append((machine.home, HOME + (HOME_WINDOWS if machine.is_windows else HOME_POSIX)))
    if conda := machine.environment.get("CONDA_EXE"):
        places.append((Path(conda).parent.parent, ("", "envs/*")))
    if machine.is_windows:
        drives = [machine.environment[name] for name in DRIVES_WINDOWS if machine.environment.get(name)]
        parts = ("Python3*", *(f"{root}{part}" for root in CONDA_ROOTS for part in ("", "/envs/*")))
        places += [(drive + os.sep if drive.endswith(":") else drive, parts) for drive in drives]
    else:
        places.append((machine.root, ROOT_POSIX))
    folders = [folder for place, parts in places for part in parts for folder in _matching(Path(place), part)]
    for folder in (*folders, *_known_to_conda(machine)):
        python = python_of(folder, machine)
        if python is not None:
            yield python


def _matching(folder: Path, pattern: str) -> list[Path]:
    """The folders that a pattern finds; the folder itself without one."""
    try:
        return sorted(folder.glob(pattern)) if pattern else [folder]
    except OSError:
        return []


def _known_to_conda(machine: Machine) -> list[Path]:
    """Conda notes every environment that it makes, wherever that is."""
    try:
        text = (machine.home / ".conda" / "environments.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [Path(line.strip()) for line in text.splitlines() if line.strip()]


def _on_path(machine: Machine) -> Iterator[Path]:
    """Those that a terminal would find, and where package managers of the system put them."""
    separator = ";" if machine.is_windows else ":"
    folders = [Path(part) for part in machine.environment.get("PATH", "").split(separator) if part]
    if not machine.is_windows:
        folders += [machine.root / part for part in PROGRAMS_POSIX]
    for folder in dict.fromkeys(folders):
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if PYTHON_NAME.fullmatch(entry.name.lower()))
        except OSError:
            continue
        for name in names:
            if _is_program(folder / name, machine):
                yield folder / name


def _near_home(machine: Machine, stop) -> Iterator[Path]:
    """Environments in projects: a walk below the home folder, not deep, not long, not into links."""
    waiting, looked_at, end = deque([(machine.home, 0)]), 0, time.monotonic() + WALK_S
    while waiting and looked_at < WALK_FOLDERS and time.monotonic() < end and not stop():
        folder, depth = waiting.popleft()
        looked_at += 1
        try:
            inside = sorted((entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)), key=_name)
        except OSError:
            continue
        for entry in inside:
            path = Path(entry.path)
            is_environment = (path / "pyvenv.cfg").is_file() or entry.name in EMBEDDED
            if is_environment and (python := python_of(path, machine)) is not None:
                yield python
            elif depth < WALK_DEPTH - 1 and not entry.name.startswith(".") and entry.name not in PASSED_OVER:
                waiting.append((path, depth + 1))


def _name(entry) -> str:
    """For sorting."""
    return entry.name
