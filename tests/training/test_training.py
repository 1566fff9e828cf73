"""From motion files to weights and figures, on files and models so small that it takes a moment.

python -m pytest tests/training/test_training.py
"""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from backend.change import apply_change  # noqa: E402
from backend.checkpoint import flatten, load_checkpoint  # noqa: E402
from backend.encoding import encode_motion, load_model  # noqa: E402
from backend.errors import UserError  # noqa: E402
from backend.features import place_offsets  # noqa: E402
from backend.model import initial_parameters  # noqa: E402
from backend.motion import joint_positions  # noqa: E402
from backend.rotations import quaternion_angle, quaternion_conjugate, quaternion_multiply, quaternion_rotate  # noqa: E402
from backend.skeleton import ancestor_matrix, skeleton_height, tree_height  # noqa: E402
from backend.variation import VariationSettings, vary  # noqa: E402
from tests.plain.bodies import THREE_LEVELS  # noqa: E402
from tests.training.takes import write_takes  # noqa: E402
from training import augment as augmented  # noqa: E402
from training import baselines  # noqa: E402
from training.augment import NONE, Augmentation, Clip  # noqa: E402
from training.dataset import STRUCTURE, WindowBatches, clip_arrays, collate  # noqa: E402
from training.evaluate import evaluate  # noqa: E402
from training.export import export  # noqa: E402
from training.held_out import middle_motion  # noqa: E402
from training.losses import WEIGHTS  # noqa: E402
from training.objective import as_module, as_tree, draw, hidden_run, losses_of  # noqa: E402
from training.prepare import prepare  # noqa: E402
from training.presets import PRESETS, TINY  # noqa: E402
from training.sources import SourceError, bvh_motion  # noqa: E402
from training.store import ClipStore, clip_motion  # noqa: E402
from training.train import modules_for, optimizers_for, rate_share, train  # noqa: E402

SHORT = replace(TINY, minutes=0.08, frames=256)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A prepared data set: two sets with training and held-out clips, one of a stranger whose forearm slides."""
    folder = tmp_path_factory.mktemp("data")
    write_takes(folder / "takes")
    manifest = prepare([folder / "takes"], folder / "set", 1, report=lambda text: None)
    assert len(manifest["clips"]) == 17
    return folder / "set"


@pytest.fixture(scope="module")
def store(data):
    """The data set's clips."""
    return ClipStore(data)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run of a few seconds."""
    out = tmp_path_factory.mktemp("run")
    train(data, out, SHORT, report_every=2.0)
    return out


@pytest.fixture(scope="module")
def weights(run, data):
    """The weights file of that run."""
    out = run / "weights.safetensors"
    export(run, data, out, "0.0.1", "made by a test")
    return out


# Files and data sets


def test_prepare_keeps_what_the_files_say(data, store):
    """Sets and splits by folders, positions to a ten-thousandth of the height, broken files named with their reason."""
    assert {clip["set"] for clip in store.clips} == {"walkers", "giants", "strangers"}
    assert len(store.select("train")) == 12 and len(store.select("test")) == 4 and len(store.select("eval")) == 1
    dropped = json.loads((data / "dataset.json").read_text())["dropped"]
    assert [clip["name"] for clip in dropped] == ["broken"] and "HIERARCHY or MOTION" in dropped[0]["error"]
    for index, clip in enumerate(store.clips):
        source, kept = bvh_motion(clip["path"]), clip_motion(store, index)
        assert clip["slides"] == (clip["set"] == "strangers") == (kept.positions is not None)
        np.testing.assert_array_equal(kept.skeleton.parents, source.skeleton.parents)
        positions = joint_positions(source) * (1.7 / skeleton_height(source.skeleton))
        np.testing.assert_allclose(joint_positions(kept), positions, atol=2e-4)
        assert np.degrees(quaternion_angle(kept.rotations, source.rotations)).max() < 0.02
        assert skeleton_height(kept.skeleton) == pytest.approx(1.7, rel=1e-4)


def test_a_window_is_the_clip_at_any_speed(store):
    """Whole rows are the clip's own; half rows lie between."""
    index = store.select("eval")[0]
    rows = np.arange(0, 60, 0.5)
    window, motion = store.window(index, rows), clip_motion(store, index)
    own = world_positions(window)[::2] * 1.7
    np.testing.assert_allclose(own, joint_positions(motion)[:60], atol=1e-4)
    middle = (world_positions(window)[:-2:2] + world_positions(window)[2::2]) / 2
    np.testing.assert_allclose(world_positions(window)[1:-1:2], middle, atol=1e-2)


