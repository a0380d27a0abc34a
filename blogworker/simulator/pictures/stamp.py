"""Drawing in a unit box that stands on the ground: x from -0.5 to 0.5, y from 0 at the ground to 1."""

import math
from collections.abc import Sequence

from PIL import ImageDraw

from blogworker.simulator.pictures.palettes import Colour, Palette

Point = tuple[float, float]


class Stamp:
    """A unit box at one position and size on the canvas, with the methods to draw in it."""

    def __init__(self, draw: ImageDraw.ImageDraw, palette: Palette, *, x: float, ground: float, size: float) -> None:
        self._draw = draw
        self.palette = palette
        self._x = x
        self._ground = ground
        self._size = size

    def _at(self, point: Point) -> Point:
        return self._x + point[0] * self._size, self._ground - point[1] * self._size

    def poly(self, points: Sequence[Point], colour: Colour, alpha: int = 255) -> None:
        self._draw.polygon([self._at(point) for point in points], fill=(*colour, alpha))

    def oval(self, centre: Point, rx: float, ry: float, colour: Colour, alpha: int = 255) -> None:
        x, y = self._at(centre)
        rx, ry = rx * self._size, ry * self._size
        self._draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=(*colour, alpha))

    def box(self, left: float, low: float, right: float, high: float, colour: Colour, *, round_: float = 0.0,
            alpha: int = 255) -> None:  # fmt: skip
        x0, y1 = self._at((left, low))
        x1, y0 = self._at((right, high))
        self._draw.rounded_rectangle((x0, y0, x1, y1), radius=round_ * self._size, fill=(*colour, alpha))

    def ring(self, centre: Point, rx: float, ry: float, width: float, colour: Colour) -> None:
        x, y = self._at(centre)
        rx, ry = rx * self._size, ry * self._size
        self._draw.ellipse((x - rx, y - ry, x + rx, y + ry), outline=colour, width=max(1, round(width * self._size)))

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        flat = [self._at(point) for point in points]
        self._draw.line(flat, fill=colour, width=max(1, round(width * self._size)), joint="curve")

    def leaf(self, base: Point, angle: float, length: float, width: float, colour: Colour) -> None:
        """A leaf from `base`. The angle is in degrees from vertical, positive to the right."""
        direction = math.radians(angle)
        along, across = (math.sin(direction), math.cos(direction)), (math.cos(direction), -math.sin(direction))
        outline = []
        for side in (1, -1):
            steps = range(13) if side == 1 else range(12, -1, -1)
            for step in steps:
                t = step / 12
                bulge = width * math.sin(math.pi * t**0.8) * side
                outline.append(
                    (
                        base[0] + along[0] * t * length + across[0] * bulge,
                        base[1] + along[1] * t * length + across[1] * bulge,
                    )
                )
        self.poly(outline, colour)
        tip = (base[0] + along[0] * length * 0.9, base[1] + along[1] * length * 0.9)
        self.line([base, tip], 0.006, self.palette.ink)

    def shadow(self, width: float) -> None:
        """The shadow on the ground."""
        for grow, alpha in ((1.25, 26), (1.08, 34), (0.92, 44)):
            self.oval((0.03, 0.0), width * grow, 0.028 * grow, self.palette.ink, alpha)
