"""Converts HTML to the text that a reader sees. Each paragraph, list item and table row is a line."""

import re
from collections.abc import Iterator

from blogworker.markup import marked_text, references

HTML_MAX = 1_000_000  # characters that are read, without pictures; a description has about a hundredth
TAG = re.compile(r"<[a-zA-Z/!?]")
BLOCKS = re.compile(
    "address|article|aside|blockquote|br|d[dlt]|div|fieldset|figcaption|figure|footer|form|h[1-6]|header|hr|li|main|"
    "nav|ol|p|pre|section|ul"
)
ROWS = re.compile("caption|dl|dt|tbody|tfoot|thead|tr")
CELLS = ("td", "th", "dd")
BLOCK_TAG = re.compile(rf"</?(?:{BLOCKS.pattern}|{ROWS.pattern}|table|t[dh])\b", re.IGNORECASE)
PICTURE = re.compile(r"data:[\w.+-]++/[\w.+-]++;base64,[\w+/=%\s-]*+")  # inline pictures, often megabytes
EMPTY_LINE = re.compile(r"\n[^\S\n]*+\n")
PARAGRAPH, ROW, CELL, TABLE = "\x1e", "\x1d", "\x1f", "\x1c"
HEAD = "\x1a"  # starts a header cell of a column or a row
CELL_LONGEST = 300  # characters; a longer cell is part of a layout, not a value


def readable(html: str, *, longest: int) -> str:
    """Return one line per paragraph, truncated to `longest` characters. Text without markup keeps its lines."""
    html = PICTURE.sub("", html)[:HTML_MAX]
    text = _of_markup(html) if TAG.search(html) else PARAGRAPH.join(references(html).splitlines())
    lines = (line for table in text.split(TABLE) for line in _of_table(table.split(ROW)))
    return shortened("\n".join(lines), longest)


def _of_table(rows: list[str]) -> Iterator[str]:
    """Yield the lines of a table. After a header row, two cells of a row are not a name and its value."""
    is_headed = False
    for row in rows:
        cells = row.split(CELL)[1:]
        is_headed = is_headed or (len(cells) > 1 and all(cell.startswith(HEAD) for cell in cells))
        yield from _lines(row.replace(HEAD, ""), is_headed=is_headed)


def _of_markup(html: str) -> str:
    """Convert markup to text. A line break is a space, but in text without block tags it separates paragraphs."""
    html = html.replace("\r\n", "\n").replace("\r", "\n")
    html = EMPTY_LINE.sub(PARAGRAPH, html) if BLOCK_TAG.search(html) else html.replace("\n", PARAGRAPH)
    return marked_text(html, _mark)


def _mark(tag: str) -> str:
    name = tag.removeprefix("/")
    if name == "table":
        return TABLE
    if ROWS.fullmatch(name):
        return "" if tag == "/dt" else ROW  # a term and its description are one row
    if name in CELLS:
        return (CELL + HEAD if name == "th" else CELL) if tag == name else ""
    return PARAGRAPH if BLOCKS.fullmatch(name) else ""


def _lines(row: str, *, is_headed: bool) -> list[str]:
    """Return a row of two cells as `name: value`, of more with bars, and the cells of a layout as paragraphs."""
    cells = [_spaced(cell) for cell in row.split(CELL)]
    if not cells[0]:
        cells = cells[1:]  # text before the first cell
    filled = [cell for cell in cells if cell]
    if len(filled) < 2 or max(map(len, filled)) > CELL_LONGEST:
        return [line for line in map(_spaced, re.split(f"[{PARAGRAPH}{CELL}]", row)) if line]
    if len(cells) == 2 and not is_headed:
        return [f"{cells[0].removesuffix(':').rstrip()}: {cells[1]}"]
    return [" | ".join(cell or "-" for cell in cells)]


def _spaced(text: str) -> str:
    return " ".join(text.replace(PARAGRAPH, " ").split())


def shortened(text: str, longest: int) -> str:
    """Truncate the text to `longest` characters after a whole word, with an ellipsis."""
    if len(text) <= longest:
        return text
    return (text[: longest - 1].rsplit(None, 1) or [""])[0] + "…"
