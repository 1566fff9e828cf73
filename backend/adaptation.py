"""What was learnt of one character: small differences in how its joints are read and written, in a file of the user's.

A joint is known by its place and its bone's axes in rest, seen from the body's root. Names, the order of bones, joints
that another action doesn't move and where the object stands play no role. A file names the weights that it is for.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from .checkpoint import flatten, unflatten
from .engines import engine_of, to_numpy
from .skeleton import Skeleton, skeleton_height
from .tensors import load_tensors, save_tensors

FORMAT = "motion-variations adaptation 1"
SUFFIX = ".safetensors"
ADAPTERS = ("input", "output", "bias", "token")
TRUNK = "trunk."
FAR_HEIGHTS = 0.1  # farther off isn't the same joint: clips hold bones away from rest, and rest is their mean then
AXES = 1.0  # of a difference in axes (the length of a difference of matrices), counted as heights
SAME_AXES, SAME_DIRECTION, SAME_SCALE = 0.03, 0.1, 0.02  # within which joints tell how much larger one skeleton is
FEWEST_KNOWN, TYPICAL_HEIGHTS = 0.8, 0.03  # of a motion's joints are in the file, and half of them so near


@dataclass(frozen=True)
class Adaptation:
    """What was learnt of a character.

    Attributes:
        marks: `[N, 12]` of its joints, see `joint_marks`. height_m: its height, in which `marks` are measured.
        adapters: what is added to the model's own: input `[N, I, D]`, output `[N, O, D]`, bias `[N, O]`, token `[D]`.
        trunk: what is added to matrices of the model, by their path: pairs of factors `[R, in]` and `[out, R]`.
        weights: digest of the weights that it belongs to, see `weights_digest`.
        facts: before, after: joint errors on motion that was held out, in heights; what it was made from.
    """

    marks: np.ndarray
    height_m: float
    adapters: dict[str, np.ndarray]
    trunk: dict[str, tuple[np.ndarray, np.ndarray]]
    weights: str
    facts: dict


@dataclass(frozen=True)
class Found:
    """What a folder has for a skeleton: the file, what is in it, or why it can't be used, as a sentence."""

    path: Path
    adaptation: Adaptation | None
    problem: str = ""


def joint_marks(skeleton: Skeleton) -> np.ndarray:
    """By what joints are known again, `[J, 12]`: place in metres and axes in rest, in the axes of the root's bone."""
    rest = skeleton.rest
    back = rest[0, :3, :3].T
    places = (rest[:, :3, 3] - rest[0, :3, 3]) @ back.T
    return np.concatenate((places, (back @ rest[:, :3, :3]).reshape(-1, 9)), axis=1)


