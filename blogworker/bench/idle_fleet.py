"""Runs workers whose jobs do not write posts on one backlog, until it is empty."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter

from anyio import create_task_group
from pydantic import TypeAdapter

from blogworker.bench.idle_worker import IdleReport
from blogworker.bench.load import cpu
from blogworker.bench.program import Program, program
from blogworker.bench.scratch import ScratchDatabase
from blogworker.db.pool import Database


@dataclass(frozen=True, slots=True)
class Run:
    seconds: float  # until the last worker has exited
    busy_s: float  # of the worker whose jobs took longest, from its first job to its last
    worker_cpu_s: float  # of all workers
    postgres_cpu_s: float  # of the whole server
    twice: int  # jobs that were claimed more than once
    unfinished: int


async def run_idle_fleet(opened: ScratchDatabase, *, workers: int, concurrency: int, pipeline: str) -> Run:
    """Start all workers, let them begin at the same moment, and wait until each has exited."""
    reports: list[IdleReport] = []
    async with AsyncExitStack() as stack:
        arguments = [(opened.url, f"idle/{n}", str(concurrency), pipeline) for n in range(workers)]
        idle = [await stack.enter_async_context(program("blogworker.bench.idle_worker", *each)) for each in arguments]
        for worker in idle:
            await worker.line()
        postgres_cpu_s, started = await _postgres_cpu_s(opened), perf_counter()
        for worker in idle:
            await worker.begin()
        async with create_task_group() as tasks:
            for worker in idle:
                tasks.start_soon(_finish, worker, reports)
        elapsed_s = perf_counter() - started
        postgres_cpu_s = await _postgres_cpu_s(opened) - postgres_cpu_s
    attempts = await opened.one("bench/attempts")
    return Run(
        seconds=elapsed_s,
        busy_s=max(report.busy_s for report in reports),
        worker_cpu_s=sum(report.cpu_s for report in reports),
        postgres_cpu_s=postgres_cpu_s,
        twice=attempts["twice"],
        unfinished=attempts["unfinished"],
    )


async def _finish(worker: Program, reports: list[IdleReport]) -> None:
    reports.append(TypeAdapter(IdleReport).validate_json(await worker.line()))
    await worker.wait()


async def _postgres_cpu_s(opened: Database) -> float:
    return cpu.server_s((await opened.one("bench/connections"))["backend_pid"])
