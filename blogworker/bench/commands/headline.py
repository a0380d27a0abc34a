"""`blogworker bench headline`: five thousand jobs at once, compared with what the quota allows."""

from functools import partial
from pathlib import Path

import typer

from blogworker.bench.commands.printing import AS_JSON, PLOT, print_runs, progress_printer
from blogworker.bench.commands.running import run_bench
from blogworker.cli.extras import extra
from blogworker.settings import LogSettings
from blogworker.telemetry import configure


def headline(
    jobs: int = typer.Option(5_000, min=1, help="Jobs, all enqueued before the workers start."),
    sites: int = typer.Option(100, min=1, help="Sites of these jobs, in turn."),
    workers: int = typer.Option(3, min=1, help="Worker processes."),
    slots: int = typer.Option(50, min=1, help="Concurrent jobs per worker."),
    speed: float = typer.Option(5, min=0.1, help="Run the clock of the providers this many times faster."),
    seed: bool = typer.Option(False, help="Also measure the seed's worker."),
    http: bool = typer.Option(False, "--http", help="Enqueue the jobs by simultaneous POSTs to `blogworker serve`."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure how long many jobs take, compared with the time that the quota needs. Exit 1: not every job is DONE."""
    with extra("demo"):
        from blogworker.bench.headline import Plan, measure
    configure(LogSettings(level="error"))
    plan = Plan(jobs, sites, workers, slots, speed, seed, http)
    figures = run_bench(partial(measure, plan, progress=progress_printer(as_json)))
    title = f"{jobs:,} jobs of {sites} sites, {workers} workers of {slots} slots; minutes on the providers' clock"
    print_runs(figures, title, by="fleet", heading="{}", as_json=as_json, plot=plot)
    ours = figures[0]
    if ours.done < ours.accepted or ours.dropped_posts:
        raise typer.Exit(1)
