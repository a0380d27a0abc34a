"""Throughput of the queue: jobs that do nothing, with one worker and with many, on one Postgres.

The workers are real processes with the claim loop, the settler and the lease of the daemon. Only the pipeline is empty.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter

from anyio import create_task_group

from blogworker.bench.claim import Backlog, load
from blogworker.bench.program import program
from blogworker.bench.scratch import ScratchDatabase, database, server


@dataclass(frozen=True, slots=True)
class Figure:
    workers: int
    jobs: int
    seconds: float
    twice: int  # jobs that were claimed more than once
    unfinished: int

    @property
    def per_second(self) -> float:
        return self.jobs / self.seconds


async def measure(*, jobs: int, sites: int, workers: Sequence[int], concurrency: int) -> list[Figure]:
    """Run the same backlog with each number of workers, each time in a new database."""
    figures = []
    async with server() as dsn:
        for count in workers:
            async with database(dsn) as opened:
                await load(opened, Backlog(jobs, sites))
                figures.append(await _run(opened, jobs=jobs, workers=count, concurrency=concurrency))
    return figures


async def _run(opened: ScratchDatabase, *, jobs: int, workers: int, concurrency: int) -> Figure:
    async with AsyncExitStack() as stack:
        arguments = [(opened.url, f"bench/{n}", str(concurrency)) for n in range(workers)]
        idle = [await stack.enter_async_context(program("blogworker.bench.idle_worker", *each)) for each in arguments]
        for worker in idle:
            await worker.line()
        started = perf_counter()
        for worker in idle:
            await worker.begin()
        async with create_task_group() as tasks:
            for worker in idle:
                tasks.start_soon(worker.wait)
        elapsed = perf_counter() - started
    result = await opened.one("bench/attempts")
    return Figure(workers, jobs, elapsed, result["twice"], result["unfinished"])
