"""Reduced keys: few, within the tolerance as Blender evaluates them, the user's own kept, nothing else touched."""

import numpy as np
import pytest

from tests.blender import stage
from tests.blender.motions import animate, blender_poses, height_of, known_change

HALF_DEGREE = np.radians(0.5)
MODES = ("QUATERNION", "XYZ", "ZYX", "AXIS_ANGLE")


@pytest.fixture
def timeline(scene):
    """The extension's timeline package."""
    return stage.module("timeline")


def by_path(action):
    """Curves by path and index."""
    return {(curve.data_path, curve.array_index): curve for curve in stage.curves_of(action)}


def times_of(curve) -> list[float]:
    """The frames of a curve's keys."""
    return [round(float(key.co[0]), 3) for key in curve.keyframe_points]


def finish(steps):
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def written(timeline, reading, change, keys, frame_range=None, tolerance=HALF_DEGREE, **options):
    """A variation with one of the kinds of keys."""
    steps = timeline.write_keys_steps(reading, change, keys.lower(), keys, frame_range, tolerance, **options)
    return finish(steps)


def pairs(timeline, armature, change=None, frame_range=None, tolerance=HALF_DEGREE, keys="REDUCED"):
    """The reading, a dense variation and the same one reduced."""
    reading = timeline.read(armature)
    change = known_change(reading) if change is None else change
    dense = timeline.write_variation(reading, change, "dense", frame_range=frame_range)
    return reading, dense, written(timeline, reading, change, keys, frame_range, tolerance)


def errors(armature, reading, dense, other, frames):
    """Largest difference of two actions as Blender plays them: degrees against the parent, joints in heights."""
    return [values.max() for values in differences(armature, reading, dense, other, frames)]


def differences(armature, reading, dense, other, frames):
    """The same for each frame and bone."""
    timeline = stage.module("timeline")
    before = timeline.assigned_action(armature)
    poses = []
    for one in (dense, other):
        timeline.assign_action(armature, one.action, one.slot)
        poses.append(blender_poses(armature, reading.bones, frames))
    timeline.assign_action(armature, *before)
    parents = reading.rig.parents
    local = [
        np.where((parents >= 0)[:, None, None], turns[:, parents].swapaxes(2, 3) @ turns, turns) for turns, _ in poses
    ]
    cosines = (np.einsum("tnij,tnij->tn", *local) - 1) / 2
    degrees = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    return degrees, np.linalg.norm(poses[0][1] - poses[1][1], axis=-1) / height_of(reading)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("degrees", (0.1, 0.5, 2.0))
def test_few_keys_within_the_tolerance(timeline, mode, degrees):
    """A baked source: whole frames by Blender's own evaluation, bones in degrees and joints in body heights."""
    armature = stage.add_armature()
    animate(armature, mode, range(1, 81))
    reading, dense, few = pairs(timeline, armature, tolerance=np.radians(degrees))
    turned, missed = errors(armature, reading, dense, few, range(1, 81))
    assert turned <= 1.02 * degrees
    assert missed <= 1.05 * 2e-3 / 1.7 * degrees / 0.5
    assert few.reduced.after < {0.1: 0.65, 0.5: 0.4, 2.0: 0.25}[degrees] * few.reduced.before
    assert few.reduced.before == sum(len(times_of(curve)) for curve in stage.curves_of(dense.action))
    assert few.reduced.after == sum(len(times_of(curve)) for curve in stage.curves_of(few.action))


@pytest.mark.parametrize("mode", MODES)
def test_half_frames_are_as_good(timeline, mode):
    """Nothing swings out between frames: near to dense curves that are straight there, or to smooth ones.

    Quaternions keep their length.
    """
    armature = stage.add_armature()
    animate(armature, mode, range(1, 81))
    reading, dense, few = pairs(timeline, armature)
    halves = np.arange(1, 80) + 0.5
    straight, _ = differences(armature, reading, dense, few, halves)
    for curve in stage.curves_of(dense.action):
        for key in curve.keyframe_points:
            key.interpolation, key.handle_left_type, key.handle_right_type = "BEZIER", "AUTO", "AUTO"
        curve.update()
    smooth, _ = differences(armature, reading, dense, few, halves)
    nearer = np.minimum(straight, smooth)[1:-1]  # automatic handles are flat at both ends
    most = 2.5 if mode == "AXIS_ANGLE" else 0.9  # an axis swings fast where angles are small
    assert nearer.max() < most and np.quantile(nearer, 0.99) < most / 2
    if mode == "QUATERNION":
        curves, old = by_path(few.action), by_path(dense.action)
        for name, *_ in stage.BONES:
            path = f'pose.bones["{name}"].rotation_quaternion'
            for frame in np.arange(1, 80, 0.5):
                values, dense_values = (
                    np.array([each[path, axis].evaluate(frame) for axis in range(4)]) for each in (curves, old)
                )
                assert np.linalg.norm(values) == pytest.approx(1, abs=0.01)
                assert values @ dense_values > 0.99


