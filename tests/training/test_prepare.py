"""Preparing a data set: files broken on purpose, clips that are cut or mended, kills, flipped bits, full disks.

python -m pytest tests/training/test_prepare.py
"""

import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from backend.errors import UserError
from backend.motion import Motion, joint_positions
from backend.rotations import rotvec_to_quaternion
from backend.skeleton import Skeleton, skeleton_height
from tests.training.takes import write_bvh
from training import checks
from training.body_files import body_motion, body_skeleton
from training.inventory import inventory_markdown
from training.licences import Licences, read_table
from training.prepare import find_files, prepare
from training.shards import MotionFile, Options, finished_record, read_file, shard_path
from training.sources import SourceError, bvh_motion
from training.store import ClipStore, clip_motion

ROOT = Path(__file__).resolve().parents[2]


def quiet(text: str):
    """A report that nobody reads."""


@pytest.fixture(scope="module")
def takes(tmp_path_factory):
    """Six sound files of two sets."""
    folder = tmp_path_factory.mktemp("takes")
    for number in range(3):
        write_bvh(folder / "a" / "train" / f"a{number}.bvh", 90, number)
        write_bvh(folder / "b" / "test" / f"b{number}.bvh", 90, 10 + number)
    return folder


@pytest.fixture(scope="module")
def bvh(takes) -> str:
    """The text of a sound file."""
    return (takes / "a" / "train" / "a0.bvh").read_text()


def reasons(path: Path, skeleton: Path | None = None) -> list[str]:
    """Why the clips of a file were left out."""
    options = Options(skeleton=str(skeleton) if skeleton else None)
    file = MotionFile(str(path), "set", "train", "", "")
    return [clip["error"] for clip in read_file(file, options) if "error" in clip]


