"""What can be wrong with weights, Python and process: each ends in a sentence, changes nothing, leaves no process."""

import os
import signal
import stat
import subprocess
import sys
import time
import venv
from pathlib import Path

import numpy as np
import pytest

from tests.blender.stage import (
    advance_to,
    contents,
    finish,
    is_running,
    module,
    refused,
    start_resample,
    walker,
    works,
)

STAGES = (
    "Starting",
    "Reading the animation",
    "Sending",
    "Waiting for the backend",
    "Variation 1",
    "Variation 2",
    "Writing action 2",
)


@pytest.fixture
def checkpoint(extension):
    """The installed weights file; whatever a test does to it is undone."""
    path = extension / "backend" / "checkpoints" / "motion_variations.safetensors"
    content = path.read_bytes()
    module("connection").stop()
    yield path
    path.write_bytes(content)
    module("connection").stop()


def test_a_missing_checkpoint(operators, checkpoint):
    """The sentence says what to do; with the file back the next click works."""
    content = checkpoint.read_bytes()
    checkpoint.unlink()
    walker()
    refused(operators, "There is no checkpoint .*Install the extension again")
    checkpoint.write_bytes(content)
    works(operators)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:4],
        lambda content: b"",
        lambda content: b"PK\x03\x04 not weights at all" * 100,
        lambda content: (2).to_bytes(8, "little") + b"{}",
    ],
    ids=["half", "four bytes", "empty", "a zip", "another safetensors file"],
)
def test_a_damaged_or_foreign_checkpoint(operators, checkpoint, damage):
    """Cut short, empty, or some other file."""
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(damage(content))
    walker()
    refused(operators, "isn't one of Motion Variations, or is damaged", verbs=("encode", "resample"))
    checkpoint.write_bytes(content)
    works(operators)


@pytest.fixture
def preferences(extension):
    """The extension's preferences; afterwards the NumPy engine is chosen again."""
    chosen = module("preferences").preferences()
    yield chosen
    chosen.engine, chosen.python_path = "NUMPY", ""


def test_a_python_without_torch(operators, preferences, tmp_path):
    """The check says that torch is missing; what a click does then is in `test_torch_setup`."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = tmp_path / "bare" / "bin" / "python"
    site = next((tmp_path / "bare").glob("lib/python*/site-packages"))
    numpy_folder = Path(np.__file__).parent
    (site / "numpy").symlink_to(numpy_folder)
    if (numpy_folder.parent / "numpy.libs").is_dir():
        (site / "numpy.libs").symlink_to(numpy_folder.parent / "numpy.libs")
    preferences.engine, preferences.python_path = "TORCH", str(python)
    walker()
    with pytest.raises(RuntimeError, match="has no torch. Install it there"):
        operators.check_python()
    assert "has no torch" in preferences.check_result
    preferences.engine = "NUMPY"
    works(operators)


@pytest.mark.parametrize("kind", ["nothing", "a folder", "a text", "a program that fails", "a program that hangs up"])
def test_a_python_that_is_none(operators, preferences, tmp_path, kind):
    """A wrong path, and programs that aren't Python."""
    path = tmp_path / "python"
    if kind == "a folder":
        path.mkdir()
    elif kind != "nothing":
        lines = {"a text": "no program", "a program that fails": "#!/bin/sh\necho broken >&2\nexit 7\n"}
        path.write_text(lines.get(kind, "#!/bin/sh\nexec true\n"))
        if kind != "a text":
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
    preferences.engine, preferences.python_path = "TORCH", str(path)
    walker()
    before = contents()
    with pytest.raises(RuntimeError) as caught:
        operators.check_python()
    assert "Something unexpected" not in str(caught.value)
    assert operators.encode() == {"FINISHED"}  # by NumPy
    assert contents() == before
    preferences.engine = "NUMPY"
    works(operators)


def test_a_backend_that_is_killed(operators):
    """In the middle of a job, and between two."""
    walker()
    before = contents()
    start_resample()
    advance_to("Waiting for the backend")
    os.kill(module("connection").client().pid, signal.SIGKILL)
    with pytest.raises(module("session").UserError, match="stopped unexpectedly.*Click again"):
        finish()
    assert contents() == before
    operators.encode()
    os.kill(module("connection").client().pid, signal.SIGKILL)
    time.sleep(0.1)
    works(operators)


