"""Add jobs, or refuse when the queue is full. The limits are in the database, so they hold for every producer."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import psycopg
from psycopg.types.json import Json

from blogworker.db.pool import Database, Runner
from blogworker.errors import Fault, InvalidInput, QueueFull
from blogworker.queue.validation import NewJob, faults

BULK_ROWS = 500
QUEUE_FULL = "BW503"


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The answer to one enqueued job."""

    job_id: int
    status: str
    created: bool  # False: this idempotency key was enqueued before
    place: int | None  # the position among its site's waiting jobs, counted up to 1,000
    expected_start: datetime | None  # None: unknown, or the job has started
    waits_for: str | None = None  # what it waits for besides its place in line


async def enqueue(
    database: Runner, job: NewJob, *, queue_size_limit: int | None = None, added_by: str | None = None
) -> Enqueued:
    """Add one job. `added_by`: the person or the token that adds it. Raises InvalidInput or QueueFull."""
    reasons = faults(job)
    if reasons:
        raise InvalidInput("job", [Fault(1, reason) for reason in reasons])
    try:
        columns = _columns(job, added_by) | {"source_data": Json(job.source_data)}
        row = await database.one("queue/enqueue_blog", **columns, queue_size_limit=queue_size_limit)
    except psycopg.Error as error:
        raise refusal(error) from error
    return Enqueued(row["id"], row["status"], row["created"], row["place"], row["expected_start"], row["waits_for"])


async def enqueue_many(
    database: Database,
    jobs: Iterable[NewJob],
    *,
    counts: Counter[str],
    queue_size_limit: int | None = None,
    added_by: str | None = None,
    ids: dict[int, int] | None = None,
) -> int:
    """Add all jobs or none. Return how many are new. `counts`: the number of jobs per site. `added_by`: as `enqueue`.
    `ids` gets the id of each new job, by its place among the jobs.

    The jobs are streamed, so `jobs` may be larger than memory. `counts` comes from the pass that validated them.
    """
    sites = sorted(counts)
    created = 0
    try:
        async with database.transaction() as statements:
            await statements.execute(
                "queue/require_room",
                queue_size_limit=queue_size_limit,
                instance_ids=sites,
                counts=[counts[site] for site in sites],
            )
            await statements.execute("queue/create_sites", instance_ids=sites)
            for nth, batch in enumerate(_batches(jobs)):
                rows = [_columns(job, added_by) for job in batch]
                added = await statements.rows("queue/enqueue_many", blogs=Json(rows, dumps=_dumps))
                created += len(added)
                if ids is not None:
                    ids |= {nth * BULK_ROWS + row["place"] - 1: row["id"] for row in added}
    except psycopg.Error as error:
        raise refusal(error) from error
    return created


def refusal(error: psycopg.Error) -> Exception:
    """Return QueueFull if the database refused because of a limit, otherwise the error itself."""
    if error.sqlstate == QUEUE_FULL:
        detail = _detail(error)
        return QueueFull(
            str(error.diag.message_primary),
            queue_size=detail["queueSize"],
            limit=detail["limit"],
            estimated_wait_minutes=detail["estimatedWaitMinutes"],
        )
    return error


def _detail(error: psycopg.Error) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(error.diag.message_detail or "{}")
    return loaded


def _dumps(rows: object) -> str:
    return json.dumps(rows, default=datetime.isoformat)


def _columns(job: NewJob, added_by: str | None) -> dict[str, Any]:
    return {
        "instance_id": job.instance_id,
        "source_type": job.source_type,
        "source_id": job.source_id,
        "source_data": job.source_data,
        "priority": job.priority,
        "run_at": job.run_at,
        "publish_at": job.publish_at,
        "idempotency_key": job.idempotency_key,
        "max_attempts": job.max_attempts,
        "publish_mode": job.publish_mode,
        "added_by": added_by,
    }


def _batches(jobs: Iterable[NewJob]) -> Iterator[list[NewJob]]:
    iterator = iter(jobs)
    while batch := list(islice(iterator, BULK_ROWS)):
        yield batch
