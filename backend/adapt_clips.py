"""Clips of one character made ready to be learnt from: read in several tempos, their joints in common rows, split."""

from dataclasses import dataclass, replace

import numpy as np

from .adaptation import joint_marks, match_joints
from .encoding import Model, read_features
from .errors import UserError
from .features import IDENTITY_SIXD, JOINT_INPUT_SIZE, JOINT_INPUTS, JOINT_OUTPUT_SIZE, MODEL_FPS, columns
from .model import embed_skeleton
from .motion import Motion
from .skeleton import RELATIONS, skeleton_height

VARIANTS = ((1.0, 0.0), (0.87, 0.12), (1.15, -0.12))  # tempo and turn in which each clip is learnt from
MOST_FRAMES = 12_000  # that are learnt from, and
MOST_HELD = 1_500  # held out; more takes longer and says no more
FEWEST_CHUNKS = 6  # of motion, so that some can be held out
FEWEST_CLIPS = 4  # from which on whole clips are held out
HELD_EVERY = 4
MOST_NEW = 0.7  # of a clip's joints that no other clip of the character moves


@dataclass(frozen=True)
class Take:
    """A clip in one of `VARIANTS`, its joints in the rows of all joints that were found.

    Attributes:
        joints `[T, J, I]`, root `[T, R]`; structure and adapters with a batch axis of 1: of the engine.
        learnt, held: (start, stop) of stretches in whole chunks. plain: the clip is as it was given.
    """

    joints: object
    root: object
    structure: dict
    adapters: dict
    learnt: tuple[tuple[int, int], ...]
    held: tuple[tuple[int, int], ...]
    plain: bool


def joint_table(skeletons):
    """All joints of a character whose clips move different ones.

    Returns:
        marks `[N, 12]`, the height in metres, and for each skeleton the row of each joint, `[J]`.

    Raises:
        UserError: the skeletons are of different characters.
    """
    largest = max(skeletons, key=lambda skeleton: len(skeleton.parents))
    marks, height_m = joint_marks(largest), skeleton_height(largest)
    tables = []
    for skeleton in skeletons:
        rows, _ = match_joints(marks, height_m, skeleton)
        missing = np.flatnonzero(rows < 0)
        if len(missing) > MOST_NEW * len(rows):
            raise UserError(
                f"The motions are of different characters: {len(missing)} of {len(rows)} joints of one stand elsewhere "
                "in rest than in another. Adapt to one character at a time."
            )
        rows[missing] = len(marks) + np.arange(len(missing))
        marks = np.concatenate((marks, joint_marks(skeleton)[missing]))
        tables.append(rows)
    return marks, height_m, tables