def test_keys_of_one_bone_stand_together(timeline):
    """All components of a rotation have the same frames; handles are Blender's own kinds and in order."""
    armature = stage.add_armature()
    animate(armature, "XYZ", range(1, 81))
    *_, few = pairs(timeline, armature)
    curves = by_path(few.action)
    kinds = set()
    for (path, axis), curve in curves.items():
        times = times_of(curve)
        assert times == times_of(curves[path, 0]), axis
        assert times[0] == 1 and times[-1] == 80
        points = list(curve.keyframe_points)
        kinds |= {(key.handle_left_type, key.handle_right_type, key.interpolation) for key in points}
        for one, other in zip(points, points[1:], strict=False):
            behind, before = one.handle_right[0] - one.co[0], other.co[0] - other.handle_left[0]
            assert behind > 0 and before > 0 and behind + before <= other.co[0] - one.co[0] + 1e-3
    assert kinds <= {("ALIGNED", "ALIGNED", "BEZIER"), ("FREE", "FREE", "BEZIER")}
    assert ("ALIGNED", "ALIGNED", "BEZIER") in kinds


@pytest.mark.parametrize("keys", ("REDUCED", "AS_SOURCE"))
def test_the_users_own_keys_stay(timeline, keys):
    """A source keyed by hand: each of its keys is a key, exactly on the variation, and told apart from those added."""
    armature = stage.add_armature()
    own = [1, 9, 10, 24, 37, 60]
    action = animate(armature, "QUATERNION", own)
    for curve in stage.curves_of(action):
        curve.keyframe_points[2].type = "EXTREME"
    reading, dense, few = pairs(timeline, armature, keys=keys)
    exact, curves, source = by_path(dense.action), by_path(few.action), by_path(action)
    assert set(curves) == set(source)
    for key, curve in curves.items():
        times = times_of(curve)
        assert set(own) <= set(times)
        assert len(times) < 40
        types = {round(point.co[0], 3): point.type for point in curve.keyframe_points}
        assert types[10] == "EXTREME" and types[24] == "KEYFRAME"
        assert {types[time] for time in times if time not in own} <= {"BREAKDOWN"}
        for time in own:
            assert curve.evaluate(time) == pytest.approx(exact[key].evaluate(time), abs=1e-5)
    turned, missed = errors(armature, reading, dense, few, range(1, 61))
    assert turned <= 0.51 and missed <= 1.05 * 2e-3 / 1.7


def test_own_keys_between_frames_stay(timeline):
    """A key of the user's at frame 9.5 is one in the variation."""
    armature = stage.add_armature()
    animate(armature, "XYZ", (1, 9.5, 20, 40))
    *_, few = pairs(timeline, armature)
    for curve in stage.curves_of(few.action):
        assert {1, 9.5, 20, 40} <= set(times_of(curve))


def test_as_the_source_keeps_baked_curves_baked(timeline):
    """Where the source has a key on every frame, nothing is thinned: the dense variation, bit for bit."""
    armature = stage.add_armature()
    animate(armature, frames=range(1, 41))
    _, dense, same = pairs(timeline, armature, keys="AS_SOURCE")
    assert stage.keys_of(same.action) == stage.keys_of(dense.action)
    assert same.reduced is None


def test_marked_keys_of_a_baked_source_stay(timeline):
    """Extremes that somebody chose among baked keys are own keys."""
    armature = stage.add_armature()
    action = animate(armature, frames=range(1, 81))
    for curve in stage.curves_of(action):
        curve.keyframe_points[40].type = "EXTREME"
    *_, few = pairs(timeline, armature)
    assert all(41 in times_of(curve) for curve in stage.curves_of(few.action))


@pytest.mark.parametrize("frames", (range(1, 81), (1, 13, 30, 52, 65, 80)), ids=("baked", "by hand"))
def test_outside_the_range_nothing_changes(timeline, frames):
    """Keys outside stay bit for bit, and so does the curve up to the range."""
    armature = stage.add_armature()
    action = animate(armature, frames=frames)
    for curve in stage.curves_of(action):  # automatic handles are Blender's to move
        for point in curve.keyframe_points:
            point.handle_left_type = point.handle_right_type = "FREE"
    reading, dense, few = pairs(timeline, armature, frame_range=(30, 52))
    source, curves, exact = by_path(action), by_path(few.action), by_path(dense.action)
    for key, curve in curves.items():
        for name in ("co", "handle_left", "handle_right", "interpolation", "type"):
            old, new = (
                [getattr(point, name) for point in each[key].keyframe_points if not 30 <= point.co[0] <= 52]
                for each in (source, curves)
            )
            assert [tuple(v) if name[0] in "ch" else v for v in old] == [
                tuple(v) if name[0] in "ch" else v for v in new
            ]
        for frame in (1, 7.5, 29, 30, 52, 53.5, 70, 80):
            assert curve.evaluate(frame) == pytest.approx(exact[key].evaluate(frame), abs=1e-5)
        assert len([time for time in times_of(curve) if 30 <= time <= 52]) < 23


