"""`blogworker bench headline`: five thousand blogs at once, against what the quota allows."""

from dataclasses import asdict
from functools import partial

import anyio
import typer

from blogworker.cli.bench import bench
from blogworker.cli.bench_fairness import rounded, said
from blogworker.cli.extras import extra
from blogworker.cli.output import console, emit_json, table
from blogworker.settings import LogSettings
from blogworker.telemetry import configure


def register(app: typer.Typer) -> None:
    bench.command()(headline)


def headline(
    blogs: int = typer.Option(5_000, min=1, help="Blogs, all enqueued before the workers start."),
    sites: int = typer.Option(100, min=1, help="Their sites, in turn."),
    workers: int = typer.Option(3, min=1, help="Worker processes."),
    slots: int = typer.Option(50, min=1, help="Slots of each."),
    speed: float = typer.Option(5, min=0.1, help="Run the vendors' clock this many times faster."),
    seed: bool = typer.Option(False, help="The seed's worker beside ours."),
    as_json: bool = typer.Option(False, "--json", help="For machines."),
) -> None:
    """How long many blogs take, beside what their tokens need at the limit. Exit 1: not every one of ours is DONE."""
    with extra("demo"):
        from blogworker.bench.headline import Plan, measure
    configure(LogSettings(level="error"))
    plan = Plan(blogs, sites, workers, slots, speed, seed)
    figures = anyio.run(partial(measure, plan, progress=(lambda _: None) if as_json else console().print))
    rows = [{name: rounded(value) for name, value in asdict(figure).items()} for figure in figures]
    if as_json:
        emit_json(rows)
    else:
        title = f"{blogs} blogs of {sites} sites, {workers} workers of {slots} slots; minutes are the vendors'"
        lines = [[name, *(said(row[name]) for row in rows)] for name in rows[0] if name != "fleet"]
        console().print(table(title, ["", *(figure.fleet for figure in figures)], lines))
    if figures[0].done < blogs:
        raise typer.Exit(1)
