"""Clips on NLA tracks without an active action, and all that hangs on an armature and mustn't be touched."""

import numpy as np
import pytest

from tests.blender.motions import SHARED, blender_poses, load
from tests.blender.stage import add_armature, add_walk, contents, curves_of, finish, keys_of, module, start_resample


def strip_facts(armature) -> list:
    """Every property of the tracks and strips, and the influence that strips key."""
    facts = []
    for track in armature.animation_data.nla_tracks:
        facts.append(properties(track))
        for strip in track.strips:
            curves = [(curve.data_path, [tuple(key.co) for key in curve.keyframe_points]) for curve in strip.fcurves]
            facts.append((properties(strip), curves))
    return facts


def properties(thing) -> dict:
    """The values of all plain properties and pointers."""
    found = {}
    for one in thing.bl_rna.properties:
        value = getattr(thing, one.identifier)
        if one.type == "POINTER":
            value = getattr(value, "name_full", None) or getattr(value, "identifier", None)
        if one.type != "COLLECTION":
            found[one.identifier] = value
    return found


def on_tracks(walks=("walk",), start=11, scale=1.0, repeat=1.0, **changes):
    """A walker whose walks lie one after the other on a track, without an active action; each strip's slot is set."""
    armature = add_armature()
    track = None
    for name in walks:
        action = add_walk(armature, name)
        slot = getattr(armature.animation_data, "action_slot", None)
        armature.animation_data.action = None
        track = track or armature.animation_data.nla_tracks.new()
        strip = track.strips.new(name, int(start), action)
        strip.scale, strip.repeat = scale, repeat
        if slot is not None:
            strip.action_slot = slot
        for key, value in changes.items():
            setattr(strip, key, value)
        strip.select = False
        start = strip.frame_end + 10
    return armature


def test_a_strips_action_is_varied_and_shown_in_its_place(operators, scene):
    """Track, time and blending stay; reject brings back every property."""
    import bpy

    armature = on_tracks(scale=1.5, repeat=2.0)
    scene.frame_set(30)
    before, facts = contents(), strip_facts(armature)
    assert operators.resample(count=2, seed=3) == {"FINISHED"}
    strip = armature.animation_data.nla_tracks[0].strips[0]
    assert armature.animation_data.action is None
    assert strip.action.name == "walk var 01"
    shown = strip_facts(armature)
    assert changed(facts, shown) <= {"action", "action_slot", "action_slot_handle"}
    assert [row.action.name for row in armature.motion_variations.rows] == ["walk", "walk var 01", "walk var 02"]
    operators.show(index=2)
    assert strip.action.name == "walk var 02"
    operators.reject()
    assert strip_facts(armature) == facts
    after = contents()
    assert after["actions"] == before["actions"]
    assert after["frame"] == before["frame"]
    assert sorted(bpy.data.actions.keys()) == ["walk"]


def changed(before, after) -> set[str]:
    """The names of properties that differ between two lists of facts."""
    names = set()
    for old, new in zip(before, after, strict=True):
        old, new = (one[0] if isinstance(one, tuple) else one for one in (old, new))
        names |= {name for name in old if old[name] != new[name]}
    return names


def test_a_strip_is_read_as_the_action_would_be(operators):
    """The same keys as from the active action; a slower strip is read at its own rate."""
    armature = on_tracks()
    operators.resample(count=1, seed=5)
    operators.encode()
    assert armature.motion_variations.report.fps == pytest.approx(24)
    lying = keys_of(armature.animation_data.nla_tracks[0].strips[0].action)
    fresh = module("results")
    fresh.show(armature, 0)
    action = armature.animation_data.nla_tracks[0].strips[0].action
    module("timeline").assign_action(armature, action)
    armature.animation_data.nla_tracks[0].mute = True
    operators.resample(count=1, seed=5)
    assert keys_of(armature.animation_data.action) == lying
    armature.animation_data.action = None
    armature.animation_data.nla_tracks[0].strips[0].scale = 2.0
    operators.encode()
    assert armature.motion_variations.report.fps == pytest.approx(12)


