"""The list of an armature: show, delete, accept, reject; what survives; what it copes with."""

import numpy as np
import pytest

from tests.blender.stage import contents, keys_of, module, walker


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


def test_a_line_that_cannot_be_shown_says_so(operators):
    """While an NLA strip is tweaked Blender takes no other action: buttons and lines give the reason."""
    armature = walker()
    operators.resample(count=2, seed=1)
    data = armature.animation_data
    variation = data.action
    data.nla_tracks.new().strips.new("strip", 1, armature.motion_variations.rows[2].action)
    data.nla_tracks[0].select = data.nla_tracks[0].strips[0].select = True
    data.nla_tracks.active = data.nla_tracks[0]
    data.use_tweak_mode = True
    assert data.use_tweak_mode
    with pytest.raises(RuntimeError, match="tweak"):
        operators.show(index=0)
    armature.motion_variations.active_index = 0
    session = module("session")
    assert session.message_is_error and "tweak mode" in session.message
    data.use_tweak_mode = False
    assert data.action == variation
    operators.show(index=0)
    assert data.action.name == "walk"


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
    walker()
    scene.frame_set(7)
    before = contents()
    operators.resample(count=3, seed=2)
    operators.scale(amount=0.5)
    operators.reject()
    assert contents() == before


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


def pose(armature) -> np.ndarray:
    """The pose bones' matrices as they are shown."""
    import bpy

    evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array([bone.matrix for bone in evaluated.pose.bones])
