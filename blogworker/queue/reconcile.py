"""Reconcile each site's virtual time with the real usage of its jobs: book the bills of ended attempts."""

from blogworker.db.pool import Database
from blogworker.queue.batches import Batches

BATCH = 1000


def bills() -> Batches:
    return Batches("queue/reconcile_sites", most=BATCH)


async def reconcile(database: Database, batches: Batches | None = None) -> int:
    """Book all bills. Return the number of sites booked, counted per batch. Any worker may do this at any time."""
    booked = await (batches or bills()).run(database)
    if not booked:
        await database.briefly(("queue/forget_bills", {}))
    return len(booked)
