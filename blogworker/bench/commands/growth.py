"""`blogworker bench growth`: how the time of each frequent statement grows with the queue."""

from functools import partial
from pathlib import Path

import typer

from blogworker.bench.commands.printing import AS_JSON, PLOT, print_runs, progress_printer
from blogworker.bench.commands.running import run_bench
from blogworker.cli.extras import extra
from blogworker.section import load_section
from blogworker.settings import LogSettings, OpenAISettings, ReplicateSettings
from blogworker.telemetry import configure


def growth(
    sizes: str = typer.Option(
        "1000/10,100000/5000,1000000/5000,1000000/100000",
        help="Jobs/sites of each database, separated by commas. Half of the jobs are PENDING, half are DONE.",
    ),
    rounds: int = typer.Option(15, min=1, help="Calls of each statement."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure claim, settle, enqueue and each view of an operator with small and with large queues."""
    with extra("demo"):
        from blogworker.bench.claim import Backlog
        from blogworker.bench.growth import measure
        from blogworker.spend.estimate import Prices
    configure(LogSettings(level="warning"))
    try:
        wanted = [Backlog(*map(int, size.split("/"))) for size in sizes.split(",")]
    except (TypeError, ValueError):
        raise typer.BadParameter(f"{sizes!r} is not JOBS/SITES,JOBS/SITES", param_hint="--sizes") from None
    if any(size.sites < 10 or size.jobs < 20 * size.sites // 10 for size in wanted):
        raise typer.BadParameter("each size needs 10 sites and two jobs per site", param_hint="--sizes")
    prices = Prices(load_section(OpenAISettings), load_section(ReplicateSettings))
    found = run_bench(partial(measure, wanted, rounds=rounds, prices=prices, progress=progress_printer(as_json)))
    print_runs(found, f"Medians of {rounds}, in milliseconds", by="size", heading="{}", as_json=as_json, plot=plot)
