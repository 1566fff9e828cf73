"""Where Pythons are looked for, on each system; how programs are tried; the command and the devices in words.

python -m pytest tests/process/test_python_search.py
"""

import importlib
import importlib.util
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from scenery import bare_environment, is_alive, wait_until


@pytest.fixture(scope="module")
def parts(extension):
    """Gives a module of the extension by its name."""
    return lambda name: importlib.import_module(f"{extension.package}.{name}")


def program(path: Path, content="#!/bin/sh\n") -> Path:
    """A file that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)
    return path


PLACES = {
    "linux": (
        ".pyenv/versions/3.12.1/bin/python3", "miniconda3/bin/python3", "miniconda3/envs/art/bin/python3",
        ".local/share/uv/python/cpython-3.12/bin/python3", ".virtualenvs/a/bin/python3", "elsewhere/env/bin/python",
    ),
    "darwin": (
        "Library/Caches/pypoetry/virtualenvs/x/bin/python3", "miniforge3/envs/b/bin/python3",
        "../root/Library/Frameworks/Python.framework/Versions/3.12/bin/python3", "../root/opt/homebrew/bin/python3",
    ),
    "win32": (
        "AppData/Local/Programs/Python/Python312/python.exe", "miniconda3/envs/art/python.exe",
        ".pyenv/pyenv-win/versions/3.11.9/python.exe", "AppData/Roaming/uv/python/cpython-3.12/python.exe",
        "ComfyUI_windows_portable/python_embeded/python.exe",
    ),
}  # fmt: skip


@pytest.mark.parametrize("platform", PLACES)
def test_the_usual_places_of_each_system_are_looked_at(parts, tmp_path, platform):
    """Files as that system has them; programs that are no Python, doors to a shop and choosers are passed over."""
    home, root = tmp_path / "home", tmp_path / "root"
    for name in PLACES[platform]:
        program(home / name)
    venv = "Scripts/python.exe" if platform == "win32" else "bin/python"
    inside = program(home / "work/film/.venv" / venv)
    (home / "work/film/.venv/pyvenv.cfg").write_text("")
    too_deep = program(home / "a/b/c/d/venv" / venv)
    (too_deep.parent.parent / "pyvenv.cfg").write_text("")
    (home / ".conda").mkdir()
    (home / ".conda/environments.txt").write_text(f"{home}/elsewhere/env\n/gone\n")
    shims = program(home / ".pyenv/shims" / ("python.exe" if platform == "win32" else "python3")).parent
    on_path = home / "bin"
    program(on_path / ("pythonw.exe" if platform == "win32" else "python3-config"))
    separator = ";" if platform == "win32" else ":"
    shop = home / "WindowsApps"
    if platform == "win32":
        shop.mkdir()
        (shop / "python.exe").touch()
    elif platform == "darwin":
        program(root / "usr/bin/python3")  # opens a window without the developer tools
    path = separator.join(map(str, (shims, on_path, shop, home / "gone")))
    places = parts("python_places")
    found = list(places.pythons(places.Machine(platform, home, {"PATH": path}, root)))
    wanted = {str((home / name).resolve()) for name in PLACES[platform]} | {str(inside)}
    assert {os.path.abspath(path) for path in found} == wanted
    assert len(found) == len(wanted)


def test_two_names_of_one_python_are_tried_once_and_two_environments_of_it_are_two(parts, tmp_path):
    """`python` and `python3` beside it; environments link to one file."""
    home = tmp_path / "home"
    base = program(home / "base/bin/python3.12")
    for name in ("python3", "python"):
        (base.parent / name).symlink_to(base)
    for name in ("one", "two"):
        folder = home / ".venvs" / name
        (folder / "bin").mkdir(parents=True)
        (folder / "pyvenv.cfg").write_text("")
        (folder / "bin/python3").symlink_to(base)
    places = parts("python_places")
    machine = places.Machine("linux", home, {"PATH": str(base.parent)}, tmp_path / "root")
    names = [Path(path).relative_to(home).parts[:2] for path in places.pythons(machine)]
    assert names == [(".venvs", "one"), (".venvs", "two"), ("base", "bin")]


def test_a_program_that_hangs_with_a_child_is_ended_with_it(parts, tmp_path):
    """A script whose child keeps the pipes open: neither outlives its time, and nobody waits for longer."""
    path = program(tmp_path / "python", f"#!/bin/sh\nsleep 300 &\necho $! > {tmp_path}/child\nwait\n")
    started_s = time.monotonic()
    trial = parts("trial").try_program([str(path)], 0.5)
    assert trial.ended == "late" and time.monotonic() - started_s < 2
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not is_alive(child))


def test_a_program_that_prints_without_end_is_ended(parts, tmp_path):
    """Long before its time, and with little memory."""
    trial_of = parts("trial")
    path = program(tmp_path / "python", "#!/bin/sh\nwhile :; do echo garbage garbage garbage; done\n")
    trial = trial_of.try_program([str(path)], 60)
    assert trial.ended == "flood" and len(trial.output) == trial_of.MAX_OUTPUT


def test_a_program_is_stopped_from_outside(parts, tmp_path):
    """Within a moment."""
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    path = program(tmp_path / "python", "#!/bin/sh\nexec sleep 300\n")
    started_s = time.monotonic()
    assert parts("trial").try_program([str(path)], 60, stop).ended == "stopped"
    assert time.monotonic() - started_s < 1.5


def test_a_search_tries_what_it_finds_and_ends(parts, tmp_path):
    """A real environment without torch and a program that hangs, together."""
    python = bare_environment(tmp_path / "home" / "project" / "venv")
    program(tmp_path / "home/venvs/hangs/bin/python", "#!/bin/sh\nexec sleep 300\n")
    places, search_of = parts("python_places"), parts("python_search")
    machine = places.Machine("linux", tmp_path / "home", {}, tmp_path / "root")
    search = search_of.Search(machine, limit_s=2.0)
    wait_until(lambda: search.finished, 15)
    reports = dict(search.take())
    assert search.tried == search.seen == 2 and search.take() == []
    assert reports[str(python) + "3"].line.endswith("has no torch.")
    assert "did not answer within 2 s" in reports[str(tmp_path / "home/venvs/hangs/bin/python")].sentence


def test_what_a_card_needs_and_what_torch_has_is_said_in_words(parts):
    """A card that is too new, one that is too old, one that works, and none at all."""
    pythons = parts("pythons")

    def judged(build="CUDA 12.6", missing_card=None, **card):
        device = {"name": "cuda:0", "words": "NVIDIA RTX 5090", "total_gb": 32.0, "problem": None, **card}
        cpu = {"name": "cpu", "words": "CPU", "problem": None}
        found = {"python": [3, 12, 1], "numpy": "2.0", "torch": "2.13.0", "build": build, "missing_card": missing_card}
        found |= {"archs": ["sm_50", "sm_75", "sm_90"], "devices": [device, cpu] if card else [cpu]}
        return pythons.judge("/python", found)

    new = judged(arch="sm_120", lacks_code=True, problem="no code")
    assert new.usable and new.devices == ("cpu",)
    assert "this torch was built for sm_50 to sm_90, your card is sm_120: it will not run there" in new.sentence
    assert "with a newer torch" in new.sentence
    assert "torch for older cards" in judged(arch="sm_37", lacks_code=True, problem="no code").sentence
    good = judged(arch="sm_89", lacks_code=False, free_gb=30.25)
    assert good.devices == ("cuda:0", "cpu") and "built for CUDA 12.6" in good.sentence
    assert "NVIDIA RTX 5090 (sm_89, 30.2 of 32.0 GB free), CPU" in good.sentence
    none = judged(missing_card="Found no NVIDIA driver on your system.")
    assert none.usable and "PyTorch finds no graphics card: Found no NVIDIA driver on your system." in none.sentence
    assert "built for the CPU alone" in judged(build="CPU").sentence
    found = {"python": [3, 12, 1], "numpy": "2.0", "torch": "2.13.0", "build": "CPU", "archs": [], "devices": []}
    found["devices"] = [{"name": "cpu", "words": "CPU", "problem": None}]
    assert "has a graphics card that this torch isn't built for" in pythons.judge("/python", found, "CUDA").sentence


@pytest.mark.torch
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="this Python has no torch")
def test_the_probe_says_what_a_torch_was_built_for(extension):
    """The one that runs this test."""
    import torch

    report = extension.pythons.check_python(sys.executable)
    assert report.build.split()[0] in ("CPU", "CUDA", "ROCm", "MPS")
    assert (report.build == "CPU") == (torch.version.cuda is None and torch.version.hip is None)
    assert report.seen[-1].name == "cpu" and report.line.startswith("Python 3.")


def test_the_command_suits_the_computer(parts, tmp_path):
    """Told by what drivers leave behind."""
    command = parts("torch_command")
    version = tmp_path / "proc/driver/nvidia/version"
    assert command.kind_of_computer("linux", tmp_path) == "CPU"
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kfd").touch()
    assert command.kind_of_computer("linux", tmp_path) == "ROCM"
    version.parent.mkdir(parents=True)
    for driver, kind in (("550.54.14", "CUDA_OLD"), ("580.65.06", "CUDA")):
        version.write_text(f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {driver}  Thu Feb 22 01:44:30 UTC 2024\n")
        assert command.kind_of_computer("linux", tmp_path) == kind
    assert command.kind_of_computer("darwin", machine="arm64") == "MPS"
    assert command.kind_of_computer("darwin", machine="x86_64") == ""
    assert command.kind_of_computer("win32", tmp_path) == "CPU"
    (tmp_path / "System32").mkdir()
    (tmp_path / "System32/nvcuda.dll").touch()
    assert command.kind_of_computer("win32", tmp_path) == "CUDA"


def test_the_command_makes_an_environment(parts, tmp_path):
    """Its first line is run for real, by a shell, in a home folder with a space; the others only name what it made."""
    import subprocess

    command, home = parts("torch_command"), tmp_path / "my home"
    lines = command.command_lines("CUDA", sys.executable, "linux", home)
    subprocess.run(["sh", "-c", lines[0] + " --without-pip"], check=True)
    python = command.made_python("linux", home)
    assert Path(python).exists()
    assert all(line.startswith(f"'{python}' -m pip install ") for line in lines[1:])
    assert lines[2].endswith("install torch --index-url https://download.pytorch.org/whl/cu130")
    windows = command.command_lines("CPU", "C:\\Blender 5\\python.exe", "win32", Path("C:\\Users\\A B"))
    assert windows[0] == '& "C:\\Blender 5\\python.exe" -m venv "C:\\Users\\A B\\motion-variations-torch"'


def test_the_choice_of_devices_has_what_was_found_and_what_is_remembered(parts, extension):
    """By torch's own names; a card that can't be used is no choice; text that isn't ours is no devices."""
    devices, device = parts("devices"), extension.pythons.Device
    found = [device("cuda:0", "NVIDIA A (sm_90, 1.0 of 2.0 GB free)"), device("cuda:1", "NVIDIA B", "no code")]
    found.append(device("cpu", "CPU"))
    assert devices.from_text(devices.to_text(found)) == found
    names = [(identifier, name) for identifier, name, _ in devices.choices(found, "auto")]
    assert names == [("AUTO", "Automatic"), ("CUDA:0", "NVIDIA A (cuda:0)"), ("CPU", "Processor")]
    assert devices.choices(found, "cuda:7")[-1][:2] == ("CUDA:7", "CUDA:7 (not found)")
    assert devices.from_text("[1, 2]") == devices.from_text("nonsense") == devices.from_text("") == []
