"""Keys read whole, told apart in few bytes, copied bit for bit."""

import hashlib
from typing import NamedTuple

import numpy as np

from ..armature import MotionError
from ..curves import BEZIER
from .actions import HAS_SLOTS, curve_collection, find_slot
from .keys import SAME_KEY
from .writing import ALIGNED, FREE, KEY_PROPERTIES

SIDES = ("handle_left", "handle_right")
DENSE_STEP = 1.0 + SAME_KEY  # frames: between keys as near as this no handle matters


class Curve(NamedTuple):
    """A curve of an action, and its keys.

    Attributes:
        path, index: what it animates. curve: Blender's own. keys: `[2 n]` float32 times and values.
    """

    path: str
    index: int
    curve: object
    keys: np.ndarray

    @property
    def times(self) -> np.ndarray:
        """`[n]`."""
        return self.keys[0::2]

    @property
    def is_dense(self) -> bool:
        """Whether the keys lie a frame apart, or nearer."""
        return self.keys[-2] - self.keys[0] <= (len(self.keys) // 2 - 1) * DENSE_STEP if len(self.keys) else True


def numbers(curve, name, kind=np.float32, size=1) -> np.ndarray:
    """One property of all keys, flat."""
    values = np.empty(size * len(curve.keyframe_points), dtype=kind)
    curve.keyframe_points.foreach_get(name, values)
    return values


def free_handles(curve, side) -> np.ndarray:
    """`[n]` bool: the handle on that side is not placed by Blender."""
    kinds = numbers(curve, f"{side}_type", np.int32)
    return (kinds == FREE) | (kinds == ALIGNED)


def read_curves(action, slot: str) -> dict[tuple[str, int], Curve]:
    """The curves that the action has for the slot, by path and index.

    Raises:
        MotionError: the action has lost that slot.
    """
    own = find_slot(None, action, slot) if slot else None
    if HAS_SLOTS and own is None:
        raise MotionError(f"'{action.name}' has lost the slot '{slot}' of this armature. Make the variation again.")
    found = {}
    for curve in curve_collection(action, own):
        keys = numbers(curve, "co", size=2)
        found[curve.data_path, curve.array_index] = Curve(curve.data_path, curve.array_index, curve, keys)
    return found


def digest(action, slot: str) -> str:
    """A fingerprint of the keys: other keys, another text. Empty where the action has lost the slot."""
    try:
        return digest_of(read_curves(action, slot))
    except MotionError:
        return ""


def digest_of(curves: dict[tuple[str, int], Curve]) -> str:
    """The fingerprint of curves that are read. Handles count where they stand free between distant keys."""
    found = hashlib.blake2b(digest_size=16)
    found.update("|".join(f"{path}.{index}.{len(curve.keys)}" for (path, index), curve in curves.items()).encode())
    for curve in curves.values():
        found.update(curve.keys)
        if not curve.is_dense:
            _digest_shape(found, curve.curve)
    return found.hexdigest()


def _digest_shape(found, curve) -> None:
    kinds = numbers(curve, "interpolation", np.int32)
    found.update(kinds)
    if (kinds == BEZIER).any():
        for side in SIDES:
            free = free_handles(curve, side)
            if free.any():
                found.update(np.flatnonzero(free))
                found.update(numbers(curve, side, size=2).reshape(-1, 2)[free].tobytes())


def copy_keys(action, full, slot: str, curves: dict[tuple[str, int], Curve]) -> dict[tuple[str, int], Curve]:
    """Gives the action the keys of `full`, bit for bit; curves that `full` doesn't have stay. Gives its curves then.

    Args:
        curves: what `read_curves` gave of the action.
    """
    bag = curve_collection(action, find_slot(None, action, slot) if slot else None)
    curves, anew = dict(curves), False
    for key, model in read_curves(full, slot).items():
        own = curves.get(key)
        if own is None:
            own, anew = Curve(*key, bag.new(model.path, index=model.index), np.empty(0, np.float32)), True
        if not np.array_equal(own.keys, model.keys) or _differs_in_shape(own, model):
            _copy_curve(own, model)
            curves[key] = own._replace(keys=model.keys)
    return read_curves(action, slot) if anew else curves  # a new curve may move the others in memory


def _differs_in_shape(own: Curve, model: Curve) -> bool:
    if model.is_dense:
        return False
    names = [("interpolation", np.int32, 1), *((f"{side}_type", np.int32, 1) for side in SIDES)]
    names += [(side, np.float32, 2) for side in SIDES]
    return any(
        not np.array_equal(numbers(own.curve, name, kind, size), numbers(model.curve, name, kind, size))
        for name, kind, size in names
    )


def _copy_curve(own: Curve, model: Curve) -> None:
    """All keys of `model`, bit for bit."""
    points = own.curve.keyframe_points
    same = np.array_equal(own.times, model.times)
    if not same:
        points.clear()
        points.add(len(model.times))
    kinds = numbers(model.curve, "interpolation", np.int32)
    bezier = not same or bool((kinds == BEZIER).any())
    points.foreach_set("co", model.keys)
    points.foreach_set("interpolation", kinds)
    for name, size, kind in KEY_PROPERTIES[2:] if bezier else ():
        points.foreach_set(name, numbers(model.curve, name, kind, size))
    own.curve.update()
    if bezier:  # placing handles again may move them by a last bit
        for side in SIDES:
            points.foreach_set(side, numbers(model.curve, side, size=2))
