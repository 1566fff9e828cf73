"""python -m training prepare: folders of motion files to one data set of flat, memory-mapped arrays.

The data set is a folder: `manifest.json` lists the clips (source file, set, split, licence, rows), and beside it lie
one `.npy` an array, all clips one after the other: rotations `[sum T*J, 4]` int16 (world unit quaternions times
32767), roots `[sum T, 3]` float32 (skeleton heights), slides `[sum T*J, 3]` float16 (parent's axes, heights; only of
clips that have sliding joints), and for each joint parents, places (the mean offset in the parent's axes, heights),
rest and reference
rotations (world). All at MODEL_FPS.
"""

import argparse
import json
import multiprocessing
from pathlib import Path

import numpy as np

from backend.errors import UserError
from backend.features import MODEL_FPS, local_places, reference_pose
from backend.motion import Motion, resample_motion
from backend.rotations import matrix_to_quaternion

from .blender_files import FORMATS, file_motions
from .sources import SourceError, bvh_motion

QUATERNION_SCALE = 32767
MIN_FRAMES = 12
SPLITS = ("train", "test", "eval")
ARRAYS = {
    "rotations": np.int16,
    "roots": np.float32,
    "slides": np.float16,
    "parents": np.int16,
    "places": np.float32,
    "rests": np.float32,
    "references": np.float32,
}


def clip_arrays(motion: Motion) -> dict[str, np.ndarray]:
    """One clip as the data set keeps it; see the module's docstring.

    Raises:
        SourceError: too short at MODEL_FPS.
    """
    motion = resample_motion(motion, MODEL_FPS)
    if motion.frames < MIN_FRAMES:
        raise SourceError(f"{motion.frames} frames at {MODEL_FPS:.0f} fps, expected at least {MIN_FRAMES}.")
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


def read_clips(job) -> list[dict]:
    """Clips of one file: dicts with `name` and `arrays`, or `error`."""
    path = Path(job["path"])
    clips = []
    try:
        motions = [(path.stem, bvh_motion(path))] if path.suffix.lower() == ".bvh" else file_motions(path)
        for name, motion in motions:
            try:
                if isinstance(motion, str):
                    raise SourceError(motion)
                clips.append({**job, "name": name, "arrays": clip_arrays(motion)})
            except SourceError as error:
                clips.append({**job, "name": name, "error": str(error)})
    except (SourceError, UserError, OSError) as error:
        clips.append({**job, "name": path.stem, "error": str(error)})
    return clips


def find_files(folders) -> list[dict]:
    """Motion files below the folders, with their set and split by the names of the folders above them."""
    jobs = []
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix.lower() not in (".bvh", *FORMATS):
                continue
            split = next((part for part in path.parts[::-1] if part in SPLITS), "train")
            parts = [part for part in path.relative_to(folder).parts[:-1] if part not in SPLITS]
            jobs.append({"path": str(path), "set": parts[0] if parts else Path(folder).name, "split": split})
    return jobs


def prepare(folders, out: Path, processes: int, report=print) -> dict:
    """Reads every motion file below the folders into a data set at `out` and returns its manifest."""
    jobs = find_files(folders)
    if not jobs:
        raise SourceError(f"No {', '.join(('.bvh', *FORMATS))} file below {', '.join(map(str, folders))}.")
    out.mkdir(parents=True, exist_ok=True)
    flat = {name: [] for name in ARRAYS}
    clips, dropped = [], []
    rows = dict.fromkeys(ARRAYS, 0)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for index, results in enumerate(pool.imap(read_clips, jobs, chunksize=2)):
            for result in results:
                arrays = result.pop("arrays", None)
                if arrays is None:
                    dropped.append(result)
                    continue
                clip = {key: result[key] for key in ("name", "set", "split", "path")}
                clip |= {"frames": len(arrays["roots"]), "joints": len(arrays["parents"])}
                clip["rows"] = {name: rows[name] for name in ARRAYS}
                clip["slides"] = len(arrays["slides"]) > 0
                for name, array in arrays.items():
                    flat[name].append(array)
                    rows[name] += len(array)
                clips.append(clip)
            if index % 200 == 0:
                report(f"{index + 1} of {len(jobs)} files, {len(clips)} clips, {len(dropped)} dropped")
    for name, kind in ARRAYS.items():
        np.save(out / f"{name}.npy", np.concatenate(flat[name]).astype(kind))
    manifest = {"fps": MODEL_FPS, "clips": clips, "dropped": dropped}
    (out / "manifest.json").write_text(json.dumps(manifest))
    minutes = sum(clip["frames"] for clip in clips) / MODEL_FPS / 60
    report(f"{len(clips)} clips, {minutes:.0f} minutes, {len(dropped)} dropped, in {out}")
    for clip in dropped:
        report(f"dropped {clip['path']}: {clip['error']}")
    return manifest


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m training prepare", description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of motion files")
    parser.add_argument("--out", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    arguments = parser.parse_args(argv)
    prepare(arguments.folders, arguments.out, arguments.processes)
