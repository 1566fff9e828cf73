"""Owns the backend process: start, ask, progress, cancel, stop. No bpy in here; it works and is tested without Blender.

All methods are for one thread (Blender's main one) and none of them waits, except `wait`, `stop` and what needs them. A
process that dies, hangs or prints between its messages is explained in a sentence; the next request starts a fresh one.

    job = client.submit("resample", motion_to_arrays(motion), settings={...}, seeds=[1, 2, 3])
    for event in client.poll(): ...          from a timer, or
    events = client.wait(job, progress)      where nothing else has to go on
"""

import atexit
import itertools
import os
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from . import backend
from .backend.protocol import FINAL_EVENTS, Message, MessageTooLarge, encode_message
from .process import LOG_LINES, BackendProcess, ProcessEnd
from .pythons import check_python, default_python  # noqa: F401

# `backend` comes in under its own name and its folder leaves the path again: the add-on's modules stay out of reach.
BOOTSTRAP = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); import backend; del sys.path[0]\n"
    "from backend.__main__ import main; sys.exit(main())"
)
QUOTED_LOG_LINES = 3  # of a process that died, in the sentence about it
WAKE_S = 0.05  # how often `wait` looks after the limits while nothing arrives
POLL_GAP_S = 2.0  # nobody polled for so long: Blender was busy or the machine slept, and the backend isn't to blame

_clients = weakref.WeakSet()


@dataclass(frozen=True)
class Settings:
    """Which backend to run.

    `python`: None for Blender's own. `checkpoint`: None for the one that ships. `characters`: the folder of what was
    learnt of characters, None for none.
    """

    engine: str = "numpy"
    device: str = "auto"
    python: str | None = None
    checkpoint: str | None = None
    characters: str | None = None


@dataclass(frozen=True)
class Limits:
    """How long the client waits, in seconds, before it takes things into its own hands."""

    start_s: float = 120.0  # to the first answer; torch with CUDA from a cold disk takes up to a minute
    cancel_s: float = 0.35  # from a cancel to the end of the job; then the process is killed
    ping_s: float = 5.0  # of silence during a job before the backend is asked whether it lives
    silence_s: float = 20.0  # without an answer to that
    stop_s: float = 0.5  # for a process that was asked to end


class BackendError(Exception):
    """A request that failed; the text is a sentence for the user. `kind`: "user", "internal" or "backend"."""

    def __init__(self, message: str, kind: str = "backend"):
        super().__init__(message)
        self.kind = kind


class JobCancelled(Exception):
    """The job that was waited for has been cancelled."""


@dataclass(eq=False)
class Job:
    """A request on its way. `state`: "running", then "done", "cancelled" or "error"."""

    id: int
    request: str
    state: str = "running"
    fraction: float = 0.0
    text: str = ""
    cancelling: bool = False

    @property
    def finished(self) -> bool:
        """Whether its final event has been seen."""
        return self.state != "running"


@dataclass(frozen=True)
class Event:
    """What became of a job. `kind`: "progress", "variation", and at the end "done", "cancelled" or "error"."""

    job: Job
    kind: str
    head: dict = field(default_factory=dict)
    arrays: dict = field(default_factory=dict)


