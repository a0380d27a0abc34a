"""Jobs: list, show, cancel, prune."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from anyio import move_on_after, sleep

from blogworker.db.pool import Database, Row, Runner
from blogworker.ops.audit import MOST_IDS, Action, record
from blogworker.ops.records import JobDetails, JobSummary, records
from blogworker.queue.job import Status

BATCH = 500
SCANNED = 20_000  # jobs that a search reads
MOST_ID = 2**63 - 2
PAUSE_S = 0.02  # between batches, so that claims come first
RECORD_S = 5.0


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to find. A job has to match everything that is given; None matches every job."""

    status: Status | None = None
    instance_id: str | None = None
    text: str | None = None  # a part of its title, source, error or site
    stage: str | None = None  # the next stage
    kind: str | None = None  # of its last error
    within_s: float | None = None  # created in the last so many seconds
    older_than_s: float | None = None  # created longer ago than so many seconds
    before: int | None = None  # only ids below this one

    @property
    def is_search(self) -> bool:
        """Return whether jobs are read that may not match."""
        return self.text is not None or self.stage is not None or self.kind is not None


async def list_jobs(database: Database, wanted: JobFilter, *, most: int) -> list[JobSummary]:
    """Return jobs that match, newest first. For a text, a stage or a kind of error, the newest 20,000 jobs with the
    status, the site and the age are read."""
    scan = SCANNED if wanted.is_search else most
    return records(JobSummary, await database.rows("ops/list_jobs", **asdict(wanted), scan=scan, most=most))


async def searched_to(database: Database, wanted: JobFilter) -> int | None:
    """Return the id of the oldest job that a search has read; None if it has read all."""
    given = asdict(wanted)
    parameters = {name: given[name] for name in ("status", "instance_id", "before", "within_s", "older_than_s")}
    oldest: int | None = (await database.one("ops/searched_to", **parameters, scan=SCANNED))["id"]
    return oldest


async def cancellable(database: Database, wanted: JobFilter) -> list[int]:
    """Return the ids of all jobs that match and have not ended. A search reads on until it has read every job."""
    found: list[int] = []
    for status in (Status.SCHEDULED, Status.PENDING, Status.PROCESSING) if wanted.status is None else (wanted.status,):
        place: int | None = wanted.before or MOST_ID + 1
        while place is not None:
            asked = replace(wanted, status=status, before=place)
            page = await list_jobs(database, asked, most=BATCH)
            found += [job.id for job in page]
            if len(page) == BATCH:
                place = page[-1].id
            else:
                place = await searched_to(database, asked) if wanted.is_search else None
    return found


async def find_job(database: Database, job_id: int) -> JobSummary | None:
    """Return a job as in a list; None if it does not exist."""
    found = await list_jobs(database, JobFilter(before=min(job_id, MOST_ID) + 1), most=1)
    return next((job for job in found if job.id == job_id), None)


async def database_time(database: Database) -> datetime:
    """Return the time of the database, the only clock that decides when a job is due."""
    now: datetime = (await database.one("db/clock"))["now"]
    return now


async def show_job(database: Database, job_id: int) -> JobDetails | None:
    """Return everything about a job; None if it does not exist. A value that cannot be read is an `Unreadable`."""
    found = await database.maybe("ops/show_job", job_id=job_id)
    if found is None:
        return None
    found["job"]["source_data"] = found.pop("source_data")
    for saved, output in zip(found["checkpoints"], found.pop("outputs"), strict=True):
        saved["output"] = output
    return JobDetails(**found)


async def cancel_jobs(database: Database, job_ids: Sequence[int]) -> dict[int, str]:
    """Cancel jobs that have not ended, in batches. Return the new status by id: PROCESSING means that its worker will
    stop it."""
    cancelled: dict[int, str] = {}
    for start in range(0, len(job_ids), BATCH):
        async with database.transaction() as statements:
            rows = await statements.rows("queue/cancel", job_ids=list(job_ids[start : start + BATCH]))
            if rows:
                await record_jobs(statements, Action.JOBS_CANCEL, rows, {"cancel_requested": len(rows)})
        cancelled |= {row["job_id"]: row["status"] for row in rows}
        await sleep(PAUSE_S)
    return cancelled


async def record_jobs(statements: Runner, action: Action, rows: Sequence[Row], facts: Mapping[str, object]) -> None:
    """Record a change of jobs: how many had which status before and after, and what else it did. `rows`: job_id,
    status_before, status. The trail finds it by the job if it is one, else by its ids."""
    ids = [row["job_id"] for row in rows]
    await record(
        statements,
        action,
        f"job {ids[0]}" if len(ids) == 1 else None,
        before={"status": Counter(row["status_before"] for row in rows)},
        after={"status": Counter(row["status"] for row in rows), **facts, "jobs": len(ids), "ids": ids[:MOST_IDS]},
    )


async def count_prunable(database: Database, *, older_than_s: float) -> int:
    """Return how many jobs `prune_jobs` would delete."""
    jobs: int = (await database.one("ops/prunable", older_than_s=older_than_s))["jobs"]
    return jobs


async def prune_jobs(database: Database, *, older_than_s: float, batch: int) -> int:
    """Delete jobs that ended more than `older_than_s` ago, in transactions of `batch` jobs. Return their number.

    The trail gets one entry, also if it is interrupted.
    """
    total = 0
    try:
        while pruned := (await database.one("ops/prune", older_than_s=older_than_s, batch=batch))["pruned"]:
            total += pruned
            await sleep(PAUSE_S)
        await database.execute("ops/prune_leftovers")
    finally:
        if total:
            with move_on_after(RECORD_S, shield=True):  # what is deleted is deleted, also if the rest is cancelled
                after = {"jobs": 0, "older_than_s": older_than_s}
                await record(database, Action.JOBS_PRUNE, None, before={"jobs": total}, after=after)
    return total
