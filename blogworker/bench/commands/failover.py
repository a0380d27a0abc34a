"""`blogworker bench failover`: restarts, failovers and restores of Postgres while real workers run."""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import typer

from blogworker.bench.commands.plot import Chart
from blogworker.bench.commands.printing import AS_JSON, PLOT, draw, progress_printer
from blogworker.bench.commands.running import run_bench
from blogworker.cli.extras import extra
from blogworker.cli.output import console, emit_json, table
from blogworker.errors import SettingsError
from blogworker.settings import LogSettings
from blogworker.telemetry import configure

HEADS = {
    "fault": "fault",
    "accepted": "accepted",
    "lost": "lost",
    "not_done": "not done at the end",
    "published_twice": "published twice",
    "drafts_twice": "drafts twice",
    "bought_twice": "calls bought twice",
    "attempts_used": "attempts used",
    "silent_s": "longest pause, s",
    "full_speed_s": "full speed after, s",
    "restores": "losses detected",
}


def failover(
    fault: list[str] | None = typer.Option(None, help="Only faults whose name has this text; may be repeated."),
    jobs: int = typer.Option(60, min=20, help="Jobs at the start; a producer adds more."),
    speed: float = typer.Option(25, min=0.1, help="Run the clock of the providers this many times faster."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Crash, restart, fail over and restore Postgres, and print what each has cost. Exit 1: a promise was broken.

    A standby that is behind, and a dump, lose accepted jobs until their producer repeats them, and answers that were
    paid for meanwhile. Nothing may be published twice.
    """
    with extra("demo"):
        from blogworker.bench.failover import FAULTS, Plan, measure
    configure(LogSettings(level="error"))
    chosen = [found for name, found in FAULTS.items() if not fault or any(text in name for text in fault)]
    if not chosen:
        raise SettingsError(f"no such fault; there are: {', '.join(FAULTS)}")
    plan = Plan(jobs=jobs, speed=speed)
    progress = progress_printer(as_json)
    figures = [run_bench(partial(measure, found, plan, progress=progress)) for found in chosen]
    runs = [asdict(figure) for figure in figures]
    draw(plot, Chart(f"{jobs} jobs, {speed:g} times speed", runs, ["fault"]))
    if as_json:
        emit_json(runs)
    else:
        rows = [[str(run[name]) for name in HEADS] for run in runs]
        console().print(table("Postgres restarted, failed over, restored", list(HEADS.values()), rows))
    if not all(figure.kept(found) for figure, found in zip(figures, chosen, strict=True)):
        raise typer.Exit(1)
