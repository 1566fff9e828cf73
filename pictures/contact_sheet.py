"""A picture by which a person can judge: source, reconstruction and variations, over the ground and pose by pose.

Each row shows one action three ways: ghosts along its path with the trails of hands and feet (arcs, contacts, travel),
poses at even times seen from the front and aside with the source in grey behind (posture, weight, balance), and under
them a strip of time: where the source rests on the floor, how far each joint of a variation turns from it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from backend.motion import joint_positions
from backend.rotations import matrix_to_quaternion, quaternion_angle, quaternion_conjugate, quaternion_multiply
from backend.rotations import quaternion_rotate as rotate
from backend.skeleton import skeleton_height

from .figure import LEFT, MIDDLE, RIGHT, Body, Camera, Layer, camera, draw_figure, make_body
from .take import Take

PAPER, PANEL, INK, FAINT, GRID = (247, 245, 240), (239, 236, 229), (38, 40, 44), (128, 126, 120), (219, 214, 204)
MARGIN, GUTTER = 40, 26
PATH_WIDTH, STRIP_WIDTH = 740, 1240
MOST_POSES, MOST_GHOSTS, LEAST = 11, 9, 4
ROW_HEIGHT, CAPTION, STRIP_HEIGHT, HEAT_HEIGHT = 392, 44, 252, 70
TALLEST, TALLEST_GHOST = 196, 250  # pixels of a standing figure
STANDING_WEIGHT = 0.3  # how much a pose that changes on the spot counts as travel, when ghosts are laid out
HEADER = 132
PATH_ELEVATION = np.radians(15)
STRIP_AZIMUTH = np.radians(-44)  # from ahead and a little to the side
HEAT = np.array([(239, 236, 229), (250, 214, 150), (238, 140, 72), (190, 54, 58), (96, 18, 62)], dtype=np.float32)
LEAST_FULL_HEAT_DEG = 12.0


@dataclass(frozen=True)
class Row:
    """One action in the picture.

    Attributes:
        title: in bold. facts: behind it. take: as it plays. is_variation: compared with the source in its strip.
        contacts: `[T, J]` bool, of an action that has nothing to do with the source and is shown by itself; else None.
    """

    title: str
    facts: str
    take: Take
    is_variation: bool = True
    contacts: np.ndarray | None = None


def draw_contact_sheet(path: Path, title: str, facts: str, rows, contacts, first_frame: int) -> None:
    """Draws the picture; the first row is the source. `contacts` are its own, `[T, J]` bool."""
    scene = Scene(rows[0].take, contacts, first_frame)
    width = 2 * MARGIN + PATH_WIDTH + GUTTER + STRIP_WIDTH
    sheet = Image.new("RGB", (width, HEADER + ROW_HEIGHT * len(rows) + MARGIN // 2), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 28), title, font=font(38), fill=INK)
    draw.text((MARGIN, 80), facts, font=font(19), fill=FAINT)
    changes = [change_deg(rows[0].take, row.take) for row in rows if row.contacts is None]
    # A poor reconstruction shall not make the variations look pale, so it doesn't count where there are any.
    counted = changes[2:] or changes
    full = max([LEAST_FULL_HEAT_DEG, *(float(np.percentile(change, 97)) for change in counted)])
    draw_legend(sheet, draw, width, full)
    for index, row in enumerate(rows):
        top = HEADER + ROW_HEIGHT * index
        draw.text((MARGIN, top + 8), row.title, font=font(24), fill=INK)
        draw.text(
            (MARGIN + draw.textlength(row.title, font=font(24)) + 16, top + 13), row.facts, font=font(18), fill=FAINT
        )
        body_top = top + CAPTION
        shown = scene if row.contacts is None else Scene(row.take, row.contacts, first_frame)
        sheet.paste(shown.path_panel(row), (MARGIN, body_top))
        left = MARGIN + PATH_WIDTH + GUTTER
        sheet.paste(shown.strip_panel(row), (left, body_top))
        strip = (
            shown.heat_strip(change_deg(rows[0].take, row.take), full) if row.is_variation else shown.contact_strip()
        )
        sheet.paste(strip, (left, body_top + STRIP_HEIGHT + 8))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def font(size: int):
    """Pillow's own font."""
    return ImageFont.load_default(size)


