"""Links: which bone moves which, from constraints and drivers, as plain data.

Reads Blender's properties by name and imports no bpy, so that what follows from links can be tried without Blender.
"""

import re
from dataclasses import dataclass

import numpy as np

BONE_IN_PATH = re.compile(r'pose\.bones\["((?:[^"\\]|\\.)*)"\]')
# What a constraint takes over of its bone; others (limits, Child Of, Armature, Floor) let the bone's own keys through.
TURNING = {
    "ACTION", "COPY_ROTATION", "COPY_TRANSFORMS", "DAMPED_TRACK", "LOCKED_TRACK", "STRETCH_TO", "TRACK_TO", "TRANSFORM",
    "SPLINE_IK",
}  # fmt: skip
PLACING = {"ACTION", "COPY_LOCATION", "COPY_TRANSFORMS", "FOLLOW_TRACK", "PIVOT", "CLAMP_TO"}
FOLLOWING = {"COPY_TRANSFORMS", "CHILD_OF", "ARMATURE"}  # a bone that keeps to its target as if it were its parent
AIMS = {"DAMPED_TRACK", "TRACK_TO", "LOCKED_TRACK", "STRETCH_TO"}
MAX_VERTICES = 100_000  # of a mesh that are looked at
WHOLE_INFLUENCE = 0.99  # a constraint weaker than this leaves something to the bone's own keys


@dataclass(frozen=True)
class Link:
    """One bone that has a say in where another one is.

    Attributes:
        owner: row of the bone that is moved. target: row of the bone that moves it.
        kind: the constraint's type, "POLE" for an IK's pole, "DRIVER" for a driver.
        influence: 0 to 1. chain: rows of an IK's bones, from the owner up; () for everything else.
    """

    owner: int
    target: int
    kind: str
    influence: float
    chain: tuple[int, ...] = ()


def read_links(armature, row_of, parents) -> tuple[Link, ...]:
    """The links between the bones of an armature object; constraints that are switched off have none.

    Args:
        row_of: the row of each bone's name. parents: `[N]` int.
    """
    links = []
    for name, owner in row_of.items():
        for constraint in armature.pose.bones[name].constraints:
            if constraint.enabled and constraint.is_valid and constraint.influence > 0:
                links += _constraint_links(armature, constraint, owner, row_of, parents)
    return tuple(links + _driver_links(armature, row_of))


def _constraint_links(armature, constraint, owner, row_of, parents):
    """The links of one constraint."""
    kind, influence = constraint.type, constraint.influence
    if kind == "ARMATURE":
        own = [target for target in constraint.targets if target.target == armature and target.weight > 0]
        return [Link(owner, row_of[t.subtarget], kind, influence * t.weight) for t in own if t.subtarget in row_of]
    links = []
    chain = _chain(owner, constraint, parents) if kind == "IK" else ()
    if getattr(constraint, "target", None) == armature and constraint.subtarget in row_of:
        links.append(Link(owner, row_of[constraint.subtarget], kind, influence, chain))
    if kind == "IK" and constraint.pole_target == armature and constraint.pole_subtarget in row_of:
        links.append(Link(owner, row_of[constraint.pole_subtarget], "POLE", influence, chain))
    return links


def _chain(owner, constraint, parents) -> tuple[int, ...]:
    """The bones that an IK constraint turns; a count of zero means all bones above."""
    chain = [owner] if constraint.use_tail else []
    bone, length = int(parents[owner]), constraint.chain_count or len(parents)
    while bone >= 0 and len(chain) < length:
        chain.append(bone)
        bone = int(parents[bone])
    return tuple(chain)


def _driver_links(armature, row_of):
    """Bones whose properties or constraints are driven by bones."""
    data = armature.animation_data
    links = []
    for curve in data.drivers if data is not None else ():
        match = BONE_IN_PATH.match(curve.data_path)
        if curve.mute or match is None or match[1] not in row_of:
            continue
        for variable in curve.driver.variables:
            for target in variable.targets:
                if target.id != armature:
                    continue
                found = BONE_IN_PATH.match(target.data_path) if variable.type == "SINGLE_PROP" else None
                name = found[1] if found else target.bone_target
                if name in row_of and row_of[name] != row_of[match[1]]:
                    links.append(Link(row_of[match[1]], row_of[name], "DRIVER", 1.0))
    return links


