"""`blogworker bench faults`: every fault of the simulated providers, with real workers."""

from dataclasses import asdict
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


def faults(
    jobs: int = typer.Option(300, min=10, help="Jobs to run."),
    sites: int = typer.Option(20, min=1, help="Sites of these jobs."),
    workers: int = typer.Option(2, min=1, help="Worker processes."),
    concurrency: int = typer.Option(15, min=1, help="Concurrent jobs per worker."),
    speed: float = typer.Option(20, min=0.1, help="Run the clock of the providers this many times faster."),
    within: float = typer.Option(900, min=10, help="Seconds after which the bench fails."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure what each kind of fault wastes. Exit 1: not all jobs done in time, or a draft or post created twice."""
    with extra("demo"):
        from blogworker.bench.faults import Plan, measure
    configure(LogSettings(level="error"))
    plan = Plan(jobs, sites, workers, concurrency, speed, within)
    progress = progress_printer(as_json)
    try:
        found = run_bench(partial(measure, plan, progress=progress))
    except TimeoutError:
        console().print(f"not all of {jobs:,} jobs were done within {within:g} s")
        raise typer.Exit(1) from None
    totals = {name: value for name, value in asdict(found).items() if name not in ("met", "ledger")}
    ledger = [{name: value for name, value in row.items() if name != "used"} for row in found.ledger]
    if as_json:
        emit_json({**totals, "met": [asdict(met) for met in found.met], "ledger": ledger})
    else:
        rows = [
            [*map(str, (met.vendor, met.operation, met.kind, met.times, met.wasted)), f"{met.wasted_usd:.4f}"]
            for met in found.met
        ]
        heads = ["provider", "call", "fault", "times", "calls wasted", "USD wasted at most"]
        console().print(table(f"{jobs:,} jobs, each fault for 5 % of them", heads, rows))
        console().print(
            table("Ledger of blogworker", list(ledger[0]), [[str(v) for v in row.values()] for row in ledger])
        )
        console().print(table("Result", list(totals), [[str(v) for v in totals.values()]]))
    runs = [asdict(met) for met in found.met]
    draw(plot, Chart(f"{jobs:,} jobs, each fault for 5 % of them", runs, ["vendor", "operation", "kind"]))
    if found.duplicate_drafts or found.duplicate_posts:
        raise typer.Exit(1)
