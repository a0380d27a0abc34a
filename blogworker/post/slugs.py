"""The candidates for the slug of a post, the best first. The database chooses the first that is free on its site."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from blogworker.post.language import STOP_WORDS
from blogworker.post.plain import SLUG_LIMIT, slug

LEAST_LETTERS = 3  # of a word that distinguishes two posts, unless it has a digit
MOST_WORDS = 4  # added to the slug, one per candidate
LONGEST_WORD = 45  # percent-encoded
NUMBER_ROOM = 11  # a hyphen and ten digits
COMMON = frozenset().union(*STOP_WORDS.values())


def choices(wanted: str, topics: Sequence[str], *, language: str | None = None) -> list[str]:
    """Return the slug, then variants with one more word of `topics`, which has the most important first."""
    words = _extra_words(wanted, topics, language)
    return list(dict.fromkeys([wanted, *(f"{_short(wanted, word)}-{word}" for word in words)]))


def stem(wanted: str) -> str:
    """Return the slug, short enough to append a number."""
    return slug(wanted, limit=SLUG_LIMIT - NUMBER_ROOM)


def _short(wanted: str, word: str) -> str:
    return slug(wanted, limit=SLUG_LIMIT - len(quote(f"-{word}")))


def _extra_words(wanted: str, topics: Sequence[str], language: str | None) -> list[str]:
    known = set(wanted.split("-"))
    slugs = (slug(text, language=language, limit=10 * SLUG_LIMIT) for text in topics)
    words = dict.fromkeys(word for each in slugs for word in each.split("-"))
    return [word for word in words if word not in known and _is_distinctive(word)][:MOST_WORDS]


def _is_distinctive(word: str) -> bool:
    if word in COMMON or len(quote(word)) > LONGEST_WORD:
        return False
    return len(word) >= LEAST_LETTERS or not word.isascii() or re.search(r"\d", word) is not None