BROKEN = {
    "empty": (lambda text: "", "HIERARCHY or MOTION is missing"),
    "truncated": (lambda text: text[: len(text) // 2], "numbers, expected 90 frames"),
    "cut_in_the_skeleton": (lambda text: text[:200], "HIERARCHY or MOTION is missing"),
    "wrong_count": (lambda text: text.replace("Frames: 90", "Frames: 91"), "expected 91 frames"),
    "one_fps": (lambda text: text.replace("0.0333333", "1.0"), "1 frames a second"),
    "no_brace": (lambda text: text.replace("}", "", 1), "aren't closed"),
    "nothing_moves": (lambda text: still(text), "moves"),
    "no_number": (lambda text: text.rsplit(" ", 1)[0] + " nan\n", "hold no numbers"),
    "two_roots": (lambda text: text.replace("MOTION", "ROOT Other\n{\nOFFSET 0 0 0\n}\nMOTION"), "second root"),
}


def still(text: str) -> str:
    """The file with its first frame over and over."""
    head, rows = text.split("Frame Time: 0.0333333\n")
    return head + "Frame Time: 0.0333333\n" + "\n".join([rows.splitlines()[0]] * 90)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_with_its_reason(kind, bvh, tmp_path):
    """Whatever is wrong, one clip is dropped and the reason says what was found."""
    change, reason = BROKEN[kind]
    path = tmp_path / f"{kind}.bvh"
    path.write_text(change(bvh))
    found = reasons(path)
    assert len(found) == 1 and reason in found[0]


def test_other_encodings_and_rates_are_read(bvh, tmp_path):
    """Names that aren't UTF-8 don't matter; 240 frames a second are thinned to 30."""
    (tmp_path / "latin.bvh").write_bytes(bvh.replace("Hips", "H\u00fcfte").encode("latin-1"))
    (tmp_path / "fast.bvh").write_text(bvh.replace("0.0333333", "0.00416667"))
    assert not reasons(tmp_path / "latin.bvh")
    (clip,) = read_file(MotionFile(str(tmp_path / "fast.bvh"), "", "train", "", ""), Options())
    assert len(clip["arrays"]["roots"]) == 13 and clip["fps"] == pytest.approx(240, rel=1e-3)


# Checks


@pytest.fixture
def body(takes) -> Motion:
    """A sound motion of 90 frames."""
    return bvh_motion(takes / "b" / "test" / "b1.bvh")


def changed(motion: Motion, rows=None, **arrays) -> Motion:
    """The motion with some rows or other arrays."""
    rows = np.arange(motion.frames) if rows is None else rows
    fields = {"root_positions": motion.root_positions[rows], "rotations": motion.rotations[rows]} | arrays
    return Motion(motion.skeleton, arrays.pop("fps", motion.fps), fields["root_positions"], fields["rotations"])


def test_a_sound_clip_stays_as_it_is(body):
    """One part, nothing to say."""
    ((part, notes),) = checks.checked_clips(body)
    assert part.frames == body.frames and notes == []
    np.testing.assert_allclose(part.rotations, body.rotations, atol=1e-4)


def test_a_teleport_makes_two_clips(body):
    """Both sides are kept as clips of their own; a broken clip full of jumps isn't."""
    roots = body.root_positions.copy()
    roots[50:, 0] += 2 * skeleton_height(body.skeleton)
    parts = checks.checked_clips(changed(body, root_positions=roots))
    assert [part.frames for part, _ in parts] == [50, 40] and "1 jump" in parts[0][1][0]
    wild = np.random.default_rng(0).normal(0, 3 * skeleton_height(body.skeleton), roots.shape)
    with pytest.raises(SourceError):
        checks.checked_clips(changed(body, root_positions=wild))


def test_frozen_ends_and_frozen_clips(body):
    """Ends are cut to a third of a second; a clip that stands still nearly throughout is dropped."""
    rows = np.concatenate((np.zeros(40, int), np.arange(90), np.full(60, 89)))
    ((part, notes),) = checks.checked_clips(changed(body, rows))
    assert (
        part.frames == 90 + 2 * checks.KEPT_STILL and "frozen for 1.0 s at the start and 1.7 s at the end" in notes[0]
    )
    with pytest.raises(SourceError, match="Frozen"):
        checks.checked_clips(changed(body, np.concatenate((np.arange(3), np.full(600, 2)))))


def test_a_t_pose_at_the_start_is_cut(body):
    """One frame or ten of the rest pose, then the performance."""
    for count in (1, 10):
        rest = np.tile([1.0, 0, 0, 0], (count, len(body.skeleton.parents), 1))
        rotations = np.concatenate((rest, rotvec_turned(body)))
        roots = np.concatenate((np.repeat(body.root_positions[:1], count, axis=0), body.root_positions))
        clip = Motion(body.skeleton, body.fps, roots, rotations)
        ((part, notes),) = checks.checked_clips(clip)
        assert part.frames == 90 and "T-pose" in notes[0]


def rotvec_turned(body: Motion) -> np.ndarray:
    """The body's rotations, all turned 60 degrees further about Z: far from rest."""
    from backend.rotations import quaternion_multiply

    turn = rotvec_to_quaternion(np.array([0.0, 0, 1.05]))
    turns = quaternion_multiply(body.rotations, turn + 0 * body.rotations)
    turns[:, 0] = body.rotations[:, 0]
    return turns


def test_poses_that_are_held_are_thinned(body):
    """Every pose four times at 120 fps is a clip at 30."""
    clip = changed(body, np.repeat(np.arange(90), 4), fps=120.0)
    ((part, notes),) = checks.checked_clips(Motion(body.skeleton, 120.0, clip.root_positions, clip.rotations))
    assert part.frames == 90 and "held for 4 frames" in notes[0]
    np.testing.assert_allclose(part.rotations, body.rotations, atol=1e-4)


def walker(frames: int) -> Motion:
    """Hips, head and two feet that are set down by turns on Z = 0, walking along X; given as positions."""
    time_s = np.arange(frames) / 30
    positions = np.zeros((frames, 4, 3))
    positions[:, :2, 0] = time_s[:, None]
    positions[:, 0, 2], positions[:, 1, 2] = 0.9, 1.7
    for foot, shift in ((2, 0.0), (3, 0.5)):
        step = np.floor(time_s + shift)
        swing = np.clip((time_s + shift - step - 0.5) * 2, 0, 1)
        positions[:, foot] = np.stack((step - shift + swing, np.full(frames, 0.1 * foot), 0.1 * swing * (1 - swing)), 1)
    rest = np.tile(np.eye(4), (4, 1, 1))
    rest[:, :3, 3] = positions[0]
    rotations = np.tile([1.0, 0, 0, 0], (frames, 4, 1))
    return Motion(Skeleton(np.array([-1, 0, 0, 0]), rest), 30.0, positions[:, 0], rotations, positions)


def test_a_body_that_lies_on_a_wall_is_turned_up():
    """Somebody who walks along Z with the feet on a plane Y = 0 has Y for up; walking as it should be stays."""
    motion = walker(150)
    assert checks.upright(motion)[1] is None
    for turn, note in (((-np.pi / 2, 0, 0), "Y was up"), ((0, np.pi / 2, 0), "X was up")):
        wrong = checks.turned_motion(motion, rotvec_to_quaternion(np.array(turn)))
        mended, said = checks.upright(wrong)
        assert note in said
        np.testing.assert_allclose(joint_positions(mended)[..., 2], joint_positions(motion)[..., 2], atol=1e-9)


def test_a_clip_that_is_played_too_fast_is_dropped(body):
    """A body that crosses itself every frame isn't one at that rate."""
    rows = np.random.default_rng(0).permutation(90)
    roots = body.root_positions + np.outer(np.arange(90) % 2, [1.0, 0, 0]) * skeleton_height(body.skeleton)
    with pytest.raises(SourceError, match="frame rate right"):
        checks.check_movement(changed(body, rows, root_positions=roots))


# AMASS-style files


def write_body(path: Path, joints: int, **more):
    """A clip of a body model: both arms swing, the pelvis walks along Y, Z up."""
    time_s = np.arange(120) / 60
    poses = np.zeros((120, joints, 3))
    poses[:, 0] = [np.pi / 2, 0, 0]  # the model's Y to Z
    poses[:, 16, 2] = poses[:, 17, 2] = np.sin(3 * time_s)
    poses[:, [1, 2, 4, 5, 7, 8, 12, 15, 18, 19, 20, 21], 0] = 0.3 * np.sin(3 * time_s + 1)[:, None]
    trans = np.stack((0 * time_s, -time_s, 0.9 + 0 * time_s), axis=1)
    arrays = {"poses": poses.reshape(120, -1), "trans": trans, "mocap_framerate": 60.0, "gender": "neutral"} | more
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


@pytest.mark.parametrize("joints", (22, 24, 52, 55))
def test_amass_files_stand_up(joints, tmp_path):
    """Every body model: about 1.7 m high along Z, head over feet, 60 fps, the path as given."""
    write_body(tmp_path / "clip.npz", joints)
    motion = body_motion(tmp_path / "clip.npz")
    assert motion.fps == 60 and motion.frames == 120
    low, high = joint_positions(motion)[..., 2].min(axis=1), joint_positions(motion)[..., 2].max(axis=1)
    assert 1.2 < (high - low).mean() < 1.8 and abs(low.mean()) < 0.2
    assert 1.4 < skeleton_height(motion.skeleton) < 1.9
    assert np.ptp(motion.skeleton.rest[:, 2, 3]) > 1.2  # the rest pose stands as well
    assert checks.upright(motion)[1] is None
    parents, offsets = body_skeleton(joints)
    assert (parents[1:] < np.arange(1, joints)).all() and (np.linalg.norm(offsets[1:], axis=1) > 0).all()


def test_a_skeleton_file_gives_the_lengths(tmp_path):
    """JSON and a body model's .npz with a shape; other counts of joints are refused in words."""
    write_body(tmp_path / "clip.npz", 22, betas=np.array([2.0, 0.0]))
    parents, offsets = body_skeleton(22)
    joints = np.zeros((22, 3))
    for row in range(1, 22):
        joints[row] = joints[parents[row]] + offsets[row]
    (tmp_path / "tall.json").write_text(json.dumps({"parents": parents.tolist(), "offsets": (2 * offsets).tolist()}))
    shapes = np.zeros((22, 3, 2))
    shapes[..., 0] = joints  # one unit of the first beta doubles the body
    table = np.stack((np.where(parents < 0, 2**32 - 1, parents), np.arange(22)))
    np.savez(tmp_path / "m.npz", kintree_table=table, J_regressor=np.eye(22), v_template=joints, shapedirs=shapes)
    plain = skeleton_height(body_motion(tmp_path / "clip.npz").skeleton)
    for name, factor in (("tall.json", 2), ("m.npz", 3)):
        motion = body_motion(tmp_path / "clip.npz", tmp_path / name)
        assert skeleton_height(motion.skeleton) == pytest.approx(factor * plain, rel=1e-6)
    write_body(tmp_path / "hands.npz", 52)
    assert "has 52 joints, the skeleton file 22" in reasons(tmp_path / "hands.npz", tmp_path / "m.npz")[0]


@pytest.mark.parametrize("more, reason", (({"trans": None}, "lacks trans"), ({"mocap_framerate": None}, "lacks mocap")))
def test_body_files_that_lack_something(more, reason, tmp_path):
    """What is missing is named; what isn't a zip as well."""
    write_body(tmp_path / "clip.npz", 22, **more)
    assert reason in reasons(tmp_path / "clip.npz")[0]
    (tmp_path / "broken.npz").write_bytes((tmp_path / "clip.npz").read_bytes()[:300])
    assert "can't be read" in reasons(tmp_path / "broken.npz")[0]


# Licences


def test_terms_come_from_tables_and_licence_files(takes, tmp_path):
    """The table first, then the nearest LICENSE; else unknown, and the report says so."""
    (tmp_path / "cmu").mkdir()
    (tmp_path / "cmu" / "LICENSE.txt").write_text("Free for all uses\nmore\n")
    for name in ("cmu/a.bvh", "cmu/b.bvh", "c.bvh"):
        (tmp_path / name).write_text("")
    (tmp_path / "licences.tsv").write_text("cmu/b*\tCC0\tmade here\n# a remark\n")
    terms = {Path(file.path).name: (file.licence, file.source) for file in find_files([tmp_path])}
    assert terms == {
        "a.bvh": ("Free for all uses (LICENSE.txt)", "cmu"),
        "b.bvh": ("CC0", "made here"),
        "c.bvh": ("unknown", ""),
    }
    (tmp_path / "wrong.tsv").write_text("no tabs here\n")
    with pytest.raises(UserError, match="line 1"):
        read_table(tmp_path / "wrong.tsv")
    assert Licences(takes).terms(takes / "a" / "train" / "a0.bvh").licence == "unknown"


# The whole


@pytest.fixture(scope="module")
def prepared(takes, tmp_path_factory):
    """The takes and a broken file as a data set made by two processes."""
    (takes / "a" / "broken.bvh").write_text("HIERARCHY")
    out = tmp_path_factory.mktemp("set")
    prepare([takes], out, 2, quiet)
    return out


def test_a_data_set_says_what_is_in_it(prepared):
    """Clips with set, split and licence; a report in words and as JSON; what was dropped, with its reason."""
    store = ClipStore(prepared)
    assert len(store.select("train")) == 3 and len(store.select("test")) == 3
    assert all(clip["licence"] == "unknown" and clip["notes"] == [] for clip in store.clips)
    report = json.loads((prepared / "report.json").read_text())
    assert [row["set"] for row in report["sets"]] == ["a", "b"] and report["dropped"][0]["name"] == "broken"
    text = (prepared / "report.md").read_text()
    assert text == inventory_markdown(report) and "HIERARCHY or MOTION is missing" in text
    store.check()
    for index in range(len(store.clips)):
        source, kept = bvh_motion(store.clips[index]["path"]), clip_motion(store, index)
        scale = 1.7 / skeleton_height(source.skeleton)
        np.testing.assert_allclose(joint_positions(kept), joint_positions(source) * scale, atol=2e-4)


def test_only_what_changed_is_made_again(takes, prepared):
    """The same command finds all there; a flipped bit is named, and its shard alone is made again, to the bit."""
    times = {path: path.stat().st_mtime_ns for path in (prepared / "shards").glob("*.safetensors")}
    before = (prepared / "dataset.json").read_text()
    prepare([takes], prepared, 2, quiet)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    damaged = sorted(times)[0]
    data = bytearray(damaged.read_bytes())
    data[-7] ^= 4
    damaged.write_bytes(data)
    with pytest.raises(UserError, match=f"1 of {len(times)} shards are damaged.*{damaged.name}.*SHA-256"):
        ClipStore(prepared).check()
    prepare([takes], prepared, 2, quiet)
    ClipStore(prepared).check()
    assert (prepared / "dataset.json").read_text() == before
    assert sum(path.stat().st_mtime_ns != time for path, time in times.items()) == 1


def test_a_folder_that_is_no_data_set_is_named(tmp_path):
    """With what to do; an older format as well."""
    with pytest.raises(UserError, match="no prepared data set.*prepare"):
        ClipStore(tmp_path)
    (tmp_path / "dataset.json").write_text('{"format": 1}')
    with pytest.raises(UserError, match="format 1, expected 2"):
        ClipStore(tmp_path)


def command(takes: Path, out: Path) -> list[str]:
    """The command as a user gives it."""
    return [sys.executable, "-m", "training", "prepare", str(takes), "--out", str(out), "--jobs", "1"]


def test_a_reader_that_dies_costs_its_file_alone(takes, tmp_path):
    """The process is killed while it reads (as a crashing importer is): its file is named, all others are there."""
    lines = []
    thread = threading.Thread(target=prepare, args=([takes], tmp_path / "out", 1, lines.append))
    thread.start()
    until = time.monotonic() + 60
    while not (children := multiprocessing.active_children()) and time.monotonic() < until:
        time.sleep(0.005)
    children[0].kill()
    thread.join(100)
    assert sum("crashed its importer" in line for line in lines) == 1
    dropped = json.loads((tmp_path / "out" / "report.json").read_text())["dropped"]
    crashed = [row for row in dropped if "crash" in row["why"]]
    assert len(crashed) == 1 and crashed[0]["path"] in "".join(lines)
    store = ClipStore(tmp_path / "out")
    broken = [row for row in find_files([takes]) if row.path.endswith("broken.bvh") and row.path != crashed[0]["path"]]
    assert len(store.clips) == len(find_files([takes])) - 1 - len(broken)


def finished(out: Path) -> dict[Path, int]:
    """Finished shards and when they were written."""
    found = [path for path in out.glob("shards/*.safetensors") if finished_record(out, path.stem)]
    return {path: path.stat().st_mtime_ns for path in found}


def test_a_killed_run_goes_on_with_the_rest(takes, tmp_path):
    """kill -9 after the first shard: it is kept, the rest is made, the data set is the same."""
    out = tmp_path / "out"
    process = subprocess.Popen(command(takes, out), cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 60
    while not (kept := finished(out)) and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert kept and not (out / "dataset.json").exists()
    lines = []
    prepare([takes], out, 1, lines.append)
    assert any("are there already" in line for line in lines)
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items())
    assert len(ClipStore(out).clips) == 6


def test_a_full_disk_is_said_and_nothing_is_half(takes, tmp_path):
    """A limit on the size of files stands in for the disk: the message says so, no shard is left half written."""

    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    out = tmp_path / "out"
    done = subprocess.run(command(takes, out), cwd=ROOT, preexec_fn=small, capture_output=True, text=True)
    assert done.returncode == 1 and "can't be written" in done.stderr and "Traceback" not in done.stderr
    assert not list(out.glob("shards/*.safetensors")) and not (out / "dataset.json").exists()
    prepare([takes], out, 1, quiet)
    assert all(shard_path(out, shard["name"]).exists() for shard in ClipStore(out).shards)