def test_nothing_to_prepare_is_an_error(tmp_path):
    """The message names the folder."""
    with pytest.raises(SourceError, match=tmp_path.name):
        prepare([tmp_path], tmp_path / "out", 1)


# Augmentation


def world_positions(clip: Clip) -> np.ndarray:
    """Joint positions of a clip by a loop over the bones, `[T, J, 3]`, skeleton heights."""
    positions = np.zeros((*clip.rotations.shape[:2], 3))
    for joint, parent in enumerate(clip.parents):
        if parent < 0:
            positions[:, joint] = clip.roots
        else:
            place = clip.places[joint] if clip.slides is None else clip.places[joint] + clip.slides[:, joint]
            turned = quaternion_rotate(clip.rotations[:, parent], np.broadcast_to(place, (len(clip.roots), 3)))
            positions[:, joint] = positions[:, parent] + turned
    return positions


def reference_positions(clip: Clip) -> np.ndarray:
    """Joint positions in the reference pose against the root, `[J, 3]`."""
    return ancestor_matrix(clip.parents) @ place_offsets(clip.parents, clip.reference, clip.places)


@pytest.fixture(params=("walkers", "strangers"))
def clip(request, store):
    """A window of somebody, rigid or with a sliding forearm."""
    index = next(i for i, c in enumerate(store.clips) if c["set"] == request.param)
    return store.window(index, np.arange(80.0))


def same_clip(first: Clip, second: Clip, tolerance=1e-6):
    """Two clips agree in every array; quaternions up to their sign."""
    for name, value in asdict(first).items():
        other = getattr(second, name)
        if name in ("rotations", "reference"):
            assert quaternion_angle(value, other).max() < 1e-3
        elif value is not None:
            np.testing.assert_allclose(other, value, atol=tolerance)


