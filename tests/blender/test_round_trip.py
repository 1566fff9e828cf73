"""Blender -> Motion -> Blender: what is read is what Blender shows, on real files and on every kind of channel."""

from pathlib import Path

import numpy as np
import pytest

from tests.blender import stage
from tests.blender.motions import (
    SHARED,
    animate,
    assert_read,
    assert_shows,
    known_change,
    load,
    no_change,
    shared_files,
    unpack_clips,
)

MODES = ("QUATERNION", "AXIS_ANGLE", "XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")
CLIPS = 2  # of each human set
MODELS = shared_files("creatures/*/*.glb", "characters/*/*.glb")
HUMAN_SETS = shared_files("human/*.tar.xz")
SAMPLES = shared_files("formats/*.fbx", "formats/*.bvh", "formats/glb_*.glb", "formats/blend_*.blend")
STILL = {  # refused: no bones, no action, no keys
    "blend_broken_library_link.blend", "blend_nla_stack_no_active_action.blend", "fbx_binary_maya_human_ik.fbx",
    "glb_armature_without_animation.glb",
}  # fmt: skip
# What Blender 4.2's module can't open: files of later versions or with slots, FBX as text.
NEWER = {
    "blend_broken_library_link.blend", "blend_one_action_two_slots_two_armatures.blend", "fbx_ascii_maya_sausage.fbx",
}  # fmt: skip
DRACO = {"glb_draco_30fps_mech.glb", "glb_draco_rigid_cat.glb"}
# The importer's child inherits its parent's uneven scale: turns there are no turns, so only reading is exact.
SHEARED = {"fbx_binary_motionbuilder_sausage_rrss.fbx", "blend_nonuniform_scale_mixed_rotation_modes.blend"}


def need(path: str):
    """Skips where the shared data isn't there."""
    if not path:
        pytest.skip(f"{SHARED} isn't there; it has the real files")
    return SHARED / path


def marks_of(name: str) -> list:
    """What a module must have to open the file."""
    return [pytest.mark.newer] * (name in NEWER) + [pytest.mark.draco] * (name in DRACO)


@pytest.fixture
def timeline(scene):
    """The extension's module in an empty file."""
    return stage.module("timeline")


def round_trip(timeline, armature, changed=True) -> None:
    """Read, written with nothing changed, written with a known change; the source stays as it was bit for bit."""
    action = timeline.assigned_action(armature)[0]
    before = stage.keys_of(action)
    reading = timeline.read(armature)
    assert_read(armature, reading)
    nothing = no_change(reading)
    assert_shows(armature, reading, nothing, timeline.write_variation(reading, nothing, "same", everything=True))
    if changed:
        change = known_change(reading)
        assert_shows(armature, reading, change, timeline.write_variation(reading, change, "other"))
    assert stage.keys_of(action) == before
    copy = timeline.write_variation(reading, nothing, "copy")
    assert copy.curves == 0
    assert stage.keys_of(copy.action) == before


# Real files


@pytest.mark.parametrize("archive", HUMAN_SETS)
def test_human_sets(timeline, archive, tmp_path):
    """Clips of every set of human motion."""
    archive = need(archive)
    clips = unpack_clips(archive, tmp_path, CLIPS)
    if not clips:  # this one holds GLB files
        import tarfile

        with tarfile.open(archive) as stream:
            stream.extractall(tmp_path, filter="data")
        clips = sorted(tmp_path.rglob("*.glb"))
    assert clips
    for clip in clips:
        stage.fresh_file()
        round_trip(timeline, load(clip)[0])


@pytest.mark.parametrize("path", MODELS)
def test_models(timeline, path):
    """Creatures and characters: every action is read as Blender plays it, and one goes all the way."""
    import bpy

    armature = load(need(path))[0]
    round_trip(timeline, armature)
    for action in list(bpy.data.actions):
        slot = timeline.find_slot(armature, action)
        if not action.name.startswith(("same", "other", "copy")) and timeline.bone_curve_count(armature, action, slot):
            timeline.assign_action(armature, action, slot)
            try:
                reading = timeline.read(armature)
            except stage.module("armature").MotionError as error:
                assert "moves" in str(error) or "one frame" in str(error)
                continue
            assert_read(armature, reading)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=marks_of(Path(path).name)) for path in SAMPLES],
)
def test_samples(timeline, path):
    """Importer samples: FBX, BVH in several orders and rates, odd GLB and BLEND files."""
    path = need(path)
    read = 0
    for armature in load(path):
        if timeline.assigned_action(armature)[0] is not None and path.name not in STILL:
            round_trip(timeline, armature, changed=path.name not in SHEARED)
            read += 1
        else:
            with pytest.raises(stage.module("armature").MotionError):
                timeline.read(armature)
    no_armature = path.name in ("glb_draco_rigid_cat.glb", "glb_rigid_nodes_no_armature.glb")
    assert bool(read) == (not no_armature and path.name not in STILL)


