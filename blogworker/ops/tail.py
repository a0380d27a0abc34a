"""Tail: what happens to a job or to the jobs of a site, as it happens. It reads the database every second."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from anyio import sleep

from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.ops.jobs import database_time, find_job
from blogworker.ops.sites import require_site
from blogworker.queue.job import Status

EVERY_S = 1.0
OVERLAP_S = 5.0  # a transaction may commit this long after the time that it wrote
MOST = 1_000
ENDED = (Status.DONE, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True, slots=True)
class TailEvent:
    """A checkpoint, an error, or the end of a job."""

    at: datetime
    job_id: int
    instance_id: str
    event: str
    attempt: int
    detail: str


async def tail(
    database: Database, *, job_id: int | None, site: str | None, within_s: float, follow: bool
) -> AsyncIterator[TailEvent]:
    """Yield the events of the last `within_s` seconds, then those that follow; a job that has ended ends it.

    Raises SettingsError for an unknown job or site.
    """
    await require_site(database, site)
    if job_id is not None and await find_job(database, job_id) is None:
        raise SettingsError(f"there is no job {job_id}: see `blogworker list`")
    since = await database_time(database) - timedelta(seconds=within_s)
    seen: set[TailEvent] = set()
    while True:
        began = await database_time(database)
        ended, latest, fresh = False, since, set[TailEvent]()
        async for page in _pages(database, job_id, site, since):
            for event in page:
                if event not in seen:
                    yield event
            ended = ended or (job_id is not None and any(event.event in ENDED for event in page))
            latest = max(since, min(page[-1].at, began) - timedelta(seconds=OVERLAP_S))
            fresh = {event for event in fresh.union(page) if event.at > latest}
        if ended or not follow:
            return
        since, seen = latest, fresh
        await sleep(EVERY_S)


async def _pages(
    database: Database, job_id: int | None, site: str | None, since: datetime
) -> AsyncIterator[list[TailEvent]]:
    """Yield the events after `since` in pages. Many may have the same time, so a page begins after the last event."""
    last: TailEvent | None = None
    while True:
        rows = await database.rows(
            "ops/tail", job_id=job_id, instance_id=site, since=since, most=MOST,
            after_at=last and last.at, after_job=last and last.job_id, after_event=last and last.event,
            after_attempt=last and last.attempt, after_detail=last and last.detail,
        )  # fmt: skip
        if rows:
            page = [_event(row) for row in rows]
            yield page
            last = page[-1]
            since = last.at - timedelta(microseconds=1)
        if len(rows) < MOST:
            return


def _event(row: dict[str, object]) -> TailEvent:
    return TailEvent(**{name: row[name] for name in TailEvent.__slots__})  # type: ignore[arg-type]
