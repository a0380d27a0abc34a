"""How long claims take while very many sites get work at the same time, until all of these sites are in line."""

from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter
from uuid import UUID

from anyio import CancelScope, create_task_group, sleep

from blogworker.bench.claim import BUCKETS, PACED, claim_ms
from blogworker.bench.scratch import database, register, server
from blogworker.daemon.incarnation import ADMIT_S
from blogworker.db.pool import Database
from blogworker.queue.admit import admit, arrivals
from blogworker.quota.limiter import Limiter

CLAIM_EVERY_S = 0.05
WARM_UP_CLAIMS, LATER_CLAIMS = 5, 40


@dataclass(frozen=True, slots=True)
class Figure:
    """Milliseconds of the claims from the commit of the insert until all sites are in line."""

    sites: int
    claims: int
    median_ms: float
    p99_ms: float
    longest_ms: float
    calm_ms: float  # median of the claims after that, for comparison
    insert_s: float
    in_line_s: float  # from the commit until all sites are in line


async def measure(*, sites: int, slots: int) -> Figure:
    """Run the claims and the admission of one worker."""
    async with server() as dsn, database(dsn) as opened:
        await Limiter(opened, {bucket.name: bucket for bucket in BUCKETS}).start()
        worker_id = await register(opened)
        for _ in range(WARM_UP_CLAIMS):  # so that the connection has prepared the statement
            await claim_ms(opened, worker_id, slots, PACED)
        started = perf_counter()
        await opened.execute("bench/insert_burst", sites=sites)
        inserted = perf_counter()
        claims = [await _claim(opened, worker_id, slots)]  # few sites are in line before the second claim ends
        async with create_task_group() as tasks:
            scope = tasks.cancel_scope
            tasks.start_soon(_admit, opened)
            tasks.start_soon(_cancel_when_in_line, opened, scope)
            while True:
                claims.append(await _claim(opened, worker_id, slots))
        in_line_s = perf_counter() - inserted
        later = [await _claim(opened, worker_id, slots) for _ in range(LATER_CLAIMS)]
    p99 = quantiles(claims, n=100, method="inclusive")[-1] if len(claims) > 1 else claims[0]
    return Figure(sites, len(claims), median(claims), p99, max(claims), median(later), inserted - started, in_line_s)


async def _admit(opened: Database) -> None:
    batches = arrivals()
    while True:
        await admit(opened, batches)
        await sleep(ADMIT_S)


async def _cancel_when_in_line(opened: Database, scope: CancelScope) -> None:
    while (await opened.one("bench/unadmitted"))["sites"]:
        await sleep(CLAIM_EVERY_S)
    scope.cancel()


async def _claim(opened: Database, worker_id: UUID, slots: int) -> float:
    elapsed_ms, _ = await claim_ms(opened, worker_id, slots, PACED)
    await sleep(CLAIM_EVERY_S)
    return elapsed_ms
