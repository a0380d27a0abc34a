"""Make external values storable: valid for Postgres and for the constraints of our tables, and without secrets."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from blogworker.redact import SECRETS

DEEPEST = 32  # the nesting of objects and arrays that is kept


def storable(value: Any, *, level: int = 0) -> Any:
    """Return the JSON value without secrets and without what `jsonb` and `text` refuse.

    NUL and lone surrogates are removed or replaced. NaN, Infinity, too large numbers and values that are nested too
    deeply become null. Otherwise a paid response that the database refuses would be lost, and every attempt would
    pay for it again.
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
    """Return whether the number is above 1e308 or below -1e308."""
    return abs(number) > (1e308 if isinstance(number, float) else 10**308)


def storable_message(text: str, longest: int) -> str:
    """Return a provider's or an exception's message for a column of `longest` characters.

    Secrets are hidden before the text is truncated, because half a secret would not be recognised.
    """
    return truncated(SECRETS.hide(_unbroken(text)), longest)


def _unbroken(text: str) -> str:
    return text.replace("\0", "").encode(errors="replace").decode()


def truncated(text: str, longest: int) -> str:
    """Return the text, shortened to `longest` characters if necessary."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
