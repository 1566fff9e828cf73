"""What the round-trip tests stand on: real files, Blender's own poses as the judge, a change that is known."""

import tarfile
from pathlib import Path

import numpy as np

from tests.blender import stage

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
TO_DEGREES, TO_HEIGHTS = 1e-3, 1e-5
MAX_JUDGED = 400  # frames of a long clip that Blender is asked for
CHANGE_RAD, CHANGE_HEIGHTS = 0.1, 0.03


def backend(name: str):
    """A module of the extension's own backend."""
    return stage.module(f"backend.{name}")


def shared_files(*patterns) -> list[str]:
    """Paths below the shared data, as the ids of tests; [""] where there are none: that one says why it's skipped."""
    found = sorted(str(path.relative_to(SHARED)) for pattern in patterns for path in SHARED.glob(pattern))
    return found or [""]


def unpack_clips(archive: Path, folder: Path, count: int) -> list[Path]:
    """The first BVH files of an archive."""
    clips = []
    with tarfile.open(archive, "r|xz") as stream:
        for member in stream:
            if member.name.endswith(".bvh"):
                path = folder / f"{archive.name.split('.')[0]}_{Path(member.name).name}"
                path.write_bytes(stream.extractfile(member).read())
                clips.append(path)
                if len(clips) == count:
                    break
    return clips


def load(path) -> list:
    """Imports or opens a file with Blender's own importers; gives its armatures."""
    import addon_utils
    import bpy

    path = str(path)
    kind = path.rsplit(".", 1)[1]
    if kind == "blend":
        bpy.ops.wm.open_mainfile(filepath=path)
    elif kind == "bvh":
        addon_utils.enable("io_anim_bvh")
        bpy.ops.import_anim.bvh(filepath=path, update_scene_fps=True, update_scene_duration=True)
    elif kind == "fbx":
        if bpy.app.version >= (4, 5):
            bpy.ops.wm.fbx_import(filepath=path)
        else:
            addon_utils.enable("io_scene_fbx")
            bpy.ops.import_scene.fbx(filepath=path)
    else:
        addon_utils.enable("io_scene_gltf2")
        bpy.ops.import_scene.gltf(filepath=path)
    return [thing for thing in bpy.data.objects if thing.type == "ARMATURE"]


def _rotation(linear):
    """The rotation nearest to a matrix that may scale and shear; a mirroring one turned over."""
    u, _, v = np.linalg.svd(linear)
    turn = u @ v
    return turn * np.sign(np.linalg.det(turn))[..., None, None]


def blender_poses(armature, names, frames):
    """Blender's evaluated poses: world rotations `[T, N, 3, 3]` (without scale) and heads `[T, N, 3]`."""
    import bpy

    scene = bpy.context.scene
    row_of = {bone.name: row for row, bone in enumerate(armature.pose.bones)}
    rows = [row_of[name] for name in names]
    turns, heads = np.empty((len(frames), len(rows), 3, 3)), np.empty((len(frames), len(rows), 3))
    buffer = np.empty(16 * len(row_of), dtype=np.float32)
    for at, frame in enumerate(frames):
        whole = int(np.floor(frame))
        scene.frame_set(whole, subframe=float(frame - whole))
        evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
        evaluated.pose.bones.foreach_get("matrix", buffer)
        pose = buffer.reshape(-1, 4, 4).swapaxes(1, 2)[rows].astype(np.float64)
        world = np.array(evaluated.matrix_world)
        turns[at] = _rotation(world[:3, :3]) @ _rotation(pose[:, :3, :3])
        hidden = np.linalg.norm(pose[:, :3, :3], axis=1).min(axis=-1) < 1e-6  # scaled to nothing: no rotation
        turns[at, hidden] = np.nan
        heads[at] = pose[:, :3, 3] @ world[:3, :3].T + world[:3, 3]
    return turns, heads


def angles_deg(turns, quaternions):
    """Degrees between matrices and quaternions."""
    rotations = backend("rotations")
    found = rotations.matrix_to_quaternion(turns)
    degrees = np.degrees(rotations.quaternion_angle(found, np.asarray(quaternions, np.float64)))
    return degrees[~np.isnan(turns).any(axis=(-1, -2))]


def judged_rows(reading) -> np.ndarray:
    """All rows, or MAX_JUDGED of them with both ends."""
    count = len(reading.frames)
    return np.unique(np.linspace(0, count - 1, min(count, MAX_JUDGED)).astype(int))


def height_of(reading) -> float:
    """The skeleton's height in metres."""
    skeleton = backend("skeleton")
    return skeleton.tree_height(reading.choice.parents, skeleton.rest_offsets(reading.motion.skeleton))


def assert_read(armature, reading) -> None:
    """What was read is what Blender shows: every bone, and the motion's joints."""
    rows = judged_rows(reading)
    turns, heads = blender_poses(armature, reading.bones, reading.frames[rows])
    joints, height = reading.choice.bones, height_of(reading)
    positions = backend("motion").joint_positions(reading.motion)[rows]
    assert angles_deg(turns, reading.rotations[rows]).max() < TO_DEGREES
    assert angles_deg(turns[:, joints], reading.motion.rotations[rows]).max() < TO_DEGREES
    assert np.abs(heads - reading.heads[rows]).max() < TO_HEIGHTS * height
    assert np.abs(heads[:, joints] - positions).max() < TO_HEIGHTS * height


