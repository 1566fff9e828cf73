"""What the user keeps and lets change: bones, parts, ranges, pins, root paths, loops; on a small walker and real clips.

python -m pytest tests/blender/test_control.py
"""

import numpy as np
import pytest

from tests.blender.motions import SHARED, load
from tests.blender.stage import contents, curves_of, fresh_file, keys_of, module, walker

CLIPS = {  # file and action of a person, a fox and a spider
    "person": ("formats/bvh_zxy_walk01_bvhtoolbox.bvh", None),
    "fox": ("creatures/test/khronos_fox.glb", "Survey"),
    "spider": ("creatures/test/m2m_spider.glb", "Idle"),
}
BODIES = {  # file -> parts that it must have, each with a word that is in the names of its bones
    "characters/train/m2m_human_handkeyed.glb": {
        "ARM_LEFT": ("arm", "hand", "clavicle", "shoulder"),
        "LEG_RIGHT": ("thigh", "calf", "shin", "foot", "toe", "ball"),
        "FINGERS_LEFT": ("index", "middle", "ring", "pinky", "thumb", "palm"), "HEAD": ("neck", "head", "jaw", "eye"),
    },
    "creatures/test/khronos_fox.glb": {
        "FRONT_LIMB_LEFT": ("LeftUpperArm", "LeftForeArm", "LeftHand"), "HIND_LIMB_RIGHT": ("RightLeg", "RightFoot"),
        "TAIL": ("Tail",), "HEAD": ("Neck", "Head"), "SPINE": ("Spine",),
    },
    "creatures/train/q_fox.glb": {
        "FRONT_LIMB_LEFT": (".L",), "HIND_LIMB_RIGHT": (".R",), "TAIL": ("Tail",),
        "HEAD": ("Neck", "Head", "Ear", "Pole"),
    },
    "creatures/test/m2m_spider.glb": {
        "LIMB_1": ("leg_a", "anchor_1_l"), "LIMB_4": ("leg_b", "anchor_2_r"), "LIMB_8": ("leg_d", "anchor_4_r"),
        "TAIL": ("tail",),
    },
    "creatures/train/m2m_bird.glb": {
        "WING_LEFT": ("wing",), "TAIL": ("tail",), "HEAD": ("spine", "head", "mouth"),
    },
    "creatures/train/m2m_dragon.glb": {
        "WING_RIGHT": ("wing", "shoulder"), "FRONT_LIMB_LEFT": ("front", "collar"), "HIND_LIMB_LEFT": ("back", "hips"),
        "TAIL": ("tail",),
    },
}  # fmt: skip
EXACT_DEG = 1e-4
NEAR_ROWS = 4


def clip(name):
    """A real clip on its armature, which is active; skipped where the shared data isn't there."""
    import bpy

    path, action = CLIPS[name]
    if not (SHARED / path).exists():
        pytest.skip(f"needs {SHARED / path}")
    (armature,) = load(SHARED / path)
    bpy.context.view_layer.objects.active = armature
    if action is not None:
        armature.animation_data.action = next(each for each in bpy.data.actions if action in each.name)
        module("timeline").assign_action(armature, armature.animation_data.action)
    return armature


def made(armature):
    """The source's motion and the last variation's, as they are read."""
    timeline = module("timeline")
    row = armature.motion_variations.rows[len(armature.motion_variations.rows) - 1]
    return timeline.read(armature, row.source), timeline.read(armature, row.action)


def turned_deg(first, second) -> np.ndarray:
    """How far the joints of two readings are turned from each other in the world, `[T, J]`."""
    angle = module("backend.rotations").quaternion_angle
    bones = first.choice.bones
    return np.degrees(angle(first.rotations[:, bones], second.rotations[:, bones]))


