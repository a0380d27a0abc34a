"""Put jobs whose time has come in line: SCHEDULED ones, and PENDING ones that rested."""

from blogworker.db.pool import Database

BATCH = 1000


async def promote(database: Database) -> int:
    """One batch of each kind; gives how many jobs joined the line. Any worker may, at any time."""
    rows = await database.briefly(("queue/promote", {"batch": BATCH}))
    return rows[0]["promoted"] if rows else 0
