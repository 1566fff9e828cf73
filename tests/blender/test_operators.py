"""The operators as a script calls them, in real Blender, against the built zip and a real backend process."""

import subprocess
import sys
import time

import numpy as np
import pytest

from tests.blender.stage import (
    PACKAGE,
    advance_to,
    archive_names,
    contents,
    curves_of,
    finish,
    is_running,
    keys_of,
    module,
    start_resample,
    walker,
)


def test_encode_says_what_was_read_and_changes_no_action(operators):
    """The report has frames, joints, rate and the model's error; nothing else in the file changes."""
    armature = walker()
    before = contents()
    assert operators.encode() == {"FINISHED"}
    report = armature.motion_variations.report
    assert report.action == armature.animation_data.action
    assert (report.frames, report.bones) == (48, 13)
    assert 8 <= report.joints <= 13
    assert report.fps == pytest.approx(24)
    assert 0 < report.rotation_deg < 180
    assert report.joint_cm == pytest.approx(100 * report.joint_heights * report.height_m, rel=1e-4)
    assert contents() == before
    assert "48 frames" in module("session").message


def test_resample_makes_named_actions_with_fake_user_and_slot_and_shows_the_first(operators):
    """Three new actions beside the source; the first one drives the armature through the source's slot."""
    import bpy

    armature = walker()
    source = armature.animation_data.action
    slot = slot_of(armature)
    keys = keys_of(source)
    assert operators.resample(count=3, seed=5) == {"FINISHED"}
    names = ["walk var 01", "walk var 02", "walk var 03"]
    assert sorted(bpy.data.actions.keys()) == ["walk", *names]
    assert all(bpy.data.actions[name].use_fake_user for name in names)
    assert keys_of(source) == keys
    assert not source.use_fake_user
    rows = armature.motion_variations.rows
    assert [row.kind for row in rows] == ["SOURCE", "VARIATION", "VARIATION", "VARIATION"]
    assert [row.seed for row in rows][1:] == [5, 6, 7]
    assert all(row.change_deg > 0.05 for row in list(rows)[1:])
    assert armature.animation_data.action.name == "walk var 01"
    assert slot_of(armature) == slot
    assert armature.motion_variations.active_index == 1
    assert len({str(keys_of(row.action)) for row in rows}) == 4


def test_strength_0_gives_the_source_bit_for_bit(operators):
    """The keys of a variation of no strength are the source's."""
    import bpy

    armature = walker()
    operators.resample(count=1, strength=0.0, seed=1)
    assert keys_of(bpy.data.actions["walk var 01"]) == keys_of(armature.motion_variations.rows[0].action)


def test_more_strength_means_more_change(operators):
    """The degrees in the list grow with the strength."""
    armature = walker()
    for strength in (0.25, 0.5, 1.0):
        operators.resample(count=1, strength=strength, seed=1)
    degrees = [row.change_deg for row in armature.motion_variations.rows][1:]
    assert degrees == sorted(degrees)
    assert degrees[0] < 0.8 * degrees[2]


def test_a_seed_makes_the_same_variation_again(operators):
    """The same seed twice: two actions with the same keys. Another seed: other keys."""
    import bpy

    walker()
    operators.resample(count=2, seed=9)
    operators.resample(count=1, seed=9)
    first, other, again = (keys_of(bpy.data.actions[f"walk var 0{number}"]) for number in (1, 2, 3))
    assert first == again
    assert first != other


def test_each_click_takes_a_new_seed_unless_it_is_locked(operators, scene):
    """What the panel's seed does."""
    walker()
    settings = scene.motion_variations
    settings.count = 1
    operators.resample()
    first = settings.seed
    operators.resample()
    second = settings.seed
    assert first != second
    settings.lock_seed = True
    operators.resample()
    assert settings.seed == second


