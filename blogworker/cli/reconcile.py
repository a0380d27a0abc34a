"""`blogworker reconcile`: after a backup was restored, a standby was promoted, or the database was moved."""

from dataclasses import asdict
from functools import partial

import typer

from blogworker.cli.output import console, emit_json
from blogworker.cli.session import with_database
from blogworker.db.grants import OPERATOR
from blogworker.ops.restores import Reconciliation, moment, reconcile_restore


def register(app: typer.Typer) -> None:
    app.command()(reconcile)


def reconcile(
    since: str | None = typer.Option(
        None, help="The time of the backup, such as 2026-11-28T01:30Z. Jobs may have done more since then."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """After a restore, a failover or a move: advance the sequences, and let open jobs look for their posts and
    pictures at Wix and Replicate before they make them again.

    Workers detect a promoted standby, a recovered backup and a restored dump themselves. A disk snapshot that was
    restored while no worker ran needs --since. Repeating the command is harmless.
    """
    wanted = None if since is None else moment(since)
    found = with_database(partial(reconcile_restore, since=wanted), needs=OPERATOR)
    if as_json:
        emit_json(asdict(found))
    else:
        _print(found)


def _print(found: Reconciliation) -> None:
    for name, last_id in found.sequences.items():
        console().print(f"sequence {name} was behind: its last id is {last_id} now", highlight=False)
    if found.found_at is None:
        console().print("no restore is known. If a backup was restored, give its time with --since", highlight=False)
        return
    when = "now" if found.noted else f"at {found.found_at:%Y-%m-%d %H:%M:%S} UTC"
    console().print(
        f"history may be lost since {found.since:%Y-%m-%d %H:%M:%S} UTC (found {when}: {found.reason}). "
        f"{found.open_jobs} open jobs look for their work at Wix and Replicate first",
        highlight=False,
    )
