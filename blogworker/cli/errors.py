"""`blogworker errors`: why jobs failed, and what to do."""

from dataclasses import asdict
from functools import partial

import typer
from rich.text import Text

from blogworker.cli.output import console, emit_json, facts, heading
from blogworker.cli.session import with_database
from blogworker.ops.age import seconds
from blogworker.ops.errors import list_errors
from blogworker.ops.shown import ago, duration
from blogworker.plurals import counted

JSON = typer.Option(False, "--json", help="Print JSON.")


def register(app: typer.Typer) -> None:
    app.command()(errors)


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
