"""`blogworker audit`: what people changed."""

from dataclasses import asdict
from functools import partial

import typer

from blogworker.cli.output import console, emit_json, table
from blogworker.cli.session import with_database
from blogworker.ops.audit import change_of, list_audit


def register(app: typer.Typer) -> None:
    app.command()(audit)


def audit(
    target: str | None = typer.Option(None, help="Only changes of this: a site, a quota, `job 4711`."),
    actor: str | None = typer.Option(None, help="Only changes by this login or token."),
    before: int | None = typer.Option(None, min=1, max=2**63 - 1, help="Only ids below this one, to continue a list."),
    most: int = typer.Option(30, "--limit", min=1, max=10_000, help="How many."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Show who changed what, with commands, HTTP or the dashboard, the newest first."""
    found = with_database(partial(list_audit, target=target, actor=actor, before_id=before, most=most))
    if as_json:
        emit_json([asdict(entry) for entry in found])
        return
    columns = ["id", "when", "who", "via", "action", "target", "change"]
    rows = [(str(e.audit_id), e.at, e.actor, e.via, e.action, e.target, change_of(e)) for e in found]
    console().print(table(None, columns, rows, fold=["change"]))
