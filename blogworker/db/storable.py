"""What Postgres can keep of what others send."""

from collections.abc import Mapping
from math import isfinite
from typing import Any


def storable(value: Any) -> Any:
    """A JSON value without what `jsonb` and `text` refuse: NUL, halves of surrogate pairs, numbers that are none.

    A paid answer that is refused would be lost, and bought again by every attempt.
    """
    match value:
        case str():
            return value.replace("\0", "").encode(errors="replace").decode()
        case float() if not isfinite(value):
            return None
        case Mapping():
            return {storable(key): storable(entry) for key, entry in value.items()}
        case list() | tuple():
            return [storable(entry) for entry in value]
        case _:
            return value
