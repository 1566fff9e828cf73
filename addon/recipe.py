"""The settings of one click on *Resample motion*; and as text that a line keeps, for making its variation again."""

import dataclasses
import json
from dataclasses import dataclass

from .backend.errors import UserError
from .scope import Scope


@dataclass(frozen=True)
class Choice:
    """The settings of one click on *Resample motion*; see `properties.ResampleSettings`.

    Attributes:
        scope: which bones and frames may change. falloff, pin_ease: frames, 0 for what keeps the motion smooth.
        key_tolerance: degrees, for reduced keys.
        new_seed: take another seed than the last one, and show it in the panel.
    """

    count: int
    strength: float
    level: str
    seed: int
    root_path: str
    loop: str
    keep_ends: bool
    contacts: bool
    scope: Scope
    falloff: int
    pin_ease: int
    keys: str
    new_seed: bool
    show_first: bool
    key_tolerance: float = 0.5


def choice_to_text(choice: Choice) -> str:
    """The settings, and what their scope stood for: it is the same when the selection has changed since."""
    return json.dumps(dataclasses.asdict(choice), default=sorted)


def text_to_choice(text: str, **changes) -> Choice:
    """The settings again, with some changed.

    Raises:
        UserError: there are none, or they are another version's.
    """
    try:
        found = json.loads(text)
        scope = found["scope"]
        if scope["bones"] is not None:
            scope["bones"] = frozenset(scope["bones"])
        if scope["limits"] is not None:
            scope["limits"] = tuple(scope["limits"])
        scope["pins"] = tuple(scope["pins"])
        return Choice(**(found | {"scope": Scope(**scope)} | changes))
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            "How this variation was made isn't known: it comes from another version of the extension, or is no "
            "variation of the model's. Set its seed in the panel, lock it, and click Resample motion."
        ) from error
