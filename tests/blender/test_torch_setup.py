"""Setting up the torch engine in the preferences: find, check, choose, fall back, give memory back."""

import importlib.util
import sys
import time

import pytest

from tests.blender.stage import advance_to, contents, finish, is_running, module, walker
from tests.process.scenery import bare_environment

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="this Python has no torch")


@pytest.fixture
def preferences(extension):
    """The extension's preferences; afterwards they are as at first."""
    chosen = module("preferences").preferences()
    yield chosen
    chosen.engine, chosen.python_path, chosen.device_name, chosen.idle_minutes = "NUMPY", "", "auto", 5.0
    chosen.found.clear()


@pytest.fixture
def computer(tmp_path, monkeypatch):
    """A home folder: an environment without torch, a program that hangs, one that prints; nothing else is found."""
    home = tmp_path / "home"
    bare_environment(home / "project" / ".venv")
    for name, script in (("hangs", "sleep 60"), ("prints", "while :; do echo garbage; done")):
        program = home / "venvs" / name / "bin" / "python"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    places, search = module("python_places"), module("python_search")
    monkeypatch.setattr(search, "this_machine", lambda: places.Machine("linux", home, {}, tmp_path / "root"))
    return home


def start_search():
    """The job of *Find Pythons*, as a click starts it."""
    chosen, tasks = module("preferences").preferences(), module("torch_tasks")
    return module("session").start("Find Pythons", "PREFERENCES", tasks.find_pythons(chosen))


def test_pythons_are_found_tried_and_listed_and_what_cannot_be_used_says_why(operators, preferences, computer):
    """An environment without torch, a program that hangs, one that floods: a line each; none can be chosen."""
    search = module("python_search")
    kept = search.Search.__init__.__defaults__
    search.Search.__init__.__defaults__ = (None, (), 3.0, 3)
    try:
        with pytest.raises(RuntimeError, match="None of the 3 Pythons that were found has a torch that can be used"):
            operators.find_pythons()
    finally:
        search.Search.__init__.__defaults__ = kept
    lines = {line.path.removeprefix(str(computer)): line for line in preferences.found}
    assert set(lines) == {"/project/.venv/bin/python3", "/venvs/hangs/bin/python", "/venvs/prints/bin/python"}
    version = ".".join(map(str, sys.version_info[:3]))
    assert lines["/project/.venv/bin/python3"].line == f"Python {version} has no torch."
    assert "did not answer within 3 s" in lines["/venvs/hangs/bin/python"].sentence
    assert "prints without end" in lines["/venvs/prints/bin/python"].sentence
    assert preferences.found[0].path.endswith(".venv/bin/python3"), "what answers stands first"
    preferences.found_index = 0
    assert preferences.python_path == ""
    assert preferences.command_for == "AUTO" and str(computer) in module("torch_panel").command_of(preferences)[0]


def test_a_search_is_cancelled_at_once_and_leaves_no_process(operators, preferences, computer):
    """While a program that never answers is being tried."""
    start_search()
    advance_to("1 of")
    operators.cancel()
    started_s = time.monotonic()
    with pytest.raises(module("session").Cancelled):
        module("session").advance()
    assert time.monotonic() - started_s < 0.5
    assert operators.find_pythons.poll() and module("session").job is None


@needs_torch
@pytest.mark.torch
def test_a_python_of_the_list_is_chosen_and_runs(operators, preferences, tmp_path, monkeypatch):
    """Found by its environment's variable, chosen by its line; its device is chosen, remembered, and named."""
    places, search = module("python_places"), module("python_search")
    machine = places.Machine("linux", tmp_path, {"VIRTUAL_ENV": sys.prefix}, tmp_path)
    monkeypatch.setattr(search, "this_machine", lambda: machine)
    preferences.engine = "TORCH"
    assert operators.find_pythons() == {"FINISHED"}
    line = preferences.found[0]
    assert line.usable and "torch" in line.line
    preferences.found_index = 0
    assert preferences.python_path == line.path and preferences.check_result == line.sentence
    preferences.device = "CPU"
    assert preferences.device_name == "cpu"
    walker()
    assert operators.encode() == {"FINISHED"}
    connection = module("connection")
    assert connection.last_status()["device"].startswith("CPU, torch") and connection.notice() == ""
    preferences.device_name = "cuda:5"
    assert preferences.device == "CUDA:5", "a card that isn't there any more stays chosen"
    connection.stop()
    assert operators.resample(count=1, seed=1) == {"FINISHED"}
    assert "can't use the device 'cuda:5'" in module("session").message
    assert connection.last_status()["device"].startswith("CPU, torch")


