"""The heat line: where in time a variation differs from its source, as numbers and as a small picture."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from . import pose_cache
from .backend.skeleton import LIMB_HEIGHTS, leaf_distances, tree_height

MAX_REGIONS = 6  # rows of the picture below the line of the whole body
MAX_KEPT = 64
ROW_PX, LINE_ROWS = 24, 3  # a row of the picture, and how many the line of the whole body has
FULL_DEG = 10.0  # the least change that is drawn tall and hot; where more occurs, the most is
COLD, WARM, HOT = (0.10, 0.13, 0.20), (0.86, 0.36, 0.13), (1.00, 0.88, 0.45)
GROUND, MARK = (0.07, 0.07, 0.08), (0.93, 0.95, 1.00)


@dataclass(frozen=True)
class Region:
    """A part of the body: the joint where it begins, and its change, `[T]` degrees."""

    name: str
    degrees: np.ndarray


@dataclass(frozen=True)
class Heat:
    """How far a variation is from its source, over time.

    Attributes:
        frames: `[T]` timeline frames.
        degrees: `[T]` mean over the joints.
        regions: the limbs and what they hang on, at most MAX_REGIONS.
    """

    frames: np.ndarray
    degrees: np.ndarray
    regions: tuple[Region, ...]

    @property
    def peak(self) -> tuple[float, float]:
        """The largest change and its frame."""
        row = int(self.degrees.argmax())
        return float(self.degrees[row]), float(self.frames[row])


_kept: "OrderedDict[tuple[int, int], tuple]" = OrderedDict()  # what it was measured by, and the Heat


def heat_of(armature, row, patient: bool = False) -> Heat:
    """The heat of a line of the list, measured once.

    Args:
        row: a line with `action`, `source`, `slot`.
        patient: while the variation's keys are being dragged, what was measured last stays.

    Raises:
        MotionError: an action can't be read; the text says why.
    """
    source = pose_cache.poses_of(armature, row.source, row.slot, patient=patient)
    shown = pose_cache.poses_of(armature, row.action, row.slot, like=source, patient=patient)
    key = (armature.session_uid, row.action.session_uid)
    known = _kept.get(key)
    if known is None or known[0] != source.serial or known[1] != shown.serial:
        known = (source.serial, shown.serial, measure(source, shown))
        _kept[key] = known
        while len(_kept) > MAX_KEPT:
            _kept.popitem(last=False)
    return known[2]


def measure(source, shown) -> Heat:
    """Compares the joints' turns in two Poses of the same joints, frame by frame of the source."""
    turns = shown.turns
    if len(turns) != len(source.turns) or not np.array_equal(shown.frames, source.frames):
        turns = turns[np.abs(source.frames[:, None] - shown.frames).argmin(axis=1)]
    degrees = turn_degrees(source.turns, turns)  # [T, J]
    regions = [Region(source.joints[members[0]], degrees[:, members].mean(axis=1)) for members in body_regions(source)]
    return Heat(source.frames, degrees.mean(axis=1), tuple(regions))


def turn_degrees(a, b) -> np.ndarray:
    """Angles between unit quaternions `[..., 4]`, from their chords: exact for small ones even in float32."""
    nearer, farther = a - b, a + b
    chord = np.sqrt(np.minimum((nearer * nearer).sum(axis=-1), (farther * farther).sum(axis=-1)))
    return np.degrees(4 * np.arcsin(np.minimum(0.5 * chord, 1.0)))


def body_regions(poses) -> list[np.ndarray]:
    """The joints of the trunk, then of each limb: branches as long as a limb on which no further two hang.

    Read from the tree of joints and its lengths; names say nothing.
    """
    parents = np.asarray(poses.choice.parents)
    heads = poses.points[0, : len(parents)].astype(np.float64)
    offsets = heads - heads[np.maximum(parents, 0)]
    offsets[0] = 0
    lengths = np.linalg.norm(offsets, axis=1)
    least = LIMB_HEIGHTS * max(tree_height(parents, offsets), 1e-9)
    branches = leaf_distances(parents, lengths) + lengths
    long = branches >= least
    limbs_on = np.zeros(len(parents), dtype=int)
    np.add.at(limbs_on, parents[1:][long[1:]], 1)
    forks = limbs_on >= 2
    trunk = np.zeros(len(parents), dtype=bool)
    trunk[0] = True
    for joint in range(len(parents) - 1, -1, -1):
        if (forks[joint] and branches[joint] > 2 * least) or trunk[joint]:
            trunk[joint] = trunk[max(parents[joint], 0)] = True
    region = np.zeros(len(parents), dtype=int)  # the trunk's, until a limb begins
    for joint in range(1, len(parents)):
        above = parents[joint]
        begins = not trunk[joint] and trunk[above] and long[joint]
        region[joint] = joint if begins else region[above] if not trunk[joint] else 0
    sizes = {top: branches[top] for top in np.unique(region) if top}
    largest = sorted(sizes, key=sizes.get, reverse=True)[: MAX_REGIONS - 1]
    return [np.flatnonzero(region == top) for top in (0, *sorted(largest))]


def paint(heat: Heat, frame: float, rows: int) -> np.ndarray:
    """A square picture `[S, S, 4]` float32, the lowest row first as Blender has it.

    On top the line of the whole body over LINE_ROWS rows, below it a row for each region, dark where it follows the
    source; the upright mark is the current frame.
    """
    side = rows * ROW_PX
    picture = np.empty((side, side, 4), dtype=np.float32)
    picture[..., :3], picture[..., 3] = GROUND, 1
    at = np.interp(np.linspace(heat.frames[0], heat.frames[-1], side), heat.frames, np.arange(len(heat.frames)))
    columns = np.round(at).astype(int)
    full = max(FULL_DEG, heat.peak[0])
    hottest = max([FULL_DEG, *(region.degrees.max() for region in heat.regions)])
    tall = LINE_ROWS * ROW_PX - 3
    level = heat.degrees[columns] / full
    height = np.arange(tall)[:, None] + 0.5
    inside = height <= np.maximum(level * tall, 1.0)
    colours = heat_colours(np.broadcast_to(level, inside.shape))
    picture[side - tall :, :, :3] = np.where(inside[..., None], colours, GROUND)
    for number, region in enumerate(heat.regions):
        top = side - (LINE_ROWS + number) * ROW_PX
        if top >= ROW_PX:
            picture[top - ROW_PX + 3 : top - 2, :, :3] = heat_colours(region.degrees[columns] / hottest)
    if heat.frames[0] <= frame <= heat.frames[-1]:
        column = round((side - 2) * (frame - heat.frames[0]) / max(heat.frames[-1] - heat.frames[0], 1e-9))
        picture[:, column : column + 2, :3] = MARK
    return picture


def heat_colours(level) -> np.ndarray:
    """From cold over warm to hot for 0 to 1, `[..., 3]`."""
    level = np.clip(level, 0, 1)
    stops = (0.0, 0.6, 1.0)
    return np.stack([np.interp(level, stops, channel) for channel in zip(COLD, WARM, HOT, strict=True)], axis=-1)


def forget() -> None:
    """Measures anew from now on."""
    _kept.clear()
