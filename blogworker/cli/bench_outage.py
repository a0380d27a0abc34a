"""`blogworker bench outage`: a vendor goes down under real workers."""

from functools import partial

import anyio
import typer

from blogworker.cli.bench import bench
from blogworker.cli.extras import extra
from blogworker.cli.output import console, emit_json, table
from blogworker.settings import LogSettings
from blogworker.telemetry import configure


def register(app: typer.Typer) -> None:
    bench.command()(outage)


def outage(
    vendor: str = typer.Option("openai", help="Who goes down: openai, replicate or wix."),
    seconds: float = typer.Option(60, min=5, help="For how long."),
    before: float = typer.Option(20, min=5, help="Seconds watched before, after the warming up."),
    after: float = typer.Option(30, min=10, help="Seconds watched after."),
    workers: int = typer.Option(2, min=1, help="Worker processes."),
    concurrency: int = typer.Option(15, min=1, help="Slots of each."),
    sites: int = typer.Option(20, min=1, help="Sites with blogs."),
    blogs: int = typer.Option(2_000, min=100, help="Blogs to begin with: some must be left at the end."),
    speed: float = typer.Option(10, min=0.1, help="Run the vendors' clock this many times faster."),
    as_json: bool = typer.Option(False, "--json", help="For machines."),
) -> None:
    """What an outage of a vendor costs. Exit 1: an attempt, a blog, or more than ten seconds after its end."""
    with extra("demo"):
        from blogworker.bench.outage import Plan, measure
    configure(LogSettings(level="error"))
    plan = Plan(vendor, seconds, before, after, workers, concurrency, sites, blogs, speed)
    progress = (lambda _: None) if as_json else console().print
    found = anyio.run(partial(measure, plan, progress=progress))
    row = {
        "blogs_s_before": round(found.before_per_s, 2),
        "during": round(found.during_per_s, 2),
        "after": round(found.after_per_s, 2),
        "back_to_90_%_after_s": "never" if found.back_after_s is None else round(found.back_after_s, 2),
        "attempts_spent": found.spent,
        "blogs_failed": found.failed,
        "claims_during": found.claims_during,
        "calls_refused": found.calls_during,
        "opened": found.opened,
        "closed": found.closed,
    }
    if as_json:
        emit_json(row)
    else:
        title = f"{vendor} down for {seconds:g} s, {workers} workers of {concurrency} slots"
        console().print(table(title, list(row), [[str(value) for value in row.values()]]))
    if found.spent or found.failed or found.back_after_s is None or found.back_after_s > 10:
        raise typer.Exit(1)
