"""How well a model knows clips that it wasn't trained on: one row a set, beside the linear code and the mean pose."""

import numpy as np

from backend.change import apply_change
from backend.encoding import Encoding, Model, encode_motion, reconstruction_change
from backend.engines import to_numpy
from backend.features import MODEL_FPS, pose_positions
from backend.motion import Motion
from backend.rotations import matrix_to_quaternion, quaternion_multiply, quaternion_rotate, yaw_to_quaternion
from backend.skeleton import skeleton_height

from . import baselines, metrics
from .store import ClipStore, clip_motion

RIG_A_FILE = ("characters", "creatures")  # sets whose held-out files are rigs that training never saw
NO_PEOPLE = ("creatures",)
FEWEST_CHUNKS = 30  # that a linear code is fitted on; of training clips with the same joints, or else the other half
MOST_CLIPS = 24  # of a set; sets of short clips of many rigs are taken whole


def silent(fraction: float, text: str):
    """A report for `backend.variation` that nobody reads."""


def is_trained(store: ClipStore, name: str) -> bool:
    """Whether training saw the skeletons of a set's held-out clips."""
    return name not in RIG_A_FILE and bool(store.select("train", [name]))


def held_out_clips(store: ClipStore, name: str, most: int) -> list[int]:
    """Indices of up to `most` held-out clips of a set, spread evenly over it."""
    indices = store.select("test", [name]) + store.select("eval", [name])
    return [indices[row] for row in np.unique(np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(int))]


def middle_motion(store: ClipStore, index: int, frames: int) -> Motion:
    """At most `frames` rows from the middle of a clip."""
    start = max(store.clips[index]["frames"] - frames, 0) // 2
    return clip_motion(store, index, start, start + frames)


def decoded_motion(encoding: Encoding) -> Motion:
    """All that the decoder says, its path as well, integrated from the source's first row; it drifts."""
    motion, reference, decoded = encoding.motion, encoding.reference, encoded_arrays(encoding)
    root = encoding.decoded["root"].astype(np.float64)
    turns = np.cumsum(root[:, 3]) / MODEL_FPS
    heading = yaw_to_quaternion(encoding.heading[0] + np.concatenate(([0.0], turns[:-1])))
    steps = np.concatenate((root[:, 1:3], np.zeros((len(root), 1))), axis=1) * (reference.height_m / MODEL_FPS)
    path = np.cumsum(quaternion_rotate(heading, steps), axis=0)
    roots = motion.root_positions[0] + np.concatenate((np.zeros((1, 3)), path[:-1]))
    roots[:, 2] = (root[:, 0] + reference.root_height) * reference.height_m
    changes = matrix_to_quaternion(decoded["matrices"])
    turned = np.repeat(heading[:, None], changes.shape[1], axis=1)
    rotations = quaternion_multiply(turned, quaternion_multiply(changes, reference.rotations[None] + 0 * changes))
    positions = None
    if reference.slides.any():
        local = pose_positions(decoded["matrices"], decoded["slides"], decoded["structure"]) * reference.height_m
        positions = roots[:, None] + quaternion_rotate(turned, local)
    return Motion(motion.skeleton, motion.fps, roots, rotations, positions)


def encoded_arrays(encoding: Encoding) -> dict:
    """The decoded pose in double precision, and the structure without its batch axis."""
    structure = {name: to_numpy(encoding.structure[name])[0] for name in ("parent", "ancestors", "offsets")}
    pose = {name: encoding.decoded[name].astype(np.float64) for name in ("matrices", "slides")}
    return pose | {"structure": structure}


class LinearCodes:
    """Linear codes of the data set's training clips, one a set and list of joints, fitted when first asked for."""

    def __init__(self, store: ClipStore, most_chunks: int):
        self.store, self.most_chunks, self.codes = store, most_chunks, {}
        self.lists = {}  # set and list of joints -> training clips
        for index in store.select("train"):
            self.lists.setdefault(self.key(index), []).append(index)

    def key(self, index: int) -> tuple:
        """A clip's set and list of joints."""
        return self.store.clips[index]["set"], self.store.skeleton(index)["parents"].tobytes()

    def error_heights(self, index: int, clip: baselines.PoseRows) -> float | None:
        """The code's joint error on a held-out clip; from its other half where no training clips have its joints."""
        key = self.key(index)
        known = [i for i in self.lists.get(key, []) if self.store.clips[i]["frames"] >= baselines.CHUNK_FRAMES]
        frames = sum(self.store.clips[i]["frames"] for i in known)
        if key[0] in RIG_A_FILE or frames < FEWEST_CHUNKS * baselines.CHUNK_FRAMES:
            return baselines.other_half_error_heights(clip)
        if key not in self.codes:
            # Enough clips for the chunks that are wanted, spread over the set.
            wanted = min(1.0, self.most_chunks * baselines.CHUNK_STEP / frames)
            rows = np.unique(np.linspace(0, len(known) - 1, max(1, round(wanted * len(known)))).astype(int))
            chunks = [
                baselines.chunks_of(baselines.pose_rows(clip_motion(self.store, known[row])).rows, baselines.CHUNK_STEP)
                for row in rows
            ]
            self.codes[key] = baselines.fit_code(np.concatenate(chunks))
        return baselines.joint_error_heights(clip, baselines.reconstruct_rows(self.codes[key], clip.rows))


