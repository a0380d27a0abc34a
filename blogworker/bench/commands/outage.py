"""`blogworker bench outage`: a provider goes down while real workers run."""

from functools import partial

import anyio
import typer

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
    concurrency: int = typer.Option(15, min=1, help="Jobs at once, of each."),
    sites: int = typer.Option(20, min=1, help="Sites with jobs."),
    jobs: int = typer.Option(2_000, min=100, help="Jobs at the start: some must be left at the end."),
    speed: float = typer.Option(10, min=0.1, help="Run the clock of the providers this many times faster."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Measure what an outage of a provider costs. Exit 1: it cost an attempt or a job, or recovery took over 10 s."""
    with extra("demo"):
        from blogworker.bench.outage import Plan, measure
    configure(LogSettings(level="error"))
    plan = Plan(provider, seconds, before, after, workers, concurrency, sites, jobs, speed)
    progress = (lambda _: None) if as_json else console().print
    found = anyio.run(partial(measure, plan, progress=progress))
    row = {
        "jobs_s_before": round(found.before_per_s, 2),
        "during": round(found.during_per_s, 2),
        "after": round(found.after_per_s, 2),
        "back_to_90_%_after_s": "never" if found.back_after_s is None else round(found.back_after_s, 2),
        "attempts_spent": found.spent,
        "jobs_failed": found.failed,
        "claims_during": found.claims_during,
        "calls_refused": found.calls_during,
        "opened": found.opened,
        "closed": found.closed,
    }
    if as_json:
        emit_json(row)
    else:
        title = f"{provider} down for {seconds:g} s, {workers} workers of {concurrency} slots"
        console().print(table(title, list(row), [[str(value) for value in row.values()]]))
    if found.spent or found.failed or found.back_after_s is None or found.back_after_s > 10:
        raise typer.Exit(1)
