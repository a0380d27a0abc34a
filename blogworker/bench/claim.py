"""How long a claim takes with a small and with a large backlog, compared with the query of the seed."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from uuid import UUID

from blogworker.bench.scratch import database, register, server, settle
from blogworker.db.pool import Database
from blogworker.queue.claim import ALL, ClaimFilter, Pacing, claim
from blogworker.queue.job import Release
from blogworker.quota.bucket import Bucket
from blogworker.quota.limiter import Limiter

WINDOW = 20
# Quotas that the claim reads and that never make a job wait: a hundred thousand calls per minute.
BUCKETS = [Bucket(f"openai/{name}", "openai", 100_000, 2**30) for name in ("ideas", "content", "images")]
PACING = Pacing(
    buckets=[None, *(bucket.name for bucket in BUCKETS), None],
    tokens=[0, 2_000, 4_000, 0, 0],
    leads=[0, 0, 8, 36, 44, 50],
    patience_s=5,
    site_rpm=100_000,
    site_calls=9,
)
PACED = ClaimFilter(pacing=PACING)
SEED_EVERY = 10  # rounds; the seed's query takes about a second with a million jobs


@dataclass(frozen=True, slots=True)
class Backlog:
    jobs: int
    sites: int


@dataclass(frozen=True, slots=True)
class Figure:
    """Milliseconds. Medians, except the slowest claim."""

    backlog: Backlog
    claim_ms: float
    paced_ms: float  # with the check of the quotas, as a worker claims
    slowest_ms: float
    seed_ms: float


async def measure(backlogs: list[Backlog], *, slots: int, rounds: int, progress: Callable[[str], None]) -> list[Figure]:
    """Claim `slots` jobs from each backlog in turn, so that the load of the machine affects all of them.

    The jobs are released before the next claim, outside the measured time, so a backlog keeps its size.
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
        for n in range(rounds):
            for index, loaded in enumerate(opened):
                claims[index].append(await _full_claim_ms(loaded, slots, ALL))
                paced[index].append(await _full_claim_ms(loaded, slots, PACED))
                if n % SEED_EVERY == 0:
                    started = perf_counter()
                    await loaded.rows("bench/seed_claim", slots=slots, site_window=WINDOW)
                    seeds[index].append((perf_counter() - started) * 1000)
    return [
        Figure(backlog, median(plain), median(with_quotas), max(plain), median(seed))
        for backlog, plain, with_quotas, seed in zip(backlogs, claims, paced, seeds, strict=True)
    ]


async def load(loaded: Database, backlog: Backlog) -> None:
    """Fill an empty queue, without its triggers."""
    await loaded.execute("bench/load_sites", sites=backlog.sites)
    await loaded.execute("bench/disable_triggers")
    await loaded.execute("bench/load_jobs", jobs=backlog.jobs, sites=backlog.sites)
    await loaded.execute("bench/enable_triggers")
    await Limiter(loaded, {bucket.name: bucket for bucket in BUCKETS}).start()
    await loaded.execute("bench/vacuum")


async def _full_claim_ms(loaded: Database, slots: int, only: ClaimFilter) -> float:
    elapsed_ms, claimed = await claim_ms(loaded, await register(loaded), slots, only)
    if claimed != slots:
        raise RuntimeError(f"a claim of {slots} jobs got {claimed}")
    return elapsed_ms


async def claim_ms(opened: Database, worker_id: UUID, slots: int, only: ClaimFilter) -> tuple[float, int]:
    """Claim jobs and release them. Return the milliseconds of the claim and the number of jobs."""
    started = perf_counter()
    found = await claim(opened, worker_id, slots=slots, site_window=WINDOW, only=only)
    elapsed_ms = (perf_counter() - started) * 1000
    await settle(opened, worker_id, [(claimed, Release()) for claimed in found.claims])
    return elapsed_ms, len(found.claims)
