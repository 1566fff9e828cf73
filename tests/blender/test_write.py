"""Writing back: only keyed channels, only in the range, in a new action; everything else bit for bit."""

import numpy as np
import pytest

from tests.blender import stage
from tests.blender.motions import animate, assert_shows, backend, known_change, no_change
from tests.blender.test_round_trip import MODES


@pytest.fixture
def timeline(scene):
    """The extension's module in an empty file."""
    return stage.module("timeline")


def by_path(action) -> dict:
    """The action's curves."""
    return {(curve.data_path, curve.array_index): curve for curve in stage.curves_of(action)}


def times_of(curve) -> list[float]:
    """Key times."""
    return [key.co[0] for key in curve.keyframe_points]


def test_strength_zero_is_the_source(timeline):
    """A change scaled to nothing leaves a copy that equals the source bit for bit."""
    armature = stage.add_armature()
    action = animate(armature, "YZX", (1, 6, 20), moving=("hips", "hand.L"))
    reading = timeline.read(armature)
    nothing = backend("change").scale_change(known_change(reading), 0.0)
    for keys in ("EVERY_FRAME", "SOURCE_KEYS"):
        written = timeline.write_variation(reading, nothing, "copy", keys)
        assert written.curves == 0
        assert stage.keys_of(written.action) == stage.keys_of(action)


def test_the_new_action(timeline):
    """Name, fake user, slot; the armature still plays the source, which is as it was."""
    armature = stage.add_armature()
    action = animate(armature)
    before = stage.contents()
    reading = timeline.read(armature)
    written = timeline.write_variation(reading, known_change(reading), "walk var 01")
    assert written.action.name == "walk var 01"
    assert written.action.use_fake_user
    assert written.curves == len(stage.curves_of(action))
    after = stage.contents()
    assert after["actions"].pop("walk var 01")
    assert after == before
    timeline.assign_action(armature, written.action, written.slot)
    if timeline.HAS_SLOTS:
        assert armature.animation_data.action_slot.identifier == written.slot == reading.slot


def test_other_curves_stay(timeline):
    """Custom properties, the object's own curves, groups, colours: all as in the source."""
    armature = stage.add_armature()
    action = animate(armature)
    bone = armature.pose.bones["head"]
    bone["mood"] = 0.0
    bone.keyframe_insert('["mood"]', frame=1)
    armature.keyframe_insert("location", frame=1)
    for curve in stage.curves_of(action):
        curve.color_mode, curve.color = "CUSTOM", (0.1, 0.2, 0.3)
    groups = {key: curve.group and curve.group.name for key, curve in by_path(action).items()}
    reading = timeline.read(armature)
    copy = timeline.write_variation(reading, known_change(reading), "other").action
    before, after = stage.keys_of(action), stage.keys_of(copy)
    assert before.keys() == after.keys()
    for key in before:
        same = "mood" in key[0] or key[0] == "location"
        assert (before[key] == after[key]) == same, key
    assert {key: curve.group and curve.group.name for key, curve in by_path(copy).items()} == groups
    assert all(tuple(curve.color) == pytest.approx((0.1, 0.2, 0.3)) for curve in stage.curves_of(copy))


def test_only_what_changes_is_written(timeline):
    """A change of one arm touches that arm's curves and those of what it must not carry along."""
    armature = stage.add_armature()
    action = animate(armature)
    reading = timeline.read(armature)
    names = [reading.bones[bone] for bone in reading.choice.bones]
    change = no_change(reading)
    for name in ("arm.L", "hand.L"):
        change.rotation[:, names.index(name)] = (0.2, 0.1, 0)
    written = timeline.write_variation(reading, change, "arm")
    before, after = stage.keys_of(action), stage.keys_of(written.action)
    assert {key[0] for key in before if before[key] != after[key]} == {'pose.bones["arm.L"].rotation_quaternion'}
    assert_shows(armature, reading, change, written)


