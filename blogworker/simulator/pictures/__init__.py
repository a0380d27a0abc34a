"""Draws a picture for a prompt: a different one for each prompt and seed.

prompt -> palette  from the colours that it names, or from a random hue
       -> motif    the first known object that it names, drawn in a still life; without one, a view
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

__all__ = ["PictureRequest", "draw"]

SUPERSAMPLING = 2  # drawn larger by this factor and then reduced, for smooth edges
SIZES: Mapping[str, Size] = {
    "1:1": (768, 768), "16:9": (1024, 576), "21:9": (1152, 496), "3:2": (960, 640), "2:3": (640, 960),
    "4:5": (704, 880), "5:4": (880, 704), "3:4": (672, 896),
    "4:3": (896, 672), "9:16": (576, 1024), "9:21": (496, 1152),
}  # fmt: skip
FILE_FORMATS: Mapping[str, str] = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """A picture to draw. `quality`: 0 to 100, for JPEG and WebP."""

    prompt: str
    size: Size
    file_format: str
    quality: int
    seed: int

    @classmethod
    def from_input(cls, given: Mapping[str, Any], *, variant: int, seed: int) -> "PictureRequest":
        """From the validated input of a prediction. `variant`: the number of the output."""
        ratio = given.get("aspect_ratio", "1:1")
        size = (given.get("width", 1024), given.get("height", 1024)) if ratio == "custom" else SIZES[ratio]
        file_format = FILE_FORMATS[given.get("output_format", "webp")]
        return cls(given["prompt"], size, file_format, given.get("output_quality", 80), seed + variant)


def draw(request: PictureRequest) -> bytes:
    """Draw a picture; returns the bytes of its file. The same request always gives the same picture."""
    random = Random(f"{request.prompt}/{request.seed}")
    palette = palette_for(request.prompt, random)
    motif = motif_for(request.prompt)
    canvas = (request.size[0] * SUPERSAMPLING, request.size[1] * SUPERSAMPLING)
    image = still_life(canvas, palette, motif, random) if motif else view(canvas, palette, random)
    image = image.reduce(SUPERSAMPLING)
    image.paste(palette.ink, (0, 0), _corners(request.size))
    file = io.BytesIO()
    image.save(file, request.file_format, **_encoding(request))
    return file.getvalue()


def _encoding(request: PictureRequest) -> dict[str, Any]:
    match request.file_format:
        case "JPEG":
            return {"quality": max(1, min(95, request.quality))}
        case "WEBP":
            return {"quality": request.quality, "method": 0}
        case _:
            return {"compress_level": 1}


@cache
def _corners(size: Size) -> Image.Image:
    """A mask that darkens the corners a little."""
    return Image.radial_gradient("L").resize(size).point([max(0, value - 150) // 3 for value in range(256)])
