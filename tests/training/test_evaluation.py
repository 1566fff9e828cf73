"""The report's parts, on motions of which it is known what should come out, and the report as a whole on tiny weights.

python -m pytest tests/training/test_evaluation.py
"""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from backend.change import apply_change  # noqa: E402
from backend.checkpoint import Checkpoint, load_checkpoint, save_checkpoint  # noqa: E402
from backend.encoding import encode_motion, load_model, reconstruction_change  # noqa: E402
from backend.errors import UserError  # noqa: E402
from backend.model import initial_parameters  # noqa: E402
from backend.motion import joint_positions  # noqa: E402
from backend.rotations import quaternion_angle, quaternion_multiply, rotvec_to_quaternion  # noqa: E402
from tests.plain.bodies import TWO_LEVELS, body, tiny_model, tiny_parameters  # noqa: E402
from tests.training.takes import write_takes  # noqa: E402
from training import baselines, goals, lengths, metrics, rates, realism, scaling  # noqa: E402
from training.card import made_from  # noqa: E402
from training.card import main as show_card  # noqa: E402
from training.evaluate import choose_scope, evaluate, main  # noqa: E402
from training.held_out import LinearCodes, clip_figures, held_out_clips, middle_motion, motion_of_rows  # noqa: E402
from training.prepare import prepare  # noqa: E402
from training.presets import TINY  # noqa: E402
from training.train import as_module  # noqa: E402
from training.varied import rig_ranges  # noqa: E402


def silent(*_):
    """A report that nobody reads."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A prepared data set: two sets with training and held-out clips, one of a stranger."""
    folder = tmp_path_factory.mktemp("data")
    write_takes(folder / "takes")
    prepare([folder / "takes"], folder / "set", 1, report=silent)
    return folder / "set"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weights file, untrained, with all statistics."""
    statistics = dict(tiny_model().statistics)
    statistics["chunk_mean"] = np.zeros(TWO_LEVELS.levels[0].latent)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(path, Checkpoint(TWO_LEVELS, tiny_parameters(TWO_LEVELS), statistics, "tiny", "untrained"))
    return path


@pytest.fixture(scope="module")
def model(weights):
    """The weights, loaded."""
    return load_model(weights, "numpy")


@pytest.fixture(scope="module")
def scope(data):
    """A quick look at the data set."""
    return choose_scope(data, quick=True, sets=None, clips=2)


# Baselines


@pytest.mark.parametrize("slides", [False, True])
def test_slerp_keeps_its_keys_and_is_exact_with_a_key_on_every_frame(slides):
    """Also for joints that slide; the fewer the keys, the larger the error."""
    source = body(slides=slides)
    assert metrics.joint_error_mm(source, baselines.slerp_motion(source, 1), aligned=False) < 1e-6
    keyed = baselines.slerp_motion(source, 32)
    keys = np.append(np.arange(0, source.frames, 32), source.frames - 1)
    np.testing.assert_allclose(joint_positions(keyed)[keys], joint_positions(source)[keys], atol=1e-9)
    errors = [metrics.joint_error_mm(source, baselines.slerp_motion(source, spacing)) for spacing in (4, 8, 32)]
    assert errors[0] < errors[1] < errors[2]


def test_slerp_is_exact_on_a_turn_of_even_speed():
    """A limb that turns evenly is two keys."""
    source = body()
    still = np.repeat(metrics.local_rotations(source)[:1], source.frames, axis=0)
    turn = rotvec_to_quaternion(np.linspace(0, 2, source.frames)[:, None] * np.array([1.0, 0, 0]))
    still[:, 9] = quaternion_multiply(still[:, 9], turn)
    rotations = metrics.world_rotations(source.skeleton.parents, still)
    roots = np.linspace(0, 1, source.frames)[:, None] * np.array([1.0, 2, 0])
    even = replace(source, rotations=rotations, root_positions=roots)
    made = baselines.slerp_motion(even, source.frames)
    assert metrics.joint_error_mm(even, made, aligned=False) < 1e-6


def test_numbers_of_slerp_and_its_spacing_are_inverse():
    """22 joints: a key every 17 frames takes about 4 numbers a frame."""
    assert baselines.slerp_spacing(22, 4.0) == 17
    assert baselines.slerp_numbers(22, 17) == pytest.approx(3 * 23 / 17)
    assert baselines.slerp_spacing(5, 1000.0) == 1


def test_the_clips_own_code_is_exact_with_numbers_enough(model):
    """Rows that are sums of three poses need three numbers; with fewer there is an error, and less with more."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 40))
    made = baselines.own_code_rows(rows, [1, 2, 3, 60])
    errors = [np.square(made[size] - rows).mean() for size in (1, 2, 3, 60)]
    assert errors[0] > errors[1] > 0.1 and max(errors[2:]) < 1e-9


