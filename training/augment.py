"""New skeletons and motions from old ones: mirrored, stretched in time, with branches of other clips, turns that are
smaller or larger, other limbs, joints merged, split and dropped.

Works on a `Clip`: world rotations, root path and the skeleton as places (offsets in the parent's axes), in skeleton
heights. All functions return new clips. numpy.
"""

from dataclasses import dataclass, replace

import numpy as np

from backend.features import MODEL_FPS, facing_yaw, place_offsets
from backend.rotations import (
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_normalize,
    quaternion_rotate,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
    yaw_to_quaternion,
)
from backend.skeleton import ancestor_matrix, parent_rows, tree_height

FEWEST_JOINTS = 4
SHARE_RANGE = (0.1, 0.5)  # of the joints that may be merged or dropped, those that are


@dataclass(frozen=True)
class Clip:
    """A window of motion at the model's rate, ready to be augmented.

    Attributes:
        parents: `[J]`. places: `[J, 3]` in the parent's axes, skeleton heights.
        rotations: `[T, J, 4]` world. roots: `[T, 3]` skeleton heights.
        reference: `[J, 4]` world rotations of the reference pose.
        slides: `[T, J, 3]` added to the places, or None.
        root_height: what is taken off the root's height.
    """

    parents: np.ndarray
    places: np.ndarray
    rotations: np.ndarray
    roots: np.ndarray
    reference: np.ndarray
    slides: np.ndarray | None
    root_height: float


@dataclass(frozen=True)
class Augmentation:
    """How often and how much; probabilities and spreads."""

    mirror: float = 0.5
    stretch: float = 0.35
    stretch_range: tuple[float, float] = (0.75, 1.5)
    branches: float = 0.35
    turns: float = 0.35
    turns_spread: float = 0.25
    limbs: float = 0.5
    limb_spread: float = 0.12
    merge: float = 0.25
    split: float = 0.15
    drop: float = 0.25
    hands: float = 0.2
    random_reference: float = 0.1
    rest_reference: float = 0.05
    turn_spread_rad: float = 0.12
    any_turn: float = 0.02


NONE = Augmentation(
    mirror=0,
    stretch=0,
    branches=0,
    turns=0,
    limbs=0,
    merge=0,
    split=0,
    drop=0,
    hands=0,
    random_reference=0,
    rest_reference=0,
    turn_spread_rad=0,
    any_turn=0,
)


def mirror(clip: Clip) -> Clip:
    """Reflected in the YZ plane; needs no table of left and right."""
    turn, point = np.array([1.0, 1.0, -1.0, -1.0], np.float32), np.array([-1.0, 1.0, 1.0], np.float32)
    return replace(
        clip,
        places=clip.places * point,
        rotations=clip.rotations * turn,
        roots=clip.roots * point,
        reference=clip.reference * turn,
        slides=None if clip.slides is None else clip.slides * point,
    )


def take_branch(clip: Clip, other: Clip, joint: int) -> Clip:
    """A joint and all below it turn against the joint's parent as in another clip of the rig, with as many frames.

    An arm of one clip on the body of another: what limbs do together in a few hours of motion isn't all that they can.
    """
    rows = ancestor_matrix(clip.parents)[:, joint] > 0
    parent = clip.parents[joint]

    def taken(own, others):
        carried = quaternion_multiply(own[..., parent, :], quaternion_conjugate(others[..., parent, :]))
        turned = own.copy()
        turned[..., rows, :] = quaternion_multiply(carried[..., None, :], others[..., rows, :])
        return turned

    rotations, reference = taken(clip.rotations, other.rotations), taken(clip.reference, other.reference)
    return replace(clip, rotations=rotations, reference=reference)


def scale_turns(clip: Clip, factors) -> Clip:
    """Every joint's turn against its parent, away from the reference pose, times its factor `[J]`; not the root's."""
    above = parent_rows(clip.parents)
    own = quaternion_multiply(quaternion_conjugate(clip.reference[above]), clip.reference)
    local = quaternion_multiply(quaternion_conjugate(clip.rotations[:, above]), clip.rotations)
    turns = quaternion_to_rotvec(quaternion_multiply(quaternion_conjugate(own), local))
    local = quaternion_multiply(own, rotvec_to_quaternion(turns * factors[:, None])).astype(np.float32)
    rotations = clip.rotations.copy()
    for joint in range(1, len(above)):
        rotations[:, joint] = quaternion_multiply(rotations[:, above[joint]], local[:, joint])
    return replace(clip, rotations=rotations)


def stretch_limbs(clip: Clip, rng, spread: float) -> Clip:
    """Every bone longer or shorter, with what is common to the whole body taken out by the new height."""
    factors = np.exp(spread * rng.standard_normal((len(clip.parents), 1))).astype(np.float32)
    slides = None if clip.slides is None else clip.slides * factors
    return to_unit_height(replace(clip, places=clip.places * factors, slides=slides))


