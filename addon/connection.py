"""The add-on's one backend process, run as the preferences say, and what the panel says of it."""

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

_client = None
_status = None  # the backend's last answer to `status`
_left = None  # the request that was left early last; its process may be about to be killed


def settings() -> Settings:
    """What the preferences ask for.

    Raises:
        UserError: the torch engine is chosen, but no Python is named.
    """
    chosen = preferences()
    if chosen.engine == "NUMPY":
        return Settings()
    python = bpy.path.abspath(chosen.python_path).strip()
    if not python:
        raise UserError(
            "The PyTorch engine needs a Python that has PyTorch, and none is named. Name it in the preferences of "
            "Motion Variations, or choose the NumPy engine."
        )
    return Settings(engine="torch", device=chosen.device.lower(), python=python)


def client() -> Client:
    """The client, with the settings of now; its process starts with the first request."""
    global _client
    if _client is None:
        _client = Client()
    _client.use(settings())
    return _client


def ask(request: str, arrays=None, **fields):
    """Sends a request and yields None while there is nothing, else its events; the last one is `done`.

    Leaving early cancels the request.

    Raises:
        UserError: the request failed; the text is the backend's sentence.
    """
    global _left
    try:
        backend = client()
        while _left is not None and not _left.finished:  # at most until the client's limit for a cancel
            backend.poll()
            yield None
        job = backend.submit(request, arrays, **fields)
    except BackendError as error:
        raise UserError(str(error)) from error
    try:
        while not job.finished:
            events = [event for event in backend.poll() if event.job is job]
            for event in events:
                if event.kind == "error":
                    raise UserError(event.head["message"])
                if event.kind == "cancelled":
                    raise UserError("The backend cancelled the request. Click again.")
                yield event
            if not events:
                yield None
    finally:
        if not job.finished:
            backend.cancel(job)
            _left = job


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
    if session.job is None:
        _client.poll()  # nobody waits for its events; it may have died
    return _client.problem if _client.problem and _client.state == "stopped" else STATES[_client.state]


def log_text() -> str:
    """The backend's log and the add-on's last unexpected error."""
    from . import session

    lines = _client.log() if _client is not None else []
    return "\n".join([*lines, session.last_traceback]).strip() or "Nothing was logged yet."


def stop() -> None:
    """Ends the process; the next request starts another."""
    global _status, _left
    _status = _left = None
    if _client is not None:
        _client.stop()


def register():
    """Nothing is started before the first click."""


def unregister():
    """No process outlives the extension."""
    global _client, _left
    stop()
    _client = _left = None
