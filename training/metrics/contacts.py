"""What rests on something in the source, and whether it does so in the variation."""

import numpy as np

from backend.contacts import find_contacts
from backend.motion import Motion, joint_positions
from backend.skeleton import skeleton_height

from .body import report_positions


def source_contacts(source: Motion) -> np.ndarray:
    """Which joints of the source rest when, `[T, J]` bool, by `backend.contacts`."""
    height_m = skeleton_height(source.skeleton)
    return find_contacts(joint_positions(source), source.fps, height_m, source.skeleton.parents)


def skate_cm_s(motion: Motion, contacts) -> float:
    """Mean speed in cm/s at 1.7 m of joints in contact, from row to row where both are; 0 without contacts.

    Args:
        contacts: `[T, J]` bool, always of the source, so that a variation can't choose its own.
    """
    both = contacts[1:] & contacts[:-1]
    if not both.any():
        return 0.0
    speed = np.linalg.norm(np.diff(report_positions(motion, None), axis=0), axis=-1) * motion.fps
    return 100 * float(speed[both].mean())


def contact_overlap(contacts, other: Motion) -> float:
    """Contacts that source and variation share over those that either has, counted in frames of joints.

    1 where neither has any.

    Args:
        contacts: `[T, J]` bool, of the source.
    """
    found = source_contacts(other)
    either = (contacts | found).sum()
    return float((contacts & found).sum() / either) if either else 1.0
