"""How long a claim takes, against the backlog, and beside the query of the system before this one."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from uuid import UUID

from psycopg.types.json import Json

from blogworker.bench.scratch import database, registered, server
from blogworker.db.pool import Database
from blogworker.queue.claim import ALL, ClaimFilter, Pacing, claim
from blogworker.queue.job import Claim, Release
from blogworker.queue.settle import move
from blogworker.quota.bucket import Bucket
from blogworker.quota.limiter import Limiter

WINDOW = 20
# Quotas that are looked at and hold nothing back: a hundred thousand calls a minute.
BUCKETS = [Bucket(f"openai/{name}", "openai", 100_000, 2**30) for name in ("ideas", "content", "images")]
PACING = Pacing(
    buckets=[None, *(bucket.name for bucket in BUCKETS), None],
    tokens=[0, 2_000, 4_000, 0, 0],
    leads=[0, 0, 8, 36, 44, 50],
    patience_s=5,
    site_rpm=100_000,
    site_calls=9,
)
SEED_EVERY = 10  # the old query takes about a second at a million jobs


@dataclass(frozen=True, slots=True)
class Backlog:
    jobs: int
    sites: int


@dataclass(frozen=True, slots=True)
class Figure:
    """Milliseconds, medians."""

    backlog: Backlog
    claim_ms: float
    paced_ms: float  # by the quotas, as a worker claims
    slowest_ms: float
    seed_ms: float


async def measure(backlogs: list[Backlog], *, slots: int, rounds: int, progress: Callable[[str], None]) -> list[Figure]:
    """Claim `slots` jobs again and again from each backlog, in turn, so that all meet the same health.

    What a claim took is handed back before the next, outside the measured time, so a backlog keeps its size.
    """
    async with server() as dsn, AsyncExitStack() as stack:
        opened = []
        for backlog in backlogs:
            progress(f"loading {backlog.jobs:,} jobs of {backlog.sites:,} sites")
            loaded = await stack.enter_async_context(database(dsn))
            await load(loaded, backlog)
            opened.append(loaded)
        claims: list[list[float]] = [[] for _ in backlogs]
        paced: list[list[float]] = [[] for _ in backlogs]
        seeds: list[list[float]] = [[] for _ in backlogs]
        progress(f"{rounds} claims of {slots} from each")
        for turn in range(rounds):
            for index, loaded in enumerate(opened):
                claims[index].append(await _timed_claim(loaded, slots))
                paced[index].append(await _timed_claim(loaded, slots, ClaimFilter(pacing=PACING)))
                if turn % SEED_EVERY == 0:
                    seeds[index].append(await _timed(lambda db=loaded: _seed(db, slots)))  # type: ignore[misc]
    return [
        Figure(backlog, median(ours), median(by_quotas), max(ours), median(theirs))
        for backlog, ours, by_quotas, theirs in zip(backlogs, claims, paced, seeds, strict=True)
    ]


async def load(loaded: Database, backlog: Backlog) -> None:
    """Fill an empty queue."""
    await loaded.execute("bench/load_sites", sites=backlog.sites)
    await loaded.execute("bench/pass_triggers")
    await loaded.execute("bench/load_jobs", jobs=backlog.jobs, sites=backlog.sites)
    await loaded.execute("bench/use_triggers")
    await Limiter(loaded, {bucket.name: bucket for bucket in BUCKETS}).start()
    await loaded.execute("bench/vacuum")


async def _timed_claim(loaded: Database, slots: int, only: ClaimFilter = ALL) -> float:
    worker_id = await registered(loaded)
    started = perf_counter()
    found = await claim(loaded, worker_id, slots=slots, site_window=WINDOW, only=only)
    elapsed = (perf_counter() - started) * 1000
    if len(found.claims) != slots:
        raise RuntimeError(f"a claim of {slots} took {len(found.claims)}")
    await hand_back(loaded, worker_id, found.claims)
    return elapsed


async def hand_back(loaded: Database, worker_id: UUID, claims: tuple[Claim, ...]) -> None:
    released = move(Release())
    outcomes = [
        {"job_id": c.job_id, "attempt": c.attempt, "status": released.status, "spent": released.spent} for c in claims
    ]
    await loaded.rows("queue/settle", worker_id=worker_id, outcomes=Json(outcomes))


async def _seed(loaded: Database, slots: int) -> None:
    await loaded.rows("bench/seed_claim", slots=slots, site_window=WINDOW)


async def _timed(act: Callable[[], Awaitable[None]]) -> float:
    started = perf_counter()
    await act()
    return (perf_counter() - started) * 1000
