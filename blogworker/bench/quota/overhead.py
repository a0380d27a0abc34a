"""What the limiter itself costs: CPU of a worker a call, statements a second, and many desks on one bucket.

The calls are sleeps. Their CPU is measured with and without the limiter, in turn, in this process.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import Any

from anyio import create_task_group, current_time, sleep, sleep_until
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from blogworker.bench.quota.counted import Counted
from blogworker.bench.scratch import database, server
from blogworker.db.pool import Database
from blogworker.quota import Bucket, ProviderLimits
from blogworker.quota.limiter import Limiter
from blogworker.settings import DatabaseSettings

NAME = "openai/bench"
CALL_S = 0.1  # what a call takes
TOKENS, USED = 1_000, 700
SLOTS = 20  # of each of the many workers


@dataclass(frozen=True, slots=True)
class Overhead:
    """One worker at a steady rate."""

    calls_per_s: float
    cpu_ms: float  # a call, the limiter's part
    bare_cpu_ms: float  # a call without it
    statements_per_s: float
    slowest_wait_ms: float


@dataclass(frozen=True, slots=True)
class Crowd:
    """Many workers on one bucket."""

    desks: int
    requests_per_minute: int
    granted_per_minute: float
    statements_per_s: float  # of all
    statement_ms: float  # median
    slowest_ms: float  # of a hundred


async def overhead(*, per_s: int, seconds: float, rounds: int, progress: Callable[[str], None]) -> Overhead:
    """Callers come at `per_s`, to a bucket that has room for them."""
    bare: list[float] = []
    limited: list[float] = []
    statements: list[float] = []
    slowest = 0.0
    async with server() as dsn, database(dsn, pool_max=4) as opened:
        counted = Counted(opened)
        limiter = Limiter(counted, {NAME: Bucket(NAME, "openai", per_s * 120, per_s * 120 * TOKENS)})
        await limiter.start()
        waits: list[float] = []
        for turn in range(rounds):
            bare.append(await _stream(per_s, seconds, _sleep))
            before, began = counted.statements, perf_counter()
            limited.append(await _stream(per_s, seconds, lambda: _limited(limiter, waits)))
            statements.append((counted.statements - before) / (perf_counter() - began))
            progress(f"round {turn + 1}: {limited[-1]:.2f} ms with, {bare[-1]:.2f} ms without")
        slowest = max(waits)
    cpu_ms = median(a - b for a, b in zip(limited, bare, strict=True))
    return Overhead(per_s, cpu_ms, median(bare), median(statements), 1000 * slowest)


async def crowd(*, desks: int, requests_per_minute: int, seconds: float) -> Crowd:
    """Every client always has callers waiting; each has a connection of its own, as workers do, but not a process."""
    async with server() as dsn, AsyncExitStack() as stack:
        opened = await stack.enter_async_context(database(dsn, pool_max=2))
        url = make_conninfo(dsn, dbname=(await opened.one("bench/connected_to"))["name"])
        bucket = Bucket(NAME, "openai", requests_per_minute, requests_per_minute * TOKENS)
        workers = [await stack.enter_async_context(_worker(url, bucket)) for _ in range(desks)]
        granted: list[float] = []
        async with create_task_group() as tasks:
            for limiter, _ in workers:
                for _ in range(SLOTS):
                    tasks.start_soon(_for_ever, limiter, granted)
            await sleep(3)  # the burst, and the connections
            before = len(granted), sum(len(counted.took_s) for _, counted in workers)
            began = perf_counter()
            await sleep(seconds)
            elapsed_s = perf_counter() - began
            after = len(granted), sum(len(counted.took_s) for _, counted in workers)
            tasks.cancel_scope.cancel()
        took_s = sorted(took_s for _, counted in workers for took_s in counted.took_s)
    return Crowd(
        desks=desks,
        requests_per_minute=requests_per_minute,
        granted_per_minute=60 * (after[0] - before[0]) / elapsed_s,
        statements_per_s=(after[1] - before[1]) / elapsed_s,
        statement_ms=1000 * median(took_s),
        slowest_ms=1000 * took_s[int(0.99 * len(took_s))],
    )


@asynccontextmanager
async def _worker(url: str, bucket: Bucket) -> AsyncIterator[tuple[Limiter, Counted]]:
    async with Database(DatabaseSettings(url=SecretStr(url), pool_min=1, pool_max=1)) as opened:
        counted = Counted(opened)
        limiter = Limiter(counted, {bucket.name: bucket})
        await limiter.start()
        yield limiter, counted


async def _for_ever(limiter: Limiter, granted: list[float]) -> None:
    while True:
        async with limiter.permit(NAME, tokens=TOKENS):
            granted.append(current_time())


async def _stream(per_s: int, seconds: float, call: Callable[[], Coroutine[Any, Any, None]]) -> float:
    """Milliseconds of CPU a call."""
    began, due = process_time(), current_time()
    count = round(per_s * seconds)
    async with create_task_group() as calls:
        for _ in range(count):
            calls.start_soon(call)
            due += 1 / per_s
            await sleep_until(due)
    return 1000 * (process_time() - began) / count


async def _sleep() -> None:
    await sleep(CALL_S)


async def _limited(limiter: Limiter, waits: list[float]) -> None:
    async with limiter.permit(NAME, tokens=TOKENS) as permit:
        await sleep(CALL_S)
        permit.used(USED)
        await limiter.learn(NAME, ProviderLimits(60_000, 60_000_000, 0.9, 0.9))
    waits.append(permit.waited_s)
