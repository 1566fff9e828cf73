"""What was there before the first click on an armature: remembered with the list, brought back by Reject All."""

import base64
import json
import zlib

import bpy
import numpy as np

from . import timeline
from .timeline.actions import TRANSFORMS, pose_values


def record(armature, scene, source, slot: str) -> str:
    """Frame, marked line, keys of the source and the pose, as text that is saved with the file."""
    pose = np.concatenate([pose_values(armature, name).ravel() for name in TRANSFORMS])
    return json.dumps(
        {
            "frame": [scene.frame_current, scene.frame_subframe],
            "index": armature.motion_variations.active_index,
            "digest": timeline.digest(source, slot),
            "slot": slot,
            "pose": base64.b64encode(zlib.compress(pose.astype("<f4").tobytes())).decode(),
        }
    )


def marked_line(text: str) -> int:
    """The row that was marked in the armature's list."""
    return json.loads(text)["index"] if text else 0


def restore_pose(armature, scene, source, text: str) -> None:
    """Brings the pose back, also what of it has no keys, where it is still that of this frame and of the source's keys.

    On another frame, or with other keys, the keys say what the pose is.
    """
    found = json.loads(text) if text else None
    if found is None or found["frame"] != [scene.frame_current, scene.frame_subframe]:
        return
    if timeline.digest(source, found["slot"]) == found["digest"]:
        bpy.context.view_layer.update()  # else the action that was just put back would be evaluated over the pose
        _set_pose(armature, zlib.decompress(base64.b64decode(found["pose"])))


def _set_pose(armature, numbers: bytes) -> None:
    """The pose of all bones and of the object; nothing where bones were added or removed since."""
    values = np.frombuffer(numbers, dtype="<f4")
    now = {name: pose_values(armature, name) for name in TRANSFORMS}
    if len(values) != sum(part.size for part in now.values()):
        return
    at = 0
    for name, part in now.items():
        wanted = values[at : at + part.size].reshape(part.shape)
        at += part.size
        if not np.array_equal(wanted, part):
            armature.pose.bones.foreach_set(name, wanted[:-1].ravel())
            setattr(armature, name, wanted[-1])
            armature.update_tag(refresh={"OBJECT"})
