"""`blogworker errors` and `blogworker history`: why jobs failed, and what became of the queue over time."""

from dataclasses import asdict
from functools import partial

import typer
from rich.text import Text

from blogworker.cli.jobs import seconds
from blogworker.cli.output import console, emit_json, facts, heading, table
from blogworker.cli.session import with_database
from blogworker.ops.errors import list_errors
from blogworker.ops.history import LONGEST_S, MINUTE_S, read_history
from blogworker.ops.shown import ago, duration
from blogworker.plurals import counted

JSON = typer.Option(False, "--json", help="Print JSON.")


def register(app: typer.Typer) -> None:
    app.command()(errors)
    app.command()(history)


def errors(
    within: str = typer.Option("24h", help="Jobs that failed within this time: 12h, 7d."),
    most: int = typer.Option(20, "--limit", min=1, max=1_000, help="How many groups."),
    as_json: bool = JSON,
) -> None:
    """Show why jobs failed, grouped by kind, stage and text, with what to do and the command that retries them."""
    found = with_database(partial(list_errors, within_s=seconds(within), most=most))
    if as_json:
        emit_json([asdict(group) for group in found])
        return
    out = console()
    if not found:
        out.print(f"no job failed in the last {duration(seconds(within))}")
    for group in found:
        stage = f" in {group.stage}" if group.stage else ""
        out.print(heading(f"{group.kind}{stage}: {counted(group.jobs, 'job')} of {counted(group.sites, 'site')}"))
        out.print(
            facts(
                {
                    "error": group.message,
                    "last": f"{ago(group.last_at)}, job {group.job_id}",
                    "what to do": group.remedy,
                    "retry": group.retry,
                }
            )
        )
        out.print(Text())


def history(
    within: str = typer.Option("1h", help="How far back: 1h, 7d at most."),
    step: str = typer.Option("5min", help="Add up so many minutes: 1min, 1h."),
    as_json: bool = JSON,
) -> None:
    """Show throughput, failures, waits and the durations of stages over time. Workers record them every minute."""
    within_s = min(round(seconds(within)), LONGEST_S)
    step_s = max(MINUTE_S, round(seconds(step) / MINUTE_S) * MINUTE_S)
    found = with_database(partial(read_history, within_s=within_s, step_s=step_s))
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
            *map(_span, (each.wait_p50_s, each.wait_p95_s, each.total_p50_s, each.total_p95_s)),
        )
        for each in found.steps
    ]
    stages = [(each.stage, each.jobs, _span(each.p50_s), _span(each.p95_s)) for each in found.stages]
    out = console()
    out.print(table("Jobs that ended", columns, rows))
    out.print(Text())
    out.print(table("Stages", ["stage", "jobs", "p50", "worst p95"], stages))


def _span(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} s" if value < 10 else duration(value)
