"""What the Blender tests of the operators stand on: the extension as it ships, a small walker, what a file holds."""

import importlib
import os
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import build
from tests.process.scenery import save_tiny_checkpoint

PACKAGE = "bl_ext.user_default.motion_variations"
BONES = (  # name, parent, head, tail: metres, Z up, facing -Y
    ("hips", None, (0, 0, 0.95), (0, 0, 1.05)),
    ("chest", "hips", (0, 0, 1.05), (0, 0, 1.45)),
    ("head", "chest", (0, 0, 1.45), (0, 0, 1.7)),
    ("arm.L", "chest", (0.2, 0, 1.4), (0.2, 0, 1.1)),
    ("hand.L", "arm.L", (0.2, 0, 1.1), (0.2, 0, 0.85)),
    ("arm.R", "chest", (-0.2, 0, 1.4), (-0.2, 0, 1.1)),
    ("hand.R", "arm.R", (-0.2, 0, 1.1), (-0.2, 0, 0.85)),
    ("thigh.L", "hips", (0.1, 0, 0.95), (0.1, 0, 0.5)),
    ("shin.L", "thigh.L", (0.1, 0, 0.5), (0.1, 0, 0.08)),
    ("foot.L", "shin.L", (0.1, 0, 0.08), (0.1, -0.2, 0.02)),
    ("thigh.R", "hips", (-0.1, 0, 0.95), (-0.1, 0, 0.5)),
    ("shin.R", "thigh.R", (-0.1, 0, 0.5), (-0.1, 0, 0.08)),
    ("foot.R", "shin.R", (-0.1, 0, 0.08), (-0.1, -0.2, 0.02)),
)
VERBS = ("encode", "reconstruct", "resample")
SWINGS = {"thigh": 0.5, "shin": 0.4, "foot": 0.2, "arm": -0.4, "hand": -0.2, "chest": 0.05, "head": 0.05, "hips": 0.03}


def install() -> Path:
    """Puts the extension into a fresh user folder of Blender and enables it; gives its folder.

    The zip that `build.py test` names is installed as a user does it; without one the working tree is. Where no weights
    ship yet, it gets tiny untrained ones.
    """
    user = Path(tempfile.mkdtemp(prefix="motion_variations_user_"))
    os.environ["BLENDER_USER_RESOURCES"] = str(user)  # Blender reads it while it is imported
    sys.modules.pop("bpy", None)
    import bpy

    archive = os.environ.get("MOTION_VARIATIONS_ZIP")
    if not archive:
        archive = user / "motion_variations.zip"
        build.zip_folder(build.assemble(user / "assembled"), archive)
    bpy.ops.extensions.package_install_files(filepath=str(archive), repo="user_default", enable_on_install=True)
    folder = user / "extensions" / "user_default" / "motion_variations"
    checkpoint = folder / "backend" / "checkpoints" / "motion_variations.safetensors"
    if not checkpoint.exists():
        checkpoint.parent.mkdir(exist_ok=True)
        save_tiny_checkpoint(checkpoint)
    return folder


def module(name: str):
    """A module of the enabled extension."""
    return importlib.import_module(f"{PACKAGE}.{name}")


def archive_names(path) -> list[str]:
    """The files of a zip."""
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def fresh_file() -> None:
    """An empty scene; the extension stays enabled."""
    import bpy

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)


def add_armature(name="walker", bones=BONES):
    """An armature object with the bones, active and in object mode."""
    import bpy

    armature = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    armature.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    for bone_name, parent, head, tail in bones:
        bone = armature.data.edit_bones.new(bone_name)
        bone.head, bone.tail = head, tail
        bone.parent = armature.data.edit_bones[parent] if parent else None
    bpy.ops.object.mode_set(mode="OBJECT")
    return armature


def add_walk(armature, name="walk", frames=48, every=4):
    """Keys a walk on the spot's worth of turns on every bone, and a path on the first; gives the action."""
    import bpy

    armature.animation_data_create()
    armature.animation_data.action = bpy.data.actions.new(name)
    for frame in (*range(1, frames, every), frames):
        phase = 2 * np.pi * frame / 24
        for row, bone in enumerate(armature.pose.bones):
            swing = SWINGS.get(bone.name.split(".")[0], 0.2) * (-1 if bone.name.endswith(".R") else 1)
            angle = swing * np.sin(phase + 0.1 * row)
            bone.rotation_mode = "QUATERNION"
            bone.rotation_quaternion = (np.cos(angle / 2), np.sin(angle / 2), 0, 0.02 * np.sin(phase))
            bone.keyframe_insert("rotation_quaternion", frame=frame)
        armature.pose.bones[0].location = (0, 0.02 * np.cos(2 * phase), 0.03 * frame)
        armature.pose.bones[0].keyframe_insert("location", frame=frame)
    bpy.context.scene.frame_set(1)
    return armature.animation_data.action


