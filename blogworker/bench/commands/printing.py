"""Print progress, and the figures of several runs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from blogworker.cli.output import console, emit_json, table

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def progress_printer(as_json: bool) -> Callable[[str], None]:
    """Return a function that prints a line, or nothing if the output is JSON."""
    return (lambda _: None) if as_json else console().print


def print_runs(figures: "Sequence[DataclassInstance]", title: str, *, by: str, heading: str, as_json: bool) -> None:
    """Print a table with one column per figure, or JSON. `heading`: a format for the value of the field `by`."""
    rows = [{name: _rounded(value) for name, value in asdict(figure).items()} for figure in figures]
    if as_json:
        emit_json(rows)
        return
    lines = [[name, *(_cell(row[name]) for row in rows)] for name in rows[0] if name != by]
    console().print(table(title, ["", *(heading.format(row[by]) for row in rows)], lines))


def _rounded(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case dict():
            return ", ".join(f"{name} {_rounded(count)}" for name, count in value.items()) or "-"
        case _:
            return str(value)
