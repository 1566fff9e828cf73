"""Bodies that move and models that fit in a moment, for tests of the model and of what is built on it."""

from dataclasses import replace

import numpy as np

from backend.encoding import Model
from backend.engines import load_engine
from backend.features import MODEL_FPS, motion_features, reference_pose, source_slides, structure_arrays
from backend.model import Level, ModelConfig, initial_parameters
from backend.motion import Motion, resample_motion
from backend.prior import initial_prior
from backend.rotations import (
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_matrix,
    rotvec_to_quaternion,
    yaw_to_quaternion,
)
from backend.sampling import level_name
from backend.skeleton import Skeleton

# pelvis, spine, head, left thigh, shin, foot, right thigh, shin, foot, left arm, forearm, right arm, forearm
PARENTS = np.array([-1, 0, 1, 0, 3, 4, 0, 6, 7, 1, 9, 1, 11])
OFFSETS = np.array(
    [
        [0, 0, 0], [0, 0.02, 0.5], [0, 0.03, 0.25],
        [0.1, 0, -0.05], [0, 0.02, -0.42], [0, 0, -0.42], [-0.1, 0, -0.05], [0, 0.02, -0.42], [0, 0, -0.42],
        [0.18, 0, 0], [0.28, 0.02, 0], [-0.18, 0, 0], [-0.28, 0.02, 0],
    ]
)  # fmt: skip
JOINTS = len(PARENTS)
TWO_LEVELS = ModelConfig(
    width=32,
    heads=2,
    joint_width=24,
    joint_heads=2,
    joint_depth=1,
    levels=(Level(32, 1, 2, 16, coefficients=6, lap=8), Level(None, 2, 1, 8)),
)
THREE_LEVELS = replace(
    TWO_LEVELS,
    levels=(Level(16, 1, 1, 12, coefficients=6), Level(4, 2, 1, 10, coefficients=3), Level(None, 1, 1, 8)),
)


def waves(frames: int, fps: float, size, degrees: float, rng) -> np.ndarray:
    """Smooth random numbers `[T, *size]`, some slow and some quick, of about `degrees` in radians."""
    time = np.arange(frames).reshape(-1, *([1] * len(size))) / fps
    total = np.zeros((frames, *size))
    for hertz in (0.3, 0.7, 1.6):
        total += np.sin(2 * np.pi * hertz * rng.uniform(0.8, 1.2, size) * time + rng.uniform(0, 2 * np.pi, size))
    return np.radians(degrees) * total / 1.7


def skeleton_of(parents, offsets, rest_rotations=None) -> Skeleton:
    """A skeleton with its joints at the sums of `offsets`, bones turned as asked in rest."""
    rest = np.tile(np.eye(4), (len(parents), 1, 1))
    for joint, parent in enumerate(parents):
        rest[joint, :3, 3] = offsets[joint] + (rest[parent, :3, 3] if parent >= 0 else 0)
    if rest_rotations is not None:
        rest[:, :3, :3] = quaternion_to_matrix(rest_rotations)
    return Skeleton(np.asarray(parents), rest)


