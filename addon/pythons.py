"""Which Python runs the backend: Blender's own, or one that the user names, checked in words. No bpy in here."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import backend
from .torch_command import kind_of_computer
from .trial import try_program

PROBE = Path(backend.__file__).parent / "probe.py"
PROBE_LIMIT_S = 120  # the first import of a torch with CUDA from a cold disk takes up to a minute
MIN_PYTHON = (3, 10)
MIN_TORCH = (2, 4)  # the first with rms_norm
BUILDS = {"CPU": "the CPU alone", None: "what it doesn't say"}
CARDS = ("CUDA", "CUDA_OLD", "ROCM")
MAX_QUOTE = 300  # characters of what a program printed
# All that the backend gets of Blender's environment: where the system and its libraries are, and which GPU to use.
KEPT_VARIABLES = (
    "PATH", "HOME", "TMPDIR", "TMP", "TEMP", "LANG", "LC_ALL", "LD_LIBRARY_PATH",
    "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "PROGRAMDATA",
    "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES", "CUDA_PATH", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION",
)  # fmt: skip


@dataclass(frozen=True)
class Device:
    """A device of a torch: torch's name for it, what it is in words, why it can't be used (None if it can)."""

    name: str
    words: str
    problem: str | None = None


@dataclass(frozen=True)
class PythonReport:
    """What `check_python` found.

    Attributes:
        usable: the torch engine can run in it.
        sentence: for the panel: what was found and what to do next.
        line: the same in a few words, for a list.
        version, torch, build: versions, and what torch was built for ("CUDA 13.0", "CPU"), or None.
        devices: torch's names of usable devices, the best first. seen: all devices.
    """

    usable: bool
    sentence: str
    line: str = ""
    version: str | None = None
    torch: str | None = None
    build: str | None = None
    devices: tuple[str, ...] = ()
    seen: tuple[Device, ...] = ()


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


def check_python(path: str, limit_s: float = PROBE_LIMIT_S, stop=None) -> PythonReport:
    """Whether the torch engine can run in the Python `path`; waits for as long as that takes to import torch.

    Args:
        stop: a `threading.Event` that ends the check.
    """
    path = os.path.expanduser(path.strip())
    if not path:
        return _none("No Python is named. Choose the python file of an environment that has torch.")
    if os.path.isdir(path):
        return _none(f"{path} is a folder. Choose the python file in it, often bin/python.")
    if not os.path.isfile(path):
        return _none(f"There is no file {path}. Choose the python file of an environment that has torch.")
    try:
        trial = try_program([path, "-I", str(PROBE)], limit_s, stop, **process_options())
    except OSError as error:
        return _none(f"{path} can't be run ({error.strerror}). Choose the python file of an environment.")
    if trial.ended == "stopped":
        return _none(f"The check of {path} was cancelled. Click again.")
    if trial.ended == "late":
        return _none(f"{path} did not answer within {limit_s:.0f} s. Try again or choose another.")
    if trial.ended == "flood":
        return _none(f"{path} prints without end, so it isn't a Python 3 that works. Choose another file.")
    found = _parse(trial.output)
    if found is None:
        said = (trial.errors.decode("utf-8", "replace").strip().splitlines() or ["it printed nothing of use"])[-1]
        return _none(f"{path} isn't a Python 3 that works: {said[:MAX_QUOTE]}. Choose another file.")
    return judge(path, found, kind_of_computer())


def _none(sentence) -> PythonReport:
    """A report on what is no Python."""
    return PythonReport(False, sentence, "Not a Python that answers.")


def _parse(output: bytes) -> dict | None:
    """The probe's findings: the last line, whatever else was printed before; None if there are none."""
    try:
        found = json.loads(output.decode("utf-8", "replace").strip().splitlines()[-1])
        return found if isinstance(found, dict) and "python" in found else None
    except (IndexError, ValueError):
        return None


