"""Skeletons: the tree of joints, which bones are joints, the facts that the model is told."""

from dataclasses import dataclass

import numpy as np

from .rotations import quaternion_angle, quaternion_conjugate, quaternion_multiply, quaternion_rotate

MAX_JOINTS = 256
MOVING_ANGLE_RAD = np.radians(0.2)  # a bone that turns less than this against its parent in a whole clip is still
MOVING_HEIGHTS = 2e-3  # the same for its place against its parent, in skeleton heights
LIMB_HEIGHTS = 0.12  # a branch at least this long is a limb
STUB_HEIGHTS = 0.04  # below the first bone of a limb that ends early, for its foot is a bone of its own
LOOSE_HEIGHTS = 0.02  # a bone that slides farther than this isn't held by its parent
TIP_HEIGHTS = 0.02  # a still leaf nearer than this to its parent says nothing that the parent doesn't
# The longest way along bones between two joints, over standing height. Bodies of people come near it, whatever the rest
# pose; other creatures have no agreed height, and this gives them one that doesn't depend on the pose.
SPAN_OVER_HEIGHT = 1.45

FACTS = {
    "position": 3,
    "offset": 3,
    "parent_offset": 3,
    "length": 1,
    "depth": 1,
    "children": 1,
    "descendants": 1,
    "leaf_distance": 1,
    "root_distance": 1,
    "slides": 1,
    "is_root": 1,
}
FACTS_SIZE = sum(FACTS.values())
RELATIONS = ("self", "parent", "child", "ancestor", "descendant", "sibling", "other")


@dataclass(frozen=True)
class Skeleton:
    """A tree of joints; row 0 is the body's root and parents come before their children.

    Attributes:
        parents: `[J]` int, the row of the parent, -1 for row 0.
        rest: `[J, 4, 4]`, world matrices of the rest pose (metres, Z up), rotation without scale.
    """

    parents: np.ndarray
    rest: np.ndarray


@dataclass(frozen=True)
class JointChoice:
    """Which bones of a rig the model sees.

    Attributes:
        bones: `[J]` int, rows of the rig's bones; row 0 is the body's root.
        parents: `[J]` int, the parent among the joints, -1 for row 0.
        followers: `[N]` int, for every bone of the rig the joint whose change it follows, -1 for none (bones above the
            body's root and what hangs on them alone).
    """

    bones: np.ndarray
    parents: np.ndarray
    followers: np.ndarray


def tree_depths(parents) -> np.ndarray:
    """Steps from the root, `[J]`; parents come before their children."""
    depths = np.zeros(len(parents), dtype=np.int64)
    for joint, parent in enumerate(parents):
        depths[joint] = 0 if parent < 0 else depths[parent] + 1
    return depths


def ancestor_matrix(parents) -> np.ndarray:
    """`[J, J]` float32, 1 where the column is the row itself or one of its ancestors."""
    matrix = np.eye(len(parents), dtype=np.float32)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            matrix[joint] += matrix[parent]
    return matrix


def parent_rows(parents):
    """`parents` with the root as its own parent, so that it can index."""
    return np.maximum(parents, 0)


def tree_height(parents, offsets) -> float:
    """The skeleton's height in metres: the longest way along bones between two joints over `SPAN_OVER_HEIGHT`.

    Args:
        offsets: `[J, 3]` from parent to joint in any pose; only lengths count.
    """
    lengths = np.linalg.norm(offsets, axis=-1)
    below = np.zeros(len(parents))  # the longest way down from each joint
    span = 0.0
    for joint in range(len(parents) - 1, 0, -1):
        parent = parents[joint]
        reach = below[joint] + lengths[joint]
        span = max(span, below[parent] + reach)
        below[parent] = max(below[parent], reach)
    return float(span / SPAN_OVER_HEIGHT)


def skeleton_height(skeleton: Skeleton) -> float:
    """The skeleton's height in metres, from the lengths of its rest pose; see `tree_height`."""
    return tree_height(skeleton.parents, rest_offsets(skeleton))


def leaf_distances(parents, lengths) -> np.ndarray:
    """The longest way along bones from each joint to a leaf below it, `[J]`."""
    below = np.zeros(len(parents))
    for joint in range(len(parents) - 1, 0, -1):
        parent = parents[joint]
        below[parent] = max(below[parent], below[joint] + lengths[joint])
    return below


def skeleton_facts(parents, offsets, slides) -> np.ndarray:
    """What the model is told of each joint, `[J, FACTS_SIZE]` float32, in the order of `FACTS`.

    Args:
        parents: `[J]`.
        offsets: `[J, 3]`, from parent to joint in the reference pose, in skeleton heights, in the heading frame.
        slides: `[J]` bool, the joint moves against its parent.
    """
    parents, offsets = np.asarray(parents), np.asarray(offsets, dtype=np.float64)
    count = len(parents)
    ancestors = ancestor_matrix(parents)
    lengths = np.linalg.norm(offsets, axis=-1)
    rows = parent_rows(parents)
    children = np.bincount(parents[1:], minlength=count) if count > 1 else np.zeros(count)
    columns = {
        "position": ancestors @ offsets,
        "offset": offsets,
        "parent_offset": offsets[rows],
        "length": lengths[:, None],
        "depth": tree_depths(parents)[:, None] / 8.0,
        "children": children[:, None] / 4.0,
        "descendants": (ancestors.sum(axis=0)[:, None] - 1) / count,
        "leaf_distance": leaf_distances(parents, lengths)[:, None],
        "root_distance": (ancestors @ lengths)[:, None],
        "slides": np.asarray(slides, dtype=np.float64)[:, None],
        "is_root": (parents < 0)[:, None].astype(np.float64),
    }
    return np.concatenate([columns[fact] for fact in FACTS], axis=1).astype(np.float32)


