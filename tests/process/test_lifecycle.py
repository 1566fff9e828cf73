"""A backend process from its start to its end, whichever way that comes.

python -m pytest tests/process/test_lifecycle.py
"""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from scenery import bare_environment, example_motion, is_alive, wait_ready, wait_until

from backend.protocol import write_message

START_LIMIT_S = 1.0  # promised to the user
EXIT_LIMIT_S = 1.0
CANCEL_LIMIT_S = 0.5  # promised to the user
SHORT = {"ping_s": 0.2, "silence_s": 0.4}  # so that a hang is noticed while a test waits


def backend_command(extension) -> list[str]:
    """The command line that the client uses, for tests that hold the pipes themselves."""
    return extension.client.Client()._command()


def run_script(extension, checkpoint, body: str) -> tuple[subprocess.Popen, int]:
    """Run a script that has a `client`; the process and the pid that it prints."""
    script = f"""
        import os, signal, sys, time
        sys.path.insert(0, {os.path.dirname(__file__)!r}); sys.path.insert(0, {os.getcwd()!r})
        from pathlib import Path
        from scenery import example_motion, load_extension, wait_ready
        extension = load_extension(Path({str(extension.folder)!r}))
        client = extension.client.Client(extension.client.Settings(checkpoint={str(checkpoint)!r}))
    """
    source = textwrap.dedent(script) + textwrap.dedent(body)
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


def test_it_starts_answers_and_stops(new_client):
    """The first answer, with all that the panel shows, comes within a second; after `stop` there is no process."""
    client = new_client()
    wait_ready(client)  # the first start may compile the modules
    client.restart()
    wait_ready(client)
    print(f"first answer after {client.ready_s:.3f} s")
    assert client.ready_s < START_LIMIT_S
    assert client.state == "ready" and client.problem is None
    status = client.status
    assert status["engine"] == "numpy" and status["device"] == "CPU, numpy" and status["pid"] == client.pid
    assert status["checkpoint"] == {"name": "tiny.safetensors", "version": "tiny"} and status["problem"] is None
    assert 10 < status["memory_mb"] < 500 and status["python"].startswith(f"{sys.version_info[0]}.")
    pid = client.pid
    client.stop()
    assert client.state == "stopped" and not is_alive(pid)


