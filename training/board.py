"""What TensorBoard shows of a run: every figure over the steps, and a held-out clip beside its reconstruction."""

from pathlib import Path

import numpy as np
import torch

from backend.contacts import find_contacts
from backend.features import MODEL_FPS, pose_from_outputs
from backend.model import decode, embed_skeleton, encode
from backend.motion import Motion, joint_positions
from backend.rotations import matrix_to_quaternion, quaternion_multiply, yaw_to_quaternion
from backend.skeleton import skeleton_height

from .dataset import batch_features, clip_batch
from .store import ClipStore, clip_motion

PICTURE_FRAMES = 128


@torch.no_grad()
def reconstructed(tree, config, store: ClipStore, index: int, frames: int) -> tuple[Motion, Motion]:
    """The start of a clip and what the model makes of it, on the clip's own path."""
    source = clip_motion(store, index, 0, frames)
    batch, count = clip_batch(store, index, frames, config.chunk)
    structure, joints, root, heading = batch_features(batch)
    adapters = embed_skeleton(tree, config, structure)
    means = tuple(mean for mean, _ in encode(tree, config, adapters, joints, root, structure["mask"]))
    matrices, _ = pose_from_outputs(decode(tree, config, adapters, means)[0], structure)
    changes = matrix_to_quaternion(matrices[0, :count].double().numpy())
    turns = yaw_to_quaternion(heading[0, :count].double().numpy())[:, None] + 0 * changes
    reference = batch["reference"][0].double().numpy()[None] + 0 * changes
    rotations = quaternion_multiply(turns, quaternion_multiply(changes, reference))
    return source, Motion(source.skeleton, MODEL_FPS, source.root_positions, rotations)


def picture(source: Motion, other: Motion, title: str, folder: Path) -> np.ndarray:
    """Both as a contact sheet, `[H, W, 3]` uint8."""
    from PIL import Image

    from pictures.contact_sheet import Row, draw_contact_sheet
    from pictures.take import motion_take

    positions = joint_positions(source)
    contacts = find_contacts(positions, source.fps, skeleton_height(source.skeleton), source.skeleton.parents)
    path = folder / "picture.png"
    rows = [Row("Source", "held out", motion_take(source), False), Row("Reconstruction", "", motion_take(other))]
    draw_contact_sheet(path, title, "", rows, contacts, 0)
    return np.asarray(Image.open(path).convert("RGB"))


class Board:
    """Writes for TensorBoard into a run's folder; says once where that package is missing, and then does nothing."""

    def __init__(self, folder: Path, step: int):
        self.folder, self.writer, self.drawn = folder, None, 0
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            print(f"no TensorBoard here ({error}); log.jsonl and steps.jsonl have the figures")
        else:
            self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def scalars(self, step: int, figures: dict) -> None:
        """Adds figures by their names."""
        if self.writer is not None:
            for name, value in figures.items():
                self.writer.add_scalar(name, value, step)
            self.writer.flush()

    def motion(self, step: int, tree, config, store: ClipStore) -> None:
        """Adds the picture of a held-out clip, another one each time."""
        indices = store.select("test") + store.select("eval")
        if self.writer is None or not indices:
            return
        indices = np.random.default_rng(0).permutation(indices)  # so that all sets have their turn
        index = int(indices[self.drawn % len(indices)])
        self.drawn += 1
        clip = store.clips[index]
        try:
            source, other = reconstructed(tree, config, store, index, PICTURE_FRAMES)
            title = f"{clip['set']}: {clip['name']}"
            self.writer.add_image("reconstruction", picture(source, other, title, self.folder), step, dataformats="HWC")
        except Exception as error:  # a picture is no reason to stop training
            print(f"no picture of {clip['name']}: {type(error).__name__}: {error}")
