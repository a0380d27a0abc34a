"""Promote jobs that are due: put SCHEDULED jobs, and PENDING jobs whose rest is over, in line."""

from blogworker.db.pool import Database
from blogworker.queue.batches import Batches

BATCH = 1000


def due() -> Batches:
    return Batches("queue/promote", most=BATCH)


async def promote(database: Database, batches: Batches | None = None) -> int:
    """Promote all due jobs. Return how many joined the line. Any worker may do this at any time."""
    return sum(row["promoted"] for row in await (batches or due()).run(database))
