"""Output of commands: tables for people, JSON for programs, one line per error."""

import codecs
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TextIO
from uuid import UUID

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from blogworker.cli.layout import Cell, Grid, Record
from blogworker.db.loaders import BEFORE_ALL, NEVER
from blogworker.ops.shown import ago
from blogworker.printable import printable, printable_json, printable_lines
from blogworker.redact import SECRETS
from blogworker.telemetry.journal import is_journal, marked
from blogworker.telemetry.streams import coloured, encoding_of, trusted

USUAL_WIDTH = 80  # of a terminal that does not report its width
UNLIMITED = 100_000  # columns, without a terminal: each row is one line, for grep
STATUS_COLOURS = {
    "DONE": "green",
    "FAILED": "red",
    "CANCELLED": "magenta",
    "PROCESSING": "cyan",
    "PENDING": "yellow",
    "SCHEDULED": "blue",
}


class Screen(Console):
    """A console that prints strings without interpreting markup, hides secrets, escapes hidden characters, and crops no
    line."""

    def print(self, *objects: Any, crop: bool = False, **options: Any) -> None:
        super().print(*objects, crop=crop, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable_lines(text, encoding=self.encoding), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if isinstance(renderable, Text):  # strings too are printed as one
            renderable = _without_secrets(renderable)
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable_lines(segment.text, encoding=self.encoding)
            yield Segment(text, segment.style, segment.control)


def console(stream: TextIO | None = None) -> Screen:
    """Return a screen on standard output, or on `stream`."""
    file = stream or sys.stdout
    return Screen(
        file=trusted(file),
        width=_width(file),
        color_system="standard" if coloured(file) else None,
        force_terminal=file.isatty(),
        markup=False,
        emoji=False,
        highlight=False,
    )


def _without_secrets(text: Text) -> Text:
    """Return the text, or without its styles if it shows a secret. Secrets that are plain words stay."""
    hidden = SECRETS.hide(text.plain, shapes=False, words=False)
    if hidden == text.plain:
        return text
    plain = text.blank_copy(hidden)
    plain.no_wrap, plain.overflow = text.no_wrap, text.overflow
    return plain


def _width(file: TextIO) -> int:
    """Return the value of COLUMNS, else the width of the terminal."""
    asked = os.environ.get("COLUMNS", "")
    if re.fullmatch("0*[1-9][0-9]{0,4}", asked):
        return int(asked)
    try:
        return os.get_terminal_size(file.fileno()).columns or USUAL_WIDTH
    except OSError:  # not a terminal
        return UNLIMITED


def prose(text: str) -> Text:
    """Return text of many lines, wrapped at spaces."""
    return Text(printable_lines(text, encoding=encoding_of(sys.stdout)))


def heading(text: str) -> Text:
    return Text(printable(text, encoding=encoding_of(sys.stdout)), style="bold")


def complain(message: str) -> None:
    """Print one line on standard error."""
    line = printable(f"blogworker: {SECRETS.hide(message, shapes=False)}")
    sys.stderr.write(f"{marked(line, 'error') if is_journal(sys.stderr) else line}\n")


def json_text(value: object) -> str:
    """Return JSON that is safe to show on a terminal, in characters that the output can encode."""
    plain = json.loads(json.dumps(value, default=_plain))
    cleaned = SECRETS.hide_all(plain, shapes=False, words=False)
    return printable_json(json.dumps(cleaned, ensure_ascii=codecs.lookup(encoding_of(sys.stdout)).name != "utf-8"))


def emit_json(value: object) -> None:
    trusted(sys.stdout).write(json_text(value) + "\n")


def table(
    title: str | None, columns: Sequence[str], rows: Iterable[Sequence[object]], *, fold: Sequence[str] = ()
) -> Grid:
    """Return a table with figures aligned right. Only the columns in `fold` are wrapped."""
    return Grid(
        None if title is None else _text(title, "bold"),
        [_text(column) for column in columns],
        [[cell(value) for value in row] for row in rows],
        frozenset(index for index, column in enumerate(columns) if column in fold),
    )


def show_rows(rows: Sequence[Mapping[str, object]], title: str, *, as_json: bool) -> None:
    """Print rows with the same keys, as a table or as JSON."""
    if as_json:
        emit_json(rows)
    else:
        console().print(table(title, list(rows[0]), [[str(value) for value in row.values()] for row in rows]))


def cell(value: object) -> Cell:
    match value:
        case None:
            return Cell("-", "dim", empty=True)
        case bool():
            return Cell("yes" if value else "no")
        case float():
            return Cell(f"{value:,.1f}")
        case int():
            return Cell(f"{value:,}")
        case datetime():
            return Cell(ago(value))
        case _:
            text = str(value)
            return _text(text, STATUS_COLOURS.get(text, ""))


def _text(text: str, style: str = "") -> Cell:
    """Return a cell without secrets: a worker with other settings may have stored one. Secrets that are plain words
    stay."""
    return Cell(printable(SECRETS.hide(text, shapes=False, words=False), encoding=encoding_of(sys.stdout)), style)


def facts(pairs: Mapping[str, object]) -> Record:
    """Return names and values, one pair per line."""
    return Record([(_text(name), cell(value)) for name, value in pairs.items()])


def _plain(value: object) -> object:
    match value:
        case datetime() if value == NEVER:
            return "infinity"  # as PostgreSQL writes it
        case datetime() if value == BEFORE_ALL:
            return "-infinity"
        case date():
            return value.isoformat()
        case Decimal():
            return float(value)
        case UUID():
            return str(value)
        case _:
            return str(value)
