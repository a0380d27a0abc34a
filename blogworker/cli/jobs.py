"""Commands that end jobs: cancel, prune."""

import sys
from collections import Counter
from functools import partial

import typer

from blogworker.cli import filters
from blogworker.cli.output import complain, console, emit_json
from blogworker.cli.session import with_database
from blogworker.cli.signals import until_signal
from blogworker.db.pool import Database
from blogworker.errors import BlogworkerError, SettingsError
from blogworker.ops.age import seconds
from blogworker.ops.jobs import BATCH, JobFilter, cancel_jobs, cancellable, count_prunable, prune_jobs
from blogworker.ops.sites import require_site
from blogworker.plurals import counted
from blogworker.queue.job import Stage, Status

BIGGEST_ID = 2**63 - 1
JSON = typer.Option(False, "--json", help="Print JSON.")
ENDED = (Status.DONE, Status.FAILED, Status.CANCELLED)
OUTCOMES = {
    "CANCELLED": "cancelled",
    "PROCESSING": "its worker will stop it",
    "DONE": "its post is published, so it is done",
}


def register(app: typer.Typer) -> None:
    app.command()(cancel)
    app.command()(prune)


def cancel(
    job_ids: list[int] = typer.Argument(None, min=1, max=BIGGEST_ID, help="Jobs to cancel."),
    wanted: Status | None = filters.STATUS,
    site: str | None = filters.SITE,
    text: str | None = filters.TEXT,
    stage: Stage | None = filters.STAGE,
    kind: str | None = filters.KIND,
    within: str | None = filters.WITHIN,
    older_than: str | None = filters.OLDER_THAN,
    everything: bool = typer.Option(False, "--all", help="All jobs that have not ended."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask on a terminal before jobs without an id end."),
    as_json: bool = JSON,
) -> None:
    """Cancel jobs that have not ended. The worker of a running job stops it within seconds."""
    chosen = filters.filter_of(wanted, site, text, stage, kind, within, older_than)
    filtered = everything or chosen != JobFilter()
    if bool(job_ids) == filtered:
        raise SettingsError(
            "which jobs? Give ids, or else --status, --site, --text, --stage, --kind, --within, --older-than, or --all"
        )
    if wanted in ENDED:
        raise SettingsError(f"{wanted} jobs have ended: only others can be cancelled")

    async def find(database: Database) -> list[int]:
        await require_site(database, site)
        return await cancellable(database, chosen)

    ids = with_database(find) if filtered else job_ids
    if filtered and ids and not (yes or as_json) and sys.stdin.isatty() and sys.stdout.isatty():
        typer.confirm(f"Cancel {counted(len(ids), 'job')}?", abort=True)
    found = with_database(lambda database: cancel_jobs(database, ids))
    if as_json:
        emit_json([{"id": job_id, "status": status} for job_id, status in found.items()])
    elif filtered:
        console().print(_summary(found), highlight=False)
    else:
        for job_id, status in found.items():
            console().print(f"job {job_id}: {OUTCOMES[status]}", highlight=False)
    if not filtered and (missing := set(ids) - set(found)):
        raise BlogworkerError(f"already ended, or unknown: {', '.join(map(str, sorted(missing)))}")


def _summary(found: dict[int, str]) -> str:
    """Return one line: how many jobs are cancelled, and what the others are."""
    count = Counter(found.values())
    parts = [f"{counted(count['CANCELLED'], 'job')} cancelled"]
    parts += [f"{count['PROCESSING']:,} running, which their workers stop"] if count["PROCESSING"] else []
    parts += [f"{count['DONE']:,} DONE, because the post is published"] if count["DONE"] else []
    return "; ".join(parts)


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
