"""The rows of a CSV file: encoding, delimiter and header found out, each row with its first physical line."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

LINE_MAX = 1 << 20  # bytes held at once of a line without an end
DELIMITERS = ",;\t"


class HeaderError(ValueError):
    """No delimiter makes the wanted columns out of the first line."""

    def __init__(self, line: int, found: Sequence[str]) -> None:
        super().__init__("unknown header")
        self.line = line
        self.found = tuple(found)


@dataclass(frozen=True, slots=True)
class TableRow:
    """The known cells of a row, stripped. Those of a row with a `fault` may stand in wrong columns."""

    line: int
    cells: dict[str, str]
    fault: str | None = None


def table(stream: BinaryIO, columns: Mapping[str, Sequence[str]], required: Sequence[str]) -> Iterator[TableRow]:
    """Each row that is not blank. `columns`: our name -> spellings of it in a header, as `spelled` gives them."""
    lines = (line.decode(errors="surrogateescape") for line in iter(lambda: stream.readline(LINE_MAX), b""))
    before, first = _first_line(lines)
    delimiter, places, header = header_of(first, columns)
    if not all(name in places for name in required):
        raise HeaderError(before + 1, header)
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    try:
        next(reader)  # the header again, now with its quotes checked
    except csv.Error as error:
        raise HeaderError(before + 1, header) from error
    while True:
        line = before + reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield TableRow(line, {}, f"not CSV: {error}")
            continue
        if any(cell.strip() for cell in row):
            yield _row(line, row, places, width=len(header))


def spelled(header: str) -> str:
    """A header cell without what varies: `Body (HTML)`, `body_html` and `BodyHTML` are one."""
    return re.sub(r"[^a-z0-9]", "", header.lower())


def header_of(line: str, columns: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, int], list[str]]:
    """The delimiter that makes the most of a header line, where our columns then are, and all its cells."""

    def reading(delimiter: str) -> tuple[str, dict[str, int], list[str]]:
        try:
            cells = next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:
            cells = [line]
        at = {spelled(cell): place for place, cell in reversed(list(enumerate(cells)))}  # of two alike the first
        names = {name: next((at[word] for word in words if word in at), None) for name, words in columns.items()}
        return delimiter, {name: place for name, place in names.items() if place is not None}, cells

    return max(map(reading, DELIMITERS), key=lambda found: (len(found[1]), len(found[2])))


def _first_line(lines: Iterator[str]) -> tuple[int, str]:
    """The header, and how many lines stand before it: blank ones, and the `sep=;` that Excel likes."""
    for before, raw in enumerate(lines):
        line = raw.removeprefix("\ufeff") if before == 0 else raw
        if line.strip() and not re.fullmatch(r"sep=.\s*", line):
            return before, line
    return 0, ""


def _row(line: int, row: list[str], places: Mapping[str, int], *, width: int) -> TableRow:
    cells = {name: row[place].strip() for name, place in places.items() if place < len(row)}
    if len(row) < width or any(row[width:]):
        return TableRow(
            line, cells, f"the row has {len(row)} cells and the header {width}: check its quotes and delimiters"
        )
    if any("\udc80" <= sign <= "\udcff" for cell in row for sign in cell):
        return TableRow(line, cells, "the row is not UTF-8: save the file as UTF-8 (in Excel: CSV UTF-8)")
    return TableRow(line, cells)
