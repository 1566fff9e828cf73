"""Motions as the model reads and writes them: world changes from a reference pose, seen in the root's heading frame.

Rest poses are not to be trusted, so rotations are measured against a reference pose (the clip's mean pose), as world
changes: bone axes, rolls and names drop out, and forward kinematics is two matrix products. Lengths are in skeleton
heights. The heading frame turns with the body about Z and stays level.

Everything but `reference_pose` and `facing_yaw` works on numpy and torch, over any leading axes.
"""

from dataclasses import dataclass

import numpy as np

from .engines import engine_of
from .motion import Motion, joint_positions
from .rotations import (
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_normalize,
    quaternion_rotate,
    quaternion_to_matrix,
    sixd_to_matrix,
    yaw_to_quaternion,
)
from .skeleton import (
    MOVING_HEIGHTS,
    ancestor_matrix,
    joint_relations,
    parent_rows,
    rest_offsets,
    skeleton_facts,
    tree_height,
)

MODEL_FPS = 30.0
REFERENCE_FRAMES = 2048  # of a long clip, spread over it, are enough for its mean pose
HEADING_SIGMA = 5.0  # frames: the heading follows the body's turns, not its steps

JOINT_INPUTS = {"rotation": 6, "position": 3, "slide": 3}
JOINT_OUTPUTS = {"rotation": 6, "slide": 3}
ROOT_FEATURES = {"height": 1, "velocity": 2, "turn": 1}
JOINT_INPUT_SIZE = sum(JOINT_INPUTS.values())
JOINT_OUTPUT_SIZE = sum(JOINT_OUTPUTS.values())
ROOT_SIZE = sum(ROOT_FEATURES.values())
# Brings the root's numbers (heights, heights a second, radians a second) to about unit size.
ROOT_SCALE = (5.0, 2.0, 2.0, 1.0)
IDENTITY_SIXD = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Reference:
    """The pose against which changes are measured, and the skeleton in it.

    Attributes:
        rotations: `[J, 4]` world rotations, turned about Z to the canonical facing.
        offsets: `[J, 3]` from parent to joint in that pose, in skeleton heights; zero for the root.
        slides: `[J]` bool, joints that stretch or slide against their parents; never the root.
        height_m: the skeleton's height in metres.
        root_height: the root's mean height over the clip, in skeleton heights.
    """

    rotations: np.ndarray
    offsets: np.ndarray
    slides: np.ndarray
    height_m: float
    root_height: float


def columns(layout: dict[str, int], name: str) -> slice:
    """Where `name` stands in the last axis of arrays with this layout."""
    start = 0
    for key, size in layout.items():
        if key == name:
            return slice(start, start + size)
        start += size
    raise KeyError(f"No feature '{name}' in {list(layout)}.")


def structure_arrays(parents, offsets, slides) -> dict[str, np.ndarray]:
    """What kinematics and the skeleton encoder need of one skeleton, float32 arrays without a batch axis.

    Returns:
        parent `[J, J]`, one-hot rows (the root's own row is itself); ancestors `[J, J]`; weights `[J]` of the joints in
        the heading; offsets `[J, 3]`; slides `[J]`; facts `[J, F]`; relations `[J, J]` int; mask `[J]` ones.
    """
    count = len(parents)
    ancestors = ancestor_matrix(parents)
    descendants = ancestors.sum(axis=0) - 1
    weights = descendants + (np.asarray(parents) < 0)
    return {
        "parent": np.eye(count, dtype=np.float32)[parent_rows(parents)],
        "ancestors": ancestors,
        "weights": (weights / weights.sum()).astype(np.float32),
        "offsets": np.asarray(offsets, dtype=np.float32),
        "slides": np.asarray(slides, dtype=np.float32),
        "facts": skeleton_facts(parents, offsets, slides),
        "relations": joint_relations(parents),
        "mask": np.ones(count, dtype=np.float32),
    }