class Client:
    """A backend process and the jobs that were given to it.

    Attributes:
        settings, limits: see there; change settings with `use`.
        status: what the backend last said of itself, or None.
        problem: why the last process ended against our will, as a sentence, or None.
        ready_s: how long the process took from its start to its first answer, or None.
    """

    def __init__(self, settings: Settings | None = None, limits: Limits | None = None):
        self.settings, self.limits = settings or Settings(), limits or Limits()
        self.status = self.problem = self.ready_s = None
        self._log = deque(maxlen=LOG_LINES)
        self._wake = threading.Event()  # something arrived
        self._process = None
        self._numbers = itertools.count(1)
        self._jobs = {}  # id -> Job that isn't finished
        self._pings = set()  # ids of our own status requests
        self._pinged_s = None  # when the backend was asked whether it lives
        self._polled_s = time.monotonic()
        self._unwatched_s = 0.0  # of the process's start, in which nobody polled
        self._held = []  # events that `wait` passed over
        _clients.add(self)

    @property
    def state(self) -> str:
        """ "stopped", "starting", "ready" or "busy", as far as `poll` has seen."""
        if self._process is None:
            return "stopped"
        if self.ready_s is None:
            return "starting"
        return "busy" if self._jobs else "ready"

    @property
    def pid(self) -> int | None:
        """The process, or None."""
        return None if self._process is None else self._process.popen.pid

    def log(self) -> list[str]:
        """The last lines that the backend printed, over all of its lives."""
        return list(self._log)

    def use(self, settings: Settings) -> None:
        """Take other settings; a process that runs with the old ones is stopped, and its jobs end in error."""
        if settings != self.settings:
            self.stop()
            self.settings = settings

    def start(self) -> None:
        """Start the process, unless it runs. Its first answer comes through `poll`.

        Raises:
            BackendError: there is no such Python.
        """
        if self._process is not None:
            return
        command = self._command()
        self._log.append(f"Starting {command[0]}, engine {self.settings.engine}")
        try:
            self._process = BackendProcess(command, self._log, self._wake)
        except OSError as error:
            sentence = f"{command[0]} can't be run ({error.strerror}). Choose another Python in the preferences."
            raise BackendError(sentence) from None
        self.status = self.problem = self.ready_s = self._pinged_s = None
        self._polled_s, self._unwatched_s = time.monotonic(), 0.0
        self._ping()

    def submit(self, request: str, arrays=None, **fields) -> Job:
        """Ask for something (see `backend.protocol`); starts the process if there is none. Never waits.

        Raises:
            BackendError: the motion is too large, or the process can't be started.
        """
        job = Job(next(self._numbers), request)
        try:
            buffers = encode_message({"id": job.id, "request": request, **fields}, arrays)
        except MessageTooLarge as error:
            raise BackendError(str(error), "user") from None
        self._drop_dead()
        self.start()
        self._jobs[job.id] = job
        self._process.send(buffers)
        return job

    def poll(self) -> list[Event]:
        """What has happened since the last call, in order. Never waits; for a timer, while anything is under way."""
        events, self._held = self._held, []
        while self._process is not None and not self._process.inbox.empty():
            item = self._process.inbox.get()
            events += self._ended(item) if isinstance(item, ProcessEnd) else self._received(item)
        self._look_after()
        return events

    def wait(self, job: Job, progress=None) -> list[Event]:
        """Wait for a job's end; its variations and, last, its `done`.

        Args:
            progress: called with (fraction, text); may cancel the job.

        Raises:
            BackendError: it failed. JobCancelled: it was cancelled.
        """
        results, others = [], []
        try:
            while not (results and results[-1].kind in FINAL_EVENTS):
                self._wake.wait(WAKE_S)
                self._wake.clear()
                for event in self.poll():
                    if event.job is not job:
                        others.append(event)
                    elif event.kind != "progress":
                        results.append(event)
                    elif progress is not None:
                        progress(event.head["fraction"], event.head["text"])
                if job.finished and not (results and results[-1].kind in FINAL_EVENTS):
                    raise RuntimeError(f"The end of the job '{job.request}' was taken by an earlier poll or wait.")
        except BaseException:  # Ctrl-C, or the caller's progress failed: nobody will ask for the result any more
            self.cancel(job)
            raise
        finally:
            self._held += others
        final = results[-1]
        if final.kind == "cancelled":
            raise JobCancelled
        if final.kind == "error":
            raise BackendError(final.head["message"], final.head["kind"])
        return results

    def cancel(self, job: Job) -> None:
        """Stop a job: its next and last event is `cancelled`, at the latest when `limits.cancel_s` have passed."""
        if job.finished or job.cancelling:
            return
        job.cancelling = True
        process = self._process
        number = next(self._numbers)
        self._pings.add(number)
        process.send(encode_message({"id": number, "request": "cancel", "target": job.id}))

        def overdue():
            if job.id not in process.answered:
                process.kill("The backend was started again because a cancelled job did not stop. Click again.")

        timer = threading.Timer(self.limits.cancel_s, overdue)
        timer.daemon = True
        timer.start()

    def stop(self) -> None:
        """End the process and wait until it is gone; what it had to do ends in error at the next `poll`."""
        process, self._process = self._process, None
        if process is not None:
            process.stop(self.limits.stop_s)
            self._held += self._abandon("The backend was stopped. Click again to start it.")

    def restart(self) -> None:
        """Stop, and start afresh."""
        self.stop()
        self.start()

    def _command(self) -> list[str]:
        """The command line of the process: isolated, unbuffered, no shell."""
        settings = self.settings
        folder = str(Path(backend.__file__).resolve().parent.parent)
        python = os.path.expanduser(settings.python) if settings.python else default_python()
        command = [python, "-I", "-u", "-X", "utf8", "-c", BOOTSTRAP, folder]
        command += ["--engine", settings.engine, "--device", settings.device]
        for option, path in (("--checkpoint", settings.checkpoint), ("--characters", settings.characters)):
            command += [option, os.path.abspath(path)] if path else []
        return command

    def _ping(self) -> None:
        """Ask the backend for its status."""
        number = next(self._numbers)
        self._pings.add(number)
        self._process.send(encode_message({"id": number, "request": "status"}))

    def _received(self, message: Message) -> list[Event]:
        """The event of a message: one, or none where it answers ourselves or a job that is being cancelled."""
        number, kind = message.head.get("id"), message.head.get("event")
        if number in self._pings:
            self._pings.discard(number)
            self._pinged_s = None
            if "engine" in message.head:
                self.status = message.head
            if self.ready_s is None:
                self.ready_s = self._process.answered_s - self._process.started_s
            return []
        job = self._jobs.get(number)
        if job is None:
            return []
        if kind in FINAL_EVENTS:
            return [self._finish(job, kind, message.head, message.arrays)]
        if kind == "progress":
            job.fraction, job.text = message.head["fraction"], message.head["text"]
        return [] if job.cancelling else [Event(job, kind, message.head, message.arrays)]

    def _finish(self, job, kind, head, arrays=None) -> Event:
        """A job's last event. Whatever a cancelled job came to, it counts as cancelled."""
        del self._jobs[job.id]
        job.state = "cancelled" if job.cancelling else kind
        return Event(job, "cancelled") if job.cancelling else Event(job, kind, head, arrays or {})

    def _abandon(self, sentence) -> list[Event]:
        """The last events of all jobs of a process that is gone."""
        self._pings.clear()
        head = {"event": "error", "kind": "backend", "message": sentence}
        return [self._finish(job, "error", head) for job in list(self._jobs.values())]

    def _ended(self, end: ProcessEnd) -> list[Event]:
        """The process is gone and we didn't stop it by `stop`: explain, and be warm again after a cancel."""
        process, self._process = self._process, None
        cancelled = any(job.cancelling for job in self._jobs.values())
        sentence = end.reason or self._last_words(end.status)
        self._log.append(sentence)
        events = self._abandon(sentence)
        process.stop(self.limits.stop_s)
        self.problem = sentence
        if cancelled:
            try:
                self.start()
            except BackendError as error:
                self.problem = str(error)
        return events

    def _last_words(self, status) -> str:
        """What to say of a process that ended by itself."""
        how = f"exit status {status}"
        if status < 0:
            how = f"signal {-status}; out of memory?" if status == -9 else f"signal {-status}"
        # A traceback's indented lines say nothing to the user; its last one does.
        lines = [line for line in list(self._log)[-QUOTED_LOG_LINES:] if line and not line.startswith(" ")]
        said = f" It said: {' / '.join(lines)}" if lines else ""
        return f"The backend stopped unexpectedly ({how}). Click again to start it afresh.{said}"

    def _look_after(self) -> None:
        """Kill a process that doesn't answer; the reason comes back as its end."""
        now, process, limits = time.monotonic(), self._process, self.limits
        gap_s, self._polled_s = now - self._polled_s, now
        if process is None:
            return
        if gap_s > POLL_GAP_S:
            self._unwatched_s += gap_s
            self._pinged_s = None if self._pinged_s is None else self._pinged_s + gap_s
        if self.ready_s is None:
            if now - process.started_s - self._unwatched_s > limits.start_s:
                waited = f"within {limits.start_s:.0f} s of its start"
                process.kill(f"The backend did not answer {waited} and was stopped. Click again.")
        elif self._pinged_s is not None:
            if now - self._pinged_s > limits.silence_s:
                process.kill(f"The backend has not answered for {limits.silence_s:.0f} s and was stopped. Click again.")
        elif self._jobs and now - process.heard_s > limits.ping_s:
            self._pinged_s = now
            self._ping()

    def _drop_dead(self) -> None:
        """Take in the end of a process that died while nobody looked, so that the next request doesn't go to it."""
        if self._process is not None and self._process.popen.poll() is not None:
            self._process.stop(self.limits.stop_s)  # all that it said is in the inbox then, its end last
            self._held = self.poll()


@atexit.register
def _stop_all() -> None:
    """No process outlives Blender."""
    for client in list(_clients):
        client.stop()
