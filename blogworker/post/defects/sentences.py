"""Texts cut into sentences, and texts without some of their sentences."""

import re
from collections.abc import Callable, Iterator

# Behind the sign that ends a sentence there may be closing quotes and marks. Chinese and Japanese write no space.
ENDING = re.compile(r"(?<=[.!?…])[\"'”’»)*_]{0,3}\s+|(?<=[。！？])")
ABBREVIATED = re.compile(  # behind a number, a letter is a unit
    r"(?:^|(?<!\d)[\s(„“\"«])(?:\w|z\.\s?B|d\.\s?h|u\.\s?a|bzw|ca|Nr|vgl|ggf|inkl|e\.g|i\.e|approx|vs|Mrs?|Ms|Dr|St|No"
    r"|p\.\s?ex|env|aprox|p\.\s?ej|Sra?|Mme)\.$"
)
LONGEST_ABBREVIATION = 10
MARK = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)]|>|#{1,6}|\|)(?=\s|$|(?<=\|))")  # what begins a line of its own
ALONE = re.compile(r"\s*(?:#|```|~~~)")  # a line that none goes on: without its fence, code would swallow the rest
BETWEEN_BLOCKS = re.compile(r"(\n[ \t]*\n\s*)")


def sentences(text: str) -> list[str]:
    """The sentences with the space behind each: together they are the text."""
    pieces, start = [], 0
    for end in ENDING.finditer(text):
        before = text[max(0, end.start() - LONGEST_ABBREVIATION) : end.start()]
        if end.end() > start and not ABBREVIATED.search(before) and not _runs_on(text, end.end()):
            pieces.append(text[start : end.end()])
            start = end.end()
    return [*pieces, text[start:]] if start < len(text) else pieces


def _runs_on(text: str, at: int) -> bool:
    return text[at : at + 1].islower() and not text.startswith(("http", "www."), at)


def units(block: str) -> Iterator[str]:
    """The parts of a block whose sentences do not run on: lines with a mark, or the whole paragraph."""
    held: list[str] = []
    for line in block.splitlines(keepends=True):
        if held and (MARK.match(line) or ALONE.match(line) or ALONE.match(held[0])):
            yield "".join(held)
            held = []
        held.append(line)
    if held:
        yield "".join(held)


def without(text: str, unwanted: Callable[[str], object]) -> str:
    """The Markdown without its unwanted sentences. A table loses the row, a list an item with nothing left."""
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
            left = "".join(part for part in sentences(unit[start:]) if not unwanted(part))
            if left.strip():
                kept.append(unit[:start] + left)
    return "".join(kept).rstrip()