def test_the_end_of_its_input_ends_it(extension):
    """With status 0, and without a word on stdout."""
    process = subprocess.Popen(backend_command(extension), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.close()
    assert process.wait(10) == 0
    assert process.stdout.read() == b""


def test_the_end_of_its_input_ends_it_in_the_middle_of_a_job(new_client):
    """Nobody is left to hear of the result, so the job isn't finished first."""
    client = new_client()
    wait_ready(client)
    client.submit("encode", example_motion(40_000))
    wait_until(lambda: any(event.kind == "progress" for event in client.poll()))
    process = client._process
    process._outbox.put(None)  # closes the pipe
    assert wait_until(lambda: not is_alive(process.popen.pid)) < EXIT_LIMIT_S
    assert process.popen.wait() == 0


def test_it_does_not_outlive_a_client_that_exits(extension, checkpoint):
    """At the ordinary exit of Python, without `stop`, in the middle of a job."""
    process, pid = run_script(
        extension,
        checkpoint,
        """
        client.submit("encode", example_motion(40_000))
        print(client.pid, flush=True)
        """,
    )
    assert process.wait(20) == 0
    assert not is_alive(pid)


def test_it_does_not_outlive_a_client_that_is_killed(extension, checkpoint):
    """Blender crashes: its end of the pipe closes."""
    process, pid = run_script(
        extension,
        checkpoint,
        """
        wait_ready(client)
        client.submit("encode", example_motion(40_000))
        time.sleep(0.1)
        print(client.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    process.wait(20)
    assert wait_until(lambda: not is_alive(pid)) < EXIT_LIMIT_S


@pytest.mark.parametrize("request_name", ["status", "improve", "encode"])
def test_it_does_not_outlive_a_client_that_does_not_take_the_answer(extension, checkpoint, request_name):
    """Both ends at which it could be heard are closed, its log too: whichever thread answers ends the process."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([*backend_command(extension), "--checkpoint", checkpoint], bufsize=0, **pipes)
    process.stdout.close()
    process.stderr.close()
    write_message(process.stdin, {"id": 1, "request": request_name})
    process.wait(10)


def test_a_kill_in_the_middle_of_a_job_is_explained_and_the_next_request_works(extension, new_client):
    """As the system does when memory runs out."""
    client = new_client()
    job = client.submit("encode", example_motion(40_000))
    wait_until(lambda: any(event.kind == "progress" for event in client.poll()))
    os.kill(client.pid, signal.SIGKILL)
    with pytest.raises(
        extension.client.BackendError, match=r"stopped unexpectedly \(signal 9; out of memory\?\)"
    ) as caught:
        client.wait(job)
    assert caught.value.kind == "backend" and client.problem == str(caught.value) and client.state == "stopped"
    events = client.wait(client.submit("encode", example_motion()))
    assert events[-1].kind == "done" and client.problem is None


def test_a_kill_while_nobody_looks_does_not_spoil_the_next_request(new_client):
    """The request goes to a fresh process, not to the dead one."""
    client = new_client()
    wait_ready(client)
    pid = client.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: client._process.popen.poll() is not None)
    assert client.wait(client.submit("encode", example_motion()))[-1].kind == "done"
    assert client.pid != pid


def test_a_result_that_came_before_the_death_is_not_lost(new_client):
    """The job was done, then the process died, then somebody asked for more."""
    client = new_client()
    job = client.submit("encode", example_motion())
    wait_until(lambda: job.id in client._process.answered)
    os.kill(client.pid, signal.SIGKILL)
    client._process.popen.wait()
    other = client.submit("encode", example_motion())
    assert client.wait(job)[-1].kind == "done" and client.wait(other)[-1].kind == "done"


def test_a_hang_is_noticed_and_explained(extension, new_client):
    """A process that is stopped in the middle of a job answers nothing any more."""
    client = new_client(SHORT)
    wait_ready(client)
    job = client.submit("encode", example_motion(40_000))
    wait_until(lambda: any(event.kind == "progress" for event in client.poll()))
    os.kill(client.pid, signal.SIGSTOP)
    with pytest.raises(extension.client.BackendError, match="has not answered for 0 s and was stopped. Click again."):
        client.wait(job)
    assert client.wait(client.submit("encode", example_motion()))[-1].kind == "done"


def test_a_long_job_is_not_taken_for_a_hang(new_client):
    """While a job computes, the reader still answers whether it lives."""
    client = new_client({"ping_s": 0.02, "silence_s": 0.4})
    started = time.monotonic()
    assert client.wait(client.submit("encode", example_motion(40_000)))[-1].kind == "done"
    assert time.monotonic() - started > 0.5


def test_a_blender_that_was_busy_does_not_blame_the_backend(new_client):
    """Nobody polled for longer than the limits: what has arrived meanwhile counts."""
    client = new_client({**SHORT, "start_s": 0.5})
    job = client.submit("encode", example_motion())
    time.sleep(2.5)
    assert client.wait(job)[-1].kind == "done"


def test_a_python_that_never_answers_is_given_up(extension, new_client, tmp_path):
    """Some program that is no Python, and waits."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    client = new_client({"start_s": 0.3}, python=str(program))
    with pytest.raises(extension.client.BackendError, match="did not answer within 0 s of its start"):
        client.wait(client.submit("encode", example_motion()))


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "No such file"), ("", "can't be run"), ("#!/bin/sh\nexit 7", "exit status 7")]
)
def test_a_python_that_is_none_is_explained(extension, new_client, tmp_path, content, sentence):
    """No file, no program, a program that ends."""
    program = tmp_path / "python"
    if content is not None:
        program.write_text(content)
        program.chmod(0o755 if content else 0o644)
    client = new_client(python=str(program))
    with pytest.raises(extension.client.BackendError, match=sentence):
        client.wait(client.submit("encode", example_motion()))


def test_a_process_that_ends_at_once_is_always_noticed(extension, new_client, tmp_path):
    """However the threads around it are timed."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    client = new_client(python=str(program))
    for _ in range(50):
        with pytest.raises(extension.client.BackendError, match="exit status 7"):
            client.wait(client.submit("encode", example_motion(2)))


def test_a_print_before_the_first_answer_is_harmless_or_explained(extension, new_client, tmp_path):
    """An environment whose start-up file prints: its words are quoted."""
    python = bare_environment(tmp_path / "environment")
    (next((tmp_path / "environment").glob("lib/python*/site-packages")) / "sitecustomize.py").write_text(
        "print('hello')"
    )
    client = new_client(python=str(python))
    with pytest.raises(extension.client.BackendError, match="Expected the start of a message, found 'hello"):
        client.wait(client.submit("encode", example_motion()))
    assert client.state == "stopped"


def test_a_foreign_print_in_the_middle_of_a_job_is_explained_and_the_next_request_works(
    extension, new_client, tmp_path
):
    """A library that kept a handle of stdout from before and writes to it from a thread."""
    python = bare_environment(tmp_path / "environment")
    start_up = next((tmp_path / "environment").glob("lib/python*/site-packages")) / "sitecustomize.py"
    start_up.write_text(
        "import os, threading, time\n"
        "old = os.dup(1)\n"
        f"once = {str(tmp_path / 'printed')!r}\n"
        "def late():\n"
        "    while not os.path.exists(once + '.go'): time.sleep(0.01)\n"
        "    if not os.path.exists(once): open(once, 'w').close(); os.write(old, b'Warning: 1 GPU found')\n"
        "threading.Thread(target=late, daemon=True).start()\n"
    )
    client = new_client(python=str(python))
    job = client.submit("encode", example_motion(40_000))
    wait_until(lambda: any(event.kind == "progress" for event in client.poll()))
    (tmp_path / "printed.go").touch()
    with pytest.raises(extension.client.BackendError, match="Expected the start of a message, found 'Warning: 1 GPU"):
        client.wait(job)
    assert client.wait(client.submit("encode", example_motion()))[-1].kind == "done"


def test_prints_of_a_job_go_to_the_log(extension):
    """From Python, from C, from a child process: stdout is the protocol's alone."""
    script = (
        f"import sys; sys.path.insert(0, {str(extension.folder)!r})\n"
        "from backend.process import claim_streams\n"
        "from backend.protocol import write_message\n"
        "source, sink = claim_streams()\n"
        "import os, subprocess\n"
        "print('from Python'); os.write(1, b'from C\\n'); subprocess.run(['echo', 'from a child'])\n"
        "write_message(sink, {'id': 1, 'stdin': sys.stdin.read()})\n"
    )
    result = subprocess.run([sys.executable, "-c", script], input=b"not for sys.stdin", capture_output=True, timeout=20)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith(b'{"id":1,"stdin":""}') and b"from" not in result.stdout
    assert result.stderr.split(b"\n")[:3] == [b"from Python", b"from C", b"from a child"]


def test_a_flood_on_stderr_blocks_nothing_and_stays_bounded(extension, new_client, tmp_path):
    """Ten megabytes of warnings, one line of them without an end."""
    python = bare_environment(tmp_path / "environment")
    start_up = next((tmp_path / "environment").glob("lib/python*/site-packages")) / "sitecustomize.py"
    start_up.write_text(
        "import os\nfor _ in range(50000): os.write(2, b'x' * 99 + b'\\n')\nos.write(2, b'y' * 5_000_000)\n"
    )
    client = new_client(python=str(python))
    assert client.wait(client.submit("encode", example_motion()))[-1].kind == "done"
    log = client.log()
    assert len(log) <= 500 and max(map(len, log)) <= 500 and any("yyy" in line for line in log)


def test_a_client_that_breaks_the_protocol_is_told_in_the_log(extension):
    """The backend stops with its own exit status; there is no way back into step."""
    command = backend_command(extension)
    result = subprocess.run(command, input=b"GET / HTTP/1.1\r\n\r\n", capture_output=True, timeout=20)
    assert result.returncode == 3 and result.stdout == b""
    assert "found 'GET / HTTP/1.1" in result.stderr.decode()


def test_ctrl_c_in_the_terminal_is_left_to_the_client(new_client):
    """The whole process group gets the signal; the backend waits for what the client decides."""
    client = new_client()
    wait_ready(client)
    os.kill(client.pid, signal.SIGINT)
    assert client.wait(client.submit("encode", example_motion()))[-1].kind == "done"


def test_two_clients_do_not_disturb_each_other(extension, new_client):
    """Two Blenders at once: each has its own process; one is killed, the other goes on."""
    first, second = new_client(), new_client()
    jobs = [client.submit("encode", example_motion(20_000)) for client in (first, second)]
    wait_until(lambda: any(event.kind == "progress" for event in first.poll()))
    assert first.pid != second.pid
    os.kill(first.pid, signal.SIGKILL)
    with pytest.raises(extension.client.BackendError):
        first.wait(jobs[0])
    assert second.wait(jobs[1])[-1].head["frames"] == 20_000


def test_blenders_environment_does_not_reach_the_backend(extension, new_client, tmp_path, monkeypatch):
    """A broken numpy on PYTHONPATH, and secrets in variables."""
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    monkeypatch.setenv("MY_SECRET_TOKEN", "1234")
    client = new_client()
    wait_ready(client)
    with open(f"/proc/{client.pid}/environ", "rb") as file:
        names = {entry.split(b"=")[0].decode() for entry in file.read().split(b"\0") if entry}
    assert names <= set(extension.pythons.KEPT_VARIABLES)


def test_the_extension_may_lie_in_any_folder(extension, checkpoint, tmp_path, monkeypatch):
    """Spaces, quotes, other scripts; and Blender was started in a folder that has a `backend` of its own."""
    import shutil

    from scenery import load_extension

    folder = shutil.copytree(extension.folder, tmp_path / 'it\'s "a" – Földer 骨' / "motion_variations")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backend.py").write_text("raise SystemExit('the wrong backend')")
    other = load_extension(folder)
    client = other.client.Client(other.client.Settings(checkpoint=str(checkpoint)))
    assert client.wait(client.submit("encode", example_motion()))[-1].kind == "done"
    client.stop()


def test_importing_the_backend_needs_numpy_alone(extension, tmp_path):
    """All of its modules but the torch engine, in an environment that has nothing else; and torch is never imported."""
    script = (
        f"import sys; sys.path.insert(0, {str(extension.folder)!r})\n"
        "import importlib, pkgutil, backend\n"
        "for module in pkgutil.walk_packages(backend.__path__, 'backend.'):\n"
        "    if module.name != 'backend.engines.torch_engine': importlib.import_module(module.name)\n"
        "print([name for name in ('torch', 'bpy', 'scipy', 'training') if name in sys.modules])\n"
    )
    for python in (bare_environment(tmp_path / "environment"), sys.executable):
        result = subprocess.run([str(python), "-c", script], capture_output=True, text=True, timeout=60)
        assert result.stdout.strip() == "[]", result.stderr