def test_the_panel_gives_what_the_script_leaves_out(operators, scene):
    """Properties of the operator win over the scene's, which stand in where the script says nothing."""
    armature = walker()
    settings = scene.motion_variations
    settings.count, settings.strength, settings.level = 2, 0.5, "WHOLE"
    operators.resample(strength=0.25, seed=4)
    rows = list(armature.motion_variations.rows)[1:]
    assert len(rows) == 2
    assert [row.strength for row in rows] == [0.25, 0.25]
    assert {row.level for row in rows} == {"WHOLE"}
    assert settings.strength == 0.5


def test_only_selected_bones_change(operators):
    """One arm is selected: the curves of every other bone are the source's."""
    import bpy

    armature = walker()
    select(armature, {"arm.L", "hand.L"})
    operators.resample(count=1, seed=1, bones="SELECTED", contacts=False)
    source, variation = keys_of(bpy.data.actions["walk"]), keys_of(bpy.data.actions["walk var 01"])
    changed = {path for path, keys in variation.items() if keys != source[path]}
    assert changed
    assert all('"arm.L"' in path or '"hand.L"' in path for path, _ in changed)


def test_frames_outside_the_range_stay(operators, scene):
    """A custom range, and the same as the preview range: values outside are the source's."""
    armature = walker()
    source = armature.animation_data.action
    operators.resample(count=1, seed=1, frame_range="CUSTOM", frame_start=13, frame_end=33)
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 13, 33
    operators.resample(count=1, seed=1, frame_range="PREVIEW")
    custom, preview = (row.action for row in list(armature.motion_variations.rows)[1:])
    assert keys_of(custom) == keys_of(preview)
    values = {action: evaluate(action, range(1, 49)) for action in (source, custom)}
    difference = np.abs(values[custom] - values[source]).max(axis=0)
    assert difference[12:33].max() > 1e-3
    assert difference[:13].max() < 1e-6 and difference[32:].max() < 1e-6


def test_keys_only_where_the_source_has_them(operators):
    """`SOURCE_KEYS` moves keys and adds none."""
    import bpy

    walker()
    operators.resample(count=1, seed=1, keys="SOURCE_KEYS")
    source, variation = bpy.data.actions["walk"], bpy.data.actions["walk var 01"]
    times = [[key.co.x for key in curve.keyframe_points] for curve in curves_of(source)]
    assert [[key.co.x for key in curve.keyframe_points] for curve in curves_of(variation)] == times
    assert keys_of(source) != keys_of(variation)


def test_a_job_leaves_the_scene_alone_while_it_runs(operators, scene):
    """Nothing in the file changes before the last step, so that what the user does meanwhile isn't mixed up with it."""
    walker()
    scene.frame_set(11)
    before = contents()
    start_resample(count=2)
    for stage in ("Waiting for the backend", "Variation 1 of 2", "Variation 2 of 2"):
        advance_to(stage)
        assert contents() == before
    finish()
    assert contents() != before


def test_a_rig_with_constraints_is_read_in_steps_that_restore_everything(operators, scene):
    """Reading by `frame_set` puts frame, action and pose back after every step."""
    armature = walker(frames=400)
    armature.pose.bones["head"].constraints.new("COPY_ROTATION").target = armature
    armature.pose.bones["head"].constraints["Copy Rotation"].subtarget = "chest"
    operators.resample(count=1, seed=1)  # the source is then not the action that is shown
    scene.frame_set(11)
    before = contents()
    session = module("session")
    start_resample(count=1)
    steps = 0
    while session.advance(0.0) is None and session.job.progress.text.startswith("Reading"):
        assert contents() == before
        steps += 1
    assert steps >= 2
    assert "frame by frame" in finish()


def test_no_step_of_a_job_takes_long(operators):
    """Blender's main thread works for at most 0.2 s at a time while 2,000 frames are read, varied and written."""
    walker(frames=2000)
    session = module("session")
    start_resample(count=2)
    longest_s, result = 0.0, None
    while result is None:
        started_s = time.thread_time()
        result = session.advance()
        longest_s = max(longest_s, time.thread_time() - started_s)
        time.sleep(0.005)
    assert longest_s < 0.2


