"""Throughput of the queue: jobs that do nothing, with one worker and with many, on one Postgres.

The workers are real processes with the claim loop, the settler and the lease of the daemon. Only the pipeline is empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from blogworker.bench.claim import Backlog, load
from blogworker.bench.idle_fleet import Run, run_idle_fleet
from blogworker.bench.idle_worker import NOTHING
from blogworker.bench.scratch import database, server


@dataclass(frozen=True, slots=True)
class Figure:
    workers: int
    jobs: int
    run: Run

    @property
    def per_second(self) -> float:
        return self.jobs / self.run.seconds

    @property
    def worker_cpu_us(self) -> float:
        """CPU time per job, of all workers together."""
        return 1e6 * self.run.worker_cpu_s / self.jobs

    @property
    def postgres_cpu_us(self) -> float:
        return 1e6 * self.run.postgres_cpu_s / self.jobs


async def measure(*, jobs: int, sites: int, workers: Sequence[int], concurrency: int) -> list[Figure]:
    """Run the same backlog with each number of workers, each time in a new database."""
    figures = []
    async with server() as dsn:
        for count in workers:
            async with database(dsn) as opened:
                await load(opened, Backlog(jobs, sites))
                run = await run_idle_fleet(opened, workers=count, concurrency=concurrency, pipeline=NOTHING)
                figures.append(Figure(count, jobs, run))
    return figures
