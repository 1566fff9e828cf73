"""Encode, reconstruct and resample through the client: results, progress, cancelling, sentences for what can't be done.

python -m pytest tests/process/test_jobs.py
"""

import importlib.util
import os
import signal
import sys
import time

import numpy as np
import pytest
from scenery import bare_environment, example_motion, is_alive, wait_ready, wait_until

from backend import jobs
from backend.change import arrays_to_change
from backend.protocol import Message
from backend.tensors import load_tensors, save_tensors

CANCEL_LIMIT_S = 0.5  # promised to the user
LONG = 40_000  # frames that take a second or more


def encode(client, arrays, **fields):
    """What `encode` says."""
    return client.wait(client.submit("encode", arrays, **fields))[-1].head


def first_progress(client) -> None:
    """Wait until a job runs."""
    wait_until(lambda: any(event.kind == "progress" for event in client.poll()))


def cancel_and_wait(extension, client, job) -> float:
    """Cancel a job; the seconds until it is cancelled."""
    started = time.monotonic()
    client.cancel(job)
    with pytest.raises(extension.client.JobCancelled):
        client.wait(job)
    return time.monotonic() - started


def test_encode_says_what_was_read_and_how_well_it_is_known(new_client):
    """All figures of the panel, finite."""
    head = encode(new_client(), example_motion(frames=100, joints=9))
    assert (head["frames"], head["joints"], head["fps"]) == (100, 9, 30.0)
    assert head["duration_s"] == pytest.approx(3.3) and head["seconds"] > 0 and 0.1 < head["height_m"] < 5
    names = {"joint_mm", "joint_heights", "rotation_world_deg", "rotation_local_deg"}
    assert set(head["reconstruction"]) == names and all(value > 0 for value in head["reconstruction"].values())


def test_reconstruct_sends_a_change_of_the_size_it_says(new_client):
    """The change's mean angle is the world rotation error, whatever the model."""
    client = new_client()
    final = client.wait(client.submit("reconstruct", example_motion()))[-1]
    change = arrays_to_change(final.arrays)
    assert change.rotation.shape == (90, 12, 3)
    degrees = np.degrees(np.linalg.norm(change.rotation, axis=-1)).mean()
    assert degrees == pytest.approx(final.head["reconstruction"]["rotation_world_deg"], rel=0.02)


def test_resample_sends_one_variation_a_seed_as_they_are_made(new_client):
    """In order, each its own; the same seed gives the same bytes, also in a fresh process."""
    client = new_client()
    ask = {"settings": {"strength": 1.0, "level": "PHRASES"}, "seeds": [5, 6, 5]}
    *variations, done = client.wait(client.submit("resample", example_motion(), **ask))
    assert [(event.kind, event.head["index"], event.head["seed"]) for event in variations] == [
        ("variation", 0, 5),
        ("variation", 1, 6),
        ("variation", 2, 5),
    ]
    assert (
        done.head["change_deg"] == [event.head["change_deg"] for event in variations] and done.head["change_deg"][0] > 0
    )
    assert variations[0].arrays["rotation"].dtype == np.float32
    np.testing.assert_array_equal(variations[0].arrays["rotation"], variations[2].arrays["rotation"])
    assert not np.array_equal(variations[0].arrays["rotation"], variations[1].arrays["rotation"])
    client.restart()
    again = client.wait(client.submit("resample", example_motion(), **ask))[0]
    np.testing.assert_array_equal(again.arrays["rotation"], variations[0].arrays["rotation"])


def test_strength_0_changes_nothing(new_client):
    """Not even the last bit."""
    client = new_client()
    first = client.wait(client.submit("resample", example_motion(), settings={"strength": 0.0}, seeds=[1]))[0]
    assert first.head["change_deg"] == 0 and not any(first.arrays[name].any() for name in ("rotation", "root"))


