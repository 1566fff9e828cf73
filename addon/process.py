"""One life of the backend process: its pipes, and the threads that keep them moving. No bpy in here.

Nothing here waits for the process except `stop`: one thread reads replies into an inbox, one writes requests from an
outbox, one keeps what the process prints. A process that prints between its messages is killed, for there is no way
back into step.
"""

import queue
import subprocess
import threading
import time
from collections import deque
from dataclasses import dataclass

from .backend.protocol import FINAL_EVENTS, ProtocolError, quote_bytes, read_message
from .pythons import process_options

LOG_LINES = 500
LOG_LINE_LENGTH = 500
EXIT_S = 0.5  # for a process that closed its output to end, and for the last lines of its log


@dataclass(frozen=True)
class ProcessEnd:
    """The end of a process: its exit status and, where it was our decision or its fault, the reason."""

    status: int
    reason: str | None


class BackendProcess:
    """A running backend.

    Args:
        command: its command line. log: takes the lines that it prints. wake: set whenever something arrives.

    Attributes:
        started_s, answered_s, heard_s: when it was started, first and last heard of (monotonic seconds).
        inbox: `Message`s, and at last one `ProcessEnd`.
        answered: ids of requests that have their final reply, ahead of the inbox being read.

    Raises:
        OSError: there is no such program.
    """

    def __init__(self, command: list[str], log: deque, wake: threading.Event):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.popen = subprocess.Popen(command, bufsize=0, **pipes, **process_options())
        self.started_s = self.heard_s = time.monotonic()
        self.answered_s = None
        self.reason = None  # why we killed it
        self.answered = set()  # ids with a final reply
        self.inbox = queue.SimpleQueue()  # Message, and at last one ProcessEnd
        self._outbox = queue.SimpleQueue()  # lists of buffers; None closes the pipe
        self._log, self._wake = log, wake
        work = (self._keep_log, self._write, self._read)
        self._threads = [threading.Thread(target=target, daemon=True) for target in work]
        self._log_keeper = self._threads[0]
        for thread in self._threads:  # the reader last: it waits for the log's last lines
            thread.start()

    def send(self, buffers) -> None:
        """Queue a message; never waits."""
        self._outbox.put(buffers)

    def kill(self, reason=None) -> None:
        """End the process now. The `ProcessEnd` follows in the inbox."""
        self.reason = self.reason or reason
        self.popen.kill()

    def stop(self, limit_s) -> None:
        """Let the process end by itself, or kill it after `limit_s`; it is gone when this returns."""
        self._outbox.put(None)
        try:
            self.popen.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        for thread in self._threads:
            thread.join(limit_s)

    def _read(self) -> None:
        """Thread: replies into the inbox."""
        with self.popen.stdout as stdout:
            try:
                while (message := read_message(stdout)) is not None:
                    self.heard_s = time.monotonic()
                    self.answered_s = self.answered_s or self.heard_s
                    if message.head.get("event") in FINAL_EVENTS:
                        self.answered.add(message.head.get("id"))
                    self.inbox.put(message)
                    self._wake.set()
            except (ProtocolError, MemoryError, OSError) as error:
                why = str(error) or "Memory ran out."
                self.kill(f"The backend's answer can't be read. {why} Click again to start it afresh.")
                self._log.append(f"Also on its output: {quote_bytes(stdout.read() or b'')}")
        try:
            status = self.popen.wait(EXIT_S)
        except subprocess.TimeoutExpired:  # closed its output, but lives: of no use any more
            self.popen.kill()
            status = self.popen.wait()
        self._outbox.put(None)
        self._log_keeper.join(EXIT_S)  # so that its last words are in the log
        self.inbox.put(ProcessEnd(status, self.reason))
        self._wake.set()

    def _write(self) -> None:
        """Thread: requests out; closing the pipe is what asks the process to end."""
        try:
            with self.popen.stdin as stdin:
                while (buffers := self._outbox.get()) is not None:
                    for buffer in buffers:
                        view, written = memoryview(buffer), 0
                        while written < len(view):
                            written += stdin.write(view[written:])
        except OSError:
            pass  # the process is gone; the reader reports it

    def _keep_log(self) -> None:
        """Thread: stderr into the log, whatever its amount, in lines of bounded length."""
        rest = b""
        with self.popen.stderr as stderr:
            while piece := stderr.read(2**16):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._append_line(line)
                if len(rest) > LOG_LINE_LENGTH:
                    self._append_line(rest)
                    rest = b""
        if rest:
            self._append_line(rest)

    def _append_line(self, line) -> None:
        """One line of the log."""
        self._log.append(line[:LOG_LINE_LENGTH].decode("utf-8", "replace").rstrip())
