"""Controls: which joint each keyed bone of a control rig drives. No bpy.

What a keyed bone drives is told by the links (a copy, the target or the pole of an IK, a target to aim at), else by the
motion: the deforming bone that moves most rigidly with it.
"""

from dataclasses import dataclass

import numpy as np

from .backend.rotations import quaternion_angle, quaternion_conjugate, quaternion_multiply, quaternion_rotate
from .backend.skeleton import MOVING_HEIGHTS
from .channels import CHANNEL_SIZE, rotation_channel
from .control_joints import SAME_PLACE_HEIGHTS, STRAIGHT_COS, joint_candidates
from .links import AIMS, dependents, followers_of, turning_along

STRETCH_HEIGHTS = 0.03  # a joint that slips less against its parent is stretched by it
NEAR_HEIGHTS = 0.02  # a deforming bone nearer than this to a control that turns it is the one that it drives
LOOSE_RAD, LOOSE_HEIGHTS = np.radians(15.0), 0.06  # how far a driven bone may stray from its control, and
APART_HEIGHTS = 0.25  # how far it may lie from it
PLACE_COST, DISTANCE_COST = 3.0, 0.1  # a radian's worth of straying, and of lying apart, a skeleton height
TWIST_SHARE = 0.1  # of a turn about a common line that counts
STILL_COST = 0.02  # a control that the animator really moves is preferred to one with the same keys throughout


@dataclass(frozen=True)
class Pole:
    """A bone that turns limbs about their axes: row of the bone; for each limb the rows of its top, middle and end."""

    bone: int
    limbs: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Controls:
    """What the keyed bones of a control rig drive.

    Attributes:
        joints: `[N]` int, the joint whose change a bone takes or moves with, -1 for none.
        turn: `[N]` bool, the bone's rotation keys take it. shift: `[N]` bool, its location keys do.
        keyed: `[N]` bool, rotation or location keys. inner: `[N]` bool, an IK decides how the bone is turned.
        begins: `[N]` bool, of these the ones in limbs of one IK without a pole, or of more than two bones, that have
            rotation keys throughout: of the ways to bend that reach the target it takes one near to their own turn.
        aims: `[N]` bool, the joint only looks towards the bone, so that its turn tells whether that is right.
        poles: the poles with location keys.
        limbs: a joint at the end of an IK -> the joints that the IK turns for it.
        free: `[J]` bool, joints that can turn against their parents: by a control, or inside an IK.
        held: `[J]` bool, joints that stretch against their parents, but so little that these hold them.
        turned: `[J]` bool, the joint has a control with rotation keys on all axes. placed: `[J]` bool, the same for
            location.
    """

    joints: np.ndarray
    turn: np.ndarray
    shift: np.ndarray
    keyed: np.ndarray
    inner: np.ndarray
    begins: np.ndarray
    aims: np.ndarray
    poles: tuple[Pole, ...]
    limbs: dict[int, tuple[int, ...]]
    free: np.ndarray
    held: np.ndarray
    turned: np.ndarray
    placed: np.ndarray

    def driven_by(self, bones) -> np.ndarray:
        """The joints, `[M]` int, that some of the bones, `[N]` bool, drive; with the limb that an IK bends for them."""
        driven = set(self.joints[bones & (self.turn | self.shift)].tolist()) - {-1}
        for joint in list(driven):
            driven.update(self.limbs.get(joint, ()))
        for pole in self.poles:
            if bones[pole.bone]:
                driven.update(int(self.joints[row]) for row in pole.limbs[0][:2] if self.joints[row] >= 0)
        return np.array(sorted(driven), dtype=np.int64)


