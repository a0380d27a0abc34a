"""Move due SCHEDULED jobs to PENDING."""

from blogworker.db.pool import Database

BATCH = 1000


async def promote(database: Database) -> int:
    """One batch; gives how many became due. Any worker may, at any time."""
    promoted: int = (await database.one("queue/promote", batch=BATCH))["promoted"]
    return promoted
