"""Limbs: the chains of joints that carry what rests. No names are read."""

from dataclasses import dataclass

import numpy as np

from .rotations import quaternion_conjugate, quaternion_rotate, rotvec_to_quaternion
from .skeleton import LIMB_HEIGHTS, ancestor_matrix, leaf_distances, parent_rows

TIED_HEIGHTS = 0.015  # a leg goes with the detached foot that moves less than this in the axes of its last bone,
TIED_SHARE = 0.3  # and less than this share of what the foot moves in the body's
BESIDE_SHARE = 0.5
FOOT_HEIGHTS = 0.25  # nearer than this to the end of a limb, branches are toes and fingers, not limbs


@dataclass(frozen=True)
class Limb:
    """What carries one or several resting joints.

    Attributes:
        chain: `[N]` joints whose turning moves the unit, from the body outwards; empty where nothing turns it.
        unit: the joint at the top of what rests: an ankle, a wrist, a hoof.
        ends: `[C]` the resting joints, the unit or below it.
        slides: the unit slides against its parent and is put in place; the chain is that of the leg that follows it, as
            rigs with detached feet have it.
    """

    chain: np.ndarray
    unit: int
    ends: np.ndarray
    slides: bool


def find_limbs(source, places_heights, ends, slide_joints) -> list[Limb]:
    """The limbs that end in `ends`, each from the body's root or a branching of the body outwards, and all that end in
    detached feet.

    Args:
        source: Motion. places_heights: `[T, J, 3]`, skeleton heights. ends: joints. slide_joints: joints that slide.
    """
    parents = source.skeleton.parents
    lengths = np.linalg.norm(places_heights - places_heights[:, parent_rows(parents)], axis=-1).mean(axis=0)
    reaches = leaf_distances(parents, lengths)
    branches = reaches + lengths  # from each joint's parent to the end of the branch that the joint begins
    sliding = {int(joint) for joint in slide_joints}
    ancestors = ancestor_matrix(parents) > 0

    def top_of(joint):
        while joint not in sliding:
            parent = int(parents[joint])
            others = np.flatnonzero((parents == parent) & (np.arange(len(parents)) != joint))
            # A body has other limbs of about that length beside this one; a thigh has twist bones.
            limbs_beside = branches[others] >= max(LIMB_HEIGHTS, BESIDE_SHARE * branches[joint])
            if parent <= 0 or (limbs_beside.any() and reaches[parent] > FOOT_HEIGHTS):
                break
            joint = parent
        return joint

    followers = _followers(source, places_heights, ancestors, reaches, sliding)
    by_top = {foot: [] for foot in followers}
    for end in ends:
        by_top.setdefault(top_of(int(end)), []).append(int(end))
    limbs = []
    for top, mine in sorted(by_top.items()):
        mine = np.array(mine or [top])
        if top in sliding:
            leg = followers.get(top)
            chain = [] if leg is None else np.flatnonzero(ancestors[leg] & ancestors[:, top_of(leg)])
            limbs.append(Limb(np.array(chain, dtype=np.int64), top, mine, True))
        else:
            shared = np.flatnonzero(ancestors[mine].all(axis=0) & ancestors[:, top])  # above all ends, top included
            limbs.append(Limb(shared[:-1], int(shared[-1]), mine, False))
    return limbs


def _followers(source, places_heights, ancestors, reaches, sliding) -> dict[int, int]:
    """For each detached foot the joint of the leg that goes to it: the foot doesn't move in that joint's axes."""
    inverse = quaternion_conjugate(source.rotations)
    followers = {}
    for foot in sliding:
        if source.skeleton.parents[foot] != 0 or reaches[foot] > FOOT_HEIGHTS:
            continue
        seen = quaternion_rotate(inverse, places_heights[:, [foot]] - places_heights)
        moves = np.linalg.norm(seen.std(axis=0), axis=-1)
        score = moves + TIED_HEIGHTS * np.linalg.norm(seen.mean(axis=0), axis=-1)  # the nearest, where all nearly rest
        score[ancestors[:, foot] | ancestors[foot]] = np.inf
        score[list(sliding)] = np.inf
        best = int(score.argmin())
        if np.isfinite(score[best]) and moves[best] < min(TIED_HEIGHTS, TIED_SHARE * moves[0]):
            followers[foot] = best
    return followers


def limb_points(limb: Limb, places, varied=None, rotation=None) -> np.ndarray:
    """The joints of a limb and its end, `[T, N + 1, 3]`: of the source, or of a variation.

    The end of a leg with a detached foot is where the foot is in the source, carried by the leg's last bone.

    Args:
        places, varied: `[T, J, 3]`, source and variation. rotation: `[T, J, 3]`, the change.
    """
    nodes = [*limb.chain, limb.unit]
    if varied is None:
        return places[:, nodes]
    points = varied[:, nodes]
    if limb.slides and len(limb.chain):
        last = limb.chain[-1]
        step = quaternion_rotate(rotvec_to_quaternion(rotation[:, last]), places[:, limb.unit] - places[:, last])
        points[:, -1] = varied[:, last] + step
    return points
