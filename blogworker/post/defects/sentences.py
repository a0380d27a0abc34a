"""Splits a text into sentences, and removes sentences from a text."""

import re
from collections.abc import Callable, Iterator

# Closing quotes and marks may follow the punctuation. Chinese and Japanese have no space between sentences.
ENDING = re.compile(r"(?<=[.!?…])[\"'”’»)*_]{0,3}\s+|(?<=[。！？])")
ABBREVIATED = re.compile(  # after a number, a letter is a unit
    r"(?:^|(?<!\d)[\s(„“\"«])(?:\w|z\.\s?B|d\.\s?h|u\.\s?a|bzw|ca|Nr|vgl|ggf|inkl|e\.g|i\.e|approx|vs|Mrs?|Ms|Dr|St|No"
    r"|p\.\s?ex|env|aprox|p\.\s?ej|Sra?|Mme)\.$"
)
LONGEST_ABBREVIATION = 10
MARK = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)]|>|#{1,6}|\|)(?=\s|$|(?<=\|))")  # starts a new line
ALONE = re.compile(r"\s*(?:#|```|~~~)")  # a line of its own; without its fence, code would continue to the end
BETWEEN_BLOCKS = re.compile(r"(\n[ \t]*\n\s*)")


def sentences(text: str) -> list[str]:
    """Return the sentences, each with the space after it. Joined, they are the text."""
    pieces, start = [], 0
    for end in ENDING.finditer(text):
        before = text[max(0, end.start() - LONGEST_ABBREVIATION) : end.start()]
        if end.end() > start and not ABBREVIATED.search(before) and not _continues(text, end.end()):
            pieces.append(text[start : end.end()])
            start = end.end()
    return [*pieces, text[start:]] if start < len(text) else pieces


def _continues(text: str, at: int) -> bool:
    return text[at : at + 1].islower() and not text.startswith(("http", "www."), at)


def units(block: str) -> Iterator[str]:
    """Yield the parts of a block that sentences do not cross: list items, headings, rows, or the whole paragraph."""
    lines: list[str] = []
    for line in block.splitlines(keepends=True):
        if lines and (MARK.match(line) or ALONE.match(line) or ALONE.match(lines[0])):
            yield "".join(lines)
            lines = []
        lines.append(line)
    if lines:
        yield "".join(lines)


def without(text: str, unwanted: Callable[[str], object]) -> str:
    """Remove unwanted sentences from Markdown: of a table the whole row, of a list also items that become empty."""
    parts = BETWEEN_BLOCKS.split(text)
    parts[::2] = [_block_without(block, unwanted) if unwanted(block) else block for block in parts[::2]]
    return "".join(part for place, part in enumerate(parts) if place % 2 or part.strip() or part == text)


def _block_without(block: str, unwanted: Callable[[str], object]) -> str:
    kept = []
    for unit in units(block):
        mark = MARK.match(unit)
        if not unwanted(unit):
            kept.append(unit)
        elif mark is None or mark[0].strip() not in ("|", "#", "##", "###", "####"):
            start = mark.end() if mark else 0
            rest = "".join(part for part in sentences(unit[start:]) if not unwanted(part))
            if rest.strip():
                kept.append(unit[:start] + rest)
    return "".join(kept).rstrip()