def assert_shows(armature, reading, change, written, rows=None) -> None:
    """The new action, played by Blender, is the motion with the change on it."""
    timeline = stage.module("timeline")
    before = timeline.assigned_action(armature)
    timeline.assign_action(armature, written.action, written.slot)
    rows = judged_rows(reading) if rows is None else rows
    names = [reading.bones[bone] for bone in reading.choice.bones]
    turns, heads = blender_poses(armature, names, reading.frames[rows])
    timeline.assign_action(armature, *before)
    wanted = backend("change").apply_change(reading.motion, change)
    positions = backend("motion").joint_positions(wanted)[rows]
    assert angles_deg(turns, wanted.rotations[rows]).max() < TO_DEGREES
    assert np.abs(heads - positions).max() < TO_HEIGHTS * height_of(reading)


def no_change(reading):
    """A change of nothing."""
    frames, joints = reading.motion.rotations.shape[:2]
    empty = np.zeros((frames, 0, 3), np.float32)
    rotation, root = np.zeros((frames, joints, 3), np.float32), np.zeros((frames, 3), np.float32)
    return backend("change").Change(rotation, root, np.array([], np.int32), empty)


def known_change(reading, size=1.0):
    """A smooth change of every joint that has channels for it; the others do what their bone parents do."""
    change = backend("change")
    frames, joints = reading.motion.rotations.shape[:2]
    rng = np.random.default_rng(5)
    seconds = np.arange(frames)[:, None, None] / reading.fps
    swing = rng.normal(size=(joints, 3)) * CHANGE_RAD * size
    rotation = swing * (1 + np.sin(4 * seconds + rng.uniform(0, 6, (joints, 3))))
    can_turn, can_shift, can_move_object = _channels_of(reading)
    parents, bones = reading.rig.parents, reading.choice.bones
    for joint in range(joints):
        carrier = bones[joint]
        if joint:
            if carrier not in can_turn:
                carrier = parents[carrier]
                while carrier >= 0 and carrier not in can_turn and carrier not in bones:
                    carrier = parents[carrier]
                follows = reading.choice.followers[carrier] if carrier >= 0 else -1
                rotation[:, joint] = rotation[:, follows] if follows >= 0 else 0
        elif not any(bone in can_turn for bone in _upwards(parents, carrier)):
            rotation[:, 0] = 0
    height = height_of(reading) * CHANGE_HEIGHTS * size
    root = height * np.sin(3 * seconds[:, 0] + np.array([0, 1, 2]))
    if not can_move_object and not any(bone in can_shift for bone in _upwards(parents, bones[0])):
        root = 0 * root
    empty = change.Change(rotation, root, np.array([], int), np.zeros((frames, 0, 3)))
    positions = backend("motion").joint_positions(reading.motion)
    slides = np.flatnonzero(backend("features").reference_pose(reading.motion).slides)
    # Without location keys a joint goes with its bone parents, and stays if those are above the body's root.
    stays = [bone not in can_shift and not set(_upwards(parents, parents[bone])) & set(bones) for bone in bones]
    slides = [joint for joint in slides if bones[joint] in can_shift or stays[joint]]
    follow = change.changed_positions(reading.choice.parents, positions, empty) - positions
    slide = follow[:, slides] + 0.5 * height * np.cos(2 * seconds)
    slide *= np.array([not stays[joint] for joint in slides], dtype=float).reshape(-1, 1)
    rotation, root, slide = (array.astype(np.float32) for array in (rotation, root, slide))
    return change.Change(rotation, root, np.array(slides, int), slide)


def _channels_of(reading):
    """Bones with rotation keys, bones with location keys, and whether the object has location keys."""
    can_turn, can_shift, moves_object = set(), set(), False
    for bone, kind in zip(reading.channels.bones.tolist(), reading.channels.kinds, strict=True):
        if bone < 0:
            moves_object |= kind == "location"
        elif kind == "location":
            can_shift.add(bone)
        elif kind.startswith("rotation") and not reading.rig.held_turn[bone]:
            can_turn.add(bone)
    return can_turn, can_shift, moves_object


def _upwards(parents, bone):
    while bone >= 0:
        yield bone
        bone = parents[bone]


# Animation made here


def animate(armature, mode="QUATERNION", frames=range(1, 25), interpolation="BEZIER", moving=("hips",), size=0.4):
    """Keys every bone's rotation, in turns no two alike, and the location of `moving` bones; gives the action."""
    import bpy

    armature.animation_data_create().action = bpy.data.actions.new(f"{armature.name} {mode}")
    rng = np.random.default_rng(11)
    path = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(mode, "rotation_euler")
    for bone in armature.pose.bones:
        bone.rotation_mode = mode
        phase, pace = rng.uniform(0, 6, 3), rng.uniform(1, 3, 3)
        for frame in frames:
            turn = size * np.sin(phase + pace * frame / 8)
            angle = np.linalg.norm(turn)
            if mode == "QUATERNION":
                value = (np.cos(angle / 2), *(np.sin(angle / 2) * turn / angle))
            elif mode == "AXIS_ANGLE":
                value = (angle, *(turn / angle))
            else:
                value = turn
            setattr(bone, path, value)
            whole = int(np.floor(frame))
            bone.keyframe_insert(path, frame=frame)
            if bone.name in moving:
                bone.location = 0.1 * np.sin(pace * whole / 9 + phase)
                bone.keyframe_insert("location", frame=frame)
    for curve in stage.curves_of(armature.animation_data.action):
        for key in curve.keyframe_points:
            key.interpolation = interpolation
        curve.update()
    bpy.context.scene.frame_set(int(np.floor(min(frames))))
    return armature.animation_data.action
