"""Engines: the few array functions that numpy and torch spell differently.

Everything else in `backend` is written once, with what both libraries share (`@`, slicing, `reshape`, `swapaxes`,
`sum(axis)`, `clip`, ...). An engine is a module; `engine_of(array)` finds the one that an array belongs to without
importing a library that is not in use.
"""

import importlib

import numpy as np

from . import numpy_engine, traced_engine

NAMES = ("numpy", "torch")
_loaded = {"numpy": numpy_engine}


def engine_of(array):
    """The engine module that `array` belongs to (numpy for scalars and lists as well)."""
    if isinstance(array, traced_engine.Traced):
        return traced_engine
    if type(array).__module__.split(".")[0] == "torch":
        return load_engine("torch")
    return numpy_engine


def value_and_gradients(function, arrays):
    """What `function` gives of some arrays of one library, and its gradients.

    Args:
        function: of a tuple like `arrays` to (a number, a tuple of arrays to keep).

    Returns:
        (the number, the kept arrays, a tuple of gradients like `arrays`).
    """
    engine = engine_of(arrays[0])
    follow = traced_engine if engine is numpy_engine else engine
    return follow.value_and_gradients(function, arrays)


def load_engine(name: str):
    """The engine module called `name` ("numpy" or "torch").

    Raises:
        ValueError: the name is neither. ImportError: torch is asked for and this Python has none.
    """
    if name not in NAMES:
        raise ValueError(f"There is no engine '{name}'; choose one of {', '.join(NAMES)}.")
    if name not in _loaded:
        _loaded[name] = importlib.import_module(f"{__name__}.{name}_engine")
    return _loaded[name]


def to_numpy(array) -> np.ndarray:
    """`array` of either library as a numpy array on the host."""
    return array if isinstance(array, np.ndarray) else engine_of(array).to_numpy(array)
