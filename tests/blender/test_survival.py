"""What the list lives through: save, append, duplicates, undo, renaming, deleting, editing, linking, two scenes."""

import pytest

from tests.blender.stage import add_walk, curves_of, keys_of, module, walker
from tests.blender.test_between_clicks import linked_walker


def scaled(operators):
    """An armature that shows half of a variation's change; its action, and the keys at full strength."""
    armature = walker()
    operators.resample(count=2, seed=5)
    full = keys_of(armature.animation_data.action)
    operators.scale(amount=0.5)
    return armature, armature.animation_data.action, full


def test_the_full_strength_survives_save_and_load(operators, tmp_path):
    """The hidden action is saved with the line that owns it, and not made twice."""
    import bpy

    _, action, full = scaled(operators)
    half = keys_of(action)
    path = str(tmp_path / "walk.blend")
    for _ in range(2):
        bpy.ops.wm.save_as_mainfile(filepath=path)
        bpy.ops.wm.open_mainfile(filepath=path)
    action = bpy.data.actions["walk var 01"]
    assert sorted(bpy.data.actions.keys()) == [".walk var 01", "walk", "walk var 01", "walk var 02"]
    assert keys_of(action) == half and action.motion_variations.amount == 0.5
    bpy.context.view_layer.objects.active = bpy.data.objects["walker"]
    operators.scale(amount=1.0)
    assert keys_of(action) == full


