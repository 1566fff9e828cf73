"""What a user does between the clicks: edits the armature, shares it, links it, saves, updates the extension."""

import os

import numpy as np
import pytest

from tests.blender.stage import (
    PACKAGE,
    add_armature,
    add_walk,
    advance_to,
    contents,
    curves_of,
    finish,
    fresh_file,
    is_running,
    keys_of,
    module,
    refused,
    start_resample,
    walker,
)


def edit_bones(armature, change) -> None:
    """Does something to the edit bones."""
    import bpy

    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    change(armature.data.edit_bones)
    bpy.ops.object.mode_set(mode="OBJECT")


def add_tail(bones):
    """A bone that nothing keys."""
    tail = bones.new("tail")
    tail.head, tail.tail, tail.parent = (0, 0.1, 1), (0, 0.5, 1), bones["hips"]


def remove_hands(bones):
    """Two bones with keys go."""
    for name in ("hand.L", "hand.R"):
        bones.remove(bones[name])


def rename_all(bones):
    """Every bone gets a name that says nothing."""
    for number, bone in enumerate(list(bones)):
        bone.name = f"Bone.{number:03d}"


def straighten(bones):
    """The rest pose is changed."""
    bones["head"].tail = (0, -0.2, 1.7)
    bones["head"].roll = 0.7


@pytest.mark.parametrize("change", [add_tail, remove_hands, rename_all, straighten])
def test_bones_changed_after_encode(operators, change):
    """The next click reads the armature as it is now; its list stays and all can be shown and rejected."""
    armature = walker()
    operators.encode()
    operators.resample(count=1, seed=1)
    operators.show(index=0)
    edit_bones(armature, change)
    assert operators.resample(count=1, seed=1) == {"FINISHED"}
    assert len(armature.motion_variations.rows) == 3
    names = {bone.name for bone in armature.pose.bones}
    moved = {curve.data_path.split('"')[1] for curve in curves_of(armature.motion_variations.rows[2].action)}
    assert moved & names
    for line in range(3):
        operators.show(index=line)
    if change is remove_hands:
        assert "curves address bones that this armature doesn't have" in finish_one(operators)
    operators.reject()
    assert len(armature.motion_variations.rows) <= 1


def finish_one(operators) -> str:
    """Another variation; what the panel says."""
    operators.resample(count=1, seed=2)
    return module("session").message


def test_bones_changed_while_the_backend_works(operators):
    """A bone that is keyed goes before the variation is written: a sentence, and nothing is changed."""
    armature = walker()
    start_resample(count=1)
    advance_to("Waiting for the backend")
    edit_bones(armature, remove_hands)
    before = contents()
    try:
        finish()
    except module("session").UserError as error:
        assert "Encode again" in str(error) or "again" in str(error)
        assert contents() == before
    else:
        assert armature.motion_variations.rows[1].action is not None


def test_two_scenes_share_an_armature(operators, scene):
    """Each scene's own rate, frame and settings count; the list is the armature's."""
    import bpy

    armature = walker()
    operators.encode()
    assert armature.motion_variations.report.fps == pytest.approx(24)
    other = bpy.data.scenes.new("other")
    other.collection.objects.link(armature)
    other.render.fps = 30
    other.frame_set(7)
    scene.frame_set(11)
    with bpy.context.temp_override(scene=other, view_layer=other.view_layers[0]):
        bpy.context.view_layer.objects.active = armature
        bpy.context.scene.motion_variations.count = 2
        assert operators.resample(seed=1) == {"FINISHED"}
        operators.encode()
    assert armature.motion_variations.report.fps == pytest.approx(30)
    assert (scene.frame_current, other.frame_current) == (11, 7)
    assert len(armature.motion_variations.rows) == 3
    assert scene.motion_variations.count == 3
    operators.reject()
    assert armature.animation_data.action.name == "walk"


