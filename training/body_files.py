"""AMASS-style `.npz` files (SMPL, SMPL-H, SMPL-X) to motions, without the body model or with its file.

Such a file holds turns against the parent (`poses`, rotation vectors), the pelvis's path (`trans`, Z up) and a rate,
but no lengths of bones: these are the body model's. Without it they are those of an average adult of 1.7 m by the
proportions of Drillis and Contini (1966), as Winter, *Biomechanics and Motor Control of Human Movement*, has them. A
skeleton file gives others: the body model's own `.npz` (its shape then follows the clip's `betas`), or JSON
`{"parents": [-1, 0, ...], "offsets": [[x, y, z], ...]}` in metres, Y up, facing Z, joints in the model's order.
"""

import json
from pathlib import Path

import numpy as np

from backend.errors import UserError
from backend.motion import Motion
from backend.rotations import quaternion_multiply, quaternion_rotate, rotvec_to_quaternion

from .sources import SourceError, rig_motion

STATURE_M = 1.7
RATES = ("mocap_framerate", "mocap_frame_rate", "framerate", "fps")
# The bones of half a body in shares of stature: X to the left, Y up, Z ahead. Lengths by Drillis and Contini: thigh
# 0.245, shank 0.246, foot's height 0.039, upper arm 0.186, forearm 0.146, hand 0.108, hips 0.191 and shoulders 0.259
# across, hip at 0.530, shoulder at 0.818.
SPINE = (("hips", -1, (0, 0, 0)), ("spine1", 0, (0, 0.06, -0.01)), ("spine2", 3, (0, 0.08, 0.0)),
         ("spine3", 6, (0, 0.035, 0.01)), ("neck", 9, (0, 0.125, -0.02)), ("head", 12, (0, 0.05, 0.03)))  # fmt: skip
LEG = ((0.052, -0.03, 0), (0, -0.245, 0), (0, -0.246, -0.01), (0.01, -0.028, 0.07))
ARM = ((0.045, 0.07, -0.01), (0.075, 0.02, -0.01), (0.186, 0, 0), (0.146, 0, 0))
PALM, PHALANGES = 0.055, (0.02, 0.014)
FINGERS = ((0.0, 0.015), (0.003, 0.001), (-0.007, -0.025), (-0.003, -0.013), (-0.03, 0.025))  # Y and Z at the palm
BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
LEFT_WRIST, RIGHT_WRIST, HEAD = 20, 21, 15


def body_skeleton(joints: int) -> tuple[np.ndarray, np.ndarray]:
    """Parents `[J]` and offsets `[J, 3]` (metres, Y up) of an average adult in the order of SMPL, SMPL-H or SMPL-X.

    Raises:
        SourceError: no body model has that many joints.
    """
    if joints not in (22, 24, 52, 55):
        raise SourceError(f"{joints} joints, expected 22 or 24 (SMPL), 52 (SMPL-H) or 55 (SMPL-X).")
    parents, offsets = list(BODY_PARENTS), np.zeros((22, 3))
    for row, (_, _, offset) in zip((0, 3, 6, 9, 12, 15), SPINE, strict=True):
        offsets[row] = offset
    for rows, limb in (((1, 4, 7, 10), LEG), ((13, 16, 18, 20), ARM)):
        offsets[list(rows)] = limb
        offsets[[row + 1 for row in rows]] = np.array(limb) * (-1, 1, 1)
    offsets = list(offsets)
    if joints == 24:
        parents += [LEFT_WRIST, RIGHT_WRIST]
        offsets += [(0.05, 0, 0), (-0.05, 0, 0)]
    if joints == 55:
        parents += [HEAD] * 3
        offsets += [(0, 0.0, 0.01), (0.018, 0.035, 0.05), (-0.018, 0.035, 0.05)]
    if joints > 24:
        for wrist, side in ((LEFT_WRIST, 1), (RIGHT_WRIST, -1)):
            for y, z in FINGERS:
                parents += [wrist, len(parents), len(parents) + 1]
                offsets += [(side * PALM, y, z), *((side * length, 0, 0) for length in PHALANGES)]
    return np.array(parents), np.array(offsets, dtype=float) * STATURE_M