def test_the_full_strength_comes_along_when_the_armature_is_appended(operators, tmp_path):
    """Also into a file that has actions of the same names."""
    import bpy

    _, _, full = scaled(operators)
    path = str(tmp_path / "walk.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.data.actions.new("walk var 01").use_fake_user = True
    with bpy.data.libraries.load(path) as (found, wanted):
        wanted.objects = ["walker"]
    armature = wanted.objects[0]
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    rows = armature.motion_variations.rows
    assert [row.title for row in rows] == ["walk", "walk var 01.001", "walk var 02"]
    assert armature.animation_data.action == rows[1].action
    operators.scale(amount=1.0)
    assert keys_of(rows[1].action) == full
    operators.reject()
    assert sorted(bpy.data.actions.keys()) == ["walk", "walk var 01"]


def test_undo_takes_back_one_move_of_the_slider(operators):
    """And redo brings it back, with the hidden action; the click itself can be undone as well."""
    import bpy

    armature = walker()
    bpy.ops.ed.undo_push(message="walker")
    operators.resample(count=1, seed=5)
    bpy.ops.ed.undo_push(message="resample")
    full = keys_of(armature.animation_data.action)
    operators.scale(amount=0.5)
    half = keys_of(armature.animation_data.action)
    bpy.ops.ed.undo_push(message="scale")
    operators.scale(amount=2.0)
    double = keys_of(armature.animation_data.action)
    bpy.ops.ed.undo_push(message="scale")
    shown = [(half, 0.5), (full, 1.0)]
    for keys, amount in shown:
        bpy.ops.ed.undo()
        action = bpy.data.actions["walk var 01"]
        assert keys_of(action) == keys and action.motion_variations.amount == amount
    assert sorted(bpy.data.actions.keys()) == ["walk", "walk var 01"]
    bpy.ops.ed.redo()
    bpy.ops.ed.redo()
    action = bpy.data.actions["walk var 01"]
    assert keys_of(action) == double
    operators.scale(amount=1.0)
    assert keys_of(action) == full
    for _ in range(3):
        bpy.ops.ed.undo()
    assert bpy.data.actions.keys() == ["walk"]
    assert len(bpy.data.objects["walker"].motion_variations.rows) == 0


def test_a_duplicated_armature_shares_what_is_shared(operators):
    """Two armatures list the same action: scaled at one it is scaled, and known to be, at the other."""
    import bpy

    armature, action, full = scaled(operators)
    twin = armature.copy()
    bpy.context.scene.collection.objects.link(twin)
    bpy.context.view_layer.objects.active = twin
    operators.scale(amount=2.0)
    assert module("strength").is_edited(armature.motion_variations.rows[1]) is False
    bpy.context.view_layer.objects.active = armature
    operators.scale(amount=1.0)
    assert keys_of(action) == full
    assert len([one for one in bpy.data.actions if one.name.startswith(".")]) == 1
    bpy.context.view_layer.objects.active = twin
    operators.reject()
    assert bpy.data.actions.keys() == ["walk"]
    assert armature.animation_data.action == twin.animation_data.action == bpy.data.actions["walk"]


def test_renaming_everything_breaks_nothing(operators):
    """Armature, source, variation, a bone's slot: the list holds on to things, not to names."""
    armature, action, full = scaled(operators)
    armature.name, armature.data.name = "hero", "hero rig"
    armature.motion_variations.rows[0].action.name = "base"
    action.name = "take"
    operators.scale(amount=1.5)
    operators.scale(amount=1.0)
    assert keys_of(action) == full
    operators.resample(count=1, seed=9)
    assert armature.animation_data.action.name == "base var 01"
    if hasattr(action, "slots"):
        armature.motion_variations.rows[0].action.slots[0].name_display = "other"
        operators.show(index=1)
        operators.scale(amount=0.5)
        operators.scale(amount=1.0)
        assert keys_of(action) == full


def test_deleted_by_hand_it_leaves_no_trace(operators, tmp_path):
    """The line goes with the next click, the hidden action with the next save."""
    import bpy

    armature, action, _ = scaled(operators)
    bpy.data.actions.remove(action)
    assert len(module("results").listed(armature)) == 0  # nothing is shown now, and nothing is wrong
    module("timeline").assign_action(armature, bpy.data.actions["walk"])
    assert len(module("results").listed(armature)) == 2
    operators.resample(count=1, seed=9)
    assert len(armature.motion_variations.rows) == 3
    path = str(tmp_path / "walk.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert not [one for one in bpy.data.actions if one.name.startswith(".")]


def test_a_hidden_action_deleted_by_hand_loses_only_the_way_back(operators):
    """What is shown stays, and isn't scaled from something else."""
    import bpy

    _, action, _ = scaled(operators)
    half = keys_of(action)
    bpy.data.actions.remove(bpy.data.actions[".walk var 01"])
    with pytest.raises(RuntimeError, match="were made are gone"):
        operators.scale(amount=1.0)
    assert keys_of(action) == half
    operators.keep_edits()
    operators.scale(amount=0.25)
    operators.scale(amount=1.0)
    assert keys_of(action) == half


def test_an_edited_source_is_said(operators):
    """After Encode; encoding again makes it good. The next variations have the edit."""
    armature = walker()
    operators.encode()
    report = module("report")
    assert report.outdated_reason(armature, scene_of()) == ""
    curve = curves_of(armature.animation_data.action)[1]
    curve.keyframe_points[3].co.y += 0.2
    curve.update()
    module("strength")._seen.clear()  # half a second later
    assert "edited after Encode" in report.outdated_reason(armature, scene_of())
    operators.encode()
    assert report.outdated_reason(armature, scene_of()) == ""


def test_another_frame_rate_or_skeleton_is_said(operators):
    """The scene's rate says how fast the motion is; bones say what the model saw."""
    import bpy

    armature = walker()
    operators.encode()
    scene_of().render.fps = 48
    assert "48" in module("report").outdated_reason(armature, scene_of())
    assert operators.resample(count=1, seed=1) == {"FINISHED"}
    operators.scale(amount=0.5)
    operators.encode()
    assert module("report").outdated_reason(armature, scene_of()) == ""
    bpy.ops.object.mode_set(mode="EDIT")
    armature.data.edit_bones.remove(armature.data.edit_bones["hand.L"])
    bpy.ops.object.mode_set(mode="OBJECT")
    assert "13 bones" in module("report").outdated_reason(armature, scene_of())
    operators.scale(amount=1.0)
    operators.reject()
    assert bpy.data.actions.keys() == ["walk"]


def test_two_scenes_share_one_list(operators):
    """Shown, scaled and rejected in the other scene: the same armature, the same list, that scene's own frame."""
    import bpy

    armature, action, full = scaled(operators)
    first, second = bpy.context.scene, bpy.data.scenes.new("second")
    second.collection.objects.link(armature)
    second.frame_set(12)
    bpy.context.window.scene = second
    bpy.context.view_layer.objects.active = armature
    operators.show(index=2)
    operators.show(index=1)
    operators.scale(amount=1.0)
    assert keys_of(action) == full
    operators.reject()
    assert (second.frame_current, first.frame_current) == (12, 1)
    assert bpy.data.actions.keys() == ["walk"] and armature.animation_data.action.name == "walk"


def test_a_linked_variation_is_left_alone(operators, tmp_path):
    """Its keys can't change here, so the slider says what to do; it can be shown, and its line deleted."""
    import bpy

    _, action, _ = scaled(operators)
    path = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (found, wanted):
        wanted.actions = ["walk", "walk var 01"]
    source, variation = wanted.actions
    armature = walker()
    add_walk(armature, "own")
    slot = module("timeline").find_slot(armature, source)
    slot = slot.identifier if slot is not None else ""
    module("timeline").assign_action(armature, source, slot)
    results = module("results")
    results.ensure_source_row(armature, source, slot)
    row = armature.motion_variations.rows.add()
    row.kind, row.action, row.source, row.slot = "VARIATION", variation, source, slot
    keys = keys_of(variation)
    for click in (lambda: operators.scale(index=1, amount=0.2), lambda: operators.keep_edits(index=1)):
        with pytest.raises(RuntimeError, match="linked from another file"):
            click()
    with pytest.raises(RuntimeError, match="linked from another file"):
        operators.rename(index=1, name="mine")
    operators.show(index=1)
    assert armature.animation_data.action == variation and keys_of(variation) == keys
    operators.delete()
    assert armature.animation_data.action == source and variation.name in bpy.data.actions


def test_a_linked_source_can_be_varied_and_scaled(operators, tmp_path):
    """Variations are local actions; the source is only read."""
    import bpy

    walker()
    path = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (found, wanted):
        wanted.actions = ["walk"]
    armature = walker()
    bpy.data.actions.remove(armature.animation_data.action)
    module("timeline").assign_action(armature, wanted.actions[0])
    operators.resample(count=1, seed=3)
    action = armature.animation_data.action
    full = keys_of(action)
    assert action.library is None
    operators.scale(amount=0.0)
    operators.scale(amount=1.0)
    assert keys_of(action) == full
    operators.reject()
    assert armature.animation_data.action == wanted.actions[0]


def test_an_override_keeps_the_full_strength(operators, tmp_path):
    """A linked armature with a library override: its list and the hidden keys are this file's."""
    import bpy

    override = linked_walker(tmp_path)
    operators.resample(count=1, seed=1)
    full = keys_of(override.animation_data.action)
    operators.star()
    operators.scale(amount=0.5)
    path = str(tmp_path / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    override = next(one for one in bpy.data.objects if one.library is None and one.type == "ARMATURE")
    bpy.context.view_layer.objects.active = override
    assert override.motion_variations.rows[1].star
    operators.scale(amount=1.0)
    assert keys_of(override.animation_data.action) == full
    operators.reject()
    assert override.animation_data.action.name == "walk" and len(override.motion_variations.rows) == 0


def scene_of():
    """The scene."""
    import bpy

    return bpy.context.scene
