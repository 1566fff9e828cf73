"""Shards of a prepared data set: a file each with the clips of some motion files, and a record of what is in it.

A shard is a safetensors file of flat arrays, all its clips one after the other: rotations `[sum T*J, 4]` int16 (world
unit quaternions times 32767), roots `[sum T, 3]` float32 (skeleton heights), slides `[sum T*J, 3]` float16 (parent's
axes, heights; only of clips that have sliding joints), and for each joint parents, places (the mean offset in the
parent's axes, heights), rests and references (world rotations of the rest and the reference pose). All at MODEL_FPS.

Its name is a digest of the motion files, their sizes and times and the options: the same files make the same shard,
so that a run that was killed finds what it finished, and a shard that was damaged is made again.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from backend.errors import UserError
from backend.features import local_places, reference_pose
from backend.motion import Motion
from backend.rotations import matrix_to_quaternion
from backend.tensors import TensorError, bytes_to_tensors, save_tensors

from .checks import checked_clips
from .sources import SourceError, bvh_motion

FORMAT = 2  # of the data set; raised when its arrays change their meaning
QUATERNION_SCALE = 32767
ARRAYS = {
    "rotations": np.int16,
    "roots": np.float32,
    "slides": np.float16,
    "parents": np.int16,
    "places": np.float32,
    "rests": np.float32,
    "references": np.float32,
}


@dataclass(frozen=True)
class Options:
    """How files are read: which axis is up in BVH files, the skeleton of AMASS-style files (None: an average adult)."""

    bvh_up: str = "y"
    skeleton: str | None = None


@dataclass(frozen=True)
class MotionFile:
    """A motion file to prepare, with what its folders say of it."""

    path: str
    set: str
    split: str
    licence: str
    source: str


@dataclass(frozen=True)
class Shard:
    """What one shard is made of; `name` says it in 16 letters."""

    files: tuple[MotionFile, ...]
    options: Options
    name: str


def make_shard(files, options: Options) -> Shard:
    """The shard of some files as they are now."""
    states = [(asdict(file), os.stat(file.path).st_size, os.stat(file.path).st_mtime_ns) for file in files]
    text = json.dumps([FORMAT, asdict(options), states], sort_keys=True)
    return Shard(tuple(files), options, hashlib.sha256(text.encode()).hexdigest()[:16])


def clip_arrays(motion: Motion) -> dict[str, np.ndarray]:
    """One clip at MODEL_FPS as a shard keeps it; see the module's docstring."""
    reference = reference_pose(motion)
    places = local_places(motion) / reference.height_m
    mean_places = places.mean(axis=0)
    arrays = {
        "rotations": np.round(motion.rotations * QUATERNION_SCALE).astype(np.int16).reshape(-1, 4),
        "roots": (motion.root_positions / reference.height_m).astype(np.float32),
        "slides": np.zeros((0, 3), np.float16),
        "parents": motion.skeleton.parents.astype(np.int16),
        "places": mean_places.astype(np.float32),
        "rests": matrix_to_quaternion(motion.skeleton.rest[:, :3, :3]).astype(np.float32),
        "references": reference.rotations.astype(np.float32),
    }
    if reference.slides.any():
        slides = (places - mean_places) * reference.slides[None, :, None]
        arrays["slides"] = slides.astype(np.float16).reshape(-1, 3)
    return arrays


def file_motions(path: Path, options: Options):
    """The motions of a file of any format: yields (name, Motion or the sentence why there is none)."""
    kind = path.suffix.lower()
    if kind == ".bvh":
        yield path.stem, bvh_motion(path, options.bvh_up)
    elif kind == ".npz":
        from .body_files import body_motion

        yield path.stem, body_motion(path, Path(options.skeleton) if options.skeleton else None)
    else:
        from . import blender_files

        yield from blender_files.file_motions(path)