def walker(frames=48):
    """An armature that walks."""
    armature = add_armature()
    add_walk(armature, frames=frames)
    return armature


def curves_of(action) -> list:
    """All F-curves of an action, in every slot."""
    if not hasattr(action, "layers"):
        return list(action.fcurves)
    return [
        curve for layer in action.layers for strip in layer.strips for bag in strip.channelbags for curve in bag.fcurves
    ]


def keys_of(action) -> dict:
    """Every number of an action's keys, by path and index."""
    found = {}
    for curve in curves_of(action):
        parts = []
        for name, size in (("co", 2), ("handle_left", 2), ("handle_right", 2)):
            numbers = np.empty(size * len(curve.keyframe_points), dtype=np.float32)
            curve.keyframe_points.foreach_get(name, numbers)
            parts.append(numbers.tobytes())
        kinds = [(key.interpolation, key.easing, key.handle_left_type) for key in curve.keyframe_points]
        found[curve.data_path, curve.array_index] = (*parts, tuple(kinds), curve.extrapolation, curve.mute)
    return found


def contents() -> dict:
    """What a click must leave as it is when it fails: every action, pose, list, frame and range."""
    import bpy

    scene = bpy.context.scene
    objects = {}
    for thing in bpy.data.objects:
        data = thing.animation_data
        pose = [tuple(map(tuple, bone.matrix_basis)) for bone in thing.pose.bones] if thing.pose else None
        rows = [(row.kind, row.action and row.action.name, row.seed) for row in thing.motion_variations.rows]
        slot = data.action_slot.identifier if data and getattr(data, "action_slot", None) else None
        action = data.action.name if data and data.action else None
        objects[thing.name] = (action, slot, pose, rows, thing.motion_variations.active_index, thing.select_get())
    return {
        "actions": {action.name: (keys_of(action), action.use_fake_user) for action in bpy.data.actions},
        "objects": objects,
        "frame": (scene.frame_current, scene.frame_subframe, scene.frame_start, scene.frame_end),
        "seed": scene.motion_variations.seed,
        "texts": sorted(bpy.data.texts.keys()),
    }


def advance_to(text: str, limit_s: float = 30.0) -> None:
    """Runs the session's job, as the modal operator's ticks do, until its progress begins with `text`."""
    session = module("session")
    end = time.monotonic() + limit_s
    while not session.job.progress.text.startswith(text):
        if session.advance(0.0) is not None:
            raise AssertionError(f"The job ended before '{text}'.")
        if time.monotonic() > end:
            raise AssertionError(f"'{text}' didn't come; the job is at '{session.job.progress.text}'.")
        time.sleep(0.001)


def start_resample(count=2, armatures=(), **changes):
    """Starts the job of *Resample motion* without running it, as a click does; on several armatures where given."""
    import bpy

    tasks, session = module("tasks"), module("session")
    facts = {
        "strength": 1.0, "level": "PHRASES", "seed": 3, "root_path": "KEEP", "loop": "OFF", "keep_ends": True,
        "contacts": True, "scope": module("scope").Scope(), "falloff": 0, "pin_ease": 0, "keys": "EVERY_FRAME",
        "new_seed": False, "show_first": True,
    }  # fmt: skip
    choice = tasks.Choice(count=count, **(facts | changes))
    targets = [tasks.Target(bpy.context, armature) for armature in armatures or (None,)]
    jobs = [tasks.resample(target, choice) for target in targets]
    if armatures:
        names = [armature.name for armature in armatures]
        steps = module("several").together(zip(names, jobs, strict=True))
    else:
        steps = jobs[0]
    return session.start("Resample motion", "RESAMPLE", steps)


def finish(limit_s: float = 60.0) -> str:
    """Runs the session's job to its end; gives its sentence."""
    session = module("session")
    end = time.monotonic() + limit_s
    while (result := session.advance()) is None:
        assert time.monotonic() < end, "the job doesn't end"
        time.sleep(0.002)
    return result


def refused(operators, sentence: str, verbs=VERBS) -> None:
    """Each verb fails with the sentence and changes nothing."""
    before = contents()
    for verb in verbs:
        with pytest.raises(RuntimeError, match=sentence) as caught:
            getattr(operators, verb)()
        text = str(caught.value).removeprefix("Error: ").strip()
        assert "Traceback" not in text and "unexpected" not in text
        assert text[0].isupper() or text[0] in "'5"
        assert text.endswith((".", ")"))
        assert contents() == before
        assert module("session").job is None


def works(operators) -> None:
    """The next click, on a healthy armature, does what it should."""
    fresh_file()
    armature = walker()
    assert operators.resample(count=1, seed=1) == {"FINISHED"}
    assert len(armature.motion_variations.rows) == 2


def is_running(pid: int) -> bool:
    """Whether the process lives; one that ended and wasn't waited for doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
