"""Reads values from the response of a provider. Each function accepts any input, and returns its type or None.

New models, gateways and faults send responses that differ from the published schema. A value that is null, of another
type, implausibly large or too deeply nested is read as absent, so parsers need no `except`.
"""

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

import httpx2

from blogworker.db.storable import storable

LONGEST_WORDS = 4_000  # characters of an explanation; the rest is dropped
LONGEST_ID = 200
LONGEST_ADDRESS = 8_000
DIGITS = 15  # a number with more digits is read as absent
ID = re.compile(r"[!-~]+")  # visible ASCII, because it is used in paths, headers and logs
SENDABLE = re.compile(r"[ -~]{1,8000}")
COUNT = re.compile(r"[0-9]{1,15}")


def object_of(body: bytes | str) -> dict[str, Any] | None:
    """Return the body as a JSON object. Invalid bytes are replaced, so that a paid response is not lost."""
    try:
        text = body if isinstance(body, str) else body.decode(json.detect_encoding(body), "replace")
        value = json.loads(
            text.removeprefix("\ufeff"), strict=False, parse_int=_whole, parse_float=_finite, parse_constant=_no_number
        )
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def at(value: Any, *path: str) -> Any:
    """Return the value at a path of names, or None."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list. A single object counts as a list of one."""
    found = value if isinstance(value, list) else [value]
    return [entry for entry in found if isinstance(entry, dict)]


def text(value: Any) -> str | None:
    """Return a text that is not empty, without characters that cannot be stored or sent."""
    cleaned: str = storable(value) if isinstance(value, str) else ""
    return cleaned or None


def words(value: Any) -> str:
    """Return an explanation as text; a list of faults or another value as JSON."""
    if value is None or isinstance(value, str):
        return text((value or "")[:LONGEST_WORDS]) or ""
    try:
        return text(json.dumps(value, ensure_ascii=False)[:LONGEST_WORDS]) or ""
    except (ValueError, RecursionError):
        return ""


def code(value: Any) -> str | None:
    """Return an error code or a status, which may be a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return (text(value) or "")[:LONGEST_ID].strip() or None


def identifier(value: Any) -> str | None:
    """Return an id that can be used in a path or a header."""
    found = value.strip() if isinstance(value, str) else code(value)
    return found if found is not None and ID.fullmatch(found) and len(found) <= LONGEST_ID else None


def address(value: Any) -> str | None:
    """Return an absolute http or https URL."""
    if not isinstance(value, str) or len(value) > LONGEST_ADDRESS or not ID.fullmatch(value.strip()):
        return None
    found = value.strip()
    try:  # httpx2 accepts some invalid URLs, and raises for others
        known = urlsplit(found).hostname and httpx2.URL(found).scheme in ("http", "https")
    except (httpx2.InvalidURL, ValueError):
        return None
    return found if known else None


def number(value: Any) -> float | None:
    """Return a finite number, also from a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value) if not isinstance(value, str) or value.isascii() else float("nan")
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None


def count(value: Any, *, most: int = 10**DIGITS) -> int:
    """Return a positive whole number; 0 if there is no plausible one."""
    if isinstance(value, str):
        value = int(value) if COUNT.fullmatch(value) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most else 0


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Return a header that contains an id, such as the id of the request."""
    return identifier(headers.get(name))


def sendable(headers: Mapping[str, str], name: str) -> str | None:
    """Return a header that may be sent back unchanged."""
    value = headers.get(name, "").strip()
    return value if SENDABLE.fullmatch(value) else None


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= DIGITS else None


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if isfinite(value) else None


def _no_number(_: str) -> None:
    """NaN and Infinity are read as null: JSON does not have them."""
