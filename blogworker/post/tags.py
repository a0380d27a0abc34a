"""Tags of a post, in the letters in which its site has them."""

import re
from collections.abc import Sequence

LEAST_STEM = 3  # letters of a word that may lose its s


def reused(tags: Sequence[str], in_use: Sequence[str]) -> list[str]:
    """The tags, each in the letters in which the site has it: `Mugs` for `mug`, not both."""
    known = {tag_key(tag): tag for tag in reversed(in_use)}
    return list(dict.fromkeys(known.get(tag_key(tag), tag) for tag in tags))


def tag_key(tag: str) -> str:
    """The tag as tags are compared: without case, signs, and the s of a plural."""
    words = re.findall(r"\w+", tag.casefold())
    return " ".join(word[:-1] if len(word) > LEAST_STEM and word.endswith("s") else word for word in words)
