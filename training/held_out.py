"""How well a model knows clips that it wasn't trained on: one row a set, beside the source and the baselines."""

from dataclasses import dataclass, replace

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
MANY_RIGS = 4  # times as many clips are taken of sets of short clips of many rigs
LARGEST_CODE = 512  # numbers a chunk that linear codes are fitted with, for the rate curve
METHODS = ("source", "model", "slerp", "own_code")  # what has a line of every figure


@dataclass(frozen=True)
class Scope:
    """How much is measured.

    Attributes:
        store: the data set. sets: names of those of its sets that hold clips out, in the order of reports.
        clips: of a set at most. frames: of a clip at most, and of one that is varied. chunks: that a linear code is
        fitted on at most. quick: a look with few figures.
    """

    store: ClipStore
    sets: tuple[str, ...]
    clips: int
    frames: int
    varied_frames: int
    chunks: int
    quick: bool


def silent(fraction: float, text: str):
    """A report for `backend.variation` that nobody reads."""


def is_trained(store: ClipStore, name: str) -> bool:
    """Whether training saw the skeletons of a set's held-out clips."""
    return name not in RIG_A_FILE and bool(store.select("train", [name]))


def held_out_clips(store: ClipStore, name: str, most: int) -> list[int]:
    """Indices of up to `most` held-out clips of a set, spread evenly over it."""
    indices = store.select("test", [name]) + store.select("eval", [name])
    return [indices[row] for row in np.unique(np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(int))]


def held_out_sets(store: ClipStore) -> list[str]:
    """Sets that hold clips out: skeletons that training saw first, then other people, then creatures."""
    sets = sorted({clip["set"] for clip in store.clips if clip["split"] != "train"})
    return sorted(sets, key=lambda name: (not is_trained(store, name), name in RIG_A_FILE, name in NO_PEOPLE))


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

    def code(self, index: int, size: int) -> baselines.LinearCode | None:
        """The code of so many numbers a chunk for a held-out clip; None where too few training clips have its joints.

        None as well where there are so few chunks that a code of this size isn't one.
        """
        key = self.key(index)
        known = [i for i in self.lists.get(key, []) if self.store.clips[i]["frames"] >= baselines.CHUNK_FRAMES]
        frames = sum(self.store.clips[i]["frames"] for i in known)
        if key[0] in RIG_A_FILE or frames < FEWEST_CHUNKS * baselines.CHUNK_FRAMES:
            return None
        if key not in self.codes:
            # Enough clips for the chunks that are wanted, spread over the set.
            wanted = min(1.0, self.most_chunks * baselines.CHUNK_STEP / frames)
            rows = np.unique(np.linspace(0, len(known) - 1, max(1, round(wanted * len(known)))).astype(int))
            chunks = [
                baselines.chunks_of(baselines.pose_rows(clip_motion(self.store, known[row])).rows, baselines.CHUNK_STEP)
                for row in rows
            ]
            self.codes[key] = baselines.fit_code(np.concatenate(chunks), LARGEST_CODE)
        code = self.codes[key]
        return baselines.LinearCode(code.mean, code.components[:size])

    def error_heights(self, index: int, clip: baselines.PoseRows) -> float | None:
        """The code's joint error on a held-out clip; from its other half where no training clips have its joints."""
        code = self.code(index, baselines.CODE_SIZE)
        if code is None:
            return baselines.other_half_error_heights(clip)
        return baselines.joint_error_heights(clip, baselines.reconstruct_rows(code, clip.rows))


def motion_of_rows(encoding: Encoding, clip: baselines.PoseRows, rows) -> Motion:
    """Rows of a baseline as a motion, with the source's path, as the model's reconstruction is shown."""
    matrices, slides = baselines.pose_arrays(clip.structure, rows)
    decoded = {"matrices": matrices, "slides": slides, "root": encoding.decoded["root"]}
    return apply_change(encoding.motion, reconstruction_change(replace(encoding, decoded=decoded)))


def made_motions(model: Model, encoding: Encoding, clip: baselines.PoseRows) -> dict[str, Motion]:
    """The source, the model's reconstruction, and the baselines', by `METHODS`."""
    motion, stride = encoding.motion, model.config.levels[0].stride
    size = max(1, round(model.config.levels[0].latent / stride))
    return {
        "source": motion,
        "model": apply_change(motion, reconstruction_change(encoding)),
        "slerp": baselines.slerp_motion(motion, stride),
        "own_code": motion_of_rows(encoding, clip, baselines.own_code_rows(clip.rows, [size])[size]),
    }


def method_figures(source: Motion, made: Motion, contacts, chunk: int) -> dict[str, float]:
    """One line of all figures of a reconstruction."""
    figures = metrics.reconstruction_figures(source, made, chunk)
    figures["jerk_ratio"] = metrics.jerk_ratios(source, made)[0]
    return figures | {"skate_cm_s": metrics.skate_cm_s(made, contacts)}