@pytest.mark.parametrize("mode", MODES)
def test_source_keys(timeline, mode):
    """Only at the source's own key times; on those frames the pose is exact."""
    armature = stage.add_armature()
    action = animate(armature, mode, (1, 6, 14, 25, 30), moving=("hips",))
    reading = timeline.read(armature)
    change = known_change(reading)
    written = timeline.write_variation(reading, change, "sparse", "SOURCE_KEYS")
    source, copy = by_path(action), by_path(written.action)
    assert all(times_of(source[key]) == times_of(copy[key]) for key in source)
    assert_shows(armature, reading, change, written, rows=np.array([0, 5, 13, 24, 29]))


def test_source_keys_where_components_have_their_own_times(timeline):
    """Euler curves that are keyed on different frames: each keeps its times."""
    armature = stage.add_armature()
    action = animate(armature, "XYZ", (1, 12, 24))
    curve = by_path(action)['pose.bones["chest"].rotation_euler', 1]
    curve.keyframe_points.insert(7, 0.1)
    reading = timeline.read(armature)
    change = known_change(reading)
    written = timeline.write_variation(reading, change, "own", "SOURCE_KEYS")
    assert times_of(by_path(written.action)['pose.bones["chest"].rotation_euler', 1]) == [1, 7, 12, 24]
    assert_shows(armature, reading, change, written, rows=np.array([0, 11, 23]))


@pytest.mark.parametrize("keys", ("EVERY_FRAME", "SOURCE_KEYS"))
@pytest.mark.parametrize("frames", (range(1, 41), (1, 8, 13, 16, 25, 31, 40)), ids=("dense", "sparse"))
def test_keys_outside_the_range_stay(timeline, keys, frames):
    """Bit for bit, and the poses on whole frames there too where a key bounds the range."""
    armature = stage.add_armature()
    action = animate(armature, frames=frames)
    reading = timeline.read(armature)
    change = known_change(reading)
    written = timeline.write_variation(reading, change, "part", keys, (13, 25))
    source, copy = by_path(action), by_path(written.action)
    assert written.curves == len(source)
    for key, curve in source.items():
        outside = [tuple(k.co) for k in curve.keyframe_points if not 13 <= k.co[0] <= 25]
        assert [tuple(k.co) for k in copy[key].keyframe_points if not 13 <= k.co[0] <= 25] == outside
        inside = [frame for frame in times_of(copy[key]) if 13 <= frame <= 25]
        assert inside == (list(range(13, 26)) if keys == "EVERY_FRAME" else [f for f in frames if 13 <= f <= 25])
    rows = np.arange(12, 25) if keys == "EVERY_FRAME" else np.array([12, 15, 24])
    assert_shows(armature, reading, change, written, rows)


def test_a_faded_change_keeps_the_curve_beyond_the_range(timeline):
    """Where the change is nothing at the ends of the range, the source's own curve goes on outside as it was."""
    armature = stage.add_armature()
    action = animate(armature, frames=(1, 13, 25, 40))
    for curve in stage.curves_of(action):
        for key in curve.keyframe_points:
            key.handle_left_type = key.handle_right_type = "FREE"
            key.handle_right[1] += 0.03
    reading = timeline.read(armature)
    full = known_change(reading)
    fade = np.interp(reading.frames, (13, 19, 25), (0, 1, 0)).astype(np.float32)[:, None]
    change = backend("change").Change(full.rotation * fade[..., None], full.root * fade, full.slide_joints, full.slide)
    written = timeline.write_variation(reading, change, "faded", frame_range=(13, 25))
    source, copy = by_path(action), by_path(written.action)
    for key in source:
        for frame in (1, 4.5, 11, 13, 25, 26.5, 33, 40):
            assert copy[key].evaluate(frame) == pytest.approx(source[key].evaluate(frame), abs=1e-6)
    assert_shows(armature, reading, change, written)


