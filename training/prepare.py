"""python -m training prepare: folders of motion files to one checked data set, by several processes, resumable.

The data set is a folder: `dataset.json` lists the clips (source file, set, split, licence, where it lies) and the
shards with their checksums, `shards/` holds the arrays (see `shards.py`), `report.md` and `report.json` say what was
taken, cut and dropped, and why. A run that was killed goes on with the shards that it hadn't finished; after files were
added, changed or damaged only their shards are made anew.
"""

import argparse
import os
from pathlib import Path

from backend.errors import UserError
from backend.features import MODEL_FPS

from .blender_files import FORMATS
from .inventory import inventory, inventory_markdown
from .licences import Licences
from .shard_pool import make_shards
from .shards import FORMAT, MotionFile, Options, Shard, finished_record, make_shard, record_path, write_json
from .sources import SourceError
from .store import MANIFEST

SUFFIXES = (".bvh", ".npz", *FORMATS)
SPLITS = ("train", "test", "eval")
SHARD_FILES, SHARD_BYTES = 64, 64 * 2**20  # motion files in a shard, at most
FEWEST_SHARDS = 4  # for each process, so that all have something to do until the end


def find_files(folders, table: Path | None = None) -> list[MotionFile]:
    """Motion files below the folders; their set is the first folder on the way, their split the last named so."""
    files = []
    for folder in map(Path, folders):
        licences = Licences(folder, table)
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            split = next((part for part in path.parts[::-1] if part in SPLITS), "train")
            parts = [part for part in path.relative_to(folder).parts[:-1] if part not in SPLITS]
            terms = licences.terms(path)
            name = parts[0] if parts else folder.resolve().name
            files.append(MotionFile(str(path), name, split, terms.licence, terms.source))
    return files


def plan_shards(files: list[MotionFile], options: Options, processes: int) -> list[Shard]:
    """The files in shards: a shard holds files of one set, in order, up to SHARD_FILES or SHARD_BYTES of them."""
    most = max(1, min(SHARD_FILES, len(files) // (FEWEST_SHARDS * processes)))
    groups, size, sets = [], 0, None
    for file in sorted(files, key=lambda file: file.set):
        own = os.stat(file.path).st_size
        if not groups or file.set != sets or len(groups[-1]) >= most or size + own > SHARD_BYTES:
            groups.append([])
            size, sets = 0, file.set
        groups[-1].append(file)
        size += own
    return [make_shard(group, options) for group in groups]


def write_manifest(out: Path, shards: list[Shard], records: dict[str, dict], seconds: float) -> dict:
    """Lists all clips in `dataset.json`, writes the report, removes shards that no clip lies in."""
    clips, dropped, kept = [], [], []
    for shard in shards:
        record = records[shard.name]
        dropped += record["dropped"]
        if record["clips"]:
            clips += [{**clip, "shard": len(kept)} for clip in record["clips"]]
            kept.append({key: record[key] for key in ("name", "bytes", "sha256")})
    manifest = {"format": FORMAT, "fps": MODEL_FPS, "shards": kept, "clips": clips, "dropped": dropped}
    write_json(out / MANIFEST, manifest)
    report = inventory(manifest, seconds)
    write_json(out / "report.json", report)
    (out / "report.md").write_text(inventory_markdown(report), encoding="utf-8")
    wanted = {shard.name for shard in shards}
    for path in (out / "shards").iterdir():
        if path.name.split(".")[0] not in wanted:
            path.unlink()
    return manifest


def prepare(folders, out: Path, jobs: int, report=print, options: Options | None = None, table=None) -> dict:
    """Reads every motion file below the folders into a data set at `out` and returns its manifest.

    Raises:
        SourceError: there is no motion file. UserError: the data set can't be written.
    """
    files = find_files(folders, table)
    if not files:
        raise SourceError(f"No {', '.join(SUFFIXES)} file below {', '.join(map(str, folders))}.")
    shards = plan_shards(files, options or Options(), jobs)
    (out / "shards").mkdir(parents=True, exist_ok=True)
    records = {shard.name: finished_record(out, shard.name) for shard in shards}
    missing = [shard for shard in shards if records[shard.name] is None]
    if len(missing) < len(shards):
        report(f"{len(shards) - len(missing)} of {len(shards)} shards are there already")
    for shard in missing:
        record_path(out, shard.name).unlink(missing_ok=True)
    seconds = make_shards(missing, out, jobs, report)
    for shard in missing:
        records[shard.name] = finished_record(out, shard.name)
        if records[shard.name] is None:
            raise UserError(f"Shard {shard.name} in {out} changed while it was made. Run the same command again.")
    manifest = write_manifest(out, shards, records, seconds)
    minutes = sum(clip["frames"] for clip in manifest["clips"]) / MODEL_FPS / 60
    dropped = len(manifest["dropped"])
    report(f"{len(manifest['clips'])} clips, {minutes:.1f} minutes, {dropped} dropped; see {out}/report.md")
    return manifest


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m training prepare", description=__doc__.split("\n")[0])
    parser.add_argument(
        "folders", nargs="+", type=Path, help="folders of .bvh, .npz, .fbx, .glb, .gltf and .blend files"
    )
    parser.add_argument("--out", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that read files (all cores)")
    parser.add_argument("--licences", type=Path, help="a table: pattern, licence and source of files, tabs between")
    parser.add_argument("--skeleton", type=Path, help="bone lengths of .npz files: a body model's .npz, or JSON")
    parser.add_argument("--bvh-up", choices=("y", "z"), default="y", help="the axis that is up in .bvh files")
    arguments = parser.parse_args(argv)
    options = Options(arguments.bvh_up, str(arguments.skeleton) if arguments.skeleton else None)
    prepare(arguments.folders, arguments.out, max(1, arguments.jobs), print, options, arguments.licences)
