"""The losses, each named separately; all in skeleton heights, radians and the features' own units. torch."""

import torch

from backend.features import (
    IDENTITY_SIXD,
    JOINT_INPUTS,
    JOINT_OUTPUTS,
    MODEL_FPS,
    ROOT_SCALE,
    columns,
    parent_changes,
    pose_from_outputs,
    pose_positions,
    positions_below,
)
from backend.rotations import matrix_angle, sixd_to_matrix

WEIGHTS = {
    "position": 6.0,
    "rotation": 1.0,
    "local_rotation": 0.5,
    "velocity": 6.0,
    "slide": 4.0,
    "root": 0.3,
    "path": 0.5,
    "contact": 3.0,
}
WINDOW_DIVERGENCE, CLIP_DIVERGENCE = 1e-5, 3e-6  # the weight of a nat of a window's latent, of the clip's
FREE_NATS = 0.02  # a latent number's divergence below this costs nothing
CONTACT_SPEED = 0.12  # heights a second: slower joints are held to be at rest
SMALL = 1e-6


def norm(x, axes: int = 1):
    """Length over the last axes, smooth at zero."""
    return (x.square().flatten(-axes).sum(-1) + SMALL).sqrt() - SMALL**0.5


def masked_mean(x, weight):
    """The mean of `x` where `weight` (broadcast) is one."""
    weight = weight.expand_as(x)
    return (x * weight).sum() / weight.sum().clamp_min(1.0)


def divergence(mean, log_variance):
    """Nats of each latent number against the standard normal."""
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)


def reconstruction_losses(outputs, root, joints, root_features, structure, valid):
    """How far the decoder's outputs are from the clip.

    Args:
        outputs: `[B, T, J, JOINT_OUTPUT_SIZE]`, root `[B, T, ROOT_SIZE]`: from `model.decode`.
        joints, root_features: from `features.motion_features`.
        valid: `[B, T]`, 0 where a short clip holds its last pose.

    Returns:
        A dict of scalars by the names of `WEIGHTS`.
    """
    target = columns_to_matrix(joints[..., columns(JOINT_INPUTS, "rotation")])
    target_position = joints[..., columns(JOINT_INPUTS, "position")]
    target_slide = joints[..., columns(JOINT_INPUTS, "slide")]
    matrices = sixd_to_matrices(outputs[..., columns(JOINT_OUTPUTS, "rotation")] + outputs.new_tensor(IDENTITY_SIXD))
    slide = outputs[..., columns(JOINT_OUTPUTS, "slide")] * structure["slides"][:, None, :, None]
    rows = parent_places(structure, outputs.shape[1])
    above = matrices.flatten(0, 2).index_select(0, rows).view_as(matrices)
    position = positions_below(above, slide, structure)
    weight = structure["mask"][:, None] * valid[..., None]
    pair = weight[:, 1:]
    # What the parent's change makes of the target's local one: as far from the joint's own as local ones are.
    target_local = target.flatten(0, 2).index_select(0, rows).view_as(target).mT @ target
    carried = above @ target_local
    target_step = target_position.diff(dim=1)
    step_error = position.diff(dim=1) - target_step
    ridden, target_ridden = ridden_steps(position, root), ridden_steps(target_position, root_features)
    contact = pair * (norm(target_step + target_ridden) * MODEL_FPS < CONTACT_SPEED)
    path = (root - root_features)[..., 1:3].cumsum(1) * valid[..., None] / MODEL_FPS
    return {
        "position": masked_mean(norm(position - target_position), weight),
        "rotation": masked_mean(norm(matrices - target, 2), weight),
        "local_rotation": masked_mean(norm(matrices - carried, 2), weight),
        "velocity": masked_mean(norm(step_error), pair),
        "slide": masked_mean(norm(slide - target_slide), weight),
        "root": masked_mean((root - root_features).abs(), valid[..., None]),
        "path": masked_mean(path.abs(), valid[..., None]),
        "contact": masked_mean(norm(step_error + (ridden - target_ridden)), contact),
    }


def sixd_to_matrices(sixd):
    """As `rotations.sixd_to_matrix`, a number at a time: that takes half as long as threes of numbers."""
    a, b, c, d, e, f = sixd.unbind(-1)
    size = (a * a + b * b + c * c + 1e-12).rsqrt()
    a, b, c = a * size, b * size, c * size
    along = a * d + b * e + c * f
    d, e, f = d - along * a, e - along * b, f - along * c
    size = (d * d + e * e + f * f + 1e-12).rsqrt()
    d, e, f = d * size, e * size, f * size
    numbers = (a, d, b * f - c * e, b, e, c * d - a * f, c, f, a * e - b * d)
    return torch.stack(numbers, -1).unflatten(-1, (3, 3))


def columns_to_matrix(sixd):
    """Two columns that are a rotation's already, `[..., 6]`, with the third, `[..., 3, 3]`."""
    x, y = sixd[..., :3], sixd[..., 3:]
    return torch.stack((x, y, torch.linalg.cross(x, y)), -1)


def parent_places(structure, frames: int):
    """Where the parents' rows are in an array `[B, T, J, ...]` with its first three axes laid flat, `[B * T * J]`.

    Copying rows takes much less than a product with one-hot rows for every frame. Padding has the root for a parent.
    """
    parents = structure["parent"].argmax(-1)
    batch, joints = parents.shape
    starts = torch.arange(batch * frames, device=parents.device).view(batch, frames, 1) * joints
    return (starts + parents[:, None]).flatten()


def ridden_steps(position, root):
    """How far the root's way carries joints in a frame, in the heading frame, `[B, T-1, J, 3]` heights."""
    velocity = root[:, :-1, None] / root.new_tensor(ROOT_SCALE) / MODEL_FPS
    x, y = position[:, :-1, :, 0], position[:, :-1, :, 1]
    turn = velocity[..., 3]
    return torch.stack((velocity[..., 1] - turn * y, velocity[..., 2] + turn * x, 0 * x), -1)


def divergence_weights(levels: int) -> tuple[float, ...]:
    """The weight of a nat of each level's latents; the last level is the clip's."""
    return (WINDOW_DIVERGENCE,) * (levels - 1) + (CLIP_DIVERGENCE,)


def divergence_losses(latents):
    """Nats a window and a clip, by level, and how many numbers of each latent are in use.

    Returns:
        (a list of penalised nats, a list of true nats, a list of active numbers).
    """
    penalised, nats, active = [], [], []
    for mean, log_variance in latents:
        each = divergence(mean, log_variance)
        penalised.append(each.clamp_min(FREE_NATS).sum(-1).mean())
        nats.append(each.sum(-1).mean())
        active.append((each.flatten(0, -2).mean(0) > 0.1).sum())
    return penalised, nats, active


def probe_figures(outputs, joints, structure) -> tuple[float, float, float]:
    """Joint error in mm at 1.7 m (against the root), world and local rotation error in degrees, means over all joints.

    Args:
        outputs, joints: as for `reconstruction_losses`, without padding.
    """
    target = sixd_to_matrix(joints[..., columns(JOINT_INPUTS, "rotation")])
    matrices, slide = pose_from_outputs(outputs, structure)
    position = pose_positions(matrices, slide, structure)
    error = (position - joints[..., columns(JOINT_INPUTS, "position")]).norm(dim=-1).mean() * 1700
    local, target_local = (
        parent_changes(matrices, structure).mT @ matrices,
        parent_changes(target, structure).mT @ target,
    )
    world_deg = matrix_angle(matrices, target).mean().rad2deg()
    return float(error), float(world_deg), float(matrix_angle(local, target_local).mean().rad2deg())