def test_control_rig(timeline):
    """The human control rig: deform bones that constraints move are read frame by frame; controls are written back."""
    armature = load(need("control_rigs/m2m_human_control.blend"))[0]
    reading = timeline.read(armature)
    assert reading.evaluated == "constraints"
    assert any(bone.use_deform for bone in armature.data.bones)
    round_trip(timeline, armature, changed=False)


# Every kind of channel, on a walker


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("frames", (range(1, 25), (1, 5, 14, 20, 33)), ids=("dense", "sparse"))
def test_rotation_modes(timeline, mode, frames):
    """Quaternions, axis and angle, Euler angles in six orders; keys on each frame, and a few Bezier ones."""
    armature = stage.add_armature()
    animate(armature, mode, frames)
    round_trip(timeline, armature)


@pytest.mark.parametrize("interpolation", ("CONSTANT", "LINEAR", "BEZIER", "SINE", "BOUNCE"))
def test_interpolations(timeline, interpolation):
    """What lies between the keys, of Blender's common kinds."""
    armature = stage.add_armature()
    animate(armature, "XYZ", (1, 4, 11, 30), interpolation)
    round_trip(timeline, armature)


@pytest.mark.parametrize("scale", (0.01, 100, (-1, 1, 1), (2, 2, -2)), ids=str)
def test_scaled_and_turned_objects(timeline, scale):
    """An armature object that is scaled, mirrored, turned and moved, below a parent that is too."""
    import bpy

    armature = stage.add_armature()
    animate(armature, moving=("hips", "foot.L"))
    armature.scale = (scale,) * 3 if np.isscalar(scale) else scale
    armature.rotation_euler = (np.pi / 2, 0.3, 2)
    armature.location = (3, -2, 1)
    parent = bpy.data.objects.new("above", None)
    bpy.context.scene.collection.objects.link(parent)
    parent.scale, parent.rotation_euler = (1.5,) * 3, (0.4, 0, -1)
    armature.parent = parent
    assert timeline.read(armature).evaluated is None
    round_trip(timeline, armature)


def test_an_unevenly_scaled_object(timeline):
    """Rotations round-trip under uneven scale, and so do places of what can slide."""
    armature = stage.add_armature()
    animate(armature)
    armature.scale = (0.5, 0.8, 1.3)
    round_trip(timeline, armature, changed=False)


@pytest.mark.parametrize("mode", ("XYZ", "QUATERNION"))
def test_motion_on_the_object(timeline, mode):
    """The path and the turns lie on the armature object: they are part of the motion, and the path is written there."""
    armature = stage.add_armature()
    animate(armature, frames=range(1, 31, 3), moving=())
    armature.rotation_mode = mode
    for frame in (1, 11, 30):
        armature.location = (0.02 * frame, 0.1 * frame, 0.01 * frame)
        armature.rotation_euler = (0.01 * frame, 0.02 * frame, 0.05 * frame)
        armature.rotation_quaternion = (1, 0.01 * frame, 0, 0.02 * frame)
        armature.keyframe_insert("location", frame=frame)
        armature.keyframe_insert("rotation_euler" if mode == "XYZ" else "rotation_quaternion", frame=frame)
    reading = timeline.read(armature)
    assert reading.evaluated is None
    assert np.ptp(reading.motion.root_positions[:, 1]) > 2
    round_trip(timeline, armature)


def test_several_roots_and_detached_feet(timeline):
    """Feet that are roots of their own, keyed in location, as in many game rigs."""
    bones = tuple((name, None if name.startswith("foot") else parent, *ends) for name, parent, *ends in stage.BONES)
    armature = stage.add_armature(bones=bones)
    animate(armature, moving=("hips", "foot.L", "foot.R"))
    reading = timeline.read(armature)
    names = [reading.bones[bone] for bone in reading.choice.bones]
    assert names[0] == "hips"
    assert {"foot.L", "foot.R"} < set(names)
    round_trip(timeline, armature)