def read_takes(model: Model, motions, rows, joints: int, report) -> list[Take]:
    """The clips in all variants, split into what is learnt from and what is held out (in the first variant alone).

    Raises:
        UserError: there is too little motion.
    """
    chunk = model.config.chunk
    longest = max(MOST_FRAMES // len(motions), FEWEST_CHUNKS * chunk)
    splits = split_clips([_chunks(motion, chunk, longest) for motion in motions], chunk)
    takes, held_frames = [], 0
    for index, (motion, split) in enumerate(zip(motions, splits, strict=True)):
        report(index / len(motions))
        for tempo, turn in VARIANTS:
            plain = (tempo, turn) == VARIANTS[0]
            learnt, held = split
            if not plain:
                learnt = tuple((-_to_chunks(-a / tempo, chunk), _to_chunks(b / tempo, chunk)) for a, b in learnt)
                learnt, held = tuple(one for one in learnt if one[1] > one[0]), ()
            held = tuple((start, min(stop, start + MOST_HELD)) for start, stop in held if held_frames < MOST_HELD)
            held_frames += sum(stop - start for start, stop in held)
            if learnt or held:
                stretched = replace(motion, fps=motion.fps * tempo)
                takes.append(_take(model, stretched, turn, rows[index], joints, (learnt, held), plain))
    return takes


def _to_chunks(frames: float, chunk: int) -> int:
    """Frames in whole chunks, rounded down."""
    return int(np.floor(frames / chunk + 1e-6)) * chunk


def _chunks(motion: Motion, chunk: int, longest: int) -> int:
    """Chunks of a motion that are used; the last may be filled up with its last pose, if half of it is there."""
    frames = min((motion.frames - 1) / motion.fps * MODEL_FPS + 1, longest)
    return max(int(frames / chunk + 0.5), 1)


def split_clips(chunks: list[int], chunk: int):
    """What is learnt from and what is held out of clips of so many chunks: two tuples of (start, stop) frames each.

    Raises:
        UserError: there is too little.
    """
    total = sum(chunks)
    if total < FEWEST_CHUNKS:
        raise UserError(
            f"The motion is {total * chunk / MODEL_FPS:.1f} s long; {FEWEST_CHUNKS * chunk / MODEL_FPS:.1f} s are "
            "needed, so that some can be held out to judge by. Choose more actions."
        )
    whole = [((0, count * chunk),) for count in chunks]
    if len(chunks) >= FEWEST_CLIPS:
        held = np.arange(len(chunks)) % HELD_EVERY == HELD_EVERY // 2
        return [((), part) if out else (part, ()) for part, out in zip(whole, held, strict=True)]
    size = 2 if total >= 12 else 1
    splits, piece = [], 0
    for count in chunks:
        learnt, held = [], []
        for start in range(0, count, size):
            stop = min(start + size, count)
            if piece % HELD_EVERY == HELD_EVERY // 2:
                held.append((start * chunk, stop * chunk))
            elif learnt and learnt[-1][1] == start * chunk:
                learnt[-1] = (learnt[-1][0], stop * chunk)
            else:
                learnt.append((start * chunk, stop * chunk))
            piece += 1
        splits.append((tuple(learnt), tuple(held)))
    return splits


def _take(model: Model, motion: Motion, turn: float, rows, joints: int, parts, plain: bool) -> Take:
    """A clip as the model reads it, in the rows of all joints."""

    def move(array):
        return model.engine.from_numpy(np.ascontiguousarray(array), model.device)

    seen = read_features(motion, model.config.chunk, turn)
    stop = max(stop for part in parts for _, stop in part)
    structure = {name: move(array[None]) for name, array in seen.structure.items()}
    adapters = embed_skeleton(model.parameters, model.config, structure)
    padded = np.zeros((min(len(seen.joints), stop), joints, JOINT_INPUT_SIZE), np.float32)
    padded[..., columns(JOINT_INPUTS, "rotation")] = IDENTITY_SIXD
    padded[:, rows] = seen.joints[: len(padded)]
    wide = {name: move(array[None]) for name, array in spread_structure(seen.structure, rows, joints).items()}
    limit = len(padded)
    learnt, held = (tuple((a, min(b, limit)) for a, b in part if min(b, limit) > a) for part in parts)
    adapters = {name: move(array) for name, array in spread_adapters(model, adapters, rows, joints).items()}
    root = seen.root[:limit].astype(np.float32)
    return Take(move(padded), move(root), wide, adapters, learnt, held, plain)


def spread_structure(structure: dict, rows, joints: int) -> dict:
    """A skeleton's arrays in the rows of more joints, of which the others are no part of it."""
    wide = {
        "parent": np.eye(joints, dtype=np.float32),
        "ancestors": np.eye(joints, dtype=np.float32),
        "relations": np.full((joints, joints), RELATIONS.index("other")),
    }
    for name, array in structure.items():
        if name in wide:
            wide[name][np.ix_(rows, rows)] = array
        else:
            wide[name] = np.zeros((joints, *array.shape[1:]), array.dtype)
            wide[name][rows] = array
    return wide


def spread_adapters(model: Model, adapters: dict, rows, joints: int) -> dict:
    """A skeleton's adapters (`model.embed_skeleton`, a batch of one) in the rows of more joints, numpy."""
    width = model.config.width
    own = {name: model.engine.to_numpy(array)[0] for name, array in adapters.items()}
    own["input"] = own["input"].reshape(-1, JOINT_INPUT_SIZE, width)
    own["output"] = own["output"].T.reshape(-1, JOINT_OUTPUT_SIZE, width)
    own["bias"] = own["bias"].reshape(-1, JOINT_OUTPUT_SIZE)
    wide = {"token": own.pop("token")}
    for name, array in own.items():
        wide[name] = np.zeros((joints, *array.shape[1:]), np.float32)
        wide[name][rows] = array
    wide["input"] = wide["input"].reshape(-1, width)
    wide["output"] = wide["output"].reshape(-1, width).T
    wide["bias"] = wide["bias"].reshape(-1)
    return {name: array[None] for name, array in wide.items()}
