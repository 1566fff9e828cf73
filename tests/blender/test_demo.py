"""The demo: the walk that the project owns, files opened at their own rate, and the whole command on the extension."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import build
from demo import clip, session, take, walk_clip
from demo import walk_plan as plan
from demo.figures import source_contacts
from pictures.contact_sheet import Row, draw_contact_sheet
from tests.process.scenery import save_tiny_checkpoint
from training import metrics

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
WEIGHTS = "backend/checkpoints/motion_variations.safetensors"
REPORT = (
    "blender zip_mb clip armature source_action frames joints engine seconds round_trip reconstruction "
    "source_unchanged variations"
).split()
VARIATION = (
    "action seed strength change_deg jerk_ratio peak_jerk_ratio skate_cm_s source_skate_cm_s start_pose_cm end_pose_cm "
    "contact_overlap"
).split()


@pytest.fixture(scope="module")
def walk():
    """The walk as a clip and as it plays."""
    session.clear_scene()
    armature = walk_clip.make_walk()
    data = armature.animation_data
    shown = clip.show_action(walk_clip.NAME, armature, data.action, data.action_slot)
    return shown, take.read_take(armature, data.action, data.action_slot, shown.start, shown.stop)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The zip under test; from the working tree without one, with tiny weights where none ship yet."""
    folder = tmp_path_factory.mktemp("zip")
    path = Path(os.environ.get("MOTION_VARIATIONS_ZIP", "none"))
    if path.is_file():
        with zipfile.ZipFile(path) as archive:
            if WEIGHTS in archive.namelist():
                return path
    assembled = build.assemble(folder)
    if not (assembled / WEIGHTS).exists():
        (assembled / WEIGHTS).parent.mkdir(exist_ok=True)
        save_tiny_checkpoint(assembled / WEIGHTS)
    path = folder / "motion_variations.zip"
    build.zip_folder(assembled, path)
    return path


def run_demo(archive, out, *options):
    """The demo as build.py runs it; what it printed."""
    command = [sys.executable, "-m", "demo", "--zip", str(archive), "--out", str(out), *options]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return result.returncode, result.stdout, result.stderr


def joint_named(shown, taken, name):
    """The row of a bone."""
    return [shown.armature.pose.bones[row].name for row in taken.choice.bones].index(name)


def test_the_walks_feet_stay_where_they_stand(walk):
    """A planted, flat foot moves by less than 3 mm, and no part of it goes through the floor."""
    shown, taken = walk
    frames = np.arange(shown.start, shown.stop + 1)
    for side in "LR":
        ankle = taken.motion.positions[:, joint_named(shown, taken, f"foot.{side}")]
        ball = taken.motion.positions[:, joint_named(shown, taken, f"toe.{side}")]
        for step in (step for step in plan.STEPS if step.side == side):
            flat = (frames >= step.contact + 4) & (frames <= step.leave - 9)
            if flat.any():
                assert np.ptp(ankle[flat], axis=0).max() < 0.003
        assert ball[:, 2].min() > 0.0


def test_the_walk_is_keyed_sparsely_with_bezier_handles(walk):
    """As an animator would: key poses and breakdowns, no baked frames."""
    shown, _ = walk
    slot = shown.armature.animation_data.action_slot
    curves = clip.bone_curves(shown.action, slot)
    frames = shown.stop - shown.start + 1
    for curve in curves:
        assert {key.interpolation for key in curve.keyframe_points} == {"BEZIER"}
        is_leg = any(bone in curve.data_path for bone in walk_clip.LEG_BONES)
        assert len(curve.keyframe_points) < (0.75 if is_leg else 0.35) * frames, curve.data_path


def test_the_walk_has_no_pops(walk):
    """No joint turns by more than a quick hand or foot does from one frame to the next."""
    _, taken = walk
    rotations = taken.motion.rotations
    steps = np.degrees(2 * np.arccos(np.clip(np.abs((rotations[1:] * rotations[:-1]).sum(axis=-1)), 0, 1)))
    assert steps.max() < 32


def test_the_walk_turns_and_the_head_leads(walk):
    """The body ends about 97 degrees to the left; the head is there first."""
    shown, taken = walk

    def yaw(name):
        joint = joint_named(shown, taken, name)
        w, x, y, z = np.moveaxis(taken.motion.rotations[:, joint], -1, 0)
        rest = taken.motion.skeleton.rest[joint, :3, 0]
        turned = np.stack((1 - 2 * (y * y + z * z), 2 * (x * y + w * z)), axis=-1)
        return np.degrees(np.unwrap(np.arctan2(turned[:, 1], turned[:, 0]))) - np.degrees(np.arctan2(rest[1], rest[0]))

    hips, head = yaw("spine"), yaw("spine.006")
    assert 85 < hips[-1] - hips[0] < 110
    assert np.argmax(head > 45) + 6 < np.argmax(hips > 45)


def test_the_walk_rests_on_both_feet_by_turns_and_stops(walk):
    """What the extension takes for contacts: each foot several times, both at the end."""
    shown, taken = walk
    contacts = source_contacts(taken)
    for side in "LR":
        ankle = (
            contacts[:, joint_named(shown, taken, f"foot.{side}")]
            | contacts[:, joint_named(shown, taken, f"toe.{side}")]
        )
        assert 4 <= np.sum(np.diff(ankle.astype(int)) == 1) + ankle[0] <= 7
        assert ankle[-20:].all()
    assert metrics.skate_cm_s(taken.motion, contacts) < 4.0


