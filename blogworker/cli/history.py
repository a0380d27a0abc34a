"""`blogworker history`: what became of the queue over time."""

from dataclasses import asdict
from functools import partial

import typer
from rich.text import Text

from blogworker.cli.output import console, emit_json, table
from blogworker.cli.session import with_database
from blogworker.ops.age import seconds
from blogworker.ops.history import LONGEST_S, MINUTE_S, read_history
from blogworker.ops.shown import precise


def register(app: typer.Typer) -> None:
    app.command()(history)


def history(
    within: str = typer.Option("1h", help="How far back: 1h, 7d at most."),
    step: str = typer.Option("5min", help="Add up so many minutes: 1min, 1h."),
    by_step: bool = typer.Option(False, "--stages", help="Show the durations of the stages in each step too."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Show throughput, failures, waits and the durations of stages over time. Workers record them every minute."""
    within_s = min(round(seconds(within)), LONGEST_S)
    step_s = max(MINUTE_S, round(seconds(step) / MINUTE_S) * MINUTE_S)
    found = with_database(partial(read_history, within_s=within_s, step_s=step_s, stage_steps=by_step or as_json))
    if as_json:
        emit_json(asdict(found))
        return
    columns = ["from (UTC)", "done", "failed", "cancelled", "waiting", "wait p50", "wait p95", "total p50", "total p95"]
    rows = [
        (
            f"{each.began:%Y-%m-%d %H:%M}",
            each.done,
            each.failed,
            each.cancelled,
            each.pending,
            *map(precise, (each.wait_p50_s, each.wait_p95_s, each.total_p50_s, each.total_p95_s)),
        )
        for each in found.steps
    ]
    stages = [(each.stage, each.jobs, precise(each.p50_s), precise(each.p95_s)) for each in found.stages]
    out = console()
    out.print(table("Jobs that ended", columns, rows))
    out.print(Text())
    out.print(table("Stages", ["stage", "jobs", "p50", "worst p95"], stages))
    if found.stage_steps is not None:
        timed = [
            (f"{each.began:%Y-%m-%d %H:%M}", each.stage, each.jobs, precise(each.p50_s), precise(each.p95_s))
            for each in found.stage_steps
        ]
        out.print(Text())
        out.print(table("Stages over time", ["from (UTC)", "stage", "jobs", "p50", "worst p95"], timed))
