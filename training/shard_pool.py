"""Shards made by several processes at once, each shard by a process of its own.

Importers are large programs fed with other people's files: one may crash or hang. Then the file it was reading is
noted with that reason, and its shard is made again without it. A process ends with its shard, so that what an importer
leaves behind in memory goes with it.
"""

import multiprocessing
import os
import shutil
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from backend.errors import UserError

from .shards import Shard, record_path, write_shard

FILE_SECONDS = 900.0  # a file that takes longer hangs
REPORT_SECONDS = 10.0
LOG = "importers.log"  # what Blender's importers print


@dataclass
class Worker:
    """A process at work: its shard, the connection it reports on, the file it reads and since when."""

    process: multiprocessing.Process
    shard: Shard
    connection: object
    number: int = 0
    since: float = field(default_factory=time.monotonic)
    problem: str | None = None


def work(shard: Shard, folder: Path, failed: dict, scratch: str, connection) -> None:
    """The life of a process: reports file numbers, then how it ended."""
    os.environ["TMPDIR"] = scratch
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):  # Blender prints from C
        os.dup2(log, stream)
    try:
        write_shard(shard, folder, failed, connection.send)
        connection.send(None)
    except OSError as error:
        connection.send(f"Shard {shard.name} can't be written: {error}.")
    except ImportError as error:
        connection.send(f"Files of Blender's formats can't be read here: {error}. `python build.py setup` makes it so.")
    finally:
        connection.close()
        os._exit(0)  # Blender sometimes hangs when its interpreter ends


def start(shard: Shard, folder: Path, failed: dict, scratch: str) -> Worker:
    """A process that makes a shard."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(shard, folder, failed, scratch, theirs), daemon=True)
    process.start()
    theirs.close()
    return Worker(process, shard, ours)


def make_shards(shards: list[Shard], folder: Path, jobs: int, report) -> float:
    """Makes the shards, `jobs` at a time, and returns the seconds it took.

    Raises:
        UserError: a shard can't be written; the finished ones are kept.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes; together they use the cores
    waiting, workers, failed = deque(shards), [], {}
    scratch = tempfile.mkdtemp(prefix="motion-variations-")
    total, done, said, began = sum(len(shard.files) for shard in shards), 0, 0.0, time.monotonic()
    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                workers.append(start(waiting.popleft(), folder, failed, scratch))
            wait([worker.connection for worker in workers], timeout=1.0)
            for worker in list(workers):
                if not listen(worker):
                    continue
                workers.remove(worker)
                if worker.problem:
                    raise UserError(
                        f"{worker.problem} Finished shards are kept; the same command goes on with the rest."
                    )
                if record_path(folder, worker.shard.name).exists():
                    done += len(worker.shard.files)
                else:
                    path = worker.shard.files[worker.number].path
                    failed[path] = "The importer crashed or hung on this file."
                    report(f"{path} crashed its importer; going on without it")
                    waiting.appendleft(worker.shard)
            if time.monotonic() - said > REPORT_SECONDS or not (waiting or workers):
                said = time.monotonic()
                now = done + sum(worker.number for worker in workers)
                report(f"{now} of {total} files, {said - began:.0f} s")
    finally:
        for worker in workers:
            worker.process.kill()
        shutil.rmtree(scratch, ignore_errors=True)
    return time.monotonic() - began


def listen(worker: Worker) -> bool:
    """Takes in what a process said; True when it has ended, of itself or because its file took too long."""
    try:
        while worker.connection.poll():
            said = worker.connection.recv()
            if isinstance(said, int):
                worker.number, worker.since = said, time.monotonic()
            else:
                worker.problem = said
    except (EOFError, OSError):
        worker.process.join()
        return True
    if time.monotonic() - worker.since > FILE_SECONDS:
        worker.process.kill()
        worker.process.join()
        return True
    return False
