"""Finds the Pythons of this computer and tries whether each has PyTorch, beside Blender's main thread. No bpy in here.

search = Search()
while not search.finished: ...  search.take() gives what has been found since; search.cancel() ends it at once
"""

import os
import queue
import re
import shutil
import sys
import threading
from pathlib import Path

from .python_places import Machine, pythons
from .pythons import PythonReport, check_python, process_options
from .trial import try_program

SEARCH_LIMIT_S = 45.0  # of one Python: the first import of a torch with CUDA from a cold disk
AT_ONCE = 3  # importing torch reads gigabytes; more at a time only wait for the disk
MAX_PYTHONS = 80
LAUNCHER_LIMIT_S = 5.0
LAUNCHER_PATH = re.compile(rb"[A-Za-z]:\\[^\r\n]*python\.exe", re.I)


def this_machine() -> Machine:
    """The one that this runs on."""
    return Machine(sys.platform, Path.home(), dict(os.environ))


def launcher_pythons(stop=None) -> list[str]:
    """What Windows' launcher `py` knows of; nothing where there is none."""
    launcher = shutil.which("py") if sys.platform == "win32" else None
    if launcher is None:
        return []
    try:
        trial = try_program([launcher, "--list-paths"], LAUNCHER_LIMIT_S, stop, **process_options())
    except OSError:
        return []
    return [match.decode("utf-8", "replace") for match in LAUNCHER_PATH.findall(trial.output)]


class Search:
    """A search that goes on in threads of its own, from its making on.

    Args:
        machine: where to look; None for this one. first: paths that are tried before all others.
        limit_s: for each Python. at_once: how many are tried at a time.
    """

    def __init__(self, machine=None, first=(), limit_s: float = SEARCH_LIMIT_S, at_once: int = AT_ONCE):
        self._machine, self._first, self._limit_s = machine or this_machine(), tuple(first), limit_s
        self._stop = threading.Event()
        self._paths = queue.SimpleQueue()  # None for each thread at the end
        self._found = queue.SimpleQueue()
        self._count = threading.Lock()
        self.seen = self.tried = 0
        self.all_seen = False  # every place was looked at
        workers = [threading.Thread(target=self._try, daemon=True) for _ in range(at_once)]
        self._threads = [threading.Thread(target=self._look, args=(at_once,), daemon=True), *workers]
        for thread in self._threads:
            thread.start()

    @property
    def finished(self) -> bool:
        """Whether nothing more will be found; what was is still to be taken."""
        return not any(thread.is_alive() for thread in self._threads)

    def take(self) -> list[tuple[str, PythonReport]]:
        """(path, report) of the Pythons that were tried since the last call."""
        found = []
        while not self._found.empty():
            found.append(self._found.get())
        return found

    def cancel(self) -> None:
        """Ends it; programs that are being tried are ended as well."""
        self._stop.set()
        for thread in self._threads:
            thread.join(1.0)

    def _look(self, at_once) -> None:
        """Thread: the paths, each once."""
        given = set()
        try:
            for path in self._sources():
                if self._stop.is_set() or self.seen >= MAX_PYTHONS:
                    break
                if os.path.normcase(path) not in given:
                    given.add(os.path.normcase(path))
                    self.seen += 1
                    self._paths.put(path)
        finally:
            self.all_seen = True
            for _ in range(at_once):
                self._paths.put(None)

    def _sources(self):
        """All paths, those that were asked for first."""
        yield from self._first
        yield from pythons(self._machine, self._stop.is_set)
        yield from launcher_pythons(self._stop)

    def _try(self) -> None:
        """Thread: one path after the other."""
        while (path := self._paths.get()) is not None:
            if self._stop.is_set():
                continue
            report = check_python(path, self._limit_s, self._stop)
            with self._count:
                self.tried += 1
            if not self._stop.is_set():
                self._found.put((path, report))
