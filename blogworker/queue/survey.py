"""Find out what an enqueue would do, without enqueuing."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import psycopg

from blogworker.db.pool import Database, Runner
from blogworker.errors import DatabaseNotReady, QueueFull
from blogworker.queue.enqueue import BULK_ROWS, refusal
from blogworker.queue.validation import NewJob


@dataclass(slots=True)
class Survey:
    """The number of jobs in a campaign, by what an enqueue would do with them."""

    kinds: Counter[str] = field(default_factory=Counter)  # new ones, by source type
    sites: Counter[str] = field(default_factory=Counter)  # new ones
    known: int = 0  # their idempotency key exists already
    repeated: int = 0  # their idempotency key occurs earlier in the campaign

    @property
    def new(self) -> int:
        return self.kinds.total()

    def add(self, site: str, kind: str) -> None:
        self.sites[site] += 1
        self.kinds[kind] += 1


async def survey(database: Runner | None, jobs: Iterable[NewJob]) -> Survey:
    """Count the jobs. Without a database no key is known. Keeps one number per job, so a campaign may be large."""
    found = Survey()
    seen: set[int] = set()
    batch: list[tuple[str, str, str]] = []
    for job in jobs:
        if job.idempotency_key is None:
            found.add(job.instance_id, job.source_type)
            continue
        mark = hash(
            (job.instance_id, job.idempotency_key)
        )  # 64 bits: a collision among a million jobs has a chance of one in 37 million
        if mark in seen:
            found.repeated += 1
            continue
        seen.add(mark)
        batch.append((job.instance_id, job.idempotency_key, job.source_type))
        if len(batch) == BULK_ROWS:
            await _sort(database, batch, found)
            batch = []
    await _sort(database, batch, found)
    return found


async def _sort(database: Runner | None, batch: list[tuple[str, str, str]], found: Survey) -> None:
    known: set[int] = set()
    if database is not None and batch:
        sites, keys = [site for site, _, _ in batch], [key for _, key, _ in batch]
        rows = await database.rows("queue/known_keys", instance_ids=sites, idempotency_keys=keys)
        known = {row["place"] for row in rows}
    for place, (site, _, kind) in enumerate(batch, 1):
        if place in known:
            found.known += 1
        else:
            found.add(site, kind)


async def room(database: Database, counts: Counter[str], *, queue_size_limit: int | None = None) -> QueueFull | None:
    """Return the refusal of an enqueue of so many jobs per site, or None if the queue would accept them.

    Raises DatabaseNotReady if the role may not check that.
    """
    sites = sorted(counts)
    try:
        async with database.transaction() as statements:
            await statements.execute("db/read_only")
            await statements.execute(
                "queue/require_room",
                queue_size_limit=queue_size_limit,
                instance_ids=sites,
                counts=[counts[site] for site in sites],
            )
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseNotReady(
            "only members of the role blogworker_producer can check whether the queue accepts more jobs"
        ) from error
    except psycopg.Error as error:
        full = refusal(error)
        if not isinstance(full, QueueFull):
            raise
        return full
    return None