def clip_figures(model: Model, store: ClipStore, index: int, codes: LinearCodes, frames: int) -> dict:
    """All figures of one clip's reconstruction."""
    motion = middle_motion(store, index, frames)
    encoding = encode_motion(model, motion, silent)
    made, own_path = apply_change(motion, reconstruction_change(encoding)), decoded_motion(encoding)
    figures = metrics.reconstruction_figures(motion, made, model.config.chunk)
    # The reconstruction that is shown keeps the source's path; this judges the decoder's own.
    figures["joint_unaligned_mm"] = metrics.joint_error_mm(motion, own_path, aligned=False)
    clip = baselines.pose_rows(motion)
    linear = codes.error_heights(index, clip)
    millimetres = 1000 * metrics.REPORT_HEIGHT_M
    height = encoding.reference.height_m / skeleton_height(motion.skeleton)
    return figures | {
        "set": store.clips[index]["set"],
        "clip": store.clips[index]["name"],
        "frames": motion.frames,
        "joints": len(motion.skeleton.parents),
        "linear_mm": None if linear is None else linear * millimetres * height,
        "mean_pose_mm": baselines.mean_pose_error_heights(clip) * millimetres * height,
        "jerks": [metrics.jerk_curve(each) for each in (motion, made)],
    }


def summary(name: str, clips: list[dict], chunk: int) -> dict:
    """Means over clips; the seam is that of all clips together, the linear code's error of the clips that it fits."""
    names = ("joint_mm", "joint_heights", "joint_unaligned_mm", "rotation_world_deg", "rotation_local_deg")
    row = {"name": name, "clips": len(clips), "frames": sum(clip["frames"] for clip in clips)}
    joints = [clip["joints"] for clip in clips]
    row["joints"] = [min(joints), max(joints)]
    for figure in (*names, "acceleration_mm", "mean_pose_mm"):
        row[figure] = float(np.mean([clip[figure] for clip in clips]))
    row["seam_ratio"] = metrics.pooled_seam_ratio([clip["jerks"] for clip in clips], chunk)
    fitted = [clip for clip in clips if clip["linear_mm"] is not None]
    row["linear_clips"] = len(fitted)
    row["linear_mm"] = float(np.mean([clip["linear_mm"] for clip in fitted])) if fitted else None
    row["joint_mm_beside_linear"] = float(np.mean([clip["joint_mm"] for clip in fitted])) if fitted else None
    return row


def reconstruction_rows(model: Model, store: ClipStore, most_clips: int, frames: int, most_chunks: int, report) -> list:
    """One row a set with held-out clips, those seen in training first, and one a file for creatures."""
    codes = LinearCodes(store, most_chunks)
    sets = sorted({clip["set"] for clip in store.clips if clip["split"] != "train"})
    sets.sort(key=lambda name: (not is_trained(store, name), name in RIG_A_FILE, name in NO_PEOPLE))
    rows = []
    for name in sets:
        # Rigs differ from file to file there, and the clips are short.
        most = 4 * most_clips if name in RIG_A_FILE else most_clips
        indices = held_out_clips(store, name, most)
        clips = [clip_figures(model, store, index, codes, frames) for index in indices]
        row = summary(name, clips, model.config.chunk)
        row |= {"trained": is_trained(store, name), "people": name not in NO_PEOPLE}
        if name in NO_PEOPLE:
            files = {}
            for index, clip in zip(indices, clips, strict=True):
                files.setdefault(store.clips[index]["path"].replace("\\", "/").split("/")[-1], []).append(clip)
            row["files"] = [summary(file, own, model.config.chunk) for file, own in sorted(files.items())]
        row["each"] = [{key: value for key, value in clip.items() if key != "jerks"} for clip in clips]
        rows.append(row)
        report(f"{name}: {len(clips)} clips, {row['joint_mm']:.0f} mm")
    return rows