def smooth_frames(x, sigma: float, axis: int = -2):
    """Gaussian smoothing along an axis counted from the end; the ends repeat their edge value."""
    xp = engine_of(x)
    radius = int(np.ceil(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    axis = x.ndim + axis
    frames = x.shape[axis]
    rows = np.clip(np.arange(-radius, frames + radius), 0, frames - 1)
    padded = xp.take(x, rows, axis)
    before = (slice(None),) * axis
    return sum(float(tap) * padded[(*before, slice(k, k + frames))] for k, tap in enumerate(taps))


def heading_angle(changes, weights):
    """The body's heading against the reference, `[..., T]` radians in (-pi, pi], smoothed over time.

    The yaw that best explains the weighted changes of all joints (the chordal mean), so that no single bone's axes
    decide, and smoothed as a vector, so that a tumbling body doesn't make it jump.

    Args:
        changes: `[..., T, J, 4]` world changes from the reference. weights: `[..., J]`.
    """
    xp = engine_of(changes)
    w, z = changes[..., 0], changes[..., 3]
    weights = weights[..., None, :]
    cosine = (weights * (w * w - z * z)).sum(axis=-1)
    sine = (weights * (2 * w * z)).sum(axis=-1)
    path = smooth_frames(xp.stack((cosine, sine), -1), HEADING_SIGMA)
    return xp.arctan2(path[..., 1], path[..., 0])


def turn_rates(heading):
    """Heading differences to the next frame in (-pi, pi] times the rate, `[..., T]` rad/s; the last repeats."""
    xp = engine_of(heading)
    difference = heading[..., 1:] - heading[..., :-1]
    difference = xp.arctan2(xp.sin(difference), xp.cos(difference)) * MODEL_FPS
    return xp.concat((difference, difference[..., -1:]), -1)


def motion_features(rotations, root_positions, reference_rotations, structure, slide=None, root_height=0.0):
    """What the encoder reads. All frames at MODEL_FPS, at least two.

    Args:
        rotations: `[..., T, J, 4]` world. root_positions: `[..., T, 3]`, skeleton heights.
        reference_rotations: `[..., J, 4]`. structure: see `structure_arrays`, with the same leading axes.
        slide: `[..., T, J, 3]` world, skeleton heights, what sliding joints add to their turned offsets; None for none.
        root_height: `[..., 1]` or a number, taken off the root's height.

    Returns:
        joints `[..., T, J, JOINT_INPUT_SIZE]`, root `[..., T, ROOT_SIZE]`, heading `[..., T]` radians.
    """
    xp = engine_of(rotations)
    changes = quaternion_multiply(rotations, quaternion_conjugate(reference_rotations)[..., None, :, :])
    heading = heading_angle(changes, structure["weights"])
    back = yaw_to_quaternion(-heading)[..., None, :]
    changes = quaternion_multiply(back + 0 * changes, changes)
    matrices = quaternion_to_matrix(changes)
    local_slide = 0 * changes[..., 1:] if slide is None else quaternion_rotate(back, slide)
    positions = pose_positions(matrices, local_slide, structure)
    joints = xp.concat((matrices[..., :, 0], matrices[..., :, 1], positions, local_slide), -1)

    velocity = (root_positions[..., 1:, :] - root_positions[..., :-1, :]) * MODEL_FPS
    velocity = xp.concat((velocity, velocity[..., -1:, :]), -2)
    velocity = quaternion_rotate(yaw_to_quaternion(-heading), velocity)
    height = root_positions[..., 2] - root_height
    root = xp.stack((height, velocity[..., 0], velocity[..., 1], turn_rates(heading)), -1)
    return joints, root * xp.asarray(ROOT_SCALE, root), heading


def parent_changes(matrices, structure):
    """The change of each joint's parent, `[..., T, J, 3, 3]`, by a product with the one-hot parent matrix."""
    return over_joints(structure["parent"], matrices)


def over_joints(matrix, values):
    """`matrix [..., J, J]` times what every frame's joints have, `[..., T, J, *]`: one product a clip."""
    lead, (frames, joints, *size) = values.shape[: matrix.ndim - 2], values.shape[matrix.ndim - 2 :]
    by_joint = values.reshape(*lead, frames, joints, -1).swapaxes(-3, -2)
    made = matrix @ by_joint.reshape(*lead, joints, -1)
    return made.reshape(*lead, joints, frames, -1).swapaxes(-3, -2).reshape(*lead, frames, joints, *size)


def pose_positions(matrices, slide, structure):
    """Joint positions against the root, heading frame, skeleton heights, `[..., T, J, 3]`.

    Args:
        matrices: `[..., T, J, 3, 3]` changes in the heading frame. slide: `[..., T, J, 3]` in the same frame.
    """
    return positions_below(parent_changes(matrices, structure), slide, structure)


def positions_below(above, slide, structure):
    """As `pose_positions`, of the parents' changes: turned offsets and slides summed along the way from the root."""
    offsets = structure["offsets"][..., None, :, None, :]
    return over_joints(structure["ancestors"], (above * offsets).sum(axis=-1) + slide)


def pose_from_outputs(outputs, structure):
    """What the decoder's joint outputs mean.

    Args:
        outputs: `[..., T, J, JOINT_OUTPUT_SIZE]`: six numbers added to the identity's, and a slide.

    Returns:
        rotation changes `[..., T, J, 3, 3]` and slides `[..., T, J, 3]` (zero where nothing slides), heading frame.
    """
    sixd = outputs[..., columns(JOINT_OUTPUTS, "rotation")]
    matrices = sixd_to_matrix(sixd + engine_of(outputs).asarray(IDENTITY_SIXD, sixd))
    slide = outputs[..., columns(JOINT_OUTPUTS, "slide")] * structure["slides"][..., None, :, None]
    return matrices, slide


def local_places(motion: Motion) -> np.ndarray:
    """Joint positions in the parent's axes, `[T, J, 3]` metres; zero for the root."""
    rows = parent_rows(motion.skeleton.parents)
    positions = joint_positions(motion)
    places = quaternion_rotate(quaternion_conjugate(motion.rotations[:, rows]), positions - positions[:, rows])
    places[:, 0] = 0
    return places


def reference_pose(motion: Motion) -> Reference:
    """The clip's mean pose with the heading removed, in the canonical facing. numpy."""
    parents = motion.skeleton.parents
    weights = structure_arrays(parents, np.zeros((len(parents), 3)), np.zeros(len(parents)))["weights"]
    rotations = motion.rotations[:: max(motion.frames // REFERENCE_FRAMES, 1)]
    mean = rotations[len(rotations) // 2]
    for _ in range(3):  # the heading needs a reference and the mean pose the heading: three rounds settle it
        changes = quaternion_multiply(rotations, quaternion_conjugate(mean)[None] + 0 * rotations)
        back = yaw_to_quaternion(-heading_angle(changes, weights))[:, None]
        mean = mean_rotation(quaternion_multiply(back + 0 * rotations, rotations))
    places = rest_offsets(motion.skeleton)[None] if motion.positions is None else local_places(motion)
    offsets = place_offsets(parents, mean, places.mean(axis=0))
    height = max(tree_height(parents, offsets), 1e-9)
    slides = np.linalg.norm(places - places.mean(axis=0), axis=-1).max(axis=0) > MOVING_HEIGHTS * height
    slides[0] = False
    if motion.held is not None:
        slides &= ~motion.held
    yaw = facing_yaw(ancestor_matrix(parents) @ offsets)
    turn = yaw_to_quaternion(np.array(-yaw))
    return Reference(
        rotations=quaternion_multiply(turn + 0 * mean, mean),
        offsets=quaternion_rotate(turn, offsets) / height,
        slides=slides,
        height_m=height,
        root_height=float(motion.root_positions[:, 2].mean() / height),
    )


def source_slides(motion: Motion, reference: Reference) -> np.ndarray:
    """What sliding joints add to their turned offsets, `[T, J, 3]`, world, skeleton heights. numpy."""
    rows = parent_rows(motion.skeleton.parents)
    positions = joint_positions(motion) / reference.height_m
    turns = quaternion_multiply(
        motion.rotations, quaternion_conjugate(reference.rotations)[None] + 0 * motion.rotations
    )
    steps = quaternion_rotate(turns[:, rows], reference.offsets)
    return (positions - positions[:, rows] - steps) * reference.slides[None, :, None]


def mean_rotation(rotations) -> np.ndarray:
    """The chordal mean over axis 0, `[J, 4]`: main eigenvector of the summed outer products (Markley, 2007). numpy."""
    outer = np.einsum("tja,tjb->jab", rotations, rotations)
    return quaternion_normalize(np.linalg.eigh(outer)[1][..., -1])


def place_offsets(parents, rotations, places) -> np.ndarray:
    """Offsets from parent to joint in a pose. numpy.

    Args:
        rotations: `[J, 4]` world. places: `[J, 3]` in the parent's axes.
    """
    return quaternion_rotate(rotations[parent_rows(parents)], places)


def facing_yaw(positions) -> float:
    """The yaw of a pose's canonical facing, radians, which turns with the pose. numpy.

    The long horizontal axis of the joints, pointed to the side to which the joints lean (the third moment; the
    symmetric axis of a body has none, so the side comes from its front and back).

    Args:
        positions: `[J, 3]` against the root.
    """
    flat = positions[:, :2] - positions[:, :2].mean(axis=0)
    values, vectors = np.linalg.eigh(flat.T @ flat)
    long_axis = vectors[:, 1] if values[1] > 1e-12 else np.array([1.0, 0.0])
    cross_axis = np.array([-long_axis[1], long_axis[0]])
    along, across = flat @ long_axis, flat @ cross_axis
    scale = np.abs(flat).max() + 1e-12
    skews = np.array([(along**3).mean(), (across**3).mean()]) / scale**3
    side = skews[np.argmax(np.abs(skews))]
    if side < 0:
        long_axis = -long_axis
    return float(np.arctan2(long_axis[1], long_axis[0]))