def skeleton_file(path: Path, betas=None) -> tuple[np.ndarray, np.ndarray]:
    """Parents and offsets of a skeleton file; see the module's docstring.

    Raises:
        UserError: the file isn't one.
    """
    try:
        if path.suffix.lower() == ".json":
            fields = json.loads(path.read_text(encoding="utf-8"))
            parents, offsets = np.array(fields["parents"]), np.array(fields["offsets"], dtype=float)
        else:
            with np.load(path, allow_pickle=False) as model:
                parents = model["kintree_table"][0].astype(np.int64)
                joints = model["J"] if "J" in model else shaped_joints(model, betas)
            parents = np.where((parents < 0) | (parents >= len(parents)), -1, parents)
            offsets = joints - np.where((parents >= 0)[:, None], joints[np.maximum(parents, 0)], 0)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is no skeleton file ({error}). Expected JSON with parents and offsets, or a body model's .npz "
            "with kintree_table and J, or J_regressor and v_template."
        ) from error
    if offsets.shape != (len(parents), 3) or parents[0] != -1 or (parents[1:] >= np.arange(1, len(parents))).any():
        raise UserError(f"{path}: expected parents before children, the root first, and an offset of 3 for each joint.")
    return parents, offsets


def shaped_joints(model, betas) -> np.ndarray:
    """The body model's joints `[J, 3]` for a shape."""
    vertices = model["v_template"].astype(float)
    if betas is not None and "shapedirs" in model:
        count = min(len(betas), model["shapedirs"].shape[-1])
        vertices = vertices + model["shapedirs"][..., :count] @ betas[:count]
    return model["J_regressor"] @ vertices


def body_motion(path: Path, skeleton: Path | None = None) -> Motion:
    """An AMASS-style file as a motion.

    Raises:
        SourceError: arrays are missing or contradict each other. UserError: the skeleton file can't be used.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            fields = {name: file[name] for name in file.files if name in ("poses", "trans", "betas", *RATES)}
    except Exception as error:  # a broken zip raises many kinds
        raise SourceError(f"{path.name} can't be read ({error}).") from error
    rate = next((fields[name] for name in RATES if name in fields), None)
    missing = [name for name in ("poses", "trans") if name not in fields] + ([] if rate is not None else [RATES[0]])
    if missing:
        raise SourceError(f"{path.name} lacks {', '.join(missing)}; expected poses, trans and mocap_framerate.")
    poses, trans = fields["poses"].astype(float), fields["trans"].astype(float)
    poses = poses.reshape(len(poses), -1)
    if poses.shape[1] % 3 or trans.shape != (len(poses), 3) or len(poses) < 2:
        raise SourceError(f"{path.name} has poses {poses.shape} and trans {trans.shape}, expected [T, 3 J] and [T, 3].")
    joints = poses.shape[1] // 3
    parents, offsets = skeleton_file(skeleton, fields.get("betas")) if skeleton else body_skeleton(joints)
    if len(parents) != joints:
        raise SourceError(f"{path.name} has {joints} joints, the skeleton file {len(parents)}.")
    turns = rotvec_to_quaternion(poses.reshape(len(poses), joints, 3))
    rotations, positions = turns.copy(), np.zeros((len(poses), joints, 3))
    positions[:, 0] = trans + offsets[0]
    rest = offsets.copy()
    for joint in range(1, joints):
        parent = parents[joint]
        rotations[:, joint] = quaternion_multiply(rotations[:, parent], turns[:, joint])
        offset = np.tile(offsets[joint], (len(poses), 1))
        positions[:, joint] = positions[:, parent] + quaternion_rotate(rotations[:, parent], offset)
        rest[joint] += rest[parent]
    # The model's own rest pose stands along Y; turned up it is a rest pose as other rigs have them.
    up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    try:
        return rig_motion(
            parents, rotations, positions, np.tile(up, (joints, 1, 1)), rest @ up.T, float(rate), np.ones(joints, bool)
        )
    except ValueError as error:
        raise SourceError(str(error)) from error
