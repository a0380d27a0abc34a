"""`blogworker bench http`: the HTTP interface under load."""

from functools import partial
from pathlib import Path

import typer

from blogworker.bench.commands.printing import AS_JSON, PLOT, print_runs, progress_printer
from blogworker.bench.commands.running import run_bench
from blogworker.cli.extras import extra
from blogworker.settings import LogSettings
from blogworker.telemetry import configure


def http(
    backlog: int = typer.Option(1_000_000, min=100, help="Waiting jobs at the beginning."),
    sites: int = typer.Option(5_000, min=10, help="Sites of these jobs."),
    rate: int = typer.Option(200, min=1, max=5_000, help="POSTs per second of the steady load."),
    seconds: float = typer.Option(30, min=1, max=600, help="Seconds of the steady load, and of each other part."),
    burst: int = typer.Option(5_000, min=1, max=20_000, help="POSTs at once."),
    burst_sites: int = typer.Option(500, min=1, help="Sites of these."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure answers to POSTs, and what viewers of the dashboard and scrapes of metrics cost. Exit 1: a POST got no
    answer, or not exactly the accepted jobs are stored."""
    with extra("demo"):
        from blogworker.bench.http import Plan, measure
    configure(LogSettings(level="error"))
    plan = Plan(backlog, sites, rate, seconds, burst, burst_sites)
    found = run_bench(partial(measure, plan, progress=progress_printer(as_json)))
    print_runs([found], "The HTTP interface", by="backlog", heading="{} jobs / sites", as_json=as_json, plot=plot)
    if found.burst_dropped or found.burst_stored != found.burst_accepted:
        raise typer.Exit(1)