def test_a_still_root_above_the_body(timeline):
    """A first bone on the ground that doesn't move isn't the body's root."""
    bones = (("root", None, (0, 0, 0), (0, 0.3, 0)), *((n, p or "root", h, t) for n, p, h, t in stage.BONES))
    armature = stage.add_armature(bones=bones)
    animate(armature)
    for curve in stage.curves_of(armature.animation_data.action):
        if '"root"' in curve.data_path:
            curve.mute = True
    armature.pose.bones["root"].rotation_quaternion = (1, 0, 0, 0)
    reading = timeline.read(armature)
    assert reading.bones[reading.choice.bones[0]] == "hips"
    round_trip(timeline, armature)


def test_a_body_whose_root_has_no_keys(timeline):
    """The hips follow an unkeyed way: the bone above them is turned and moved in their place."""
    bones = (("carrier", None, (0, 0, 0.5), (0, 0, 0.9)), *((n, p or "carrier", h, t) for n, p, h, t in stage.BONES))
    armature = stage.add_armature(bones=bones)
    animate(armature, moving=("carrier",))
    action = armature.animation_data.action
    for curve in stage.curves_of(action):
        curve.mute = curve.mute or '"hips"' in curve.data_path
    armature.pose.bones["hips"].rotation_quaternion = (0.9, 0.1, 0.2, 0)
    round_trip(timeline, armature)


def test_scaled_bones(timeline):
    """Bones that stretch carry their children along."""
    armature = stage.add_armature()
    animate(armature, moving=("hips",))
    for frame in (1, 12, 24):
        armature.pose.bones["chest"].scale = (1 + 0.02 * frame,) * 3
        armature.pose.bones["chest"].keyframe_insert("scale", frame=frame)
    reading = timeline.read(armature)
    assert reading.evaluated is None
    assert reading.motion.positions is not None
    assert_read(armature, reading)
    nothing = no_change(reading)
    assert_shows(armature, reading, nothing, timeline.write_variation(reading, nothing, "same", everything=True))


@pytest.mark.parametrize("flag", ("use_inherit_rotation", "use_local_location", "inherit_scale", "use_connect"))
def test_odd_bone_settings(timeline, flag):
    """Bones that don't turn along, with other axes of location, that don't inherit scale, fixed to their parents."""
    import bpy

    armature = stage.add_armature()
    animate(armature, moving=("hips", "chest", "arm.L", "shin.R"))
    if flag == "use_connect":
        bpy.ops.object.mode_set(mode="EDIT")
        armature.data.edit_bones["shin.R"].use_connect = True
        bpy.ops.object.mode_set(mode="OBJECT")
    else:
        for name in ("chest", "arm.L", "shin.R"):
            setattr(armature.data.bones[name], flag, "NONE" if flag == "inherit_scale" else False)
    if flag == "inherit_scale":
        armature.pose.bones["chest"].scale = (1.2, 1.2, 1.2)
    reading = timeline.read(armature)
    assert (reading.evaluated is None) == (flag != "inherit_scale")
    assert_read(armature, reading)
    nothing = no_change(reading)
    assert_shows(armature, reading, nothing, timeline.write_variation(reading, nothing, "same", everything=True))


@pytest.mark.parametrize("fps", (24, 30, 60, 120))
def test_frame_rates(timeline, fps):
    """Whole frames: a row each, at the scene's rate."""
    import bpy

    bpy.context.scene.render.fps = fps
    armature = stage.add_armature()
    animate(armature, frames=range(-9, 16))
    reading = timeline.read(armature)
    assert reading.fps == fps
    assert reading.frames.tolist() == list(range(-9, 16))
    round_trip(timeline, armature)


def test_keys_on_another_grid(timeline):
    """A clip of 30 frames a second in a scene of 24: rows lie on its keys, which come back at the same times."""
    armature = stage.add_armature()
    animate(armature, frames=[0.8 * row - 20.5 for row in range(25)], interpolation="LINEAR")
    reading = timeline.read(armature)
    assert reading.fps == pytest.approx(30)
    assert len(reading.frames) == 25
    round_trip(timeline, armature)
    written = timeline.write_variation(reading, known_change(reading), "grid")
    source, copy = (
        [[key.co[0] for key in curve.keyframe_points] for curve in stage.curves_of(action)]
        for action in (armature.animation_data.action, written.action)
    )
    assert source == copy


