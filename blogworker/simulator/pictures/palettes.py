"""Palettes: matching colours, computed from a hue."""

import colorsys
import math
import re
from dataclasses import dataclass
from random import Random

Colour = tuple[int, int, int]

# The hues, in degrees, of colour names in prompts.
HUES = {
    "red": 2, "copper": 18, "clay": 16, "terracotta": 14, "orange": 28, "amber": 36, "ochre": 38, "earth": 30,
    "golden": 42, "gold": 44, "cream": 45, "yellow": 50, "olive": 72, "sage": 110, "green": 130, "mint": 155,
    "teal": 178, "turquoise": 180, "ocean": 200, "blue": 212, "navy": 222, "lavender": 262, "purple": 275,
    "pink": 340, "rose": 345,
}  # fmt: skip
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one picture, from the background to the foreground."""

    top: Colour  # of the wall or the sky
    bottom: Colour
    far: Colour
    middle: Colour
    near: Colour
    base: Colour  # of the motif
    shade: Colour
    accent: Colour
    light: Colour
    ink: Colour
    leaf: Colour  # leaves and crusts have about the same colours in every palette
    leaf_dark: Colour
    crust: Colour


def palette_for(prompt: str, random: Random) -> Palette:
    """A palette around the colours named in the prompt, or around a random hue."""
    named = [HUES[word] for word in _WORD.findall(prompt.lower()) if word in HUES]
    hue = (named[-1] if named else random.uniform(0, 360)) + random.uniform(-8, 8)
    other = (named[0] if len(set(named)) > 1 else hue + random.choice((150, 180, 210, 40, -40))) + random.uniform(-8, 8)
    rich = random.uniform(0.24, 0.46)
    drift = random.choice((-22, -14, 14, 22))
    if random.random() < 0.2:
        return _dusk(hue, other, rich, drift)
    return Palette(
        top=_colour(hue, 0.90, rich * 0.8),
        bottom=_colour(hue + drift, 0.82, rich),
        far=_colour(hue + drift, 0.72, rich * 0.9),
        middle=_colour(hue + drift * 1.5, 0.58, rich),
        near=_colour(hue + drift * 2, 0.40, rich),
        base=_colour(other, 0.54, rich + 0.16),
        shade=_colour(other - 6, 0.40, rich + 0.14),
        accent=_colour(other + 26, 0.62, rich + 0.22),
        light=_colour(hue + 10, 0.96, 0.5),
        ink=_colour(hue + drift, 0.20, rich * 0.7),
        **_natural(hue),
    )


def _dusk(hue: float, other: float, rich: float, drift: float) -> Palette:
    return Palette(
        top=_colour(hue, 0.26, rich + 0.1),
        bottom=_colour(hue + drift * 2, 0.52, rich),
        far=_colour(hue + drift, 0.40, rich),
        middle=_colour(hue, 0.30, rich),
        near=_colour(hue - drift, 0.19, rich),
        base=_colour(other, 0.62, rich + 0.16),
        shade=_colour(other - 6, 0.46, rich + 0.12),
        accent=_colour(other + 24, 0.72, rich + 0.24),
        light=_colour(other + 12, 0.92, 0.7),
        ink=_colour(hue - drift, 0.11, rich * 0.7),
        **_natural(hue),
    )


def _natural(hue: float) -> dict[str, Colour]:
    """Natural colours, shifted slightly towards the hue of the picture."""
    lean = math.sin(math.radians(hue)) * 14
    return {
        "leaf": _colour(118 + lean, 0.42, 0.34),
        "leaf_dark": _colour(134 + lean, 0.30, 0.36),
        "crust": _colour(30 + lean / 3, 0.52, 0.48),
    }


def _colour(hue: float, lightness: float, saturation: float) -> Colour:
    red, green, blue = colorsys.hls_to_rgb((hue % 360) / 360, lightness, min(1.0, saturation))
    return round(red * 255), round(green * 255), round(blue * 255)