def test_the_contact_sheet_is_drawn_quickly(walk, tmp_path):
    """Five rows in under ten seconds, figures in both colours on them."""
    _, taken = walk
    rows = [
        Row("Source", "facts", taken, is_variation=False),
        *[Row(f"Variation {n}", "facts", taken) for n in range(4)],
    ]
    started = time.perf_counter()
    draw_contact_sheet(tmp_path / "sheet.png", "Title", "facts", rows, source_contacts(taken), 1)
    assert time.process_time() - started < 10
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).astype(int)
    assert (pixels[..., 0] - pixels[..., 2] > 90).mean() > 0.005  # the left side's orange
    assert (pixels[..., 2] - pixels[..., 0] > 60).mean() > 0.005  # the right side's blue


def test_an_action_can_be_named(walk):
    """By its exact name; another name is answered with those that there are."""
    shown, _ = walk
    assert clip.choose_action(walk_clip.NAME, "walk")[1] == shown.action
    with pytest.raises(clip.ClipError, match=walk_clip.NAME):
        clip.choose_action("Somersault", "walk")


def test_the_demo_leaves_a_file_a_picture_and_a_report(archive, tmp_path):
    """The whole command on our own clip: nothing lost on the way, the source as it was."""
    code, said, errors = run_demo(archive, tmp_path / "out", "--count", "2", "--strength", "0.5", "--seed", "7")
    assert code == 0, errors
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert json.dumps(report, indent=2) in said
    assert set(REPORT) <= set(report)
    assert set(report["seconds"]) == {"backend_start", "encode", "resample"}
    assert report["source_unchanged"] is True
    assert report["round_trip"]["rotation_deg_max"] < 1e-3
    assert report["round_trip"]["position_heights_max"] < 1e-5
    assert [variation["seed"] for variation in report["variations"]] == [7, 8]
    for variation in report["variations"]:
        assert set(VARIATION) <= set(variation)
        assert variation["change_deg"] > 0.1 and variation["strength"] == 0.5
        assert variation["start_pose_cm"] < 0.5 and variation["end_pose_cm"] < 0.5
    with Image.open(tmp_path / "out/contact_sheet.png") as picture:
        assert picture.width > 1500
    import bpy

    (blend,) = (tmp_path / "out").glob("*.blend")
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    names = {action.name for action in bpy.data.actions if action.use_fake_user}
    assert {report["source_action"], *[variation["action"] for variation in report["variations"]]} <= names
    assert bpy.context.scene.render.fps == plan.FPS


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_the_demo_varies_each_level_of_a_creature(archive, tmp_path):
    """A clip of another rate and skeleton, one variation a level, the file named after the clip."""
    out = tmp_path / "out"
    horse = str(SHARED / "creatures/test/m2m_horse.glb")
    code, _, errors = run_demo(archive, out, "--clip", horse, "--action", "Walk", "--level", "EACH", "--count", "1")
    assert code == 0, errors
    report = json.loads((out / "report.json").read_text())
    assert report["source_action"] == "Walk" and report["source_unchanged"] is True
    assert [variation["level"] for variation in report["variations"]] == ["WHOLE", "PHRASES", "DETAIL"]
    assert (out / "m2m_horse.blend").is_file()
    assert report["round_trip"]["rotation_deg_max"] < 1e-3


def test_the_demo_says_what_is_wrong_with_a_clip(archive, tmp_path):
    """A sentence and an exit code, no traceback."""
    (tmp_path / "notes.txt").write_text("no clip")
    for options, sentence in (
        (("--clip", str(tmp_path / "gone.bvh")), "There is no file"),
        (("--clip", str(tmp_path / "notes.txt")), "is no .bvh"),
    ):
        code, _, errors = run_demo(archive, tmp_path / "out", *options)
        assert code == 1 and sentence in errors and "Traceback" not in errors


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("creatures/test/m2m_horse.glb", 30),
        ("creatures/test/q_spider.glb", 24),
        ("formats/bvh_zyx_120fps_cmu_motionbuilder.bvh", 120),
        ("formats/fbx_cmu_91_48_poser_names.fbx", 30),
        ("formats/fbx_ascii_maya_sausage.fbx", 24),
        ("control_rigs/m2m_bird_control.blend", 24),
        ("formats/blend_nla_stack_no_active_action.blend", 24),
        ("formats/blend_one_action_two_slots_two_armatures.blend", 24),
    ],
)
def test_files_open_at_their_own_rate_with_their_longest_action(name, rate):
    """BVH, FBX, GLB and .blend; whole frames between the first and the last key; something moves."""
    import bpy

    session.clear_scene()
    opened = clip.open_clip(SHARED / name)
    slot = opened.armature.animation_data.action_slot
    assert clip.scene_rate() == pytest.approx(rate, rel=1e-3)
    lengths = [
        np.subtract(*clip.key_range(action, one)[::-1])
        for action in bpy.data.actions
        for one in action.slots
        if clip.bone_curves(action, one)
    ]
    assert opened.stop - opened.start == max(lengths)
    taken = take.read_take(opened.armature, opened.action, slot, opened.start, opened.stop)
    assert np.isfinite(taken.motion.positions).all()
    assert np.ptp(taken.motion.positions, axis=0).max() > 0
