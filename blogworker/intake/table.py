"""The rows of a CSV file: delimiter and header are detected; each row has the number of its first physical line."""

import csv
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from blogworker.intake.lines import LINE_MAX, Lines

DELIMITERS = ",;\t|"
# Characters. Pictures pasted into a description need one or two megabytes. An unclosed quote turns the rest of the file
# into one cell, which must not be kept in memory.
CELL_MAX = 8 << 20
OTHER_ENDS = re.compile(
    "[\0\x0b\x0c\x1c-\x1e\x85\u2028\u2029\udc85]"
)  # of lines; with them, the header would be the whole file
AS_TEXT = re.compile(r'="(.*)"', re.S)  # keeps a spreadsheet from reading the cell as a number
ESCAPED = re.compile(r"^'(?=[-=+@\u2212])")  # keeps a spreadsheet from reading the cell as a formula
SEPARATOR_LINE = re.compile(r"sep=.\s*")  # with which Excel states the delimiter before the header
BEGINNING = 2_000  # characters of a row that are kept to find its identifier
NARROW = 3  # columns; in a line of text, one delimiter is nothing special
IN_BRACKETS = re.compile(r"\([^()]*\)")  # `rgba(0,0,0,1)`
APART = "\x1f"  # the unit separator of ASCII

Places = Mapping[str, Sequence[int]]  # our name -> the columns with that name


class HeaderError(ValueError):
    """No delimiter gives the required columns in the first line."""

    def __init__(self, line: int, found: Sequence[str]) -> None:
        super().__init__("unknown header")
        self.line = line
        self.found = tuple(found)


@dataclass(frozen=True, slots=True)
class TableRow:
    """The known cells of a row, stripped. A row with a `fault` may have only the cells before it."""

    line: int
    cells: dict[str, str]
    fault: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # our name -> the header in the file, to be shown


class BadCell(ValueError):
    """A cell whose value cannot be used. `column`: our name."""

    def __init__(self, column: str, cell: str, reason: str) -> None:
        super().__init__(column, cell, reason)
        self.column = column
        self.cell = cell
        self.reason = reason

    def __str__(self) -> str:
        return self.message({})

    def message(self, headers: Mapping[str, str]) -> str:
        return f"{headers.get(self.column, self.column)} {self.cell[:40]!r} {self.reason}"


def table(
    lines: Lines,
    columns: Mapping[str, Sequence[str]],
    required: Sequence[str],
    *,
    several: Collection[str] = (),
    own: Callable[[str], str | None] = lambda header: None,
) -> Iterator[TableRow]:
    """Yield each row that is not blank. `columns`: our name -> its spellings in a header, normalised by `spelled`.

    If several columns have one name, the first cell that is not empty is used; for names in `several` all are used,
    joined by APART. The first name in `required` is the identifier, of which only the first column is used.
    `own` returns our name for a header that is not in `columns`.
    """
    csv.field_size_limit(CELL_MAX)  # global to the csv module, which only this reader uses
    first = _first_line(lines)
    before = max(1, lines.number)  # 0 if the file holds only a byte order mark
    delimiter = header_of(first, columns)[0]
    beginning = _Beginning(chain([first], lines))
    reader = csv.reader(beginning, delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise HeaderError(before, [first]) from error
    places = _places(header, columns)
    places = {name: found[:1] if name == required[0] else found for name, found in places.items()}
    read = {place for found in places.values() for place in found}
    for place, cell in enumerate(header):
        if place not in read and (name := own(cell.strip())) is not None:
            places[name] = [*places.get(name, ()), place]
    if lines.is_cut or not all(name in places for name in required) or OTHER_ENDS.search(first.rstrip()):
        raise HeaderError(before, header)
    headers = {name: " / ".join(shown(header[place]) for place in found) for name, found in places.items()}
    for line, row in _rows(reader, lines, beginning):
        if isinstance(row, str):
            yield TableRow(line, _named(beginning.cells(delimiter), places, several), row, headers)
        elif row != header and any(cell.strip() for cell in row):  # concatenated files repeat the header
            fault = _swallowed(row, len(header), delimiter, line, lines) or _fault(row, len(header), lines)
            if not fault and len(row) < len(header) and not lines.has_end:
                fault = f"the file ends within this row, at cell {len(row)} of {len(header)}: is it complete?"
                row = row[:-1]
            yield TableRow(line, _named(row, places, several), fault, headers)


class _Beginning:
    """Lines that keep the first line of a row: the cells before a bad quote tell which product the row belongs to."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.line = ""
        self._lines = lines

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.line = self.line or line[:BEGINNING]
        return line

    def cells(self, delimiter: str) -> list[str]:
        sound = re.match(rf'(?:(?:"(?:[^"]|"")*+"|[^"{delimiter}]*+){re.escape(delimiter)})*+', self.line)
        return next(csv.reader([sound[0]], delimiter=delimiter), [])[:-1] if sound else []


def _rows(reader: Iterator[list[str]], lines: Lines, beginning: _Beginning) -> Iterator[tuple[int, list[str] | str]]:
    """Yield each row with its first line, or its fault."""
    while True:
        line = lines.number + 1
        beginning.line = ""
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                # The end of this row is unknown, so every line that follows could be reported as a bad row.
                yield line, f"a cell is longer than {CELL_MAX:,} characters, so nothing after it was read: {QUOTE}"
                return
            yield line, f"not CSV: {error}: {_extent(line, lines)}"
            continue
        if lines.is_cut:
            lines.skip_rest()
            yield line, f"the line is longer than {LINE_MAX:,} characters: is one row on one line?"
        else:
            yield line, row


def _swallowed(row: list[str], width: int, delimiter: str, line: int, lines: Lines) -> str | None:
    """Return the fault of a row with a cell that contains other rows: its quote was closed by that of another cell."""
    if line == lines.number or width < NARROW:
        return None
    inner = (text for cell in row for text in cell.splitlines()[1:])
    if any(len(re.findall(rf"[{delimiter}](?! )", IN_BRACKETS.sub("", text))) >= width - 1 for text in inner):
        return f"a cell contains other rows: {_extent(line, lines)}"
    return None


QUOTE = "is a quote opened and never closed?"


def _extent(line: int, lines: Lines) -> str:
    return QUOTE if line == lines.number else f"{QUOTE} The row continues to line {lines.number}"


def spelled(header: str) -> str:
    """Return a normalised header cell: `Body (HTML)`, `body_html` and `BodyHTML` are equal, and so are é and e."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", header.casefold())))