def test_a_rig_with_constraints_is_read_without_its_tracks(operators, scene):
    """Frame by frame, with the NLA switched off for the moment; everything is as before after every step."""
    armature = on_tracks(("walk", "run"))
    copies = armature.pose.bones["head"].constraints.new("COPY_ROTATION")
    copies.target, copies.subtarget = armature, "chest"
    scene.frame_set(20)
    before, facts = contents(), strip_facts(armature)
    session = module("session")
    start_resample(count=1)
    steps = 0
    while session.advance(0.0) is None and session.job.progress.text.startswith("Reading"):
        assert contents() == before
        assert strip_facts(armature) == facts
        assert armature.animation_data.use_nla
        steps += 1
    assert steps >= 1
    assert "frame by frame" in finish()
    assert [strip.action.name for strip in armature.animation_data.nla_tracks[0].strips] == ["walk var 01", "run"]


@pytest.mark.parametrize(
    ("frame", "selected", "expected"),
    [
        (20, None, "walk"),
        (80, None, "run"),
        (63, None, "walk"),
        (66, None, "run"),
        (20, "run", "run"),
        (500, None, "run"),
    ],
)
def test_the_strip_that_is_meant(operators, scene, frame, selected, expected):
    """The only selected one, else the one under the current frame, else the nearest; that one's list is shown."""
    armature = on_tracks(("walk", "run"))
    for strip in armature.animation_data.nla_tracks[0].strips:
        strip.select = strip.name == selected
    scene.frame_set(frame)
    operators.resample(count=1, seed=1)
    assert [row.action.name for row in armature.motion_variations.rows] == [expected, f"{expected} var 01"]
    names = {strip.name: strip.action.name for strip in armature.animation_data.nla_tracks[0].strips}
    assert names == {"walk": "walk", "run": "run", expected: f"{expected} var 01"}


def test_the_topmost_heard_track_wins(operators, scene):
    """Muted tracks and strips are passed over while others are heard; a solo track alone is heard."""
    armature = on_tracks(("walk",))
    tracks = armature.animation_data.nla_tracks
    source = tracks[0].strips[0].action
    clips = module("timeline").playing_clip
    upper = tracks.new()
    upper.name = "upper"
    upper.strips.new("upper walk", 11, source.copy()).select = False
    scene.frame_set(20)
    assert clips(armature).strip == "upper walk"
    upper.mute = True
    assert clips(armature).strip == "walk"
    tracks[0].mute = True
    assert (clips(armature).strip, clips(armature).silent) == ("upper walk", True)
    upper.mute = tracks[0].mute = False
    tracks[0].is_solo = True
    assert (clips(armature).strip, clips(armature).silent) == ("walk", False)
    armature.animation_data.action = source
    assert clips(armature) is None


def test_a_range_of_the_timeline_means_frames_of_the_action(operators, scene):
    """On a strip that is shifted, slowed, repeated and played backwards, what is outside the range stays."""
    armature = on_tracks(start=101, scale=2.0, repeat=2.0, use_reverse=True)
    source = keys_of(armature.animation_data.nla_tracks[0].strips[0].action)
    clip = module("timeline").playing_clip(armature)
    length = clip.last - clip.first
    assert clip.action_frames(101, 101 + 2 * length) == pytest.approx((clip.first, clip.last))
    assert clip.action_frames(101 + 2 * length, 101 + 4 * length) == pytest.approx((clip.first, clip.last))
    first, last = clip.action_frames(115, 131)
    assert (first, last) == pytest.approx((clip.last - 15, clip.last - 7))
    operators.resample(count=1, seed=1, frame_range="CUSTOM", frame_start=115, frame_end=131)
    varied = armature.animation_data.nla_tracks[0].strips[0].action
    moved = moved_frames(varied, armature.motion_variations.rows[0].action)
    assert len(moved) and first - 1e-3 <= moved.min() and moved.max() <= last + 1e-3
    assert keys_of(armature.motion_variations.rows[0].action) == source
    with pytest.raises(RuntimeError, match="outside the strip 'walk', which starts at 101"):
        operators.resample(frame_range="CUSTOM", frame_start=1, frame_end=50)