def test_flags_of_joints_and_rows_arrive(new_client):
    """A pinned row stays; a joint that isn't selected keeps its turn against its parent."""
    client = new_client()
    selected, pinned = np.zeros(12, np.uint8), np.zeros(90, np.uint8)
    selected[[5, 6, 7, 8]], pinned[45] = 1, 1
    arrays = {**example_motion(), "selected": selected, "pinned": pinned}
    settings = {"keep_ends": False, "contacts": False}
    rotation = client.wait(client.submit("resample", arrays, settings=settings, seeds=[1]))[0].arrays["rotation"]
    angles = np.linalg.norm(rotation, axis=-1)
    assert angles[45].max() < 1e-7 and angles[:, [0, 1, 2, 3, 4]].max() < 1e-7 and angles[20, 5] > 1e-3


def test_an_encoding_is_kept_and_only_the_last_few_are(new_client):
    """Resampling after encoding doesn't encode again; memory stays bounded."""
    client = new_client()
    texts = []
    encode(client, example_motion())
    job = client.submit("resample", example_motion(), seeds=[1])
    client.wait(job, lambda fraction, text: texts.append(text))
    assert texts and not any("Encoding" in text for text in texts)
    for seed in range(1, 7):
        encode(client, example_motion(seed=seed))
    job = client.submit("resample", example_motion(), seeds=[1])
    client.wait(job, lambda fraction, text: texts.append(text))
    assert any("Encoding" in text for text in texts)
    client.restart()
    wait_ready(client)
    assert client.status["encodings"] == 0


def test_long_motions_are_not_all_kept(checkpoint, monkeypatch):
    """The memory of an idle backend is bounded in poses, too; the last motion is always kept."""
    monkeypatch.setattr(jobs, "KEPT_POSES", 2500)  # two of 1,080, or one of any size
    kept = jobs.Jobs(checkpoint=checkpoint)
    counts = []
    for frames in (90, 91, 92, 300, 90):
        request = Message({"request": "encode"}, example_motion(frames))
        kept.run("encode", request, lambda fraction, text: None, None)
        counts.append(kept.status()["encodings"])
    assert counts == [1, 2, 2, 1, 1]


def test_progress_only_grows_and_ends_at_1(new_client):
    """From reading to the last variation."""
    client, fractions = new_client(), []
    job = client.submit("resample", example_motion(2000), seeds=[1, 2, 3])
    client.wait(job, lambda fraction, text: fractions.append(fraction))
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1 and len(fractions) > 5
    assert job.state == "done" and job.fraction == 1


def test_cancelling_a_running_job(extension, new_client):
    """Within half a second; the same process takes the next request."""
    client = new_client()
    job = client.submit("encode", example_motion(4000))
    first_progress(client)
    pid = client.pid
    assert cancel_and_wait(extension, client, job) < CANCEL_LIMIT_S
    assert job.state == "cancelled"
    assert encode(client, example_motion())["frames"] == 90 and client.pid == pid


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8])
def test_cancelling_at_every_stage_of_a_resampling(extension, new_client, fraction):
    """Reading, encoding, decoding, contacts, between variations: nothing comes after it but `cancelled`."""
    client = new_client()
    wait_ready(client)
    job = client.submit("resample", example_motion(4000), seeds=[1, 2, 3, 4])
    wait_until(lambda: client.poll() is not None and job.fraction >= fraction and job.text)
    assert cancel_and_wait(extension, client, job) < CANCEL_LIMIT_S
    assert client.wait(client.submit("encode", example_motion()))[-1].kind == "done"
    assert client.poll() == []


def test_cancelling_while_the_process_starts(extension, new_client):
    """Before its first answer."""
    client = new_client()
    job = client.submit("encode", example_motion(LONG))
    assert cancel_and_wait(extension, client, job) < CANCEL_LIMIT_S
    assert encode(client, example_motion())["frames"] == 90


def test_cancelling_a_job_that_waits_leaves_the_running_one(extension, new_client):
    """It isn't begun at all."""
    client = new_client()
    wait_ready(client)
    running, waiting, last = (client.submit("encode", example_motion(frames)) for frames in (4000, 4001, 90))
    first_progress(client)
    assert cancel_and_wait(extension, client, waiting) < CANCEL_LIMIT_S
    assert client.wait(running)[-1].head["frames"] == 4000
    assert client.wait(last)[-1].head["frames"] == 90


