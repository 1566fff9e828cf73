"""Runs a program that may be anything for a short time: it may hang, flood, or leave children behind. No bpy."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

MAX_OUTPUT = 2**20  # bytes that are kept of each stream; a program that prints more is ended
LOOK_S = 0.02
DRAIN_S = 0.5  # for the last bytes of a program that has ended; a child of its may keep the pipe open for ever


@dataclass(frozen=True)
class Trial:
    """What a program printed, and why it was ended: "late", "stopped", "flood", or "" where it ended by itself."""

    output: bytes
    errors: bytes
    ended: str = ""


def try_program(command: list[str], limit_s: float, stop: threading.Event | None = None, **options) -> Trial:
    """Runs a program for at most `limit_s`, or until `stop` is set; neither it nor its children live on.

    Args:
        options: for `subprocess.Popen`.

    Raises:
        OSError: it can't be run.
    """
    if sys.platform != "win32":
        options["start_new_session"] = True  # one group, so that its children end with it
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, bufsize=0, **pipes, **options)
    kept, flood = (bytearray(), bytearray()), threading.Event()
    streams = zip((process.stdout, process.stderr), kept, strict=True)
    threads = [threading.Thread(target=_keep, args=(*pair, flood), daemon=True) for pair in streams]
    for thread in threads:
        thread.start()
    end, ended = time.monotonic() + limit_s, ""
    while not ended and process.poll() is None:
        if stop is not None and stop.is_set():
            ended = "stopped"
        elif flood.is_set():
            ended = "flood"
        elif time.monotonic() > end:
            ended = "late"
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_S)
    ended = "flood" if flood.is_set() else ended  # it may have died of its closed output
    _end(process)
    for thread in threads:
        thread.join(DRAIN_S)
    return Trial(*(bytes(stream) for stream in kept), ended)


def _keep(stream, kept, flood) -> None:
    """Thread: what is printed, up to a limit."""
    with stream, contextlib.suppress(OSError, ValueError):
        while piece := stream.read(2**16):
            kept += piece[: MAX_OUTPUT - len(kept)]
            if len(kept) >= MAX_OUTPUT:
                flood.set()
                return


def _end(process) -> None:
    """The program is gone, and, where it had to be ended, what it has started as well."""
    if process.poll() is not None:
        return
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
