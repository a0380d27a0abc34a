"""Finds a text that ends too early: in the middle of a sentence, or after a heading."""

import re

from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.sentences import BETWEEN_BLOCKS, sentences, units

LEAST_WORDS = 8  # of a paragraph that consists of sentences
OTHER_BLOCK = re.compile(r"\s*(?:[#>|]|[-*+]\s|\d{1,9}[.)]\s|```|~~~|<| {4}|\t)")
LINE_BREAK = re.compile(r"(?: {2}|\\)\n")
CLOSING = " \n\"'”“»’)*_]>`"
# The last characters of an unfinished sentence, in scripts that end sentences with a full stop.
UNFINISHED = re.compile("[a-z\u00df-\u024f\u0370-\u03ff\u0430-\u052f0-9,;&–—-]")
HEADING = re.compile(r" {0,3}#{1,6}[ \t]+\S[^\n]*")
SHOWN = 60  # characters of the end
# Abbreviations that something must follow. A quantity may also end with one: `350 ml approx.`
MUST_CONTINUE = re.compile(
    r"(?:^|[\s(„“\"«])(?:z\.\s?B|d\.\s?h|bzw|vgl|e\.\s?g|i\.\s?e|vs|p\.\s?ex|p\.\s?ej|por\sej|ad\ses"
    r"|(?P<quantity>ca|approx|env|aprox|circa))\.$",
    re.I,
)
QUANTITY = re.compile(r"\d[^\s.]*\s(?:[^\s.]+\s){0,2}\S+$")
QUOTATION = re.compile(r" {0,3}>")
TABLE_OR_CODE = re.compile(r"\s*(?:\||```|~~~)")


def broken_off(text: str, context: PostContext) -> str:
    """Return the end of the first paragraph that stops in the middle of a sentence, or the end of any text that stops
    at an abbreviation."""
    for block in BETWEEN_BLOCKS.split(text)[::2]:
        if not TABLE_OR_CODE.match(block) and (open_end := next(filter(_ends_open, units(block)), "")):
            return open_end.strip()[-SHOWN:]
        if OTHER_BLOCK.match(block) or LINE_BREAK.search(block) or len(block.split()) < LEAST_WORDS:
            continue
        end = block.rstrip(CLOSING)
        if end and UNFINISHED.match(end[-1]) and not context.source_has(end[-SHOWN:]):
            return end[-SHOWN:]
    return ""


def _ends_open(text: str) -> bool:
    end = text.rstrip(CLOSING)
    found = MUST_CONTINUE.search(end)
    return found is not None and not (found["quantity"] and QUANTITY.search(end))


def whole_quotations(text: str, context: PostContext) -> str:
    """Remove the last sentence of a quotation that stops at an abbreviation."""
    parts = BETWEEN_BLOCKS.split(text)
    for place in range(0, len(parts), 2):
        if QUOTATION.match(parts[place]) and _ends_open(parts[place]):
            parts[place] = "".join(sentences(parts[place])[:-1]).rstrip(" \n>")
            if not parts[place]:
                parts[place + 1 : place + 2] = [""]
    return "".join(parts)


def without_last_headings(text: str, context: PostContext) -> str:
    """Remove headings at the end that have no text below them."""
    parts = BETWEEN_BLOCKS.split(text.rstrip())
    blocks = parts[::2]
    while blocks and HEADING.fullmatch(blocks[-1].strip()):
        blocks.pop()
    return text if len(blocks) == len(parts[::2]) else "".join(parts[: 2 * len(blocks) - 1])