def test_free_handles_move_with_their_keys(timeline):
    """The shape between keys is kept."""
    armature = stage.add_armature()
    action = animate(armature, "XYZ", (1, 10, 20))
    for curve in stage.curves_of(action):
        for key in curve.keyframe_points:
            key.handle_left_type = key.handle_right_type = "FREE"
            key.handle_right = (key.co[0] + 2, key.co[1] + 0.5)
    reading = timeline.read(armature)
    for keys in ("SOURCE_KEYS", "EVERY_FRAME"):
        written = timeline.write_variation(reading, known_change(reading), "free", keys)
        if keys == "SOURCE_KEYS":
            for curve in stage.curves_of(written.action):
                for key in curve.keyframe_points:
                    assert np.allclose(np.subtract(key.handle_right, key.co), (2, 0.5), atol=1e-5)
    assert_shows(armature, reading, known_change(reading), written)


def test_euler_curves_do_not_flip(timeline):
    """Large turns through gimbal lock: no key jumps from its neighbour by more than the source and the change do."""
    armature = stage.add_armature()
    action = animate(armature, "XYZ", range(1, 60))
    for key, curve in by_path(action).items():
        if "rotation" in key[0]:
            for row, point in enumerate(curve.keyframe_points):
                point.co[1] = 0.12 * row * (1 + key[1] / 3)  # winds up over several turns
            curve.update()
    reading = timeline.read(armature)
    change = backend("change").scale_change(known_change(reading), 0.3)
    written = timeline.write_variation(reading, change, "wound")
    assert_shows(armature, reading, change, written)
    chest = [by_path(written.action)['pose.bones["chest"].rotation_euler', axis] for axis in range(3)]
    source = [by_path(action)['pose.bones["chest"].rotation_euler', axis] for axis in range(3)]
    for new, old in zip(chest, source, strict=True):
        apart = [a.co[1] - b.co[1] for a, b in zip(new.keyframe_points, old.keyframe_points, strict=True)]
        assert np.abs(apart).max() < np.pi + 0.2


def test_quaternion_signs_stay(timeline):
    """Curves of a source that crosses from q to -q are written near the source's own sign."""
    armature = stage.add_armature()
    action = animate(armature, frames=range(1, 30))
    for key, curve in by_path(action).items():
        if "rotation" in key[0]:
            for point in curve.keyframe_points[12:]:
                point.co[1] = -1.7 * point.co[1]
            curve.update()
    reading = timeline.read(armature)
    change = known_change(reading)
    written = timeline.write_variation(reading, change, "signs")
    for name, *_ in stage.BONES:
        path = f'pose.bones["{name}"].rotation_quaternion'
        old = np.array([[k.co[1] for k in by_path(action)[path, axis].keyframe_points] for axis in range(4)])
        new = np.array([[k.co[1] for k in by_path(written.action)[path, axis].keyframe_points] for axis in range(4)])
        assert ((old * new).sum(axis=0) > 0).all()
        assert np.allclose(np.linalg.norm(old, axis=0), np.linalg.norm(new, axis=0), atol=1e-5)
    assert_shows(armature, reading, change, written)


@pytest.mark.newer
def test_one_action_for_two_armatures(timeline):
    """Only the armature's own slot is written."""
    first, second = stage.add_armature("first"), stage.add_armature("second")
    action = animate(first)
    other = animate(second)
    shared = action.slots.new(id_type="OBJECT", name="second")
    strip = action.layers[0].strips[0]
    bag = strip.channelbag(shared, ensure=True)
    for curve in stage.curves_of(other):
        copy = bag.fcurves.new(curve.data_path, index=curve.array_index)
        for key in curve.keyframe_points:
            copy.keyframe_points.insert(*key.co)
    timeline.assign_action(second, action, shared)
    reading = timeline.read(second)
    assert reading.slot == shared.identifier
    change = known_change(reading)
    written = timeline.write_variation(reading, change, "both")
    assert_shows(second, reading, change, written)
    source, kept = (
        [[tuple(key.co) for key in curve.keyframe_points] for curve in timeline.curve_collection(one, one.slots[0])]
        for one in (action, written.action)
    )
    assert kept == source