def to_unit_height(clip: Clip) -> Clip:
    """The whole clip scaled so that the skeleton is one height tall."""
    scale = 1.0 / max(tree_height(clip.parents, clip.places), 1e-6)
    return replace(
        clip,
        places=clip.places * scale,
        roots=clip.roots * scale,
        slides=None if clip.slides is None else clip.slides * scale,
        root_height=clip.root_height * scale,
    )


def remaining_parents(parents, kept):
    """Parents of the joints in `kept` among themselves; the children of a removed joint hang on its parent."""
    above = parents.copy()
    for joint in range(1, len(parents)):
        while not kept[above[joint]]:
            above[joint] = above[above[joint]]
    rows = np.cumsum(kept) - 1
    return np.where(above[kept] < 0, -1, rows[np.maximum(above[kept], 0)])


def keep_joints(clip: Clip, kept) -> Clip:
    """Only the joints in `kept [J]` (bool, the root among them); the children of a removed joint hang on its parent.

    A removed joint is frozen as it stands in the reference pose, so that its children stay at fixed places.
    """
    count = len(clip.parents)
    parents, places = clip.parents.copy(), clip.places.copy()
    for joint in range(1, count):
        parent = parents[joint]
        while not kept[parent]:
            turn = quaternion_multiply(quaternion_conjugate(clip.reference[parents[parent]]), clip.reference[parent])
            places[joint] = places[parent] + quaternion_rotate(turn, places[joint])
            parent = parents[parent]
        parents[joint] = parent
    rows = np.flatnonzero(kept)
    return replace(
        clip,
        parents=remaining_parents(clip.parents, kept),
        places=places[rows],
        rotations=clip.rotations[:, rows],
        reference=clip.reference[rows],
        slides=None if clip.slides is None else clip.slides[:, rows],
    )


def leaf_rows(parents):
    """Which joints have no child, `[J]` bool."""
    leaf = np.ones(len(parents), bool)
    leaf[parents[1:]] = False
    return leaf


def merged_rows(parents, rng, share: float):
    """Which joints stay when some inner ones are merged into their parents, `[J]` bool."""
    kept = leaf_rows(parents) | (rng.random(len(parents)) >= share)
    kept[0] = True
    return kept


def undropped_rows(parents, rng, share: float):
    """Which joints stay when some leaves are left out, `[J]` bool; all of them where hardly any would be left."""
    kept = ~leaf_rows(parents) | (rng.random(len(parents)) >= share)
    kept[0] = True
    return kept if kept.sum() >= FEWEST_JOINTS else np.ones(len(parents), bool)


def merge_joints(clip: Clip, rng, share: float) -> Clip:
    """Some inner joints merged into their parents."""
    return keep_joints(clip, merged_rows(clip.parents, rng, share))


def drop_leaves(clip: Clip, rng, share: float) -> Clip:
    """Some leaves left out."""
    return keep_joints(clip, undropped_rows(clip.parents, rng, share))


def split_draws(count: int, rng) -> tuple[int, float, float]:
    """Which of `count` joints' bones is split, where along it, and how much of its turn the new joint takes."""
    return int(rng.integers(1, count)), rng.uniform(0.3, 0.7), 0.5 * rng.integers(2)


def hand_draws(parents, rng) -> tuple[np.ndarray, int, int]:
    """Which leaves get hands, how many fingers, how many phalanges."""
    leaves = np.flatnonzero(leaf_rows(parents))
    return rng.permutation(leaves)[: rng.integers(1, 4)], int(rng.integers(2, 6)), int(rng.integers(1, 4))


def split_joint(clip: Clip, rng) -> Clip:
    """One bone in two: a joint is put on the way from a joint's parent to it, turning with the parent or half-way."""
    joint, along, share = split_draws(len(clip.parents), rng)
    parent = clip.parents[joint]
    rotations = _mix(clip.rotations[:, parent], clip.rotations[:, joint], share)
    reference = _mix(clip.reference[parent], clip.reference[joint], share)
    parents = np.concatenate((clip.parents[:joint], [parent], clip.parents[joint:]))
    parents[joint + 1 :] = np.where(clip.parents[joint:] >= joint, clip.parents[joint:] + 1, clip.parents[joint:])
    parents[joint + 1] = joint
    places = np.insert(clip.places, joint, along * clip.places[joint], axis=0)
    back = quaternion_multiply(quaternion_conjugate(reference), clip.reference[parent])
    places[joint + 1] = quaternion_rotate(back, (1 - along) * clip.places[joint])
    return replace(
        clip,
        parents=parents,
        places=places,
        rotations=np.insert(clip.rotations, joint, rotations, axis=1),
        reference=np.insert(clip.reference, joint, reference, axis=0),
        slides=None if clip.slides is None else np.insert(clip.slides, joint, 0, axis=1),
    )


