"""Masks: joints that may not turn against their parents take the change of what carries them."""

import numpy as np


def carried_turns(parents, rotation, free) -> np.ndarray:
    """World turns `[T, J, 3]` in which joints that aren't `free [J]` keep their own turn against their parents."""
    carrier = np.zeros(len(parents), dtype=np.int64)
    for joint, parent in enumerate(parents):
        carrier[joint] = joint if free[joint] else (carrier[parent] if parent >= 0 else -1)
    return rotation[:, np.maximum(carrier, 0)] * (carrier >= 0)[:, None]
