"""From a source to variations of it."""

from .change import Change, apply_change, arrays_to_change, change_to_arrays, scale_change  # noqa: F401