def test_only_what_varies_is_thinned_on_request(timeline):
    """Bones that were not chosen keep their baked keys; otherwise they are thinned as well, within the tolerance."""
    armature = stage.add_armature()
    action = animate(armature, frames=range(1, 61))
    reading = timeline.read(armature)
    change = stage.module("backend.change").scale_change(known_change(reading), 0.0)
    names = [reading.bones[bone] for bone in reading.choice.bones]
    change.rotation[:, names.index("hand.L")] = (0.2, 0.1, 0)
    before = stage.keys_of(action)
    few = written(timeline, reading, change, "REDUCED", thin_rest=False)
    after = stage.keys_of(few.action)
    assert {key[0] for key in before if before[key] != after[key]} == {'pose.bones["hand.L"].rotation_quaternion'}
    few = written(timeline, reading, change, "REDUCED")
    assert all(len(times_of(curve)) < 60 for curve in stage.curves_of(few.action))
    assert stage.keys_of(action) == before


def test_groups_colours_modifiers_extrapolation_stay(timeline):
    """What hangs on a curve stays on it."""
    armature = stage.add_armature()
    action = animate(armature, "XYZ", range(1, 61))
    for number, curve in enumerate(stage.curves_of(action)):
        curve.color_mode, curve.color = "CUSTOM", (0.1, 0.2, 0.3)
        curve.extrapolation = "LINEAR" if number % 2 else "CONSTANT"
    noisy = by_path(action)['pose.bones["head"].rotation_euler', 1]
    noisy.modifiers.new("NOISE").strength = 0.2
    groups = {key: curve.group and curve.group.name for key, curve in by_path(action).items()}
    *_, dense, few = pairs(timeline, armature)
    source, curves = by_path(action), by_path(few.action)
    assert {key: curve.group and curve.group.name for key, curve in curves.items()} == groups
    for key, curve in curves.items():
        assert tuple(curve.color) == pytest.approx((0.1, 0.2, 0.3))
        assert curve.extrapolation == source[key].extrapolation
        assert [modifier.type for modifier in curve.modifiers] == [modifier.type for modifier in source[key].modifiers]
    key = ('pose.bones["head"].rotation_euler', 1)
    for frame in range(1, 61):
        assert curves[key].evaluate(frame) == pytest.approx(by_path(dense.action)[key].evaluate(frame), abs=HALF_DEGREE)


def test_signs_and_windings_do_not_jump(timeline):
    """A baked source that crosses from q to -q, and Euler curves that jump by a whole turn, come out without jumps."""
    for mode, kind, size in (("QUATERNION", "rotation_quaternion", 4), ("XYZ", "rotation_euler", 3)):
        armature = stage.add_armature(mode)
        action = animate(armature, mode, range(1, 61))
        for key, curve in by_path(action).items():
            if kind in key[0]:
                for point in curve.keyframe_points[25:]:
                    point.co[1] = -point.co[1] if size == 4 else point.co[1] + 2 * np.pi
                curve.update()
        reading, dense, few = pairs(timeline, armature)
        curves = by_path(few.action)
        for name, *_ in stage.BONES:
            path = f'pose.bones["{name}"].{kind}'
            values = np.array([[curves[path, axis].evaluate(f) for f in np.arange(1, 60, 0.5)] for axis in range(size)])
            assert np.abs(np.diff(values, axis=1)).max() < 0.3
        turned, _ = errors(armature, reading, dense, few, range(1, 61))
        assert turned <= 0.51


def test_an_object_that_moves(timeline):
    """The armature object's own baked path is reduced as well."""
    armature = stage.add_armature()
    animate(armature, frames=range(1, 61), moving=())
    for frame in range(1, 61):
        armature.location = (0.1 * frame, np.sin(frame / 9), 0)
        armature.keyframe_insert("location", frame=frame)
    reading, dense, few = pairs(timeline, armature)
    assert len(times_of(by_path(few.action)["location", 0])) < 25
    _, missed = errors(armature, reading, dense, few, range(1, 61))
    assert missed <= 1.05 * 2e-3 / 1.7