@pytest.mark.parametrize("kind", ["none is named", "it is gone", "it prints garbage", "it dies", "it has no torch"])
def test_numpy_does_what_torch_cannot_and_says_so(operators, preferences, tmp_path, kind):
    """Whatever is wrong with the Python: the click works, and its sentence names the reason."""
    path = tmp_path / "python"
    scripts = {"it prints garbage": "echo garbage; sleep 60", "it dies": "echo no library >&2; exit 5"}
    if kind in scripts:
        path.write_text(f"#!/bin/sh\n{scripts[kind]}\n")
        path.chmod(0o755)
    elif kind == "it has no torch":
        path = bare_environment(tmp_path / "environment")
    preferences.engine, preferences.python_path = "TORCH", "" if kind == "none is named" else str(path)
    armature = walker()
    assert operators.encode() == {"FINISHED"}
    assert operators.resample(count=2, seed=1) == {"FINISHED"}
    assert len(armature.motion_variations.rows) == 3
    message, connection = module("session").message, module("connection")
    reason = {
        "none is named": "None is named.",
        "it is gone": "can't be run (No such file or directory)",
        "it prints garbage": "answer can't be read",
        "it dies": "exit status 5",
        "it has no torch": "has no torch",
    }[kind]
    assert "NumPy does the work, because PyTorch can't" in message and reason in message
    assert "Click again" not in message
    assert connection.last_status()["engine"] == "numpy" and connection.notice() in message
    preferences.engine = "NUMPY"
    assert connection.notice() == ""


@needs_torch
@pytest.mark.torch
def test_a_torch_that_dies_in_the_middle_of_a_job_is_followed_by_numpy(operators, preferences):
    """As a driver's crash does: the job goes on, no variation comes twice."""
    import os
    import signal

    preferences.engine, preferences.python_path = "TORCH", sys.executable
    armature = walker()
    operators.encode()
    from tests.blender.stage import start_resample

    start_resample(count=3)
    advance_to("Waiting for the backend")
    os.kill(module("connection").client().pid, signal.SIGKILL)
    sentence = finish()
    assert "NumPy does the work, because PyTorch can't. The backend stopped unexpectedly" in sentence
    assert [row.seed for row in armature.motion_variations.rows][1:] == [3, 4, 5]
    operators.restart_backend()
    assert module("connection").last_status()["engine"] == "torch"


def test_memory_is_given_back_when_idle_and_the_next_click_works(operators, preferences):
    """After a short time the process is gone, the panel says so, and nothing else has changed."""
    connection, idle = module("connection"), module("idle")
    walker()
    operators.encode()
    pid = connection.client().pid
    preferences.idle_minutes = 0.0
    idle.look()
    assert is_running(pid), "0 keeps it"
    preferences.idle_minutes = 0.02
    idle.look()
    assert is_running(pid), "it was used just now"
    before = contents()
    time.sleep(1.3)
    idle.look()
    assert not is_running(pid) and contents() == before
    assert connection.state_words() == "Memory was given back. The next click starts it."
    assert connection.last_status() is None
    assert operators.encode() == {"FINISHED"}
    assert connection.state_words() == "Ready" and connection.client().pid != pid


def test_memory_is_kept_while_a_job_runs(operators, preferences):
    """However long it takes."""
    from tests.blender.stage import start_resample

    walker()
    operators.encode()
    start_resample(count=1)
    advance_to("Waiting for the backend")
    preferences.idle_minutes = 0.0001
    time.sleep(0.1)
    module("idle").look()
    assert module("connection").client().state == "busy"
    finish()


def test_the_command_is_copied_and_is_text_alone(operators, preferences, capfd):
    """For every kind of computer; nothing is started."""
    for kind, index in (("CUDA", "whl/cu130"), ("ROCM", "whl/rocm7.2"), ("CPU", "whl/cpu"), ("MPS", "install torch")):
        preferences.command_for = kind
        assert operators.copy_command() == {"FINISHED"}
        printed = capfd.readouterr().out
        assert "-m venv" in printed and index in printed