def own_turns_deg(first, second) -> np.ndarray:
    """How far all bones of two readings are turned from each other against their parents, `[T, N]`."""
    rotations = module("backend.rotations")

    def local(reading):
        parents = np.maximum(reading.rig.parents, 0)
        against = rotations.quaternion_multiply(
            rotations.quaternion_conjugate(reading.rotations[:, parents]), reading.rotations
        )
        return np.where((reading.rig.parents >= 0)[:, None], against, reading.rotations)

    return np.degrees(rotations.quaternion_angle(local(first), local(second)))


def jerk_near(reading, rows) -> float:
    """Peak jerk near some rows over the peak elsewhere."""
    motion = module("backend.motion")
    jerk = motion.position_jerk(motion.joint_positions(reading.motion))
    near = (np.abs(np.arange(len(jerk))[:, None] + 1.5 - np.array(rows)) <= NEAR_ROWS).any(axis=1)
    return float(np.quantile(jerk[near], 0.99) / np.quantile(jerk[~near], 0.99))


def select_bones(armature, names) -> None:
    """Selects pose bones and no others."""
    for bone in armature.pose.bones:
        (bone if hasattr(bone, "select") else bone.bone).select = bone.name in names


def fails(operators, sentence, **settings):
    """The click says the sentence and changes nothing."""
    before = contents()
    with pytest.raises(RuntimeError, match=sentence):
        operators.resample(**settings)
    assert contents() == before


def test_only_the_bones_of_a_collection_change(operators):
    """With those of its child collections; gone and empty ones are said by name."""
    armature = walker()
    collections = armature.data.collections
    arm, hand = collections.new("arm"), collections.new("hand")
    hand.parent = arm
    arm.assign(armature.data.bones["arm.R"])
    hand.assign(armature.data.bones["hand.R"])
    collections.new("nothing")
    operators.resample(count=1, seed=1, bones="COLLECTION", bone_collection="arm")
    source, variation = made(armature)
    turned = own_turns_deg(source, variation)
    chosen = np.isin(source.bones, ("arm.R", "hand.R"))
    assert turned[:, ~chosen].max() < 1e-9 and turned[:, chosen].max() > 0.5
    fails(operators, "No bone collection is chosen", bones="COLLECTION", bone_collection="")
    fails(operators, "no bone collection 'legs'; it has .*'arm'", bones="COLLECTION", bone_collection="legs")
    fails(operators, "'nothing' is empty", bones="COLLECTION", bone_collection="nothing")


def test_only_body_parts_change(operators, scene):
    """By identifiers, or by the panel's buttons; renamed bones are the same parts; missing ones are said."""
    import bpy

    armature = walker()
    for number, bone in enumerate(armature.data.bones):
        bone.name = f"Bone.{number:03}"
    operators.toggle_part(key="ARM_LEFT")
    operators.toggle_part(key="HEAD")
    operators.toggle_part(key="ARM_LEFT")
    assert scene.motion_variations.parts == "HEAD"
    operators.toggle_part(key="LEG_RIGHT")
    scene.motion_variations.bones = "PARTS"
    operators.resample(count=1, seed=1, contacts=False)
    source, variation = made(armature)
    turned = own_turns_deg(source, variation).max(axis=0) > 1e-9
    assert set(np.flatnonzero(turned)) <= {2, 10, 11, 12} and turned.sum() >= 3
    operators.resample(count=1, seed=1, parts="arm_left , ARM_RIGHT")
    source, variation = made(armature)
    assert set(np.flatnonzero(own_turns_deg(source, variation).max(axis=0) > 1e-9)) == {3, 4, 5, 6}
    fails(operators, "no body part WING_LEFT; it has ROOT, ", parts="WING_LEFT")
    fails(operators, "No body part is chosen", parts=" , ")
    assert bpy.context.scene.motion_variations.parts == "HEAD, LEG_RIGHT"


