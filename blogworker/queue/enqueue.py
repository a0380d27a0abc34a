"""Add blogs, or refuse when the queue is full. The limits are the database's own, so every producer meets them."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import psycopg
from psycopg.types.json import Json

from blogworker.db.pool import Database, Statements
from blogworker.errors import Fault, InvalidInput, QueueFull
from blogworker.queue.validation import NewBlog, faults

BULK_ROWS = 500
QUEUE_FULL = "BW503"


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The answer to one blog."""

    job_id: int
    status: str
    created: bool  # False: this idempotency key was enqueued before
    place: int | None  # among its site's waiting blogs, counted to 1,000
    expected_start: datetime | None  # None: not known, or it has started
    waits_for: str | None = None  # what holds it back beside its place in line


async def enqueue(database: Database | Statements, blog: NewBlog, *, queue_size_limit: int | None = None) -> Enqueued:
    """Add one blog. Raises InvalidInput, or QueueFull."""
    reasons = faults(blog)
    if reasons:
        raise InvalidInput("blog", [Fault(1, reason) for reason in reasons])
    try:
        columns = _columns(blog) | {"source_data": Json(blog.source_data), "queue_size_limit": queue_size_limit}
        row = await database.one("queue/enqueue_blog", **columns)
    except psycopg.Error as error:
        raise refusal(error) from error
    return Enqueued(row["id"], row["status"], row["created"], row["place"], row["expected_start"], row["waits_for"])


async def enqueue_many(
    database: Database, blogs: Iterable[NewBlog], *, counts: Counter[str], queue_size_limit: int | None = None
) -> int:
    """Add all of them or none; give how many are new. `counts` is how many there are of each site.

    The rows are streamed, so `blogs` may be larger than memory; `counts` comes from the pass that checked them.
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
            for batch in _batches(blogs):
                rows = [_columns(blog) for blog in batch]
                created += (await statements.one("queue/enqueue_many", blogs=Json(rows, dumps=_dumps)))["created"]
    except psycopg.Error as error:
        raise refusal(error) from error
    return created


def refusal(error: psycopg.Error) -> Exception:
    """Our own error for what the database refused, else the error itself."""
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


def _columns(blog: NewBlog) -> dict[str, Any]:
    return {
        "instance_id": blog.instance_id,
        "source_type": blog.source_type,
        "source_id": blog.source_id,
        "source_data": blog.source_data,
        "priority": blog.priority,
        "run_at": blog.run_at,
        "publish_at": blog.publish_at,
        "idempotency_key": blog.idempotency_key,
        "max_attempts": blog.max_attempts,
        "publish_mode": blog.publish_mode,
    }


def _batches(blogs: Iterable[NewBlog]) -> Iterator[list[NewBlog]]:
    iterator = iter(blogs)
    while batch := list(islice(iterator, BULK_ROWS)):
        yield batch