def read_file(file: MotionFile, options: Options) -> list[dict]:
    """The clips of a file: dicts of what is known of each, with `arrays`, or with `error` where there are none."""
    path, clips = Path(file.path), []
    try:
        for name, motion in file_motions(path, options):
            try:
                if isinstance(motion, str):
                    raise SourceError(motion)
                parts = checked_clips(motion, path.suffix.lower() not in (".bvh", ".npz"))
            except SourceError as error:
                clips.append({**asdict(file), "name": name, "error": str(error)})
                continue
            for number, (part, notes) in enumerate(parts, 1):
                clip = {**asdict(file), "name": name if len(parts) == 1 else f"{name}~{number}", "notes": notes}
                clips.append({**clip, "fps": round(motion.fps, 3), "arrays": clip_arrays(part)})
    except ImportError:
        raise  # the reader is broken, not the file
    except Exception as error:  # whatever is wrong with a file, the others go on
        known = isinstance(error, UserError | OSError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        clips.append({**asdict(file), "name": path.stem, "error": reason})
    return clips


def write_shard(shard: Shard, folder: Path, failed: dict[str, str], report) -> None:
    """Reads a shard's files and writes it and its record, each whole or not at all.

    Args:
        failed: files that are not to be opened again, with the reason. report: called with each file's number.

    Raises:
        OSError: it can't be written (a full disk). ImportError: Blender's package isn't to be had.
    """
    flat, clips, dropped = {name: [] for name in ARRAYS}, [], []
    rows = dict.fromkeys(ARRAYS, 0)
    for number, file in enumerate(shard.files):
        report(number)
        if file.path in failed:
            dropped.append({**asdict(file), "name": Path(file.path).stem, "error": failed[file.path]})
            continue
        for clip in read_file(file, shard.options):
            arrays = clip.pop("arrays", None)
            if arrays is None:
                dropped.append(clip)
                continue
            clip |= {"frames": len(arrays["roots"]), "joints": len(arrays["parents"])}
            clip |= {"slides": len(arrays["slides"]) > 0, "rows": dict(rows)}
            for name, array in arrays.items():
                flat[name].append(array)
                rows[name] += len(array)
            clips.append(clip)
    path = shard_path(folder, shard.name)
    if clips:
        save_tensors(path, {name: np.concatenate(flat[name]).astype(kind) for name, kind in ARRAYS.items()})
    record = {"name": shard.name, "clips": clips, "dropped": dropped}
    if clips:
        record |= {"bytes": path.stat().st_size, "sha256": file_digest(path)}
    write_json(record_path(folder, shard.name), record)


def shard_path(folder: Path, name: str) -> Path:
    """Where a shard's arrays lie."""
    return folder / "shards" / f"{name}.safetensors"


def record_path(folder: Path, name: str) -> Path:
    """Where a shard's record lies."""
    return folder / "shards" / f"{name}.json"


def write_json(path: Path, value) -> None:
    """Writes a JSON file; it appears whole or not at all."""
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        part.write_text(json.dumps(value), encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finished_record(folder: Path, name: str) -> dict | None:
    """The record of a shard that is whole, None where it must be made (again)."""
    try:
        record = json.loads(record_path(folder, name).read_text(encoding="utf-8"))
        if not record["clips"] or file_digest(shard_path(folder, name)) == record["sha256"]:
            return record
    except (OSError, ValueError, KeyError):
        pass
    return None


def damage(folder: Path, shard: dict) -> str | None:
    """What is wrong with a shard of a data set, in words; None where it is as it was written."""
    path = shard_path(folder, shard["name"])
    if not path.is_file():
        return f"{path} is missing."
    if path.stat().st_size != shard["bytes"]:
        return f"{path} has {path.stat().st_size} bytes, expected {shard['bytes']}."
    if file_digest(path) != shard["sha256"]:
        return f"{path} is not what was written: its SHA-256 differs."
    return None


def open_shard(folder: Path, name: str) -> dict[str, np.ndarray]:
    """A shard's arrays, memory-mapped.

    Raises:
        UserError: it is missing or cut short.
    """
    path = shard_path(folder, name)
    try:
        data = np.memmap(path, dtype=np.uint8, mode="r")
        arrays, _ = bytes_to_tensors(data)
    except (OSError, ValueError, TensorError) as error:
        raise UserError(f"{path} can't be read ({error}). Run prepare again: it makes what is missing.") from error
    return arrays
