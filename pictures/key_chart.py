"""Keys kept against error, and one curve a clip with its keys and handles: a picture of what reducing keys does."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from .contact_sheet import font

WIDTH, CHART_HEIGHT, CURVE_HEIGHT, MARGIN = 1400, 460, 200, 70
PAPER, INK, FAINT, GOAL = (255, 255, 255), (40, 44, 52), (205, 208, 214), (120, 170, 120)
COLOURS = ((214, 96, 77), (67, 120, 191), (90, 160, 90), (150, 100, 180), (190, 150, 40), (90, 90, 90))
GOAL_MM, GOAL_SHARE = 2.0, 0.15


@dataclass(frozen=True)
class Curve:
    """One curve before and after.

    Attributes:
        title: what it is. dense: `[n, 2]` keys before. line: `[m, 2]` the curve after. keys: handle, key, handle each.
    """

    title: str
    dense: np.ndarray
    line: np.ndarray
    keys: list


def draw_key_chart(path: Path, points: dict, curves: list[Curve]) -> None:
    """Writes the picture.

    Args:
        points: for each clip (joints' largest error in mm, share of dense keys, tolerance in degrees) in order.
    """
    height = CHART_HEIGHT + CURVE_HEIGHT * len(curves)
    sheet = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    _chart(draw, points)
    for number, curve in enumerate(curves):
        _curve(draw, curve, CHART_HEIGHT + number * CURVE_HEIGHT, COLOURS[number % len(COLOURS)])
    sheet.save(path)


def _chart(draw, points) -> None:
    """Error along, keys up, with the goal as a box."""
    every = [point for line in points.values() for point in line]
    most_mm, most = max(point[0] for point in every) * 1.1, max(point[1] for point in every) * 1.15
    left, right, top, bottom = MARGIN, WIDTH - 360, 50, CHART_HEIGHT - 60

    def at(mm, share):
        return left + (right - left) * mm / most_mm, bottom - (bottom - top) * share / most

    draw.text((left, 12), "Keys kept, of a key on every frame, against the largest error of a joint", INK, font(20))
    draw.rectangle((*at(0, min(GOAL_SHARE, most)), *at(min(GOAL_MM, most_mm), 0)), fill=(236, 244, 236))
    draw.text((left + 6, at(0, GOAL_SHARE)[1] + 4), "goal at 0.5\u00b0", GOAL, font(15))
    for share in np.arange(0, most, 0.1):
        draw.line((*at(0, share), *at(most_mm, share)), FAINT)
        draw.text((left - 48, at(0, share)[1] - 9), f"{share:.0%}", INK, font(15))
    for mm in np.arange(0, most_mm, 1.0):
        draw.text((at(mm, 0)[0] - 12, bottom + 8), f"{mm:g} mm", INK, font(15))
    for number, (name, line) in enumerate(points.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [at(mm, share) for mm, share, _ in line]
        draw.line([value for place in places for value in place], colour, 3)
        for (x, y), (_, share, degrees) in zip(places, line, strict=True):
            draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour)
            draw.text((x + 8, y - 20), f"{degrees:g}\u00b0 {share:.0%}", colour, font(15))
        draw.text((right + 40, 60 + 30 * number), name, colour, font(18))


def _curve(draw, curve, top: int, colour) -> None:
    """A curve over time: dense keys as dots, the new curve as a line, its keys with handles."""
    frames, values = curve.line[:, 0], curve.line[:, 1]
    low, high = float(values.min()), float(values.max())
    room = max(high - low, 1e-9)

    def at(point):
        x = MARGIN + (WIDTH - 2 * MARGIN) * (point[0] - frames[0]) / (frames[-1] - frames[0])
        return x, top + CURVE_HEIGHT - 25 - (CURVE_HEIGHT - 70) * (point[1] - low) / room

    draw.text((MARGIN, top), f"{curve.title}: {len(curve.dense)} keys, then {len(curve.keys)}", INK, font(16))
    for point in curve.dense:
        x, y = at(point)
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=FAINT)
    draw.line([value for point in curve.line for value in at(point)], colour, 2)
    for left, key, right in curve.keys:
        for handle in (left, right):
            draw.line((*at(handle), *at(key)), FAINT)
        x, y = at(key)
        draw.polygon(((x - 5, y), (x, y - 5), (x + 5, y), (x, y + 5)), fill=INK)
