"""Print progress, and print and draw the figures of several runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from blogworker.bench.commands.plot import Chart, save
from blogworker.cli.output import console, emit_json, show_rows, table

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def _in_a_folder(path: Path | None) -> Path | None:
    """Refuse a picture that could not be written, before the bench runs for minutes."""
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"{path.parent} is not a folder")
    return path


AS_JSON = typer.Option(False, "--json", help="Print JSON.")
PLOT = typer.Option(
    None,
    metavar="FILE.svg",
    dir_okay=False,
    writable=True,
    callback=_in_a_folder,
    help="Also draw the figures as bars in this file.",
)


def progress_printer(as_json: bool) -> Callable[[str], None]:
    """Return a function that prints a line, or nothing if the output is JSON."""
    return (lambda _: None) if as_json else console().print


def print_rows(
    rows: Sequence[Mapping[str, object]], title: str, *, by: Sequence[str], as_json: bool, plot: Path | None
) -> None:
    """Print a table with one line per run, or JSON, and draw them. `by`: the keys whose values name a run."""
    show_rows(rows, title, as_json=as_json)
    draw(plot, Chart(title, rows, by))


def print_charts(charts: Mapping[str, Chart], *, as_json: bool, plot: Path | None) -> None:
    """Print several tables, or one JSON object with the rows of each by name, and draw them."""
    if as_json:
        emit_json({name: chart.runs for name, chart in charts.items()})
    else:
        for chart in charts.values():
            show_rows(chart.runs, chart.title, as_json=False)
    draw(plot, *charts.values())


def print_runs(
    figures: "Sequence[DataclassInstance]", title: str, *, by: str, heading: str, as_json: bool, plot: Path | None
) -> None:
    """Print a table with one column per run, or JSON, and draw them. `heading`: a format for the value of the field
    `by`, which names a run."""
    rows = [{name: _rounded(value) for name, value in asdict(figure).items()} for figure in figures]
    if as_json:
        emit_json(rows)
    else:
        lines = [[name, *(_cell(row[name]) for row in rows)] for name in rows[0] if name != by]
        console().print(table(title, ["", *(heading.format(row[by]) for row in rows)], lines))
    draw(plot, Chart(title, [{**row, by: heading.format(row[by])} for row in rows], [by]))


def draw(plot: Path | None, *charts: Chart) -> None:
    if plot is not None:
        save(plot, charts)


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