def test_rows_become_the_motion_that_they_were_read_from(model):
    """Nothing left out of the code, and the motion comes back, sliding joints as well."""
    for slides in (False, True):
        source = body(slides=slides)
        encoding, clip = encode_motion(model, source, silent), baselines.pose_rows(source)
        made = motion_of_rows(encoding, clip, clip.rows)
        assert metrics.joint_error_mm(source, made) < 0.1
        assert metrics.rotation_error_deg(source, made) < 0.01


# Reconstruction, lengths, rates


def test_a_clips_figures_have_the_source_at_its_ideal(model, scope):
    """No error against itself, its own skate; the model's and baselines' lines beside, and the linear code."""
    index = held_out_clips(scope.store, "walkers", 1)[0]
    row = clip_figures(model, scope.store, index, middle_motion(scope.store, index, 96), LinearCodes(scope.store, 100))
    assert set(row["methods"]) == {"source", "model", "slerp", "own_code"}
    source = row["methods"]["source"]
    assert source["joint_mm"] == source["joint_unaligned_mm"] == 0 and source["jerk_ratio"] == 1
    for method in ("model", "slerp", "own_code"):
        assert row["methods"][method]["joint_mm"] > 1
    assert 0 < row["linear_mm"] < row["mean_pose_mm"]


def test_only_clips_that_are_long_enough_are_taken(scope):
    """And how many there are is said."""
    held = [clip for clip in scope.store.clips if clip["split"] != "train"]
    for length in (64, 110, 4096):
        chosen, count = lengths.long_enough(scope, length)
        assert count == sum(clip["frames"] >= length for clip in held)
        assert all(scope.store.clips[index]["frames"] >= length for index in chosen)
    assert not chosen


def test_lengths_without_clips_are_rows_without_figures(model, scope):
    """The others have the same clips at the shortest length beside."""
    rows = lengths.length_rows(model, replace(scope, quick=False), silent)
    assert [row["length"] for row in rows] == list(lengths.LENGTHS)
    assert rows[0]["joint_mm"] == pytest.approx(rows[0]["shortest_mm"]) and rows[0]["frames"] == 64 * rows[0]["clips"]
    assert rows[-1] == {"length": 4096, "long_enough": 0, "clips": 0, "sets": []}