def clip_figures(model: Model, store: ClipStore, index: int, motion: Motion, codes: LinearCodes | None) -> dict:
    """All figures of one clip's reconstruction; those of the linear code where `codes` are given."""
    encoding, clip = encode_motion(model, motion, silent), baselines.pose_rows(motion)
    contacts = metrics.source_contacts(motion)
    made = made_motions(model, encoding, clip)
    methods = {name: method_figures(motion, each, contacts, model.config.chunk) for name, each in made.items()}
    # The reconstruction that is shown keeps the source's path; this judges the decoder's own.
    drifting = metrics.joint_error_mm(motion, decoded_motion(encoding), aligned=False)
    methods["model"]["joint_unaligned_mm"] = drifting
    linear = None if codes is None else codes.error_heights(index, clip)
    millimetres = 1000 * metrics.REPORT_HEIGHT_M * encoding.reference.height_m / skeleton_height(motion.skeleton)
    return {
        "set": store.clips[index]["set"],
        "clip": store.clips[index]["name"],
        "frames": motion.frames,
        "joints": len(motion.skeleton.parents),
        "has_contacts": bool(contacts.any()),
        "methods": methods,
        "linear_mm": None if linear is None else linear * millimetres,
        "mean_pose_mm": baselines.mean_pose_error_heights(clip) * millimetres,
        "jerks": {name: metrics.jerk_curve(each) for name, each in made.items()},
    }


def method_summary(clips: list[dict], method: str, chunk: int) -> dict:
    """Means over clips; skate of clips that have contacts, seam and area under jerk of all together."""
    mine = [clip["methods"][method] for clip in clips]
    row = {name: float(np.mean([figures[name] for figures in mine])) for name in mine[0]}
    standing = [clip["methods"][method]["skate_cm_s"] for clip in clips if clip["has_contacts"]]
    row["skate_cm_s"] = float(np.mean(standing)) if standing else None
    pairs = [(clip["jerks"]["source"], clip["jerks"][method]) for clip in clips]
    row["seam_ratio"] = metrics.pooled_seam_ratio(pairs, chunk)
    areas = metrics.pooled_area_under_jerk(pairs, chunk)
    return row | {"area_under_jerk": None if areas is None else areas[1]}


def summary(name: str, clips: list[dict], chunk: int) -> dict:
    """One row: the model's figures, those of every method, the linear code's error of the clips that it fits."""
    row = {"name": name, "clips": len(clips), "frames": sum(clip["frames"] for clip in clips)}
    joints = [clip["joints"] for clip in clips]
    row["joints"] = [min(joints), max(joints)]
    row["mean_pose_mm"] = float(np.mean([clip["mean_pose_mm"] for clip in clips]))
    row["methods"] = {method: method_summary(clips, method, chunk) for method in METHODS}
    row |= row["methods"]["model"]
    row |= {f"{method}_mm": row["methods"][method]["joint_mm"] for method in ("slerp", "own_code")}
    fitted = [clip for clip in clips if clip["linear_mm"] is not None]
    row["linear_clips"] = len(fitted)
    row["linear_mm"] = float(np.mean([clip["linear_mm"] for clip in fitted])) if fitted else None
    beside = [clip["methods"]["model"]["joint_mm"] for clip in fitted]
    return row | {"joint_mm_beside_linear": float(np.mean(beside)) if fitted else None}


def seen_error_mm(model: Model, scope: Scope, name: str) -> float | None:
    """The model's error on clips of a set that it was trained on; None where there are none."""
    store, indices = scope.store, scope.store.select("train", [name])
    rows = np.unique(np.linspace(0, len(indices) - 1, min(scope.clips, len(indices))).astype(int)) if indices else []
    errors = []
    for row in rows:
        motion = middle_motion(store, indices[row], scope.frames)
        made = apply_change(motion, reconstruction_change(encode_motion(model, motion, silent)))
        errors.append(metrics.joint_error_mm(motion, made))
    return float(np.mean(errors)) if errors else None


def reconstruction_rows(model: Model, scope: Scope, codes: LinearCodes, report) -> list[dict]:
    """One row a set with held-out clips, those seen in training first, and one a file for creatures."""
    store, chunk, rows = scope.store, model.config.chunk, []
    for name in scope.sets:
        indices = held_out_clips(store, name, scope.clips * (MANY_RIGS if name in RIG_A_FILE else 1))
        clips = [clip_figures(model, store, i, middle_motion(store, i, scope.frames), codes) for i in indices]
        row = summary(name, clips, chunk)
        row |= {"trained": is_trained(store, name), "people": name not in NO_PEOPLE}
        if name in NO_PEOPLE:
            files = {}
            for index, clip in zip(indices, clips, strict=True):
                files.setdefault(store.clips[index]["path"].replace("\\", "/").split("/")[-1], []).append(clip)
            row["files"] = [summary(file, own, chunk) for file, own in sorted(files.items())]
            row["seen_mm"] = seen_error_mm(model, scope, name)
        row["each"] = [{key: value for key, value in clip.items() if key != "jerks"} for clip in clips]
        rows.append(row)
        report(f"{name}: {len(clips)} clips, {row['joint_mm']:.1f} mm")
    return rows