def test_what_cannot_be_written_is_said(timeline):
    """No location keys for the path; a bone turned by a constraint; keys on one axis only."""
    armature = stage.add_armature()
    action = animate(armature, "XYZ", range(1, 12), moving=())
    by_path(action)['pose.bones["head"].rotation_euler', 1].mute = True
    armature.pose.bones["hand.L"].constraints.new("COPY_ROTATION").target = armature
    armature.pose.bones["hand.L"].constraints[0].subtarget = "hand.R"
    reading = timeline.read(armature)
    change = no_change(reading)
    change.root[:] = 0.3
    change.rotation[:] = 0.02 * np.arange(len(reading.choice.bones))[:, None]
    before = stage.keys_of(action)
    written = timeline.write_variation(reading, change, "said")
    notes = " ".join(written.notes)
    assert "path stays as it is: none of 'hips'" in notes
    assert "1 joints are turned by constraints" in notes and "hand.L" in notes
    assert "1 bones have keys on some axes only" in notes and "head" in notes
    hand = 'pose.bones["hand.L"].rotation_euler'
    assert all(stage.keys_of(written.action)[hand, axis] == before[hand, axis] for axis in range(3))


def test_left_halfway_nothing_stays(timeline, monkeypatch):
    """Closing the steps before the end takes the new action back."""
    armature = stage.add_armature()
    animate(armature)
    reading = timeline.read(armature)
    before = stage.contents()
    monkeypatch.setattr(stage.module("timeline.writing"), "STEP_S", 0.0)
    steps = timeline.write_steps(reading, known_change(reading), "half")
    next(steps)
    assert "half" in stage.contents()["actions"]
    steps.close()
    assert stage.contents() == before


def test_a_source_that_is_gone(timeline):
    """Deleted actions and removed curves end in a sentence and leave nothing."""
    import bpy

    error = stage.module("armature").MotionError
    armature = stage.add_armature()
    action = animate(armature)
    reading = timeline.read(armature)
    change = known_change(reading)
    curves = timeline.curve_collection(action, timeline.find_slot(armature, action, reading.slot))
    curves.remove(curves[3])
    before = stage.contents()
    with pytest.raises(error, match="was changed while"):
        timeline.write_variation(reading, change, "gone")
    assert stage.contents() == before
    bpy.data.actions.remove(action)
    with pytest.raises(error, match="isn't in the file any more"):
        timeline.write_variation(reading, change, "gone")


def test_renamed_meanwhile(timeline):
    """Source and armature are found under their new names."""
    armature = stage.add_armature()
    action = animate(armature)
    reading = timeline.read(armature)
    action.name, armature.name = "new", "renamed"
    change = known_change(reading)
    assert_shows(armature, reading, change, timeline.write_variation(reading, change, "other"))


def test_state_comes_back_exactly(timeline, scene):
    """Action, slot, frame, ranges and poses without keys."""
    armature = stage.add_armature()
    animate(armature, frames=range(1, 20))
    other = animate(armature, frames=range(1, 9), size=0.7)
    scene.frame_set(5, subframe=0.5)
    armature.pose.bones["foot.L"].rotation_quaternion = (0, 1, 0, 0)
    armature.pose.bones["head"].scale = (1, 2, 3)
    before = stage.contents()
    state = timeline.capture(armature, scene)
    reading = timeline.read(armature)
    written = timeline.write_variation(reading, no_change(reading), "temp", everything=True)
    timeline.assign_action(armature, written.action, written.slot)
    scene.frame_start, scene.frame_end, scene.use_preview_range = 3, 4, True
    scene.frame_set(17)
    armature.pose.bones["head"].scale = (1, 1, 1)
    timeline.restore(state, scene)
    import bpy

    bpy.data.actions.remove(written.action)
    assert stage.contents() == before
    assert timeline.assigned_action(armature)[0] == other
    assert not scene.use_preview_range
