"""Tables and records that fit a given width without truncating a value.

A table that is too wide first wraps its headings, then its prose columns. If that is not enough, the columns that do
not fit are printed below each row. A narrow terminal gets a record per row, one field per line. A word that is longer
than a line is printed whole: the terminal wraps it, so that it can still be copied.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions
from rich.text import Text

GAP = "  "
INDENT = "    "
FIELD_GAP = "   "  # between short fields that share a line
NARROW = 72  # terminal columns; on a narrower one a table that does not fit becomes records
HEADING_LINES = 2
PROSE_MIN = 28  # terminal columns of a wrapped prose column, unless its text is shorter


class Cell(NamedTuple):
    """One printable line of text."""

    text: str
    style: str = ""
    empty: bool = False
    whole: bool = False  # wrapped at spaces only

    @property
    def width(self) -> int:
        return cell_len(self.text)

    @property
    def is_figure(self) -> bool:
        bare = self.text.lstrip("-").removeprefix("$").removesuffix(" %").removesuffix(" s")
        return bare.replace(",", "").replace(".", "").isdigit()


@dataclass(frozen=True)
class Grid:
    """Rows under headings. Only the columns in `prose` may be wrapped."""

    title: Cell | None
    columns: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    prose: frozenset[int] = frozenset()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        if self.title is not None:
            yield from _lines([[part] for part in _wrapped(self.title, options.max_width)])
        yield from _lines(self._drawn(options.max_width))

    def _drawn(self, room: int) -> Iterator[list[Cell]]:
        natural = {index: max(cell.width for cell in self._column(index)) for index in range(len(self.columns))}
        if _together(natural) <= room:
            return self._table(natural, room)
        filled = [index for index in natural if not self.rows or not all(row[index].empty for row in self.rows)]
        natural = {index: natural[index] for index in filled}
        tight = {index: self._tight(index) for index in filled}
        for widths in (natural, self._prose_broken(natural, room), tight, self._prose_broken(tight, room)):
            if _together(widths) <= room:
                return self._table(widths, room)
        fitting = {index: width for index, width in tight.items() if index not in self.prose}
        while _together(fitting) > room:
            fitting.popitem()
        if len(fitting) > 1 and (room >= NARROW or not self.rows):
            whole = {index: natural[index] for index in fitting}  # headings on one line, if there is room
            return self._table(whole if _together(whole) <= room else fitting, room)
        return self._records(room)

    def _column(self, index: int) -> list[Cell]:
        return [self.columns[index], *(row[index] for row in self.rows)]

    def _tight(self, index: int) -> int:
        """Return the width of the widest value of a column, with a heading of at most two lines."""
        heading, *cells = self._column(index)
        width = max([_longest_word(heading), *(cell.width for cell in cells)])
        while len(_wrapped(heading, width)) > HEADING_LINES:
            width += 1
        return width

    def _prose_broken(self, widths: Mapping[int, int], room: int) -> dict[int, int]:
        broken = dict(widths)
        prose = sorted(self.prose & widths.keys(), key=lambda index: widths[index])
        free = room - _together(widths) + sum(widths[index] for index in prose)
        for done, index in enumerate(prose):
            least = max(min(PROSE_MIN, widths[index]), *(_longest_word(cell) for cell in self._column(index)))
            broken[index] = max(least, min(widths[index], free // (len(prose) - done)))
            free -= broken[index]
        return broken

    def _table(self, widths: Mapping[int, int], room: int) -> Iterator[list[Cell]]:
        """Yield lines with the columns of these widths. The other columns follow below each row."""
        right = {index for index in widths if self._has_figures(index)}
        heads = {index: Cell(self.columns[index].text, "bold") for index in widths}
        yield from _side_by_side(heads, widths, right)
        for row in self.rows:
            yield from _side_by_side({index: row[index] for index in widths}, widths, right)
            yield from self._details(row, widths, room)

    def _has_figures(self, index: int) -> bool:
        filled = [row[index] for row in self.rows if not row[index].empty]
        return bool(filled) and all(cell.is_figure for cell in filled)

    def _details(self, row: Sequence[Cell], shown: Container[int], room: int) -> Iterator[list[Cell]]:
        line: list[Cell] = []
        for index, (column, cell) in enumerate(zip(self.columns, self._kept_whole(row), strict=True)):
            if index in shown or cell.empty:
                continue
            field = [Cell(f"{column.text}: ", "dim"), cell]
            alone = index in self.prose
            if line and (alone or _width(line) + len(FIELD_GAP) + _width(field) > room):
                yield line
                line = []
            if alone:
                yield from _field(field[0], cell, field[0].width, room, indent=INDENT)
            else:
                line += [Cell(FIELD_GAP if line else INDENT), *field]
        if line:
            yield line

    def _kept_whole(self, row: Sequence[Cell]) -> list[Cell]:
        """Mark the cells that may be ids: they are not broken, whatever their script."""
        return [cell._replace(whole=index not in self.prose) for index, cell in enumerate(row)]

    def _records(self, room: int) -> Iterator[list[Cell]]:
        for number, row in enumerate(self.rows):
            if number:
                yield []
            yield from records(zip(self.columns, self._kept_whole(row), strict=True), room)
        if not self.rows:
            yield from ([part] for column in self.columns for part in _wrapped(column, room))


@dataclass(frozen=True)
class Record:
    """Names and values, one pair per line."""

    fields: Sequence[tuple[Cell, Cell]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield from _lines(records(self.fields, options.max_width, empty=True))


def records(fields: Iterable[tuple[Cell, Cell]], room: int, *, empty: bool = False) -> Iterator[list[Cell]]:
    kept = [(name, value) for name, value in fields if empty or not value.empty]
    widest = max((name.width for name, _ in kept), default=0)
    for name, value in kept:
        yield from _field(Cell(name.text, "dim"), value, widest + len(GAP), room)


def _field(name: Cell, value: Cell, column: int, room: int, *, indent: str = "") -> Iterator[list[Cell]]:
    """Yield a value beside its name, or below it where the value would not fit."""
    if _longest_word(value) > room - column - len(indent):
        yield [Cell(indent), Cell(name.text.rstrip(), name.style)]
        indent += GAP if _longest_word(value) <= room - len(indent + GAP) else ""
        yield from ([Cell(indent), part] for part in _wrapped(value, room - len(indent)))
        return
    for number, part in enumerate(_wrapped(value, room - column - len(indent))):
        label = Cell(name.text + " " * (column - name.width), name.style) if number == 0 else Cell(" " * column)
        yield [Cell(indent), label, part]


def _side_by_side(cells: Mapping[int, Cell], widths: Mapping[int, int], right: Container[int]) -> Iterator[list[Cell]]:
    """Yield the lines of one row."""
    columns = {index: _wrapped(cell, widths[index]) for index, cell in cells.items()}
    for number in range(max(map(len, columns.values()), default=0)):
        line: list[Cell] = []
        for index, parts in columns.items():
            part = parts[number] if number < len(parts) else Cell("")
            padding = Cell(" " * (widths[index] - part.width))
            line += [padding, part] if index in right else [part, padding]
            line.append(Cell(GAP))
        yield line


def _wrapped(cell: Cell, width: int) -> list[Cell]:
    """Return lines of whole words. Only scripts without spaces are broken between any two characters."""
    if cell.width <= width:
        return [cell]
    lines = [""]
    for word in cell.text.split(" "):
        for number, piece in enumerate([word] if cell.whole else _pieces(word, width)):
            joined = f"{lines[-1]} {piece}" if number == 0 and lines != [""] else lines[-1] + piece
            if lines != [""] and cell_len(joined) > width:
                lines.append(piece)
            else:
                lines[-1] = joined
    return [Cell(line, cell.style) for line in lines]


def _pieces(word: str, width: int) -> list[str]:
    return chop_cells(word, max(2, width)) if _is_wide(word) and cell_len(word) > width else [word]


def _longest_word(cell: Cell) -> int:
    return max(2 if _is_wide(word) and not cell.whole else cell_len(word) for word in cell.text.split(" "))


def _is_wide(word: str) -> bool:
    return not word.isascii() and any(cell_len(character) > 1 for character in word)


def _together(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + len(GAP) * (len(widths) - 1)


def _width(line: Sequence[Cell]) -> int:
    return sum(cell.width for cell in line)


def _lines(lines: Iterable[Sequence[Cell]]) -> Iterator[Text]:
    for line in lines:
        drawn = Text(no_wrap=True, overflow="ignore")
        for cell in line:
            drawn.append(cell.text, cell.style)
        if padding := len(drawn.plain) - len(drawn.plain.rstrip(" ")):
            drawn.right_crop(padding)
        yield drawn
