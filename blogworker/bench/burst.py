"""How long claims take while very many sites get work at once, and until all of them are in line."""

from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter
from uuid import UUID

from anyio import CancelScope, create_task_group, sleep

from blogworker.bench.claim import BUCKETS, PACING, WINDOW, hand_back
from blogworker.bench.scratch import database, registered, server
from blogworker.daemon.incarnation import ADMIT_S
from blogworker.db.pool import Database
from blogworker.queue.admit import admit, arrivals
from blogworker.queue.claim import ClaimFilter, claim
from blogworker.quota.limiter import Limiter

CLAIM_EVERY_S = 0.05
CALM_CLAIMS = 40


@dataclass(frozen=True, slots=True)
class Figure:
    """Milliseconds of the claims from the commit of the insert until all sites are in line, and seconds until then."""

    sites: int
    claims: int
    median_ms: float
    p99_ms: float
    longest_ms: float
    calm_ms: float  # the median when all are in line: what the machine takes for it without a burst
    insert_s: float
    in_line_s: float


async def measure(*, sites: int, slots: int) -> Figure:
    """One worker's claims and its tick of admission, as a worker runs them."""
    async with server() as dsn, database(dsn) as opened:
        await Limiter(opened, {bucket.name: bucket for bucket in BUCKETS}).start()
        worker_id = await registered(opened)
        for _ in range(5):  # what a connection prepares
            await claim(opened, worker_id, slots=slots, site_window=WINDOW, only=ClaimFilter(pacing=PACING))
        started = perf_counter()
        await opened.execute("bench/insert_burst", sites=sites)
        inserted = perf_counter()
        claims: list[float] = []
        async with create_task_group() as tasks:
            scope = tasks.cancel_scope
            tasks.start_soon(_admit, opened)
            tasks.start_soon(_until_in_line, opened, scope)
            while True:
                claims.append(await _timed(opened, worker_id, slots))
        in_line_s = perf_counter() - inserted
        calm = [await _timed(opened, worker_id, slots) for _ in range(CALM_CLAIMS)]
    p99 = quantiles(claims, n=100, method="inclusive")[-1] if len(claims) > 1 else claims[0]
    return Figure(sites, len(claims), median(claims), p99, max(claims), median(calm), inserted - started, in_line_s)


async def _admit(opened: Database) -> None:
    batches = arrivals()
    while True:
        await admit(opened, batches)
        await sleep(ADMIT_S)


async def _until_in_line(opened: Database, scope: CancelScope) -> None:
    while (await opened.one("bench/unadmitted"))["sites"]:
        await sleep(CLAIM_EVERY_S)
    scope.cancel()


async def _timed(opened: Database, worker_id: UUID, slots: int) -> float:
    started = perf_counter()
    found = await claim(opened, worker_id, slots=slots, site_window=WINDOW, only=ClaimFilter(pacing=PACING))
    elapsed = (perf_counter() - started) * 1000
    await hand_back(opened, worker_id, found.claims)
    await sleep(CLAIM_EVERY_S)
    return elapsed
