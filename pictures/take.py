"""What is drawn: a motion and the far ends of its bones."""

from dataclasses import dataclass

import numpy as np

from backend.motion import Motion, joint_positions
from backend.skeleton import JointChoice


@dataclass(frozen=True)
class Take:
    """One action as it plays.

    Attributes:
        motion: the joints that move. tails: `[T, J, 3]` the far ends of their bones.
        rest_heads: `[J, 3]` where the armature's rest pose has them. choice: which bones they are, if it is a rig's.
    """

    motion: Motion
    tails: np.ndarray
    rest_heads: np.ndarray
    choice: JointChoice | None = None


def motion_take(motion: Motion) -> Take:
    """A motion without a rig: bones end where they begin, so that leaves are drawn without tips."""
    return Take(motion, joint_positions(motion), motion.skeleton.rest[:, :3, 3])
