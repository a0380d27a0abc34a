"""The text a reader would see of a piece of HTML: its paragraphs, list items and table rows are lines of their own."""

import re
from collections.abc import Iterator

from blogworker.markup import marked_text, references

HTML_MAX = 1_000_000  # characters that are read, without pictures; a hundred times what a description needs
TAG = re.compile(r"<[a-zA-Z/!?]")
BLOCKS = re.compile(
    "address|article|aside|blockquote|br|d[dlt]|div|fieldset|figcaption|figure|footer|form|h[1-6]|header|hr|li|main|"
    "nav|ol|p|pre|section|ul"
)
ROWS = re.compile("caption|dl|dt|tbody|tfoot|thead|tr")
CELLS = ("td", "th", "dd")
BLOCK_TAG = re.compile(rf"</?(?:{BLOCKS.pattern}|{ROWS.pattern}|table|t[dh])\b", re.IGNORECASE)
PICTURE = re.compile(r"data:[\w.+-]++/[\w.+-]++;base64,[\w+/=%\s-]*+")  # pasted into the text, often megabytes
EMPTY_LINE = re.compile(r"\n[^\S\n]*+\n")
PARAGRAPH, ROW, CELL, TABLE = "\x1e", "\x1d", "\x1f", "\x1c"
HEAD = "\x1a"  # begins a cell that names its column or its row
CELL_LONGEST = 300  # characters; a longer cell holds part of a page's layout, not a value


def readable(html: str, *, longest: int) -> str:
    """One line per paragraph, at most `longest` characters, cut between words. Text without markup keeps its lines."""
    html = PICTURE.sub("", html)[:HTML_MAX]
    text = _of_markup(html) if TAG.search(html) else PARAGRAPH.join(references(html).splitlines())
    lines = (line for table in text.split(TABLE) for line in _of_table(table.split(ROW)))
    return shortened("\n".join(lines), longest)


def _of_table(rows: list[str]) -> Iterator[str]:
    """Where the first row names the columns, the others cannot be read as a name and its value."""
    is_headed = False
    for row in rows:
        cells = row.split(CELL)[1:]
        is_headed = is_headed or (len(cells) > 1 and all(cell.startswith(HEAD) for cell in cells))
        yield from _lines(row.replace(HEAD, ""), is_headed=is_headed)


def _of_markup(html: str) -> str:
    """In HTML a line break is a space. Where a shop adds the paragraphs itself, line breaks separate them."""
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
    """Two cells of a row as `name: value`, more with bars between them. What is laid out in cells stays paragraphs."""
    cells = [_spaced(cell) for cell in row.split(CELL)]
    if not cells[0]:
        cells = cells[1:]  # what stands before the first cell
    told = [cell for cell in cells if cell]
    if len(told) < 2 or max(map(len, told)) > CELL_LONGEST:
        return [line for line in map(_spaced, re.split(f"[{PARAGRAPH}{CELL}]", row)) if line]
    if len(cells) == 2 and not is_headed:
        return [f"{cells[0].removesuffix(':').rstrip()}: {cells[1]}"]
    return [" | ".join(cell or "-" for cell in cells)]


def _spaced(text: str) -> str:
    return " ".join(text.replace(PARAGRAPH, " ").split())


def shortened(text: str, longest: int) -> str:
    """The text, or as many of its whole words as fit."""
    if len(text) <= longest:
        return text
    return (text[: longest - 1].rsplit(None, 1) or [""])[0] + "…"
