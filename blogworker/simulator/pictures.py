"""Pictures."""

import io
import random
from dataclasses import dataclass
from typing import Any

from PIL import Image


@dataclass(frozen=True)
class Order:
    prompt: str
    size: tuple[int, int]
    form: str
    seed: int

    @classmethod
    def from_input(cls, given: Any, *, variant: int, seed: int) -> "Order":
        return cls(given["prompt"], (1024, 576), "JPEG", seed + variant)


def draw(order: Order) -> bytes:
    im = Image.new("RGB", order.size, random.Random(order.prompt + str(order.seed)).randbytes(3).hex() and "teal")
    b = io.BytesIO()
    im.save(b, "JPEG")
    return b.getvalue()