def test_cancelling_a_process_that_hangs_kills_it(extension, new_client):
    """It can't answer, so it is replaced; a job that waited behind it is told why it ended."""
    client = new_client()
    job, behind = client.submit("encode", example_motion(LONG)), client.submit("encode", example_motion())
    first_progress(client)
    pid = client.pid
    os.kill(pid, signal.SIGSTOP)
    assert cancel_and_wait(extension, client, job) < CANCEL_LIMIT_S
    with pytest.raises(extension.client.BackendError, match="cancelled job did not stop. Click again"):
        client.wait(behind)
    assert not is_alive(pid) and client.state in ("starting", "ready") and client.problem is None
    assert encode(client, example_motion())["frames"] == 90


def test_cancelling_a_hanging_process_does_not_need_a_poll(new_client):
    """Blender may be busy drawing: the process is killed all the same."""
    client = new_client()
    job = client.submit("encode", example_motion(LONG))
    first_progress(client)
    pid = client.pid
    os.kill(pid, signal.SIGSTOP)
    client.cancel(job)
    assert wait_until(lambda: not is_alive(pid)) < CANCEL_LIMIT_S


def test_cancelling_twice_or_too_late_does_nothing(extension, new_client):
    """A finished job stays done, and its process stays."""
    client = new_client()
    job = client.submit("encode", example_motion())
    client.wait(job)
    pid = client.pid
    client.cancel(job)
    assert job.state == "done"
    job = client.submit("encode", example_motion(4000))
    client.cancel(job)
    assert cancel_and_wait(extension, client, job) < CANCEL_LIMIT_S
    time.sleep(0.5)  # the limit of the first cancel passes
    assert encode(client, example_motion())["frames"] == 90 and client.pid == pid


def test_a_progress_that_cancels(extension, new_client):
    """Headless use: the callback itself may stop the job."""
    client = new_client()
    job = client.submit("encode", example_motion(4000))
    with pytest.raises(extension.client.JobCancelled):
        client.wait(job, lambda fraction, text: client.cancel(job))


def test_ctrl_c_during_a_wait_cancels_the_job(new_client):
    """And leaves a process that works."""
    client = new_client()
    job = client.submit("encode", example_motion(4000))

    def interrupt(fraction, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.wait(job, interrupt)
    wait_until(lambda: client.poll() is not None and job.finished)
    assert job.state == "cancelled" and encode(client, example_motion())["frames"] == 90


def test_stopping_ends_the_jobs(extension, new_client):
    """A file is loaded while a job runs: its job ends, and isn't left waiting for ever."""
    client = new_client()
    job = client.submit("encode", example_motion(LONG))
    first_progress(client)
    started = time.monotonic()
    client.stop()
    assert time.monotonic() - started < 1
    with pytest.raises(extension.client.BackendError, match="was stopped"):
        client.wait(job)


def test_other_settings_take_a_new_process(extension, new_client):
    """The same settings keep it."""
    client = new_client()
    encode(client, example_motion())
    pid = client.pid
    client.use(client.settings)
    assert client.pid == pid
    client.use(extension.client.Settings(engine="numpy", device="cuda", checkpoint=client.settings.checkpoint))
    head = encode(client, example_motion())
    assert client.pid != pid
    assert "runs on the CPU, not on 'cuda'" in head["notice"] and "work is done by CPU, numpy" in head["notice"]


def truncated(path, checkpoint):
    """A checkpoint whose copying broke off."""
    path.write_bytes(checkpoint.read_bytes()[:-1000])


def foreign(path, checkpoint):
    """Some other weights file."""
    save_tensors(path, {"layers.0.weight": np.ones((4, 4), np.float32)}, {"format": "pt"})


def no_weights(path, checkpoint):
    """A file of another kind."""
    path.write_bytes(b"PK\x03\x04" + bytes(1000))


def newer(path, checkpoint):
    """A checkpoint of a version to come."""
    arrays, metadata = load_tensors(checkpoint)
    save_tensors(path, arrays, {**metadata, "format": "motion-variations 99"})


def incomplete(path, checkpoint):
    """A checkpoint that lacks a parameter."""
    arrays, metadata = load_tensors(checkpoint)
    arrays.pop(next(name for name in arrays if name.startswith("encoder")))
    save_tensors(path, arrays, metadata)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (None, "There is no checkpoint"),
        (truncated, "is damaged. Cut short"),
        (foreign, "has the format 'pt'"),
        (no_weights, "is damaged"),
        (newer, "motion-variations 99"),
        (incomplete, "nothing for encoder"),
    ],
)
def test_a_bad_checkpoint_is_explained(extension, new_client, checkpoint, tmp_path, damage, sentence):
    """In the status at once, in the answer to every request, and put right without a restart."""
    path = tmp_path / "weights.safetensors"
    if damage:
        damage(path, checkpoint)
    client = new_client(checkpoint=str(path))
    wait_ready(client)
    assert sentence in client.status["problem"] and client.status["checkpoint"] is None
    for _ in range(2):
        with pytest.raises(extension.client.BackendError, match=sentence) as caught:
            encode(client, example_motion())
        assert caught.value.kind == "user" and "Install the extension again." in str(caught.value)
    path.write_bytes(checkpoint.read_bytes())
    assert encode(client, example_motion())["frames"] == 90