def body(seconds=4.0, fps=30.0, seed=0, slides=False) -> Motion:
    """Somebody who walks about, turns and swings every limb; with `slides` the left foot slides against its shin."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * fps)
    local = rotvec_to_quaternion(waves(frames, fps, (JOINTS, 3), 18.0, rng))
    turn = yaw_to_quaternion(waves(frames, fps, (), 40.0, rng))
    rotations = np.zeros_like(local)
    for joint, parent in enumerate(PARENTS):
        above = turn if parent < 0 else rotations[:, parent]
        rotations[:, joint] = quaternion_multiply(above, local[:, joint])
    path = waves(frames, fps, (3,), 10.0, rng) + [0, 0, 0.95]
    path[:, 1] += 0.6 * np.arange(frames) / fps
    skeleton = skeleton_of(PARENTS, OFFSETS)
    motion = Motion(skeleton, fps, path, rotations)
    if slides:
        steps = quaternion_rotate(rotations[:, np.maximum(PARENTS, 0)], OFFSETS)
        steps[:, 0] = path
        steps[:, 5] += waves(frames, fps, (3,), 6.0, rng)
        positions = np.zeros_like(steps)
        for joint, parent in enumerate(PARENTS):
            positions[:, joint] = steps[:, joint] + (positions[:, parent] if parent >= 0 else 0)
        motion = replace(motion, positions=positions)
    return motion


def disguised(motion: Motion):
    """The same motion on a rig with its joints in another order, its bones rolled, in centimetres, turned, elsewhere.

    Returns:
        (motion, the row of each joint in it `[J]`, the turn as a quaternion, the scale).
    """
    order = np.array([0, 6, 3, 1, 11, 4, 7, 9, 2, 12, 5, 10, 8])
    row_of = np.argsort(order)
    turn, scale, shift = yaw_to_quaternion(np.array(2.1)), 0.01, np.array([3.0, -5.0, 0.0])
    rolls = rotvec_to_quaternion(np.random.default_rng(3).uniform(-2, 2, (JOINTS, 3)))
    rest = motion.skeleton.rest.copy()
    rest[:, :3, :3] = quaternion_to_matrix(turn) @ rest[:, :3, :3] @ quaternion_to_matrix(rolls)
    rest[:, :3, 3] = scale * quaternion_rotate(turn, rest[:, :3, 3])
    rotations = quaternion_multiply(turn + 0 * motion.rotations, motion.rotations)
    rotations = quaternion_multiply(rotations, rolls[None] + 0 * rotations)
    parents = np.where(PARENTS[order] < 0, -1, row_of[PARENTS[order]])
    positions = motion.positions
    other = replace(
        motion,
        skeleton=Skeleton(parents, rest[order]),
        root_positions=scale * quaternion_rotate(turn, motion.root_positions) + shift,
        rotations=rotations[:, order],
        positions=None if positions is None else scale * quaternion_rotate(turn, positions[:, order]) + shift,
    )
    return other, row_of, turn, scale


def tiny_parameters(config: ModelConfig, seed: int = 0) -> dict:
    """Random weights in which nothing is zero, so that no part of the model is without effect."""
    rng = np.random.default_rng(seed + 1)

    def stir(tree):
        return {
            name: stir(value)
            if isinstance(value, dict)
            else (value + 0.04 * rng.standard_normal(value.shape)).astype(np.float32)
            for name, value in tree.items()
        }

    return stir(initial_parameters(config, seed))


def tiny_model(engine_name="numpy", config=TWO_LEVELS, seed=0, spread=0.4, prior=None) -> Model:
    """A model with random weights, and latent statistics by which variations turn joints by some degrees.

    With a `prior` (its sizes) the phrases are drawn from one that is random too, from latents of the same spread.
    """
    engine = load_engine(engine_name)
    device, words = engine.choose_device("cpu")

    def move(tree):
        return {
            name: move(value) if isinstance(value, dict) else engine.from_numpy(value, device)
            for name, value in tree.items()
        }

    statistics = {"clip_factor": spread * np.eye(config.levels[-1].latent, dtype=np.float32)}
    for index, level in enumerate(config.levels[:-1]):
        for name in ("chunk_factor", "shift_factor"):
            statistics[level_name(name, index)] = spread * np.eye(level.latent, dtype=np.float32)
        statistics[level_name("chunk_correlation", index)] = np.array([0.5], np.float32)
    parameters = tiny_parameters(config, seed)
    if prior is not None:
        parameters["prior"] = initial_prior(prior, config, seed)
        for name, size in (("chunk", config.levels[0].latent), ("clip", config.levels[-1].latent)):
            statistics[f"prior_{name}_mean"] = np.zeros(size, np.float32)
            statistics[f"prior_{name}_spread"] = np.full(size, spread, np.float32)
    return Model(engine, device, words, move(parameters), config, statistics, "test", prior)


def model_inputs(motion: Motion, chunk: int = 32) -> tuple:
    """What the model reads of a motion, without a batch axis: structure, joints, root, in whole chunks, float32."""
    motion = resample_motion(motion, MODEL_FPS)
    reference = reference_pose(motion)
    structure = structure_arrays(motion.skeleton.parents, reference.offsets, reference.slides)
    rows = np.minimum(np.arange(-(-motion.frames // chunk) * chunk), motion.frames - 1)
    joints, root, _ = motion_features(
        motion.rotations[rows],
        motion.root_positions[rows] / reference.height_m,
        reference.rotations,
        structure,
        source_slides(motion, reference)[rows],
        reference.root_height,
    )
    return structure, joints.astype(np.float32), root.astype(np.float32)
