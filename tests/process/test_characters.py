"""Learning a character through the client: the request, the file, cancelling, what NumPy says.

python -m pytest tests/process/test_characters.py
"""

import importlib.util
import sys

import numpy as np
import pytest
from scenery import example_motion, wait_until

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="this Python has no torch")
CLIPS, FRAMES = 5, 96


def clips() -> list[dict]:
    """Motions of one character: parts of a long one."""
    whole = example_motion(CLIPS * FRAMES)
    cut = {"root_positions", "rotations"}
    return [
        {name: array[i * FRAMES : (i + 1) * FRAMES] if name in cut else array for name, array in whole.items()}
        for i in range(CLIPS)
    ]


def numbered(motions) -> dict:
    """The arrays of several motions in one message."""
    return {f"{number}.{name}": array for number, motion in enumerate(motions) for name, array in motion.items()}


def test_numpy_says_why_it_cannot_learn(extension, new_client, tmp_path):
    """And goes on working."""
    client = new_client(characters=str(tmp_path))
    with pytest.raises(extension.client.BackendError, match="Choose the PyTorch engine") as caught:
        client.wait(client.submit("adapt", numbered(clips()), motions=CLIPS))
    assert caught.value.kind == "user"
    head = client.wait(client.submit("encode", clips()[0]))[-1].head
    assert head["adaptation"] is None and list(tmp_path.iterdir()) == []


@pytest.mark.torch
@needs_torch
def test_what_torch_learns_numpy_uses(new_client, tmp_path):
    """One message with all motions; the file is found by the next request of any process, and left when it goes."""
    folder = tmp_path / "characters"
    numpy_client = new_client(characters=str(folder))
    before = numpy_client.wait(numpy_client.submit("encode", clips()[0]))[-1].head
    client = new_client(engine="torch", device="cpu", python=sys.executable, characters=str(folder))
    texts = []
    job = client.submit("adapt", numbered(clips()), motions=CLIPS, seconds=600.0, most_steps=80)
    done = client.wait(job, lambda fraction, text: texts.append(text))[-1].head
    assert done["adaptation"]["used"] and done["facts"]["clips"] == CLIPS
    assert done["facts"]["used_after"] < done["facts"]["used_before"]
    assert any("Held-out error" in text for text in texts)
    (path,) = folder.iterdir()
    assert path.name == done["adaptation"]["file"]
    after = numpy_client.wait(numpy_client.submit("encode", clips()[0]))[-1].head
    assert after["adaptation"]["used"] and after["adaptation"]["file"] == path.name
    assert after["reconstruction"]["joint_mm"] < before["reconstruction"]["joint_mm"]
    *_, last = numpy_client.wait(numpy_client.submit("resample", clips()[0], seeds=[1]))
    assert last.head["adaptation"]["used"]
    path.unlink()
    again = numpy_client.wait(numpy_client.submit("encode", clips()[0]))[-1].head
    assert again["adaptation"] is None and again["reconstruction"] == before["reconstruction"]


@pytest.mark.torch
@needs_torch
def test_learning_can_be_cancelled(extension, new_client, tmp_path):
    """Nothing is kept, and the next request is answered."""
    client = new_client(engine="torch", device="cpu", python=sys.executable, characters=str(tmp_path))
    job = client.submit("adapt", numbered(clips()), motions=CLIPS, seconds=60.0)
    wait_until(lambda: any("Held-out error" in event.head.get("text", "") for event in client.poll()), 60)
    client.cancel(job)
    with pytest.raises(extension.client.JobCancelled):
        client.wait(job)
    assert list(tmp_path.iterdir()) == []
    assert client.wait(client.submit("encode", clips()[0]))[-1].head["adaptation"] is None


@pytest.mark.torch
@needs_torch
def test_a_folder_that_cannot_be_written_is_named(extension, new_client, tmp_path):
    """It is a file, say."""
    wrong = tmp_path / "a file"
    wrong.write_bytes(b"")
    client = new_client(engine="torch", device="cpu", python=sys.executable, characters=str(wrong / "folder"))
    with pytest.raises(extension.client.BackendError, match="Name another folder") as caught:
        client.wait(client.submit("adapt", numbered(clips()), motions=CLIPS, seconds=600.0, most_steps=60))
    assert str(wrong) in str(caught.value) and caught.value.kind == "user"


def test_motions_of_two_characters_are_refused():
    """Before anything is learnt; asked of the function itself, which every engine shares."""
    from backend.adapt_clips import joint_table
    from backend.errors import UserError
    from backend.motion import arrays_to_motion

    skeletons = [arrays_to_motion(example_motion(seed=seed)).skeleton for seed in (0, 1)]
    with pytest.raises(UserError, match="different characters"):
        joint_table(skeletons)
    assert np.isfinite(joint_table(skeletons[:1])[0]).all()
