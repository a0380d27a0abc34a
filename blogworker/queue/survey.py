"""What an enqueue would do, found out without doing it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import psycopg

from blogworker.db.pool import Database, Runner
from blogworker.errors import DatabaseUnready, QueueFull
from blogworker.queue.enqueue import BULK_ROWS, refusal
from blogworker.queue.validation import NewBlog


@dataclass(slots=True)
class Survey:
    """The blogs of a campaign, by what would become of them."""

    kinds: Counter[str] = field(default_factory=Counter)  # new ones, by source type
    sites: Counter[str] = field(default_factory=Counter)  # new ones
    known: int = 0  # their idempotency key was enqueued before
    repeated: int = 0  # their key came earlier in the campaign

    @property
    def new(self) -> int:
        return self.kinds.total()

    def add(self, site: str, kind: str) -> None:
        self.sites[site] += 1
        self.kinds[kind] += 1


async def survey(database: Runner | None, blogs: Iterable[NewBlog]) -> Survey:
    """Sort the blogs; without a database none is known. Of each it keeps a number, so a campaign may be large."""
    found = Survey()
    seen: set[int] = set()
    batch: list[tuple[str, str, str]] = []
    for blog in blogs:
        if blog.idempotency_key is None:
            found.add(blog.instance_id, blog.source_type)
            continue
        mark = hash(
            (blog.instance_id, blog.idempotency_key)
        )  # 64 bits: a million blogs meet by chance once in 37 million
        if mark in seen:
            found.repeated += 1
            continue
        seen.add(mark)
        batch.append((blog.instance_id, blog.idempotency_key, blog.source_type))
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
    """How the queue would refuse so many more blogs of these sites; None when it would take them.

    Raises DatabaseUnready where the role may not ask: one that only reads.
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
        raise DatabaseUnready("whether the queue would take them is known to members of blogworker_producer") from error
    except psycopg.Error as error:
        full = refusal(error)
        if not isinstance(full, QueueFull):
            raise
        return full
    return None
