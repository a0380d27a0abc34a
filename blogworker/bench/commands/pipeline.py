"""`blogworker bench pipeline`, `bench statements` and `bench memory`: what whole blogs cost."""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import typer

from blogworker.bench.commands.plot import Chart
from blogworker.bench.commands.printing import AS_JSON, PLOT, draw, print_rows, print_runs, progress_printer
from blogworker.bench.commands.running import run_bench
from blogworker.cli.extras import extra
from blogworker.settings import LogSettings
from blogworker.telemetry import configure


def pipeline(
    jobs: int = typer.Option(400, min=10, help="Whole blogs, for each kind of worker."),
    slots: int = typer.Option(50, min=1, help="Concurrent jobs per worker."),
    by_stage: str | None = typer.Option(
        None, help="Slots by stage instead, such as content=30,image=15,publish=5, for our worker only."
    ),
    speed: float = typer.Option(60, min=0.1, help="Run the clock of the providers this many times faster."),
    workers: int = typer.Option(1, min=1, help="Worker processes."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure what a whole blog costs, and what it costs a bare worker. Exit 1: not every blog is DONE once."""
    with extra("demo"):
        from blogworker.bench.pipeline import Plan, measure
    configure(LogSettings(level="error"))
    figures = run_bench(
        partial(measure, Plan(jobs, workers, slots, speed, by_stage), progress=progress_printer(as_json))
    )
    title = f"{jobs:,} blogs, {workers} x {by_stage or slots} slots, {speed:g} times speed; CPU and statements per blog"
    print_runs(figures, title, by="worker", heading="{}", as_json=as_json, plot=None)
    draw(plot, Chart(title, [asdict(figure) for figure in figures[:2]], ["worker"]))  # a ratio has another scale
    if any(f.done < jobs or f.twice for f in figures[:2]):
        raise typer.Exit(1)


def statements(
    jobs: int = typer.Option(200, min=10, help="Whole blogs."),
    slots: int = typer.Option(50, min=1, help="Concurrent jobs of the worker."),
    speed: float = typer.Option(60, min=0.1, help="Run the clock of the providers this many times faster."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure what each statement of a whole blog costs the database."""
    with extra("demo"):
        from blogworker.bench.statements import measure
    configure(LogSettings(level="error"))
    rows = [asdict(cost) for cost in run_bench(partial(measure, jobs=jobs, slots=slots, speed=speed))]
    title = f"{jobs:,} blogs, {slots} slots, {speed:g} times speed; calls, time and write-ahead log per blog"
    print_rows(rows, title, by=["statement"], as_json=as_json, plot=plot)


def memory(
    jobs: int = typer.Option(1_000, min=10, help="Whole blogs of each worker."),
    slots: str = typer.Option("50,200", help="Numbers of concurrent jobs, separated by commas."),
    speed: float = typer.Option(60, min=0.1, help="Run the clock of the providers this many times faster."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure the memory of a worker, and its growth per 1,000 blogs. Exit 1: not every blog is DONE once."""
    with extra("demo"):
        from blogworker.bench.memory import measure
    configure(LogSettings(level="error"))
    counts = [int(count) for count in slots.split(",")]
    progress = progress_printer(as_json)
    figures = run_bench(partial(measure, jobs=jobs, slots=counts, speed=speed, progress=progress))
    title = f"Resident memory of one worker, {jobs:,} blogs at {speed:g} times speed"
    print_runs(figures, title, by="slots", heading="{} slots", as_json=as_json, plot=plot)
    if any(f.done < jobs or f.twice for f in figures):
        raise typer.Exit(1)