def weighted_bones(armature, things, names) -> np.ndarray | None:
    """Which bones have vertices in their group, or an object that hangs on them, `[N]` bool; None without any.

    Args:
        things: objects, of which those that the armature deforms or carries are looked at.
    """
    found = set()
    for thing in things:
        if thing.parent == armature and thing.parent_type == "BONE":
            found.add(thing.parent_bone)
        if thing.type == "MESH" and any(m.type == "ARMATURE" and m.object == armature for m in thing.modifiers):
            vertices = thing.data.vertices
            some = range(0, len(vertices), 1 + len(vertices) // MAX_VERTICES)
            used = {at.group for row in some for at in vertices[row].groups if at.weight > 0}
            found |= {group.name for group in thing.vertex_groups if group.index in used}
    weighted = np.array([name in found for name in names])
    return weighted if weighted.any() else None


def dependents(bone: int, parents, links, below=None) -> np.ndarray:
    """`[N]` bool: the bones that move when this one does, by the bone tree and the links; itself not.

    Args:
        below: `followers_of(parents, links)` where it is known.
    """
    below = followers_of(parents, links) if below is None else below
    reached, open_ = np.zeros(len(parents), dtype=bool), [bone]
    while open_:
        for other in below[open_.pop()]:
            if not reached[other]:
                reached[other] = True
                open_.append(other)
    reached[bone] = False
    return reached


def followers_of(parents, links) -> list[list[int]]:
    """For each bone those that hang on it or are linked to it directly."""
    below = [[] for _ in parents]
    for bone, parent in enumerate(parents):
        if parent >= 0:
            below[parent].append(bone)
    for link in links:
        for owner in link.chain or (link.owner,):
            below[link.target].append(owner)
    return below


def held_bones(poses) -> tuple[np.ndarray, np.ndarray]:
    """`[N]` bool twice: a constraint decides how a pose bone is turned, where it is. IK is not among them."""
    turned, placed = np.zeros(len(poses), dtype=bool), np.zeros(len(poses), dtype=bool)
    for row, pose in enumerate(poses):
        for constraint in pose.constraints:
            if constraint.enabled and constraint.is_valid and constraint.influence >= WHOLE_INFLUENCE:
                mixes = getattr(constraint, "mix_mode", "REPLACE") != "REPLACE" or getattr(constraint, "use_offset", 0)
                turned[row] |= constraint.type in TURNING and not mixes
                placed[row] |= constraint.type in PLACING and not mixes
    return turned, placed


def depends_on_itself(bone: int, parents, links) -> bool:
    """Whether a bone moves itself by way of others."""
    below = followers_of(parents, links)
    first = set(below[bone])
    return bone in first or any(
        bone in below[other] for other in np.flatnonzero(dependents(bone, parents, links, below))
    )


def go_in_circles(parents, links) -> bool:
    """Whether a bone depends on itself by way of others, so that Blender shows it late."""
    below, state = followers_of(parents, links), [0] * len(parents)
    for start in range(len(parents)):
        path = [(start, iter(below[start]))] if not state[start] else []
        state[start] = 1 if path else state[start]
        while path:
            bone, rest = path[-1]
            after = next((other for other in rest if state[other] != 2), None)
            if after is None:
                state[bone] = 2
                path.pop()
            elif state[after] == 1:
                return True
            else:
                state[after] = 1
                path.append((after, iter(below[after])))
    return False


def turning_along(rig) -> list[list[int]]:
    """For each bone those that the rig makes turn as it does: what hangs on it or copies it, also if that aims then."""
    sources = [int(parent) if along else -1 for parent, along in zip(rig.parents, rig.turns_along, strict=True)]
    for link in rig.links:
        if link.influence >= WHOLE_INFLUENCE and link.kind in (*FOLLOWING, "COPY_ROTATION"):
            sources[link.owner] = link.target
        for bone in link.chain if link.kind == "IK" else ():
            sources[bone] = -1
    along = [[] for _ in sources]
    for bone, source in enumerate(sources):
        if source >= 0:
            along[source].append(bone)
    return along


def step_sources(rig) -> list[tuple[int, int]]:
    """For each bone the bones that hand its turn and its place down: its parent, or what its constraints follow.

    -1 for none; a bone whose turn nothing hands down rigidly (it aims, or is in an IK) has -1 as its turn's source.
    """
    sources = [(int(parent), int(parent)) for parent in rig.parents]
    for link in rig.links:
        if link.influence < WHOLE_INFLUENCE or link.chain:
            continue
        turn, place = sources[link.owner]
        if link.kind in FOLLOWING:
            sources[link.owner] = (link.target, link.target)
        elif link.kind == "COPY_LOCATION":
            sources[link.owner] = (turn, link.target)
        elif link.kind == "COPY_ROTATION" and rig.held_turn[link.owner]:
            sources[link.owner] = (link.target, place)
    for link in rig.links:
        if link.kind in AIMS and rig.held_turn[link.owner]:
            sources[link.owner] = (-1, sources[link.owner][1])
        for bone in link.chain if link.kind == "IK" else ():
            sources[bone] = (-1, sources[bone][1])
    return sources
