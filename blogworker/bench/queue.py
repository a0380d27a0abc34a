"""Throughput of the queue itself: jobs that do nothing, by one worker and by many, on one Postgres.

The workers are real processes of the daemon's own claim loop, settler and lease; only the pipeline is empty.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from subprocess import PIPE
from time import perf_counter

from anyio import create_task_group, open_process
from anyio.abc import Process

from blogworker.bench.claim import Backlog, load
from blogworker.bench.scratch import database, server
from blogworker.db.pool import Database

PROGRAM = "blogworker.bench.idle_worker"


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
    """Work the same backlog off by so many workers, each time from a fresh database."""
    figures = []
    async with server() as dsn:
        for count in workers:
            async with database(dsn) as opened:
                await load(opened, Backlog(jobs, sites))
                figures.append(await _run(opened, dsn, jobs=jobs, workers=count, concurrency=concurrency))
    return figures


async def _run(opened: Database, dsn: str, *, jobs: int, workers: int, concurrency: int) -> Figure:
    url = (await opened.one("bench/connected_to"))["name"]
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(await _start(dsn, url, n, concurrency)) for n in range(workers)]
        await _all_say(processes, b"ready")
        started = perf_counter()
        for process in processes:
            assert process.stdin is not None  # noqa: S101 - it was asked for
            await process.stdin.send(b"go\n")
        async with create_task_group() as tasks:
            for process in processes:
                tasks.start_soon(process.wait)
        elapsed = perf_counter() - started
    result = await opened.one("bench/attempts")
    return Figure(workers, jobs, elapsed, result["twice"], result["unfinished"])


async def _start(dsn: str, name: str, number: int, concurrency: int) -> Process:
    return await open_process(
        [sys.executable, "-m", PROGRAM, dsn, name, f"bench/{number}", str(concurrency)],
        stdin=PIPE,
        stdout=PIPE,
        stderr=None,
        env=dict(os.environ),
    )


async def _all_say(processes: Sequence[Process], word: bytes) -> None:
    for process in processes:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        if word not in await process.stdout.receive():
            raise RuntimeError("a worker of the bench did not start")