def draw_legend(sheet, draw, width: int, full: float) -> None:
    """Colours of the sides and of the heat, at the header's right."""
    right = width - MARGIN
    bar = heat_colours(np.tile(np.linspace(0, full, 220), (12, 1)), full)
    sheet.paste(Image.fromarray(bar), (right - 220, 44))
    draw.text((right - 220, 60), "0\u00b0", font=font(16), fill=FAINT)
    draw.text((right, 60), f"{full:.0f}\u00b0", font=font(16), fill=FAINT, anchor="ra")
    draw.text((right - 220, 20), "joint's turn from the source", font=font(16), fill=FAINT)
    for index, (colour, name) in enumerate(((LEFT, "left"), (MIDDLE, "middle"), (RIGHT, "right"))):
        x = right - 520 + 92 * index
        draw.ellipse((x, 44, x + 14, 58), fill=rgb(colour), outline=GRID)
        draw.text((x + 20, 41), name, font=font(16), fill=FAINT)


def rgb(colour) -> tuple[int, int, int]:
    """A figure's colour for Pillow."""
    return tuple(int(255 * part) for part in colour)


def change_deg(source: Take, take: Take) -> np.ndarray:
    """How far each joint turns from the source, `[T, J]` degrees, in the world."""
    return np.degrees(quaternion_angle(source.motion.rotations, take.motion.rotations))


def heat_colours(values, full: float) -> np.ndarray:
    """Degrees as colours, `[..., 3]` uint8."""
    place = np.clip(values / full, 0, 1) * (len(HEAT) - 1)
    low = np.minimum(place.astype(int), len(HEAT) - 2)
    mix = (place - low)[..., None]
    return ((1 - mix) * HEAT[low] + mix * HEAT[low + 1]).astype(np.uint8)


