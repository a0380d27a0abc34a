"""The name of a product as a text calls it, without what a shop adds to the name on its page."""

import re

from blogworker.post.emoji import EMOJI_OR_REMAINDER

MAIN_PART = re.compile(r",\s|:\s|\s[-\u2013\u2014|/]\s|\s?[(|]")
SHORTEST = 3  # characters of a main part


def main_name(name: str) -> str:
    """Return the name without emoji, and without the part after a comma, dash or bracket, such as a size, a colour or a
    code."""
    whole = " ".join(EMOJI_OR_REMAINDER.sub(" ", name).split())
    first = MAIN_PART.split(whole, maxsplit=1)[0].strip()
    return first if len(first) >= SHORTEST else whole or name.strip()