def find_controls(rig, choice, channels, rotations, heads) -> Controls:
    """Which joint each keyed bone drives, and through which of its channels.

    Args:
        rotations: `[T, N, 4]` and heads: `[T, N, 3]`, world, a sample of frames.
    """
    search = _Search(rig, choice, channels, rotations, heads)
    count = len(rig.names)
    joints = np.full(count, -1)
    for bone in range(count):
        joints[bone] = search.joint_of(bone)
        if joints[bone] < 0 and search.inner[bone]:
            joints[bone] = search.joint_of_mechanism(bone)
    drives = search.drives & (joints >= 0)
    turn, shift = search.can_turn & drives & ~search.only_places, search.can_shift & drives & search.may_shift(joints)
    poles = search.poles()
    pole_bones = np.array([pole.bone for pole in poles], dtype=np.int64)
    turn[pole_bones] = shift[pole_bones] = False
    search.choose_root_controls(joints, turn, shift)
    turned, placed, free = (np.zeros(len(choice.bones), dtype=bool) for _ in range(3))
    kinds = [rotation_channel(mode) for mode in rig.modes]
    whole = np.array([len(channels.rows(bone, kind)) == CHANNEL_SIZE[kind] for bone, kind in enumerate(kinds)])
    turned[joints[turn & whole]] = True
    whole = np.array([len(channels.rows(bone, "location")) == 3 for bone in range(count)])
    placed[joints[shift & whole & ~search.aims]] = True
    within = np.unique(joints[search.inner])
    within = within[within >= 0]
    free[within] = True
    free[joints[turn]] = True
    free[0] = True
    limbs = _limbs(choice.parents, within, placed | turned)
    begins = search.begins & (joints >= 0)
    inner, aims, held = search.inner, search.aims, search.held
    return Controls(joints, turn, shift, search.keyed, inner, begins, aims, poles, limbs, free, held, turned, placed)


def _limbs(parents, within, turned) -> dict[int, tuple[int, ...]]:
    """For each joint with a control of its own the joints above it that an IK turns, up to the next one with a control.

    Args:
        within: rows of the joints that an IK turns. turned: `[J]` bool.
    """
    limbs = {}
    for joint in np.flatnonzero(turned):
        above, found = int(parents[joint]), []
        while above > 0 and not turned[above]:
            found.append(above)
            above = int(parents[above])
        if set(found) & set(within.tolist()):
            limbs[int(joint)] = tuple(found)
    return limbs


