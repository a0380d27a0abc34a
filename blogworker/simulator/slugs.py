"""Slugs of blog posts, from their titles."""

import re
import unicodedata
from collections.abc import Container

LONGEST = 100


def slug_of(text: str) -> str:
    """Join the words of a text with hyphens, in lower case and ASCII."""
    text = text.replace("ß", "ss").replace("\u2019", "")
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.replace("'", "")).strip("-")
    return slug[:LONGEST].rstrip("-") or "post"


def free_slug(text: str, taken: Container[str]) -> str:
    """A slug that is not in `taken`; a number is added if necessary."""
    base = slug_of(text)
    candidate, number = base, 1
    while candidate in taken:
        candidate, number = f"{base}-{number}", number + 1
    return candidate