def match_joints(marks, height_m: float, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """The row of `marks` for each joint, `[J]`, -1 for none, and how far off it is in heights, `[J]`.

    No row is taken twice, the root's is the first. The object may have been scaled since.
    """
    own = joint_marks(skeleton)
    scales = (1.0, height_m / max(skeleton_height(skeleton), 1e-9), _likely_scale(marks, height_m, own))
    found = [_match(marks, height_m, own, scale) for scale in scales]
    return min(found, key=lambda match: match[1].sum())


def _likely_scale(marks, height_m: float, own) -> float:
    """How much larger the marks are, by the joints that lie in the same direction and have the same axes."""
    lengths, own_lengths = (np.linalg.norm(each[:, :3], axis=1) for each in (marks, own))
    axes = np.linalg.norm(own[:, None, 3:] - marks[None, :, 3:], axis=-1)
    ways, own_ways = (
        marks[:, :3] / np.maximum(lengths, 1e-9)[:, None],
        own[:, :3] / np.maximum(own_lengths, 1e-9)[:, None],
    )
    alike = (axes < SAME_AXES) & (np.linalg.norm(own_ways[:, None] - ways[None], axis=-1) < SAME_DIRECTION)
    alike &= (lengths > FAR_HEIGHTS * height_m) & (own_lengths > 0)[:, None]
    if not alike.any():
        return 1.0
    ratios = np.log((lengths[None] / np.maximum(own_lengths, 1e-9)[:, None])[alike])
    near = np.abs(ratios[:, None] - ratios[None]) < SAME_SCALE
    return float(np.exp(np.median(ratios[near[near.sum(axis=1).argmax()]])))


def _match(marks, height_m: float, own, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """`match_joints` of marks at one scale: the nearest pairs first."""
    apart = np.linalg.norm(own[:, None, :3] * scale - marks[None, :, :3], axis=-1) / height_m
    apart = apart + AXES * np.linalg.norm(own[:, None, 3:] - marks[None, :, 3:], axis=-1)
    rows, off = np.full(len(own), -1), np.full(len(own), FAR_HEIGHTS)
    rows[0], off[0] = 0, 0.0
    apart[0], apart[:, 0] = np.inf, np.inf
    for flat in np.argsort(apart, axis=None, kind="stable"):
        joint, row = divmod(int(flat), len(marks))
        if not apart[joint, row] <= FAR_HEIGHTS:
            break
        if rows[joint] < 0 and row not in rows:
            rows[joint], off[joint] = row, apart[joint, row]
    return rows, off


def knows(rows, off) -> bool:
    """Whether so many of a motion's joints were found, and so near, that it is the same character."""
    if len(rows) < 2:
        return False
    return float((rows[1:] >= 0).mean()) >= FEWEST_KNOWN and float(np.median(off[1:])) <= TYPICAL_HEIGHTS


def adapted_adapters(adaptation: Adaptation, adapters: dict, skeleton: Skeleton) -> dict:
    """The model's matrices for a skeleton (`model.embed_skeleton`, a batch of one), with what was learnt added."""
    rows, _ = match_joints(adaptation.marks, adaptation.height_m, skeleton)
    return add_to_adapters(adapters, {name: _rows_of(adaptation.adapters, name, rows) for name in ADAPTERS})


def _rows_of(deltas, name, rows) -> np.ndarray:
    """What is added for each of a motion's joints; nothing where the file doesn't have it."""
    if name == "token":
        return deltas[name]
    known = (rows >= 0).reshape(-1, *([1] * (deltas[name].ndim - 1)))
    return deltas[name][np.maximum(rows, 0)] * known


def add_to_adapters(adapters: dict, deltas: dict) -> dict:
    """The adapters `[B, ...]` of joints, with differences by joint added (arrays of the engine, or numpy ones)."""
    like = adapters["input"]
    xp = engine_of(like)
    deltas = {
        name: xp.asarray(value, like) if isinstance(value, np.ndarray) else value for name, value in deltas.items()
    }
    width = like.shape[-1]
    return adapters | {
        "input": like + deltas["input"].reshape(1, -1, width),
        "output": adapters["output"] + deltas["output"].reshape(1, -1, width).swapaxes(1, 2),
        "bias": adapters["bias"] + deltas["bias"].reshape(1, -1),
        "token": adapters["token"] + deltas["token"][None],
    }


def add_to_trunk(parameters: dict, trunk: dict) -> dict:
    """The model's parameters, with products of factors added to matrices; the others are the same arrays."""
    if not trunk:
        return parameters
    flat = flatten(parameters)
    for path, (down, up) in trunk.items():
        xp = engine_of(flat[path])
        if isinstance(down, np.ndarray):
            down, up = xp.asarray(down, flat[path]), xp.asarray(up, flat[path])
        flat[path] = flat[path] + up @ down
    return unflatten(flat)


def adapted_model(model, adaptation: Adaptation | None):
    """The model (an `encoding.Model`) with what was learnt of a character; itself for None."""
    if adaptation is None:
        return model
    return replace(model, adaptation=adaptation, parameters=add_to_trunk(model.parameters, adaptation.trunk))


def weights_digest(parameters: dict) -> str:
    """A digest of the model's weights, without the prior's: what an adaptation is added to."""
    digest = hashlib.blake2b(digest_size=12)
    for path, array in sorted(flatten({name: part for name, part in parameters.items() if name != "prior"}).items()):
        digest.update(path.encode())
        digest.update(np.ascontiguousarray(to_numpy(array), np.float32).data)
    return digest.hexdigest()


def file_name(adaptation: Adaptation) -> str:
    """The name of a character's file: a digest of its joints."""
    places = np.round(adaptation.marks[:, :3] / adaptation.height_m, 3) + 0.0
    return f"character_{hashlib.blake2b(places.tobytes(), digest_size=8).hexdigest()}{SUFFIX}"


def save_adaptation(folder, adaptation: Adaptation) -> Path:
    """Writes the file, whole or not at all; any other of the same character is then deleted. Gives its path.

    Raises:
        OSError: it can't be written there.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(adaptation)
    arrays = {f"adapters.{name}": value.astype(np.float16) for name, value in adaptation.adapters.items()}
    for name, (down, up) in adaptation.trunk.items():
        arrays[f"{TRUNK}{name}.down"], arrays[f"{TRUNK}{name}.up"] = down.astype(np.float16), up.astype(np.float16)
    arrays["marks"] = adaptation.marks.astype(np.float32)
    arrays["height_m"] = np.array([adaptation.height_m])
    facts = json.dumps(adaptation.facts)
    save_tensors(path, arrays, {"format": FORMAT, "weights": adaptation.weights, "facts": facts})
    for other in folder.glob(f"*{SUFFIX}"):
        if other != path and _is_of(other, adaptation):
            other.unlink(missing_ok=True)
    return path


def _is_of(path: Path, adaptation: Adaptation) -> bool:
    """Whether a file is of the same character, whatever weights it is for."""
    try:
        other = load_adaptation(path)
    except (OSError, ValueError):
        return False
    return knows(*_match(other.marks, other.height_m, adaptation.marks, 1.0))


def load_adaptation(path) -> Adaptation:
    """Reads a file.

    Raises:
        OSError: it can't be read. ValueError: it is foreign, cut short or contradicts itself.
    """
    arrays, metadata = load_tensors(path)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"it has the format '{metadata.get('format', 'none')}', expected '{FORMAT}'")
    try:
        adapters = {name: arrays[f"adapters.{name}"].astype(np.float32) for name in ADAPTERS}
        names = {name.removeprefix(TRUNK).rpartition(".")[0] for name in arrays if name.startswith(TRUNK)}
        trunk = {
            name: tuple(arrays[f"{TRUNK}{name}.{part}"].astype(np.float32) for part in ("down", "up")) for name in names
        }
        marks, height_m = arrays["marks"].astype(np.float64), float(arrays["height_m"][0])
        facts, weights = json.loads(metadata["facts"]), metadata["weights"]
    except (KeyError, IndexError) as error:
        raise ValueError(f"it lacks {error}") from None
    counts = {len(adapters[name]) for name in ("input", "output", "bias")}
    if marks.ndim != 2 or marks.shape[1] != 12 or counts != {len(marks)} or not height_m > 0:
        raise ValueError(f"it has marks of shape {marks.shape} for {sorted(counts)} joints")
    return Adaptation(marks, height_m, adapters, trunk, weights, facts)


@lru_cache(maxsize=64)
def _load_kept(path: str, modified_ns: int, size: int) -> Adaptation:
    """`load_adaptation`, once for every state of a file."""
    return load_adaptation(path)


def find_adaptation(folder, skeleton: Skeleton, model_shapes: dict, weights: str) -> Found | None:
    """What a folder has for a skeleton; None where it has nothing.

    Args:
        model_shapes: path to shape of the model's parameters. weights: their digest.
    """
    if folder is None or not Path(folder).is_dir():
        return None
    found, damaged = None, None
    for path in sorted(Path(folder).glob(f"*{SUFFIX}")):
        try:
            state = path.stat()
            adaptation = _load_kept(str(path), state.st_mtime_ns, state.st_size)
        except (OSError, ValueError) as error:
            damaged = Found(path, None, f"'{path.name}', which was learnt of a character, can't be read ({error}). "
                            "Delete it, and adapt again.")  # fmt: skip
            continue
        if not knows(*match_joints(adaptation.marks, adaptation.height_m, skeleton)):
            continue
        if adaptation.weights == weights and _fits(adaptation, model_shapes):
            return Found(path, adaptation)
        found = Found(
            path,
            None,
            "What was learnt of this character belongs to other weights than these, so it isn't used. Adapt again.",
        )
    return found or damaged


def _fits(adaptation: Adaptation, shapes: dict) -> bool:
    """Whether the arrays have the model's sizes; a file that was tampered with fails here and not half-way."""
    width = shapes["frame_bias"][0]
    sizes = {adaptation.adapters[name].shape[-1] for name in ("input", "output", "token")}
    if sizes != {width}:
        return False
    return all(
        path in shapes and (up.shape[0], down.shape[1], up.shape[1]) == (*shapes[path], down.shape[0])
        for path, (down, up) in adaptation.trunk.items()
    )
