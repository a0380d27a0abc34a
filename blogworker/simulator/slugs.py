"""Slugs of blog posts, from their titles."""

import re
import unicodedata
from collections.abc import Container

LONGEST = 100
UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


def slug_of(text: str, language: str = "en") -> str:
    """Join the words of a text with hyphens, in lower case and ASCII, as this language spells them."""
    text = unicodedata.normalize("NFC", text.lower()).replace("ß", "ss").replace("\u2019", "'")
    text = text.translate(UMLAUTS) if language == "de" else text
    text = text.replace("'", "" if language == "en" else "-")
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return slug[:LONGEST].rstrip("-") or "post"


def free_slug(text: str, taken: Container[str]) -> str:
    """A slug that is not in `taken`; a number is added if necessary."""
    base = slug_of(text)
    candidate, number = base, 1
    while candidate in taken:
        candidate, number = f"{base}-{number}", number + 1
    return candidate
