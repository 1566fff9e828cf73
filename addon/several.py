"""One job over several armatures: all are computed, then all are written, then all are listed and shown. No bpy.

An armature that can't be done is named, and the others go on. Cancelled before the end, nothing is changed.
"""

from dataclasses import dataclass, replace
from typing import Any

from .backend.errors import UserError

# Where every armature waits for the others: before it writes, before it is listed; then it goes on to its end.
STOPS = (lambda progress: progress.exclusive, lambda progress: progress.ready, lambda progress: False)


@dataclass
class _Part:
    """One armature's job.

    Attributes:
        name: the armature's. steps: the generator. at: its last progress. fraction: of its work that is done.
        result, failure: the sentence that it ended with, if it has ended.
    """

    name: str
    steps: Any
    at: Any = None
    fraction: float = 0.0
    result: str = ""
    failure: str = ""
    ended: bool = False

    def advance(self, arrived):
        """Yields progress until `arrived`, or to the end; what can't be done is kept as `failure`."""
        while not self.ended and not (self.at is not None and arrived(self.at)):
            try:
                self.at = next(self.steps)
                self.fraction = self.at.fraction
            except StopIteration as stop:
                self.ended, self.fraction, self.result = True, 1.0, stop.value or ""
                return
            except UserError as error:
                self.ended, self.fraction, self.failure = True, 1.0, str(error)
                return
            if not arrived(self.at):
                yield self.at


def together(jobs):
    """The jobs of several armatures as one generator of `session.Progress`, which returns one sentence.

    Args:
        jobs: (the armature's name, the generator of its job) each. A job changes nothing before its first exclusive
            step, and after its ready step it only adds to lists.

    Raises:
        UserError: no armature could be done.
    """
    parts = [_Part(name, steps) for name, steps in jobs]
    try:
        for arrived in STOPS:
            for part in parts:
                for progress in part.advance(arrived):
                    fraction = sum(one.fraction for one in parts) / len(parts)
                    yield replace(progress, fraction=fraction, text=f"{part.name}: {progress.text}", ready=False)
    finally:
        for part in parts:
            part.steps.close()
    failed = " ".join(f"'{part.name}' was left out: {part.failure}" for part in parts if part.failure)
    done = " ".join(f"'{part.name}': {part.result}" for part in parts if not part.failure)
    if not done:
        raise UserError(failed)
    return f"{done} {failed}".strip()


def refusing(sentence: str):
    """The job of an armature that can't be done."""
    raise UserError(sentence)
    yield
