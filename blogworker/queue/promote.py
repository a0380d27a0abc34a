"""Move due SCHEDULED jobs to PENDING."""

from blogworker.db.pool import Database

BATCH = 1000


async def promote(database: Database) -> int:
    """One batch; gives how many became due. Any worker may, at any time."""
    rows = await database.briefly(("queue/promote", {"batch": BATCH}))
    return rows[0]["promoted"] if rows else 0
