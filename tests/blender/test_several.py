"""Several armatures selected: one click, one job, one list each; what can't be done is named and the others go on."""

import time

import pytest

from tests.blender.stage import (
    add_armature,
    add_walk,
    advance_to,
    contents,
    curves_of,
    finish,
    keys_of,
    module,
    start_resample,
)

NAMES = ("ann", "bob", "cy")


def crowd(names=NAMES) -> list:
    """Armatures that walk, all selected, the last one active."""
    found = []
    for name in names:
        armature = add_armature(name)
        add_walk(armature, name=f"{name} walk")
        found.append(armature)
    for armature in found:
        armature.select_set(True)
    return found


def lists(armatures) -> list[list[str]]:
    """The actions in each list."""
    return [[row.action.name for row in armature.motion_variations.rows] for armature in armatures]


def test_a_click_makes_variations_of_every_selected_armature(operators):
    """Each has its own list, and shows its own first variation."""
    armatures = crowd()
    sources = {armature.name: keys_of(armature.animation_data.action) for armature in armatures}
    assert operators.resample(all_selected=True, count=2, seed=3) == {"FINISHED"}
    assert lists(armatures) == [[f"{name} walk", f"{name} walk var 01", f"{name} walk var 02"] for name in NAMES]
    for armature in armatures:
        assert armature.animation_data.action.name == f"{armature.name} walk var 01"
        assert keys_of(armature.motion_variations.rows[0].action) == sources[armature.name]
    assert all(f"'{name}': 2 variations" in module("session").message for name in NAMES)


def test_together_they_are_varied_as_each_would_be_alone(operators):
    """The same keys as from a click on one armature with the same seed."""
    import bpy

    armatures = crowd()
    operators.resample(all_selected=True, count=1, seed=5)
    together = [keys_of(armature.animation_data.action) for armature in armatures]
    for armature, keys in zip(armatures, together, strict=True):
        bpy.context.view_layer.objects.active = armature
        operators.resample(count=1, seed=5)
        assert keys_of(armature.animation_data.action) == keys


def test_a_script_varies_the_active_one_alone(operators):
    """So that a loop over armatures doesn't do each of them many times."""
    armatures = crowd()
    operators.resample(count=1, seed=1)
    assert [len(one) for one in lists(armatures)] == [0, 0, 2]
    operators.encode()
    assert [one.motion_variations.report.frames for one in armatures] == [0, 0, 48]
    operators.encode(all_selected=True)
    assert [one.motion_variations.report.frames for one in armatures] == [48, 48, 48]


def test_one_action_for_all_gives_names_of_their_own(operators):
    """Armatures that share their action get variations with names that are counted on, the active one first."""
    armatures = crowd()
    shared = armatures[0].animation_data.action
    for armature in armatures:
        module("timeline").assign_action(armature, shared)
    operators.resample(all_selected=True, count=1, seed=1)
    assert lists(armatures) == [["ann walk", f"ann walk var 0{number}"] for number in (2, 3, 1)]


def test_one_that_cannot_be_done_is_named_and_the_others_go_on(operators):
    """One has no action, one no keys on its bones; the third gets its variation."""
    armatures = crowd()
    armatures[1].animation_data.action = None
    armatures[2].animation_data.action.name = "still"
    for curve in curves_of(armatures[2].animation_data.action):
        curve.mute = True
    assert operators.resample(all_selected=True, count=1, seed=1) == {"FINISHED"}
    assert [len(one) for one in lists(armatures)] == [2, 0, 0]
    message = module("session").message
    assert "'ann': 1 variation" in message
    assert "'bob' was left out: 'bob' has no action" in message
    assert "'cy' was left out: All bone channels of 'still' are muted" in message


def test_the_active_one_may_be_the_one_that_cannot(operators):
    """A click does the others; a script, which means the active one, is told why not."""
    armatures = crowd()
    armatures[2].animation_data.action = None
    before = contents()
    with pytest.raises(RuntimeError, match="'cy' has no action"):
        operators.resample(count=1)
    assert contents() == before
    assert operators.resample(all_selected=True, count=1) == {"FINISHED"}
    assert [len(one) for one in lists(armatures)] == [2, 2, 0]


def test_none_that_can_be_done_changes_nothing(operators):
    """All are named."""
    armatures = crowd()
    for armature in armatures:
        for curve in curves_of(armature.animation_data.action):
            curve.mute = True
    before = contents()
    with pytest.raises(RuntimeError, match="'cy' was left out.*'ann' was left out.*'bob' was left out"):
        operators.resample(all_selected=True, count=1)
    assert contents() == before


@pytest.mark.parametrize("stage", ["ann: Reading", "bob: Variation 1", "cy: Writing", "bob: Writing action 2"])
def test_cancelled_before_the_end_nothing_is_changed(operators, stage):
    """Not even where one armature's variations are written already."""
    armatures = crowd()
    before = contents()
    start_resample(count=2, armatures=armatures)
    advance_to(stage)
    module("session").stop()
    with pytest.raises(module("session").Cancelled):
        finish()
    assert contents() == before


def test_nothing_is_changed_before_all_are_computed(operators):
    """What the user does meanwhile isn't mixed up with it; the progress goes up over all armatures."""
    armatures = crowd()
    before = contents()
    start_resample(count=1, armatures=armatures)
    session, fractions, end = module("session"), [], time.monotonic() + 60
    while session.advance(0.0) is None:
        if not session.job.progress.exclusive:
            assert contents() == before
        fractions.append(session.job.progress.fraction)
        assert time.monotonic() < end
    assert len(fractions) > 10 and fractions == sorted(fractions)
    assert contents() != before


def test_a_mesh_stands_for_its_armature_and_a_camera_for_nothing(operators):
    """Two armatures, one by the mesh that it deforms; a camera that is selected too is not counted."""
    import bpy

    ann, bob = crowd(("ann", "bob"))
    mesh = bpy.data.objects.new("skin", bpy.data.meshes.new("skin"))
    camera = bpy.data.objects.new("eye", bpy.data.cameras.new("eye"))
    for thing in (mesh, camera):
        bpy.context.scene.collection.objects.link(thing)
        thing.select_set(True)
    mesh.modifiers.new("Armature", "ARMATURE").object = ann
    ann.select_set(False)
    bpy.context.view_layer.objects.active = camera
    assert operators.resample(all_selected=True, count=1, seed=1) == {"FINISHED"}
    assert [len(one) for one in lists([ann, bob])] == [2, 2]
    assert "eye" not in module("session").message


def test_the_empty_above_a_character_stands_for_its_only_armature():
    """Importers leave it active; with two armatures below, the user has to say which."""
    import bpy

    results = module("results")
    armature, other = add_armature("wolf"), add_armature("cub")
    empty = bpy.data.objects.new("root", None)
    bpy.context.scene.collection.objects.link(empty)
    armature.parent = empty
    bpy.context.view_layer.objects.active = empty
    assert results.armature_of(bpy.context) == armature
    other.parent = armature
    assert results.armature_of(bpy.context) == empty
