"""The slugs that a post could have, the best first. The database gives it the first that is free on its site."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from blogworker.post.language import STOP_WORDS
from blogworker.post.plain import SLUG_LIMIT, slug

LEAST_LETTERS = 3  # of a word that tells two posts apart, unless it has a digit
MOST_WORDS = 4  # that are tried, one at a time
LONGEST_WORD = 45  # percent-encoded
NUMBER_ROOM = 11  # a hyphen and ten digits
COMMON = frozenset().union(*STOP_WORDS.values())


def choices(wanted: str, told: Sequence[str]) -> list[str]:
    """The slug as it is wanted, then with one more word. `told`: what the post is about, the most telling first."""
    return list(dict.fromkeys([wanted, *(f"{_short(wanted, word)}-{word}" for word in _telling(wanted, told))]))


def stem(wanted: str) -> str:
    """The slug with room for a number behind it."""
    return slug(wanted, limit=SLUG_LIMIT - NUMBER_ROOM)


def _short(wanted: str, word: str) -> str:
    return slug(wanted, limit=SLUG_LIMIT - len(quote(f"-{word}")))


def _telling(wanted: str, told: Sequence[str]) -> list[str]:
    known = set(wanted.split("-"))
    words = dict.fromkeys(word for text in told for word in slug(text, limit=10 * SLUG_LIMIT).split("-"))
    return [word for word in words if word not in known and _tells(word)][:MOST_WORDS]


def _tells(word: str) -> bool:
    if word in COMMON or len(quote(word)) > LONGEST_WORD:
        return False
    return len(word) >= LEAST_LETTERS or not word.isascii() or re.search(r"\d", word) is not None
