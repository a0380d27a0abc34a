"""Tags of a post, spelled as on its site."""

import re
from collections.abc import Sequence

LEAST_STEM = 3  # letters of a word whose final s is removed


def reused(tags: Sequence[str], in_use: Sequence[str]) -> list[str]:
    """Return the tags, each as the site already spells it: `Mugs` for `mug`, not both."""
    known = {tag_key(tag): tag for tag in reversed(in_use)}
    return list(dict.fromkeys(known.get(tag_key(tag), tag) for tag in tags))


def tag_key(tag: str) -> str:
    """Return the key that equal tags share: without case, punctuation, and the s of a plural."""
    words = re.findall(r"\w+", tag.casefold())
    return " ".join(word[:-1] if len(word) > LEAST_STEM and word.endswith("s") else word for word in words)
