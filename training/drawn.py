"""Clips drawn from the prior: nothing is given but a skeleton and a length.

A clip's reference pose, about which the model turns joints, isn't the prior's to say: it is that of another clip of the
same rig. Where the clip starts and which way it faces is given as well.
"""

from dataclasses import replace

import numpy as np

from backend.encoding import Encoding, Model, decode_frames, pose_arrays, read_features
from backend.features import smooth_frames
from backend.model import embed_skeleton
from backend.motion import Motion, joint_positions
from backend.sampling import fresh_latents
from backend.skeleton import leaf_distances, parent_rows, skeleton_height

from .held_out import decoded_motion
from .store import ClipStore, clip_motion
from .varied import rig_clips

REFERENCE_FRAMES = 240  # of the clip that lends its reference pose
FOOT_HEIGHTS, SOLE_HEIGHTS = 0.16, 0.04  # how near to a limb's end what rests is, and how much higher than others
NEAR_HEIGHTS, SLOW_HEIGHTS_S = 0.03, 0.25  # what bears the body: how low it is, and how slow it should be
BEARING_SIGMA_S, AIRBORNE = 0.06, 0.1


def lent_pose(store: ClipStore, index: int, motion: Motion, rng) -> Motion:
    """A clip of the same rig, by lot, on the skeleton of `motion`; `motion` itself where there is no other.

    Not the most ordinary one: in some sets that is another actor, whose bones are turned otherwise.
    """
    others = list(rig_clips(store, index))
    if not others:
        return motion
    other = clip_motion(store, int(rng.choice(others)), 0, REFERENCE_FRAMES)
    # Where joints slide the places are the other clip's own, and so is what they hang on.
    return other if other.positions is not None else replace(other, skeleton=motion.skeleton)


def drawn_motion(model: Model, lent: Motion, frames: int, seed: int, start=(0.0, 0.0, 0.0), heading=0.0) -> Motion:
    """A clip of `frames` at the model's rate, drawn from the prior.

    Args:
        lent: gives the skeleton and its reference pose. start, heading: where it begins and which way it faces.
    """
    chunk, stride = model.config.chunk, model.config.levels[0].stride
    seen = read_features(lent, chunk)
    structure = {name: model.engine.from_numpy(a[None], model.device) for name, a in seen.structure.items()}
    adapters = embed_skeleton(model.parameters, model.config, structure)
    rng = np.random.default_rng(seed)
    latents = fresh_latents(model, adapters, -(-frames // chunk) * (chunk // stride), rng)
    moved = tuple(model.engine.from_numpy(np.asarray(latent, np.float32), model.device) for latent in latents)
    decoded = pose_arrays(model, decode_frames(model, structure, adapters, moved), frames)
    at_start = replace(lent, root_positions=np.array([start], float), rotations=lent.rotations[:1], positions=None)
    still = np.tile(np.eye(3, dtype=np.float32), (frames, len(lent.skeleton.parents), 1, 1))
    headings, slides = np.full(frames, heading), np.zeros(still.shape[:3], np.float32)
    encoding = Encoding(
        at_start, seen.reference, frames, structure, adapters, headings, latents, still, slides, decoded
    )
    return walk_on_feet(decoded_motion(encoding))


def walk_on_feet(motion: Motion) -> Motion:
    """The same poses on a path that keeps still what bears the body, as far as the decoder's own path nearly does.

    The decoder says how fast the root goes, and its feet how fast they go against the root; where both don't quite
    agree, feet slide. The lowest ends of limbs that are slow have their say, smoothly; in the air the path stays.
    """
    height_m, parents = skeleton_height(motion.skeleton), motion.skeleton.parents
    places = joint_positions(motion) / height_m
    steps = np.linalg.norm(places - places[:, parent_rows(parents)], axis=-1)
    reaches = leaf_distances(parents, np.median(steps, axis=0))
    ends = np.flatnonzero(reaches <= FOOT_HEIGHTS)
    ends = ends[ends > 0]
    if not len(ends) or motion.frames < 3:
        return motion
    resting = np.quantile(places[:, ends, 2], 0.1, axis=0)
    bears = resting - resting.min() <= reaches[ends] + SOLE_HEIGHTS
    above = places[:, ends[bears], 2] - resting[bears]
    above = above - above.min(axis=1, keepdims=True)
    speeds = np.gradient(places[:, ends[bears], :2], axis=0) * motion.fps
    size = np.linalg.norm(speeds, axis=-1)
    weights = np.exp(-((above / NEAR_HEIGHTS) ** 2) - (size / SLOW_HEIGHTS_S) ** 2)
    sigma = BEARING_SIGMA_S * motion.fps
    slip = smooth_frames((weights[..., None] * speeds).sum(axis=1), sigma)
    slip = slip / (smooth_frames(weights.sum(axis=1)[:, None], sigma) + AIRBORNE)
    shift = np.zeros((motion.frames, 3))
    shift[1:, :2] = -np.cumsum(slip[:-1], axis=0) * (height_m / motion.fps)
    positions = None if motion.positions is None else motion.positions + shift[:, None]
    return replace(motion, root_positions=motion.root_positions + shift, positions=positions)
