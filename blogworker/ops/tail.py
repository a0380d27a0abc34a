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
        ended = False
        found = [_event(row) for row in await database.rows(
            "ops/tail", job_id=job_id, instance_id=site, since=since, most=MOST
        )]  # fmt: skip
        for event in found:
            if event not in seen:
                yield event
            ended = ended or (job_id is not None and event.event in ENDED)
        if ended or (not follow and len(found) < MOST):
            return
        if found:
            since = max(since, found[-1].at - timedelta(seconds=OVERLAP_S))
            seen = {event for event in found if event.at > since}
        if len(found) < MOST:
            await sleep(EVERY_S)


def _event(row: dict[str, object]) -> TailEvent:
    return TailEvent(**{name: row[name] for name in TailEvent.__slots__})  # type: ignore[arg-type]
