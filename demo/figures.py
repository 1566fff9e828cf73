"""The report's figures, from takes read back through Blender; what each means is defined in `training.metrics`."""

import importlib

import numpy as np

from backend.motion import joint_positions
from backend.rotations import quaternion_angle, quaternion_conjugate, quaternion_multiply, quaternion_to_rotvec
from backend.skeleton import skeleton_height
from training import metrics

from .clip import Clip
from .session import EXTENSION
from .take import Take, read_take

SWING_DEG = 8.0  # how far the round trip turns joints and back
VARIATION_FIGURES = (
    "change_deg",
    "jerk_ratio",
    "peak_jerk_ratio",
    "skate_cm_s",
    "source_skate_cm_s",
    "start_pose_cm",
    "end_pose_cm",
    "contact_overlap",
)


def source_contacts(source: Take) -> np.ndarray:
    """When which joint of the source rests on the floor, `[T, J]` bool."""
    return metrics.source_contacts(source.motion)


def reconstruction_figures(source: Take, other: Take) -> dict[str, float]:
    """How far the model's reconstruction is from the source."""
    return {
        "joint_mm": metrics.joint_error_mm(source.motion, other.motion),
        "rotation_world_deg": metrics.rotation_error_deg(source.motion, other.motion),
        "rotation_local_deg": metrics.rotation_error_deg(source.motion, other.motion, local=True),
    }


def variation_figures(source: Take, other: Take, contacts) -> dict[str, float]:
    """What a variation changed, and what it kept."""
    figures = metrics.variation_figures(source.motion, other.motion, contacts)
    return {name: figures[name] for name in VARIATION_FIGURES}


def round_trip_figures(clip: Clip, source: Take) -> dict[str, float]:
    """Blender to motion to Blender without a model, there and back: how far the source comes out from itself.

    The extension's writer turns every joint by a known change, its reader reads that action, and the writer undoes what
    was read. Blender's evaluation of the last action judges. Both actions are deleted again.
    """
    import bpy

    timeline = importlib.import_module(f"{EXTENSION}.timeline")
    reading = timeline.read(clip.armature, clip.action)
    frames, joints = reading.motion.rotations.shape[:2]
    away = timeline.write_variation(reading, make_change(swing(frames, joints), np.zeros((frames, 3))), "Round trip")
    actions = [away.action]
    try:
        there = timeline.read(clip.armature, away.action, away.slot)
        bones = there.choice.bones
        back = quaternion_multiply(reading.rotations[:, bones], quaternion_conjugate(there.rotations[:, bones]))
        root = (reading.heads - there.heads)[:, bones[0]]
        undo = make_change(quaternion_to_rotvec(back.astype(np.float64)), root)
        home = timeline.write_variation(there, undo, "Round trip back")
        actions.append(home.action)
        slot = next(slot for slot in home.action.slots if slot.identifier == home.slot)
        other = read_take(clip.armature, home.action, slot, clip.start, clip.stop, source.choice)
    finally:
        for action in actions:
            bpy.data.actions.remove(action)
    angles = quaternion_angle(source.motion.rotations, other.motion.rotations)
    distances = np.linalg.norm(joint_positions(source.motion) - joint_positions(other.motion), axis=-1)
    return {
        "rotation_deg_max": float(np.degrees(angles.max())),
        "position_heights_max": float(distances.max() / skeleton_height(source.motion.skeleton)),
    }


def make_change(rotation, root):
    """A change without sliding joints, of the extension's own class."""
    change = importlib.import_module(f"{EXTENSION}.backend.change")
    return change.Change(rotation, root, np.zeros(0, np.int32), np.zeros((len(root), 0, 3)))


def swing(frames: int, joints: int) -> np.ndarray:
    """Smooth rotation vectors of some degrees, another one for each joint, `[T, J, 3]`."""
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (joints, 3))
    return np.radians(SWING_DEG) * np.sin(np.arange(frames)[:, None, None] * 0.2 + phases)
