"""Searches a text for a pattern, and remembers the result.

The same fields are searched when an answer arrives, when its defects are counted for the score, and at a review. The
patterns with many alternatives in seven languages take a millisecond for each post.
"""

import re
from functools import lru_cache

REMEMBERED = 4_096  # results; a post has about seven fields, and some forty patterns read them


@lru_cache(maxsize=REMEMBERED)
def matches(pattern: re.Pattern[str], text: str) -> tuple[re.Match[str], ...]:
    """Return all matches that do not overlap, in their order."""
    return tuple(pattern.finditer(text))