@pytest.mark.parametrize("path", BODIES)
def test_parts_of_real_bodies(scene, path):
    """Their bones are named as they should be; with other names and in another order they are the same."""
    import bpy

    if not (SHARED / path).exists():
        pytest.skip(f"needs {SHARED / path}")
    (armature,) = load(SHARED / path)
    body = module("body")
    parts = {part.key: part for part in body.body_parts(armature)}
    for key, words in BODIES[path].items():
        strangers = [name for name in parts[key].bones if not any(word.lower() in name.lower() for word in words)]
        assert len(strangers) <= 0.1 * len(parts[key].bones), (key, strangers)
        assert len(parts[key].bones) >= 2
    assert sum(len(part.bones) for part in parts.values()) == len(armature.data.bones)
    new_names = {bone.name: f"{hash((path, number)) % 10**9:09}" for number, bone in enumerate(armature.data.bones)}
    for old, new in new_names.items():
        armature.data.bones[old].name = new
    again = {part.key: part for part in body.body_parts(armature)}
    assert {key: {new_names[name] for name in part.bones} for key, part in parts.items()} == {
        key: set(part.bones) for key, part in again.items()
    }
    bpy.context.view_layer.update()


def test_markers_say_what_may_change(operators, scene):
    """The selected ones from first to last; else the two around the current frame; where there are none, a sentence."""
    armature = walker()
    fails(operators, "The scene has no markers", frame_range="MARKERS")
    for frame in (5, 13, 33, 40):
        scene.timeline_markers.new(f"m{frame}", frame=frame)
    ranges = []
    for selected, now in ((set(), 20), ({13, 33}, 1), ({5, 13, 33}, 20)):
        for marker in scene.timeline_markers:
            marker.select = marker.frame in selected
        scene.frame_set(now)
        operators.resample(count=1, seed=1, frame_range="MARKERS")
        source, variation = made(armature)
        rows = np.flatnonzero(turned_deg(source, variation).max(axis=1) > EXACT_DEG)
        ranges.append((source.frames[rows[0]], source.frames[rows[-1]]))
    assert ranges[0] == ranges[1] == (14, 32) and ranges[2] == (6, 32)
    for marker in scene.timeline_markers:
        marker.select = False
    scene.frame_set(45)
    fails(operators, "no marker after frame 45", frame_range="MARKERS")
    scene.frame_set(2)
    fails(operators, "no marker before frame 2", frame_range="MARKERS")


def test_selected_keys_say_what_may_change(operators):
    """From the first to the last; none and one are sentences."""
    armature = walker()
    curves = curves_of(armature.animation_data.action)

    def select(frames):
        for curve in curves:
            for key in curve.keyframe_points:
                key.select_control_point = key.co.x in frames and curve is curves[5]

    select(())
    fails(operators, "No keys of 'walk' are selected", frame_range="KEYS")
    select((9,))
    fails(operators, "All selected keys lie on frame 9", frame_range="KEYS")
    select((9, 33))
    operators.resample(count=1, seed=1, frame_range="KEYS")
    source, variation = made(armature)
    rows = np.flatnonzero(turned_deg(source, variation).max(axis=1) > EXACT_DEG)
    assert (source.frames[rows[0]], source.frames[rows[-1]]) == (10, 32)


