"""Book what blogs used beyond, or short of, what their claims charged to their sites."""

from blogworker.db.pool import Database


async def reconcile(database: Database) -> int:
    """One batch; gives how many sites it was. Any worker may, at any time."""
    rows = await database.briefly(("queue/reconcile_sites", {}))
    return len(rows or [])
