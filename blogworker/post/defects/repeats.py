"""Removes repeated paragraphs, repairs tables, and checks how often the product is named."""

import re

from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.sentences import BETWEEN_BLOCKS, sentences

LEAST_WORDS, LEAST_CHARACTERS = 8, 61  # of a paragraph whose repetition is an error
HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+\S")
TARGET = re.compile(r"(?<=\])\(<?https?://[^\s<>]*>?\)")
OFTEN = 10  # mentions
MOST_WORDS, SHORT_NAME = 0.6, 3
APART = 3  # other words between those of a name: the Kilbrack stool of oak
SHORT_WORD = 2  # letters: shorter words of a name are ignored
ROW = re.compile(r"^[ \t]*\|.*\|[ \t]*$", re.M)
CELL = re.compile(r":?-+:?")
GLUED_DELIMITER = re.compile(r"\|(?:[ \t]*:?-{2,}:?[ \t]*\|)+")


def once(text: str, context: PostContext) -> str:
    """Remove repeated paragraphs, and sections of which only the heading remains.

    A short paragraph, such as `Yes.`, may be repeated, but not below a repeated heading.
    """
    parts = BETWEEN_BLOCKS.split(text)
    seen: set[str] = set()
    kept: list[str] = []
    is_again = False  # the section has a heading that was there before
    for block in parts[::2]:
        words = re.findall(r"\w+", TARGET.sub("", block.casefold()))
        key = " ".join(words)
        is_long = len(words) >= LEAST_WORDS or len(key) > LEAST_CHARACTERS
        if HEADING.match(block):
            is_again = key in seen
            kept.append(block)
        elif key not in seen or not (is_long or is_again):
            kept.append(block)
        seen.add(key)
    if len(kept) == len(parts[::2]):
        return text
    return "\n\n".join(block for place, block in enumerate(kept) if not _is_empty_section(kept, place))


def _is_empty_section(blocks: list[str], place: int) -> bool:
    heading = HEADING.match(blocks[place])
    if heading is None or "\n" in blocks[place].strip():
        return False
    if place + 1 == len(blocks):
        return True
    following = HEADING.match(blocks[place + 1])
    return following is not None and len(following[1]) <= len(heading[1])


def unnamed(text: str, context: PostContext) -> str:
    """Return the name of the product if no sentence has it, or most of its words if it is long."""
    if not context.name or context.source.get("kind") not in (None, "product"):
        return ""
    return "" if is_named(context.text_of(text), context) else context.name


def is_named(text: str, context: PostContext) -> bool:
    """Whether a sentence of the text has the name of the product, or most of its words if it is long."""
    name, read = context.main_name.casefold(), " ".join(text.casefold().split())
    words = {word for word in re.findall(r"\w+", name) if len(word) > SHORT_WORD} or {name}
    return bool(name) and (name in read or any(_share(words, part) >= MOST_WORDS for part in sentences(read)))


def _share(words: set[str], sentence: str) -> float:
    """Return the share of a name's words that stand together in a sentence, with any endings. For a short name it is 0
    or 1."""
    read = re.findall(r"\w+", sentence)
    reach = len(words) + APART
    found = max(
        (
            sum(any(other.startswith(word) for other in read[start : start + reach]) for word in words)
            for start in range(len(read))
        ),
        default=0,
    )
    return found / len(words) if len(words) > SHORT_NAME else float(found == len(words))


def named_everywhere(text: str, context: PostContext) -> str:
    """Return the name of the product if most sentences have it. A name in lower case is an ordinary word, and one in
    capitals has any case in a text."""
    name = context.main_name
    if not name or name == name.lower() or (" " not in name and len(name) < 4):
        return ""
    read = [part for part in sentences(" ".join(context.text_of(text).split())) if part.strip()]
    if name == name.upper():
        name, read = name.casefold(), [part.casefold() for part in read]
    mentions = sum(name in part for part in read)
    return context.name if mentions >= OFTEN and 2 * mentions > len(read) else ""


def whole_tables(text: str, context: PostContext) -> str:
    """Put each table row on its own line, and add a missing delimiter row below the head."""
    if "|" not in text:
        return text
    parts = BETWEEN_BLOCKS.split(text)
    parts[::2] = [_table(block) if block.count("|") > 3 else block for block in parts[::2]]
    return "".join(parts)


def _table(block: str) -> str:
    lines = block.split("\n")
    for place, line in enumerate(lines):
        found = GLUED_DELIMITER.search(line)
        if found is None:
            continue
        width = found[0].count("|") - 1
        rows = [*_split(line[: found.start()], width), found[0], *_split(line[found.end() :], width)]
        rest = [row for other in lines[place + 1 :] for row in _split(other, width)]
        whole = [*lines[:place], *rows, *rest]
        return "\n".join(whole) if len(whole) != len([line for line in lines if line.strip()]) else block
    rows = [line for line in lines if ROW.fullmatch(line)]
    if len(rows) == len(lines) >= 2:
        width = len(_cells(rows[0]))
        if width > 1 and all(len(_cells(row)) == width for row in rows):
            return "\n".join([rows[0], "|" + " --- |" * width, *rows[1:]])
    return block


def _split(line: str, width: int) -> list[str]:
    """Return the rows of a line. In a line with several rows, an empty cell follows each row but the last."""
    cells = _cells(line)
    glued = len(cells) > width and (len(cells) + 1) % (width + 1) == 0
    if not glued or any(cells[width :: width + 1]) or not line.lstrip().startswith("|"):
        return [line.rstrip()] if line.strip() else []
    return [f"| {' | '.join(cells[start : start + width])} |" for start in range(0, len(cells), width + 1)]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def ragged_table(text: str, context: PostContext) -> str:
    """Return the first table row with more cells than the head, because the renderer drops them."""
    if "|" not in text:
        return ""
    for block in BETWEEN_BLOCKS.split(text)[::2]:
        lines = block.split("\n")
        for place, line in enumerate(lines[1:], 1):
            if "|" in line and all(CELL.fullmatch(cell) for cell in _cells(line)):
                width = len(_cells(line))
                rows = [row for row in lines[place + 1 :] if row.lstrip().startswith("|")]
                return next((row.strip() for row in rows if len(_cells(row.replace(r"\|", ""))) > width), "")
    return ""
