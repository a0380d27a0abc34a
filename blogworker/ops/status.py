"""The state of the queue and the fleet, in one answer."""

from dataclasses import dataclass

from blogworker.db.pool import Database, Row

MOST_REASONS, MOST_SITES = 10, 10


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """Rows of the queries of the same names."""

    queue: list[Row]
    waiting: list[Row]
    fleet: Row
    workers: list[Row]
    quotas: list[Row]
    breakers: list[Row]
    busiest_sites: list[Row]


async def fleet_status(database: Database) -> FleetStatus:
    """Read all of it; each part is a statement of its own."""
    return FleetStatus(
        queue=await database.rows("ops/queue_counts"),
        waiting=await database.rows("ops/waiting", most=MOST_REASONS),
        fleet=await database.one("ops/fleet"),
        workers=await database.rows("ops/workers"),
        quotas=await database.rows("ops/quotas", name=None, every=False),
        breakers=await database.rows("ops/breakers"),
        busiest_sites=await database.rows("ops/sites", most=MOST_SITES, instance_id=None),
    )
