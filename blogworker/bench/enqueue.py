"""What NOTIFY costs producers: many producers, each job in its own transaction, with NOTIFY and without."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from anyio import create_task_group

from blogworker.bench.scratch import database, server
from blogworker.db.pool import Database
from blogworker.db.sql import query


@dataclass(frozen=True, slots=True)
class Figure:
    """Jobs per second, medians of the rounds, and the median ratio of a pair of rounds."""

    on_per_s: float
    off_per_s: float
    on_to_off: float


async def measure(*, producers: int, jobs: int, rounds: int, progress: Callable[[str], None]) -> Figure:
    """Use two databases alternately, so that the load of the machine affects both. Each has a listener."""
    async with server() as dsn, AsyncExitStack() as stack:
        on = await stack.enter_async_context(database(dsn, pool_max=producers + 2))
        off = await stack.enter_async_context(database(dsn, pool_max=producers + 2))
        await off.execute("bench/disable_notify")
        for opened in (on, off):
            listener = await stack.enter_async_context(opened.connection())
            await listener.execute(query("queue/listen"))
        pairs = []
        for n in range(rounds + 1):
            pair = (await _produce(on, producers, jobs), await _produce(off, producers, jobs))
            progress(f"round {n}: {pair[0]:,.0f} with, {pair[1]:,.0f} without" if n else "warm-up")
            if n:
                pairs.append(pair)
    return Figure(
        median(with_notify for with_notify, _ in pairs),
        median(without for _, without in pairs),
        median(with_notify / without for with_notify, without in pairs),
    )


async def _produce(opened: Database, producers: int, jobs: int) -> float:
    async def producer(number: int) -> None:
        for n in range(jobs):
            # No worker admits these sites, so every insert notifies.
            await opened.execute("bench/enqueue_one", instance_id=f"site-{number}-{n % 7}")

    started = perf_counter()
    async with create_task_group() as tasks:
        for number in range(producers):
            tasks.start_soon(producer, number)
    return producers * jobs / (perf_counter() - started)
