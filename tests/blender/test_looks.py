"""Ghosts and heat line: they show what Blender would, are read once, and follow changes. The file stays as it is."""

import time

import numpy as np
import pytest

from tests.blender.motions import animate, blender_poses
from tests.blender.stage import add_armature, contents, curves_of, module, walker

TOLERANCE_M = 1e-5


def ghosts_of(armature, frame):
    """What is drawn at a frame."""
    import bpy

    return module("ghosts").ghosts_of(armature, bpy.context.scene.motion_variations_view, float(frame))


def blender_lines(armature, action, frame):
    """The skeleton's lines by Blender's own evaluation with another action on; the list's joints are all bones."""
    import bpy

    timeline, scene = module("timeline"), bpy.context.scene
    state = timeline.capture(armature, scene)
    timeline.assign_action(armature, action)
    names = [bone.name for bone in armature.data.bones]
    turns, heads = blender_poses(armature, names, [frame])
    world = np.array(armature.matrix_world)
    timeline.restore(state, scene)
    scale = np.cbrt(np.linalg.det(world[:3, :3]))
    tips = heads[0] + turns[0, :, :, 1] * scale * np.array([bone.length for bone in armature.data.bones])[:, None]
    lines = set()
    for row, bone in enumerate(armature.data.bones):
        if bone.parent is not None:
            lines.add((tuple(heads[0, names.index(bone.parent.name)].round(4)), tuple(heads[0, row].round(4))))
        if not bone.children:
            lines.add((tuple(heads[0, row].round(4)), tuple(tips[row].round(4))))
    return np.array(sorted(lines))


def sorted_lines(ghost):
    """A ghost's lines in an order of their own."""
    return np.array(sorted(tuple(map(tuple, line)) for line in ghost.lines.round(4).tolist()))


def test_the_ghost_is_the_sources_skeleton(operators, scene):
    """At every frame, whole or not, its lines lie where Blender has the source's bones; the variation stays shown."""
    armature = walker()
    source = armature.animation_data.action
    operators.resample(count=1, seed=1, strength=2)
    for frame in (1, 18, 30, 48):
        scene.frame_set(frame)
        before = contents()
        (ghost,) = ghosts_of(armature, frame)
        assert contents() == before
        assert np.abs(sorted_lines(ghost) - blender_lines(armature, source, frame)).max() < 2e-4


def test_the_ghost_stays_on_an_armature_that_is_moved(operators, scene):
    """Moved, turned and scaled by hand, or by a parent, the object takes its ghost along."""
    import bpy

    armature = walker()
    source = armature.animation_data.action
    operators.resample(count=1, seed=1, strength=2)
    ghosts_of(armature, 18)
    parent = bpy.data.objects.new("cart", None)
    scene.collection.objects.link(parent)
    armature.parent = parent
    parent.location = (1, -2, 0.5)
    armature.location, armature.rotation_euler, armature.scale = (3, 4, 5), (0.3, 0.2, 1.0), (0.5, 0.5, 0.5)
    bpy.context.view_layer.update()
    scene.frame_set(18)
    (ghost,) = ghosts_of(armature, 18)
    assert np.abs(sorted_lines(ghost) - blender_lines(armature, source, 18)).max() < 2e-4


def test_the_ghost_goes_where_the_action_moves_the_object(operators, scene):
    """An action that keys the object's own place takes the ghost along frame by frame."""
    armature = walker()
    for frame, place in ((1, (0, 0, 0)), (48, (4, 2, 0))):
        armature.location = place
        armature.keyframe_insert("location", frame=frame)
    scene.frame_set(5)
    source = armature.animation_data.action
    operators.resample(count=1, seed=1)
    scene.frame_set(30)
    (ghost,) = ghosts_of(armature, 30)
    assert np.abs(sorted_lines(ghost) - blender_lines(armature, source, 30)).max() < 2e-4


def test_ghosts_of_other_frames(operators, scene):
    """Before and after, of the shown action or of the source, inside the clip, paler the farther away."""
    armature = walker()
    source = armature.animation_data.action
    operators.resample(count=1, seed=1, strength=2)
    variation = armature.animation_data.action
    view = scene.motion_variations_view
    view.before, view.after, view.step = 2, 3, 5
    for around, action in (("SHOWN", variation), ("SOURCE", source)):
        view.around = around
        *others, now = ghosts_of(armature, 20)
        assert len(others) == 5
        for ghost, frame in zip(others, (10, 15, 35, 30, 25), strict=True):
            assert np.abs(sorted_lines(ghost) - blender_lines(armature, action, frame)).max() < 2e-4
        assert others[0].colour[3] < others[1].colour[3]
        assert np.abs(sorted_lines(now) - blender_lines(armature, source, 20)).max() < 2e-4
    assert len(ghosts_of(armature, 4)) == 4  # there are no frames before the first
    operators.show(index=0)
    assert len(ghosts_of(armature, 20)) == 5  # the source isn't drawn over itself
    view.around = "NONE"
    assert ghosts_of(armature, 20) == []


