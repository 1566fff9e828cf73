"""Actions with several slots: the armature's own is read and varied; the others are copied as they are."""

import numpy as np
import pytest

from tests.blender.motions import SHARED, load
from tests.blender.stage import add_armature, add_walk, keys_of, module, walker

pytestmark = pytest.mark.newer


def slot_keys(action, slot) -> dict:
    """Every number of one slot's keys."""
    found = {}
    for curve in module("timeline").curve_collection(action, slot):
        numbers = np.empty(2 * len(curve.keyframe_points), dtype=np.float32)
        curve.keyframe_points.foreach_get("co", numbers)
        found[curve.data_path, curve.array_index] = numbers.tobytes()
    return found


def by_identifier(action, identifier):
    """The slot of that identifier."""
    return next(slot for slot in action.slots if slot.identifier == identifier)


def pair():
    """Two armatures whose walks lie in one action, a slot each; both selected, the second active."""
    first, second = add_armature("first"), add_armature("second")
    action = add_walk(first, "both")
    own = add_walk(second, "other", frames=32)
    slot = action.slots.new(id_type="OBJECT", name="second")
    bag = action.layers[0].strips[0].channelbag(slot, ensure=True)
    for curve in module("timeline").curve_collection(own, second.animation_data.action_slot):
        copy = bag.fcurves.new(curve.data_path, index=curve.array_index)
        for key in curve.keyframe_points:
            copy.keyframe_points.insert(*key.co)
    module("timeline").assign_action(second, action, slot)
    first.select_set(True)
    return first, second, action


def test_two_armatures_in_one_action_are_varied_in_their_own_slots(operators):
    """Each variation changes its armature's slot; the other's is copied untouched, and the source stays shared."""
    first, second, action = pair()
    before = keys_of(action)
    slots = {one.name: one.animation_data.action_slot.identifier for one in (first, second)}
    assert operators.resample(all_selected=True, count=1, seed=1) == {"FINISHED"}
    for armature, other in ((first, second), (second, first)):
        variation = armature.animation_data.action
        assert variation != action and armature.animation_data.action_slot.identifier == slots[armature.name]
        own, others = (
            [slot_keys(one, by_identifier(one, slots[name])) for one in (variation, action)]
            for name in (armature.name, other.name)
        )
        assert own[0] != own[1]
        assert others[0] == others[1]
        assert [row.slot for row in armature.motion_variations.rows] == [slots[armature.name]] * 2
    operators.reject()
    assert second.animation_data.action == action
    assert second.animation_data.action_slot.identifier == slots["second"]
    assert first.animation_data.action.name != "both"
    assert keys_of(action) == before


def test_shape_keys_in_the_armatures_action_stay_on_the_source(operators, scene):
    """Armature and shape keys of its mesh in one action: the variation moves the armature alone."""
    import bpy

    armature = walker()
    action = armature.animation_data.action
    mesh = bpy.data.objects.new("skin", bpy.data.meshes.new("skin"))
    mesh.data.from_pydata([(0, 0, 0), (0, 0, 1), (0, 1, 0)], [], [(0, 1, 2)])
    scene.collection.objects.link(mesh)
    mesh.shape_key_add(name="Basis")
    smile = mesh.shape_key_add(name="smile")
    keys = mesh.data.shape_keys
    keys.animation_data_create().action = action
    keys.animation_data.action_slot = action.slots.new(id_type="KEY", name="face")
    for frame, value in ((1, 0.0), (20, 0.7)):
        smile.value = value
        smile.keyframe_insert("value", frame=frame)
    before = keys_of(action)
    bpy.context.view_layer.objects.active = armature
    operators.resample(count=1, seed=1)
    variation = armature.animation_data.action
    assert variation != action and keys.animation_data.action == action
    assert slot_keys(variation, by_identifier(variation, "KEface")) == slot_keys(
        action, by_identifier(action, "KEface")
    )
    assert len(slot_keys(action, by_identifier(action, "KEface"))) == 1
    scene.frame_set(20)
    assert smile.value == pytest.approx(0.7)
    operators.reject()
    assert keys_of(action) == before
    assert (keys.animation_data.action, armature.animation_data.action) == (action, action)


def test_a_slot_that_was_renamed_is_found_again(operators):
    """The user renames the slots of source and variation between two clicks: both can still be shown and varied."""
    armature = walker()
    operators.resample(count=1, seed=1)
    for row in armature.motion_variations.rows:
        row.action.slots[0].name_display = "hero"
    operators.show(index=0)
    assert armature.animation_data.action_slot is not None
    operators.show(index=1)
    assert armature.animation_data.action_slot.name_display == "hero"
    assert operators.resample(count=1, seed=2) == {"FINISHED"}


def test_a_strip_plays_its_own_slot(operators):
    """An NLA strip of an action with two slots: its slot is read, and the variation plays in the same one."""
    first, second, action = pair()
    slot = second.animation_data.action_slot
    second.animation_data.action = None
    track = second.animation_data.nla_tracks.new()
    strip = track.strips.new("clip", 1, action)
    strip.action_slot = slot
    operators.resample(count=1, seed=1)
    assert strip.action.name == "both var 01"
    assert strip.action_slot.identifier == slot.identifier
    others = [
        slot_keys(one, by_identifier(one, first.animation_data.action_slot.identifier))
        for one in (strip.action, action)
    ]
    assert others[0] == others[1]
    operators.reject()
    assert (strip.action, strip.action_slot) == (action, slot)


@pytest.mark.parametrize(
    "name", ["control_rigs/m2m_bird_control.blend", "formats/blend_one_action_two_slots_two_armatures.blend"]
)
def test_files_with_several_slots(operators, name):
    """A control rig whose actions have an empty first slot; two armatures in one action."""
    import bpy

    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} isn't there")
    armatures = [one for one in load(SHARED / name) if one.animation_data and one.animation_data.action]
    assert armatures
    for armature in armatures:
        bpy.context.view_layer.objects.active = armature
        source, slot = armature.animation_data.action, armature.animation_data.action_slot.identifier
        before = keys_of(source)
        assert bpy.ops.motion_variations.resample(count=1, seed=1) == {"FINISHED"}
        shown = armature.animation_data
        assert shown.action != source and shown.action_slot.identifier == slot
        for other in source.slots:
            same = slot_keys(shown.action, by_identifier(shown.action, other.identifier)) == slot_keys(source, other)
            assert same == (other.identifier != slot)
        assert keys_of(source) == before
