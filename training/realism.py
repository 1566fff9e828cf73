"""The two-sample test: can a small classifier tell windows of variations from windows of real clips?

It learns on some clips and is tried on others: half of all answers right means that it can't. What it sees of a window
is chosen so that any skeleton has it: how joints are turned and how high they are, how much and how fast that changes.
The classifier is a ridge regression on these, linear or with a Gaussian kernel, whichever does better on clips held out
of its own training clips. numpy only, nothing is random but what is seeded.
"""

import numpy as np

from backend.change import apply_change
from backend.encoding import Model, encode_motion
from backend.motion import Motion
from backend.rotations import (
    matrix_to_sixd,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_to_matrix,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
)
from backend.variation import VariationSettings, vary

from . import metrics
from .held_out import Scope, held_out_clips, middle_motion, silent
from .store import ClipStore

WINDOW, STEP = 30, 10
FOLDS = 4
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
FEWEST_CLIPS, MOST_CLIPS, QUICK_CLIPS = 6, 16, 6
# A mm, or a twentieth of a degree: what is smaller isn't seen. Without such a floor a joint that real clips hold still
# to the last bit gives a variation away by what rounding turned it.
SMALL = 1e-3


def window_features(motion: Motion) -> np.ndarray:
    """What the classifier sees of every window of 30 frames at 30 fps, `[N, F]`; its mean pose first, see `pose_size`.

    Means and, as logarithms, spreads, speeds and accelerations of the joints' turns against their parents (the root's
    heading left out) and of their heights, and the joints' speeds in space; nothing below SMALL.
    """
    local = metrics.local_rotations(metrics.at_rate(motion))[:, 1:]
    turns = matrix_to_sixd(quaternion_to_matrix(local)).reshape(len(local), -1)
    places = metrics.report_positions(motion)
    heights, speeds = places[..., 2], np.linalg.norm(np.diff(places, axis=0), axis=-1)
    rows = []
    for start in range(0, len(turns) - WINDOW + 1, STEP):
        turn, height = turns[start : start + WINDOW], heights[start : start + WINDOW]
        speed = speeds[start : start + WINDOW - 1]
        both = np.concatenate((turn, height), axis=1)
        rates = [np.abs(np.diff(both, order, axis=0)).mean(axis=0) for order in (1, 2, 3)]
        sizes = [both.std(axis=0), *rates, speed.mean(axis=0), speed.min(axis=0)]
        rows.append(np.concatenate([both.mean(axis=0), np.log(np.maximum(np.concatenate(sizes), SMALL))]))
    return np.array(rows)


def pose_size(motion: Motion) -> int:
    """How many of the features are the mean pose: six numbers and a height a joint, the root's turn left out."""
    joints = len(motion.skeleton.parents)
    return 6 * (joints - 1) + joints


def with_independent_noise(source: Motion, other: Motion, seed: int) -> Motion:
    """The source with a change as large and as quick, joint for joint, as `other`'s, in which nothing belongs together.

    Every joint's turn away from the source, against its parent, gets the phases of its Fourier series drawn anew.
    """
    local, changed = metrics.local_rotations(source), metrics.local_rotations(other)
    turns = quaternion_to_rotvec(quaternion_multiply(changed, quaternion_conjugate(local)))
    waves = np.fft.rfft(turns, axis=0)
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, size=(*waves.shape[:2], 1))
    waves = waves * np.exp(1j * phases)
    waves[0] = waves[0].real * np.sqrt(2)  # what doesn't change over time has a sign for a phase
    noise = np.fft.irfft(waves, n=len(turns), axis=0)
    noise[:, 0] = turns[:, 0]
    local = quaternion_multiply(rotvec_to_quaternion(noise), local)
    rotations = metrics.world_rotations(source.skeleton.parents, local)
    return Motion(source.skeleton, source.fps, other.root_positions, rotations)


def kernels(train, test, gaussian: bool) -> tuple[np.ndarray, np.ndarray]:
    """Kernel matrices of training windows with themselves and of test windows with them."""
    mean, deviation = train.mean(axis=0), np.maximum(train.std(axis=0), SMALL)
    train, test = (np.clip((each - mean) / deviation, -5, 5) for each in (train, test))
    if not gaussian:
        return train @ train.T / train.shape[1], test @ train.T / train.shape[1]
    squares = [(each**2).sum(axis=1)[:, None] + (train**2).sum(axis=1) - 2 * each @ train.T for each in (train, test)]
    width = np.median(squares[0]) + 1e-9
    return tuple(np.exp(-square / width) for square in squares)


