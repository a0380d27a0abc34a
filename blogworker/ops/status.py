"""Status: the queue and the workers."""

from dataclasses import dataclass

from blogworker.db.pool import Database
from blogworker.ops.breakers import list_breakers
from blogworker.ops.pauses import StagePause, list_pauses
from blogworker.ops.quotas import list_quotas
from blogworker.ops.records import (
    BreakerState,
    FleetTotals,
    QuotaUse,
    SiteState,
    StatusCount,
    WaitingReason,
    WebhooksNow,
    WorkerState,
    records,
)
from blogworker.ops.scale import ScaleFacts, read_scale
from blogworker.ops.sites import list_sites

MOST_REASONS, MOST_SITES = 10, 10
MOST_DELIVERIES = 10_000  # that are counted
LATE_S = 600.0  # a delivery that waits longer is late


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """Everything that `blogworker status` shows. `queue`: one count per status that has jobs."""

    queue: list[StatusCount]
    waiting: list[WaitingReason]
    fleet: FleetTotals
    workers: list[WorkerState]
    quotas: list[QuotaUse]
    breakers: list[BreakerState]
    busiest_sites: list[SiteState]
    paused_stages: list[StagePause]
    scale: ScaleFacts
    webhooks: WebhooksNow


async def fleet_status(database: Database) -> FleetStatus:
    """Return the status. Each part is a separate statement, so parts may differ by some milliseconds."""
    return FleetStatus(
        queue=records(StatusCount, await database.rows("ops/queue_counts")),
        waiting=await list_waiting(database),
        fleet=FleetTotals(**await database.one("ops/fleet")),
        workers=await list_workers(database),
        quotas=await list_quotas(database),
        breakers=await list_breakers(database),
        busiest_sites=await list_sites(database, most=MOST_SITES),
        paused_stages=await list_pauses(database),
        scale=await read_scale(database),
        webhooks=await webhooks_now(database),
    )


async def list_waiting(database: Database) -> list[WaitingReason]:
    """Return why jobs wait, the most frequent reasons first."""
    return records(WaitingReason, await database.rows("ops/waiting", most=MOST_REASONS))


async def list_workers(database: Database) -> list[WorkerState]:
    """Return the registered workers, by name."""
    return records(WorkerState, await database.rows("ops/workers"))


async def webhooks_now(database: Database) -> WebhooksNow:
    """Return how many deliveries wait or were given up, and which endpoints need a person."""
    return WebhooksNow(**await database.one("ops/metrics_webhooks", most=MOST_DELIVERIES, late_s=LATE_S))
