"""Slugs, as blogs derive them from titles."""

import re
import unicodedata
from collections.abc import Container

LONGEST = 100


def slug_of(text: str) -> str:
    """Lower-case words of a text, joined by dashes."""
    text = text.replace("ß", "ss").replace("\u2019", "")
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.replace("'", "")).strip("-")
    return slug[:LONGEST].rstrip("-") or "post"


def free_slug(text: str, taken: Container[str]) -> str:
    """A slug that no other post of the site has."""
    base = slug_of(text)
    candidate, number = base, 1
    while candidate in taken:
        candidate, number = f"{base}-{number}", number + 1
    return candidate
