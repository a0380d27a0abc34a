"""Finds a text that ends too early: in the middle of a sentence, or after a heading."""

import re

from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.sentences import BETWEEN_BLOCKS

LEAST_WORDS = 8  # of a paragraph that consists of sentences
OTHER_BLOCK = re.compile(r"\s*(?:[#>|]|[-*+]\s|\d{1,9}[.)]\s|```|~~~|<| {4}|\t)")
LINE_BREAK = re.compile(r"(?: {2}|\\)\n")
CLOSING = " \n\"'”“»’)*_]>`"
# The last characters of an unfinished sentence, in scripts that end sentences with a full stop.
UNFINISHED = re.compile("[a-z\u00df-\u024f\u0370-\u03ff\u0430-\u052f0-9,;&–—-]")
HEADING = re.compile(r" {0,3}#{1,6}[ \t]+\S[^\n]*")
SHOWN = 60  # characters of the end


def broken_off(text: str, context: PostContext) -> str:
    """Return the end of the first paragraph that stops in the middle of a sentence."""
    for block in BETWEEN_BLOCKS.split(text)[::2]:
        if OTHER_BLOCK.match(block) or LINE_BREAK.search(block) or len(block.split()) < LEAST_WORDS:
            continue
        end = block.rstrip(CLOSING)
        if end and UNFINISHED.match(end[-1]) and not context.source_has(end[-SHOWN:]):
            return end[-SHOWN:]
    return ""


def without_last_headings(text: str, context: PostContext) -> str:
    """Remove headings at the end that have no text below them."""
    parts = BETWEEN_BLOCKS.split(text.rstrip())
    blocks = parts[::2]
    while blocks and HEADING.fullmatch(blocks[-1].strip()):
        blocks.pop()
    return text if len(blocks) == len(parts[::2]) else "".join(parts[: 2 * len(blocks) - 1])
