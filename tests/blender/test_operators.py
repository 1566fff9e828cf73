"""The operators as a script calls them, in real Blender, against the built zip and a real backend process."""

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
    slot = armature.animation_data.action_slot.identifier
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
    assert armature.animation_data.action_slot.identifier == slot
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


def test_a_variation_of_a_shown_variation_comes_from_the_source(operators):
    """While a variation is shown the next click still varies the source."""
    armature = walker()
    source = armature.animation_data.action
    operators.resample(count=1, seed=1)
    assert armature.animation_data.action != source
    operators.resample(count=1, seed=1)
    rows = armature.motion_variations.rows
    assert [row.source for row in rows] == [source] * 3
    assert keys_of(rows[1].action) == keys_of(rows[2].action)


def test_show_goes_through_source_and_variations(operators, scene):
    """Line 0 is the source; the pose follows; frame and range stay."""
    import bpy

    armature = walker()
    scene.frame_set(20)
    before = pose(armature)
    operators.resample(count=2, seed=1)
    shown = pose(armature)
    assert not np.allclose(shown, before, atol=1e-4)
    operators.show(index=0)
    assert armature.animation_data.action.name == "walk"
    bpy.context.view_layer.update()
    assert np.array_equal(pose(armature), before)
    armature.motion_variations.active_index = 2  # what a click on a line does
    assert armature.animation_data.action.name == "walk var 02"
    assert (scene.frame_current, scene.frame_start, scene.frame_end) == (20, 1, 250)


def test_delete_removes_the_action_and_shows_the_source(operators):
    """The shown variation goes; others stay; the source can't be deleted."""
    import bpy

    armature = walker()
    operators.resample(count=2, seed=1)
    operators.delete()
    assert sorted(bpy.data.actions.keys()) == ["walk", "walk var 02"]
    assert armature.animation_data.action.name == "walk"
    assert armature.motion_variations.active_index == 0
    with pytest.raises(RuntimeError, match="source, which is never deleted"):
        operators.delete(index=0)
    operators.delete(index=1)
    assert bpy.data.actions.keys() == ["walk"]


def test_reject_leaves_everything_as_before(operators, scene):
    """After Reject All nothing is left of a click but the seed, bit for bit."""
    armature = walker()
    scene.frame_set(7)
    before = contents()
    operators.resample(count=3, seed=2)
    operators.reject()
    after = contents()
    rows = after["objects"][armature.name][3]
    assert rows == [("SOURCE", "walk", 0)]
    after["objects"][armature.name] = (*after["objects"][armature.name][:3], [], *after["objects"][armature.name][4:])
    assert after == before


def test_accept_makes_a_variation_an_action_of_its_own(operators):
    """It stays on the armature, leaves the list, and can itself be varied; the source's list is still there."""
    armature = walker()
    source = armature.animation_data.action
    operators.resample(count=2, seed=1)
    operators.show(index=2)
    operators.accept()
    accepted = armature.animation_data.action
    assert accepted.name == "walk var 02"
    assert [row.action.name for row in armature.motion_variations.rows] == ["walk", "walk var 01"]
    assert not operators.accept.poll()
    operators.resample(count=1, seed=1)
    assert armature.animation_data.action.name == "walk var 02 var 01"
    module("timeline").assign_action(armature, source)
    assert [armature.motion_variations.rows[line].action.name for line in module("results").listed(armature)] == [
        "walk", "walk var 01",
    ]  # fmt: skip


def test_reconstruct_adds_the_motion_as_the_model_knows_it(operators):
    """A line of its own kind with an action of its own; the source stays."""
    armature = walker()
    keys = keys_of(armature.animation_data.action)
    operators.reconstruct()
    row = armature.motion_variations.rows[1]
    assert (row.kind, row.action.name) == ("RECONSTRUCTION", "walk reconstruction")
    assert armature.animation_data.action == row.action
    assert keys_of(armature.motion_variations.rows[0].action) == keys != keys_of(row.action)


def test_only_selected_bones_change(operators):
    """One arm is selected: the curves of every other bone are the source's."""
    import bpy

    armature = walker()
    select(armature, {"arm.L", "hand.L"})
    operators.resample(count=1, seed=1, selected_only=True, contacts=False)
    source, variation = keys_of(bpy.data.actions["walk"]), keys_of(bpy.data.actions["walk var 01"])
    changed = {path for path, keys in variation.items() if keys != source[path]}
    assert changed
    assert all('"arm.L"' in path or '"hand.L"' in path for path, _ in changed)


def test_frames_outside_the_range_stay(operators, scene):
    """A custom range, and the same as the preview range: values outside are the source's."""
    armature = walker()
    source = armature.animation_data.action
    operators.resample(count=1, seed=1, frame_range="CUSTOM", frame_start=16, frame_end=32)
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 16, 32
    operators.resample(count=1, seed=1, frame_range="PREVIEW")
    custom, preview = (row.action for row in list(armature.motion_variations.rows)[1:])
    assert keys_of(custom) == keys_of(preview)
    values = {action: evaluate(action, range(1, 49)) for action in (source, custom)}
    difference = np.abs(values[custom] - values[source]).max(axis=0)
    assert difference[15:32].max() > 1e-3
    assert difference[:15].max() < 1e-6 and difference[32:].max() < 1e-6


