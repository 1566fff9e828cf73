"""A prepared data set as batches of augmented windows, of clips with about the same number of joints, as tensors.

What is in a batch depends on nothing but the seed, the step and the part of the step, so that a run that is taken up
again sees what it would have seen, and any number of processes can share the parts.
"""

import itertools

import numpy as np
import torch

from backend.features import motion_features, place_offsets, structure_arrays
from backend.motion import whole_chunk_rows
from backend.rotations import quaternion_rotate
from backend.skeleton import ancestor_matrix

from .augment import Augmentation, Clip, augment, face_canonically, joint_count, scale_turns, take_branch
from .store import ClipStore

FULL_JOINTS = 40  # wider skeletons cost in proportion; a batch holds fewer clips of them
HAND_JOINTS, MOST_WITHOUT_HANDS = 20, 60  # that hands add to a skeleton, about; wider ones get none
SAME_RIG = 0.1  # heights: joints of clips of one rig are no farther from each other's places, in the parents' axes
SEEDS = 2**63
CANDIDATES, ROUNDS = 6, 8  # drawn for each clip of a batch, and how often at most
MOST_PADDING = 0.05  # of a batch's joints, with which no more are drawn

STRUCTURE = ("parent", "ancestors", "weights", "offsets", "slides", "facts", "relations", "mask")  # of a batch


def clip_arrays(clip: Clip) -> dict[str, np.ndarray]:
    """A clip as the model's functions take it, without a batch axis."""
    slides = np.zeros(len(clip.parents), bool) if clip.slides is None else np.abs(clip.slides).max(axis=(0, 2)) > 0
    arrays = structure_arrays(clip.parents, place_offsets(clip.parents, clip.reference, clip.places), slides)
    arrays |= {"rotations": clip.rotations, "root_positions": clip.roots, "reference": clip.reference}
    arrays["root_height"] = np.array([clip.root_height], np.float32)
    world_slides = np.zeros((*clip.rotations.shape[:2], 3), np.float32)
    if clip.slides is not None:
        world_slides = quaternion_rotate(clip.rotations[:, np.maximum(clip.parents, 0)], clip.slides)
    arrays["slide"] = world_slides
    return arrays


def collate(samples: list[dict]) -> dict[str, torch.Tensor]:
    """Samples with any number of joints, padded with zeros (unit quaternions stay finite through a one in w)."""
    joints = max(len(sample["mask"]) for sample in samples)
    batch = {}
    for name in samples[0]:
        padded = []
        for sample in samples:
            array = np.asarray(sample[name])
            count = len(sample["mask"])
            widths = [
                (0, joints - size if size == count and axis in JOINT_AXES.get(name, ()) else 0)
                for axis, size in enumerate(array.shape)
            ]
            padded.append(np.pad(array, widths))
        array = np.stack(padded)
        if name in ("rotations", "reference"):
            array[..., 0] += (np.abs(array).sum(axis=-1) == 0).astype(array.dtype)
        batch[name] = torch.from_numpy(array.astype(np.int64) if name == "relations" else array.astype(np.float32))
    return batch


JOINT_AXES = {
    "parent": (0, 1), "ancestors": (0, 1), "relations": (0, 1), "weights": (0,), "offsets": (0,), "slides": (0,),
    "facts": (0,), "mask": (0,), "rotations": (1,), "reference": (0,), "slide": (1,),
}  # fmt: skip


