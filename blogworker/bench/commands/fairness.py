"""`blogworker bench fairness`: how soon sites are served, by the claim alone or by real workers with a small quota."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from blogworker.bench.commands.printing import AS_JSON, PLOT, print_rows, print_runs, progress_printer
from blogworker.bench.commands.running import run_bench
from blogworker.cli.extras import extra
from blogworker.settings import LogSettings
from blogworker.telemetry import configure

if TYPE_CHECKING:
    from blogworker.bench.newcomers import Plan


def fairness(
    busy: int = typer.Option(5, min=1, help="Sites with an old backlog."),
    backlog: int | None = typer.Option(None, min=1, help="Jobs of each. Default: 2,000; --quota-bound: 250."),
    new: int | None = typer.Option(None, min=1, help="New sites with one job each. Default: 200; --quota-bound: 20."),
    slots: int = typer.Option(50, min=1, help="Jobs per claim; --quota-bound: concurrent jobs per worker."),
    by_tokens: bool = typer.Option(False, help="Instead: how the tokens of a small quota are shared."),
    quota_bound: bool = typer.Option(
        False, help="Instead: real workers that wait for a quota, with the options below."
    ),
    workers: str = typer.Option("2,6,12", help="Numbers of worker processes, separated by commas."),
    speed: float = typer.Option(5, min=0.1, help="Run the clock of the providers this many times faster."),
    warm: float = typer.Option(60, min=0, help="Seconds on the providers' clock before the new sites are added."),
    watch: float = typer.Option(240, min=1, help="Seconds on the providers' clock measured after that."),
    wix_rpm: int = typer.Option(200, min=8, help="Calls per minute that Wix accepts for one site."),
    idle: bool = typer.Option(True, help="First measure the new sites alone on idle workers."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure how soon new sites are served beside old backlogs: by claims, by tokens, or with real workers."""
    with extra("demo"):
        from blogworker.bench.newcomers import Plan
    configure(LogSettings(level="error" if quota_bound else "warning"))
    if by_tokens:
        _token_share(as_json=as_json, plot=plot)
    elif quota_bound:
        counts = [int(count) for count in workers.split(",")]
        plan = Plan(busy, backlog or 250, new or 20, counts, slots, speed, warm, watch, wix_rpm, idle)
        _newcomers(plan, as_json=as_json, plot=plot)
    else:
        _claims(busy, backlog or 2_000, new or 200, slots, as_json=as_json, plot=plot)


def _claims(busy: int, backlog: int, new: int, slots: int, *, as_json: bool, plot: Path | None) -> None:
    from blogworker.bench.fairness import measure

    found = run_bench(partial(measure, busy=busy, backlog=backlog, new=new, slots=slots))
    row = {
        "busy_sites": busy,
        "new_sites": new,
        "all_jobs": found.jobs,
        "last_new_site_at": found.last_new_at,
        "share_percent": round(100 * found.last_new_at / found.jobs, 2),
        "jain_of_busy": round(found.jain, 4),
    }
    title = "Jobs claimed until the last new site was served"
    print_rows([row], title, by=["busy_sites", "new_sites"], as_json=as_json, plot=plot)


def _token_share(*, as_json: bool, plot: Path | None) -> None:
    from blogworker.bench.token_share import measure

    found = run_bench(partial(measure, sites=3, seconds=1_000, slots=40))
    title = "Tokens of sites whose jobs use 20,000 and 5,000, with a small quota"
    print_rows([asdict(found)], title, by=[], as_json=as_json, plot=plot)


def _newcomers(plan: "Plan", *, as_json: bool, plot: Path | None) -> None:
    from blogworker.bench.newcomers import measure

    figures = run_bench(partial(measure, plan, progress=progress_printer(as_json)))
    title = (
        f"{plan.new} new sites beside {plan.busy} with {plan.backlog} jobs each, {plan.slots} slots per worker, "
        f"speed {plan.speed:g}; times in seconds on the providers' clock"
    )
    print_runs(figures, title, by="workers", heading="{} workers", as_json=as_json, plot=plot)
