"""What waking workers costs producers: many of them, each blog a commit of its own, with NOTIFY on and off."""

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
    """Blogs a second, medians over the rounds, and the median of the ratios pair by pair."""

    on_per_s: float
    off_per_s: float
    on_to_off: float


async def measure(*, producers: int, blogs: int, rounds: int, progress: Callable[[str], None]) -> Figure:
    """Two databases in turn, on, off, on, off: so that both meet the same health. A listener is there, as in life."""
    async with server() as dsn, AsyncExitStack() as stack:
        on = await stack.enter_async_context(database(dsn, pool_max=producers + 2))
        off = await stack.enter_async_context(database(dsn, pool_max=producers + 2))
        await off.execute("bench/notify_off")
        for opened in (on, off):
            listener = await stack.enter_async_context(opened.connection())
            await listener.execute(query("queue/listen"))
        pairs = []
        for turn in range(rounds + 1):
            pair = (await _produce(on, producers, blogs), await _produce(off, producers, blogs))
            progress(f"round {turn}: {pair[0]:,.0f} with, {pair[1]:,.0f} without" if turn else "warm")
            if turn:
                pairs.append(pair)
    return Figure(
        median(with_it for with_it, _ in pairs),
        median(without for _, without in pairs),
        median(with_it / without for with_it, without in pairs),
    )


async def _produce(opened: Database, producers: int, blogs: int) -> float:
    async def producer(number: int) -> None:
        for turn in range(blogs):
            # A few sites each that no worker admits, so that every single insert has somebody to wake.
            await opened.execute("bench/enqueue_one", instance_id=f"site-{number}-{turn % 7}")

    started = perf_counter()
    async with create_task_group() as tasks:
        for number in range(producers):
            tasks.start_soon(producer, number)
    return producers * blogs / (perf_counter() - started)