def test_poses_are_read_once_and_again_when_keys_change(operators, scene):
    """Two looks give the very same arrays; a changed key, shown or not, gives new ones."""
    import bpy

    armature = walker()
    source = armature.animation_data.action
    operators.resample(count=2, seed=1)
    cache, slot = module("pose_cache"), armature.motion_variations.rows[0].slot
    first = cache.poses_of(armature, source, slot)
    assert cache.poses_of(armature, source, slot) is first
    operators.show(index=2)
    assert cache.poses_of(armature, source, slot) is first  # compared, found the same
    curve = next(curve for curve in curves_of(source) if "thigh.L" in curve.data_path and curve.array_index == 1)
    curve.keyframe_points[3].co.y += 0.3
    curve.update()
    operators.show(index=1)  # the source wasn't shown while it was edited
    second = cache.poses_of(armature, source, slot)
    assert second is not first and np.abs(second.points - first.points).max() > 0.01
    operators.show(index=0)
    shown = cache.poses_of(armature, source, slot)
    curve.keyframe_points[3].co.y -= 0.3
    curve.update()
    source.update_tag()
    bpy.context.view_layer.update()
    assert not cache.is_settled(armature, source)
    assert cache.poses_of(armature, source, slot, patient=True) is shown
    third = cache.poses_of(armature, source, slot)
    assert np.abs(third.points - first.points).max() < TOLERANCE_M
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert not cache._entries


def test_a_rig_that_keys_do_not_say_is_read_on_a_click(operators, scene):
    """Constraints: no frame is set for a look; a click reads, and then ghost and heat are Blender's own."""
    armature = walker()
    source = armature.animation_data.action
    constraint = armature.pose.bones["head"].constraints.new("LIMIT_ROTATION")
    constraint.use_limit_x, constraint.max_x, constraint.owner_space = True, 0.01, "LOCAL"
    operators.resample(count=1, seed=1, strength=2)
    frame = scene.frame_current
    line = module("results").shown_row(armature)
    with pytest.raises(module("armature").MotionError, match="constraints.*Read Poses"):
        module("heat").heat_of(armature, line)
    before = contents()
    assert operators.read_poses() == {"FINISHED"}
    assert contents() == before and scene.frame_current == frame
    (ghost,) = ghosts_of(armature, 18)
    assert np.abs(sorted_lines(ghost) - blender_lines(armature, source, 18)).max() < 2e-4
    found = module("heat").heat_of(armature, line)
    assert np.abs(found.degrees - judged_heat(armature, source, line.action, found.frames)).max() < 1e-2


def judged_heat(armature, source, action, frames):
    """Mean degrees between two actions by Blender's own poses."""
    timeline = module("timeline")
    import bpy

    names = [bone.name for bone in armature.data.bones]
    state = timeline.capture(armature, bpy.context.scene)
    turns = []
    for one in (source, action):
        timeline.assign_action(armature, one)
        turns.append(blender_poses(armature, names, frames)[0])
    timeline.restore(state, bpy.context.scene)
    traces = np.einsum("tnij,tnij->tn", *turns)
    return np.degrees(np.arccos(np.clip((traces - 1) / 2, -1, 1))).mean(axis=1)


def test_heat_is_what_blender_shows(operators, scene):
    """The mean turn of the joints at each frame, judged by Blender's evaluated poses; its mean is the list's figure."""
    armature = walker()
    source = armature.animation_data.action
    operators.resample(count=1, seed=1, strength=2)
    line = module("results").shown_row(armature)
    before = contents()
    found = module("heat").heat_of(armature, line)
    assert contents() == before
    judged = judged_heat(armature, source, line.action, found.frames)
    assert judged.max() > 5
    assert np.abs(found.degrees - judged).max() < 0.05
    assert abs(found.degrees.mean() - line.change_deg) < 0.05
    assert module("heat").heat_of(armature, line) is found
    whole = np.average([part.degrees for part in found.regions], axis=0, weights=joint_counts(armature, source))
    assert np.abs(whole - found.degrees).max() < 1e-3


def joint_counts(armature, source):
    """Joints of each region."""
    poses = module("pose_cache").poses_of(armature, source, armature.motion_variations.rows[0].slot)
    regions = module("heat").body_regions(poses)
    assert sorted(np.concatenate(regions)) == list(range(len(poses.joints)))
    names = [{poses.joints[joint] for joint in region} for region in regions]
    for limb in ({"arm.L", "hand.L"}, {"thigh.R", "shin.R", "foot.R"}):
        assert limb in names
    return [len(region) for region in regions]


def test_heat_of_sparse_keys_is_measured_at_the_sources_frames(operators, scene):
    """A variation with keys only where the source has them is compared frame by frame all the same."""
    armature = walker()
    source = armature.animation_data.action
    operators.resample(count=1, seed=1, strength=2, keys="SOURCE_KEYS")
    line = module("results").shown_row(armature)
    found = module("heat").heat_of(armature, line)
    assert len(found.frames) == 48
    assert np.abs(found.degrees - judged_heat(armature, source, line.action, found.frames)).max() < 0.05


