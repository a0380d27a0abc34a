"""How commands speak: tables for people, JSON for machines, one clear line for what is wrong."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from rich.console import Console
from rich.table import Table
from rich.text import Text

from blogworker.db.loaders import BEFORE_ALL, NEVER
from blogworker.telemetry.journal import is_journal, marked

WIDE = 200
STATUS_COLOURS = {
    "DONE": "green",
    "FAILED": "red",
    "CANCELLED": "magenta",
    "PROCESSING": "cyan",
    "PENDING": "yellow",
    "SCHEDULED": "blue",
}


def console() -> Console:
    """As wide as the terminal; wide enough for every line where there is none."""
    return Console(width=None if sys.stdout.isatty() else WIDE)


def complain(message: str) -> None:
    """One line, or one line a fault, on standard error."""
    line = f"blogworker: {message}"
    sys.stderr.write(f"{marked(line, 'error') if is_journal(sys.stderr) else line}\n")


def emit_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False) + "\n")


def table(
    title: str | None, columns: Sequence[str], rows: Iterable[Sequence[object]], *, fold: Sequence[str] = ()
) -> Table:
    """A table whose figures stand on the right and whose cells are shown as they are, never read as markup.

    Only the columns in `fold` may become narrower than their content.
    """
    drawn = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    cells = [[cell(value) for value in row] for row in rows]
    for index, column in enumerate(columns):
        figures = bool(cells) and all(isinstance(row[index].plain, str) and _figure(row[index].plain) for row in cells)
        drawn.add_column(
            column, justify="right" if figures else "left", overflow="fold", no_wrap=bool(fold) and column not in fold
        )
    for row in cells:
        drawn.add_row(*row)
    return drawn


def show_rows(rows: Sequence[Mapping[str, object]], title: str, *, as_json: bool) -> None:
    """Rows of the same keys, as a table or for machines."""
    if as_json:
        emit_json(rows)
    else:
        console().print(table(title, list(rows[0]), [[str(value) for value in row.values()] for row in rows]))


def cell(value: object) -> Text:
    match value:
        case None:
            return Text("-", style="dim")
        case bool():
            return Text("yes" if value else "no")
        case float():
            return Text(f"{value:,.1f}")
        case int():
            return Text(f"{value:,}")
        case datetime():
            return Text(ago(value))
        case str():
            return Text(value, style=STATUS_COLOURS.get(value, ""))
        case _:
            return Text(str(value))


def ago(moment: datetime) -> str:
    """How long ago, or how far ahead, in one unit. Display only: no decision hangs on this machine's clock."""
    if moment == NEVER:
        return "never"
    if moment == BEFORE_ALL:
        return "always"
    seconds = (datetime.now(UTC) - moment).total_seconds()
    words = duration(abs(seconds))
    return f"{words} ago" if seconds >= 0 else f"in {words}"


def duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def facts(pairs: Mapping[str, object]) -> Table:
    """Names and values, one a line."""
    drawn = Table(box=None, show_header=False, pad_edge=False)
    drawn.add_column(style="dim")
    drawn.add_column(overflow="fold")
    for name, value in pairs.items():
        drawn.add_row(name, cell(value))
    return drawn


def _figure(text: str) -> bool:
    return text == "-" or text.replace(",", "").replace(".", "").lstrip("-").isdigit()


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
