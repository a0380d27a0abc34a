"""How long an outcome takes to be stored: from the end of an attempt until its settle is committed."""

from dataclasses import dataclass
from random import expovariate
from statistics import median, quantiles
from time import perf_counter

from anyio import create_task_group, sleep

from blogworker.bench.claim import WINDOW, Backlog, load
from blogworker.bench.scratch import database, registered, server
from blogworker.db.pool import Database
from blogworker.queue.claim import claim
from blogworker.queue.job import Claim, Done
from blogworker.queue.settle import Settler

SITES = 50


@dataclass(frozen=True, slots=True)
class Figure:
    per_second: float  # outcomes offered
    median_ms: float
    p99_ms: float
    slowest_ms: float


async def measure(*, rates: list[float], outcomes: int) -> list[Figure]:
    """Offer outcomes at each rate, at random moments, one settler as in one worker."""
    async with server() as dsn:
        figures = []
        for rate in rates:
            async with database(dsn) as opened:
                await load(opened, Backlog(outcomes, SITES))
                figures.append(await _offer(opened, rate, outcomes))
        return figures


async def _offer(opened: Database, rate: float, outcomes: int) -> Figure:
    worker_id = await registered(opened)
    held: list[Claim] = []
    while len(held) < outcomes:
        held += (await claim(opened, worker_id, slots=100, site_window=WINDOW)).claims
    settler = Settler(opened, worker_id)
    took: list[float] = []

    async def settle(one: Claim) -> None:
        started = perf_counter()
        await settler.settle(one, Done())
        took.append((perf_counter() - started) * 1000)

    async with create_task_group() as running:
        running.start_soon(settler.run)
        async with create_task_group() as attempts:
            for one in held:
                attempts.start_soon(settle, one)
                await sleep(expovariate(rate))
        running.cancel_scope.cancel()
    return Figure(rate, median(took), quantiles(took, n=100, method="inclusive")[98], max(took))
