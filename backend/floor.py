"""Bodies that walk on the spot: no foot rests there, so that no contact holds them, but the floor still bears them."""

from dataclasses import replace

import numpy as np

from .change import Change, changed_positions
from .features import smooth_frames
from .motion import Motion, joint_positions

FEW_CONTACTS = 0.5  # of the frames: where something rests more often, contacts keep the body on the floor
FLOOR_HEIGHTS = 0.04  # the lowest part of a body on a floor stays within this ...
FLOOR_SHARE = 0.8  # ... in so many of the frames
SOFTNESS = 0.01  # heights: from one lowest joint to the next without a corner
SIGMA_S = 0.06  # smoothing of the lift


def keep_floor(motion: Motion, change: Change, contacts, weight, height_m: float) -> Change:
    """The change with the body lifted so that its lowest part is as high as the source's, where a floor bears it.

    Without contacts a deeper bend of all legs would leave the feet in the air. Swimming and flying bodies have no
    floor: their lowest part goes up and down.

    Args:
        contacts: `[T, J]` bool, which the change keeps already. weight: `[T]`, 0 where the source stays.
        height_m: skeleton height.
    """
    if contacts.any(axis=1).mean() > FEW_CONTACTS:
        return change
    positions = joint_positions(motion)
    heights = positions[..., 2] / height_m
    lowest = heights.min(axis=1)
    if (np.abs(lowest - np.median(lowest)) < FLOOR_HEIGHTS).mean() < FLOOR_SHARE:
        return change
    changed = changed_positions(motion.skeleton.parents, positions, change)[..., 2] / height_m
    missing, resting = (soft_minimum(heights) - soft_minimum(changed)) * weight, contacts.any(axis=1)
    smooth = smooth_frames(np.stack((missing, resting), axis=1), SIGMA_S * motion.fps)
    lift = np.zeros((motion.frames, 3), change.root.dtype)
    lift[:, 2] = smooth[:, 0] * (1 - np.clip(2 * smooth[:, 1], 0, 1)) * height_m  # what rests is in its place
    return replace(change, root=change.root + lift, slide=change.slide + lift[:, None])


def soft_minimum(heights) -> np.ndarray:
    """Nearly the least of each row `[T, J]`, `[T]`; without corners where another joint becomes the lowest."""
    lowest = heights.min(axis=1)
    return lowest - SOFTNESS * np.log(np.exp((lowest[:, None] - heights) / SOFTNESS).sum(axis=1))