@pytest.mark.parametrize("keys", ("EVERY_FRAME", "AS_SOURCE", "REDUCED", "SOURCE_KEYS"))
def test_pinned_poses_are_the_source_s(operators, scene, keys):
    """By the list, by pose markers, by markers named so; whichever keys are written; switched off they change."""
    armature = walker()
    action = armature.animation_data.action
    scene.frame_set(15)
    operators.pin_frame()
    operators.pin_frame(frame=30.0)
    marker = action.pose_markers.new("stretch")
    marker.frame = 23
    scene.timeline_markers.new("Pin here", frame=38)
    scene.timeline_markers.new("other", frame=41)
    operators.resample(count=1, seed=1, keys=keys, pin_pose_markers=True, keep_ends=False, pin_ease=4)
    source, variation = made(armature)
    turned = turned_deg(source, variation)
    rows = np.searchsorted(source.frames, (15, 23, 30, 38))
    assert turned[rows].max() < EXACT_DEG
    assert np.abs(source.heads[rows] - variation.heads[rows]).max() < 1e-5
    others = np.searchsorted(source.frames, (1, 8, 19, 34, 41, 47))
    assert turned[others].max(axis=1).min() > 0.1
    free = {"pin_frames": False, "pin_scene_markers": False, "pin_pose_markers": False}
    operators.resample(count=1, seed=1, keys=keys, keep_ends=False, **free)
    assert turned_deg(*made(armature))[rows].max(axis=1).min() > 0.1
    names = [key for key in keys_of(action) if key[0].startswith("pose")]
    assert names


def test_pins_are_kept_with_the_source(operators, scene, tmp_path):
    """Each action has its own; they survive saving, renaming and undo's sisters; what isn't pinned is said."""
    import bpy

    armature = walker()
    pins = module("pins")
    operators.pin_frame(frame=10.0)
    operators.pin_frame(frame=10.0)
    operators.pin_frame(frame=20.0)
    source = armature.animation_data.action
    assert pins.pinned(armature, source) == [10.0, 20.0]
    operators.resample(count=1, seed=1)  # the variation is shown, its source is pinned
    operators.pin_frame(frame=30.0)
    armature.animation_data.action = bpy.data.actions.new("other")
    operators.pin_frame(frame=5.0)
    assert pins.pinned(armature, source) == [10.0, 20.0, 30.0]
    source.name = "renamed"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "pins.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "pins.blend"))
    armature, source = bpy.data.objects["walker"], bpy.data.actions["renamed"]
    assert pins.pinned(armature, source) == [10.0, 20.0, 30.0]
    assert pins.pinned(armature, bpy.data.actions["other"]) == [5.0]
    module("timeline").assign_action(armature, source)
    operators.unpin_frame(frame=20.0)
    with pytest.raises(RuntimeError, match=r"Frame 20 isn't pinned. Pinned frames: 10, 30\."):
        operators.unpin_frame(frame=20.0)
    operators.clear_pins()
    assert pins.pinned(armature, source) == [] and len(armature.motion_variations.pins) == 1
    with pytest.raises(RuntimeError, match="No frame of 'renamed' is pinned"):
        operators.clear_pins()
    fresh_file()
    assert not operators.pin_frame.poll()


@pytest.mark.parametrize("keys", ("EVERY_FRAME", "AS_SOURCE", "REDUCED", "SOURCE_KEYS"))
def test_a_range_without_keys_at_its_borders(operators, keys):
    """Poses at the borders and on the source's keys outside stay, whichever keys are written; between keys outside,
    where Blender places handles anew, they nearly do."""
    armature = walker()
    operators.resample(count=1, seed=1, keys=keys, frame_range="CUSTOM", frame_start=15, frame_end=34, falloff=5)
    source, variation = made(armature)
    turned = turned_deg(source, variation).max(axis=1)
    held = np.isin(source.frames, (1, 5, 9, 13, 15, 34, 37, 41, 45, 48))
    assert turned[held].max() < EXACT_DEG and turned[20:30].max() > 0.5
    assert turned[(source.frames < 15) | (source.frames > 34)].max() < 1.5


