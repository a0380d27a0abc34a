"""How long a settle takes: from the end of an attempt until the commit of its outcome."""

from dataclasses import dataclass
from random import expovariate
from statistics import median, quantiles
from time import perf_counter

from anyio import create_task_group, sleep

from blogworker.bench.claim import WINDOW, Backlog, load
from blogworker.bench.scratch import database, register, server
from blogworker.db.pool import Database
from blogworker.queue.claim import claim
from blogworker.queue.job import Claim, Done
from blogworker.queue.settle import Settler

SITES = 50


@dataclass(frozen=True, slots=True)
class Figure:
    per_second: float  # outcomes
    median_ms: float
    p99_ms: float
    slowest_ms: float


async def measure(*, rates: list[float], outcomes: int) -> list[Figure]:
    """Settle outcomes at random times with each mean rate (per second), with one settler as in a worker."""
    async with server() as dsn:
        figures = []
        for rate in rates:
            async with database(dsn) as opened:
                await load(opened, Backlog(outcomes, SITES))
                figures.append(await _offer(opened, rate, outcomes))
        return figures


async def _offer(opened: Database, rate: float, outcomes: int) -> Figure:
    worker_id = await register(opened)
    claims: list[Claim] = []
    while len(claims) < outcomes:
        claims += (await claim(opened, worker_id, slots=100, site_window=WINDOW)).claims
    settler = Settler(opened, worker_id)
    took: list[float] = []

    async def settle_one(each: Claim) -> None:
        started = perf_counter()
        await settler.settle(each, Done())
        took.append((perf_counter() - started) * 1000)

    async with create_task_group() as running:
        running.start_soon(settler.run)
        async with create_task_group() as attempts:
            for each in claims:
                attempts.start_soon(settle_one, each)
                await sleep(expovariate(rate))
        running.cancel_scope.cancel()
    return Figure(rate, median(took), quantiles(took, n=100, method="inclusive")[98], max(took))