def test_all_latents_kept_are_the_reconstruction_and_none_the_mean(model, scope):
    """The order of use is a basis; with no number kept every chunk decodes the same latent."""
    order, source = rates.latent_order(model, scope.store), body()
    size = model.config.levels[0].latent
    np.testing.assert_allclose(order.whiten @ order.colour, np.eye(size), atol=1e-6)
    encoding = encode_motion(model, source, silent)
    whole = apply_change(source, reconstruction_change(encoding))
    errors = [
        metrics.joint_error_mm(whole, rates.at_fewer(model, encoding, order, kept)) for kept in (0, size // 2, size)
    ]
    assert errors[2] < 0.01 < errors[1] < errors[0]


def test_a_direction_that_moves_nothing_comes_last(model, scope):
    """A latent number that the decoder doesn't read is the last that is kept."""
    decoder = model.parameters["decoder"]["0"]
    latent = decoder["latent"].copy()
    latent[:, 3] = 0
    parameters = model.parameters | {"decoder": model.parameters["decoder"] | {"0": decoder | {"latent": latent}}}
    order = rates.latent_order(replace(model, parameters=parameters), scope.store)
    assert np.abs(order.colour[:, -1]).argmax() == 3
    np.testing.assert_allclose(np.delete(order.colour[:, -1], 3), 0, atol=1e-3 * abs(order.colour[3, -1]))


def test_errors_between_whole_numbers_are_interpolated():
    """1.3 is three tenths of the way from 1 to 2."""
    assert rates.interpolated({1: 10.0, 2: 20.0}, 1.3) == pytest.approx(13)
    assert rates.interpolated({4: 7.0}, 4.0) == 7


# The two-sample test


def takes(count: int):
    """Clips of one body, each another motion."""
    return [body(seed=seed) for seed in range(count)]


def twitched(source, seed: int, degrees=2.0):
    """The same with a forearm that trembles."""
    local = metrics.local_rotations(source)
    tremble = np.radians(degrees) * np.random.default_rng(seed).standard_normal((source.frames, 3))
    local[:, 10] = quaternion_multiply(local[:, 10], rotvec_to_quaternion(tremble))
    return replace(source, rotations=metrics.world_rotations(source.skeleton.parents, local))


def test_what_nobody_sees_tells_nothing():
    """A joint that real clips hold still, moved by a thousandth of a degree."""
    clips = [replace(clip, rotations=np.repeat(clip.rotations[:1], clip.frames, axis=0)) for clip in takes(10)]
    other = [realism.window_features(twitched(clip, seed, 1e-3)) for seed, clip in enumerate(clips)]
    share, error = realism.two_sample([realism.window_features(clip) for clip in clips], other)
    assert abs(share - 0.5) < max(0.12, 2 * error)


def test_real_clips_cant_be_told_from_real_ones_and_trembling_ones_can():
    """Half right by lot; nearly always where one joint trembles."""
    clips = takes(10)
    real = [realism.window_features(clip) for clip in clips]
    share, error = realism.real_against_real(real, 0)
    assert abs(share - 0.5) < max(0.12, 2 * error)
    other = [realism.window_features(twitched(clip, seed)) for seed, clip in enumerate(clips)]
    assert realism.two_sample(real, other)[0] > 0.95
    assert realism.two_sample(real, real)[0] == pytest.approx(0.5, abs=0.05)  # equal answers are told apart by rounding


def test_the_classifier_is_judged_by_clips_that_it_hasnt_seen():
    """Labels that hang on the clip alone can be learnt by heart, and help nothing on other clips."""
    rng = np.random.default_rng(0)
    clips = np.repeat(np.arange(12), 20)
    features = rng.standard_normal((12, 6))[clips] + 0.01 * rng.standard_normal((240, 6))
    labels = np.where(rng.permutation(12)[clips] % 2 == 0, 1, -1)
    assert realism.right_share(features, labels, clips)[0] < 0.85
    assert (realism.answers(features, labels, features, (True, 1e-3)) == labels).all()


def test_independent_noise_is_as_large_and_quick_as_the_change():
    """Joint for joint the same spectrum of the turn away from the source, and another course."""
    source = body(seed=1)
    angles = 0.2 * np.sin(np.arange(source.frames)[:, None, None] / 9 + np.arange(13)[None, :, None])
    turns = rotvec_to_quaternion(angles * [1.0, 0.5, 0])
    local = quaternion_multiply(turns, metrics.local_rotations(source))
    other = replace(source, rotations=metrics.world_rotations(source.skeleton.parents, local))
    noisy = realism.with_independent_noise(source, other, 0)

    def away(motion):
        return quaternion_angle(metrics.local_rotations(motion), metrics.local_rotations(source))[:, 1:]

    powers = [(away(motion) ** 2).mean(axis=0) for motion in (other, noisy)]
    np.testing.assert_allclose(powers[1], powers[0], rtol=0.1)
    assert np.abs(away(noisy) - away(other)).mean() > 0.02
    np.testing.assert_allclose(noisy.rotations[:, 0], other.rotations[:, 0], atol=1e-9)


# Goals, ranges


def test_a_goal_says_its_figure_and_whether_it_is_met():
    """Limits are met from below, every set."""
    row = {"name": "a", "trained": True, "people": True, "seam_ratio": 1.0, "linear_mm": None}
    for millimetres, met in ((19.9, True), (20.1, False)):
        found = goals.reconstruction_goals([row | {"joint_mm": millimetres}])
        assert [each["met"] for each in found] == [met, True]
    creatures = row | {"trained": False, "people": False, "joint_mm": 50.0, "seen_mm": 20.0, "joint_heights": 0.03}
    found = goals.reconstruction_goals([creatures])
    assert not found[0]["met"] and "2.5 times" in found[0]["figure"]
    assert not goals.realism_goals([{"name": "a", "variations": 0.61}])[0]["met"]


def test_joint_ranges_come_from_other_clips_of_the_same_rig(scope):
    """Training clips for a trained rig; none where nothing else shows the rig."""
    walker = held_out_clips(scope.store, "walkers", 1)[0]
    stranger = held_out_clips(scope.store, "strangers", 1)[0]
    ranges = rig_ranges(scope.store, walker)
    assert ranges is not None and rig_ranges(scope.store, stranger) is None
    train = middle_motion(scope.store, scope.store.select("train", ["walkers"])[0], 60)
    assert metrics.share_outside_ranges(train, ranges) == 0


# The report


def test_a_report_has_its_parts_pictures_and_figures(weights, data, tmp_path):
    """Every part in Markdown and JSON; what it links to exists; the parts asked for alone are measured."""
    result = evaluate(weights, data, tmp_path, quick=True, report=silent, sets=["walkers", "strangers"], clips=2)
    assert not result["failed"] and set(result["sets"]) == {"walkers", "strangers"}
    text = (tmp_path / "report.md").read_text()
    heads = (
        "Reconstruction",
        "By length",
        "Error against numbers a frame",
        "Variations",
        "Told from real clips",
        "Goals",
    )
    assert all(f"## {head}" in text for head in heads)
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert "sheet_walkers.png" in links and all((tmp_path / link).stat().st_size > 1000 for link in links)
    loaded = json.loads((tmp_path / "report.json").read_text())
    assert loaded["rates"]["rates"] == list(rates.RATES)
    model_mm = loaded["rates"]["groups"][0]["mm"]["model"]
    kept = [rate * 32 <= 16 for rate in rates.RATES]
    assert [mm is not None for mm in model_mm] == kept
    again = evaluate(weights, data, tmp_path / "b", quick=True, report=silent, parts=["lengths"])
    assert "lengths" in again and "reconstruction" not in again and "## Variations" not in again


def test_a_part_that_fails_leaves_the_others(weights, data, tmp_path):
    """Weights without a statistic that one part needs: named in the report, and the command says so by its status."""
    checkpoint = load_checkpoint(weights)
    statistics = {name: array for name, array in checkpoint.statistics.items() if name != "chunk_mean"}
    save_checkpoint(tmp_path / "poor.safetensors", replace(checkpoint, statistics=statistics))
    where = ["--checkpoint", str(tmp_path / "poor.safetensors"), "--data", str(data), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main([*where, "--quick", "--parts", "rates,lengths"])
    assert ended.value.code == 1
    text = (tmp_path / "out" / "report.md").read_text()
    assert "**rates could not be measured:** KeyError: 'chunk_mean'" in text and "## By length" in text


def test_a_set_that_isnt_there_is_named(weights, data, tmp_path):
    """With those that are."""
    with pytest.raises(UserError, match="no clip out of dragons; choose from .*walkers"):
        evaluate(weights, data, tmp_path, report=silent, sets=["dragons"])


# Loss against compute


def write_run(folder, settings, losses):
    """A run's files as `train` leaves them."""
    folder.mkdir()
    averaged = as_module(initial_parameters(settings.model, 0)).state_dict()
    torch.save({"averaged": averaged, "settings": asdict(settings)}, folder / "latest.pt")
    lines = [
        {
            "step": 10 * n,
            "frames": 1000 * n,
            "seconds": 60.0 * n,
            "loss": loss,
            "probe": {"a": [50 / n, 1, 1], "creatures": [90 / n, 1, 1]},
        }
        for n, loss in enumerate(losses, start=1)
    ]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 99, "lo')


def test_scaling_counts_compute_and_reads_logs(tmp_path):
    """Twice the frames, twice the operations; a wider model takes more; a line that was cut is left out."""
    wide = replace(TINY, model=replace(TINY.model, width=96))
    write_run(tmp_path / "small", TINY, [1.0, 0.5])
    write_run(tmp_path / "wide", wide, [0.9, 0.4, 0.3])
    rows = scaling.scaling([tmp_path / "small", tmp_path / "wide"], tmp_path / "out", report=silent)
    assert [row["frames"] for row in rows] == [2000, 3000]
    assert rows[0]["flop"] == pytest.approx(2000 * 1e6 * rows[0]["mflop_frame"])
    assert rows[1]["mflop_frame"] > 2 * rows[0]["mflop_frame"] and rows[1]["parameters"] > rows[0]["parameters"]
    assert (rows[0]["trained_mm"], rows[0]["unseen_mm"]) == (25, 45) and rows[1]["loss"] == 0.3
    assert (tmp_path / "out" / "scaling.png").stat().st_size > 1000
    with pytest.raises(UserError, match="lacks log.jsonl"):
        scaling.scaling([tmp_path], tmp_path / "out", report=silent)


# The card


def test_weights_carry_the_terms_of_their_data(weights, data, tmp_path, capsys):
    """A table names what the data set doesn't know; the command shows card and terms, and old files have none."""
    terms = tmp_path / "terms.tsv"
    terms.write_text("walkers/*\tCC0\tmade up here\n")
    rows = made_from(choose_scope(data, True, None, None).store, terms)
    assert {row["set"]: row["licence"] for row in rows} == {"walkers": "CC0", "giants": "unknown"}
    assert all(row["clips"] == 6 and row["minutes"] > 0 for row in rows)
    path = tmp_path / "with.safetensors"
    save_checkpoint(path, replace(load_checkpoint(weights), licences=rows))
    assert load_checkpoint(path).licences == rows and load_checkpoint(weights).licences == []
    show_card([str(path)])
    shown = capsys.readouterr().out
    assert "untrained" in shown and "| walkers | 6 |" in shown and "CC0" in shown
    with pytest.raises(UserError, match="can't be read as weights"):
        show_card([str(terms)])
