"""`blogworker bench outage`: a provider goes down while real workers run."""

from functools import partial
from pathlib import Path

import typer

from blogworker.bench.commands.plot import Chart
from blogworker.bench.commands.printing import AS_JSON, PLOT, draw, progress_printer
from blogworker.bench.commands.running import run_bench
from blogworker.cli.extras import extra
from blogworker.cli.output import console, emit_json, table
from blogworker.settings import LogSettings
from blogworker.telemetry import configure


def outage(
    provider: str = typer.Option("openai", help="The provider that goes down: openai, replicate or wix."),
    seconds: float = typer.Option(60, min=5, help="Seconds of the outage."),
    before: float = typer.Option(20, min=5, help="Seconds measured before, after a warm-up."),
    after: float = typer.Option(30, min=10, help="Seconds measured after."),
    workers: int = typer.Option(2, min=1, help="Worker processes."),
    concurrency: int = typer.Option(15, min=1, help="Concurrent jobs per worker."),
    sites: int = typer.Option(20, min=1, help="Sites with jobs."),
    jobs: int = typer.Option(2_000, min=100, help="Jobs at the start: some must be left at the end."),
    speed: float = typer.Option(10, min=0.1, help="Run the clock of the providers this many times faster."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure what an outage of a provider costs. Exit 1: it cost an attempt or a job, or recovery took over 10 s."""
    with extra("demo"):
        from blogworker.bench.outage import Plan, measure
    configure(LogSettings(level="error"))
    plan = Plan(provider, seconds, before, after, workers, concurrency, sites, jobs, speed)
    progress = progress_printer(as_json)
    found = run_bench(partial(measure, plan, progress=progress))
    row = {
        "jobs_s_before": round(found.before_per_s, 2),
        "during": round(found.during_per_s, 2),
        "after": round(found.after_per_s, 2),
        "back_to_90_%_after_s": "never" if found.recovered_after_s is None else round(found.recovered_after_s, 2),
        "attempts_spent": found.attempts_used,
        "jobs_failed": found.failed,
        "claims_during": found.claims_during,
        "calls_refused": found.calls_refused,
        "opened": found.opened,
        "closed": found.closed,
    }
    title = f"{provider} down for {seconds:g} s, {workers} workers of {concurrency} slots"
    if as_json:
        emit_json(row)
    else:
        console().print(table(title, list(row), [[str(value) for value in row.values()]]))
    draw(plot, Chart(title, [{"provider": provider, **row}], ["provider"]))
    if found.attempts_used or found.failed or found.recovered_after_s is None or found.recovered_after_s > 10:
        raise typer.Exit(1)
