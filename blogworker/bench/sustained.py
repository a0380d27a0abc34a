"""Whether the queue stays fast and small while half a million jobs pass through a backlog of a few thousand."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from uuid import UUID

from blogworker.bench.claim import WINDOW
from blogworker.bench.scratch import database, register, server, settle
from blogworker.db.pool import Database
from blogworker.queue.claim import claim
from blogworker.queue.job import Done

SLOTS = 100
KEEP_S = 20.0  # until prune deletes a finished job


@dataclass(frozen=True, slots=True)
class Figure:
    """One part of the run."""

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
    """Enqueue, claim, settle and prune in turn. Return a figure for each part. Autovacuum runs as in production."""
    figures = []
    async with server() as dsn, database(dsn) as opened:
        worker_id = await register(opened)
        done = 0
        await opened.execute("bench/insert_spread", jobs=backlog, sites=sites)
        for stretch in range(1, stretches + 1):
            claims: list[float] = []
            settles: list[float] = []
            while done < jobs * stretch // stretches:
                finished = await _claim_and_settle(opened, worker_id, claims, settles)
                done += finished
                await opened.execute("bench/insert_spread", jobs=finished, sites=sites)
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


async def _claim_and_settle(opened: Database, worker_id: UUID, claims: list[float], settles: list[float]) -> int:
    started = perf_counter()
    found = await claim(opened, worker_id, slots=SLOTS, site_window=WINDOW)
    claimed_at = perf_counter()
    await settle(opened, worker_id, [(claimed, Done()) for claimed in found.claims])
    claims.append((claimed_at - started) * 1000)
    settles.append((perf_counter() - claimed_at) * 1000)
    return len(found.claims)