class Scene:
    """What all rows share: the body, cameras, frames."""

    def __init__(self, source: Take, contacts, first_frame: int):
        motion = source.motion
        self.source, self.contacts, self.first_frame = source, contacts, first_frame
        self.parents = motion.skeleton.parents
        self.frames = motion.frames
        heads = joint_positions(motion)
        self.height = skeleton_height(motion.skeleton)
        rest = motion.skeleton.rest
        self.body: Body = make_body(self.parents, (source.rest_heads, rest[:, :3, 3]), heads, source.tails, self.height)
        self.rest = matrix_to_quaternion(rest[:, :3, :3])
        self.floor = float(np.percentile(heads[..., 2].min(axis=1), 5))
        self.headings = self.heading_angles(motion)
        ends = np.where(self.body.tips[:, None], source.tails, heads)
        self.outline = np.concatenate((heads, ends), axis=1)  # what has to fit into the panels
        self.tall = max(self.outline[..., 2].max() - self.floor, 0.5 * self.height)
        self.wide = self.strip_width()
        count = int(np.clip(STRIP_WIDTH / (1.05 * self.wide * TALLEST / self.tall), LEAST, MOST_POSES))
        self.pose_rows = np.linspace(0, self.frames - 1, min(count, self.frames)).round().astype(int)
        self.shift = self.spread(heads[:, 0])
        self.ghost_rows = self.choose_ghosts(heads + self.shift[:, None])
        self.trailed = self.trail_joints(heads)
        self.path_view = self.path_camera(self.outline + self.shift[:, None])
        self.heat_rows = np.concatenate([np.flatnonzero(self.body.sides == side) for side in (0, 1, -1)])

    def heading_angles(self, motion) -> np.ndarray:
        """Where the body faces, `[T]` radians about Z from -Y; where rest doesn't tell, where it travels."""
        if self.body.forward is not None:
            turns = quaternion_multiply(motion.rotations[:, 0], quaternion_conjugate(self.rest[0])[None])
            facing = rotate(turns, np.tile(self.body.forward, (len(turns), 1)))
            return np.unwrap(np.arctan2(facing[:, 0], -facing[:, 1]))
        travel = motion.root_positions[-1] - motion.root_positions[0]
        return np.full(self.frames, np.arctan2(travel[0], -travel[1]) if np.hypot(*travel[:2]) > 1e-6 else 0.0)

    def spread(self, roots) -> np.ndarray:
        """What is added to positions in the path panel so that a clip on the spot is laid out over time, `[T, 3]`."""
        extent = np.ptp(roots[:, :2], axis=0).max()
        wanted = max(2.6 * self.height, 4.5 * self.wide)
        if extent > 0.6 * wanted:
            return np.zeros((self.frames, 3))
        azimuth = self.headings.mean() + STRIP_AZIMUTH
        return np.linspace(0, wanted, self.frames)[:, None] * (np.cos(azimuth), np.sin(azimuth), 0.0)

    def strip_width(self) -> float:
        """How wide a pose is on most frames, seen as in the strip, metres."""
        rows = np.linspace(0, self.frames - 1, min(self.frames, 50)).astype(int)
        widths = [np.ptp(self.outline[row] @ self.strip_view(row, 1.0, (0, 0)).right) for row in rows]
        return float(np.percentile(widths, 95)) + 0.08 * self.height

    def choose_ghosts(self, heads) -> np.ndarray:
        """Rows for the path panel, evenly along the path; where the body stands, its pose counts a little."""
        roots = np.linalg.norm(np.diff(heads[:, 0], axis=0), axis=-1)
        poses = np.linalg.norm(np.diff(heads - heads[:, :1], axis=0), axis=-1).mean(axis=-1)
        way = np.concatenate(([0], np.cumsum(roots + STANDING_WEIGHT * poses)))
        count = int(np.clip(roots.sum() / (0.55 * self.wide), LEAST, MOST_GHOSTS))
        return np.unique(np.searchsorted(way, np.linspace(0, way[-1], min(count, self.frames)) - 1e-9))

    def trail_joints(self, heads) -> list[int]:
        """The leaves of the sides that travel most against the root: hands and feet, wings, paws."""
        leaves = np.flatnonzero(~np.isin(np.arange(len(self.parents)), self.parents) & (self.body.sides != 0))
        relative = heads[:, leaves] - heads[:, :1]
        travel = np.linalg.norm(np.diff(relative, axis=0), axis=-1).sum(axis=0)
        return [int(leaf) for leaf in leaves[np.argsort(-travel)][:4]]

    def path_camera(self, heads) -> Camera:
        """Looks at the whole path from where it is widest, on the side that the body mostly faces."""
        floor = heads[:, 0, :2] - heads[:, 0, :2].mean(axis=0)
        axis = np.linalg.svd(floor, full_matrices=False)[2][0]
        azimuth = np.arctan2(axis[1], axis[0])
        facing = np.stack((np.sin(self.headings), -np.cos(self.headings)), axis=-1).mean(axis=0)
        if facing @ (np.sin(azimuth), -np.cos(azimuth)) < 0:
            azimuth += np.pi
        centre = np.append(heads[:, 0, :2].mean(axis=0), self.floor)
        size = np.array((PATH_WIDTH, ROW_HEIGHT - CAPTION - 18))
        view = camera(azimuth, PATH_ELEVATION, 1.0, centre, (0.0, 0.0))
        points = view.project(heads)[..., :2]
        low, high = points.min(axis=(0, 1)), points.max(axis=(0, 1))
        scale = min(*((size - (90, 64)) / (high - low)), TALLEST_GHOST / self.height)
        view = camera(azimuth, PATH_ELEVATION, scale, centre, (0.0, 0.0))
        pixel = size / 2 - scale * (low + high) / 2
        return Camera(view.right, view.up, view.toward, view.scale, view.centre, tuple(pixel))

    def noses(self, take: Take):
        """A point in front of the face, `[T, 3]`, or None where the body has no upright head."""
        head, forward = self.body.head, self.body.forward
        heads, tails = joint_positions(take.motion), take.tails
        if head < 0 or forward is None or not self.body.tips[head]:
            return None
        upright = (tails - heads)[:, head, 2].mean() / np.linalg.norm((tails - heads)[:, head], axis=-1).mean()
        if upright < 0.7:
            return None
        turns = quaternion_multiply(take.motion.rotations[:, head], quaternion_conjugate(self.rest[head])[None])
        middle = 0.6 * heads[:, head] + 0.4 * tails[:, head]
        reach = 1.3 * self.body.tip_radii[head, 0]
        return middle + rotate(turns, np.tile(reach * forward, (len(turns), 1)))

    def path_panel(self, row: Row) -> Image.Image:
        """Ghosts along the path, on a grid of heights, with trails."""
        size = (PATH_WIDTH, ROW_HEIGHT - CAPTION - 18)
        view, heads = self.path_view, joint_positions(row.take.motion) + self.shift[:, None]
        tails, noses = row.take.tails + self.shift[:, None], self.noses(row.take)
        back = Image.new("RGB", (2 * size[0], 2 * size[1]), PANEL)
        draw = ImageDraw.Draw(back)
        self.draw_ground(draw, view)
        if row.is_variation:
            self.draw_trails(draw, view, joint_positions(self.source.motion) + self.shift[:, None], (190, 188, 182), 2)
        self.draw_trails(draw, view, heads, None, 3)
        panel = back.resize(size, Image.Resampling.LANCZOS)
        for order, index in enumerate(self.ghost_rows):
            layer = Layer(*size)
            nose = None if noses is None else noses[index] + self.shift[index]
            draw_figure(layer, self.body, view, heads[index], tails[index], nose, halo=np.array(PANEL) / 255)
            picture = layer.image(0.30 + 0.70 * (order + 1) / len(self.ghost_rows))
            panel.paste(picture, (0, 0), picture)
        return panel

    def draw_ground(self, draw, view: Camera) -> None:
        """Lines half a height apart, and where the source rests on the floor."""
        step = 0.5 * self.height
        centre = np.round(view.centre[:2] / step) * step
        reach = 14 * step
        for offset in np.arange(-14, 15) * step:
            for a, b in (((offset, -reach), (offset, reach)), ((-reach, offset), (reach, offset))):
                ends = [view.project((*(centre + end), self.floor))[:2] for end in (a, b)]
                draw.line([tuple(2 * end) for end in ends], fill=GRID, width=1)
        heads = joint_positions(self.source.motion) + self.shift[:, None]
        for joint in np.flatnonzero(self.contacts.any(axis=0)):
            colour = rgb((MIDDLE, LEFT, RIGHT)[self.body.sides[joint]])
            for start, stop in runs(self.contacts[:, joint]):
                place = heads[start:stop, joint].mean(axis=0)
                x, y = 2 * view.project(np.append(place[:2], self.floor))[:2]
                wide = 2 * 0.028 * self.height * view.scale
                draw.ellipse((x - wide, y - 0.45 * wide, x + wide, y + 0.45 * wide), outline=colour, width=3)

    def draw_trails(self, draw, view: Camera, heads, colour, width: int) -> None:
        """The paths of hands and feet."""
        for joint in self.trailed:
            points = [tuple(point) for point in 2 * view.project(heads[:, joint])[:, :2]]
            side = colour or rgb(0.5 * np.array((MIDDLE, LEFT, RIGHT)[self.body.sides[joint]]) + 0.45)
            draw.line(points, fill=side, width=width, joint="curve")

    def strip_panel(self, row: Row) -> Image.Image:
        """Poses at even times, seen from ahead and aside, the source in grey behind."""
        panel = Image.new("RGB", (STRIP_WIDTH, STRIP_HEIGHT), PANEL)
        draw = ImageDraw.Draw(panel)
        ground = STRIP_HEIGHT - 34
        draw.line((0, ground, STRIP_WIDTH, ground), fill=(196, 190, 178), width=2)
        cell = STRIP_WIDTH / len(self.pose_rows)
        heads, source = joint_positions(row.take.motion), joint_positions(self.source.motion)
        noses = self.noses(row.take)
        scale = min(TALLEST / self.tall, 0.98 * cell / self.wide)
        size = (int(2 * cell), STRIP_HEIGHT)
        for order, index in enumerate(self.pose_rows):
            x = (order + 0.5) * cell
            corner = (int(x) - size[0] // 2, 0)
            view = self.strip_view(index, scale, (x - corner[0], ground))
            if row.is_variation:
                layer = Layer(*size)
                draw_figure(layer, self.body, view, source[index], self.source.tails[index], ghost=True)
                picture = layer.image(0.42)
                panel.paste(picture, corner, picture)
            layer = Layer(*size)
            nose = None if noses is None else noses[index]
            draw_figure(layer, self.body, view, heads[index], row.take.tails[index], nose, halo=np.array(PANEL) / 255)
            picture = layer.image()
            panel.paste(picture, corner, picture)
            draw.text((x, STRIP_HEIGHT - 26), str(self.first_frame + index), font=font(16), fill=FAINT, anchor="ma")
        return panel

    def strip_view(self, index: int, scale: float, pixel) -> Camera:
        """The camera of one pose: it turns with the source's heading and stands before the middle of its pose."""
        view = camera(self.headings[index] + STRIP_AZIMUTH, np.radians(4), scale, (0.0, 0.0, self.floor), (0.0, 0.0))
        pose = self.outline[index]
        root = np.append(pose[0, :2], self.floor)
        across = (pose - root) @ view.right
        return replace(view, centre=root + 0.5 * (across.min() + across.max()) * view.right, pixel=pixel)

    def time_image(self, colours) -> Image.Image:
        """Rows of colours over time, `[N, T, 3]` uint8, as wide as the strip with time under the poses."""
        cell = STRIP_WIDTH / len(self.pose_rows)
        strip = Image.new("RGB", (STRIP_WIDTH, HEAT_HEIGHT), PAPER)
        inner = Image.fromarray(colours).resize((int(STRIP_WIDTH - cell), HEAT_HEIGHT), Image.Resampling.NEAREST)
        strip.paste(inner, (int(cell / 2), 0))
        return strip

    def heat_strip(self, change, full: float) -> Image.Image:
        """How far each joint turns from the source over time."""
        strip = self.time_image(heat_colours(change.T[self.heat_rows], full))
        draw = ImageDraw.Draw(strip)
        left = STRIP_WIDTH / len(self.pose_rows) / 2 - 12
        high = HEAT_HEIGHT / len(self.heat_rows)
        for row, joint in enumerate(self.heat_rows):
            colour = rgb((MIDDLE, LEFT, RIGHT)[self.body.sides[joint]])
            draw.rectangle((left, row * high, left + 6, (row + 1) * high), fill=colour)
        return strip

    def contact_strip(self) -> Image.Image:
        """When which joint rests on the floor."""
        joints = np.flatnonzero(self.contacts.any(axis=0))
        colours = np.full((max(len(joints), 1), self.frames, 3), PANEL, dtype=np.uint8)
        for row, joint in enumerate(joints):
            colours[row, self.contacts[:, joint]] = rgb((MIDDLE, LEFT, RIGHT)[self.body.sides[joint]])
        return self.time_image(colours)


def runs(mask) -> list[tuple[int, int]]:
    """Starts and stops of the stretches that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(int), [0]))))
    return list(zip(edges[::2], edges[1::2], strict=True))
