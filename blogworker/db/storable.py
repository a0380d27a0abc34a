"""Makes values from outside storable: within what Postgres accepts and our tables allow (`sql/schema`), and without
secrets."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from blogworker.redact import SECRETS

DEEPEST = 32  # objects and arrays around a value


def storable(value: Any, *, level: int = 0) -> Any:
    """A JSON value without secrets, and without what `jsonb` and `text` refuse: NUL, lone surrogates, NaN and Infinity.
    What is nested too deeply and numbers that are too large become null.

    A paid answer that is refused would be lost, and bought again by every attempt.
    """
    match value:
        case str():
            return SECRETS.hide(_unbroken(value), shapes=False, words=False)
        case float() if not isfinite(value):
            return None
        case float() | int() if too_large(value):
            return None
        case Mapping() | list() | tuple() if level == DEEPEST and value:
            return None
        case Mapping():
            return {storable(key): storable(entry, level=level + 1) for key, entry in value.items()}
        case list() | tuple():
            return [storable(entry, level=level + 1) for entry in value]
        case _:
            return value


def too_large(number: float) -> bool:
    """Whether it is beyond 1e308, either way, as it is written in decimals."""
    return abs(number) > (1e308 if isinstance(number, float) else 10**308)


def explained(text: str, longest: int) -> str:
    """A message of a vendor or an exception for a column of `longest` characters. Secrets are hidden before it is cut,
    because half a secret would not be recognised."""
    return clipped(SECRETS.hide(_unbroken(text)), longest)


def _unbroken(text: str) -> str:
    return text.replace("\0", "").encode(errors="replace").decode()


def clipped(text: str, longest: int) -> str:
    """The text, or as much of it as a column takes."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
