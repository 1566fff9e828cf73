"""Does the error grow with a clip's length? Held-out clips that are long enough, cut to one length after another."""

import numpy as np

from backend.encoding import Model

from .held_out import Scope, clip_figures, middle_motion, summary

LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096)
QUICK_LENGTHS = LENGTHS[:3]
FRAMES = 16384  # of one length in all, so that the longest take no longer than the others


def long_enough(scope: Scope, length: int) -> tuple[list[int], int]:
    """Indices of held-out clips of at least so many frames, spread evenly over the sets, and how many there are."""
    store = scope.store
    indices = [
        index
        for name in scope.sets
        for index, clip in enumerate(store.clips)
        if clip["set"] == name and clip["split"] != "train" and clip["frames"] >= length
    ]
    most = max(1, min(2 * scope.clips, FRAMES // length))
    rows = np.unique(np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(int)) if indices else []
    return [indices[row] for row in rows], len(indices)


def length_rows(model: Model, scope: Scope, report) -> list[dict]:
    """One row a length: see `held_out.summary`; `long_enough` of all clips are; none is joined or looped.

    Long clips are other clips than short ones, so `shortest_mm` has the model's error on the middle of the same clips,
    cut to the shortest length.
    """
    rows = []
    for length in QUICK_LENGTHS if scope.quick else LENGTHS:
        chosen, count = long_enough(scope, length)
        row = {"length": length, "long_enough": count, "clips": len(chosen), "sets": []}
        if chosen:
            motions = [middle_motion(scope.store, index, length) for index in chosen]
            clips = [clip_figures(model, scope.store, i, m, None) for i, m in zip(chosen, motions, strict=True)]
            motions = [middle_motion(scope.store, index, LENGTHS[0]) for index in chosen]
            short = [clip_figures(model, scope.store, i, m, None) for i, m in zip(chosen, motions, strict=True)]
            row |= summary(str(length), clips, model.config.chunk)
            row["shortest_mm"] = float(np.mean([clip["methods"]["model"]["joint_mm"] for clip in short]))
            row["sets"] = sorted({clip["set"] for clip in clips})
        rows.append(row)
        report(f"{length} frames: {len(chosen)} of {count} clips")
    return rows