def test_left_halfway_nothing_stays(timeline):
    """Closing the steps before the end leaves neither a new action nor a half-reduced one."""
    armature = stage.add_armature()
    animate(armature, frames=range(1, 61))
    reading = timeline.read(armature)
    before = stage.contents()
    steps = timeline.write_keys_steps(reading, known_change(reading), "half", "REDUCED")
    while next(steps) < 0.7:
        pass
    assert "half" in stage.contents()["actions"]
    steps.close()
    assert stage.contents() == before


def test_even_rows_of_keys_are_baked(scene):
    """Runs on every frame or on a faster grid; not what an animator sets, not keys on twos at 24 frames a second."""
    runs = stage.module("timeline.baked").baked_runs
    frames = np.arange(1.0, 41)
    assert runs(frames, 24) == [(0, 39)]
    assert runs(frames[::2], 24) == [] and runs(frames[::2], 60) == [(0, 19)]
    assert runs(1 + 0.4 * np.arange(20), 24) == [(0, 19)]
    assert runs(frames[:5], 24) == []
    assert runs(np.array([1, 5, 9, 10, 11, 12, 13, 14, 15, 30, 44.0]), 24) == [(2, 8)]


# The operators


def test_resample_reduces(operators):
    """The operator's settings arrive; the panel's sentence says how many keys there are."""
    armature = stage.add_armature()
    stage.add_walk(armature, frames=72, every=1)
    before = stage.contents()["actions"]["walk"]
    assert operators.resample(count=1, seed=1, keys="REDUCED", key_tolerance=1.0) == {"FINISHED"}
    assert stage.contents()["actions"]["walk"] == before
    few = armature.motion_variations.rows[1].action
    assert operators.resample(count=1, seed=1, keys="EVERY_FRAME") == {"FINISHED"}
    dense = armature.motion_variations.rows[2].action
    counts = [sum(len(curve.keyframe_points) for curve in stage.curves_of(action)) for action in (few, dense)]
    assert counts[0] < 0.3 * counts[1]
    operators.resample(count=2, seed=1, keys="REDUCED", key_tolerance=0.5)
    assert "keys instead of" in stage.module("session").message
    assert "bones within 0.5\u00b0" in stage.module("session").message


def test_reduce_keys_of_a_line(operators):
    """The shown variation is thinned in place, once; the source and its own keys stay, and undo is one step."""
    import bpy

    armature = stage.walker(frames=48)
    operators.resample(count=2, seed=3, keys="EVERY_FRAME")
    source, first, second = (row.action for row in armature.motion_variations.rows)
    before = stage.contents()["actions"]
    poses = blender_poses(armature, [bone.name for bone in armature.pose.bones], range(1, 49))
    assert operators.reduce_keys(key_tolerance=0.5) == {"FINISHED"}
    assert "keys instead of" in stage.module("session").message
    after = stage.contents()["actions"]
    assert {name for name in before if before[name] != after[name]} == {first.name}
    own = times_of(stage.curves_of(source)[0])
    for curve in stage.curves_of(first):
        assert set(own) <= set(times_of(curve))
        assert len(curve.keyframe_points) < 48
    turns, heads = blender_poses(armature, [bone.name for bone in armature.pose.bones], range(1, 49))
    assert 0 < np.abs(heads - poses[1]).max() < 2.2e-3
    reduced = stage.keys_of(first)
    for amount in (0.0, 1.0):  # the slider scales the reduced keys
        stage.module("strength").set_amount(armature.motion_variations.rows[1], amount)
    assert stage.keys_of(first) == reduced
    operators.reduce_keys(key_tolerance=0.5)
    assert "nothing to reduce" in stage.module("session").message
    assert stage.contents()["actions"].items() >= after.items()
    assert operators.reduce_keys(index=2) == {"FINISHED"}
    assert len(stage.curves_of(second)[0].keyframe_points) < 48
    assert bpy.data.actions.get(second.name) == second


def test_reduce_keys_refuses_with_a_sentence(operators):
    """The source, and a list without such a line."""
    armature = stage.walker(frames=24)
    with pytest.raises(RuntimeError, match="no variations of this action yet"):
        operators.reduce_keys()
    operators.resample(count=1, seed=3)
    before = stage.contents()
    with pytest.raises(RuntimeError, match="The source is shown"):
        operators.reduce_keys(index=0)
    with pytest.raises(RuntimeError, match="no line 7"):
        operators.reduce_keys(index=7)
    assert stage.contents() == before
    operators.show(index=0)
    with pytest.raises(RuntimeError, match="The source is shown"):
        operators.reduce_keys()
    assert armature.animation_data.action.name == "walk"