def test_keys_only_where_the_source_has_them(operators):
    """`SOURCE_KEYS` moves keys and adds none."""
    import bpy

    walker()
    operators.resample(count=1, seed=1, keys="SOURCE_KEYS")
    source, variation = bpy.data.actions["walk"], bpy.data.actions["walk var 01"]
    times = [[key.co.x for key in curve.keyframe_points] for curve in curves_of(source)]
    assert [[key.co.x for key in curve.keyframe_points] for curve in curves_of(variation)] == times
    assert keys_of(source) != keys_of(variation)


def test_two_armatures_have_lists_of_their_own(operators):
    """What is made for one isn't listed at the other, also where both share the source."""
    import bpy

    first = walker()
    operators.resample(count=1, seed=1)
    second = walker()
    second.name = "second"
    operators.resample(count=1, seed=1)
    assert len(first.motion_variations.rows) == len(second.motion_variations.rows) == 2
    assert first.motion_variations.rows[1].action != second.motion_variations.rows[1].action
    assert bpy.context.object == second


def test_a_mesh_stands_for_the_armature_that_deforms_it(operators):
    """The character's body is selected: its armature is meant."""
    import bpy

    armature = walker()
    mesh = bpy.data.objects.new("body", bpy.data.meshes.new("body"))
    bpy.context.scene.collection.objects.link(mesh)
    mesh.modifiers.new("rig", "ARMATURE").object = armature
    bpy.context.view_layer.objects.active = mesh
    assert operators.resample(count=1, seed=1) == {"FINISHED"}
    assert len(armature.motion_variations.rows) == 2


def test_the_list_survives_save_and_load(operators, tmp_path):
    """Actions, seeds, strength, level, change and the encode's report come back with the file."""
    import bpy

    walker()
    operators.encode()
    operators.resample(count=2, seed=5, strength=0.5, level="WHOLE")

    def facts():
        results = bpy.data.objects["walker"].motion_variations
        rows = [
            (row.kind, row.action.name, row.source.name, row.slot, row.seed, row.strength, row.level, row.change_deg)
            for row in results.rows
        ]
        report = results.report
        return rows, results.active_index, report.frames, report.rotation_deg, report.joint_cm, report.action.name

    before = facts()
    assert before[0][1][4:7] == (5, 0.5, "WHOLE")
    path = str(tmp_path / "walk.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert facts() == before
    bpy.context.view_layer.objects.active = bpy.data.objects["walker"]
    operators.show(index=0)
    operators.resample(count=1, seed=5)
    assert bpy.data.actions.get("walk var 03")


def test_the_list_comes_along_when_the_armature_is_appended(operators, tmp_path):
    """Append brings source and variations, and the list still leads to them."""
    import bpy

    walker()
    operators.resample(count=1, seed=5)
    path = str(tmp_path / "walk.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(path) as (found, wanted):
        wanted.objects = ["walker"]
    armature = wanted.objects[0]
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    assert [row.action.name for row in armature.motion_variations.rows] == ["walk", "walk var 01"]
    operators.show(index=0)
    assert armature.animation_data.action.name == "walk"


def test_names_are_numbered_on_and_never_cut_off(operators):
    """A number that is taken is skipped; of a source's long name the end is cut, not the number."""
    import bpy

    armature = walker()
    bpy.data.actions.new("walk var 02")
    operators.resample(count=2, seed=1)
    assert [row.action.name for row in armature.motion_variations.rows] == ["walk", "walk var 01", "walk var 03"]
    operators.show(index=0)
    armature.animation_data.action.name = "ж" * 31
    operators.resample(count=1, seed=1)
    name = armature.animation_data.action.name
    assert name.endswith(" var 01") and len(name.encode()) <= 63
    assert set(name.removesuffix(" var 01")) == {"ж"}


def test_lines_of_deleted_actions_are_forgotten(operators):
    """Someone deletes a variation, or the source, by Blender's own means: the list copes."""
    import bpy

    armature = walker()
    operators.resample(count=2, seed=1)
    bpy.data.actions.remove(bpy.data.actions["walk var 02"])
    assert len(module("results").listed(armature)) == 2
    operators.resample(count=1, seed=1)
    assert [row.action.name for row in armature.motion_variations.rows] == ["walk", "walk var 01", "walk var 02"]
    bpy.data.actions.remove(bpy.data.actions["walk"])
    assert operators.resample(count=1, seed=1) == {"FINISHED"}
    assert armature.animation_data.action.name == "walk var 02 var 01"


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
    """The interface gets its turn at least every 0.2 s while 2,000 frames are read, varied and written."""
    walker(frames=2000)
    session = module("session")
    start_resample(count=2)
    longest_s, result = 0.0, None
    while result is None:
        started_s = time.monotonic()
        result = session.advance()
        longest_s = max(longest_s, time.monotonic() - started_s)
        time.sleep(0.005)
    assert longest_s < 0.2


def test_the_backend_answers_within_a_second_of_its_start(operators):
    """Start to first answer, numpy engine."""
    connection = module("connection")
    connection.stop()
    operators.restart_backend()
    assert connection.client().ready_s < 1.0
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


def pose(armature) -> np.ndarray:
    """The pose bones' matrices as they are shown."""
    import bpy

    evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array([bone.matrix for bone in evaluated.pose.bones])


def select(armature, names) -> None:
    """Selects these pose bones and no others."""
    for bone in armature.pose.bones:
        (bone if hasattr(bone, "select") else bone.bone).select = bone.name in names


def evaluate(action, frames) -> np.ndarray:
    """`[curves, frames]` values."""
    return np.array([[curve.evaluate(frame) for frame in frames] for curve in curves_of(action)])
