"""`blogworker bench pickup` and `bench io`: one worker whose jobs do nothing, or only wait."""

from functools import partial
from pathlib import Path

import typer

from blogworker.bench.commands.printing import AS_JSON, PLOT, print_runs
from blogworker.bench.commands.running import run_bench
from blogworker.cli.extras import extra
from blogworker.settings import LogSettings
from blogworker.telemetry import configure


def pickup(
    jobs: int = typer.Option(300, min=10, help="Jobs that do nothing, one every 20 ms."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure how soon an idle worker starts a job. Exit 1: not every job is DONE once."""
    with extra("demo"):
        from blogworker.bench.pickup import measure
    configure(LogSettings(level="error"))
    found = run_bench(partial(measure, jobs=jobs))
    print_runs(
        [found],
        "From the return of enqueue to the start of the job",
        by="jobs",
        heading="{} jobs",
        as_json=as_json,
        plot=plot,
    )
    if found.claimed_twice or found.unfinished:
        raise typer.Exit(1)


def io(
    jobs: int = typer.Option(2_000, min=10, help="Jobs that wait for 200 ms."),
    slots: int = typer.Option(50, min=1, help="Concurrent jobs of the worker."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure jobs that only wait: how full the slots are, and the CPU time. Exit 1: not every job is DONE once."""
    with extra("demo"):
        from blogworker.bench.io import measure
    configure(LogSettings(level="error"))
    found = run_bench(partial(measure, jobs=jobs, slots=slots))
    print_runs(
        [found], f"{jobs:,} jobs that wait for 200 ms", by="slots", heading="{} slots", as_json=as_json, plot=plot
    )
    if found.claimed_twice or found.unfinished:
        raise typer.Exit(1)
