"""Add a batch of jobs of one request: all of them or none, with the id of each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from blogworker.db.pool import Database, Runner
from blogworker.queue.enqueue import enqueue_many
from blogworker.queue.validation import NewJob


@dataclass(frozen=True, slots=True)
class Batch:
    """`ids`: in the order of the jobs; None: an earlier job with its idempotency key was deleted meanwhile."""

    created: int
    ids: list[int | None]


async def enqueue_batch(
    database: Database, jobs: Sequence[NewJob], *, queue_size_limit: int | None = None, added_by: str | None = None
) -> Batch:
    """Add the jobs whose idempotency keys are new. Raises QueueFull; a repeated batch needs no room in the queue."""
    ids = await _known(database, jobs, range(len(jobs)))
    new = [place for place in range(len(jobs)) if place not in ids]
    new.sort(key=lambda place: (jobs[place].instance_id, jobs[place].idempotency_key or ""))  # else two could deadlock
    created = 0
    if new:
        added: dict[int, int] = {}
        created = await enqueue_many(
            database,
            [jobs[place] for place in new],
            counts=Counter(jobs[place].instance_id for place in new),
            queue_size_limit=queue_size_limit,
            added_by=added_by,
            ids=added,
        )
        ids |= {new[nth]: job_id for nth, job_id in added.items()}
        # The rest repeats a key of this batch, or of another request at the same time.
        ids |= await _known(database, jobs, [place for place in new if place not in ids])
    return Batch(created, [ids.get(place) for place in range(len(jobs))])


async def _known(database: Runner, jobs: Sequence[NewJob], places: Sequence[int]) -> dict[int, int]:
    """Return the ids of the jobs at these places whose idempotency keys exist, by place."""
    keyed = [place for place in places if jobs[place].idempotency_key is not None]
    if not keyed:
        return {}
    rows = await database.rows(
        "queue/known_keys",
        instance_ids=[jobs[place].instance_id for place in keyed],
        idempotency_keys=[jobs[place].idempotency_key for place in keyed],
    )
    return {keyed[row["place"] - 1]: row["id"] for row in rows}