def test_mirrored_twice_is_the_clip_itself(clip):
    """And once is its reflection: positions with x turned over, in the reference pose as well."""
    once = augmented.mirror(clip)
    same_clip(augmented.mirror(once), clip)
    np.testing.assert_allclose(world_positions(once), world_positions(clip) * [-1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(reference_positions(once), reference_positions(clip) * [-1, 1, 1], atol=1e-6)


def local_turns(clip: Clip, joint: int, reference=False) -> np.ndarray:
    """A joint's rotations against its parent."""
    rotations = clip.reference[None] if reference else clip.rotations
    return quaternion_multiply(quaternion_conjugate(rotations[:, clip.parents[joint]]), rotations[:, joint])


def test_a_branch_turns_as_in_another_clip(clip):
    """The branch turns against its parent as there, in the reference pose too; all else stays."""
    other = replace(clip, rotations=np.roll(clip.rotations, 30, axis=0), reference=clip.rotations[20])
    joint = int(np.flatnonzero(clip.parents == 1)[0])
    mixed = augmented.take_branch(clip, other, joint)
    rows = ancestor_matrix(clip.parents)[:, joint] > 0
    for row in np.flatnonzero(rows):
        for reference in (False, True):
            turns = quaternion_angle(local_turns(mixed, row, reference), local_turns(other, row, reference))
            assert turns.max() < 1e-3
    np.testing.assert_array_equal(mixed.rotations[:, ~rows], clip.rotations[:, ~rows])
    assert quaternion_angle(mixed.rotations[:, rows], clip.rotations[:, rows]).max() > 0.05


def test_turns_are_scaled_about_the_reference(clip):
    """Half as far from the reference pose with a factor of a half, the clip itself with one; the root stays."""
    count = len(clip.parents)
    same_clip(augmented.scale_turns(clip, np.ones(count)), clip)
    half = augmented.scale_turns(clip, np.full(count, 0.5))
    np.testing.assert_array_equal(half.rotations[:, 0], clip.rotations[:, 0])
    for joint in range(1, count):
        rest = local_turns(clip, joint, reference=True)
        away, before = (quaternion_angle(local_turns(each, joint), rest) for each in (half, clip))
        np.testing.assert_allclose(away, before / 2, atol=2e-3)


def test_other_limbs_keep_the_turns_and_the_height(clip):
    """Bones get longer and shorter, every joint turns as before, and the body is one height high again."""
    other = augmented.stretch_limbs(clip, np.random.default_rng(0), 0.2)
    np.testing.assert_array_equal(other.rotations, clip.rotations)
    assert tree_height(other.parents, other.places) == pytest.approx(1, rel=1e-5)
    ratio = np.linalg.norm(other.places[1:], axis=1) / np.linalg.norm(clip.places[1:], axis=1)
    assert ratio.std() > 0.05
    cosine = (other.places[1:] * clip.places[1:]).sum(axis=1)
    lengths = np.linalg.norm(other.places[1:], axis=1) * np.linalg.norm(clip.places[1:], axis=1)
    np.testing.assert_allclose(cosine, lengths, rtol=1e-4)


def test_joints_left_out_leave_the_others_where_they_were(clip):
    """In the reference pose exactly; and in every frame, what hangs on joints that stayed."""
    kept = np.ones(len(clip.parents), bool)
    kept[[1, 4]] = False
    other = augmented.keep_joints(clip, kept)
    assert len(other.parents) == kept.sum() and (other.parents[1:] < np.arange(1, kept.sum())).all()
    np.testing.assert_allclose(reference_positions(other), reference_positions(clip)[kept], atol=1e-6)
    ancestors = ancestor_matrix(clip.parents) > 0
    whole = kept & ~ancestors[:, ~kept].any(axis=1)  # nothing above them was left out
    np.testing.assert_allclose(world_positions(other)[:, whole[kept]], world_positions(clip)[:, whole], atol=1e-6)
    np.testing.assert_array_equal(other.rotations, clip.rotations[:, kept])


def test_merging_and_dropping_keep_the_root_and_a_tree(clip):
    """Whatever is drawn: parents come first, the root stays, leaves go only with `drop_leaves`."""
    inner = np.isin(np.arange(len(clip.parents)), clip.parents)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        merged, dropped = augmented.merge_joints(clip, rng, 0.5), augmented.drop_leaves(clip, rng, 0.5)
        for other in (merged, dropped):
            assert other.parents[0] == -1 and (other.parents[1:] < np.arange(1, len(other.parents))).all()
            assert (other.parents[1:] >= 0).all()
        assert len(merged.parents) >= (~inner).sum() + 1
        assert len(dropped.parents) >= inner.sum()


def test_a_split_bone_is_the_same_body_with_one_joint_more(clip):
    """In the reference pose every old joint is where it was, the new one lies on the bone; rigid in every frame."""
    for seed in range(10):
        other = augmented.split_joint(clip, np.random.default_rng(seed))
        assert len(other.parents) == len(clip.parents) + 1
        assert (other.parents[1:] < np.arange(1, len(other.parents))).all()
        old, new = reference_positions(clip), reference_positions(other)
        added = next(joint for joint in range(len(new)) if np.abs(np.delete(new, joint, axis=0) - old).max() < 1e-5)
        bone = np.linalg.norm(other.places[added]) + np.linalg.norm(other.places[added + 1])
        assert bone == pytest.approx(np.linalg.norm(clip.places[added]), rel=1e-4)


def test_fingers_leave_the_body_as_it_was(clip):
    """Old joints move as before up to the new height; fingers keep their length and turn with what they hang on."""
    count = len(clip.parents)
    for seed in range(10):
        other = augmented.add_hands(clip, np.random.default_rng(seed))
        added = np.arange(count, len(other.parents))
        assert len(added) >= 2 and (other.parents[added] < added).all()
        assert tree_height(other.parents, other.places) == pytest.approx(1, rel=1e-5)
        scale = other.root_height / clip.root_height
        np.testing.assert_allclose(world_positions(other)[:, :count], scale * world_positions(clip), atol=1e-5)
        np.testing.assert_array_equal(other.rotations[:, :count], clip.rotations)
        np.testing.assert_allclose(np.linalg.norm(other.rotations, axis=-1), 1, atol=1e-5)


def test_facing_is_the_same_however_the_reference_was_turned(clip):
    """The canonical facing takes any turn out; a turn that is asked for comes on top."""
    plain = augmented.face_canonically(clip)
    for turn in (0.4, 2.5, -1.9):
        same_clip(augmented.face_canonically(augmented.face_canonically(clip, turn)), plain)
    turned = reference_positions(augmented.face_canonically(clip, np.pi / 2))
    np.testing.assert_allclose(turned[:, :2], reference_positions(plain)[:, [1, 0]] * [-1, 1], atol=1e-5)


def test_augmented_batches_are_sound(store):
    """Every draw: finite, unit quaternions, bones that keep their length, skeletons one height high."""
    wild = Augmentation(
        branches=0.7, turns=0.7, hands=0.5, merge=0.8, split=0.5, drop=0.8, limbs=1.0, stretch=1.0,
        random_reference=0.3, any_turn=0.5,
    )  # fmt: skip
    batches = iter(WindowBatches(store, store.select("train"), ((64, 1.0),), 512, wild, seed=3))
    counts = set()
    for _ in range(6):
        batch = next(batches)
        assert all(bool(torch.isfinite(value).all()) for value in batch.values())
        np.testing.assert_allclose(batch["rotations"].norm(dim=-1).numpy(), 1, atol=1e-4)
        counts |= set(batch["mask"].sum(dim=1).int().tolist())
        for row in range(len(batch["mask"])):
            offsets, mask = batch["offsets"][row].numpy(), batch["mask"][row].numpy() > 0
            parents = batch["parent"][row].numpy().argmax(axis=1)[mask]
            parents[0] = -1
            assert 0.5 < tree_height(parents, offsets[mask]) < 1.5
    assert len(counts) > 3  # skeletons of many sizes


def test_no_augmentation_is_the_clip_itself(store):
    """With everything off a sample is a window of the clip, facing canonically."""
    batches = WindowBatches(store, store.select("train"), ((64, 1.0),), 256, NONE, seed=1)
    index = store.select("train")[0]
    sample = batches.sample(index, 64, np.random.default_rng(0))
    assert sample["valid"].all()
    found = min(
        np.abs(sample["rotations"] - store.rotations(index, np.arange(first, first + 64))).max()
        for first in range(store.clips[index]["frames"] - 63)
    )
    assert found < 1e-3


def test_padding_in_a_batch_is_marked(store):
    """Clips of other skeletons lie in one batch; what is padded has mask 0 and unit quaternions."""
    clips = [store.window(i, np.arange(64.0)) for i in (store.select("train")[0], store.select("eval")[0])]
    clips[1] = augmented.keep_joints(clips[1], np.arange(len(clips[1].parents)) < 9)
    batch = collate([clip_arrays(each) for each in clips])
    assert batch["mask"].sum(dim=1).tolist() == [len(each.parents) for each in clips]
    assert batch["rotations"][1, :, 9:, 0].eq(1).all() and batch["offsets"][1, 9:].eq(0).all()
    assert set(STRUCTURE) <= set(batch)


# Training


def fixed_batch(store, frames=512):
    """A batch without augmentation."""
    return next(iter(WindowBatches(store, store.select("train"), ((64, 1.0),), frames, NONE, seed=0)))


def test_thirty_steps_bring_the_loss_down(store):
    """On one batch, from random weights; every parameter belongs to one optimiser and is moved."""
    torch.manual_seed(0)
    module = as_module(initial_parameters(TINY.model, 0))
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    settings = replace(TINY, hide_latents=0.5, hide_frames=0.3)
    optimizers, batch = optimizers_for(module, settings), fixed_batch(store)
    held = [id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in module.parameters())
    losses = []
    for step in range(30):
        loss, logged = losses_of(as_tree(module), settings, batch, draw(settings, *batch["valid"].shape, (0, step)))
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])
    assert set(WEIGHTS) <= set(logged)
    still = [name for name, value in module.named_parameters() if torch.equal(value, before[name])]
    assert not still


