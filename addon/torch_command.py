"""The command that makes a Python environment with PyTorch for this computer. Text alone: nothing runs it. No bpy."""

import os
import platform
import re
import shlex
import sys
from pathlib import Path

INDEX = "https://download.pytorch.org/whl/"
FOLDER = "motion-variations-torch"  # in the home folder
# Kind of torch: where its packages are; None for the usual place.
SOURCES = {"CUDA": "cu130", "CUDA_OLD": "cu126", "ROCM": "rocm7.2", "CPU": "cpu", "MPS": None}
DRIVER_OF_CUDA_13 = 580  # the first that runs code of CUDA 13; older ones run that of CUDA 12.6
DRIVER_VERSION = re.compile(r"Kernel Module[^\n]*?\s(\d+)\.\d+")
NO_TORCH = "There is no PyTorch for Intel Macs any more. The NumPy engine gives the same results."


def kind_of_computer(system: str = sys.platform, root: Path = Path("/"), machine: str | None = None) -> str:
    """Which torch suits: a key of `SOURCES`, or "" where there is none. Looks at files that drivers leave."""
    if system == "darwin":
        return "MPS" if (machine or platform.machine()) == "arm64" else ""
    if system == "win32":
        windows = Path(os.environ.get("SYSTEMROOT", "C:\\Windows")) if root == Path("/") else root
        return "CUDA" if (windows / "System32" / "nvcuda.dll").exists() else "CPU"
    try:
        found = DRIVER_VERSION.search((root / "proc/driver/nvidia/version").read_text())
        return "CUDA_OLD" if found and int(found[1]) < DRIVER_OF_CUDA_13 else "CUDA"
    except OSError:
        pass
    if (root / "usr/lib/wsl/lib/libcuda.so.1").exists():
        return "CUDA"
    return "ROCM" if (root / "dev/kfd").exists() else "CPU"


def command_lines(kind: str, python: str, system: str = sys.platform, home: Path | None = None) -> list[str]:
    """The lines for a terminal (on Windows: PowerShell): make an environment, put torch into it, say where it is.

    Args:
        kind: a key of `SOURCES`. python: the Python that makes the environment; 3.10 or newer.
    """
    folder = str(home or Path.home()) + ("\\" if system == "win32" else "/") + FOLDER
    inside = made_python(system, home)
    index = f" --index-url {INDEX}{SOURCES[kind]}" if SOURCES[kind] else ""

    def call(program):
        return f'& "{program}"' if system == "win32" else shlex.quote(program)

    target = f'"{folder}"' if system == "win32" else shlex.quote(folder)
    return [
        f"{call(python)} -m venv {target}",
        f"{call(inside)} -m pip install numpy",
        f"{call(inside)} -m pip install torch{index}",
    ]


def made_python(system: str = sys.platform, home: Path | None = None) -> str:
    """The Python that the command makes."""
    inside = f"\\{FOLDER}\\Scripts\\python.exe" if system == "win32" else f"/{FOLDER}/bin/python"
    return f"{home or Path.home()}{inside}"
