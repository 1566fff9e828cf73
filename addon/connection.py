"""The add-on's one backend process, run as the preferences say, and what the panel says of it."""

import re
import time

import bpy

from .backend.errors import UserError
from .client import BackendError, Client, Settings
from .preferences import preferences

STATES = {
    "stopped": "Not started",
    "starting": "Starting",
    "ready": "Ready",
    "busy": "Working",
}

AGAIN = re.compile(r" ?Click again[^.]*\.")
INSTEAD = "NumPy does the work, because PyTorch can't."
NO_PYTHON = "None is named. Name the Python of an environment that has PyTorch in the preferences of Motion Variations."
TRY_AGAIN = "Restart in the Backend panel tries PyTorch again."

RESTING = "Memory was given back. The next click starts it."

_client = None
_failed = None  # (settings, sentence): what was asked for and could not be done by PyTorch
_resting = False  # the process was ended to give memory back
_used_s = 0.0  # when the last request ended (monotonic)
_status = None  # the backend's last answer to `status`
_left = None  # the request that was left early last; its process may be about to be killed


class _EngineFailed(Exception):
    """PyTorch could not do it; the text says why, and NumPy may."""


def wanted() -> Settings:
    """What the preferences ask for; without a Python where the torch engine is chosen and none is named."""
    chosen = preferences()
    if chosen.engine == "NUMPY":
        return _numpy()
    python = bpy.path.abspath(chosen.python_path).strip()
    return Settings(engine="torch", device=chosen.device_name, python=python, characters=_characters())


def _numpy() -> Settings:
    """The engine that needs nothing."""
    return Settings(characters=_characters())


def _characters() -> str:
    """The folder of what was learnt of characters."""
    from .characters import folder

    return folder()


def settings() -> Settings:
    """What is run: what the preferences ask for, or NumPy where that has failed."""
    asked = wanted()
    if asked.engine == "torch" and not asked.python:
        _fall_back(NO_PYTHON)
    return _numpy() if _failed is not None and _failed[0] == asked else asked


def _fall_back(reason: str) -> None:
    """From now on NumPy does what PyTorch can't, until it is asked for again: by Restart, or by other preferences."""
    global _failed
    # "Click again" is the advice where nothing else is tried.
    reason = AGAIN.sub("", reason).strip()
    _failed = (wanted(), f"{INSTEAD} {reason} {TRY_AGAIN}")


def notice() -> str:
    """What the user should know of how jobs run now, where that isn't as chosen; else empty."""
    if _failed is not None and _failed[0] == wanted():
        return _failed[1]
    return (last_status() or {}).get("notice") or ""


def client() -> Client:
    """The client, with the settings of now; its process starts with the first request."""
    global _client
    if _client is None:
        _client = Client()
    _client.use(settings())
    return _client


def ask(request: str, arrays=None, **fields):
    """Sends a request and yields None while there is nothing, else its events; the last one is `done`.

    Leaving early cancels the request. What PyTorch can't do is asked of NumPy; `notice` says so.

    Raises:
        UserError: the request failed; the text is the backend's sentence.
    """
    global _failed
    delivered = set()  # variations that have been given out; they are the same from both engines
    try:
        yield from _ask_engine(request, arrays, fields, delivered)
    except _EngineFailed as failure:
        _fall_back(str(failure))
        try:
            yield from _ask_engine(request, arrays, fields, delivered)
        except UserError as error:
            _failed = None  # NumPy can't do it either
            both = dict.fromkeys((str(failure), str(error)))
            raise UserError(" ".join(both)) from error


def _ask_engine(request, arrays, fields, delivered):
    """`ask` with the engine of now.

    Raises:
        _EngineFailed: it is PyTorch, and what failed may work with NumPy. UserError: anything else that failed.
    """
    global _left, _used_s, _resting
    _resting = False
    try:
        backend = client()
        while _left is not None and not _left.finished:  # at most until the client's limit for a cancel
            backend.poll()
            yield None
        job = backend.submit(request, arrays, **fields)
    except BackendError as error:
        raise _refusal(str(error), error.kind, backend.settings) from error
    try:
        while not job.finished:
            for event in (events := [event for event in backend.poll() if event.job is job]):
                if event.kind == "error":
                    # A process that we stopped ourselves left no problem: other preferences were chosen meanwhile.
                    ours = event.head["kind"] == "backend" and backend.problem is None
                    raise _refusal(event.head["message"], "user" if ours else event.head["kind"], backend.settings)
                if event.kind == "cancelled":
                    raise UserError("The backend cancelled the request. Click again.")
                if event.kind == "variation":
                    if event.head["index"] in delivered:
                        continue
                    delivered.add(event.head["index"])
                yield event
            if not events:
                yield None
    finally:
        _used_s = time.monotonic()
        if not job.finished:
            backend.cancel(job)
            _left = job


def _refusal(sentence, kind, used: Settings) -> Exception:
    """The exception for a request that failed: whether another engine should try."""
    return _EngineFailed(sentence) if used.engine == "torch" and kind != "user" else UserError(sentence)


def remember(status: dict) -> None:
    """Keeps the backend's answer to `status` for the panel."""
    global _status
    _status = status


def last_status() -> dict | None:
    """What the backend last said of itself; None when it doesn't run."""
    if _client is None or _client.state == "stopped":
        return None
    return _status or _client.status


def state_words() -> str:
    """The process's state for the panel."""
    from . import session

    if _client is None:
        return STATES["stopped"]
    if _resting and _client.state == "stopped":
        return RESTING
    if session.job is None:
        _client.poll()  # nobody waits for its events; it may have died
    return _client.problem if _client.problem and _client.state == "stopped" else STATES[_client.state]


def log_text() -> str:
    """The backend's log and the add-on's last unexpected error."""
    from . import session

    lines = _client.log() if _client is not None else []
    return "\n".join([*lines, session.last_traceback]).strip() or "Nothing was logged yet."


def rest_after(limit_s: float) -> bool:
    """Ends a process that has had nothing to do for so long; whether it did. What it kept is made again when needed."""
    global _resting, _status
    if _client is None or _client.state == "stopped":
        return False
    _client.poll()  # nobody waits for its events
    if _client.state != "ready" or time.monotonic() - _used_s < limit_s:
        return False
    _client.stop()
    _status, _resting = None, True
    return True


def stop() -> None:
    """Ends the process; the next request starts another, with the engine of the preferences even if that has failed."""
    global _status, _left, _failed, _resting
    _status = _left = _failed = None
    _resting = False
    if _client is not None:
        _client.stop()


def register():
    """Nothing is started before the first click."""


def unregister():
    """No process outlives the extension."""
    global _client, _left
    stop()
    _client = _left = None
