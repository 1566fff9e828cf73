"""Motion files to motions."""

import re
from pathlib import Path

import numpy as np

from backend.errors import UserError
from backend.motion import Motion, rigid_positions
from backend.rotations import euler_to_quaternion, quaternion_multiply, quaternion_rotate
from backend.skeleton import MOVING_HEIGHTS, Skeleton, choose_joints, skeleton_height

CHANNELS = ("Xposition", "Yposition", "Zposition", "Xrotation", "Yrotation", "Zrotation")
SAMPLED_FRAMES = 200  # enough to see which joints move


class SourceError(UserError):
    """A motion file that can't be used; the message says why."""


def read_bvh(path: Path):
    """The joints and channel values of a BVH file, in its own axes and units.

    Returns:
        names, parents `[N]`, offsets `[N, 3]`, channels (a list of names for each joint), values `[T, C]`, fps.

    Raises:
        SourceError: the file is not complete BVH.
    """
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    head, *tail = re.split(r"^\s*MOTION\s*$", text, maxsplit=1, flags=re.MULTILINE)
    if "HIERARCHY" not in head or not tail:
        raise SourceError(f"{path} is not a BVH file: HIERARCHY or MOTION is missing.")
    try:
        names, parents, offsets, channels = read_hierarchy(head)
    except (IndexError, ValueError) as error:
        raise SourceError(f"{path} has a broken HIERARCHY section ({error}).") from error
    lines = tail[0].lstrip().split("\n", 2)
    try:
        frames = int(lines[0].split(":")[1])
        frame_time = float(lines[1].split(":")[1])
        values = np.array(lines[2].split(), dtype=np.float64)
    except (IndexError, ValueError) as error:
        raise SourceError(f"{path} has a broken MOTION section ({error}).") from error
    width = sum(map(len, channels))
    if width == 0 or frame_time <= 0 or values.size != frames * width:
        raise SourceError(f"{path} has {values.size} numbers, expected {frames} frames of {width} channels.")
    return names, np.array(parents), np.array(offsets), channels, values.reshape(frames, width), 1.0 / frame_time


def read_hierarchy(head: str):
    """names, parents, offsets and channels of a BVH file's first section.

    Raises:
        ValueError or IndexError: it isn't one.
    """
    names, parents, offsets, channels, stack = [], [], [], [], []
    for line in head.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] in ("ROOT", "JOINT", "End"):
            if words[0] == "ROOT" and names:
                raise ValueError(f"a second root, '{' '.join(words[1:])}'; expected one skeleton a file")
            parents.append(stack[-1] if stack else -1)
            names.append(" ".join(words[1:]) if words[0] != "End" else f"{names[stack[-1]]}_end")
            offsets.append([0.0, 0.0, 0.0])
            channels.append([])
        elif words[0] == "{":
            stack.append(len(names) - 1)
        elif words[0] == "}":
            stack.pop()
        elif words[0] == "OFFSET":
            offsets[-1] = [float(word) for word in words[1:4]]
            if len(offsets[-1]) != 3:
                raise ValueError(f"an offset of {len(offsets[-1])} numbers")
        elif words[0] == "CHANNELS":
            channels[-1] = words[2:]
            if not set(channels[-1]) <= set(CHANNELS) or len(channels[-1]) != int(words[1]):
                raise ValueError(f"channels {' '.join(words[1:])}, expected {', '.join(CHANNELS)}")
    if not names or stack:
        raise ValueError(f"{len(stack)} braces aren't closed" if names else "no joint")
    return names, parents, offsets, channels


def bvh_motion(path: Path, up: str = "y") -> Motion:
    """A BVH file as a motion, Y up turned to Z up as Blender's importer does (x, -z, y); units stay the file's.

    Args:
        up: "y", as most files have it, or "z".

    Raises:
        SourceError: the file is broken or nothing in it moves.
    """
    _, parents, offsets, channels, values, fps = read_bvh(path)
    if len(values) < 2:
        raise SourceError(f"{path} has {len(values)} frames, expected at least 2.")
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        raise SourceError(f"{path}: {len(broken)} of {len(values)} frames hold no numbers (first: {broken[0] + 1}).")
    frames, count = len(values), len(parents)
    rotations = np.zeros((frames, count, 4))
    positions = np.zeros((frames, count, 3))
    column = 0
    for joint, parent in enumerate(parents):
        mine = values[:, column : column + len(channels[joint])]
        column += len(channels[joint])
        place = np.tile(offsets[joint], (frames, 1))
        order, angles = "", np.zeros((frames, 3))
        for index, channel in enumerate(channels[joint]):
            axis = "XYZ".index(channel[0])
            if channel.endswith("position"):
                place[:, axis] = mine[:, index]  # takes the offset's place, as Blender's importer has it
            else:
                order += channel[0]
                angles[:, axis] = np.radians(mine[:, index])
        # BVH lists the outermost turn first; Blender's order names the innermost first.
        local = euler_to_quaternion(angles, order[::-1]) if order else np.tile([1.0, 0, 0, 0], (frames, 1))
        if parent < 0:
            rotations[:, joint], positions[:, joint] = local, place
        else:
            rotations[:, joint] = quaternion_multiply(rotations[:, parent], local)
            positions[:, joint] = positions[:, parent] + quaternion_rotate(rotations[:, parent], place)
    rest = np.zeros((count, 3))
    for joint, parent in enumerate(parents):
        rest[joint] = offsets[joint] + (rest[parent] if parent >= 0 else 0)
    if up == "y":
        rotations = rotations[..., [0, 1, 3, 2]] * np.array([1.0, 1.0, -1.0, 1.0])
        positions = positions[..., [0, 2, 1]] * np.array([1.0, -1.0, 1.0])
        rest = rest[:, [0, 2, 1]] * np.array([1.0, -1.0, 1.0])
    try:
        return rig_motion(
            parents, rotations, positions, np.tile(np.eye(3), (count, 1, 1)), rest, fps, np.ones(count, bool)
        )
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from error


def rig_motion(parents, rotations, positions, rest_rotations, rest_positions, fps, candidates) -> Motion:
    """The motion of the joints that the model sees, from all bones of a rig.

    Args:
        parents: `[N]`. rotations: `[T, N, 4]`, positions: `[T, N, 3]` world. rest_rotations: `[N, 3, 3]`.
        rest_positions: `[N, 3]`. candidates: `[N]` bool, see `choose_joints`.

    Raises:
        ValueError: nothing moves.
    """
    sample = np.unique(np.linspace(0, len(rotations) - 1, SAMPLED_FRAMES).astype(int))
    choice = choose_joints(parents, rotations[sample], positions[sample], candidates)
    rest = np.tile(np.eye(4), (len(choice.bones), 1, 1))
    rest[:, :3, :3] = rest_rotations[choice.bones]
    rest[:, :3, 3] = rest_positions[choice.bones]
    skeleton = Skeleton(choice.parents, rest)
    motion = Motion(
        skeleton, fps, positions[:, choice.bones[0]], rotations[:, choice.bones], positions[:, choice.bones]
    )
    rigid = rigid_positions(skeleton, motion.root_positions, motion.rotations)
    height = skeleton_height(skeleton)
    if np.abs(rigid - motion.positions).max() < MOVING_HEIGHTS * height:
        return Motion(skeleton, fps, motion.root_positions, motion.rotations)
    return motion