def test_a_linked_action_on_a_local_armature(operators, tmp_path):
    """It is read, and its variations are this file's own; the linked one can't be, and isn't, changed."""
    import bpy

    walker()
    bpy.data.actions["walk"].use_fake_user = True
    path = str(tmp_path / "actions.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    fresh_file()
    armature = add_armature()
    add_walk(armature, "own")
    with bpy.data.libraries.load(path, link=True) as (found, wanted):
        wanted.actions = ["walk"]
    module("timeline").assign_action(armature, wanted.actions[0])
    before = keys_of(wanted.actions[0])
    assert operators.resample(count=2, seed=1) == {"FINISHED"}
    made = [row.action for row in armature.motion_variations.rows][1:]
    assert [(action.name, action.library) for action in made] == [("walk var 01", None), ("walk var 02", None)]
    assert armature.motion_variations.rows[0].action == wanted.actions[0]
    assert keys_of(wanted.actions[0]) == before
    operators.reject()
    assert armature.animation_data.action == wanted.actions[0]


def linked_walker(tmp_path, on_track=False):
    """A library override of a walker that lies in another file."""
    import bpy

    original = walker()
    if on_track:
        action = original.animation_data.action
        original.animation_data.action = None
        original.animation_data.nla_tracks.new().strips.new("walk", 1, action)
    path = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    fresh_file()
    with bpy.data.libraries.load(path, link=True) as (found, wanted):
        wanted.objects = ["walker"]
    bpy.context.scene.collection.objects.link(wanted.objects[0])
    override = wanted.objects[0].override_create(remap_local_usages=True)
    bpy.context.view_layer.objects.active = override
    return override


def test_an_override_keeps_its_variations_in_the_file(operators, tmp_path):
    """Saved and opened again, list, shown variation and the way back are there."""
    import bpy

    linked_walker(tmp_path)
    operators.resample(count=2, seed=1)
    operators.show(index=2)
    path = str(tmp_path / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    override = next(one for one in bpy.data.objects if one.library is None and one.type == "ARMATURE")
    bpy.context.view_layer.objects.active = override
    assert [row.action.name for row in override.motion_variations.rows] == ["walk", "walk var 01", "walk var 02"]
    assert override.animation_data.action.name == "walk var 02"
    bpy.ops.motion_variations.reject()
    assert override.animation_data.action.name == "walk"
    assert override.animation_data.action.library is not None


def test_an_override_that_is_not_editable(operators, tmp_path):
    """Blender would forget what is changed on it: a sentence says how to make it editable."""
    override = linked_walker(tmp_path)
    override.override_library.is_system_override = True
    refused(operators, "'walker' is a library override that isn't editable.*Make it editable first")
    override.override_library.is_system_override = False
    assert operators.resample(count=1, seed=1) == {"FINISHED"}


def test_an_overrides_linked_strips(operators, tmp_path):
    """What comes from the other file can't be replaced: a sentence says what to do, and that works."""
    override = linked_walker(tmp_path, on_track=True)
    source = override.animation_data.nla_tracks[0].strips[0].action
    before = contents()
    with pytest.raises(RuntimeError, match="strip 'walk' comes with the linked armature.*action 'walk'"):
        operators.resample(count=1, seed=1)
    assert override.animation_data.nla_tracks[0].strips[0].action == source
    assert contents() == before
    module("timeline").assign_action(override, source)
    assert operators.resample(count=1, seed=1) == {"FINISHED"}
    assert override.animation_data.action.name == "walk var 01"


@pytest.mark.parametrize("stage", ["Reading", "Waiting for the backend", "Writing action 1", "Writing action 2"])
def test_a_file_saved_in_the_middle_of_a_job(operators, tmp_path, stage):
    """It holds what it held before the click: no half-written action, no list; the job goes on and ends well."""
    import bpy

    armature = walker(frames=400)
    bone = armature.pose.bones["head"].constraints.new("COPY_ROTATION")
    bone.target, bone.subtarget = armature, "chest"
    before = contents()
    start_resample(count=2)
    advance_to(stage)
    for _ in range(3):
        if module("session").job is not None and module("session").job.progress.text.startswith(stage):
            module("session").advance(0.0)
    path = str(tmp_path / "middle.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    finish()
    assert [row.action.name for row in armature.motion_variations.rows] == ["walk", "walk var 01", "walk var 02"]
    bpy.ops.wm.open_mainfile(filepath=path)
    bpy.context.view_layer.objects.active = bpy.data.objects["walker"]
    assert contents() == before


def install_again() -> None:
    """The same zip over the installed extension, as an update is installed."""
    import bpy

    path = os.environ["MOTION_VARIATIONS_ZIP"]
    bpy.ops.extensions.package_install_files(filepath=path, repo="user_default", enable_on_install=True)


@pytest.mark.parametrize("while_it_runs", [False, True])
def test_an_update_over_a_running_backend(operators, monkeypatch, extension, tmp_path, while_it_runs):
    """The zip is installed again while the process lives, idle or busy: none is left, the next click works."""
    import bpy

    if "MOTION_VARIATIONS_ZIP" not in os.environ:
        import build

        build.zip_folder(extension, tmp_path / "again.zip")
        monkeypatch.setenv("MOTION_VARIATIONS_ZIP", str(tmp_path / "again.zip"))
    armature = walker()
    operators.resample(count=1, seed=1)
    keys = keys_of(armature.animation_data.action)
    pid = module("connection").client().pid
    assert is_running(pid)
    if while_it_runs:
        start_resample(count=2)
        advance_to("Waiting for the backend")
        pid = module("connection").client().pid
    install_again()
    assert not is_running(pid)
    assert module("session").job is None
    assert [row.action.name for row in armature.motion_variations.rows] == ["walk", "walk var 01"]
    assert bpy.ops.motion_variations.resample(count=1, seed=1) == {"FINISHED"}
    assert keys_of(armature.animation_data.action) == keys
    assert PACKAGE in bpy.context.preferences.addons
    pose = np.array(armature.pose.bones["head"].matrix)
    assert np.isfinite(pose).all()