def test_a_third_level_trains_without_new_code(store):
    """Three levels: a step with finite gradients for every parameter, the middle level's own among them."""
    settings = replace(TINY, model=THREE_LEVELS, hide_latents=1.0, hide_frames=1.0, causal=1.0)
    module = as_module(initial_parameters(settings.model, 0))
    batch = fixed_batch(store, frames=256)
    loss, logged = losses_of(as_tree(module), settings, batch, draw(settings, *batch["valid"].shape, (0, 0, 0)))
    loss.backward()
    assert {"nats_0", "nats_1", "nats_2"} <= set(logged)
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()), name


def test_hidden_runs_are_runs():
    """One stretch a row, in about the asked share of rows, all of it in the share asked for."""
    generator = torch.Generator().manual_seed(0)
    assert not hidden_run(50, 8, 0.0, 0.0, generator).any()
    mask = hidden_run(4000, 8, 0.5, 0.25, generator)
    assert abs(float((mask.sum(dim=1) > 0).float().mean()) - 0.5) < 0.05
    assert float((mask.diff(dim=1).abs().sum(dim=1) <= 2).float().mean()) == 1
    starts = (torch.cat((torch.zeros(4000, 1), mask), dim=1).diff(dim=1) > 0).sum(dim=1)
    assert int(starts.max()) == 1
    whole = float((mask.sum(dim=1) == 8).float().sum() / (mask.sum(dim=1) > 0).float().sum())
    assert 0.25 < whole < 0.45