class WindowBatches(torch.utils.data.IterableDataset):
    """Endless batches of augmented windows, for each step one a part.

    Args:
        lengths: (frames, probability) of the windows of a batch; every batch has about `frames` frames in all.
        parts: which parts of each step. step: where to begin.
    """

    def __init__(
        self, store: ClipStore, indices, lengths, frames: int, augmentation: Augmentation, seed: int, parts=(0,), step=0
    ):
        self.store, self.indices, self.lengths, self.frames = store, np.array(indices), lengths, frames
        self.augmentation, self.seed, self.parts, self.step = augmentation, seed, tuple(parts), step
        clips = [store.clips[i] for i in indices]
        joints = np.array([clip["joints"] for clip in clips])
        self.few = joints <= MOST_WITHOUT_HANDS
        # A wide clip fills as much of a batch as several narrow ones; it is drawn as much more seldom.
        self.weights = clip_weights(clips) * np.minimum(1.0, FULL_JOINTS / joints)
        self.rigs = {}  # clips of a set with the same tree of joints
        for index in indices:
            self.rigs.setdefault(self.rig(index), []).append(index)

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for count in itertools.count(number, workers):
            step, part = divmod(count, len(self.parts))
            yield self.batch(self.step + step, self.parts[part])

    def batch(self, step: int, part: int) -> dict[str, torch.Tensor]:
        """The batch of a part of a step."""
        rng = np.random.default_rng((self.seed, step, part))
        length = self.lengths[rng.choice(len(self.lengths), p=[share for _, share in self.lengths])][0]
        hands = bool(rng.random() < self.augmentation.hands and self.few.any())
        size = max(4.0, self.frames / length)
        weights = self.weights * self.few if hands else self.weights
        rows, drawn = self.alike(np.cumsum(weights), size, (step, part), hands, rng)
        samples = [
            self.sample(int(self.indices[drawn[row]]), length, self.generator(step, part, row), hands) for row in rows
        ]
        return collate(samples)

    def alike(self, ends, size: float, place, hands: bool, rng):
        """Candidates that end with alike numbers of joints: (their rows, the clips of all rows).

        A batch is a run of the candidates sorted by joints; where these are few and far between, more are drawn and
        those that lie in the run are sorted again.
        """
        drawn, joints = np.zeros(0, np.int64), np.zeros(0, np.int64)
        lowest, highest = 0, np.inf
        for _ in range(ROUNDS):
            more = np.searchsorted(ends, rng.random(int(CANDIDATES * size)) * ends[-1], side="right")
            more = np.minimum(more, len(ends) - 1)
            first = len(drawn)
            after = [self.joints_after(int(clip), (*place, first + row), hands) for row, clip in enumerate(more)]
            drawn, joints = np.concatenate((drawn, more)), np.concatenate((joints, after))
            near = np.flatnonzero((joints >= lowest) & (joints <= highest))
            rows = near[alike_rows(joints[near], size, int(rng.integers(CANDIDATES * ROUNDS)))]
            lowest, highest = joints[rows].min(), joints[rows].max()
            if 1 - joints[rows].mean() / highest <= MOST_PADDING:
                break
        return rows, drawn

    def generator(self, step: int, part: int, row: int):
        """The random numbers of one candidate."""
        return np.random.default_rng((self.seed, step, part, row))

    def joints_after(self, clip: int, place, hands: bool) -> int:
        """How many joints a candidate will have, see `sample`."""
        rng = self.generator(*place)
        rng.integers(SEEDS)
        return joint_count(self.store.parents(int(self.indices[clip])), self.augmentation, rng, hands)

    def sample(self, index: int, length: int, rng, hands: bool = False) -> dict[str, np.ndarray]:
        """One augmented window of a clip; short clips hold their last pose, which `valid` marks."""
        place = np.random.default_rng(rng.integers(SEEDS))
        frames = self.store.clips[index]["frames"]
        speed = place.uniform(*self.augmentation.stretch_range) if place.random() < self.augmentation.stretch else 1.0
        start = int(place.integers(0, max(frames - int(length * speed), 0) + 1))
        rows = start + np.arange(length) * speed
        valid = (rows <= frames - 1).astype(np.float32)
        clip = self.store.window(index, np.minimum(rows, frames - 1))
        if place.random() < self.augmentation.branches:
            clip = self.with_branch(clip, index, place)
        if place.random() < self.augmentation.turns:
            spread = self.augmentation.turns_spread * place.standard_normal(len(clip.parents))
            clip = scale_turns(clip, np.exp(spread))
        frame = random_frame(self.store, index, place)
        clip = augment(clip, self.store.skeleton(index)["rests"], frame, self.augmentation, rng, hands)
        return clip_arrays(clip) | {"valid": valid}

    def rig(self, index: int) -> tuple[str, bytes]:
        """What clips of one rig have in common."""
        return self.store.clips[index]["set"], self.store.parents(index).tobytes()

    def with_branch(self, clip: Clip, index: int, rng) -> Clip:
        """A clip with a branch as it moves in another clip of the rig, or elsewhere in the same one."""
        length = len(clip.rotations)
        same = self.rigs[self.rig(index)]
        other = same[rng.integers(len(same))]
        frames = self.store.clips[other]["frames"]
        start = rng.integers(0, max(frames - length, 0) + 1)
        lent = self.store.window(other, np.minimum(start + np.arange(float(length)), frames - 1))
        sizes = ancestor_matrix(clip.parents).sum(axis=0)
        ends = np.cumsum(np.where(sizes <= len(sizes) / 2, sizes, 0))
        joint = int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))
        alike = np.abs(lent.places - clip.places).max() < SAME_RIG
        return take_branch(clip, lent, joint) if alike else clip


def alike_rows(joints, size: float, run: int) -> np.ndarray:
    """Rows of candidates for a batch: sorted by joints and cut into runs that cost alike, one of them.

    Args:
        joints: `[C]` of the candidates. size: clips of up to FULL_JOINTS joints in a batch. run: which, modulo all.
    """
    order = np.argsort(joints, kind="stable")
    cost = np.maximum(1.0, joints[order] / FULL_JOINTS)
    runs = max(1, int(cost.sum() / size))
    number = ((np.cumsum(cost) - 0.5 * cost) / cost.sum() * runs).astype(int)
    return order[number == run % runs]


def random_frame(store: ClipStore, index: int, rng) -> tuple[np.ndarray, float]:
    """Rotations `[J, 4]` and root height of a random frame of a clip, as `augment` takes it for a reference."""
    frame = int(rng.integers(store.clips[index]["frames"]))
    return store.rotations(index, np.array([frame]))[0], float(store.roots(index, frame)[2])


def clip_weights(clips) -> np.ndarray:
    """How often each clip is drawn: long clips and large sets more, but less than in proportion."""
    frames = np.array([clip["frames"] for clip in clips], dtype=np.float64)
    names = np.array([clip["set"] for clip in clips])
    weights = frames**0.8
    for name in np.unique(names):
        mine = names == name
        weights[mine] *= frames[mine].sum() ** -0.5
    return weights / weights.sum()


def clip_batch(store: ClipStore, index: int, most_frames: int, chunk: int):
    """A clip from its start as a batch of one, in whole chunks and its canonical facing, and its frames before that."""
    frames = min(store.clips[index]["frames"], most_frames)
    clip = store.window(index, whole_chunk_rows(frames, chunk).astype(float))
    return collate([clip_arrays(face_canonically(clip))]), frames


def batch_features(batch):
    """The skeleton's arrays of a batch, by the names of STRUCTURE, and its `features.motion_features`.

    Returns:
        (structure, joints, root, heading).
    """
    structure = {name: batch[name] for name in STRUCTURE}
    features = motion_features(
        batch["rotations"],
        batch["root_positions"],
        batch["reference"],
        structure,
        batch["slide"],
        batch["root_height"],
    )
    return structure, *features
