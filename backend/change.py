"""The change from a source to a variation: what the backend sends back, and what it does to a motion."""

from dataclasses import dataclass, replace

import numpy as np

from .motion import Motion, joint_positions
from .rotations import quaternion_multiply, quaternion_rotate, quaternion_to_rotvec, rotvec_to_quaternion
from .skeleton import ancestor_matrix, parent_rows


@dataclass(frozen=True)
class Change:
    """How every joint turns and moves away from the source, row for row of the motion that was sent.

    Attributes:
        rotation: `[T, J, 3]` rotation vectors about world axes: `R_new = exp(rotation) R_source`.
        root: `[T, 3]` metres, world: the root's place is the source's plus this.
        slide_joints: `[S]` int, the joints (never the root) that slide or stretch against their parents.
        slide: `[T, S, 3]` metres, world: their places are the source's plus this.
    """

    rotation: np.ndarray
    root: np.ndarray
    slide_joints: np.ndarray
    slide: np.ndarray


def change_to_arrays(change: Change) -> dict[str, np.ndarray]:
    """Named arrays for a message, in float32."""
    return {
        "rotation": change.rotation.astype(np.float32),
        "root": change.root.astype(np.float32),
        "slide_joints": change.slide_joints.astype(np.int32),
        "slide": change.slide.astype(np.float32),
    }


def arrays_to_change(arrays) -> Change:
    """The inverse of `change_to_arrays`.

    Raises:
        ValueError: an array is missing, shapes disagree, or a number is not finite.
    """
    missing = [name for name in ("rotation", "root", "slide_joints", "slide") if name not in arrays]
    if missing:
        raise ValueError(f"The change lacks {', '.join(missing)}.")
    frames, joints = arrays["rotation"].shape[:2]
    slides = len(arrays["slide_joints"])
    shapes = {"rotation": (frames, joints, 3), "root": (frames, 3), "slide_joints": (slides,)}
    for name, shape in {**shapes, "slide": (frames, slides, 3)}.items():
        if arrays[name].shape != shape:
            raise ValueError(f"The change's {name} has shape {arrays[name].shape}, expected {shape}.")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"The change's {name} holds numbers that are not finite.")
    return Change(*(arrays[name] for name in ("rotation", "root", "slide_joints", "slide")))


def scale_change(change: Change, factor: float) -> Change:
    """The same change, weaker or stronger: rotations along their axes, shifts along their lines."""
    return replace(change, rotation=factor * change.rotation, root=factor * change.root, slide=factor * change.slide)


def compose_changes(later: Change, earlier: Change) -> Change:
    """Both as one change of what `earlier` changes; `later` is measured from its result, on the same sliding joints."""
    turns = quaternion_multiply(*(rotvec_to_quaternion(each.rotation.astype(np.float64)) for each in (later, earlier)))
    return replace(
        later,
        rotation=quaternion_to_rotvec(turns).astype(np.float32),
        root=(later.root + earlier.root).astype(np.float32),
        slide=(later.slide + earlier.slide).astype(np.float32),
    )


def changed_positions(parents, positions, change: Change) -> np.ndarray:
    """World joint positions `[T, J, 3]` after the change.

    A joint keeps its step from its parent, turned by the parent's change; a sliding joint goes to its own place, and
    what hangs on it follows.

    Args:
        parents: `[J]`. positions: `[T, J, 3]` world, the source's.
    """
    positions = np.asarray(positions, dtype=np.float64)
    rows = parent_rows(parents)
    turns = rotvec_to_quaternion(change.rotation.astype(np.float64))
    steps = quaternion_rotate(turns[:, rows], positions - positions[:, rows])
    steps[:, 0] = positions[:, 0] + change.root
    steps[:, change.slide_joints] = positions[:, change.slide_joints] + change.slide
    tree = np.array(parents)
    tree[change.slide_joints] = -1  # their steps are places already
    return ancestor_matrix(tree).astype(np.float64) @ steps


def apply_change(motion: Motion, change: Change) -> Motion:
    """The variation: the motion with the change on it."""
    turns = rotvec_to_quaternion(change.rotation.astype(motion.rotations.dtype))
    rotations = quaternion_multiply(turns, motion.rotations)
    positions = None
    if motion.positions is not None or len(change.slide_joints):
        positions = changed_positions(motion.skeleton.parents, joint_positions(motion), change)
    return replace(motion, root_positions=motion.root_positions + change.root, rotations=rotations, positions=positions)
