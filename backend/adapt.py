"""Learns a character from its own motion: small differences in how its joints are read and written.

Some of the motion is held out: whole clips where there are several, else pieces of each. What is kept is the average of
weights that did best without being worse there, and nothing where it didn't help. Needs an engine with gradients
(`engine.descend`).
"""

import time
from dataclasses import dataclass

import numpy as np

from .adapt_clips import Take, joint_table, read_takes
from .adaptation import ADAPTERS, Adaptation, add_to_adapters, add_to_trunk, weights_digest
from .checkpoint import flatten
from .encoding import Model
from .engines import engine_of
from .errors import UserError
from .features import (
    JOINT_INPUT_SIZE,
    JOINT_INPUTS,
    JOINT_OUTPUT_SIZE,
    columns,
    parent_changes,
    pose_from_outputs,
    pose_positions,
)
from .model import decode, encode
from .motion import Motion
from .rotations import sixd_to_matrix

WEIGHTS = {"position": 6.0, "rotation": 1.0, "local_rotation": 0.5, "velocity": 6.0, "slide": 4.0, "root": 0.3}
SMALL = 1e-6  # below which a length's slope is smoothed
WINDOW_CHUNKS, BATCH_FRAMES = 2, 640
SETTLE_STEPS = 10  # over which the rate comes up
END_RATE = 0.05  # of the rate, when the time is up
EVALUATIONS, PATIENCE = 16, 6  # in the whole time; how many in a row may bring nothing
NEEDED_GAIN = 0.03  # of the errors, below which nothing is kept
FEW_STEPS = 30  # with fewer it can't be said whether learning helps
MOST_WORSE = 1.25  # held-out motion read with what was learnt; beyond, it was learnt by heart
MOST_JUDGED = 1_500  # frames
LEAST_SHARE = 0.005  # of the best error so far: a smaller step forward isn't one
NO_GRADIENTS = (
    "Adapting to a character needs PyTorch: NumPy can use what was learnt, but can't learn. Choose the PyTorch engine "
    "in the preferences of Motion Variations, adapt, and go back to NumPy if you like."
)
TRUNK_MATRICES = ("query_key_value", "attention_out", "mlp_up", "mlp_down")


@dataclass(frozen=True)
class Effort:
    """How hard it is tried.

    Attributes:
        seconds, most_steps: what comes first ends it.
        rate: of the steps, as shares of the matrices' own size. pull: back to the start.
        rank: of what is added to the trunk's matrices; 0 for nothing. average: of the weights over steps.
    """

    seconds: float = 60.0
    most_steps: int = 1500
    rate: float = 0.02
    pull: float = 1.0
    rank: int = 8
    average: float = 0.95


@dataclass(frozen=True)
class Errors:
    """Mean joint errors in heights: of motion that is held out, and of what is learnt from.

    Attributes:
        held: with each motion read in the better way, with what was learnt or without, as is done later. raw: with it.
    """

    held: float
    used: float
    raw: float

    @property
    def score(self) -> float:
        """What is made small: both count in proportion, so that neither is bought with much of the other."""
        return (self.held * self.used) ** 0.5


def adapt(model: Model, motions: list[Motion], report, effort: Effort | None = None, seed: int = 0) -> Adaptation:
    """What is to be learnt of a character.

    Args:
        motions: of one armature; which joints they move may differ. report: called with (fraction, text) at every step.

    Raises:
        UserError: too little motion, motions of other characters, or it didn't help.
    """
    if not model.engine.learns:
        raise UserError(NO_GRADIENTS)
    effort, started_s = effort or Effort(), time.monotonic()
    marks, height_m, rows = joint_table([motion.skeleton for motion in motions])
    takes = read_takes(model, motions, rows, len(marks), lambda share: report(0.05 * share, "Reading the motion"))
    learner = Learner(model, takes, effort, seed)
    before = best = learner.errors({})
    kept, waited, next_s = None, 0, 0.0
    steps = model.engine.descend(learner.start, learner.loss, learner.rate, effort.pull, effort.average, model.device)
    for values in steps:
        learner.share = max((time.monotonic() - started_s) / effort.seconds, learner.steps / effort.most_steps)
        report(0.05 + 0.95 * min(learner.share, 1.0), _progress(best, before))
        if learner.share >= next_s or learner.share >= 1:
            next_s = learner.share + 1 / EVALUATIONS
            errors = learner.errors(values)
            better = errors.raw <= before.raw * MOST_WORSE and errors.score < best.score * (1 - LEAST_SHARE)
            waited = 0 if better else waited + 1
            if better:
                best, kept = errors, {name: engine_of(value).to_numpy(value).copy() for name, value in values.items()}
        if learner.share >= 1 or waited >= PATIENCE:
            break
    steps.close()
    helped = kept is not None and best.score <= before.score * (1 - NEEDED_GAIN)
    if not helped and learner.steps < min(FEW_STEPS, effort.most_steps):
        raise UserError(
            f"Learning came to step {learner.steps} in {effort.seconds:.0f} s, which is too little to help: this "
            "computer is slow or busy. Nothing was kept. Allow more seconds, or wait until it has less to do."
        )
    if not helped:
        raise UserError(
            f"Adapting didn't help: the model's error stayed at {100 * before.used:.1f} % of the height, and at "
            f"{100 * before.held:.1f} % on motion that was held out. Nothing was kept. More actions may help."
        )
    adapters, trunk = learner.differences(kept)
    facts = {"before": before.held, "after": best.held, "used_before": before.used, "used_after": best.used}
    facts |= {"clips": len(motions), "seconds_of_motion": sum(motion.frames / motion.fps for motion in motions)}
    return Adaptation(marks, height_m, adapters, trunk, weights_digest(model.parameters), facts)