def judge(path: str, found: dict, computer: str = "CPU") -> PythonReport:
    """The findings of the probe in words; `computer` is what a torch for this one would be built for."""
    version, torch, build = ".".join(map(str, found["python"])), found["torch"], found.get("build")

    def refuse(sentence, line):
        return PythonReport(False, sentence, line, version, torch, build)

    if tuple(found["python"]) < MIN_PYTHON:
        sentence = f"{path} is Python {version}; {_dotted(MIN_PYTHON)} or newer is needed. Choose another."
        return refuse(sentence, f"Python {version} is too old.")
    for name in ("torch", "numpy"):
        if found[name] is None and found.get(f"{name}_error"):
            broken = f"In {path} (Python {version}) {name} doesn't import: {found[f'{name}_error']}".rstrip(".")
            advice = f"Install {name} there again, or choose another."
            return refuse(f"{broken}. {advice}", f"Python {version} has a broken {name}.")
        if found[name] is None:
            return refuse(
                f'{path} (Python {version}) has no {name}. Install it there: "{path}" -m pip install {name} '
                "(packages that were installed with --user don't count).",
                f"Python {version} has no {name}.",
            )
    if _version(torch) < MIN_TORCH:
        sentence = f"{path} has torch {torch}; {_dotted(MIN_TORCH)} or newer is needed. Update it or choose another."
        return refuse(sentence, f"Python {version} has torch {torch}, which is too old.")
    seen = tuple(Device(one["name"], device_words(one), device_problem(one, found)) for one in found["devices"])
    usable = [device for device in seen if device.problem is None]
    if not usable:
        why = seen[0].problem if seen else "it names none"
        sentence = f"The torch {torch} of {path} can't use any device: {why.rstrip('.')}. Choose another Python."
        return refuse(sentence, f"Python {version} has torch {torch}, which can't use any device.")
    words = ", ".join(device.words for device in usable)
    sentence = f"Python {version}, torch {torch}, built for {BUILDS.get(build, build)}, on {words}."
    for device in seen:
        if device.problem is not None:
            sentence += f" {device.words} can't be used: {device.problem.rstrip('.')}."
    if found.get("missing_card"):
        sentence += f" PyTorch finds no graphics card: {found['missing_card'].rstrip('.')}. Look after its driver."
    if build == "CPU" and computer in CARDS:
        sentence += " This computer has a graphics card that this torch isn't built for. The command makes one that is."
    line = f"Python {version}, torch {torch}, {words}"
    return PythonReport(True, sentence, line, version, torch, build, tuple(one.name for one in usable), seen)


def device_words(device: dict) -> str:
    """A device of the probe's: "NVIDIA H100 (sm_90, 78.2 of 79.6 GB free)"."""
    facts = [device["arch"]] if device.get("arch") else []
    if device.get("total_gb"):
        free = f"{device['free_gb']:.1f} of " if device.get("free_gb") is not None else ""
        facts.append(f"{free}{device['total_gb']:.1f} GB{' free' if free else ''}")
    return f"{device['words']} ({', '.join(facts)})" if facts else device["words"]


def device_problem(device: dict, found: dict) -> str | None:
    """Why a device can't be used and what to do, or None."""
    if not device.get("lacks_code"):
        return device["problem"]
    built, card = found["archs"], device["arch"]
    numbers = sorted({arch for arch in built if arch.startswith("sm_")}, key=_number)
    words = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else ", ".join(built)
    newer = bool(numbers) and _number(card) > _number(numbers[-1])
    end = "Make an environment with a torch for older cards; the preferences have the command."
    if newer:
        end = "Make an environment with a newer torch; the preferences have the command."
    return f"this torch was built for {words}, your card is {card}: it will not run there. {end}"


def _number(arch) -> int:
    """The number in sm_90a."""
    return int("".join(filter(str.isdigit, arch)) or 0)


def _dotted(version) -> str:
    """A version as people write it."""
    return ".".join(map(str, version))


def _version(text) -> tuple[int, int]:
    """Major and minor number of a version such as 2.13.0+cpu."""
    numbers = [int("".join(filter(str.isdigit, part)) or 0) for part in text.split(".")[:2]]
    return tuple(numbers + [0])[:2]