def test_the_picture_shows_time_and_the_current_frame(operators, scene):
    """Where the change is large the column is tall and hot; the mark stands at the frame."""
    armature = walker()
    operators.resample(count=1, seed=1, strength=2)
    heat = module("heat")
    found = heat.heat_of(armature, module("results").shown_row(armature))
    rows = heat.LINE_ROWS + len(found.regions)
    picture = heat.paint(found, 24.0, rows)
    side = rows * heat.ROW_PX
    assert picture.shape == (side, side, 4) and picture.dtype == np.float32
    assert (picture >= 0).all() and (picture <= 1).all() and (picture[..., 3] == 1).all()
    marked = np.flatnonzero((picture[..., :3] == np.float32(heat.MARK)).all(axis=(0, 2)))
    assert len(marked) == 2 and abs(marked[0] / side - 23 / 47) < 0.02
    line = picture[side - heat.LINE_ROWS * heat.ROW_PX + 3 :]
    filled = (line[..., :3] != np.float32(heat.GROUND)).any(axis=-1).sum(axis=0)
    columns = np.interp(np.linspace(1, 48, side), found.frames, found.degrees)
    rest = np.setdiff1d(np.arange(side), marked)
    assert np.corrcoef(filled[rest], columns[rest])[0, 1] > 0.97


def test_heat_of_a_long_rig_is_cheap(scene):
    """300 frames of 141 bones: both actions read and compared in a small part of a second."""
    count = 141
    bones = [("b0", None, (0, 0, 0), (0, 0, 0.1))]
    for number in range(1, count):
        parent = (number - 1) // 2
        bones.append((f"b{number}", f"b{parent}", (number * 0.1, 0, 0), (number * 0.1, 0, 0.1)))
    armature = add_armature("long", bones)
    source = animate(armature, frames=(1, 300), interpolation="LINEAR", moving=())
    module_ = module("heat")
    every = np.arange(1, 301, dtype=np.float32)
    rng = np.random.default_rng(2)
    for curve in curves_of(source):
        curve.keyframe_points.add(298)
        values = np.stack((every, rng.uniform(0.4, 0.6, 300).astype(np.float32)), axis=1)
        curve.keyframe_points.foreach_set("co", values.ravel())
        curve.update()
    other = source.copy()
    for curve in curves_of(other):
        curve.keyframe_points[100].co.y += 0.1
        curve.update()
    timeline = module("timeline")
    slot = timeline.find_slot(armature, source)
    poses_from_keys = module("timeline.poses").poses_from_keys
    known = poses_from_keys(armature, source, slot)
    best_s = np.inf
    for _ in range(5):
        started_s = time.process_time()
        shown = poses_from_keys(armature, other, timeline.find_slot(armature, other), known)
        found = module_.measure(known, shown)
        best_s = min(best_s, time.process_time() - started_s)
    print(f"heat of 300 frames, {count} bones: {1000 * best_s:.0f} ms")
    assert found.degrees.argmax() == 100
    assert best_s < 0.1  # 35 ms of a development machine


def test_ghosts_are_drawn_only_while_a_scene_wants_them(operators, scene):
    """The draw handler comes and goes with the setting, with undo's other state and with the file."""
    import bpy

    ghosts = module("ghosts")
    assert not ghosts.is_drawing()
    assert operators.ghosts() == {"FINISHED"} and ghosts.is_drawing()
    operators.ghosts(show="ON")
    assert scene.motion_variations_view.ghosts
    operators.ghosts(show="OFF")
    assert not ghosts.is_drawing()
    operators.ghosts()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert not ghosts.is_drawing()


def test_nothing_is_left_when_the_extension_is_disabled(operators, scene):
    """Neither a draw handler nor one of Blender's events, nor a setting on scenes."""
    import addon_utils
    import bpy

    armature = walker()
    operators.resample(count=1, seed=1)
    scene.motion_variations_view.ghosts = True
    ghosts_of(armature, 10)
    ghosts, name = module("ghosts"), module("ghosts").__package__
    try:
        addon_utils.disable(name)
        assert not ghosts.is_drawing()
        events = (getattr(bpy.app.handlers, event) for event in dir(bpy.app.handlers) if event[0].islower())
        left = [one for found in events if isinstance(found, list) for one in found if name in one.__module__]
        assert left == []
        assert not hasattr(bpy.types.Scene, "motion_variations_view")
    finally:
        addon_utils.enable(name, default_set=True)


def test_flip_goes_round(operators):
    """Next and previous go through source and variations, and from the last line to the first."""
    armature = walker()
    operators.resample(count=2, seed=1)
    shown = []
    for offset in (1, 1, 1, -1, -2):
        operators.flip(offset=offset)
        shown.append(armature.animation_data.action.name)
    assert shown == ["walk var 02", "walk", "walk var 01", "walk", "walk var 01"]
