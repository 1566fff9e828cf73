"""The browser's verbs: star, rename, regenerate, mix, NLA strips, an exact reject; quick with long lists."""

import time

import numpy as np
import pytest

from tests.blender.stage import add_armature, contents, curves_of, keys_of, module, walker
from tests.blender.test_strength import crowd, list_actions, values_of


def test_a_line_is_called_what_its_action_is_called(operators):
    """Whoever renames it: the line, the action, the operator; an empty name changes nothing."""
    armature = walker()
    operators.resample(count=1, seed=1)
    row = armature.motion_variations.rows[1]
    row.action.name = "limp"
    assert row.title == "limp"
    row.title = "hop"
    assert row.action.name == "hop"
    row.title = "  "
    assert row.action.name == "hop"
    operators.rename(name="skip")
    assert (row.title, row.action.name) == ("skip", "skip")
    armature.motion_variations.rows[0].action.name = "stroll"
    assert armature.motion_variations.rows[0].title == "stroll"
    with pytest.raises(RuntimeError, match="new name is empty"):
        operators.rename(name=" ")


def test_stars_hide_and_spare(operators):
    """What has no star can be hidden, and deleted alone; the source is always listed."""
    import bpy

    armature = walker()
    operators.resample(count=3, seed=1)
    operators.star(index=2)
    results, data = module("results"), armature.motion_variations
    assert [row.star for row in data.rows] == [False, False, True, False]
    data.starred_only = True
    assert results.visible(armature) == [0, 2]
    operators.show(index=0)
    operators.flip()
    assert armature.animation_data.action.name == "walk var 02"
    operators.reject(keep_starred=True)
    assert [row.title for row in data.rows] == ["walk", "walk var 02"]
    assert sorted(bpy.data.actions.keys()) == ["walk", "walk var 02"]
    operators.star(index=1)
    assert not data.rows[1].star
    operators.reject(keep_starred=True)
    assert len(data.rows) == 0 and bpy.data.actions.keys() == ["walk"]


def test_reject_brings_back_the_pose_that_has_no_keys(operators, scene):
    """A pose set by hand, not keyed, is there again after looking at variations; selection and marked line too."""
    import bpy

    armature = walker()
    scene.frame_set(7)
    bone = armature.pose.bones["arm.L"]
    bone.rotation_quaternion = (0.6, 0.8, 0, 0)
    bone.scale = (1, 1.1, 1)
    armature.location.x = 0.25
    before = contents()
    operators.resample(count=2, seed=2)
    operators.show(index=2)
    bpy.context.view_layer.update()
    assert contents() != before
    operators.reject()
    bpy.context.view_layer.update()
    assert contents() == before


def test_reject_leaves_what_was_posed_later(operators, scene):
    """On another frame, with other keys, or with the source shown, the pose is the user's."""
    import bpy

    armature = walker()
    scene.frame_set(7)
    bone = armature.pose.bones["arm.L"]
    bone.rotation_quaternion = (0.6, 0.8, 0, 0)
    operators.resample(count=1, seed=2)
    operators.show(index=0)
    bpy.context.view_layer.update()
    bone.rotation_quaternion = (0, 1, 0, 0)
    operators.reject()
    assert tuple(bone.rotation_quaternion) == (0, 1, 0, 0)
    operators.resample(count=1, seed=2)
    scene.frame_set(9)
    operators.reject()
    bpy.context.view_layer.update()
    assert np.abs(np.array(bone.rotation_quaternion) - (0, 1, 0, 0)).max() > 0.01
    assert scene.frame_current == 9


def test_reject_of_one_list_leaves_the_other(operators):
    """Two actions with variations each: the other's lines and the mark on them stay."""
    import bpy

    armature = walker()
    first = armature.animation_data.action
    operators.resample(count=2, seed=1)
    second = first.copy()
    second.name = "run"
    module("timeline").assign_action(armature, second)
    before = contents()
    operators.resample(count=2, seed=1)
    operators.reject()
    assert contents() == before
    assert [row.title for row in armature.motion_variations.rows] == ["walk", "walk var 01", "walk var 02"]
    assert bpy.data.actions["run"] == armature.animation_data.action