def test_the_backend_answers_within_a_second_of_its_start(operators):
    """Start to first answer, numpy engine; on a busy machine, within four times what Python and numpy alone take."""
    connection = module("connection")
    ready_s, bare_s = [], []
    for _ in range(3):
        operators.restart_backend()
        ready_s.append(connection.client().ready_s)
        started_s = time.monotonic()
        subprocess.run([sys.executable, "-I", "-c", "import numpy"], check=True)
        bare_s.append(time.monotonic() - started_s)
    assert min(ready_s) < max(1.0, 4 * min(bare_s))
    status = connection.last_status()
    assert status["engine"] == "numpy"
    assert status["memory_mb"] > 1
    assert connection.state_words() == "Ready"


def test_show_log_has_what_the_backend_printed(operators):
    """The log is a text of the file."""
    import bpy

    operators.restart_backend()
    operators.show_log()
    assert "engine numpy" in bpy.data.texts["Motion Variations log"].as_string()


def test_operators_say_why_not(operators):
    """Every poll that fails has its reason, which a script gets as an error."""
    import bpy

    for name in ("encode", "reconstruct", "resample", "show", "delete", "accept", "reject"):
        assert not getattr(operators, name).poll()
        with pytest.raises(RuntimeError, match="Select an armature that has an animation"):
            getattr(operators, name)()
    with pytest.raises(RuntimeError, match="No job is running"):
        operators.cancel()
    walker()
    with pytest.raises(RuntimeError, match="no variations of this action yet"):
        operators.accept()
    start_resample()
    with pytest.raises(RuntimeError, match="still running"):
        operators.encode()
    operators.cancel()
    with pytest.raises(module("session").Cancelled):
        module("session").advance()
    assert bpy.ops.motion_variations.encode.poll()


def test_switching_the_extension_off_and_on_ends_the_backend_and_keeps_the_lists(operators):
    """Unregister leaves no process, no handler and no property; enabled again, the lists are there."""
    import addon_utils
    import bpy

    armature = walker()
    operators.resample(count=1, seed=1)
    start_resample()
    advance_to("Waiting for the backend")
    pid = module("connection").client().pid
    addon_utils.disable(PACKAGE)
    assert not is_running(pid)
    assert not hasattr(bpy.types.Object, "motion_variations")
    handlers = [*bpy.app.handlers.load_pre, *bpy.app.handlers.undo_pre, *bpy.app.handlers.redo_pre]
    assert not [handler for handler in handlers if handler.__module__.startswith(PACKAGE)]
    addon_utils.enable(PACKAGE)
    assert [row.action.name for row in armature.motion_variations.rows] == ["walk", "walk var 01"]
    assert bpy.ops.motion_variations.resample(count=1, seed=1) == {"FINISHED"}


def test_the_zip_holds_what_it_needs_and_no_more(scene):
    """Manifest, add-on, backend and licence; no tests, no caches."""
    import os

    path = os.environ.get("MOTION_VARIATIONS_ZIP")
    if not path:
        pytest.skip("needs the zip that `python build.py test` makes")
    names = archive_names(path)
    for name in ("blender_manifest.toml", "__init__.py", "LICENSE", "backend/__main__.py", "backend/model.py"):
        assert name in names
    assert not [name for name in names if "test" in name or "__pycache__" in name or name.startswith("/")]


def slot_of(armature):
    """The identifier of the slot that drives the armature; None before Blender 4.4, which has no slots."""
    return getattr(getattr(armature.animation_data, "action_slot", None), "identifier", None)


def select(armature, names) -> None:
    """Selects these pose bones and no others."""
    for bone in armature.pose.bones:
        (bone if hasattr(bone, "select") else bone.bone).select = bone.name in names


def evaluate(action, frames) -> np.ndarray:
    """`[curves, frames]` values."""
    return np.array([[curve.evaluate(frame) for frame in frames] for curve in curves_of(action)])
