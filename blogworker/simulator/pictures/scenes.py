"""The scenes: a still life with a motif, and views without one."""

import math
from random import Random

from PIL import Image, ImageDraw

from blogworker.simulator.pictures.motifs import Motif
from blogworker.simulator.pictures.palettes import Colour, Palette
from blogworker.simulator.pictures.stamp import Stamp

Size = tuple[int, int]


def still_life(size: Size, palette: Palette, motif: Motif, random: Random) -> Image.Image:
    """The motif on a table, in front of a wall."""
    image = gradient(size, palette.top, palette.bottom)
    draw = ImageDraw.Draw(image, "RGBA")
    width, height = size
    ground = height * random.uniform(0.74, 0.82)
    random.choice((_window_light, _arch, _sun_disc, _panels, _hills_behind))(draw, size, palette, random, ground)
    _table(draw, size, palette, ground, random)
    unit = min(width * 0.62, height * 0.66)
    x = width * random.uniform(0.36, 0.64)
    side = -1 if x > width / 2 else 1
    _companion(draw, palette, random, x=x + side * width * random.uniform(0.24, 0.32), ground=ground, unit=unit)
    motif(Stamp(draw, palette, x=x, ground=ground + height * 0.06, size=unit * random.uniform(0.92, 1.08)))
    return image


def view(size: Size, palette: Palette, random: Random) -> Image.Image:
    """A picture without a motif: hills, leaves, geometric shapes or waves."""
    image = gradient(size, palette.top, palette.bottom)
    draw = ImageDraw.Draw(image, "RGBA")
    random.choice((_landscape, _foliage, _bauhaus, _waves))(draw, size, palette, random)
    return image


def gradient(size: Size, top: Colour, bottom: Colour) -> Image.Image:
    """A vertical gradient, computed one pixel wide and then stretched, which is fast."""
    height = size[1]
    column = bytearray()
    for row in range(height):
        t = row / height
        column += bytes(round(a + (b - a) * t) for a, b in zip(top, bottom, strict=True))
    return Image.frombytes("RGB", (1, height), bytes(column)).resize(size, Image.Resampling.NEAREST)


def _table(draw: ImageDraw.ImageDraw, size: Size, palette: Palette, ground: float, random: Random) -> None:
    width, height = size
    colour = random.choice((palette.far, palette.middle, palette.light))
    draw.rectangle((0, ground, width, height), fill=(*colour, 255))
    draw.rectangle((0, ground, width, ground + height * 0.012), fill=(*palette.light, 120))
    if random.random() < 0.5:
        draw.rectangle((0, height * 0.95, width, height), fill=(*palette.ink, 40))


def _companion(
    draw: ImageDraw.ImageDraw, palette: Palette, random: Random, *, x: float, ground: float, unit: float
) -> None:
    """A small object beside the motif, or nothing."""
    stamp = Stamp(draw, palette, x=x, ground=ground + unit * 0.06, size=unit * random.uniform(0.45, 0.6))
    match random.randrange(5):
        case 0:  # stones
            stamp.shadow(0.3)
            stamp.oval((-0.1, 0.08), 0.2, 0.1, palette.near)
            stamp.oval((0.14, 0.06), 0.14, 0.07, palette.middle)
            stamp.oval((-0.06, 0.22), 0.13, 0.06, palette.far)
        case 1:  # a branch in a small bottle
            stamp.shadow(0.14)
            stamp.line([(0, 0.3), (0.06, 0.7), (0.2, 1.1)], 0.014, palette.ink)
            for step in range(5):
                y = 0.5 + step * 0.13
                stamp.leaf((0.03 + step * 0.035, y), 60 if step % 2 else -50, 0.22, 0.05, palette.near)
            stamp.box(-0.1, 0, 0.1, 0.3, palette.far, round_=0.04)
            stamp.box(-0.04, 0.28, 0.04, 0.4, palette.far)
        case 2:  # books
            stamp.shadow(0.36)
            for index, colour in enumerate((palette.near, palette.accent, palette.far)):
                stamp.box(
                    -0.34 + index * 0.04, index * 0.1, 0.34 - index * 0.05, index * 0.1 + 0.095, colour, round_=0.01
                )
        case 3:  # a sphere
            stamp.shadow(0.2)
            stamp.oval((0, 0.2), 0.2, 0.2, palette.accent)
            stamp.oval((-0.06, 0.27), 0.07, 0.07, palette.light, 90)
        case _:
            pass


def _window_light(draw: ImageDraw.ImageDraw, size: Size, palette: Palette, random: Random, ground: float) -> None:
    width, height = size
    left, lean = width * random.uniform(0.05, 0.5), width * random.uniform(0.08, 0.16)
    pane_w, pane_h = width * 0.13, height * 0.27
    for column in range(2):
        for row in range(2):
            x, y = left + column * pane_w * 1.1 - row * lean * 0.5, height * 0.08 + row * pane_h * 1.08
            draw.polygon([(x, y), (x + pane_w, y), (x + pane_w - lean * 0.5, y + pane_h), (x - lean * 0.5, y + pane_h)],
                         fill=(*palette.light, 150))  # fmt: skip


def _arch(draw: ImageDraw.ImageDraw, size: Size, palette: Palette, random: Random, ground: float) -> None:
    width, height = size
    x, half = width * random.uniform(0.38, 0.62), width * random.uniform(0.16, 0.22)
    for grow, colour in ((1.25, palette.far), (1.0, palette.light)):
        top = height * 0.1 + half * (1.25 - grow)
        draw.ellipse((x - half * grow, top, x + half * grow, top + 2 * half * grow), fill=(*colour, 255))
        draw.rectangle((x - half * grow, top + half * grow, x + half * grow, ground), fill=(*colour, 255))


