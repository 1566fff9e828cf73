"""Figures of any skeleton: joints drawn as shaded, tapered limbs through a straight-on camera, in numpy.

Limbs are as thick as what they carry (the cross sections of branches add up, as in trees), the highest leaf in the
body's middle is drawn as a head, and left and right are told apart by the body's plane of symmetry. No names are read.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

THICKNESS = 0.056  # limb radius in heights over the root of the length it carries in heights
SHORT_HEIGHTS = 0.13  # a limb shorter than this that springs from the trunk belongs to it
HEAD_ABOVE_HEIGHTS = 0.06  # a head is at least this much above the root
SUPERSAMPLE = 2
LIGHT = np.array([-0.45, 0.65, 0.62])  # right, up, towards the viewer
MIDDLE, LEFT, RIGHT, GHOST = (0.93, 0.90, 0.84), (0.95, 0.52, 0.36), (0.29, 0.58, 0.72), (0.62, 0.62, 0.64)


@dataclass(frozen=True)
class Body:
    """What a skeleton looks like.

    Attributes:
        parents: `[J]`. height_m: standing height. sides: `[J]`, 1, -1 or 0 for the middle.
        radii: `[J, 2]`, metres, of the limb that ends in each joint. tips: `[J]` bool, leaves that show their tail.
        tip_radii: `[J, 2]`. head: the joint drawn as a head, -1 for none.
        forward: `[3]` where the rest pose faces, None where its feet don't say.
    """

    parents: np.ndarray
    height_m: float
    sides: np.ndarray
    radii: np.ndarray
    tips: np.ndarray
    tip_radii: np.ndarray
    head: int
    forward: np.ndarray | None


@dataclass(frozen=True)
class Camera:
    """A straight-on view: `right`, `up`, `toward` the viewer (unit vectors), pixels a metre, the pixel of `centre`."""

    right: np.ndarray
    up: np.ndarray
    toward: np.ndarray
    scale: float
    centre: np.ndarray
    pixel: tuple[float, float]

    def project(self, points) -> np.ndarray:
        """World points `[..., 3]` to pixels right, pixels down and depth in pixels."""
        relative = (np.asarray(points) - self.centre) * self.scale
        x, y, z = relative @ self.right, relative @ self.up, relative @ self.toward
        return np.stack((self.pixel[0] + x, self.pixel[1] - y, z), axis=-1)


def camera(azimuth_rad: float, elevation_rad: float, scale: float, centre, pixel) -> Camera:
    """Looks from the azimuth (0: from -Y, so that X is right) and from so far above."""
    sine, cosine = np.sin(azimuth_rad), np.cos(azimuth_rad)
    right = np.array([cosine, sine, 0.0])
    back = np.array([sine, -cosine, 0.0])
    toward = np.cos(elevation_rad) * back + np.array([0.0, 0.0, np.sin(elevation_rad)])
    return Camera(right, np.cross(toward, right), toward, scale, np.asarray(centre, dtype=float), pixel)


def make_body(parents, rests, heads, tails, height_m: float) -> Body:
    """The look of a skeleton.

    Args:
        rests: poses `[J, 3]` that may show the body's symmetry. heads, tails: `[T, J, 3]` ends of the joints' bones.
    """
    count = len(parents)
    steps = heads - heads[:, np.maximum(parents, 0)]
    lengths = np.median(np.linalg.norm(steps, axis=-1), axis=0) / height_m
    tip_lengths = np.median(np.linalg.norm(tails - heads, axis=-1), axis=0) / height_m
    leaf = ~np.isin(np.arange(count), parents)
    # Some importers guess where leaf bones end; a tail far off, or below the floor, is a wrong guess.
    floor = np.percentile(heads[..., 2].min(axis=1), 5)
    above = tails[..., 2].min(axis=0) > floor - 0.05 * height_m
    tips = leaf & above & (tip_lengths > 0.01) & (tip_lengths < 0.22)
    carried = np.where(tips, tip_lengths, 0.0)
    # Five fingers don't make an arm as thick as five arms: beside the longest branch the others count by half.
    below, longest, total = carried.copy(), np.zeros(count), np.zeros(count)
    for joint in range(count - 1, 0, -1):
        parent, branch = parents[joint], below[joint] + lengths[joint]
        longest[parent] = max(longest[parent], branch)
        total[parent] += branch
        below[parent] = carried[parent] + 0.5 * (longest[parent] + total[parent])
    start, end = THICKNESS * np.sqrt(below + lengths), THICKNESS * np.sqrt(np.maximum(below, 0.06))
    branches = np.bincount(parents[1:], minlength=count)[np.maximum(parents, 0)] > 1
    start = np.where(branches, np.minimum(start, 1.6 * end), start)  # a limb that springs from a trunk doesn't swell
    radii = np.clip(np.stack((start, end), axis=-1), 0.008, 0.085) * height_m
    tip_start = np.clip(THICKNESS * np.sqrt(carried), 0.008, 0.03)
    tip_radii = np.stack((tip_start, 0.75 * tip_start), axis=-1) * height_m
    sides, axis, rest_heads = min((body_sides(rest, height_m) for rest in rests), key=lambda found: found[0])[1:]
    middle = np.flatnonzero(leaf & (sides == 0))
    head = int(middle[np.argmax(rest_heads[middle, 2])]) if len(middle) else -1
    if head >= 0 and rest_heads[head, 2] - rest_heads[0, 2] < HEAD_ABOVE_HEIGHTS * height_m:
        head = -1  # a fish has its head no higher than its tail
    forward = body_forward(rest_heads, parents, leaf, sides, 1 - axis, height_m)
    if forward is not None:
        sides = sides * int(np.sign(np.cross([0.0, 0.0, 1.0], forward)[axis]))
    if head >= 0 and tips[head]:
        tip_radii[head] = np.clip(0.44 * tip_lengths[head], 0.025, 0.048) * height_m
    elif head >= 0 and 0.05 < lengths[head] < 0.2:
        radii[head] = np.clip(0.44 * lengths[head], 0.025, 0.048) * height_m
    return Body(np.asarray(parents), height_m, sides, radii, tips, tip_radii, head, forward)


def body_sides(heads, height_m: float):
    """How unlike its mirror image a pose is, on which side of the mirror each joint lies, the axis across, the pose."""
    best, axis = np.inf, 0
    for candidate in (0, 1):
        across = heads[:, candidate] - heads[0, candidate]
        mirrored = heads.copy()
        mirrored[:, candidate] = heads[0, candidate] - across
        distances = np.linalg.norm(mirrored[:, None] - heads[None], axis=-1).min(axis=1).mean()
        # A flat body mirrors onto itself across its own plane: only width counts as symmetry.
        score = (distances + 1e-3 * height_m) / (np.abs(across).mean() + 1e-6 * height_m)
        if score < best:
            best, axis = score, candidate
    across = heads[:, axis] - heads[0, axis]
    return best, np.where(np.abs(across) < 0.015 * height_m, 0, np.sign(across)).astype(int), axis, heads


def body_forward(heads, parents, leaf, sides, axis: int, height_m: float) -> np.ndarray | None:
    """Where the rest pose faces, `[3]`: where its head and ears are, or its feet point; None where neither says."""
    low = leaf & (sides != 0) & (heads[:, 2] < heads[:, 2].min() + 0.12 * height_m)
    feet = (heads - heads[np.maximum(parents, 0)])[low, axis]
    high = leaf & (heads[:, 2] > heads[0, 2] + HEAD_ABOVE_HEIGHTS * height_m)
    ahead = (heads[high, axis] - heads[0, axis]).mean() if high.any() else 0.0
    if abs(ahead) < 0.25 * height_m:
        ahead = feet.mean() if len(feet) and abs(feet.mean()) > 0.01 * height_m else 0.0
    if ahead == 0.0:
        return None
    forward = np.zeros(3)
    forward[axis] = np.sign(ahead)
    return forward


class Layer:
    """A transparent picture on which figures are drawn, at `SUPERSAMPLE` times its size."""

    def __init__(self, width: int, height: int):
        self.shape = (height * SUPERSAMPLE, width * SUPERSAMPLE)
        self.colour = np.zeros((*self.shape, 3), dtype=np.float32)
        self.depth = np.full(self.shape, -np.inf, dtype=np.float32)
        self.covered = np.zeros(self.shape, dtype=bool)

    def limb(self, start, end, radius_start: float, radius_end: float, colour, flat: bool = False) -> None:
        """A tapered capsule between two projected points (pixels); `flat` leaves its depth far behind, as a halo."""
        a, b = np.asarray(start, dtype=np.float32) * SUPERSAMPLE, np.asarray(end, dtype=np.float32) * SUPERSAMPLE
        ra, rb = radius_start * SUPERSAMPLE, radius_end * SUPERSAMPLE
        reach = max(ra, rb) + 1
        low = np.floor(np.minimum(a, b)[:2] - reach).astype(int)
        high = np.ceil(np.maximum(a, b)[:2] + reach).astype(int) + 1
        x0, y0 = np.maximum(low, 0)
        x1, y1 = np.minimum(high, (self.shape[1], self.shape[0]))
        if x0 >= x1 or y0 >= y1:
            return
        x = np.arange(x0, x1, dtype=np.float32)[None, :] - a[0]
        y = np.arange(y0, y1, dtype=np.float32)[:, None] - a[1]
        axis = b - a
        squared = max(float(axis[0] ** 2 + axis[1] ** 2), 1e-6)
        along = np.clip((x * axis[0] + y * axis[1]) / squared, 0, 1)
        across_x, across_y = x - along * axis[0], y - along * axis[1]
        radius = ra + (rb - ra) * along
        off = (across_x**2 + across_y**2) / radius**2
        inside = off < 1
        rise = np.sqrt(np.maximum(1 - off, 0))
        window = (slice(y0, y1), slice(x0, x1))
        if flat:
            fresh = inside & ~self.covered[window]
            self.colour[window][fresh] = colour
            self.covered[window][inside] = True
            return
        depth = a[2] + along * axis[2] + rise * radius
        nearer = inside & (depth > self.depth[window])
        light = (across_x * LIGHT[0] - across_y * LIGHT[1]) / radius + rise * LIGHT[2]
        shade = 0.50 + 0.52 * np.maximum(light, 0) + 0.10 * rise - 0.16 * (off > 0.80)
        self.colour[window][nearer] = (shade[..., None] * np.asarray(colour, dtype=np.float32))[nearer]
        self.depth[window][nearer] = depth[nearer]
        self.covered[window][nearer] = True

    def image(self, opacity: float = 1.0) -> Image.Image:
        """The layer as an RGBA picture of its own size."""
        alpha = self.covered.astype(np.float32) * opacity
        pixels = np.concatenate((np.clip(self.colour, 0, 1), alpha[..., None]), axis=-1)
        picture = Image.fromarray((255 * pixels + 0.5).astype(np.uint8), "RGBA")
        return picture.resize((self.shape[1] // SUPERSAMPLE, self.shape[0] // SUPERSAMPLE), Image.Resampling.BOX)


def draw_figure(
    layer: Layer, body: Body, view: Camera, heads, tails, nose=None, ghost: bool = False, halo=None
) -> None:
    """One pose: `heads`, `tails` `[J, 3]`, `nose` `[3]` or None. A ghost is grey; a halo keeps figures apart."""
    points, ends = view.project(heads), view.project(tails)
    limbs = []
    for joint, parent in enumerate(body.parents):
        if parent >= 0:
            # Collar bones and hips belong to the trunk; a leg that springs from the trunk is a leg.
            is_short = np.linalg.norm(heads[joint] - heads[parent]) < SHORT_HEIGHTS * body.height_m
            side = body.sides[parent] if is_short else body.sides[joint]
            limbs.append((points[parent], points[joint], *body.radii[joint] * view.scale, side))
        if body.tips[joint]:
            limbs.append((points[joint], ends[joint], *body.tip_radii[joint] * view.scale, body.sides[joint]))
    if nose is not None:
        middle = view.project(0.55 * heads[body.head] + 0.45 * tails[body.head])
        wide = 0.45 * body.tip_radii[body.head, 0] * view.scale
        limbs.append((middle, view.project(nose), wide, 0.6 * wide, 0))
    if halo is not None:
        for start, end, wide, narrow, _ in limbs:
            layer.limb(start, end, wide + 1.6, narrow + 1.6, halo, flat=True)
    for start, end, wide, narrow, side in limbs:
        layer.limb(start, end, wide, narrow, GHOST if ghost else (MIDDLE, LEFT, RIGHT)[side])