def moved_frames(action, source) -> np.ndarray:
    """The whole frames at which two actions differ."""
    frames = range(1, 49)
    pairs = zip(curves_of(action), curves_of(source), strict=True)
    return np.array([f for c, other in pairs for f in frames if abs(c.evaluate(f) - other.evaluate(f)) > 1e-6])


def test_the_armature_plays_what_the_strip_shows(operators, scene):
    """Blender's own poses on the timeline: the variation's at the strip's time, after the reject the source's again."""
    armature = on_tracks(start=101, scale=2.0)
    scene.frame_set(110)
    names, frames = [bone.name for bone in armature.pose.bones], np.arange(101.0, 190.0, 8.0)
    source = blender_poses(armature, names, frames)[0]
    operators.resample(count=1, seed=1)
    strip = armature.animation_data.nla_tracks[0].strips[0]
    lying = blender_poses(armature, names, frames)[0]
    assert np.abs(lying - source).max() > 1e-3
    action, slot = strip.action, getattr(strip, "action_slot", None)
    armature.animation_data.nla_tracks[0].mute = True
    module("timeline").assign_action(armature, action, slot)
    active = blender_poses(armature, names, strip.action_frame_start + (frames - 101) / 2)[0]
    assert np.abs(active - lying).max() < 1e-4
    armature.animation_data.action = None
    armature.animation_data.nla_tracks[0].mute = False
    operators.reject()
    assert np.array_equal(blender_poses(armature, names, frames)[0], source)


@pytest.mark.parametrize("backwards", [False, True])
def test_ghosts_follow_the_strips_time(operators, scene, backwards):
    """The source's skeleton stands where Blender puts the source at that frame of the timeline, without a click."""
    armature = on_tracks(start=101, scale=2.0, repeat=2.0, use_reverse=backwards)
    scene.frame_set(110)
    names, frames = [bone.name for bone in armature.pose.bones], (101, 131, 181, 215, 251)
    heads = blender_poses(armature, names, frames)[1]
    operators.resample(count=1, seed=1)
    row = armature.motion_variations.rows[1]
    poses = module("pose_cache").poses_of(armature, row.source, row.slot)
    moving = [names.index(name) for name in poses.joints]
    for frame, expected in zip(frames, heads, strict=True):
        at = module("timeline").action_frame(armature, frame)
        lines = module("ghosts").world_lines(armature, poses, at).reshape(-1, 3)
        for head in expected[moving]:
            assert np.linalg.norm(lines - head, axis=1).min() < 2e-3
    assert module("heat").heat_of(armature, row).peak[0] > 0.1


def test_accept_leaves_the_variation_in_the_strip(operators):
    """It is the strip's action, and no longer in the list."""
    armature = on_tracks()
    operators.resample(count=2, seed=1)
    operators.accept(index=1)
    assert armature.animation_data.nla_tracks[0].strips[0].action.name == "walk var 01"
    assert "walk var 01" not in [row.action.name for row in armature.motion_variations.rows]


def test_a_strip_never_loses_its_action(operators):
    """A variation that a strip plays is deleted while another action is active: the strip plays its source again."""
    import bpy

    armature = on_tracks()
    operators.resample(count=1, seed=1)
    source = armature.motion_variations.rows[0].action
    module("timeline").assign_action(armature, source)
    operators.delete(index=1)
    assert armature.animation_data.nla_tracks[0].strips[0].action == source
    assert sorted(bpy.data.actions.keys()) == ["walk"]