def test_in_place_and_loop(operators):
    """The walker stays where it starts and loops, and the panel is told how well; what can't be is a sentence."""
    armature = walker(frames=49)
    result = {}
    for root_path in ("KEEP", "IN_PLACE"):
        operators.resample(count=1, seed=1, root_path=root_path, loop="KEEP", keep_ends=False)
        result[root_path] = made(armature)
    travel = {path: np.ptp(each[1].motion.root_positions[:, :2], axis=0).max() for path, each in result.items()}
    assert travel["KEEP"] > 1.0 and travel["IN_PLACE"] < 0.1
    loops = module("backend.loops")
    for source, variation in result.values():
        gaps = [loops.loop_gap(each.motion, np.array([1.0, 0, 0, 0])) for each in (source, variation)]
        assert gaps[1][0] < gaps[0][0] + 0.02 and gaps[1][1] < gaps[0][1] + 1.0
        assert turned_deg(source, variation)[0].max() > 0.2
    assert "The last pose is" in module("session").message
    fails(operators, "'In place' moves the body", root_path="IN_PLACE", parts="ARM_LEFT", bones="PARTS")
    fails(operators, "some frames there must stay", loop="CLOSE", frame_range="CUSTOM", frame_start=5, frame_end=30)


@pytest.mark.parametrize("name", CLIPS)
def test_no_pops_on_real_clips(operators, name):
    """Jerk near the borders of a range, near a pin and at a loop's seam is about that elsewhere."""
    armature = clip(name)
    source = module("timeline").read(armature)
    first, last = source.frames[0], source.frames[-1]
    middle = round((first + last) / 2)
    quarter = round((first + middle) / 2), round((middle + last) / 2)
    operators.pin_frame(frame=float(middle))
    for seed in (1, 2):
        operators.resample(
            count=1, seed=seed, frame_range="CUSTOM", frame_start=quarter[0], frame_end=quarter[1], keep_ends=True
        )
        source, variation = made(armature)
        rows = np.searchsorted(source.frames, (quarter[0], middle, quarter[1]))
        turned = turned_deg(source, variation)
        assert turned[rows].max() < EXACT_DEG and turned.max() > 0.5
        assert jerk_near(variation, rows) < 1.5 * max(jerk_near(source, rows), 1.0)
    operators.clear_pins()
    gap = module("backend.loops").loop_gap
    level = np.array([1.0, 0, 0, 0])
    operators.resample(count=1, seed=3, loop="CLOSE", keep_ends=False)
    source, variation = made(armature)
    if name != "person":  # who walks on a curve faces elsewhere at the end
        assert gap(variation.motion, level)[0] < 0.1
        assert gap(variation.motion, level)[1] < max(1.5, 1.2 * gap(source.motion, level)[1])


@pytest.mark.parametrize("name", CLIPS)
def test_masks_are_exact_on_real_clips(operators, name):
    """Bones that aren't chosen keep their turn against their parents, contacts kept or not, in a loop or not."""
    armature = clip(name)
    parts = module("body").body_parts(armature)
    chosen = [part for part in parts if part.key in ("HEAD", "ARM_LEFT", "FRONT_LIMB_LEFT", "LIMB_3")]
    names = frozenset().union(*(part.bones for part in chosen))
    for contacts, loop in ((True, "OFF"), (False, "CLOSE")):
        operators.resample(
            count=1, seed=1, bones="PARTS", parts=",".join(part.key for part in chosen), contacts=contacts, loop=loop
        )
        source, variation = made(armature)
        turned = own_turns_deg(source, variation).max(axis=0)
        inside = np.array([bone in names for bone in source.bones])
        assert turned[~inside].max() < EXACT_DEG and turned[inside].max() > 0.5


def test_settings_are_kept_with_the_scene(operators, scene, tmp_path):
    """All of them, after saving and loading."""
    import bpy

    values = {
        "bones": "PARTS", "bone_collection": "hands", "parts": "TAIL", "root_path": "FREE", "loop": "CLOSE",
        "frame_range": "MARKERS", "falloff": 7, "pin_ease": 3, "pin_frames": False, "pin_pose_markers": True,
        "pin_scene_markers": False,
    }  # fmt: skip
    for setting, value in values.items():
        setattr(scene.motion_variations, setting, value)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "kept.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "kept.blend"))
    kept = bpy.context.scene.motion_variations
    assert {name: getattr(kept, name) for name in values} == values