def test_curve_modifiers(timeline):
    """Noise stays noise and cycles stay cycles."""
    armature = stage.add_armature()
    action = animate(armature, "XYZ", (1, 9, 16))
    curves = stage.curves_of(action)
    noise = curves[5].modifiers.new("NOISE")
    noise.strength = 0.3
    curves[9].modifiers.new("CYCLES")
    for frame, value in ((1, 0.0), (30, 0.4)):
        armature.pose.bones["head"].location.x = value
        armature.pose.bones["head"].keyframe_insert("location", frame=frame)
    round_trip(timeline, armature)


def test_two_keys_on_one_frame(timeline):
    """Bad files have them; Blender picks one."""
    armature = stage.add_armature()
    curve = stage.curves_of(animate(armature, "XYZ", (1, 5, 9, 14, 20)))[4]
    curve.keyframe_points[2].co = (5.00001, 0.3)
    round_trip(timeline, armature)


NAMES = ('quo"te', "brack[et]s", "back\\slash", "x" * 63, "\u9aa8\u00e9\U0001f9b4", 'a"].location["', "tab\there")


def test_odd_names(timeline):
    """Quotes, brackets, backslashes, 63 characters, other alphabets."""
    rename = dict(zip((name for name, *_ in stage.BONES), NAMES, strict=False))
    bones = tuple((rename.get(n, n), rename.get(p, p), h, t) for n, p, h, t in stage.BONES)
    armature = stage.add_armature(bones=bones)
    animate(armature, moving=(NAMES[0],))
    reading = timeline.read(armature)
    assert set(NAMES) < {reading.bones[bone] for bone in reading.channels.bones.tolist()}
    round_trip(timeline, armature)


def test_500_bones(timeline):
    """A rig of 500 bones of which 200 move, and the sentence where all do."""
    bones = [("hips", None, (0, 0, 1), (0, 0, 1.1))]
    for limb in range(20):
        side = np.array((np.cos(limb), np.sin(limb), 0))
        for row in range(25):
            parent = f"limb {limb} {row - 1}" if row else "hips"
            bones.append((f"limb {limb} {row}", parent, (0, 0, 1) + side * row, (0, 0, 1) + side * (row + 1)))
    armature = stage.add_armature(bones=bones[:500])
    animate(armature, frames=range(1, 5))
    with pytest.raises(stage.module("armature").MotionError, match="500 bones move; the model takes up to 256"):
        timeline.read(armature)
    for curve in stage.curves_of(armature.animation_data.action):
        curve.mute = any(f'"limb {limb} ' in curve.data_path for limb in range(8, 20))
    for bone in armature.pose.bones:
        bone.rotation_quaternion = (1, 0, 0, 0)
    reading = timeline.read(armature)
    assert len(reading.bones) == 500
    assert 200 <= len(reading.choice.bones) <= 256
    round_trip(timeline, armature)


# Frame by frame


def test_both_ways_of_reading_agree(timeline):
    """Kinematics on the keys and Blender's evaluation give one motion."""
    armature = stage.add_armature()
    animate(armature, "ZXY", (1, 7, 12, 30), moving=("hips", "arm.L"))
    armature.scale, armature.rotation_euler = (0.1, 0.1, 0.1), (1, 0, 0)
    by_keys, by_frames = timeline.read(armature), timeline.read(armature, keys_only=False)
    assert by_keys.evaluated is None and by_frames.evaluated is not None
    rotations = stage.module("backend.rotations")
    apart = rotations.quaternion_angle(by_keys.rotations.astype(float), by_frames.rotations.astype(float))
    assert np.degrees(apart).max() < 1e-3
    assert np.abs(by_keys.heads - by_frames.heads).max() < 1e-6
    assert by_keys.choice.bones.tolist() == by_frames.choice.bones.tolist()


def _constrain(armature):
    armature.pose.bones["head"].constraints.new("COPY_ROTATION").target = armature
    armature.pose.bones["head"].constraints[0].subtarget = "hips"
    return "constraints"


def _drive(armature):
    driver = armature.pose.bones["head"].driver_add("location", 0).driver
    driver.expression = "0.01 * frame"
    return "drivers"


def _animate_parent(armature):
    import bpy

    parent = bpy.data.objects.new("above", None)
    bpy.context.scene.collection.objects.link(parent)
    armature.parent = parent
    for frame in (1, 24):
        parent.location.x = 0.1 * frame
        parent.keyframe_insert("location", frame=frame)
    return "the animated parent 'above'"