def test_a_backend_that_hangs(operators):
    """It is stopped after a named time, and explained."""
    client = module("connection").client()
    limits = client.limits
    client.limits = type(limits)(ping_s=0.2, silence_s=0.3)
    try:
        operators.encode.poll()
        walker()
        operators.encode()
        pid = client.pid
        before = contents()
        os.kill(pid, signal.SIGSTOP)
        start_resample()
        with pytest.raises(module("session").UserError, match="has not answered.*Click again"):
            finish(limit_s=10)
        assert contents() == before
        assert not is_running(pid)
    finally:
        client.limits = limits
    works(operators)


@pytest.mark.skipif(sys.platform != "linux", reason="writes into the process's pipe through /proc")
def test_a_backend_that_prints_in_the_middle_of_a_message(operators):
    """Foreign bytes on its output end it; they are quoted."""
    walker()
    operators.encode()
    client = module("connection").client()
    pid = client.pid
    before = contents()
    os.kill(pid, signal.SIGSTOP)
    start_resample()
    advance_to("Waiting for the backend")
    with open(output_of(pid), "wb", buffering=0) as pipe:
        pipe.write(b"Hello from a library\n")
    with pytest.raises(module("session").UserError, match="answer can't be read.*Hello from a library"):
        finish(limit_s=10)
    assert contents() == before
    assert not is_running(pid)
    works(operators)


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_at_every_stage(operators, stage):
    """Within half a second; nothing has changed; the next click works."""
    session = module("session")
    walker()
    before = contents()
    start_resample(count=2)
    advance_to(stage)
    operators.cancel()
    started_s = time.monotonic()
    with pytest.raises(session.Cancelled, match="cancelled. Nothing was changed"):
        session.advance()
    assert time.monotonic() - started_s < 0.5
    assert contents() == before
    works(operators)


def test_cancel_of_a_backend_that_does_not_listen(operators):
    """The click is over at once; the process is killed behind it, and the next click gets a new one."""
    walker()
    operators.encode()
    pid = module("connection").client().pid
    before = contents()
    os.kill(pid, signal.SIGSTOP)
    start_resample()
    advance_to("Waiting for the backend")
    started_s = time.monotonic()
    operators.cancel()
    with pytest.raises(module("session").Cancelled):
        module("session").advance()
    assert time.monotonic() - started_s < 0.5
    assert contents() == before
    works(operators)
    assert not is_running(pid)


@pytest.mark.parametrize("stage", STAGES)
def test_a_file_is_opened_while_a_job_runs(operators, stage, tmp_path):
    """The job ends, the file is as it was saved, the backend has nothing to do and takes the next click."""
    import bpy

    walker()
    path = str(tmp_path / "walk.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    before = contents()
    start_resample(count=2)
    advance_to(stage)
    bpy.ops.wm.open_mainfile(filepath=path)
    session = module("session")
    assert session.job is None
    assert "another file was opened" in session.message
    assert contents() == before
    bpy.context.view_layer.objects.active = bpy.data.objects["walker"]
    assert operators.resample(count=1, seed=1) == {"FINISHED"}
    bpy.ops.wm.open_mainfile(filepath=path)
    assert session.message == ""


def test_a_file_is_closed_while_a_job_runs(tmp_path, extension):
    """Blender quits in the middle of a job: no backend process is left behind."""
    script = tmp_path / "quits.py"
    script.write_text(
        "import sys\n"
        "from tests.blender import stage\n"
        "stage.install(); stage.fresh_file(); stage.walker(); stage.start_resample()\n"
        "stage.advance_to('Waiting for the backend')\n"
        "print('pid', stage.module('connection').client().pid, flush=True)\n"
        "import os; os._exit(0) if sys.argv[1] == 'crash' else sys.exit(0)\n"
    )
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    for way in ("crash", "quit"):
        result = subprocess.run(
            [sys.executable, str(script), way], env=environment, cwd=root, capture_output=True, text=True, timeout=180
        )
        pid = int(result.stdout.split("pid ")[1].split()[0])
        end = time.monotonic() + 10
        while is_running(pid) and time.monotonic() < end:
            time.sleep(0.02)
        assert not is_running(pid), f"after a {way}"


def output_of(pid: int) -> str:
    """The path of the pipe on which the process sends its messages: the only one that isn't stdin, stdout or stderr."""
    folder = Path(f"/proc/{pid}/fd")
    names = {int(entry.name): os.readlink(entry) for entry in folder.iterdir()}
    flags = {number: int(Path(f"/proc/{pid}/fdinfo/{number}").read_text().split()[3], 8) for number in names}
    log = names.get(2)
    pipes = [
        number for number, name in names.items()
        if name.startswith("pipe:") and name != log and number > 2 and flags[number] & os.O_WRONLY
    ]  # fmt: skip
    assert len(pipes) == 1, names
    return str(folder / str(pipes[0]))
