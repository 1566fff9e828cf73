"""The report's figures, from takes read back through Blender; what each means is defined in `training.metrics`."""

import importlib

import numpy as np

from backend.motion import joint_positions
from backend.rotations import quaternion_angle
from backend.skeleton import skeleton_height
from training import metrics

from .clip import Clip
from .session import EXTENSION
from .take import Take, read_take

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
    """Blender to motion to Blender without a model: every channel is read and written anew with no change, then played.

    The extension's own reader and writer do it; Blender's evaluation judges. The action is deleted again.
    """
    import bpy

    timeline = importlib.import_module(f"{EXTENSION}.timeline")
    change = importlib.import_module(f"{EXTENSION}.backend.change")
    reading = timeline.read(clip.armature, clip.action)
    frames, joints = reading.motion.rotations.shape[:2]
    nothing = change.Change(
        np.zeros((frames, joints, 3)), np.zeros((frames, 3)), np.zeros(0, np.int32), np.zeros((frames, 0, 3))
    )
    written = timeline.write_variation(reading, nothing, "Round trip", everything=True)
    try:
        slot = next(slot for slot in written.action.slots if slot.identifier == written.slot)
        other = read_take(clip.armature, written.action, slot, clip.start, clip.stop, source.choice)
    finally:
        bpy.data.actions.remove(written.action)
    angles = quaternion_angle(source.motion.rotations, other.motion.rotations)
    distances = np.linalg.norm(joint_positions(source.motion) - joint_positions(other.motion), axis=-1)
    return {
        "rotation_deg_max": float(np.degrees(angles.max())),
        "position_heights_max": float(distances.max() / skeleton_height(source.motion.skeleton)),
    }