def test_regenerate_makes_the_same_seed_anew(operators):
    """With the same strength the same keys; with another one others, by the settings of the first click."""
    armature = walker()
    operators.resample(
        count=2, seed=5, strength=0.5, keep_ends=False, frame_range="CUSTOM", frame_start=9, frame_end=40
    )
    operators.show(index=2)
    operators.regenerate(strength=0.5, level="PHRASES")
    rows = armature.motion_variations.rows
    assert [row.seed for row in rows] == [0, 5, 6, 6]
    assert armature.animation_data.action == rows[3].action != rows[2].action
    assert keys_of(rows[3].action) == keys_of(rows[2].action)
    operators.regenerate(strength=1.0, level="DETAIL")
    assert (rows[4].seed, rows[4].strength, rows[4].level) == (6, 1.0, "DETAIL")
    assert keys_of(rows[4].action) != keys_of(rows[2].action)
    outside = [keys[keys[:, 0] < 9] for keys in values_of(rows[4].action).values()]
    source = [keys[keys[:, 0] < 9] for keys in values_of(rows[0].action).values()]
    assert all(np.array_equal(a, b) for a, b in zip(outside, source, strict=True))


def test_regenerate_needs_a_variation_of_the_model(operators):
    """The source and what was only mixed say so."""
    walker()
    operators.resample(count=2, seed=5)
    operators.mix(index=1, other=2)
    with pytest.raises(RuntimeError, match="isn't known"):
        operators.regenerate()
    operators.show(index=0)
    with pytest.raises(RuntimeError, match="Choose a variation"):
        operators.regenerate()


@pytest.mark.parametrize("keys", ["EVERY_FRAME", "SOURCE_KEYS"])
def test_a_mix_lies_between_two_variations(operators, keys):
    """At 0 it is the one, at 1 the other, half-way as far from both; a line of its own, which can be scaled too."""
    armature = walker()
    operators.resample(count=2, seed=5, keys=keys)
    for factor in (0.0, 1.0, 0.5):
        operators.mix(index=1, other=2, factor=factor)
    rows = armature.motion_variations.rows
    first, second, at_first, at_second, half = (values_of(row.action) for row in list(rows)[1:])
    assert [row.kind for row in rows] == ["SOURCE", "VARIATION", "VARIATION", "MIX", "MIX", "MIX"]
    assert rows[5].title == "walk mix 03" and armature.animation_data.action == rows[5].action
    for key in first:
        assert np.abs(at_first[key] - first[key]).max() < 1e-5
        assert np.array_equal(at_second[key], second[key])
        middle = half[key][:, 1]
        if key[0].endswith("location"):
            assert np.abs(middle - (first[key][:, 1] + second[key][:, 1]) / 2).max() < 1e-6
    assert rotation_angles(first, half) == pytest.approx(rotation_angles(half, second), abs=1e-3)
    operators.scale(amount=0.0)
    assert all(
        np.abs(values_of(rows[5].action)[key] - value).max() < 1e-5 for key, value in source_at(rows, first).items()
    )


def test_a_mix_of_sparse_and_dense_keys_has_both(operators):
    """Keys wherever one of the two has some; at either end the motion is that of the one."""
    armature = walker()
    operators.resample(count=1, seed=5, keys="SOURCE_KEYS")
    operators.resample(count=1, seed=6, keys="EVERY_FRAME")
    for factor, model in ((0.0, 1), (1.0, 2)):
        for pair in ((1, 2), (2, 1)):
            operators.mix(index=pair[0], other=pair[1], factor=factor if pair[0] == 1 else 1 - factor)
            rows = armature.motion_variations.rows
            wanted = {(c.data_path, c.array_index): c for c in curves_of(rows[model].action)}
            for curve in curves_of(armature.animation_data.action):
                assert len(curve.keyframe_points) == 48
                for frame in range(1, 49):
                    found = curve.evaluate(frame) - wanted[curve.data_path, curve.array_index].evaluate(frame)
                    assert abs(found) < 2e-4


