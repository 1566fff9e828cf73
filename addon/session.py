"""The one job that may run: its steps, its progress, how it ends. Knows no panels and no windows.

A job is a generator that does a little work between its yields, on Blender's main thread. A modal operator advances it
a few times a second; a script's call advances it to the end. Leaving early is closing the generator: its `finally`
blocks put back what it touched.
"""

import time
import traceback
from dataclasses import dataclass

import bpy

from .backend.errors import Cancelled, UserError

SLICE_S = 0.03  # longest stretch of work between two looks at the window's events
IDLE_S = 0.01  # how long a blocking call sleeps while the backend works
PRINT_EVERY = 0.1  # progress that a blocking call prints, as a fraction of the job

job = None  # the running job
place = "MOTION"  # the panel of the last click: MOTION, RESAMPLE, VARIATIONS, BACKEND
message = ""  # the last job's result, or why it failed, as a sentence
message_is_error = False
last_traceback = ""  # of the last unexpected error, for the log


@dataclass(frozen=True)
class Progress:
    """What a job yields.

    Attributes:
        fraction: 0 to 1 of the whole job.
        text: what it does now.
        waiting: there is nothing to do until the backend answers.
        exclusive: the file is being written, so the user's clicks have to wait.
        fragile: an undo now would pull data away from under the job.
        ready: all is written, what follows takes no further step and can't fail half-way.
    """

    fraction: float
    text: str
    waiting: bool = False
    exclusive: bool = False
    fragile: bool = False
    ready: bool = False


class Job:
    """A running encode, reconstruct or resample."""

    def __init__(self, title: str, steps):
        self.title = title
        self.progress = Progress(0.0, "Starting")
        self.started_s = time.monotonic()
        self._steps = steps
        self._stop = ""  # why it should stop: a sentence

    @property
    def elapsed_s(self) -> float:
        """Seconds since the click."""
        return time.monotonic() - self.started_s

    def stop(self, why: str = "") -> None:
        """Asks the job to end before its next step, with a sentence for the panel."""
        self._stop = self._stop or why or f"{self.title} was cancelled. Nothing was changed."

    def advance(self, limit_s: float = SLICE_S) -> str | None:
        """Works for about `limit_s`; the result as a sentence once the job is done, else None.

        Raises:
            Cancelled: the job was stopped. UserError: it can't be done; both texts are sentences for the panel.
        """
        end = time.monotonic() + limit_s
        while True:
            if self._stop:
                self.close()
                raise Cancelled(self._stop)
            try:
                self.progress = next(self._steps)
            except StopIteration as stop:
                return stop.value or ""
            if self.progress.waiting or time.monotonic() > end:
                return None

    def close(self) -> None:
        """Runs the `finally` blocks of what the job was doing."""
        self._steps.close()


def start(title: str, where: str, steps) -> Job:
    """Makes `steps` the running job, shown in the panel `where`."""
    global job
    if job is not None:
        raise UserError(f"{job.title} is still running. Wait for it or cancel it.")
    say("", where)
    job = Job(title, steps)
    return job


def advance(limit_s: float = SLICE_S) -> str | None:
    """Advances the running job; see `Job.advance`. Whatever ends it, nothing is left running.

    Raises:
        Cancelled, UserError: as `Job.advance`; anything unexpected is a UserError too, its traceback goes to the log.
    """
    global job
    try:
        result = job.advance(limit_s)
    except (Cancelled, UserError) as error:
        job = None
        say(str(error), is_error=isinstance(error, UserError))
        raise
    except Exception as error:
        job = None
        sentence = unexpected(error)
        say(sentence, is_error=True)
        raise UserError(sentence) from error
    if result is not None:
        job = None
        say(result)
    return result


def run(title: str, where: str, steps) -> str:
    """A job from start to end, with its progress printed; what a script's call does.

    Raises:
        Cancelled, UserError: as `advance`.
    """
    running = start(title, where, steps)
    printed, text = -1.0, ""
    try:
        while True:
            result = advance()
            if result is not None:
                print(f"{title}: {result}", flush=True)
                return result
            progress = running.progress
            if progress.text != text or progress.fraction >= printed + PRINT_EVERY:
                printed, text = progress.fraction, progress.text
                print(f"{title}: {100 * printed:.0f} % {text}", flush=True)
            if progress.waiting:
                time.sleep(IDLE_S)
    except KeyboardInterrupt:
        abandon("")
        raise


def stop(why: str = "") -> None:
    """Asks the running job to end, if there is one."""
    if job is not None:
        job.stop(why)


def abandon(why: str) -> None:
    """Ends the running job at once: the file or the extension under it goes away."""
    global job
    if job is None:
        return
    ended, job = job, None
    try:
        ended.close()
    except Exception as error:
        unexpected(error)
    say(why)


def say(sentence: str, where: str | None = None, is_error: bool = False) -> None:
    """What the panel `where` shows below its buttons; the panel of the last click without it."""
    global message, message_is_error, place
    message, message_is_error, place = sentence, is_error, where or place


def unexpected(error: Exception) -> str:
    """Keeps the traceback for the log; gives the sentence for the panel."""
    global last_traceback
    last_traceback = "".join(traceback.format_exception(error))
    print(last_traceback, flush=True)
    return (
        f"Something unexpected went wrong ({type(error).__name__}: {error}). "
        "Nothing was changed. Show the log (Backend panel) for its details, and try again."
    )


@bpy.app.handlers.persistent
def _before_load(*_):
    """Another file is about to replace this one."""
    say("")
    abandon("The job was cancelled because another file was opened.")


@bpy.app.handlers.persistent
def _before_undo(*_):
    """Undo and redo replace data that a reading or writing job holds on to; and what was said is no longer true."""
    if job is None:
        say("")
    elif job.progress.fragile:
        abandon(f"{job.title} was cancelled by the undo. Click again.")


_HANDLERS = (("load_pre", _before_load), ("undo_pre", _before_undo), ("redo_pre", _before_undo))


def register():
    """Watches for another file and for undo."""
    for event, handler in _HANDLERS:
        getattr(bpy.app.handlers, event).append(handler)


def unregister():
    """Ends what runs and stops watching."""
    abandon("")
    for event, handler in _HANDLERS:
        handlers = getattr(bpy.app.handlers, event)
        if handler in handlers:
            handlers.remove(handler)