def with_nan():
    """A motion with a key that is no number."""
    arrays = example_motion()
    arrays["rotations"] = arrays["rotations"].copy()
    arrays["rotations"][3, 2, 1] = np.nan
    return arrays


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (with_nan, "rotations hold numbers that are not finite. Check the keys"),
        (lambda: example_motion(frames=1), "has 1 frame; 2 or more"),
        (lambda: {"parents": np.array([-1])}, "The motion lacks rest, fps"),
        (lambda: {**example_motion(), "rest": np.eye(4)}, "rest have shape"),
    ],
)
def test_a_bad_motion_is_explained(extension, new_client, arrays, sentence):
    """And the next request works."""
    client = new_client()
    with pytest.raises(extension.client.BackendError, match=sentence) as caught:
        encode(client, arrays())
    assert caught.value.kind == "user"
    assert encode(client, example_motion())["frames"] == 90


@pytest.mark.parametrize(
    ("request_name", "fields", "kind", "sentence"),
    [
        ("improve", {}, "internal", "no request 'improve'; there are status, cancel, encode"),
        ("resample", {"seeds": []}, "user", "ask for 1 to 64"),
        ("resample", {"seeds": list(range(65))}, "user", "65 variations"),
        ("resample", {"seeds": ["__import__('os')"]}, "internal", "whole numbers"),
        ("resample", {"seeds": [1], "settings": {"speed": 2}}, "internal", "no settings .*speed"),
        ("resample", {"seeds": [1], "settings": {"level": "TINY"}}, "internal", "no level 'TINY'"),
    ],
)
def test_a_request_that_makes_no_sense_is_answered(extension, new_client, request_name, fields, kind, sentence):
    """A mistake of ours is told as such, with the traceback in the log."""
    client = new_client()
    with pytest.raises(extension.client.BackendError, match=sentence) as caught:
        client.wait(client.submit(request_name, example_motion(), **fields))
    assert caught.value.kind == kind
    assert encode(client, example_motion())["frames"] == 90


def scarce(client, folder) -> str:
    """A Python whose processes may take little more memory than this client's does now; stops the client."""
    wait_ready(client)
    with open(f"/proc/{client.pid}/statm") as file:
        taken_kb = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE") // 1024
    client.stop()
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nulimit -v {taken_kb + 300_000}\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return str(python)


def test_too_little_memory_is_explained_and_survived(extension, new_client, tmp_path):
    """A motion that needs more than the process may have."""
    client = new_client(python=scarce(new_client(), tmp_path))
    assert encode(client, example_motion())["frames"] == 90
    with pytest.raises(extension.client.BackendError, match="isn't enough memory for this motion") as caught:
        encode(client, example_motion(30_000, joints=80))
    assert caught.value.kind == "user"
    head = encode(client, example_motion())
    assert head["frames"] == 90 and head["notice"] is None


