"""What adapting brings is measured on clips that weren't learnt from, and never worse than before.

python -m pytest tests/training/test_adapt_check.py
"""

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from backend.checkpoint import Checkpoint, save_checkpoint
from backend.errors import UserError
from tests.plain.bodies import TWO_LEVELS, tiny_model, tiny_parameters
from tests.training.takes import write_bvh
from training.adapt_check import find_rigs, main
from training.prepare import prepare
from training.store import ClipStore


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A prepared data set: six held-out clips of one rig, one of another."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(6):
        write_bvh(folder / "takes" / "strangers" / "eval" / f"clip_{number}.bvh", 80 + 10 * number, number)
    write_bvh(folder / "takes" / "loners" / "eval" / "clip.bvh", 80, 9)
    prepare([folder / "takes"], folder / "set", 1, report=lambda *_: None)
    return folder / "set"


def test_half_of_the_clips_of_a_rig_judge_the_other_half(data):
    """No clip is in both halves; rigs with few clips are left out, and none at all is an error."""
    (rig,) = find_rigs(ClipStore(data), ["strangers", "loners"], 3)
    assert rig.name.startswith("strangers") and (len(rig.used), len(rig.other)) == (3, 3)
    lengths = [motion.frames for motion in (*rig.used, *rig.other)]
    assert len(set(lengths)) == 6
    with pytest.raises(UserError, match="has 6 clips or more"):
        find_rigs(ClipStore(data), ["loners"], 3)


def test_the_table_has_errors_and_variations_before_and_after(data, tmp_path):
    """Of both halves, none of them worse than before: motion that is known better without is read without."""
    statistics = dict(tiny_model().statistics)
    statistics["chunk_mean"] = np.zeros(TWO_LEVELS.levels[0].latent)
    weights = tmp_path / "tiny.safetensors"
    save_checkpoint(weights, Checkpoint(TWO_LEVELS, tiny_parameters(TWO_LEVELS), statistics, "tiny", "untrained"))
    out = tmp_path / "report"
    options = ["--checkpoint", str(weights), "--sets", "strangers", "--seconds", "8", "--device", "cpu"]
    main([str(data), *options, "--out", str(out)])
    (row,) = json.loads((out / "adapt.json").read_text())
    for half in ("used", "other"):
        before, after = row["before"][half], row["after"][half]
        assert 0 < after["joint_mm"] <= before["joint_mm"]
        assert before["change_deg"] > 0 and after["change_deg"] > 0
    text = (out / "adapt.md").read_text()
    assert "strangers: 18 joints" in text and "nan" not in text and "other clips, mm" in text
