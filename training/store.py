"""Access to the clips of a prepared data set, as windows for training and as motions like the add-on's; numpy only."""

import json
from pathlib import Path

import numpy as np

from backend.errors import UserError
from backend.motion import Motion
from backend.rotations import quaternion_normalize, quaternion_rotate, quaternion_to_matrix
from backend.skeleton import Skeleton, ancestor_matrix, parent_rows

from .augment import Clip
from .shards import FORMAT, QUATERNION_SCALE, damage, open_shard

MANIFEST = "dataset.json"
BODY_HEIGHT_M = 1.7  # data sets keep heights; their motions are given this one


class ClipStore:
    """Random access to the clips of a prepared data set; shards are memory-mapped when first used.

    Raises:
        UserError: the folder holds no data set of this format.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        try:
            manifest = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.folder} is no prepared data set: {MANIFEST} can't be read ({error}). Make one with "
                "`python -m training prepare FOLDERS --out DATA`."
            ) from error
        if manifest.get("format") != FORMAT:
            raise UserError(f"{self.folder} has format {manifest.get('format')}, expected {FORMAT}. Run prepare again.")
        self.clips, self.shards, self.fps = manifest["clips"], manifest["shards"], float(manifest["fps"])
        self.opened = {}

    def check(self, part: int = 0, parts: int = 1) -> None:
        """Reads all shards, or every `parts`-th from number `part` on, and compares their checksums.

        Raises:
            UserError: some are not as they were written; the text names them and says what to do.
        """
        problems = [damage(self.folder, shard) for shard in self.shards[part::parts]]
        problems = [problem for problem in problems if problem]
        if problems:
            raise UserError(
                f"{len(problems)} of {len(self.shards)} shards are damaged. {' '.join(problems[:5])} Run the same "
                "prepare command again: it keeps what is whole and makes these anew."
            )

    def array(self, index: int, name: str) -> np.ndarray:
        """One flat array of the shard that holds a clip."""
        shard = self.clips[index]["shard"]
        if shard not in self.opened:
            self.opened[shard] = open_shard(self.folder, self.shards[shard]["name"])
        return self.opened[shard][name]

    def __getstate__(self):
        """Without the open shards, for a process that loads batches."""
        return self.__dict__ | {"opened": {}}

    def select(self, split: str, sets=None) -> list[int]:
        """Indices of the clips of a split, of all sets or some."""
        return [
            i for i, clip in enumerate(self.clips) if clip["split"] == split and (sets is None or clip["set"] in sets)
        ]

    def parents(self, index: int) -> np.ndarray:
        """The parents of a clip's joints, `[J]`."""
        start = self.clips[index]["rows"]["parents"]
        return self.array(index, "parents")[start : start + self.clips[index]["joints"]].astype(np.int64)

    def skeleton(self, index: int) -> dict[str, np.ndarray]:
        """parents, places, rests and references of a clip."""
        clip = self.clips[index]
        return {
            name: np.asarray(self.array(index, name)[clip["rows"][name] : clip["rows"][name] + clip["joints"]])
            for name in ("parents", "places", "rests", "references")
        }

    def rotations(self, index: int, rows) -> np.ndarray:
        """World rotations at rows of a clip, `[T, J, 4]` float32."""
        clip = self.clips[index]
        start, joints = clip["rows"]["rotations"], clip["joints"]
        flat = self.array(index, "rotations")[start : start + clip["frames"] * joints].reshape(-1, joints, 4)
        return flat[rows].astype(np.float32) / QUATERNION_SCALE

    def roots(self, index: int, rows) -> np.ndarray:
        """Root positions at rows of a clip, `[T, 3]` heights."""
        start = self.clips[index]["rows"]["roots"]
        return self.array(index, "roots")[start : start + self.clips[index]["frames"]][rows]

    def slides(self, index: int, rows) -> np.ndarray | None:
        """What is added to the places at rows of a clip, `[T, J, 3]`, or None where nothing slides."""
        clip = self.clips[index]
        if not clip["slides"]:
            return None
        start, joints = clip["rows"]["slides"], clip["joints"]
        flat = self.array(index, "slides")[start : start + clip["frames"] * joints].reshape(-1, joints, 3)
        return flat[rows].astype(np.float32)

    def window(self, index: int, rows) -> Clip:
        """A clip at fractional rows (nlerp), with its mean pose as reference."""
        low = np.floor(rows).astype(int)
        high = np.minimum(low + 1, self.clips[index]["frames"] - 1)
        t = (rows - low).astype(np.float32)
        skeleton = self.skeleton(index)
        rotations, roots, slides = self.rotations(index, low), self.roots(index, low), self.slides(index, low)
        if t.any():
            other = self.rotations(index, high)
            other = np.where((rotations * other).sum(axis=-1, keepdims=True) < 0, -other, other)
            rotations = rotations + t[:, None, None] * (other - rotations)
            roots = roots + t[:, None] * (self.roots(index, high) - roots)
            if slides is not None:
                slides = slides + t[:, None, None] * (self.slides(index, high) - slides)
        start = self.clips[index]["rows"]["roots"]
        root_height = float(self.array(index, "roots")[start : start + self.clips[index]["frames"], 2].mean())
        return Clip(
            parents=skeleton["parents"].astype(np.int64),
            places=skeleton["places"],
            rotations=quaternion_normalize(rotations),
            roots=roots,
            reference=skeleton["references"],
            slides=slides,
            root_height=root_height,
        )


def clip_motion(store: ClipStore, index: int, start: int = 0, stop: int | None = None, step: int = 1) -> Motion:
    """Rows of a clip, each `step`-th, as the motion of a body of 1.7 m, as the add-on would have read it."""
    clip = store.clips[index]
    rows = np.arange(start, clip["frames"] if stop is None else min(stop, clip["frames"]), step)
    skeleton = store.skeleton(index)
    parents = skeleton["parents"].astype(np.int64)
    above, ancestors = parent_rows(parents), ancestor_matrix(parents).astype(np.float64)
    places = skeleton["places"].astype(np.float64) * BODY_HEIGHT_M
    rests = quaternion_normalize(skeleton["rests"].astype(np.float64))
    rest = np.tile(np.eye(4), (len(parents), 1, 1))
    rest[:, :3, :3] = quaternion_to_matrix(rests)
    rest[:, :3, 3] = ancestors @ quaternion_rotate(rests[above], places)
    rotations = quaternion_normalize(store.rotations(index, rows).astype(np.float64))
    roots = store.roots(index, rows).astype(np.float64) * BODY_HEIGHT_M
    positions, slides = None, store.slides(index, rows)
    if slides is not None:
        steps = quaternion_rotate(rotations[:, above], places + slides.astype(np.float64) * BODY_HEIGHT_M)
        steps[:, 0] = roots
        positions = ancestors @ steps
    return Motion(Skeleton(parents, rest), store.fps / step, roots, rotations, positions)