def _progress(best: Errors, before: Errors) -> str:
    """What the panel says while it runs."""
    return (
        f"Held-out error {100 * best.held:.2f} % of the height ({100 * before.held:.2f} at first), of what is learnt "
        f"from {100 * best.used:.2f} % ({100 * before.used:.2f})"
    )


class Learner:
    """The values that are learnt, what they do to the model, and how good that is.

    Values are in shares of the size of what they are added to, and start at zero.

    Attributes:
        start: name to zeros. share: of the time that is used up. steps: that were taken.
    """

    def __init__(self, model: Model, takes: list[Take], effort: Effort, seed: int):
        self.model, self.takes, self.effort = model, takes, effort
        self.rng = np.random.default_rng(seed)
        self.share, self.steps = 0.0, 0
        self.plain_errors = None  # of what is held out, before anything is learnt
        self.groups, self.shares = window_groups(takes, WINDOW_CHUNKS * model.config.chunk)
        joints, width = takes[0].joints.shape[1], model.config.width
        shapes = {"input": (joints, JOINT_INPUT_SIZE, width), "output": (joints, JOINT_OUTPUT_SIZE, width)}
        shapes |= {"bias": (joints, JOINT_OUTPUT_SIZE), "token": (width,)}
        self.scales = {name: self._size(takes, name) for name in ADAPTERS}
        self.start = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        self.downs = {}
        for path, matrix in self._trunk_matrices().items():
            rows, inputs = matrix.shape
            size = float((matrix**2).mean() ** 0.5)
            down = self.rng.standard_normal((effort.rank, inputs)) * size / effort.rank**0.5
            self.downs[path] = model.engine.from_numpy(down.astype(np.float32), model.device)
            self.start[path] = np.zeros((rows, effort.rank), np.float32)

    def _trunk_matrices(self) -> dict:
        """The matrices of the encoder's and the decoder's blocks, by path."""
        if not self.effort.rank:
            return {}
        flat = flatten({name: self.model.parameters[name] for name in ("encoder", "decoder")})
        return {path: matrix for path, matrix in flat.items() if path.rpartition(".")[2] in TRUNK_MATRICES}

    def _size(self, takes, name) -> float:
        """The root mean square of an adapter over the takes' joints, or of the outputs for their biases."""
        kind = "output" if name == "bias" else name
        return float(np.mean([float((take.adapters[kind] ** 2).mean()) for take in takes]) ** 0.5)

    def rate(self) -> float:
        """The rate of the next step: up at first, down towards the end of the time."""
        self.steps += 1
        fall = END_RATE + (1 - END_RATE) * 0.5 * (1 + np.cos(np.pi * min(self.share, 1.0)))
        return self.effort.rate * min(1.0, self.steps / SETTLE_STEPS) * float(fall)

    def differences(self, values) -> tuple[dict, dict]:
        """What values add to the adapters, and to the trunk as pairs of factors."""
        adapters = {name: values[name] * self.scales[name] for name in ADAPTERS}
        to_numpy = self.model.engine.to_numpy
        as_numpy = all(isinstance(value, np.ndarray) for value in values.values())
        trunk = {path: (to_numpy(down) if as_numpy else down, values[path]) for path, down in self.downs.items()}
        return adapters, trunk

    def run(self, values, takes, starts, frames: int, noise: bool):
        """Encodes and decodes windows; gives the batch (joints, root, structure) and the outputs."""
        xp, model = self.model.engine, self.model
        parts = list(zip(takes, starts, strict=True))
        joints = xp.stack([take.joints[start : start + frames] for take, start in parts])
        root = xp.stack([take.root[start : start + frames] for take, start in parts])
        structure = {name: xp.concat([take.structure[name] for take in takes], 0) for name in takes[0].structure}
        adapters = {name: xp.concat([take.adapters[name] for take in takes], 0) for name in takes[0].adapters}
        parameters = model.parameters
        if values:
            deltas, trunk = self.differences(values)
            adapters, parameters = add_to_adapters(adapters, deltas), add_to_trunk(parameters, trunk)
        posteriors = encode(parameters, model.config, adapters, joints, root, structure["mask"])
        latents = tuple(mean for mean, _ in posteriors)
        if noise:
            latents = tuple(
                mean + xp.exp(0.5 * spread) * xp.asarray(self.rng.standard_normal(tuple(mean.shape)), mean)
                for mean, spread in posteriors
            )
        outputs, root_out = decode(parameters, model.config, adapters, latents)
        return (joints, root, structure), (outputs, root_out)

    def loss(self, values):
        """The loss of the next batch of windows, all of the same length."""
        frames, stretches = self.groups[self.rng.choice(len(self.groups), p=self.shares)]
        chosen = [stretches[row] for row in self.rng.integers(len(stretches), size=max(1, BATCH_FRAMES // frames))]
        takes = [take for take, _, _ in chosen]
        starts = [int(self.rng.integers(start, stop - frames + 1)) for _, start, stop in chosen]
        batch, made = self.run(values, takes, starts, frames, noise=True)
        return sum(WEIGHTS[name] * term for name, term in reconstruction_terms(*batch, *made).items())

    def errors(self, values) -> Errors:
        """How far decoded joints are from the clips' own, against the root."""
        used = [(take, *stretch) for take in self.takes if take.plain for stretch in take.learnt]
        held = [(take, *stretch) for take in self.takes for stretch in take.held]
        errors, weights = self._errors(values, held)
        if self.plain_errors is None:
            self.plain_errors = errors
        best = np.minimum(errors, self.plain_errors)  # a motion that is known better without is read without
        raw, held = np.average(errors, weights=weights), np.average(best, weights=weights)
        errors, weights = self._errors(values, used)
        return Errors(float(held), float(np.average(errors, weights=weights)), float(raw))

    def _errors(self, values, stretches) -> tuple[np.ndarray, np.ndarray]:
        """Of stretches (take, start, stop), as many as `MOST_JUDGED` frames: errors in heights, and their weights."""
        errors, weights, frames = [], [], 0
        for take, start, stop in stretches:
            (joints, _, structure), (outputs, _) = self.run(values, [take], [start], stop - start, noise=False)
            matrices, slides = pose_from_outputs(outputs, structure)
            made = pose_positions(matrices, slides, structure)
            apart = ((made - joints[..., columns(JOINT_INPUTS, "position")]) ** 2).sum(axis=-1) ** 0.5
            mask = structure["mask"][:, None] + 0 * apart
            weights.append(float(mask.sum()))
            errors.append(float((apart * mask).sum()) / weights[-1])
            frames += stop - start
            if frames >= MOST_JUDGED:
                break
        return np.array(errors), np.array(weights)


def window_groups(takes: list[Take], frames: int):
    """Stretches by the length of the windows that fit into them.

    Returns:
        a list of (frames of a window, [(take, start, stop)]), long stretches several times; the share of each.
    """
    groups = {}
    for take in takes:
        for start, stop in take.learnt:
            length = min(frames, stop - start)
            groups.setdefault(length, []).extend([(take, start, stop)] * round((stop - start) / length))
    shares = np.array([length * len(group) for length, group in groups.items()], np.float64)
    return list(groups.items()), shares / shares.sum()


def norm(x):
    """Length over the last axis, smooth at zero."""
    return ((x * x).sum(axis=-1) + SMALL) ** 0.5 - SMALL**0.5


def reconstruction_terms(joints, root, structure, outputs, root_outputs) -> dict:
    """How far windows are from what was decoded of them: a dict of scalars by the names of `WEIGHTS`.

    The terms are those of training, see `training/losses.py`.
    """
    target = sixd_to_matrix(joints[..., columns(JOINT_INPUTS, "rotation")])
    matrices, slides = pose_from_outputs(outputs, structure)
    positions = pose_positions(matrices, slides, structure)
    wanted = joints[..., columns(JOINT_INPUTS, "position")]
    local = parent_changes(matrices, structure).swapaxes(-1, -2) @ matrices
    local_wanted = parent_changes(target, structure).swapaxes(-1, -2) @ target
    mask = structure["mask"][:, None]

    def mean(x):
        weight = mask + 0 * x
        return (x * weight).sum() / weight.sum()

    def turns(a, b):
        return norm((a - b).reshape(*a.shape[:-2], 9))

    steps = (positions - wanted)[:, 1:] - (positions - wanted)[:, :-1]
    return {
        "position": mean(norm(positions - wanted)),
        "rotation": mean(turns(matrices, target)),
        "local_rotation": mean(turns(local, local_wanted)),
        "velocity": mean(norm(steps)),
        "slide": mean(norm(slides - joints[..., columns(JOINT_INPUTS, "slide")])),
        "root": abs(root_outputs - root).mean(),
    }
