"""Whether the queue stays as fast and as small as it began: half a million jobs through a backlog of a few thousand."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from uuid import UUID

from psycopg.types.json import Json

from blogworker.bench.claim import WINDOW
from blogworker.bench.scratch import database, registered, server
from blogworker.db.pool import Database
from blogworker.queue.claim import claim
from blogworker.queue.job import Done
from blogworker.queue.settle import move

SLOTS = 100
KEEP_S = 20.0  # how long finished jobs stay before prune takes them


@dataclass(frozen=True, slots=True)
class Figure:
    """One stretch of the run."""

    done: int
    claim_ms: float  # median
    settle_ms: float  # median
    jobs_mb: float
    pending_index_kb: int
    sites_kb: int
    dead_jobs: int
    live_jobs: int


async def measure(
    *, jobs: int, backlog: int, sites: int, stretches: int, progress: Callable[[str], None]
) -> list[Figure]:
    """Produce, claim, settle and prune in turn; one figure a stretch. Autovacuum runs as it would in production."""
    figures = []
    async with server() as dsn, database(dsn) as opened:
        worker_id = await registered(opened)
        done = 0
        await _produce(opened, backlog, sites)
        for stretch in range(1, stretches + 1):
            claims: list[float] = []
            settles: list[float] = []
            while done < jobs * stretch // stretches:
                finished = await _turn(opened, worker_id, claims, settles)
                done += finished
                await _produce(opened, finished, sites)
                await opened.rows("ops/prune", older_than_s=KEEP_S, batch=2 * SLOTS)
            size = await opened.one("bench/bloat")
            figures.append(
                Figure(
                    done,
                    median(claims),
                    median(settles),
                    float(size["jobs_mb"]),
                    size["pending_index_kb"],
                    size["sites_kb"],
                    size["dead_jobs"],
                    size["live_jobs"],
                )
            )
            progress(f"{done:,} jobs")
    return figures


async def _produce(opened: Database, count: int, sites: int) -> None:
    await opened.execute("bench/insert_spread", jobs=count, sites=sites)


async def _turn(opened: Database, worker_id: UUID, claims: list[float], settles: list[float]) -> int:
    started = perf_counter()
    found = await claim(opened, worker_id, slots=SLOTS, site_window=WINDOW)
    claimed_at = perf_counter()
    outcomes = [
        {"job_id": c.job_id, "attempt": c.attempt, "status": move(Done()).status, "spent": False} for c in found.claims
    ]
    await opened.rows("queue/settle", worker_id=worker_id, outcomes=Json(outcomes))
    claims.append((claimed_at - started) * 1000)
    settles.append((perf_counter() - claimed_at) * 1000)
    return len(found.claims)