def test_the_rate_warms_up_holds_and_falls():
    """From a small part to all of it, and to nothing at the end of the time."""
    settings = replace(TINY, warmup=10, fall=0.5)
    assert rate_share(0, 0.0, settings) == pytest.approx(0.1)
    assert rate_share(50, 0.3, settings) == 1
    assert rate_share(500, 0.75, settings) == pytest.approx(0.5)
    assert rate_share(900, 1.0, settings) == 0
    cosine = replace(settings, curve="cosine")
    assert rate_share(500, 0.75, cosine) == pytest.approx(0.5) and rate_share(500, 0.9, cosine) < 0.2


def test_presets_are_named_settings():
    """Other sizes of the same thing."""
    assert {"tiny", "base", "large"} <= set(PRESETS)
    for settings in PRESETS.values():
        assert all(frames % settings.model.chunk == 0 for frames, _ in settings.lengths)
        level = settings.model.levels[0]
        assert level.coefficients < level.stride and level.lap < level.stride


def test_a_run_goes_on_where_it_stopped(run, data):
    """The second call takes up step, time and weights, and does nothing once the time is over."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    first = torch.load(run / "latest.pt", weights_only=False)
    assert first["step"] == lines[-1]["step"] > 0
    assert {"walkers", "giants", "strangers"} <= set(lines[-1]["probe"])
    train(data, run, replace(SHORT, minutes=first["seconds"] / 60 + 0.03))
    second = torch.load(run / "latest.pt", weights_only=False)
    assert second["step"] > first["step"] and second["frames_seen"] > first["frames_seen"]
    assert any(not torch.equal(value, second["module"][name]) for name, value in first["module"].items())
    train(data, run, replace(SHORT, minutes=0.01))
    assert torch.load(run / "latest.pt", weights_only=False)["step"] == second["step"]


# What ships, and its figures


def test_a_new_run_begins_with_the_weights_of_a_file(weights, data, tmp_path):
    """What was exported is where it starts, to the file's precision; foreign files and other models are named."""
    started, _ = modules_for(TINY, None, ClipStore(data), weights)
    kept = flatten(load_checkpoint(weights).parameters)
    for name, parameter in started.named_parameters():
        np.testing.assert_array_equal(parameter.detach().numpy(), kept[name])
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="torn.safetensors can't be read"):
        modules_for(TINY, None, ClipStore(data), torn)
    with pytest.raises(UserError, match="is of another model"):
        modules_for(PRESETS["base"], None, ClipStore(data), weights)


