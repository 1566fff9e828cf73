"""What can be wrong with the file: each ends in a sentence, changes nothing, and the next click works."""

import numpy as np
import pytest

from tests.blender.stage import (
    BONES,
    add_armature,
    add_walk,
    advance_to,
    contents,
    curves_of,
    finish,
    fresh_file,
    keys_of,
    module,
    refused,
    start_resample,
    walker,
    works,
)


def test_no_armature(operators):
    """Nothing is selected; a camera is."""
    import bpy

    refused(operators, "Select an armature that has an animation")
    camera = bpy.data.objects.new("eye", bpy.data.cameras.new("eye"))
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.view_layer.objects.active = camera
    refused(operators, "'eye' is a camera. Select an armature")
    works(operators)


def test_no_action(operators):
    """An armature without animation, and one with animation data but no action."""
    armature = add_armature()
    refused(operators, "'walker' has no action")
    armature.animation_data_create()
    refused(operators, "'walker' has no action")
    works(operators)


def test_an_armature_without_bones(operators):
    """An empty armature."""
    add_armature(bones=())
    refused(operators, "'walker' has no bones")
    works(operators)


def test_an_action_without_bone_keys(operators):
    """Only the object is keyed; and an empty action."""
    import bpy

    armature = add_armature()
    armature.location = (1, 2, 3)
    armature.keyframe_insert("location", frame=1)
    armature.keyframe_insert("location", frame=20)
    refused(operators, "has no keys on the bones of 'walker'")
    armature.animation_data.action = bpy.data.actions.new("empty")
    refused(operators, "'empty' has no keys on the bones of 'walker'")
    works(operators)


def test_bones_that_are_keyed_but_still(operators):
    """There is no motion to vary."""
    armature = add_armature()
    for frame in (1, 10, 20):
        armature.pose.bones["chest"].keyframe_insert("rotation_quaternion", frame=frame)
    refused(operators, "bones that deform or are keyed moves")
    works(operators)


def test_one_frame(operators):
    """A single key is a pose."""
    armature = add_armature()
    armature.pose.bones["chest"].keyframe_insert("rotation_quaternion", frame=5)
    refused(operators, "one frame of animation")
    works(operators)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_keys_that_are_not_numbers(operators, value):
    """The sentence names bone, channel and frame."""
    armature = walker()
    curve = next(curve for curve in curves_of(armature.animation_data.action) if '"arm.R"' in curve.data_path)
    keys = np.empty(2 * len(curve.keyframe_points), dtype=np.float32)
    curve.keyframe_points.foreach_get("co", keys)
    keys[2 * 3 + 1] = value
    curve.keyframe_points.foreach_set("co", keys)  # one by one, Blender would take its largest number instead
    refused(operators, "not a finite number: rotation_quaternion.*'arm.R' at frame 13")
    works(operators)


def test_bones_without_length(operators):
    """Blender itself removes bones of no length; a very short one is taken, an object scaled to zero is explained."""
    armature = add_armature(bones=(*BONES, ("dust", "head", (0, 0, 1.7), (0, 0, 1.7 + 2e-6))))
    assert "dust" in armature.pose.bones
    add_walk(armature)
    assert operators.resample(count=1, seed=1) == {"FINISHED"}
    operators.reject()
    armature.scale = (0, 0, 0)
    refused(operators, "scaled to zero")
    works(operators)


@pytest.mark.parametrize(
    "name",
    [
        'quo"te',
        "apo's",
        "brack[et]s",
        "back\\slash",
        "new\nline",
        "x" * 63,
        "腰と足",
        "naïve ж",
        "a.b.c",
        " ",
        '"]["',
        "{0} %s",
    ],
)
def test_odd_names(operators, name):
    """Bones, action and object with such a name give the variation that plain names give."""
    import bpy

    walker()
    operators.resample(count=1, seed=7)
    plain = list(keys_of(bpy.data.actions["walk var 01"]).values())
    fresh_file()
    armature = walker()
    armature.pose.bones["arm.L"].name = name
    armature.name = name
    armature.animation_data.action.name = name
    operators.resample(count=1, seed=7)
    action = armature.animation_data.action
    assert action.name.endswith(" var 01")
    assert list(keys_of(action).values()) == plain


def test_500_bones(operators):
    """More bones than the model takes: those that don't move don't count; where too many move, the number is said."""
    many = [
        (f"chain {row}", f"chain {row - 1}" if row % 20 else "head", (0, row, 2), (0, row + 1, 2)) for row in range(487)
    ]
    armature = add_armature(bones=(*BONES, *many))
    for bone in armature.pose.bones[: len(BONES)]:
        for frame in (1, 10, 20):
            bone.rotation_quaternion = (1, 0.01 * frame, 0, 0)
            bone.keyframe_insert("rotation_quaternion", frame=frame)
    assert operators.resample(count=1, seed=1) == {"FINISHED"}
    assert armature.motion_variations.rows[0].action
    fresh_file()
    add_walk(add_armature(bones=(*BONES, *many)), frames=20, every=10)
    refused(operators, "500 bones move; the model takes up to 256")
    works(operators)


def test_a_linked_armature(operators, tmp_path):
    """Without an override it can't take an action; with one it can."""
    import bpy

    walker()
    path = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    fresh_file()
    with bpy.data.libraries.load(path, link=True) as (found, wanted):
        wanted.objects = ["walker"]
    armature = wanted.objects[0]
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    refused(operators, "linked from another file.*library override")
    override = armature.override_create(remap_local_usages=True)
    bpy.context.view_layer.objects.active = override
    assert operators.resample(count=1, seed=1) == {"FINISHED"}
    assert [row.action.name for row in override.motion_variations.rows] == ["walk", "walk var 01"]
    works(operators)


def test_edit_mode(operators):
    """Leaving it is all that is asked."""
    import bpy

    walker()
    bpy.ops.object.mode_set(mode="EDIT")
    refused(operators, "'walker' is in edit mode. Leave it")
    bpy.ops.object.mode_set(mode="POSE")
    assert operators.resample(count=1, seed=1) == {"FINISHED"}


def test_nothing_selected_where_only_selected_bones_may_change(operators):
    """No bone is selected."""
    armature = walker()
    for bone in armature.pose.bones:
        (bone if hasattr(bone, "select") else bone.bone).select = False
    before = contents()
    with pytest.raises(RuntimeError, match="No bone that moves is selected"):
        operators.resample(bones="SELECTED")
    assert contents() == before
    works(operators)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"frame_range": "CUSTOM", "frame_start": 30, "frame_end": 10}, "starts at 30 and ends at 10"),
        ({"frame_range": "CUSTOM", "frame_start": 300, "frame_end": 400}, "fewer than two frames.*from 1 to 48"),
        ({"frame_range": "PREVIEW"}, "no preview range"),
    ],
)
def test_ranges_that_hold_nothing(operators, settings, sentence):
    """The sentence has the range and the action's."""
    walker()
    before = contents()
    with pytest.raises(RuntimeError, match=sentence):
        operators.resample(**settings)
    assert contents() == before
    works(operators)


def test_the_source_is_deleted_while_the_backend_works(operators):
    """Nothing is written."""
    import bpy

    walker()
    start_resample()
    advance_to("Waiting for the backend")
    bpy.data.actions.remove(bpy.data.actions["walk"])
    with pytest.raises(module("session").UserError, match="isn't in the file any more"):
        finish()
    assert not bpy.data.actions
    works(operators)
