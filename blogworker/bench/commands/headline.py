"""`blogworker bench headline`: five thousand jobs at once, compared with what the quota allows."""

from dataclasses import asdict
from functools import partial

import anyio
import typer

from blogworker.bench.commands.fairness import cell_text, rounded
from blogworker.cli.extras import extra
from blogworker.cli.output import console, emit_json, table
from blogworker.settings import LogSettings
from blogworker.telemetry import configure


def headline(
    jobs: int = typer.Option(5_000, min=1, help="Jobs, all enqueued before the workers start."),
    sites: int = typer.Option(100, min=1, help="Sites of these jobs, in turn."),
    workers: int = typer.Option(3, min=1, help="Worker processes."),
    slots: int = typer.Option(50, min=1, help="Jobs at once, of each."),
    speed: float = typer.Option(5, min=0.1, help="Run the clock of the providers this many times faster."),
    seed: bool = typer.Option(False, help="Also measure the seed's worker."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Measure how long many jobs take, beside the time that the quota requires. Exit 1: not every job is DONE."""
    with extra("demo"):
        from blogworker.bench.headline import Plan, measure
    configure(LogSettings(level="error"))
    plan = Plan(jobs, sites, workers, slots, speed, seed)
    figures = anyio.run(partial(measure, plan, progress=(lambda _: None) if as_json else console().print))
    rows = [{name: rounded(value) for name, value in asdict(figure).items()} for figure in figures]
    if as_json:
        emit_json(rows)
    else:
        title = f"{jobs:,} jobs of {sites} sites, {workers} workers of {slots} slots; minutes on the providers' clock"
        lines = [[name, *(cell_text(row[name]) for row in rows)] for name in rows[0] if name != "fleet"]
        console().print(table(title, ["", *(figure.fleet for figure in figures)], lines))
    if figures[0].done < jobs:
        raise typer.Exit(1)
