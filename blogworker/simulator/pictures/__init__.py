"""Pictures for prompts: drawn, not photographed, but handsome and different for each prompt.

prompt -> palette  the colours it names, or any hue
       -> motif    what its words call for, placed in a still life; without one, a view
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from PIL import Image

from blogworker.simulator.pictures.motifs import motif_for
from blogworker.simulator.pictures.palettes import palette_for
from blogworker.simulator.pictures.scenes import Size, still_life, view

__all__ = ["Order", "draw"]

FINE = 2  # drawn so many times larger, then reduced, which smooths every edge
SIZES: Mapping[str, Size] = {
    "1:1": (768, 768), "16:9": (1024, 576), "21:9": (1152, 496), "3:2": (960, 640), "2:3": (640, 960),
    "4:5": (704, 880), "5:4": (880, 704), "3:4": (672, 896),
    "4:3": (896, 672), "9:16": (576, 1024), "9:21": (496, 1152),
}  # fmt: skip
FORMS: Mapping[str, str] = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


@dataclass(frozen=True, slots=True)
class Order:
    """One picture to draw."""

    prompt: str
    size: Size
    form: str
    quality: int
    seed: int

    @classmethod
    def from_input(cls, given: Mapping[str, Any], *, variant: int, seed: int) -> "Order":
        """From the checked input of a prediction; variants of one prediction differ."""
        ratio = given.get("aspect_ratio", "1:1")
        size = (given.get("width", 1024), given.get("height", 1024)) if ratio == "custom" else SIZES[ratio]
        form = FORMS[given.get("output_format", "webp")]
        return cls(given["prompt"], size, form, given.get("output_quality", 80), seed + variant)


def draw(order: Order) -> bytes:
    """The picture as a file; the same order always gives the same picture."""
    random = Random(f"{order.prompt}/{order.seed}")
    palette = palette_for(order.prompt, random)
    motif = motif_for(order.prompt)
    canvas = (order.size[0] * FINE, order.size[1] * FINE)
    image = still_life(canvas, palette, motif, random) if motif else view(canvas, palette, random)
    image = image.reduce(FINE)
    image.paste(palette.ink, (0, 0), _corners(order.size))
    file = io.BytesIO()
    image.save(file, order.form, **_encoding(order))
    return file.getvalue()


def _encoding(order: Order) -> dict[str, Any]:
    match order.form:
        case "JPEG":
            return {"quality": max(1, min(95, order.quality))}
        case "WEBP":
            return {"quality": order.quality, "method": 0}
        case _:
            return {"compress_level": 1}


@cache
def _corners(size: Size) -> Image.Image:
    """A mask that darkens the corners a little."""
    return Image.radial_gradient("L").resize(size).point([max(0, value - 150) // 3 for value in range(256)])
