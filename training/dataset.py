"""A prepared data set as batches of augmented windows, of clips with about the same number of joints, as tensors."""

import numpy as np
import torch

from backend.features import motion_features, place_offsets, structure_arrays
from backend.motion import whole_chunk_rows
from backend.rotations import quaternion_rotate

from .augment import Augmentation, Clip, augment, face_canonically
from .store import ClipStore

JOINT_BUCKETS = (16, 26, 34, 60, 256)  # a batch holds clips of one bucket, so that little is padded
HAND_JOINTS = 20  # that hands add to a skeleton, about

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
    """Endless batches of augmented windows.

    Args:
        lengths: (frames, probability) of the windows of a batch; every batch has about `frames` frames in all.
    """

    def __init__(self, store: ClipStore, indices, lengths, frames: int, augmentation: Augmentation, seed: int):
        self.store, self.indices, self.lengths, self.frames = store, np.array(indices), lengths, frames
        self.augmentation, self.seed = augmentation, seed
        joints = np.array([store.clips[i]["joints"] for i in indices])
        self.buckets = np.searchsorted(JOINT_BUCKETS, joints)
        self.weights = clip_weights([store.clips[i] for i in indices])

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.seed, 0 if worker is None else worker.id))
        sizes = np.array([self.weights[self.buckets == bucket].sum() for bucket in range(len(JOINT_BUCKETS))])
        while True:
            bucket = rng.choice(len(sizes), p=sizes / sizes.sum())
            length = self.lengths[rng.choice(len(self.lengths), p=[share for _, share in self.lengths])][0]
            members = np.flatnonzero(self.buckets == bucket)
            weights = self.weights[members]
            # Wide skeletons cost as many joints as two or three narrow ones.
            hands = bucket < len(JOINT_BUCKETS) - 1 and rng.random() < self.augmentation.hands
            joints = JOINT_BUCKETS[bucket] + (HAND_JOINTS if hands else 0)
            count = max(4, int(self.frames / length * min(1.0, 40 / joints)))
            chosen = rng.choice(members, size=count, p=weights / weights.sum())
            yield collate([self.sample(int(self.indices[i]), length, rng, hands) for i in chosen])

    def sample(self, index: int, length: int, rng, hands: bool = False) -> dict[str, np.ndarray]:
        """One augmented window of a clip; short clips hold their last pose, which `valid` marks."""
        frames = self.store.clips[index]["frames"]
        speed = rng.uniform(*self.augmentation.stretch_range) if rng.random() < self.augmentation.stretch else 1.0
        start = int(rng.integers(0, max(frames - int(length * speed), 0) + 1))
        rows = start + np.arange(length) * speed
        valid = (rows <= frames - 1).astype(np.float32)
        clip = self.store.window(index, np.minimum(rows, frames - 1))
        frame = int(rng.integers(frames))
        random_frame = (self.store.rotations(index, np.array([frame]))[0], float(self.store.roots(index, frame)[2]))
        clip = augment(clip, self.store.skeleton(index)["rests"], random_frame, self.augmentation, rng, hands)
        return clip_arrays(clip) | {"valid": valid}


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


def batch_features(batch, structure):
    """`features.motion_features` of a batch."""
    return motion_features(
        batch["rotations"],
        batch["root_positions"],
        batch["reference"],
        structure,
        batch["slide"],
        batch["root_height"],
    )
