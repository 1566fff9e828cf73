"""The jobs of the preferences: find Pythons, check one. They change nothing but the preferences.

Each is a generator for `session`, as those in `tasks` are.
"""

import threading
import time

import bpy

from . import devices
from .backend.errors import UserError
from .python_search import Search
from .pythons import check_python as examine_python
from .session import Progress

MAKERS = ((3, 10), (3, 14))  # versions of Python that there is a torch for


def check_python(preferences):
    """Whether the PyTorch engine can run in the Python that the preferences name."""
    path = bpy.path.abspath(preferences.python_path)
    reports, stop = [], threading.Event()
    thread = threading.Thread(target=lambda: reports.append(examine_python(path, stop=stop)), daemon=True)
    thread.start()
    started_s = time.monotonic()
    try:
        while thread.is_alive():
            seconds = time.monotonic() - started_s
            yield Progress(seconds / (seconds + 5), "Starting that Python and importing torch", waiting=True)
    finally:
        stop.set()
    report = reports[0]
    keep_result(preferences, report)
    if not report.usable:
        raise UserError(report.sentence)
    return report.sentence


def keep_result(preferences, report) -> None:
    """What a check found, for the preferences and for the choice of devices."""
    preferences.check_result, preferences.check_failed = report.sentence, not report.usable
    preferences.devices = devices.to_text(report.seen)


def find_pythons(preferences):
    """Fills the preferences' list with the Pythons of this computer, those that can be used first."""
    chosen = bpy.path.abspath(preferences.python_path).strip()
    preferences.found.clear()
    preferences.found_index = -1  # no line was clicked yet
    usable = 0
    search = Search(first=[chosen] if chosen else ())
    try:
        while True:
            finished = search.finished  # asked before what it found is taken
            for path, report in search.take():
                usable += report.usable
                _add(preferences, path, report)
            if finished:
                break
            text = f"{search.tried} of {search.seen} Pythons tried, {usable} can be used."
            yield Progress(search.tried / (search.seen + 1), text, waiting=True)
    finally:
        search.cancel()
    if not usable:
        raise UserError(
            f"None of the {search.tried} Pythons that were found has a torch that can be used. Make an environment "
            "with the command below, or name a Python that you know of."
        )
    return f"{usable} of {search.tried} Pythons can be used. Click one of the list to choose it."


def _add(preferences, path, report) -> None:
    """A line of the list, before those that are worth less."""
    line = preferences.found.add()
    line.path, line.line, line.sentence = path, report.line, report.sentence
    line.usable, line.devices = report.usable, devices.to_text(report.seen)
    line.can_make = report.version is not None and MAKERS[0] <= _numbers(report.version) <= MAKERS[1]
    line.rank = _rank(report)
    others = list(preferences.found)[:-1]
    place = next((index for index, other in enumerate(others) if other.rank < line.rank), len(others))
    preferences.found.move(len(others), place)


def _numbers(version) -> tuple[int, int]:
    """3.11.7 -> (3, 11)."""
    major, minor, *_ = map(int, version.split("."))
    return major, minor


def _rank(report) -> int:
    """How much a Python is worth: one with a graphics card most, then one with torch, then any that answers."""
    if report.usable:
        return 3 if report.devices[0] != "cpu" else 2
    return 1 if report.version else 0