def test_an_undo_free_reject_after_save_and_load(operators, tmp_path):
    """The file is closed while a variation lies in the strip: the list, and the way back, come with it."""
    import bpy

    armature = on_tracks(scale=1.5)
    facts = strip_facts(armature)
    operators.resample(count=1, seed=1)
    path = str(tmp_path / "strip.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    armature = bpy.context.view_layer.objects.active
    assert armature.animation_data.nla_tracks[0].strips[0].action.name == "walk var 01"
    bpy.ops.motion_variations.reject()
    assert changed(facts, strip_facts(armature)) <= {"action_slot_handle"}


@pytest.mark.parametrize("way", ["active", "strip"])
def test_what_hangs_on_the_armature_is_not_touched(operators, scene, way):
    """Other tracks, drivers, custom properties, shape keys and their action, constraints: bit for bit, until reject."""
    import bpy

    armature = on_tracks(("walk", "run"))
    scene.frame_set(20)
    if way == "active":
        module("timeline").assign_action(armature, bpy.data.actions["walk"])
    mesh = bpy.data.objects.new("skin", bpy.data.meshes.new("skin"))
    mesh.data.from_pydata([(0, 0, 0), (0, 0, 1), (0, 1, 0)], [], [(0, 1, 2)])
    scene.collection.objects.link(mesh)
    mesh.parent = armature
    mesh.shape_key_add(name="Basis")
    smile = mesh.shape_key_add(name="smile")
    for frame, value in ((1, 0.0), (20, 0.7)):
        smile.value = value
        smile.keyframe_insert("value", frame=frame)
    armature["mood"] = 0.25
    armature.pose.bones["chest"]["stretch"] = [1.0, 2.0, 3.0]
    driver = armature.driver_add('pose.bones["hand.R"].scale', 0).driver
    driver.expression = "frame * 0.01 + 1"
    armature.pose.bones["hand.L"].constraints.new("LIMIT_ROTATION").influence = 0.3

    def hanging():
        keys = mesh.data.shape_keys
        return (
            strip_facts(armature)[1:] if way == "active" else [changed_free(one) for one in strip_facts(armature)],
            [(one.data_path, one.array_index, one.driver.expression) for one in armature.animation_data.drivers],
            armature["mood"], list(armature.pose.bones["chest"]["stretch"]),
            [(block.name, [tuple(point.co) for point in block.data]) for block in keys.key_blocks],
            keys_of(keys.animation_data.action), keys.animation_data.action.name,
            [(one.type, one.influence, one.mute) for bone in armature.pose.bones for one in bone.constraints],
            armature.animation_data.use_nla,
        )  # fmt: skip

    before, actions = hanging(), {action.name: keys_of(action) for action in bpy.data.actions}
    operators.resample(count=2, seed=1)
    assert hanging() == before
    operators.reject()
    assert hanging() == before
    assert {action.name: keys_of(action) for action in bpy.data.actions} == actions


def changed_free(facts):
    """A strip's facts without its action."""
    if isinstance(facts, tuple):
        return {
            name: value for name, value in facts[0].items() if not name.startswith("action_slot") and name != "action"
        }
    return facts


def test_a_real_stack(operators):
    """A bat with three tracks: slowed and repeated, on top of it an attack, and a hit that is added."""
    import bpy

    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} isn't there")
    armature = load(SHARED / "formats/blend_nla_stack_no_active_action.blend")[0]
    scene = bpy.context.scene  # the file's own
    bpy.context.view_layer.objects.active = armature
    names, facts = {}, strip_facts(armature)
    for frame in (20, 45, 80):
        scene.frame_set(frame)
        bpy.ops.motion_variations.resample(count=1, seed=1)
        clip = module("timeline").playing_clip(armature)
        names[clip.strip] = [
            strip.action.name for track in armature.animation_data.nla_tracks for strip in track.strips
        ]
        bpy.ops.motion_variations.reject()
        assert strip_facts(armature) == facts
    assert names == {
        "fly": ["Bat_Flying var 01", "Bat_Attack", "Bat_Hit"],
        "attack": ["Bat_Flying", "Bat_Attack var 01", "Bat_Hit"],
        "hit": ["Bat_Flying", "Bat_Attack", "Bat_Hit var 01"],
    }
