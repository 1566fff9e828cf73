"""Which Python runs the backend: Blender's own, or one that the user names, checked in words. No bpy in here."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import backend

PROBE = Path(backend.__file__).parent / "probe.py"
PROBE_LIMIT_S = 120  # the first import of a torch with CUDA from a cold disk takes up to a minute
MIN_PYTHON = (3, 10)
MIN_TORCH = (2, 4)  # the first with rms_norm
# All that the backend gets of Blender's environment: where the system and its libraries are, and which GPU to use.
KEPT_VARIABLES = (
    "PATH", "HOME", "TMPDIR", "TMP", "TEMP", "LANG", "LC_ALL", "LD_LIBRARY_PATH",
    "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "PROGRAMDATA",
    "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES", "CUDA_PATH", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION",
)  # fmt: skip


@dataclass(frozen=True)
class PythonReport:
    """What `check_python` found.

    Attributes:
        usable: the torch engine can run in it.
        sentence: for the panel: what was found and what to do next.
        version, torch: versions, or None. devices: torch's names of usable devices, the best first.
    """

    usable: bool
    sentence: str
    version: str | None = None
    torch: str | None = None
    devices: tuple[str, ...] = ()


def default_python() -> str:
    """The Python of the running Blender: `sys.executable`, except in builds that set it to Blender itself."""
    if Path(sys.executable or "").name.lower().startswith("python"):
        return sys.executable
    names = ("python.exe",) if sys.platform == "win32" else (f"python3.{sys.version_info.minor}", "python3", "python")
    found = (Path(folder) / name for folder in (Path(sys.prefix) / "bin", sys.prefix) for name in names)
    return next((str(path) for path in found if path.is_file()), sys.executable or "python3")


def process_options() -> dict:
    """How every process of ours is started: minimal environment, no shell, no console window, nowhere in particular."""
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    options = {"env": environment, "cwd": tempfile.gettempdir()}
    if sys.platform == "win32":
        options["creationflags"] = subprocess.CREATE_NO_WINDOW
    return options


def check_python(path: str, limit_s: float = PROBE_LIMIT_S) -> PythonReport:
    """Whether the torch engine can run in the Python `path`; waits for as long as that takes to import torch."""
    path = os.path.expanduser(path.strip())
    if not path:
        return PythonReport(False, "No Python is named. Choose the python file of an environment that has torch.")
    if os.path.isdir(path):
        return PythonReport(False, f"{path} is a folder. Choose the python file in it, often bin/python.")
    if not os.path.isfile(path):
        return PythonReport(False, f"There is no file {path}. Choose the python file of an environment that has torch.")
    try:
        pipes = {"stdin": subprocess.DEVNULL, "capture_output": True}
        result = subprocess.run([path, "-I", str(PROBE)], timeout=limit_s, **pipes, **process_options())
    except subprocess.TimeoutExpired:
        return PythonReport(False, f"{path} did not answer within {limit_s:.0f} s. Try again or choose another.")
    except OSError as error:
        return PythonReport(False, f"{path} can't be run ({error.strerror}). Choose the python file of an environment.")
    found = _parse(result.stdout)
    if found is None:
        last = result.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it printed nothing"]
        return PythonReport(False, f"{path} isn't a Python 3 that works: {last[0]}. Choose another file.")
    return _judge(path, found)


def _parse(output: bytes) -> dict | None:
    """The probe's findings: the last line, whatever else was printed before; None if there are none."""
    try:
        found = json.loads(output.decode("utf-8", "replace").strip().splitlines()[-1])
        return found if isinstance(found, dict) and "python" in found else None
    except (IndexError, ValueError):
        return None


def _judge(path, found) -> PythonReport:
    """The findings in a sentence."""
    version = ".".join(map(str, found["python"]))
    wanted = ".".join(map(str, MIN_PYTHON))

    def refuse(sentence):
        return PythonReport(False, sentence, version, found["torch"])

    if tuple(found["python"]) < MIN_PYTHON:
        return refuse(f"{path} is Python {version}; {wanted} or newer is needed.")
    for name in ("torch", "numpy"):
        if found[name] is None and found.get(f"{name}_error"):
            return refuse(f"In {path} (Python {version}) {name} doesn't import: {found[f'{name}_error']}")
        if found[name] is None:
            return refuse(
                f'{path} (Python {version}) has no {name}. Install it there: "{path}" -m pip install {name} '
                "(packages that were installed with --user don't count)."
            )
    if _version(found["torch"]) < MIN_TORCH:
        return refuse(f"{path} has torch {found['torch']}; {'.'.join(map(str, MIN_TORCH))} or newer is needed.")
    devices = found["devices"]
    usable = tuple(device["name"] for device in devices if device["problem"] is None)
    if not usable:
        return refuse(f"torch {found['torch']} in {path} can't use any device: {devices[0]['problem']}.")
    words = ", ".join(device["words"] for device in devices if device["problem"] is None)
    broken = "".join(f" {device['words']}: {device['problem']}." for device in devices if device["problem"])
    sentence = f"Python {version}, torch {found['torch']}, on {words}.{broken}"
    return PythonReport(True, sentence, version, found["torch"], usable)


def _version(text) -> tuple[int, int]:
    """Major and minor number of a version such as 2.13.0+cpu."""
    numbers = [int("".join(filter(str.isdigit, part)) or 0) for part in text.split(".")[:2]]
    return tuple(numbers + [0])[:2]