@pytest.mark.torch
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="this Python has no torch")
def test_a_device_that_runs_out_of_memory_leaves_the_work_to_the_cpu(extension, new_client, tmp_path):
    """And says so. The device here is torch's `cpu:0`, which goes the way of a GPU, for want of one in every test."""
    device = {"engine": "torch", "device": "cpu:0"}
    client = new_client(python=scarce(new_client(**device), tmp_path), **device)
    assert encode(client, example_motion())["notice"] is None
    texts = []
    with pytest.raises(extension.client.BackendError, match="isn't enough memory"):
        job = client.submit("encode", example_motion(30_000, joints=80))
        client.wait(job, lambda fraction, text: texts.append(text))
    notice = encode(client, example_motion())["notice"]
    assert "ran out of memory; the CPU does the work until the backend is restarted" in notice and notice in texts


def test_a_motion_beyond_the_message_limit_is_refused_before_it_is_sent(extension, new_client):
    """No process is even started."""
    client = new_client()
    arrays = {**example_motion(), "rotations": np.broadcast_to(np.float64(0), (10**6, 10**3, 4))}
    with pytest.raises(extension.client.BackendError, match="Choose a shorter range") as caught:
        client.submit("encode", arrays)
    assert caught.value.kind == "user" and client.state == "stopped"


def test_submitting_a_large_motion_to_a_busy_process_does_not_wait(new_client):
    """Blender's interface goes on while tens of megabytes are on their way, even to a process that doesn't read."""
    client = new_client()
    wait_ready(client)
    os.kill(client.pid, signal.SIGSTOP)
    arrays = example_motion(50_000, joints=20)
    started = time.monotonic()
    job = client.submit("encode", arrays)
    client.poll()
    assert time.monotonic() - started < 0.2
    client.cancel(job)
    os.kill(client.pid, signal.SIGCONT)


def test_the_numpy_engine_never_imports_torch(new_client):
    """Though this Python has it (in `build.py test`): the whole of a resampling does without."""
    client = new_client()
    client.wait(client.submit("resample", example_motion(), seeds=[1]))
    client.restart()
    wait_ready(client)
    client.wait(client.submit("resample", example_motion(), seeds=[1]))
    assert client.wait(client.submit("status"))[-1].head["torch"] is None


def test_the_torch_engine_in_a_python_without_torch_is_explained(extension, new_client, tmp_path):
    """The status says it before anything is asked."""
    client = new_client(engine="torch", python=str(bare_environment(tmp_path / "environment")))
    wait_ready(client)
    assert "has no torch. Install torch there" in client.status["problem"]
    with pytest.raises(extension.client.BackendError, match="or choose the numpy engine") as caught:
        encode(client, example_motion())
    assert caught.value.kind == "engine"


@pytest.mark.torch
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="this Python has no torch")
def test_a_device_that_is_not_there_leaves_the_work_to_the_cpu(new_client):
    """A card that was taken out, or a name that torch doesn't know: done, and said."""
    for device in ("cuda:7", "nonsense"):
        client = new_client(engine="torch", device=device)
        head = encode(client, example_motion())
        assert f"can't use the device '{device}'" in head["notice"] and "work is done by CPU" in head["notice"]
        assert client.status["device"].startswith("CPU, torch")
        client.stop()


@pytest.mark.torch
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="this Python has no torch")
def test_the_torch_engine_gives_the_same_variation(new_client):
    """Both engines, through their processes, from one seed."""
    ask = {"settings": {"contacts": False}, "seeds": [3]}
    results = []
    for engine in ("numpy", "torch"):
        client = new_client(engine=engine, device="cpu")
        results.append(client.wait(client.submit("resample", example_motion(), **ask))[0].arrays["rotation"])
        assert ("torch" in client.status["device"]) == (engine == "torch")
    assert np.degrees(np.abs(results[0] - results[1]).max()) < 0.01
