"""Requests in, replies out: each request gets any number of events and exactly one final reply.

Two threads. The *reader* takes messages off the stream as they come and answers `status` and `cancel` at once, so that
both work while a job runs. The *worker*, which is the caller of `serve`, runs the jobs one after the other. A job
learns of its cancellation when it next reports progress.

    request    one of `jobs.REQUESTS`: its events, then `done`, `cancelled` or `error`
    status     `done` with the state of the process
    cancel     `done` with `found`; the request that it names ends with `cancelled`
"""

import contextlib
import queue
import sys
import threading
import time
import traceback

from .errors import Cancelled, EngineError, UserError
from .protocol import Message, MessageTooLarge, ProtocolError, read_message, write_message

PROGRESS_EVERY_S = 0.05  # a panel can't show more; every report still looks for a cancellation
MAX_SENTENCE = 2000  # characters of an error that is sent; the whole of it is in the log


class Server:
    """The state that reader and worker share.

    Args:
        source, sink: unbuffered binary streams.
        jobs: a `jobs.Jobs`.
        at_end: called by the reader when the client is gone; the process ends here even if a job is running.
    """

    def __init__(self, source, sink, jobs, at_end):
        self._source, self._sink, self._jobs, self._at_end = source, sink, jobs, at_end
        self._sending = threading.Lock()
        self._state = threading.Lock()  # guards the three below
        self._waiting = {}  # id -> Message, in the order of arrival
        self._running = None  # id
        self._cancelled = False  # the running one is to stop
        self._wake = queue.SimpleQueue()  # one item for each message that waits; None: the end

    def serve(self) -> None:
        """Run jobs until the input ends.

        Raises:
            ProtocolError: the client broke the protocol.
        """
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        while (item := self._wake.get()) is not None:
            if isinstance(item, ProtocolError):
                raise item
            with self._state:
                message = self._waiting.pop(item, None)
                self._running, self._cancelled = item, False
            if message is not None:  # else it was cancelled while it waited
                self._work(message)
            with self._state:
                self._running = None

    def _read(self) -> None:
        """The reader thread."""
        try:
            while (message := read_message(self._source)) is not None:
                self._receive(message)
        except ProtocolError as error:
            self._wake.put(error)
            return
        except OSError as error:  # the stream broke: the client is gone
            _log(f"The client's stream broke: {error}")
        except Exception as error:  # also MemoryError; without its reader the process would wait for ever
            self._wake.put(ProtocolError(f"A message can't be taken ({type(error).__name__}: {error})."))
            return
        self._wake.put(None)
        self._at_end()

    def _receive(self, message: Message) -> None:
        """Answer what can be answered at once, and queue the rest."""
        number, request = message.head.get("id"), message.head.get("request")
        if type(number) is not int:
            raise ProtocolError(f"A request needs a whole number as its id, found {number!r}.")
        if request == "status":
            self._final(number, "done", busy=self._running is not None, **self._jobs.status())
        elif request == "cancel":
            self._cancel(number, message.head.get("target"))
        elif request in self._jobs.REQUESTS:
            with self._state:
                taken = number in self._waiting or number == self._running
                if not taken:
                    self._waiting[number] = message
            if taken:
                raise ProtocolError(f"The id {number} is taken by a request that has no reply yet.")
            self._wake.put(number)
        else:
            known = ", ".join(("status", "cancel", *self._jobs.REQUESTS))
            sentence = f"There is no request {request!r}; there are {known}."
            self._final(number, "error", kind="internal", message=sentence)

    def _cancel(self, number, target) -> None:
        """Stop the running request at its next report, or take a waiting one off the queue."""
        with self._state:
            waited = self._waiting.pop(target, None) is not None
            running = target is not None and target == self._running and not waited
            if running:
                self._cancelled = True
        if waited:
            self._final(target, "cancelled")
        self._final(number, "done", found=waited or running)

    def _work(self, message: Message) -> None:
        """Run one job to its final reply."""
        number = message.head["id"]
        last_sent_s, last_text = 0.0, None

        def report(fraction: float, text: str) -> None:
            nonlocal last_sent_s, last_text
            if self._cancelled:
                raise Cancelled
            now = time.monotonic()
            if text != last_text or now - last_sent_s >= PROGRESS_EVERY_S:
                last_sent_s, last_text = now, text
                fraction = min(max(float(fraction), 0.0), 1.0)
                self._send({"id": number, "event": "progress", "fraction": fraction, "text": text})

        def send(head: dict, arrays: dict) -> None:
            self._send({"id": number, "event": "variation", **head}, arrays)

        try:
            head, arrays = self._jobs.run(message.head["request"], message, report, send)
            report(1.0, "Done")
            self._final(number, "done", arrays, **head)
        except Cancelled:
            self._final(number, "cancelled")
        except (UserError, MessageTooLarge) as error:
            kind = "engine" if isinstance(error, EngineError) else "user"
            self._final(number, "error", kind=kind, message=str(error)[:MAX_SENTENCE])
        except Exception as error:
            _log(traceback.format_exc())
            what = f"{type(error).__name__}: {error}"[:MAX_SENTENCE]
            sentence = f"The backend failed ({what}). Its log has the details."
            self._final(number, "error", kind="internal", message=sentence)

    def _final(self, number, event, arrays=None, **fields) -> None:
        """Send a final reply."""
        self._send({"id": number, "event": event, **fields}, arrays)

    def _send(self, head, arrays=None) -> None:
        """Send from either thread, one message at a time; a client that is gone ends the process."""
        try:
            with self._sending:
                write_message(self._sink, head, arrays)
        except OSError as error:
            _log(f"The client is gone: {error}")
            self._wake.put(None)
            self._at_end()


def _log(text: str) -> None:
    """A line of the log, which may be gone together with the client."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def serve(source, sink, jobs, at_end=lambda: None) -> None:
    """Answer requests from `source` on `sink` until `source` ends; see `Server`."""
    Server(source, sink, jobs, at_end).serve()
