"""Which bones of a control rig are joints: the deforming ones, as a tree of their own. No bpy.

A rig with constraints or drivers has bones that deform and bones that are keyed, often not the same, and mechanism
between them.
"""

import numpy as np

from .backend.rotations import quaternion_rotate
from .backend.skeleton import JointChoice, choose_joints
from .links import dependents, followers_of

SLIDE_HEIGHTS = 0.02  # a bone whose distance changes by more than this slides
SAME_PLACE_HEIGHTS = 0.005  # heads nearer than this all the time are one place
STRAIGHT_COS = np.cos(np.radians(0.5))  # bones nearer to one direction than this lie on one line


def joint_candidates(rig, keyed) -> np.ndarray:
    """Which bones of a control rig can be joints, `[N]` bool: those that deform, and keyed ones that move nothing else.

    A bone that others are linked to and that has no vertices, nor bones with vertices on it, doesn't deform whatever
    its setting says.
    """
    deform = rig.deform.copy()
    if rig.weighted is not None:
        carries = rig.weighted & rig.deform
        for bone in range(len(deform) - 1, -1, -1):
            if carries[bone] and rig.parents[bone] >= 0:
                carries[rig.parents[bone]] = True
        linked = np.zeros(len(deform), dtype=bool)
        linked[[link.target for link in rig.links]] = True
        deform &= carries | ~linked
    below = followers_of(rig.parents, rig.links)
    alone = [not (dependents(bone, rig.parents, rig.links, below) & rig.deform).any() for bone in np.flatnonzero(keyed)]
    candidates = deform.copy()
    candidates[np.flatnonzero(keyed)[np.array(alone, dtype=bool)]] = True
    return candidates


def control_choice(rig, rotations, heads, keyed) -> JointChoice:
    """The joints of a control rig; see `backend.skeleton.choose_joints`.

    Args:
        rotations: `[T, N, 4]` world, a sample of frames. heads: `[T, N, 3]` world. keyed: `[N]` bool.
    """
    candidates = joint_candidates(rig, keyed)
    parents = _deform_parents(rig, candidates, heads)
    candidates = candidates & ~_twist_segments(rig, candidates, parents, keyed, rotations, heads)
    order = _parents_first(parents)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    tree = np.where(parents[order] < 0, -1, place[parents[order]])
    found = choose_joints(tree, rotations[:, order], heads[:, order], candidates[order])
    return JointChoice(order[found.bones], found.parents, found.followers[place])


def _deform_parents(rig, candidates, heads) -> np.ndarray:
    """The bone tree with deforming bones hung on deforming bones, `[N]`, where mechanism lies between them.

    A mechanism bone above stands for the deforming bone whose head lies on its own all the time. The target of an IK
    that deforms, a foot, hangs on the chain that reaches it.
    """
    parents = rig.parents.copy()
    size = _size(heads)
    bones = np.flatnonzero(candidates)
    stands_for = {}

    def lying_on(bone):
        if bone not in stands_for:
            apart = np.linalg.norm(heads[:, bones] - heads[:, bone, None], axis=-1).max(axis=0)
            near = np.flatnonzero(apart < SAME_PLACE_HEIGHTS * size)
            stands_for[bone] = bones[near[np.argsort(apart[near], kind="stable")]].tolist()
        return stands_for[bone]

    for bone in bones:
        above = int(rig.parents[bone])
        while above >= 0 and not candidates[above]:
            fitting = [other for other in lying_on(above) if not _is_above(parents, bone, other)]
            fitting = [other for other in fitting if not _same_place(heads, bone, other, size)]
            if fitting:
                parents[bone] = fitting[0]
                break
            above = int(rig.parents[above])
    for link in rig.links:
        loose = candidates[link.target] and not _is_above(parents, link.target, link.owner)
        if link.kind == "IK" and loose and not _is_above(parents, link.chain[-1], link.target):
            parents[link.target] = link.owner
    return parents


def _twist_segments(rig, candidates, parents, keyed, rotations, heads) -> np.ndarray:
    """`[N]` bool: bones that go on straight from the one above, only ever turn about that line against it, and have no
    keyed bone at their place.

    Limbs that bend are cut into such pieces so that skin twists evenly; as joints they would bend the limb midway.
    """
    segments = np.zeros(len(candidates), dtype=bool)
    along = np.array([0.0, 1.0, 0.0])  # of a bone, in its own axes
    size, controls = _size(heads), np.flatnonzero(keyed)
    for bone in np.flatnonzero(candidates & (parents >= 0)):
        above = parents[bone]
        axes = rig.rest[[above, bone], :3, 1]
        line = rig.rest[bone, :3, 3] - rig.rest[above, :3, 3]
        length = np.linalg.norm(line)
        straight = candidates[above] and length > 0 and (axes @ line).min() > STRAIGHT_COS * length
        if not straight or axes[0] @ axes[1] < STRAIGHT_COS or _slides_along(heads, bone, above, size):
            continue
        swings = [quaternion_rotate(rotations[:, row], along) for row in (above, bone)]
        if (swings[0] * swings[1]).sum(axis=-1).min() > STRAIGHT_COS:
            apart = np.linalg.norm(heads[:, controls] - heads[:, bone, None], axis=-1).max(axis=0)
            segments[bone] = (apart > SAME_PLACE_HEIGHTS * size).all()
    return segments


def _slides_along(heads, bone, other, size) -> bool:
    """Whether the distance of two heads changes, so that one slides against the other."""
    return np.ptp(np.linalg.norm(heads[:, bone] - heads[:, other], axis=-1)) > SLIDE_HEIGHTS * size


def _size(heads) -> float:
    """How large a rig is, from one corner to the other."""
    return max(float(np.linalg.norm(np.ptp(heads[0], axis=0))), 1e-9)


def _same_place(heads, one, other, size) -> bool:
    return np.linalg.norm(heads[:, one] - heads[:, other], axis=-1).max() < SAME_PLACE_HEIGHTS * size


def _is_above(parents, bone, other) -> bool:
    """Whether `bone` is `other` or one of the bones above it."""
    while other >= 0:
        if other == bone:
            return True
        other = int(parents[other])
    return False


def _parents_first(parents) -> np.ndarray:
    """The rows in an order in which parents come before their children."""
    depths = np.full(len(parents), -1)
    for bone in range(len(parents)):
        path = []
        while bone >= 0 and depths[bone] < 0:
            path.append(bone)
            bone = int(parents[bone])
        depth = depths[bone] if bone >= 0 else -1
        for row in reversed(path):
            depth += 1
            depths[row] = depth
    return np.argsort(depths, kind="stable")
