"""Put jobs whose time has come in line: SCHEDULED ones, and PENDING ones that rested."""

from blogworker.db.pool import Database
from blogworker.queue.batches import Batches

BATCH = 1000


def due() -> Batches:
    return Batches("queue/promote", most=BATCH)


async def promote(database: Database, batches: Batches | None = None) -> int:
    """All that are due; gives how many jobs joined the line. Any worker may, at any time."""
    return sum(row["promoted"] for row in await (batches or due()).run(database))
