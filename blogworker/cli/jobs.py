"""Commands that end jobs: cancel, prune."""

import re
from functools import partial

import typer

from blogworker.cli.output import complain, console, emit_json
from blogworker.cli.session import with_database
from blogworker.cli.signals import until_signal
from blogworker.db.pool import Database
from blogworker.errors import BlogworkerError, SettingsError
from blogworker.ops.jobs import BATCH, cancel_jobs, count_prunable, prune_jobs
from blogworker.plurals import counted

AGE = re.compile(r"(\d+(?:[.]\d+)?)\s*(s|min|h|d)?")
LONGEST_S = 100 * 366 * 86_400
BIGGEST_ID = 2**63 - 1
SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
JSON = typer.Option(False, "--json", help="Print JSON.")
OUTCOMES = {
    "CANCELLED": "cancelled",
    "PROCESSING": "its worker will stop it",
    "DONE": "its post is published, so it is done",
}


def register(app: typer.Typer) -> None:
    app.command()(cancel)
    app.command()(prune)


def cancel(
    job_ids: list[int] = typer.Argument(min=1, max=BIGGEST_ID, help="Jobs to cancel."),
    as_json: bool = JSON,
) -> None:
    """Cancel jobs that have not ended. The worker of a running job stops it within seconds."""
    found = with_database(lambda database: cancel_jobs(database, job_ids))
    if as_json:
        emit_json([{"id": job_id, "status": status} for job_id, status in found.items()])
    else:
        for job_id, status in found.items():
            console().print(f"job {job_id}: {OUTCOMES[status]}", highlight=False)
    if missing := set(job_ids) - set(found):
        raise BlogworkerError(f"already ended, or unknown: {', '.join(map(str, sorted(missing)))}")


def prune(
    older_than: str = typer.Option("30d", help="Delete jobs that ended longer ago than this: 90d, 12h."),
    batch: int = typer.Option(BATCH, min=1, max=10_000, help="Jobs in one transaction."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show how many."),
    as_json: bool = JSON,
) -> None:
    """Delete jobs that ended long ago, with their posts and checkpoints, in batches that do not delay claims."""
    age_s = seconds(older_than)

    async def act(database: Database) -> int | None:
        if dry_run:
            return await count_prunable(database, older_than_s=age_s)
        return await until_signal(partial(prune_jobs, database, older_than_s=age_s, batch=batch))

    pruned = with_database(act)
    if pruned is None:
        complain("stopped: `blogworker audit` says how many jobs were deleted")
        raise typer.Exit(130)
    if as_json:
        emit_json({"pruned": pruned, "dry_run": dry_run})
    else:
        console().print(f"{counted(pruned, 'job')} {'would be ' if dry_run else ''}deleted", highlight=False)


def seconds(age: str) -> float:
    """Return the seconds of "90s", "30min", "12h" or "7d". A number without a unit means seconds."""
    match = AGE.fullmatch(age.strip())
    if match is None:
        raise SettingsError(f"{age!r} is not a duration: use a number with s, min, h or d, for example 12h")
    wanted = float(match[1]) * SECONDS[match[2] or "s"]
    if wanted > LONGEST_S:
        raise SettingsError(f"{age!r} is longer than a hundred years")
    return wanted
