"""Status: the queue and the workers."""

from dataclasses import dataclass

from blogworker.db.pool import Database, Row

MOST_REASONS, MOST_SITES = 10, 10


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """Rows of the queries with the same names."""

    queue: list[Row]
    waiting: list[Row]
    fleet: Row
    workers: list[Row]
    quotas: list[Row]
    breakers: list[Row]
    busiest_sites: list[Row]


async def fleet_status(database: Database) -> FleetStatus:
    """Return the status. Each part is a separate statement, so parts may differ by some milliseconds."""
    return FleetStatus(
        queue=await database.rows("ops/queue_counts"),
        waiting=await database.rows("ops/waiting", most=MOST_REASONS),
        fleet=await database.one("ops/fleet"),
        workers=await database.rows("ops/workers"),
        quotas=await database.rows("ops/quotas", name=None, every=False),
        breakers=await database.rows("ops/breakers"),
        busiest_sites=await database.rows("ops/sites", most=MOST_SITES, instance_id=None),
    )