class _Search:
    """What finding the driven joints looks at."""

    def __init__(self, rig, choice, channels, rotations, heads):
        self.rig, self.choice, self.rotations, self.heads = rig, choice, rotations, heads
        self.is_joint, self.drives = (np.zeros(len(rig.names), dtype=bool) for _ in range(2))
        self.is_joint[choice.bones] = True
        self.size = max(float(np.linalg.norm(np.ptp(heads[0], axis=0))), 1e-9)
        self.below = followers_of(rig.parents, rig.links)
        self.turned_along = turning_along(rig)
        self.only_places = np.zeros(len(rig.names), dtype=bool)  # targets whose own turn nothing follows
        self.aims = np.zeros(len(rig.names), dtype=bool)
        self.inner, self.begins = (np.zeros(len(rig.names), dtype=bool) for _ in range(2))
        chains = []
        tops = np.zeros(len(rig.names), dtype=bool)
        for link in rig.links:
            if link.kind == "IK" and link.influence > 0:
                self.inner[list(link.chain)] = True
                tops[link.chain[-1]] = True
                chains.append(link.chain)
        kinds = [rotation_channel(mode) for mode in rig.modes]
        has_turns, has_shifts = channels.bones_with(kinds), channels.bones_with(["location"] * len(rig.names))
        self.keyed = has_turns | has_shifts
        led = {link.chain for link in rig.links if link.kind == "POLE" and len(link.chain) <= 2}
        shared = np.bincount([bone for chain in chains for bone in chain], minlength=len(rig.names)) > 1
        for chain in set(chains) - led:
            if len(chain) == 1 or shared[list(chain)].any():  # what aims, or what several of them turn
                continue
            self.begins[list(chain)] = (has_turns & ~rig.held_turn)[list(chain)].all()
        self.can_turn = has_turns & ~rig.held_turn & ~self.inner
        self.can_shift = has_shifts & ~rig.connected & ~rig.held_place & (~self.inner | tops)
        self.has_shifts = has_shifts
        moving = (channels.values.max(axis=1) - channels.values.min(axis=1) > 1e-6) & (channels.bones >= 0)
        placing = moving & np.array([kind == "location" for kind in channels.kinds])
        self.varies, self.travels = (np.zeros(len(rig.names), dtype=bool) for _ in range(2))
        self.varies[channels.bones[moving]] = True
        self.travels[channels.bones[placing]] = True
        deforming = np.zeros(len(rig.names), dtype=bool)
        deforming[joint_candidates(rig, self.keyed)] = True
        deforming[choice.bones] = True
        self.deforming = deforming

    def joint_of(self, bone) -> int:
        """The joint that a bone drives, or that it moves with, -1 for none; keeps in `drives` which of the two."""
        followers = self.choice.followers
        self.drives[bone] = True
        if self.deforming[bone]:
            self.drives[bone] = self.is_joint[bone]
            return int(followers[bone])
        moved = dependents(bone, self.rig.parents, self.rig.links, self.below) & self.deforming
        if moved[self.choice.bones[0]]:
            return 0
        if not moved.any():
            self.drives[bone] = False
            return self._above(bone)
        rigid = self._turning_along(bone)
        if rigid >= 0:
            self.drives[bone] = self.is_joint[rigid]
            return int(followers[rigid])
        target = self._target_of(bone)
        if target is not None:
            self.only_places[bone] = True
            return target
        moved &= self.is_joint
        nearest = self._nearest(bone, np.flatnonzero(moved)) if self.keyed[bone] and moved.any() else -1
        return int(followers[nearest]) if nearest >= 0 else -1

    def _turning_along(self, bone) -> int:
        """The deforming bone at a bone's own place that the rig makes turn as it does, -1 for none."""
        reached, seen = [bone], {bone}
        while reached:
            reached = [other for above in reached for other in self.turned_along[above] if other not in seen]
            seen.update(reached)
            found = [other for other in reached if self.deforming[other]]
            if found:
                apart = np.linalg.norm(self.heads[:, found] - self.heads[:, bone, None], axis=-1).max(axis=0)
                if apart.min() < NEAR_HEIGHTS * self.size:
                    return found[int(np.argmin(apart))]
        return -1

    def _target_of(self, bone) -> int | None:
        """The joint that reaches for a bone, or aims at it; None where nothing does."""
        apart = np.linalg.norm(self.heads[:, self.choice.bones] - self.heads[:, bone, None], axis=-1).max(axis=0)
        for link in self.rig.links:
            if link.target != bone or link.kind not in (*AIMS, "IK"):
                continue
            if link.kind == "IK":  # what lies at the end of the chain
                ends = [row for row in np.argsort(apart) if self.choice.bones[row] not in link.chain]
                if ends and apart[ends[0]] < SAME_PLACE_HEIGHTS * self.size:
                    return int(ends[0])
            self.aims[bone] = True
            return self.joint_of_mechanism(link.owner)
        return None

    def joint_of_mechanism(self, bone) -> int:
        """The joint that moves most rigidly with a bone, whatever the links."""
        if self.deforming[bone]:
            return int(self.choice.followers[bone])
        nearest = self._nearest(bone, self.choice.bones)
        return int(self.choice.followers[nearest]) if nearest >= 0 else -1

    def _above(self, bone) -> int:
        """The joint that a bone which moves nothing hangs on."""
        while bone >= 0 and not self.deforming[bone]:
            bone = int(self.rig.parents[bone])
        return int(self.choice.followers[bone]) if bone >= 0 else -1

    def _nearest(self, bone, others) -> int:
        """Of some bones the one that moves most rigidly with `bone`; -1 where none nearly does."""
        strays, slips, apart = self._against(bone, others)
        best = int(np.argmin(strays + PLACE_COST * slips + DISTANCE_COST * apart))
        near = strays[best] < LOOSE_RAD and slips[best] < LOOSE_HEIGHTS and apart[best] < APART_HEIGHTS
        return int(others[best]) if near else -1

    def _against(self, bone, others):
        """How far other bones turn and move against a bone, in radians and heights, and how far they lie apart.

        Of bones along the same line a twist about it counts little: rigs spread it over a limb.
        """
        turns = quaternion_conjugate(self.rotations[:, bone, None])
        local = quaternion_multiply(turns, self.rotations[:, others])
        place = quaternion_rotate(turns, self.heads[:, others] - self.heads[:, bone, None]) / self.size
        strays = quaternion_angle(local[:1], local).max(axis=0)
        axes = quaternion_rotate(local, np.array([0.0, 1.0, 0.0]))
        swings = np.arccos(np.clip((axes[:1] * axes).sum(axis=-1), -1, 1)).max(axis=0)
        in_line = self.rig.rest[others, :3, 1] @ self.rig.rest[bone, :3, 1] > STRAIGHT_COS
        strays = np.where(in_line, swings + TWIST_SHARE * (strays - swings), strays)
        slips = np.linalg.norm(place - place.mean(axis=0), axis=-1).max(axis=0)
        return strays, slips, np.linalg.norm(place, axis=-1).mean(axis=0)

    def may_shift(self, joints) -> np.ndarray:
        """`[N]` bool: bones that the animator moves, not only turns: their location changes, or they are a target, or
        above one, or their joint slides, or they carry the body."""
        rig, parents = self.rig, self.choice.parents
        targets = np.zeros(len(joints), dtype=bool)
        targets[[link.target for link in rig.links if link.kind in (*AIMS, "IK", "POLE", "COPY_LOCATION")]] = True
        for bone in range(len(joints) - 1, -1, -1):
            if targets[bone] and rig.parents[bone] >= 0 and not self.deforming[bone]:
                targets[rig.parents[bone]] = True
        bones, above = self.choice.bones, self.choice.bones[np.maximum(parents, 0)]
        steps = self.heads[:, bones] - self.heads[:, above]
        local = quaternion_rotate(quaternion_conjugate(self.rotations[:, above]), steps)
        slips = np.linalg.norm(local - local.mean(axis=0), axis=-1).max(axis=0)
        self.held = slips < STRETCH_HEIGHTS * self.size
        slides = slips > MOVING_HEIGHTS * self.size
        slides[0] = True
        own = np.zeros(len(joints), dtype=bool)
        own[bones[slides]] = True
        return self.travels | targets | own | (joints == 0)

    def choose_root_controls(self, joints, turn, shift) -> None:
        """Leaves of the bones that move the whole body one that turns it and one that shifts it."""
        root = int(self.choice.bones[0])
        rig = self.rig
        moves_all = [dependents(bone, rig.parents, rig.links, self.below)[root] for bone in range(len(joints))]
        moves_all[root] = True
        for can in (turn, shift):
            bones = np.flatnonzero(can & (joints == 0) & moves_all)
            if not len(bones):
                continue
            costs = []
            for bone in bones:
                strays, slips, apart = (part[0] for part in self._against(bone, np.array([root])))
                still = 0.0 if self.varies[bone] else STILL_COST
                costs.append(strays + PLACE_COST * slips + DISTANCE_COST * apart + still)
            can[bones] = False
            can[bones[int(np.argmin(costs))]] = True

    def poles(self) -> tuple[Pole, ...]:
        """The keyed poles with their limbs."""
        limbs = {}
        for link in self.rig.links:
            if link.kind != "POLE" or len(link.chain) < 2:
                continue
            bone = link.target
            while bone >= 0 and not (self.has_shifts[bone] and self.can_shift[bone]):
                bone = int(self.rig.parents[bone])
            if bone < 0 or (bone != link.target and self.varies[link.target]):
                continue
            if bone != link.target and self.joint_of(bone) >= 0:
                continue  # the bone above drives something itself
            end = next((o.target for o in self.rig.links if o.kind == "IK" and o.chain == link.chain), -1)
            if end >= 0:
                limbs.setdefault(bone, []).append((link.chain[-1], link.chain[(len(link.chain) - 1) // 2], end))
        return tuple(Pole(bone, tuple(found)) for bone, found in limbs.items())