def joint_relations(parents) -> np.ndarray:
    """How the column joint stands to the row joint, `[J, J]` int, an index into `RELATIONS`."""
    parents = np.asarray(parents)
    ancestors = ancestor_matrix(parents) > 0
    count = len(parents)
    relations = np.full((count, count), RELATIONS.index("other"))
    relations[(parents[:, None] == parents[None, :]) & (parents >= 0)[:, None]] = RELATIONS.index("sibling")
    relations[ancestors] = RELATIONS.index("ancestor")
    relations[ancestors.T] = RELATIONS.index("descendant")
    rows = np.arange(1, count)
    relations[rows, parents[1:]] = RELATIONS.index("parent")
    relations[parents[1:], rows] = RELATIONS.index("child")
    np.fill_diagonal(relations, RELATIONS.index("self"))
    return relations


def rest_offsets(skeleton: Skeleton) -> np.ndarray:
    """From parent to joint in the parent's own axes, `[J, 3]` metres; zero for the root."""
    rest, rows = skeleton.rest, parent_rows(skeleton.parents)
    offsets = np.einsum("jba,jb->ja", rest[rows, :3, :3], rest[:, :3, 3] - rest[rows, :3, 3])
    offsets[0] = 0
    return offsets


def rigid_positions(skeleton: Skeleton, root_positions, rotations) -> np.ndarray:
    """World joint positions `[T, J, 3]` of a skeleton whose bones neither stretch nor slide.

    Args:
        root_positions: `[T, 3]` metres. rotations: `[T, J, 4]` world.
    """
    offsets = rest_offsets(skeleton).astype(rotations.dtype)
    steps = quaternion_rotate(rotations[:, parent_rows(skeleton.parents)], offsets)
    return root_positions[:, None] + ancestor_matrix(skeleton.parents).astype(rotations.dtype) @ steps


def choose_joints(parents, rotations, positions, candidates) -> JointChoice:
    """Which bones the model sees: those that deform or are keyed, below the body's root, and move.

    Twist, helper and still leaf bones are left out and follow their parents; the farthest still leaf of a moving bone
    stays, for it shows where that bone ends. Names are not read.

    Args:
        parents: `[N]`, -1 for roots; parents come before their children.
        rotations: `[T, N, 4]` world. positions: `[T, N, 3]` world heads, metres. A sample of frames is enough.
        candidates: `[N]` bool, the bone deforms or is keyed.

    Raises:
        ValueError: no candidate moves, or more than MAX_JOINTS do.
    """
    parents, candidates = np.asarray(parents), np.asarray(candidates)
    count = len(parents)
    kept_parents = nearest_kept(parents, candidates)  # the nearest candidate above, -1 for none
    rows = parent_rows(kept_parents)
    has_parent = (kept_parents >= 0)[:, None]
    local = quaternion_multiply(quaternion_conjugate(rotations[:, rows]), rotations)
    local = np.where(has_parent, local, rotations)
    place = quaternion_rotate(quaternion_conjugate(rotations[:, rows]), positions - positions[:, rows])
    place = np.where(has_parent, place, positions)
    lengths = np.where(has_parent[:, 0], np.linalg.norm(place, axis=-1).mean(axis=0), 0.0)
    height = max(forest_height(kept_parents, lengths, candidates), 1e-9)
    turns = quaternion_angle(local[:1], local).max(axis=0) > MOVING_ANGLE_RAD
    slides = np.linalg.norm(place - place[:1], axis=-1).max(axis=0) / height
    moves = candidates & (turns | (slides > MOVING_HEIGHTS))
    if not moves.any():
        raise ValueError(f"None of the {int(candidates.sum())} bones that deform or are keyed moves in these frames.")

    root = body_root(kept_parents, lengths / height, moves, candidates, slides > LOOSE_HEIGHTS)
    below = np.zeros(count, dtype=bool)
    below[root] = True
    above = np.zeros(count, dtype=bool)
    bone = kept_parents[root]
    while bone >= 0:
        above[bone] = True
        bone = kept_parents[bone]
    for bone in range(count):
        if kept_parents[bone] >= 0 and below[kept_parents[bone]]:
            below[bone] = True
    # What hangs beside the body (detached feet) belongs to it when it moves; the chain above the root doesn't.
    kept = candidates & moves & ~above
    kept[root] = True
    kept |= _tips(kept_parents, lengths / height, candidates & ~above, kept)
    # A still bone between moving ones follows its parent and needs no row: its children measure from the parent.
    bones = np.flatnonzero(kept)
    if len(bones) > MAX_JOINTS:
        raise ValueError(
            f"{len(bones)} bones move; the model takes up to {MAX_JOINTS}. Encode fewer bones (select them)."
        )
    order = np.concatenate(([root], bones[bones != root]))
    above_kept = nearest_kept(parents, kept)
    row_of = np.full(count + 1, -1)
    row_of[order] = np.arange(len(order))
    joint_parents = row_of[above_kept[order]]
    joint_parents[joint_parents < 0] = 0  # hangs on nothing kept: on the body's root, and slides
    joint_parents[0] = -1
    order, joint_parents = _parents_first(order, joint_parents)
    row_of[order] = np.arange(len(order))
    followers = np.where(kept, row_of[:count], row_of[above_kept])
    return JointChoice(order, joint_parents, followers)


