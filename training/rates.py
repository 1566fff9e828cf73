"""The rate curve: joint error against numbers kept a frame, for the baselines and for the model.

A model has one rate. Below it, its chunk latents are cut to fewer numbers: the directions in which they are used most
are kept, the others held at their mean, and the decoder isn't told. Above it there is nothing, and the report says so.
"""

from dataclasses import dataclass, replace

import numpy as np

from backend.change import apply_change
from backend.encoding import Encoding, Model, decode_pose, encode_motion, reconstruction_change
from backend.features import pose_positions
from backend.motion import Motion
from backend.skeleton import skeleton_height

from . import baselines, metrics
from .held_out import LinearCodes, Scope, encoded_arrays, held_out_clips, is_trained, middle_motion, silent
from .store import ClipStore, clip_motion

RATES = (1.3, 2.6, 4.0, 9.0, 16.0)  # of what is published, see ANCHORS
FEWEST_FRAMES = 64
ORDER_CLIPS, ORDER_FRAMES, ORDER_STEP = 8, 64, 0.25  # how the use of latents is measured
# Published joint errors of other models on their own data and skeleton (HumanML3D, 22 joints, 20 fps but for the
# second): for orientation, not for comparison. MLD-1 by MotionGPT's table, MotionStreamer's own, MLD-7 by DeMoDiff's.
ANCHORS = (("MLD-1", 1.3, 54.4), ("MotionStreamer", 4.0, 22.9), ("MLD-7", 9.1, 14.7))


@dataclass(frozen=True)
class LatentOrder:
    """Directions of the first level's latents, most used first.

    Attributes:
        mean: `[Z]`. whiten: `[Z, Z]` from latents to coordinates of unit spread in that order; colour: back.
    """

    mean: np.ndarray
    whiten: np.ndarray
    colour: np.ndarray


def latent_order(model: Model, store: ClipStore) -> LatentOrder:
    """Which directions of chunk latents move bodies most, given how far latents spread, measured on training clips."""
    statistics = {name: array.astype(np.float64) for name, array in model.statistics.items()}
    spread = sum(statistics[name] @ statistics[name].T for name in ("chunk_factor", "shift_factor"))
    values, vectors = np.linalg.eigh(spread)
    factor = vectors * np.sqrt(np.maximum(values, 1e-9 * values.max()))
    used = np.zeros_like(factor)
    long = [i for i in store.select("train") if store.clips[i]["frames"] >= ORDER_FRAMES] or store.select("train")
    for row in np.unique(np.linspace(0, len(long) - 1, min(ORDER_CLIPS, len(long))).astype(int)):
        encoding = encode_motion(model, clip_motion(store, long[row], 0, ORDER_FRAMES), silent)
        moves = []
        for direction in factor.T:
            first, *others = encoding.latents
            decoded = decode_pose(model, encoding, (first + ORDER_STEP * direction, *others))
            moves.append((positions(encoding, decoded) - positions(encoding, encoding.decoded)).ravel())
        moves = np.array(moves) / ORDER_STEP
        used += moves @ moves.T / moves.shape[1]
    _, turn = np.linalg.eigh(used)
    turn = turn[:, ::-1]
    return LatentOrder(statistics["chunk_mean"], turn.T @ np.linalg.inv(factor), factor @ turn)


def positions(encoding: Encoding, decoded: dict) -> np.ndarray:
    """Decoded joint positions `[T, J, 3]`, heights."""
    structure = encoded_arrays(encoding)["structure"]
    return pose_positions(decoded["matrices"], decoded["slides"], structure)


def at_fewer(model: Model, encoding: Encoding, order: LatentOrder, kept: int) -> Motion:
    """The reconstruction from `kept` numbers a chunk."""
    first, *others = encoding.latents
    coordinates = (first - order.mean) @ order.whiten.T
    coordinates[..., kept:] = 0
    decoded = decode_pose(model, encoding, (coordinates @ order.colour.T + order.mean, *others))
    return apply_change(encoding.motion, reconstruction_change(replace(encoding, decoded=decoded)))


def interpolated(errors: dict[int, float], rate: float) -> float:
    """The error at a rate between whole numbers a frame, linearly."""
    low = int(np.floor(rate))
    share = rate - low
    return errors[low] if share == 0 else (1 - share) * errors[low] + share * errors[low + 1]


def clip_errors(model: Model, index: int, motion: Motion, codes: LinearCodes, order: LatentOrder) -> dict:
    """Joint errors in mm by method, a list over `RATES`; None where a method has no such rate."""
    encoding, clip = encode_motion(model, motion, silent), baselines.pose_rows(motion)
    millimetres = 1000 * metrics.REPORT_HEIGHT_M * encoding.reference.height_m / skeleton_height(motion.skeleton)
    level, joints = model.config.levels[0], len(motion.skeleton.parents)
    whole = sorted({size for rate in RATES for size in (int(np.floor(rate)), int(np.ceil(rate)))})
    own = baselines.own_code_rows(clip.rows, whole)
    own = {size: millimetres * baselines.joint_error_heights(clip, rows) for size, rows in own.items()}
    errors = {name: [] for name in ("model", "linear", "own_code", "slerp")}
    for rate in RATES:
        kept = round(rate * level.stride)
        made = at_fewer(model, encoding, order, kept) if kept <= level.latent else None
        errors["model"].append(None if made is None else metrics.joint_error_mm(motion, made))
        code = codes.code(index, round(rate * baselines.CHUNK_FRAMES))
        linear = None if code is None else baselines.reconstruct_rows(code, clip.rows)
        errors["linear"].append(None if code is None else millimetres * baselines.joint_error_heights(clip, linear))
        errors["own_code"].append(interpolated(own, rate))
        keyed = baselines.slerp_motion(motion, baselines.slerp_spacing(joints, rate))
        errors["slerp"].append(metrics.joint_error_mm(motion, keyed))
    return errors


def mean_over_clips(clips: list[dict], name: str) -> list[float | None]:
    """Means of one method's errors, by rate; None where a clip lacks it, so that all means are of the same clips."""
    columns = zip(*(errors[name] for errors in clips), strict=True)
    return [None if None in column else float(np.mean(column)) for column in columns]


def rate_rows(model: Model, scope: Scope, codes: LinearCodes, report) -> dict:
    """The curve of skeletons that training saw and of rigs that it didn't, means over clips.

    The linear code is of skeletons with training clips enough; of trained skeletons, only such clips are taken.
    """
    order, store = latent_order(model, scope.store), scope.store
    groups = []
    for name, trained in (("trained skeletons", True), ("unseen rigs", False)):
        clips = []
        for each in scope.sets:
            if is_trained(store, each) != trained:
                continue
            for index in held_out_clips(store, each, max(1, scope.clips // 2)):
                long = store.clips[index]["frames"] >= FEWEST_FRAMES
                if long and (not trained or codes.code(index, 1) is not None):
                    motion = middle_motion(store, index, scope.varied_frames)
                    clips.append(clip_errors(model, index, motion, codes, order))
        if clips:
            errors = {method: mean_over_clips(clips, method) for method in clips[0]}
            groups.append({"name": name, "clips": len(clips), "mm": errors})
            shown = [f"{mm:.0f}" if mm is not None else "-" for mm in errors["model"]]
            report(f"rates, {name}: {len(clips)} clips, the model {' '.join(shown)} mm")
    level = model.config.levels[0]
    return {"rates": list(RATES), "model_rate": level.latent / level.stride, "groups": groups}