def test_an_exported_run_makes_variations(weights, store):
    """The file is small, says what it is, and is a model whose variations move a held-out clip and keep its ends."""
    checkpoint = load_checkpoint(weights)
    assert (checkpoint.version, checkpoint.card) == ("0.0.1", "made by a test")
    assert checkpoint.config == TINY.model and weights.stat().st_size < 2e6
    assert all(np.isfinite(array).all() for array in flatten(checkpoint.parameters).values())
    assert 0 <= float(checkpoint.statistics["chunk_correlation"][0]) <= 1
    model = load_model(weights, "numpy")
    for index in (store.select("test")[0], store.select("eval")[0]):
        motion = clip_motion(store, index)
        encoding = encode_motion(model, motion, lambda fraction, text: None)
        change = vary(model, encoding, VariationSettings(level="PHRASES"), 1, lambda fraction, text: None)
        turned = np.degrees(quaternion_angle(apply_change(motion, change).rotations, motion.rotations))
        assert turned[[0, -1]].max() < 1e-3 and turned.mean() > 0.05


def test_evaluate_reports_every_set_the_same_each_time(weights, data, tmp_path):
    """Tables and goals as JSON and Markdown; nothing in them depends on the hour."""
    results = [evaluate(weights, data, tmp_path / name, quick=True, report=lambda text: None) for name in "ab"]
    texts = [(tmp_path / name / "report.json").read_text() for name in "ab"]
    assert texts[0] == texts[1]
    rows = {row["name"]: row for row in results[0]["reconstruction"]}
    assert set(rows) == {"walkers", "giants", "strangers"}
    assert rows["walkers"]["trained"] and not rows["strangers"]["trained"]
    assert rows["walkers"]["linear_clips"] == 2 and rows["strangers"]["linear_mm"] > 0
    for row in rows.values():
        assert 0 < row["joint_mm"] < 1000 and row["joint_heights"] == pytest.approx(row["joint_mm"] / 1700)
        assert 0 < row["mean_pose_mm"]
    strengths = [row for row in results[0]["variation"]["rows"] if row["level"] == "PHRASES" and row["group"] == "all"]
    assert [row["strength"] for row in strengths] == [0.25, 0.5, 1.0]
    markdown = (tmp_path / "a" / "report.md").read_text()
    assert all(name in markdown for name in rows) and "| goal | figure | met |" in markdown
    widths = [line.count("|") for line in markdown.splitlines() if line.startswith("|")]
    assert min(widths) >= 4
    assert all(isinstance(each["met"], bool) for each in results[0]["goals"]) and len(results[0]["goals"]) >= 12


def test_the_linear_code_is_exact_where_it_has_numbers_enough(store):
    """Clips that it was fitted on, few chunks: no error; the fewer numbers, the more."""
    motion = middle_motion(store, store.select("train")[-1], 200)
    clip = baselines.pose_rows(motion)
    chunks = baselines.chunks_of(clip.rows, step=8)
    errors = []
    for size in (1, 4, 16, 128):
        code = baselines.fit_code(chunks, size)
        np.testing.assert_allclose(code.components @ code.components.T, np.eye(len(code.components)), atol=1e-3)
        errors.append(
            baselines.joint_error_heights(clip, baselines.reconstruct_rows(code, clip.rows)[: len(clip.rows)])
        )
    assert errors == sorted(errors, reverse=True) and errors[0] > 2 * errors[2]
    whole = baselines.PoseRows(clip.rows[:192], clip.structure)
    assert baselines.joint_error_heights(whole, baselines.reconstruct_rows(code, whole.rows)) < 1e-4
    assert baselines.joint_error_heights(clip, clip.rows) == 0
    assert baselines.mean_pose_error_heights(clip) > errors[2]


def test_the_other_half_judges_codes_of_clips_without_relatives(store):
    """Both ways; clips whose halves are no chunk have no such error."""
    motion = middle_motion(store, store.select("eval")[0], 150)
    assert baselines.other_half_error_heights(baselines.pose_rows(motion)) > 0
    short = middle_motion(store, store.select("eval")[0], 62)
    assert baselines.other_half_error_heights(baselines.pose_rows(short)) is None