def nearest_kept(parents, kept) -> np.ndarray:
    """The nearest kept bone above each bone, `[N]`, -1 for none."""
    nearest = np.full(len(parents), -1)
    for bone, parent in enumerate(parents):
        if parent >= 0:
            nearest[bone] = parent if kept[parent] else nearest[parent]
    return nearest


def forest_height(parents, lengths, kept) -> float:
    """The height of the largest tree among the kept bones, as `tree_height` has it."""
    below = np.zeros(len(parents))
    span = 0.0
    for bone in range(len(parents) - 1, -1, -1):
        parent = parents[bone]
        if kept[bone] and parent >= 0:
            reach = below[bone] + lengths[bone]
            span = max(span, below[parent] + reach)
            below[parent] = max(below[parent], reach)
    return span / SPAN_OVER_HEIGHT


def body_root(parents, lengths, moves, candidates, loose) -> int:
    """The bone that carries the body: down the largest branch to the first bone with two limbs below it.

    Limbs that don't move by themselves count once a bone on the way moves, for it carries them.
    """
    count = len(parents)
    weight = moves.astype(np.int64)
    below = np.zeros(count)
    for bone in range(count - 1, -1, -1):
        if candidates[bone] and parents[bone] >= 0:
            weight[parents[bone]] += weight[bone]
            below[parents[bone]] = max(below[parents[bone]], below[bone] + lengths[bone])
    children = [[] for _ in range(count)]
    tops = []
    for bone in np.flatnonzero(candidates):
        (children[parents[bone]] if parents[bone] >= 0 else tops).append(bone)
    bone = max(tops, key=lambda top: (weight[top], below[top]))
    first_moving = None
    while True:
        if moves[bone] and first_moving is None:
            first_moving = bone
        long = [child for child in children[bone] if below[child] >= LIMB_HEIGHTS]
        # Legs whose feet hang elsewhere are short; they are told from loose feet and targets by being held.
        stubs = [child for child in children[bone] if STUB_HEIGHTS <= below[child] < LIMB_HEIGHTS and not loose[child]]
        stubs = [child for child in stubs if lengths[child] + below[child] >= LIMB_HEIGHTS]
        limbs = [child for child in long + stubs if weight[child] or first_moving is not None]
        if len(limbs) >= 2 or not limbs:
            break
        bone = max(limbs, key=lambda child: (weight[child], below[child]))
    # A body without branches (a snake, a fish) is carried by its first moving bone.
    return int(bone) if len(limbs) >= 2 or first_moving is None else int(first_moving)


def _tips(parents, lengths, candidates, kept) -> np.ndarray:
    """The farthest still leaf below each kept bone that has no kept bone below it, `[N]` bool."""
    tips = np.zeros(len(parents), dtype=bool)
    above = nearest_kept(parents, kept)
    has_kept_child = np.zeros(len(parents), dtype=bool)
    has_kept_child[above[kept & (above >= 0)]] = True
    farthest = {}
    distance = np.zeros(len(parents))
    for bone in range(len(parents)):
        parent = parents[bone]
        if kept[bone] or not candidates[bone] or parent < 0 or above[bone] < 0:
            continue
        distance[bone] = lengths[bone] + (0.0 if kept[parent] else distance[parent])
        owner = above[bone]
        if not has_kept_child[owner] and distance[bone] > max(TIP_HEIGHTS, farthest.get(owner, (0.0, 0))[0]):
            farthest[owner] = (distance[bone], bone)
    for _, bone in farthest.values():
        tips[bone] = True
    return tips


def _parents_first(bones, parents):
    """The same tree in an order in which parents come before their children, row 0 first."""
    depths = np.zeros(len(bones), dtype=np.int64)
    for row in range(len(bones)):
        above = row
        while parents[above] >= 0:
            depths[row] += 1
            above = parents[above]
    order = np.argsort(depths, kind="stable")
    row_of = np.empty(len(bones), dtype=np.int64)
    row_of[order] = np.arange(len(bones))
    sorted_parents = parents[order]
    return bones[order], np.where(sorted_parents < 0, -1, row_of[np.maximum(sorted_parents, 0)])