def test_a_mix_needs_two_of_one_list(operators):
    """Not the source, not itself; the panel's choice is taken where none is given."""
    armature = walker()
    operators.resample(count=2, seed=5)
    operators.show(index=1)
    with pytest.raises(RuntimeError, match="Choose one beside Mix"):
        operators.mix()
    with pytest.raises(RuntimeError, match="with itself"):
        operators.mix(other=1)
    with pytest.raises(RuntimeError, match="Choose a variation"):
        operators.mix(other=0)
    armature.motion_variations.mix_with = armature.motion_variations.rows[2].action
    armature.motion_variations.mix_factor = 0.25
    operators.mix()
    assert armature.motion_variations.rows[3].kind == "MIX"


@pytest.mark.parametrize("below", ["muted", "playing"])
def test_accepted_as_a_strip_it_plays_the_same(operators, scene, below):
    """Inside and outside its frames, blended with what plays below it; the source lies muted under it."""
    import bpy

    armature = walker()
    source = armature.animation_data.action
    other = armature.animation_data.nla_tracks.new()
    other.name = "mine"
    other.mute = below == "muted"
    other.strips.new("mine", 60, source.copy())
    armature.animation_data.action_influence = 0.4
    operators.resample(count=2, seed=1)
    operators.show(index=2)
    variation, slot = armature.animation_data.action, module("timeline").slot_identifier(armature)
    frames = (-10, 1, 17, 33.5, 48, 90)
    active = [pose_at(armature, frame) for frame in frames]
    keys = keys_of(source)
    start = time.perf_counter()
    operators.accept(place="STRIP")
    print(f"accepting as a strip took {1e3 * (time.perf_counter() - start):.0f} ms")
    data = armature.animation_data
    assert data.action is None
    assert [(track.name, track.mute) for track in data.nla_tracks] == [
        ("mine", below == "muted"), ("walk", True), ("walk var 02", False),
    ]  # fmt: skip
    strip = data.nla_tracks[2].strips[0]
    assert strip.action == variation and (strip.frame_start, strip.frame_end) == (1, 48)
    assert (strip.extrapolation, strip.blend_type) == ("HOLD", "REPLACE")
    if slot:
        assert strip.action_slot.identifier == slot == data.nla_tracks[1].strips[0].action_slot.identifier
    for frame, wanted in zip(frames, active, strict=True):
        assert np.abs(pose_at(armature, frame) - wanted).max() < 1e-6
    assert keys_of(source) == keys
    assert [row.title for row in armature.motion_variations.rows] == ["walk", "walk var 01"]
    assert sorted(bpy.data.actions.keys()) == ["walk", "walk var 01", "walk var 02", "walk.001"]


def test_accepted_as_a_strip_it_mutes_the_sources_strip(operators):
    """A source that already lies on a track gets no second strip; other strips of that track play on."""
    armature = walker()
    data = armature.animation_data
    source = data.action
    track = data.nla_tracks.new()
    track.strips.new("walk", 1, source)
    idle = track.strips.new("idle", 100, source.copy())
    operators.resample(count=1, seed=1)
    operators.accept(place="STRIP")
    assert len(data.nla_tracks) == 2
    assert data.nla_tracks[0].strips[0].mute and not idle.mute and not data.nla_tracks[0].mute


def test_accepted_in_a_strips_place_it_moves_a_track_up(operators, scene):
    """The clip lay on a track, stretched: so does the variation, above it, and the clip is back and muted."""
    armature = walker()
    data = armature.animation_data
    source = data.action
    strip = data.nla_tracks.new().strips.new("clip", 20, source)
    strip.scale = 2.0
    data.action = None
    operators.resample(count=1, seed=1)
    frames = (20, 51, 90, 130)
    playing = [pose_at(armature, frame) for frame in frames]
    operators.accept(place="STRIP")
    assert [one.strips[0].action.name for one in data.nla_tracks] == ["walk", "walk var 01"]
    assert data.nla_tracks[0].mute and not data.nla_tracks[1].mute
    for frame, wanted in zip(frames, playing, strict=True):
        assert np.abs(pose_at(armature, frame) - wanted).max() < 1e-5