def add_hands(clip: Clip, rng) -> Clip:
    """Some leaves get fingers: chains of short joints that turn with the leaf, still or curling to and fro.

    Many rigs have twenty joints a hand. Without such skeletons in training, their fingers drown the rest of the body.
    """
    hands, fingers, phalanges = hand_draws(clip.parents, rng)
    palm = rng.uniform(0.02, 0.06)
    amplitude = rng.uniform(0.0, 0.5) * (rng.random() < 0.5)
    seconds = np.arange(len(clip.rotations)) / MODEL_FPS
    parents, places = list(clip.parents), [clip.places]
    rotations, references = [clip.rotations], [clip.reference]
    for hand in hands:
        offset = quaternion_rotate(clip.reference[clip.parents[hand]], clip.places[hand])
        along = quaternion_rotate(quaternion_conjugate(clip.reference[hand]), offset)
        along = along / max(float(np.linalg.norm(along)), 1e-6)
        axis = np.cross(along, rng.standard_normal(3))
        axis /= max(float(np.linalg.norm(axis)), 1e-6)
        wave = amplitude * np.sin(2 * np.pi * (rng.uniform(0.1, 1.0) * seconds + rng.random()))
        for finger in range(fingers):
            rest = rng.uniform(-0.1, 0.5)
            sideways = (finger / (fingers - 1) - 0.5) * axis
            for phalanx in range(phalanges):
                curl = (phalanx + 1) * (rest + wave * rng.uniform(0.7, 1.3))
                turn = rotvec_to_quaternion(curl[:, None] * axis)
                rotations.append(quaternion_multiply(clip.rotations[:, hand], turn)[:, None])
                turn = rotvec_to_quaternion((phalanx + 1) * rest * axis)
                references.append(quaternion_multiply(clip.reference[hand], turn)[None])
                place = palm * (along + sideways) if phalanx == 0 else 0.4 * palm * along
                places.append(place[None])
                parents.append(hand if phalanx == 0 else len(parents) - 1)
    added = len(parents) - len(clip.parents)
    slides = clip.slides
    if slides is not None:
        slides = np.concatenate((slides, np.zeros((len(slides), added, 3), np.float32)), axis=1)
    grown = replace(
        clip,
        parents=np.array(parents),
        places=np.concatenate(places).astype(np.float32),
        rotations=np.concatenate(rotations, axis=1).astype(np.float32),
        reference=np.concatenate(references).astype(np.float32),
        slides=slides,
    )
    return to_unit_height(grown)


def _mix(a, b, share: float):
    b = np.where((a * b).sum(axis=-1, keepdims=True) < 0, -b, b)
    return quaternion_normalize((1 - share) * a + share * b).astype(np.float32)


def face_canonically(clip: Clip, turn_rad: float = 0.0) -> Clip:
    """The reference pose turned to its canonical facing, plus a turn."""
    offsets = place_offsets(clip.parents, clip.reference, clip.places)
    yaw = turn_rad - facing_yaw(ancestor_matrix(clip.parents) @ offsets)
    turn = yaw_to_quaternion(np.float32(yaw))
    return replace(clip, reference=quaternion_multiply(turn + 0 * clip.reference, clip.reference).astype(np.float32))


def joint_count(parents, settings: Augmentation, rng, hands: bool = False) -> int:
    """How many joints `augment` leaves of a skeleton with a generator in the same state, without doing it.

    Batches are put together by it: clips that end with alike numbers of joints need little padding.
    """
    rng.random()  # the reference
    for probability, rows in ((settings.merge, merged_rows), (settings.drop, undropped_rows)):
        if rng.random() < probability:
            parents = remaining_parents(parents, rows(parents, rng, rng.uniform(*SHARE_RANGE)))
    count = len(parents)
    while rng.random() < settings.split:
        split_draws(count, rng)
        count += 1
    if hands:  # a bone that is split has as many leaves below it
        chosen, fingers, phalanges = hand_draws(parents, rng)
        count += len(chosen) * fingers * phalanges
    return count


def augment(clip: Clip, rest, random_frame, settings: Augmentation, rng, hands: bool = False) -> Clip:
    """One random draw of everything that changes the skeleton; motion is changed where frames are read.

    Args:
        hands: fingers are added; drawn for whole batches, so that few joints are padded.
        rest: `[J, 4]` world rotations of the rest pose. random_frame: `[J, 4]` and that frame's root height, `(q, z)`.
    """
    draw = rng.random
    choice = draw()
    if choice < settings.random_reference:
        clip = replace(clip, reference=random_frame[0], root_height=random_frame[1])
    elif choice < settings.random_reference + settings.rest_reference:
        clip = replace(clip, reference=rest)
    if draw() < settings.merge:
        clip = merge_joints(clip, rng, rng.uniform(*SHARE_RANGE))
    if draw() < settings.drop:
        clip = drop_leaves(clip, rng, rng.uniform(*SHARE_RANGE))
    while draw() < settings.split:
        clip = split_joint(clip, rng)
    if hands:
        clip = add_hands(clip, rng)
    if draw() < settings.limbs:
        clip = stretch_limbs(clip, rng, settings.limb_spread * rng.uniform(0.3, 1.5))
    if draw() < settings.mirror:
        clip = mirror(clip)
    turn = (
        rng.uniform(-np.pi, np.pi) if draw() < settings.any_turn else settings.turn_spread_rad * rng.standard_normal()
    )
    return face_canonically(clip, turn)
