"""The folder of what was learnt of characters, the model with what it has for a skeleton, requests about them."""

import contextlib
import math
from pathlib import Path

from .adaptation import SUFFIX, Adaptation, Found, adapted_model, find_adaptation, save_adaptation, weights_digest
from .checkpoint import flatten
from .encoding import Encoding, Model, encode_motion, reconstruction_figures
from .errors import UserError
from .motion import Motion
from .skeleton import Skeleton


def encode_better(model: Model, adapted: Model, motion: Motion, report) -> tuple[Encoding, Model]:
    """The motion as the one of two models sees it that knows it better, and that model.

    What was learnt helps the motion that it was learnt from; on other motion of the character it may not.
    """
    if adapted is model:
        return encode_motion(model, motion, report), model
    with_it = encode_motion(adapted, motion, lambda fraction, text: report(0.5 * fraction, text))
    without = encode_motion(model, motion, lambda fraction, text: report(0.5 + 0.5 * fraction, text))
    errors = [reconstruction_figures(encoding)["joint_heights"] for encoding in (with_it, without)]
    return (with_it, adapted) if errors[0] < errors[1] else (without, model)


MAX_MOTIONS = 1000  # that a character is learnt from
ERRORS = ("before", "after", "used_before", "used_after")


class Characters:
    """A folder of adaptations, looked at anew for every motion, so that files may come and go.

    Args:
        folder: of the files; None for none.
    """

    def __init__(self, folder=None):
        self.folder = None if folder is None else Path(folder)
        self._model, self._weights, self._shapes = None, "", {}  # of the model that was asked about last
        self._adapted = None  # (adaptation, the model with it), the last

    def state(self) -> tuple:
        """What tells whether files have come, gone or changed."""
        if self.folder is None or not self.folder.is_dir():
            return ()
        found = []
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            with contextlib.suppress(OSError):  # it went away meanwhile
                found.append((path.name, path.stat().st_mtime_ns, path.stat().st_size))
        return tuple(found)

    def find(self, model: Model, skeleton: Skeleton) -> Found | None:
        """What the folder has for a skeleton; see `adaptation.find_adaptation`."""
        if self.folder is None:
            return None
        if model is not self._model:
            self._model, self._weights = model, weights_digest(model.parameters)
            self._shapes = {path: tuple(array.shape) for path, array in flatten(model.parameters).items()}
        return find_adaptation(self.folder, skeleton, self._shapes, self._weights)

    def model_with(self, model: Model, found: Found | None) -> Model:
        """The model with what was found for a skeleton; itself where that is nothing."""
        adaptation = None if found is None else found.adaptation
        if adaptation is None:
            return model
        if self._adapted is None or self._adapted[0] is not adaptation or self._adapted[1] is not model:
            self._adapted = (adaptation, model, adapted_model(model, adaptation))
        return self._adapted[2]

    def save(self, adaptation: Adaptation) -> Path:
        """Keeps what was learnt.

        Raises:
            UserError: there is no folder, or it can't be written.
        """
        if self.folder is None:
            raise UserError("There is no folder for what was learnt of a character. Start the backend with one.")
        try:
            return save_adaptation(self.folder, adaptation)
        except OSError as error:
            raise UserError(
                f"What was learnt can't be kept in {self.folder} ({error.strerror}). Name another folder in the "
                "preferences, and adapt again."
            ) from error


def describe(found: Found | None, used: bool = True) -> dict | None:
    """What the panel says of it: the file, the problem, whether it was used, errors before and after in heights."""
    if found is None:
        return None
    facts = {} if found.adaptation is None else found.adaptation.facts
    errors = {name: float(facts[name]) for name in ERRORS if _is_error(facts.get(name))}
    return {"file": found.path.name, "problem": found.problem, "used": used and found.adaptation is not None, **errors}


def _is_error(value) -> bool:
    """Whether a fact of a file is a number that can be shown."""
    return isinstance(value, int | float) and math.isfinite(value)


def numbered_arrays(message) -> list[dict]:
    """The arrays of each of several motions.

    Raises:
        ValueError: their number isn't one.
    """
    count = message.head.get("motions")
    if type(count) is not int or not 1 <= count <= MAX_MOTIONS:
        raise ValueError(f"The number of motions must be 1 to {MAX_MOTIONS}, found {count!r}.")
    motions = [{} for _ in range(count)]
    for name, array in message.arrays.items():
        number, _, rest = name.partition(".")
        if number.isdecimal() and int(number) < count:
            motions[int(number)][rest] = array
    return motions


def positive(head, name, default: float) -> float:
    """A number of a request that is larger than 0.

    Raises:
        ValueError: it isn't.
    """
    value = head.get(name, default)
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"'{name}' must be a number above 0, found {value!r}.")
    return float(value)