def _sun_disc(draw: ImageDraw.ImageDraw, size: Size, palette: Palette, random: Random, ground: float) -> None:
    width, height = size
    x, y, r = width * random.uniform(0.3, 0.7), height * random.uniform(0.34, 0.46), height * random.uniform(0.26, 0.36)
    for grow, alpha in ((1.35, 60), (1.16, 90), (1.0, 255)):
        draw.ellipse((x - r * grow, y - r * grow, x + r * grow, y + r * grow), fill=(*palette.light, alpha))


def _panels(draw: ImageDraw.ImageDraw, size: Size, palette: Palette, random: Random, ground: float) -> None:
    width, height = size
    count = random.randint(5, 9)
    for index in range(count):
        x = index * width / count
        draw.rectangle((x, 0, x + width / count - 3, ground), fill=(*palette.far, 40 + 30 * (index % 2)))
    if random.random() < 0.6:
        x, y = width * random.uniform(0.1, 0.72), height * 0.12
        draw.rectangle((x, y, x + width * 0.17, y + height * 0.36), fill=(*palette.ink, 255))
        draw.rectangle((x + 8, y + 8, x + width * 0.17 - 8, y + height * 0.36 - 8), fill=(*palette.light, 255))
        draw.ellipse(
            (x + width * 0.045, y + height * 0.1, x + width * 0.125, y + height * 0.25), fill=(*palette.accent, 255)
        )


def _hills_behind(draw: ImageDraw.ImageDraw, size: Size, palette: Palette, random: Random, ground: float) -> None:
    _hills(draw, size, random, [palette.far, palette.middle], top=ground / size[1] - 0.34)


def _hills(draw: ImageDraw.ImageDraw, size: Size, random: Random, colours: list[Colour], *, top: float) -> None:
    """Overlapping ridges, each a sum of three sine waves."""
    width, height = size
    step = max(8, width // 128)
    for index, colour in enumerate(colours):
        base = height * (top + index * (1 - top) / len(colours) * 0.9)
        waves = [(random.uniform(1, 2) * (n + 1), random.uniform(0, 6.3), height * 0.07 / (n + 1)) for n in range(3)]
        ridge = [
            (x, base + sum(math.sin(x / width * turns * math.pi + phase) * rise for turns, phase, rise in waves))
            for x in range(0, width + step, step)
        ]
        draw.polygon([*ridge, (width + step, height), (0, height)], fill=(*colour, 255))


def _landscape(draw: ImageDraw.ImageDraw, size: Size, palette: Palette, random: Random) -> None:
    _sun_disc(draw, size, palette, random, size[1])
    colours = [palette.far, palette.middle, palette.base, palette.near, palette.ink]
    _hills(draw, size, random, colours[: random.randint(3, 5)], top=random.uniform(0.42, 0.52))


def _foliage(draw: ImageDraw.ImageDraw, size: Size, palette: Palette, random: Random) -> None:
    width, height = size
    _sun_disc(draw, size, palette, random, height)
    colours = (palette.far, palette.middle, palette.near, palette.base)
    for index in range(26):
        left = index % 2 == 0
        stamp = Stamp(draw, palette, x=random.uniform(-0.05, 0.34) * width + (0 if left else width * 0.7),
                      ground=height * random.uniform(0.6, 1.15), size=height)  # fmt: skip
        stamp.leaf(
            (0, 0), random.uniform(5, 70) * (1 if left else -1), random.uniform(0.3, 0.6), 0.07, colours[index // 7]
        )


def _bauhaus(draw: ImageDraw.ImageDraw, size: Size, palette: Palette, random: Random) -> None:
    width, height = size
    cell = height / 3
    colours = (palette.base, palette.accent, palette.near, palette.middle, palette.light, palette.far)
    for column in range(math.ceil(width / cell)):
        for row in range(3):
            x, y = column * cell, row * cell
            back, front = random.sample(colours, 2)
            draw.rectangle((x, y, x + cell, y + cell), fill=(*back, 255))
            match random.randrange(4):
                case 0:
                    draw.ellipse(
                        (x + cell * 0.12, y + cell * 0.12, x + cell * 0.88, y + cell * 0.88), fill=(*front, 255)
                    )
                case 1:
                    dx, dy = random.choice(((0, 0), (-cell, 0), (0, -cell), (-cell, -cell)))
                    start = {(0, 0): 180, (-cell, 0): 270, (0, -cell): 90, (-cell, -cell): 0}[dx, dy]
                    draw.pieslice(
                        (x + dx, y + dy, x + dx + 2 * cell, y + dy + 2 * cell), start, start + 90, fill=(*front, 255)
                    )
                case 2:
                    draw.polygon([(x, y + cell), (x + cell, y + cell), (x + cell, y)], fill=(*front, 255))
                case _:
                    draw.pieslice((x, y, x + cell, y + cell), 0, 180, fill=(*front, 255))


def _waves(draw: ImageDraw.ImageDraw, size: Size, palette: Palette, random: Random) -> None:
    colours = [palette.light, palette.far, palette.accent, palette.middle, palette.base, palette.near, palette.ink]
    _hills(draw, size, random, colours, top=0.16)
