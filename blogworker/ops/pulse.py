"""The pulse: what a live view shows every two seconds. Each statement reads a bounded number of rows."""

from dataclasses import dataclass
from datetime import datetime

from blogworker.db.pool import Database
from blogworker.ops.breakers import list_breakers
from blogworker.ops.pauses import StagePause, list_pauses
from blogworker.ops.quotas import list_quotas
from blogworker.ops.records import BreakerState, QuotaUse, WebhooksNow, WorkerState, records
from blogworker.ops.status import list_workers, webhooks_now

MOST = 10_000  # jobs of a status that are counted
NEWEST = 5_000  # ended jobs that are read


@dataclass(frozen=True, slots=True)
class QueueNow:
    """Jobs and sites, each counted up to 10,000. `oldest_wait_s`: of the sites at the head of the line."""

    read_at: float
    pending: int
    processing: int
    scheduled: int
    oldest_wait_s: float | None
    ready: int
    at_cap: int
    paused: int


@dataclass(frozen=True, slots=True)
class FleetNow:
    """Workers and money, in USD. `posts`, `cost_usd`: ever.

    `pool_waiting`: callers that wait for a connection to the database, of the worker where most wait.
    """

    alive: int
    draining: int
    lost: int
    slots: int
    slots_in_use: int
    pool_waiting: int
    posts: float
    cost_usd: float
    spent_day_usd: float
    spent_month_usd: float
    budget_day_usd: float | None
    budget_month_usd: float | None
    budget_reached: bool
    oldest_transaction_s: float


@dataclass(frozen=True, slots=True)
class EndedNow:
    """Jobs that ended, by status. Of the newest 5,000."""

    status: str
    last_minute: int
    last_hour: int


@dataclass(frozen=True, slots=True)
class Served:
    """A job that runs now."""

    job_id: int
    instance_id: str
    stage: str
    worker: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class Pulse:
    queue: QueueNow
    fleet: FleetNow
    ended: list[EndedNow]
    quotas: list[QuotaUse]
    breakers: list[BreakerState]
    workers: list[WorkerState]
    running: list[Served]
    paused: list[StagePause]
    webhooks: WebhooksNow

    def ended_last_minute(self, status: str) -> int:
        return next((row.last_minute for row in self.ended if row.status == status), 0)

    @property
    def open_breakers(self) -> list[BreakerState]:
        return [breaker for breaker in self.breakers if breaker.state != "closed"]


async def read_pulse(database: Database, *, running: int = 8) -> Pulse:
    """Read it. `running`: how many running jobs to name, the ones that were claimed last."""
    return Pulse(
        queue=QueueNow(**await database.one("ops/metrics_queue", most=MOST)),
        fleet=FleetNow(**await database.one("ops/metrics_fleet")),
        ended=records(EndedNow, await database.rows("ops/metrics_ended", most=NEWEST)),
        quotas=await list_quotas(database),
        breakers=await list_breakers(database),
        workers=await list_workers(database),
        running=records(Served, await database.rows("ops/running", most=running)),
        paused=await list_pauses(database),
        webhooks=await webhooks_now(database),
    )
