"""Book what blogs used beyond, or short of, what their claims charged to their sites."""

from blogworker.db.pool import Database
from blogworker.queue.batches import Batches

BATCH = 1000


def bills() -> Batches:
    return Batches("queue/reconcile_sites", most=BATCH)


async def reconcile(database: Database, batches: Batches | None = None) -> int:
    """All bills; gives how many sites were booked, once for each batch. Any worker may, at any time."""
    booked = await (batches or bills()).run(database)
    if not booked:
        await database.briefly(("queue/forget_bills", {}))
    return len(booked)
