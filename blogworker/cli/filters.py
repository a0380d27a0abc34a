"""The options that choose jobs, for the commands that list, cancel or retry them."""

import typer

from blogworker.ops.age import seconds
from blogworker.ops.jobs import JobFilter
from blogworker.queue.job import Stage, Status

STATUS = typer.Option(None, "--status", case_sensitive=False, help="Jobs with this status.")
SITE = typer.Option(None, "--site", help="Jobs of this site.")
TEXT = typer.Option(None, "--text", help="Jobs with this in their title, source, error or site.")
STAGE = typer.Option(None, "--stage", help="Jobs whose next stage is this.")
KIND = typer.Option(None, "--kind", help="Jobs whose last error is of this kind: see `blogworker errors`.")
WITHIN = typer.Option(None, "--within", help="Jobs created within this time: 12h, 7d.")
OLDER_THAN = typer.Option(None, "--older-than", help="Jobs created longer ago than this: 12h, 7d.")


def filter_of(
    status: Status | None,
    site: str | None,
    text: str | None,
    stage: Stage | None,
    kind: str | None,
    within: str | None,
    older_than: str | None,
    *,
    before: int | None = None,
) -> JobFilter:
    """Return the filter that these options are."""
    return JobFilter(
        status=status,
        instance_id=site,
        text=text,
        stage=stage,
        kind=kind,
        within_s=None if within is None else seconds(within),
        older_than_s=None if older_than is None else seconds(older_than),
        before=before,
    )