def _stack(armature):
    import bpy

    action = bpy.data.actions.new("below")
    track = armature.animation_data.nla_tracks.new()
    track.strips.new("below", 1, action)
    return "NLA tracks"


@pytest.mark.parametrize("disturb", (_constrain, _drive, _animate_parent, _stack))
def test_what_keys_do_not_say(timeline, scene, disturb):
    """Constraints, drivers, parents and NLA are evaluated by Blender; frame and unkeyed poses come back exactly."""
    armature = stage.add_armature()
    animate(armature)
    armature.pose.bones["foot.R"].location = (0.1, 0.2, 0.3)
    reason = disturb(armature)
    scene.frame_set(7, subframe=0.25)
    armature.pose.bones["hand.L"].rotation_quaternion = (0.6, 0.8, 0, 0)  # not keyed here: the next frame would undo it
    before = stage.contents()
    shares = []
    reading = timeline.read(armature, report=shares.append)
    assert reading.evaluated == reason
    assert reason in " ".join(reading.notes)
    assert shares[-1] == pytest.approx(1)
    assert stage.contents() == before
    assert_read(armature, reading)


def test_slow_reading_can_be_left(timeline, monkeypatch):
    """Closing the steps on the way leaves the file as it was."""
    armature = stage.add_armature()
    animate(armature, frames=range(1, 25))
    before = stage.contents()
    for part in ("keys", "evaluation"):
        monkeypatch.setattr(stage.module(f"timeline.{part}"), "STEP_S", 0.0)
    steps = timeline.read_steps(armature, keys_only=False)
    shares = [next(steps) for _ in range(60)]
    assert shares == sorted(shares) and 0 <= shares[0] < shares[-1] < 1
    assert stage.contents() == before
    steps.close()
    assert stage.contents() == before


def test_another_action_is_read_without_showing_it(timeline):
    """An action that isn't assigned is read like the assigned one, by keys and by frames."""
    armature = stage.add_armature()
    first = animate(armature, frames=range(1, 25))
    wanted = timeline.read(armature)
    animate(armature, frames=range(1, 12), size=0.1)
    before = stage.contents()
    for keys_only in (None, False):
        reading = timeline.read(armature, first, keys_only=keys_only)
        assert np.abs(reading.heads - wanted.heads).max() < 1e-6
        assert stage.contents() == before
    assert_read_of(timeline, armature, first, reading)


def assert_read_of(timeline, armature, action, reading):
    """The reading is what Blender shows with that action."""
    timeline.assign_action(armature, action)
    assert_read(armature, reading)


def test_a_range_of_frames(timeline):
    """Only the rows inside."""
    armature = stage.add_armature()
    animate(armature, frames=range(1, 40))
    reading = timeline.read(armature, frame_range=(10, 20))
    assert reading.frames.tolist() == list(range(10, 21))
    assert_read(armature, reading)


# What can't be read


def test_numbers_that_are_none(timeline):
    """The sentence names bone, channel and frame."""
    armature = stage.add_armature()
    curves = {(c.data_path, c.array_index): c for c in stage.curves_of(animate(armature))}
    curves['pose.bones["arm.L"].rotation_quaternion', 2].keyframe_points[3].co[1] = float("nan")
    sentence = r"rotation_quaternion\[2\] of bone 'arm.L' at frame 4 is nan"
    with pytest.raises(stage.module("armature").MotionError, match=sentence):
        timeline.read(armature)


@pytest.mark.newer
def test_a_slot_without_keys(timeline):
    """The sentence names the slot that has them."""
    armature = stage.add_armature()
    action = animate(armature)
    full = armature.animation_data.action_slot
    armature.animation_data.action_slot = action.slots.new(id_type="OBJECT", name="empty")
    with pytest.raises(stage.module("armature").MotionError, match=f"'{full.name_display}' does"):
        timeline.read(armature)
    assert timeline.read(armature, action, full).slot == full.identifier


def test_frames_of_an_action(timeline):
    """First and last bone key, and how many curves move bones."""
    armature = stage.add_armature()
    action = animate(armature, frames=(-3, 8, 21.5))
    armature.location.x = 1
    armature.keyframe_insert("location", frame=100)
    assert timeline.action_frame_range(armature) == (-3, 21.5)
    assert timeline.bone_curve_count(armature, *timeline.assigned_action(armature)) == 4 * len(stage.BONES) + 3
    assert timeline.action_frame_range(armature, action) == (-3, 21.5)
