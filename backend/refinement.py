"""Latents made better by what the encoder sees of the reconstruction's error. Both engines; no gradients.

What is decoded is encoded again, and the latents take a step by the difference to the source's code: a feedback form of
iterative amortised inference (Marino et al., 2018). From the second step on the last one is taken into account, with
the share that best explains the error left in the pose (Anderson acceleration of depth one; Anderson, 1965).
"""

from .engines import engine_of
from .features import JOINT_INPUTS, columns, pose_positions
from .rotations import matrix_to_sixd

PASSES, STEP = 4, 0.8  # at most so many steps, and how far each goes of what the encoder says
TURN_WEIGHT = 0.2  # of six numbers of a rotation beside a place in heights
LARGEST_SHARE = 2.0  # of the last step
SMALL = 1e-9


def refine(encode_means, decode_frames, structure, joints, root):
    """The best latents of a few passes, and what they are decoded to.

    Args:
        encode_means: (joints, root) to the posterior means, a tuple over the levels.
        decode_frames: latents to matrices `[B, T, J, 3, 3]`, slides `[B, T, J, 3]` and root `[B, T, ROOT_SIZE]`.
        joints, root: of the source, see `features.motion_features`.

    Returns:
        (latents, decoded).
    """
    xp = engine_of(joints)
    position, rotation = columns(JOINT_INPUTS, "position"), columns(JOINT_INPUTS, "rotation")
    source_code = latents = encode_means(joints, root)
    best = last = None
    for remaining in reversed(range(PASSES + 1)):
        matrices, slides, decoded_root = decoded = decode_frames(latents)
        positions, sixd = pose_positions(matrices, slides, structure), matrix_to_sixd(matrices)
        miss = joints[..., position] - positions
        error = float(((miss * miss).sum(axis=-1) ** 0.5).mean())
        if best is None or error < best[0]:
            best = error, latents, decoded
        elif error > 2 * best[0]:  # these codes lead away
            break
        if not remaining:
            break
        code = encode_means(xp.concat((sixd, positions, slides), -1), decoded_root)
        ahead = tuple(
            latent + STEP * (wanted - found) for latent, wanted, found in zip(latents, source_code, code, strict=True)
        )
        miss = xp.concat((miss, TURN_WEIGHT * (joints[..., rotation] - sixd)), -1)
        miss = miss.reshape(*latents[0].shape[:2], -1)  # a row for each window of the first level
        taken = ahead
        if last is not None:
            last_ahead, last_miss = last
            gain = miss - last_miss
            share = (miss * gain).sum(axis=-1) / ((gain * gain).sum(axis=-1) + SMALL)
            share = share.clip(-LARGEST_SHARE, LARGEST_SHARE)[..., None]
            common = share.mean(axis=1)  # for latents that span several windows
            shares = (share, *(common.reshape(-1, *([1] * (one.ndim - 1))) for one in ahead[1:]))
            taken = tuple(new - part * (new - old) for new, old, part in zip(ahead, last_ahead, shares, strict=True))
        last, latents = (ahead, miss), taken
    return best[1:]