def answers(train, labels, test, choice: tuple[bool, float]) -> np.ndarray:
    """The classifier's answers to test windows, 1 or -1."""
    own, other = kernels(train, test, choice[0])
    middle = labels.mean()
    weights = np.linalg.solve(own + choice[1] * np.trace(own) / len(own) * np.eye(len(own)), labels - middle)
    return np.where(other @ weights + middle > 0, 1, -1)


def right_share(features, labels, clips) -> tuple[float, float]:
    """How often windows of clips that weren't learnt from are told right, and by how much that may be off.

    Args:
        features: `[N, F]`. labels: `[N]`, 1 or -1. clips: `[N]`, which clip each window is of.

    Returns:
        the share of right answers, mean over clips; its standard error over clips.
    """
    names, right = np.unique(clips), np.zeros(len(labels), bool)
    choices = [(gaussian, ridge) for gaussian in (False, True) for ridge in RIDGES]
    for fold in range(min(FOLDS, len(names))):
        test = np.isin(clips, names[fold::FOLDS])
        inner = np.isin(clips, np.setdiff1d(names, names[fold::FOLDS])[::3])
        learn, check = ~test & ~inner, ~test & inner
        told = [answers(features[learn], labels[learn], features[check], choice) for choice in choices]
        scores = [(signs == labels[check]).mean() for signs in told]
        best = choices[int(np.argmax(scores))]
        right[test] = answers(features[~test], labels[~test], features[test], best) == labels[test]
    shares = np.array([right[clips == name].mean() for name in names])
    return float(shares.mean()), float(shares.std() / np.sqrt(len(shares)))


def two_sample(real, other) -> tuple[float, float]:
    """`right_share` of windows of real clips `[N, F]` (a list over clips) and of the others of the same clips."""
    features = np.concatenate([*real, *other])
    labels = np.concatenate([np.full(sum(map(len, each)), sign) for each, sign in ((real, 1), (other, -1))])
    clips = np.concatenate([np.full(len(rows), clip) for each in (real, other) for clip, rows in enumerate(each)])
    return right_share(features, labels, clips)


def real_against_real(real, seed: int) -> tuple[float, float]:
    """The same with real windows alone, called one or the other by lot: what chance looks like with so few clips."""
    clips = np.concatenate([np.full(len(rows), clip) for clip, rows in enumerate(real)])
    rng = np.random.default_rng(seed)
    # Half and half in every clip: else what the learnt clips have too many of, the others have too few of.
    labels = np.concatenate([rng.permutation(np.arange(len(rows)) % 2) for rows in real]) * 2 - 1
    return right_share(np.concatenate(real), labels, clips)


def same_joints(store: ClipStore, name: str, most: int) -> list[int]:
    """Held-out clips of a set that are long enough and have the same joints: the most common list of them."""
    lists = {}
    for index in held_out_clips(store, name, len(store.clips)):
        if store.clips[index]["frames"] >= 2 * WINDOW:
            lists.setdefault(store.skeleton(index)["parents"].tobytes(), []).append(index)
    indices = max(lists.values(), key=len, default=[])
    return [indices[row] for row in np.unique(np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(int))]


def realism_rows(model: Model, scope: Scope, report) -> list[dict]:
    """One row a set with enough clips of one list of joints: variations, real clips, independent noise."""
    rows = []
    for name in scope.sets:
        indices = same_joints(scope.store, name, QUICK_CLIPS if scope.quick else MOST_CLIPS)
        if len(indices) < FEWEST_CLIPS:
            continue
        real, varied, noisy = [], [], []
        for seed, index in enumerate(indices, start=1):
            source = middle_motion(scope.store, index, scope.varied_frames)
            encoding = encode_motion(model, source, silent)
            made = apply_change(source, vary(model, encoding, VariationSettings(), seed, silent))
            real.append(window_features(source))
            varied.append(window_features(made))
            noisy.append(window_features(with_independent_noise(source, made, seed)))
        row = {"name": name, "clips": len(indices), "windows": sum(map(len, real))}
        poses = [[rows[:, : pose_size(source)] for rows in windows] for windows in (real, varied, noisy)]
        figures = {
            "variations": two_sample(real, varied),
            "real": real_against_real(real, 0),
            "noise": two_sample(real, noisy),
            "pose_variations": two_sample(poses[0], poses[1]),
            "pose_noise": two_sample(poses[0], poses[2]),
        }
        for key, (share, error) in figures.items():
            row |= {key: share, f"{key}_error": error}
        rows.append(row)
        report(f"{name}: variations told {row['variations']:.0%}, real {row['real']:.0%}, noise {row['noise']:.0%}")
    return rows