def test_flipping_and_accepting_are_quick(scene):
    """300 frames of 141 bones: a line is shown within 50 ms, accepted within half a second; also in a list of 200."""
    import bpy

    armature, source = crowd()
    copies = [source.copy() for _ in range(200)]
    for action in copies:
        row = list_actions(armature, source, action)
    bpy.context.view_layer.update()  # Blender's own look at 200 new actions
    worked = []
    for line in (1, 200, 0, 57, 120):
        start = time.thread_time()
        armature.motion_variations.active_index = line
        bpy.context.view_layer.update()
        worked.append(time.thread_time() - start)
        assert armature.animation_data.action == armature.motion_variations.rows[line].action
    print("showing, ms:", " ".join(f"{1e3 * one:.0f}" for one in worked))
    assert sorted(worked)[len(worked) // 2] < 0.05
    assert row.action == copies[-1]
    for place in ("ACTION", "STRIP"):
        start = time.thread_time()
        bpy.ops.motion_variations.accept(index=7, place=place)
        bpy.context.view_layer.update()
        worked.append(time.thread_time() - start)
        module("timeline").assign_action(armature, source)
        print(f"accepting as {place}: {1e3 * worked[-1]:.0f} ms")
        assert worked[-1] < 0.5
    start = time.thread_time()
    listed = module("results").visible(armature)
    assert len(listed) == 199 and time.thread_time() - start < 0.02
    bpy.ops.motion_variations.reject()
    assert len(armature.motion_variations.rows) == 0 and len(bpy.data.actions) == 3


def test_every_icon_of_the_list_exists(scene):
    """In the oldest Blender as in the newest."""
    import bpy

    known = {item.identifier for item in bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items}
    panel = module("browser_panel")
    used = {
        *panel.LEVEL_ICONS.values(),
        *panel.KIND_ICONS.values(),
        "SOLO_ON",
        "SOLO_OFF",
        "NLA",
        "FILE_REFRESH",
        "KEYFRAME",
    }
    assert used <= known


def test_verbs_say_why_they_cannot_be_clicked(operators):
    """Without an armature, and without a list."""
    for name in ("star", "rename", "scale", "keep_edits", "regenerate", "mix"):
        assert not getattr(operators, name).poll()
    add_armature()
    for name in ("star", "rename", "scale", "keep_edits", "regenerate", "mix"):
        with pytest.raises(RuntimeError, match="Resample motion first"):
            getattr(operators, name)()


def pose_at(armature, frame) -> np.ndarray:
    """The pose bones' matrices as Blender evaluates them."""
    import bpy

    bpy.context.scene.frame_set(int(np.floor(frame)), subframe=frame - np.floor(frame))
    evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array([bone.matrix for bone in evaluated.pose.bones])


def rotation_angles(first, second) -> float:
    """The mean angle between the quaternions of two actions."""
    angles = []
    paths = sorted({path for path, _ in first if path.endswith("rotation_quaternion")})
    for path in paths:
        a, b = (np.stack([one[path, index][:, 1] for index in range(4)]) for one in (first, second))
        dot = np.abs((a * b).sum(axis=0)) / np.linalg.norm(a, axis=0) / np.linalg.norm(b, axis=0)
        angles.append(2 * np.arccos(np.clip(dot, 0, 1)))
    return float(np.mean(angles))


def source_at(rows, model) -> dict:
    """The source's values at another action's keys."""
    curves = {(curve.data_path, curve.array_index): curve for curve in curves_of(rows[0].action)}
    return {
        key: np.stack((keys[:, 0], [curves[key].evaluate(frame) for frame in keys[:, 0].tolist()]), axis=1)
        for key, keys in model.items()
    }