def shown(header: str) -> str:
    """Return a header cell as it can be shown in a message."""
    return "".join(letter if letter.isprintable() else "?" for letter in header.strip()[:40])


def header_of(line: str, columns: Mapping[str, Sequence[str]]) -> tuple[str, Places, list[str]]:
    """Return the delimiter that finds most columns in a header line, the positions of our columns, and all cells."""

    def reading(delimiter: str) -> tuple[str, Places, list[str]]:
        try:
            cells = next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:
            cells = [line]
        return delimiter, _places(cells, columns), cells

    present = [delimiter for delimiter in DELIMITERS if delimiter in line]
    return max(map(reading, present or DELIMITERS[0]), key=lambda found: (len(found[1]), len(found[2])))


def _places(header: Sequence[str], columns: Mapping[str, Sequence[str]]) -> Places:
    at: dict[str, list[int]] = {}
    for place, cell in enumerate(header):
        at.setdefault(spelled(cell), []).append(place)
    found = {name: [place for word in words for place in at.get(word, ())] for name, words in columns.items()}
    return {name: places for name, places in found.items() if places}


def _first_line(lines: Lines) -> str:
    """Return the header. Blank lines and `sep=;` may come before it."""
    return next((line for line in lines if line.strip() and not SEPARATOR_LINE.fullmatch(line)), "")


def _named(row: list[str], places: Places, several: Collection[str]) -> dict[str, str]:
    """Return the cells of a row by our names. Missing cells are empty: Excel omits empty cells at the end of a row."""
    cells = [_cell(text) for text in row]
    named = {name: [cells[place] for place in found if place < len(row)] for name, found in places.items()}
    return {name: _joined(found) if name in several else next(filter(None, found), "") for name, found in named.items()}


def _fault(row: list[str], width: int, lines: Lines) -> str | None:
    if any(cell.strip() for cell in row[width:]):
        return f"the row has {len(row)} cells and the header {width}: check its quotes and delimiters"
    if lines.unreadable("".join(row)):
        return f"the row is not {lines.encoding}: save the file as UTF-8 (in Excel: CSV UTF-8)"
    return None


def _joined(cells: Iterable[str]) -> str:
    return APART.join(dict.fromkeys(filter(None, cells)))


def _cell(text: str) -> str:
    text = ESCAPED.sub("", text.strip())
    return found[1].strip() if (found := AS_TEXT.fullmatch(text)) else text
