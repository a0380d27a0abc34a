"""What the limiter costs: CPU time per call, statements per second, and many workers on one bucket.

A call is a sleep. Its CPU time is measured with and without the limiter, alternately, in this process.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import Any

from anyio import create_task_group, current_time, sleep, sleep_until
from pydantic import SecretStr

from blogworker.bench.environment.counting import CountingRunner
from blogworker.bench.scratch import database, server
from blogworker.db.pool import Database
from blogworker.quota import Bucket, ProviderLimits
from blogworker.quota.limiter import Limiter
from blogworker.settings import DatabaseSettings

NAME = "openai/bench"
CALL_S = 0.1
TOKENS, USED = 1_000, 700  # reserved and used by a call
SLOTS = 20  # of each worker, with many workers
RAMP_S = 3.0  # until the burst is used and all connections are open


@dataclass(frozen=True, slots=True)
class Overhead:
    """One worker at a steady rate. The field names are the keys of the JSON output."""

    calls_per_s: float
    cpu_ms: float  # of the limiter, per call
    bare_cpu_ms: float  # of a call without the limiter
    statements_per_s: float
    slowest_wait_ms: float


@dataclass(frozen=True, slots=True)
class Contention:
    """Many workers on one bucket. The field names are the keys of the JSON output."""

    desks: int  # workers
    requests_per_minute: int
    granted_per_minute: float
    statements_per_s: float  # of all workers
    statement_ms: float  # median
    slowest_ms: float  # 99th percentile


async def overhead(*, per_s: int, seconds: float, rounds: int, progress: Callable[[str], None]) -> Overhead:
    """Make calls at a steady rate. The bucket allows twice that rate."""
    bare: list[float] = []
    limited: list[float] = []
    statements: list[float] = []
    waits: list[float] = []
    async with server() as dsn, database(dsn, pool_max=4) as opened:
        counted = CountingRunner(opened)
        limiter = Limiter(counted, {NAME: Bucket(NAME, "openai", per_s * 120, per_s * 120 * TOKENS)})
        await limiter.start()
        for n in range(rounds):
            bare.append(await _make_calls(per_s, seconds, _sleep))
            before, started = counted.statements, perf_counter()
            limited.append(await _make_calls(per_s, seconds, lambda: _limited(limiter, waits)))
            statements.append((counted.statements - before) / (perf_counter() - started))
            progress(f"round {n + 1}: {limited[-1]:.2f} ms with, {bare[-1]:.2f} ms without")
    cpu_ms = median(a - b for a, b in zip(limited, bare, strict=True))
    return Overhead(per_s, cpu_ms, median(bare), median(statements), 1000 * max(waits))


async def contention(*, workers: int, requests_per_minute: int, seconds: float) -> Contention:
    """Run many limiters in one process, each with its own connection and always with waiting calls."""
    async with server() as dsn, AsyncExitStack() as stack:
        opened = await stack.enter_async_context(database(dsn, pool_max=2))
        bucket = Bucket(NAME, "openai", requests_per_minute, requests_per_minute * TOKENS)
        limiters = [await stack.enter_async_context(_worker(opened.url, bucket)) for _ in range(workers)]
        granted: list[float] = []
        async with create_task_group() as tasks:
            for limiter, _ in limiters:
                for _ in range(SLOTS):
                    tasks.start_soon(_call_forever, limiter, granted)
            await sleep(RAMP_S)
            before = len(granted), sum(len(counted.took_s) for _, counted in limiters)
            started = perf_counter()
            await sleep(seconds)
            elapsed_s = perf_counter() - started
            after = len(granted), sum(len(counted.took_s) for _, counted in limiters)
            tasks.cancel_scope.cancel()
        took_s = sorted(took_s for _, counted in limiters for took_s in counted.took_s)
    return Contention(
        desks=workers,
        requests_per_minute=requests_per_minute,
        granted_per_minute=60 * (after[0] - before[0]) / elapsed_s,
        statements_per_s=(after[1] - before[1]) / elapsed_s,
        statement_ms=1000 * median(took_s),
        slowest_ms=1000 * took_s[int(0.99 * len(took_s))],
    )


@asynccontextmanager
async def _worker(url: str, bucket: Bucket) -> AsyncIterator[tuple[Limiter, CountingRunner]]:
    async with Database(DatabaseSettings(url=SecretStr(url), pool_min=1, pool_max=1)) as opened:
        counted = CountingRunner(opened)
        limiter = Limiter(counted, {bucket.name: bucket})
        await limiter.start()
        yield limiter, counted


async def _call_forever(limiter: Limiter, granted: list[float]) -> None:
    while True:
        async with limiter.permit(NAME, tokens=TOKENS):
            granted.append(current_time())


async def _make_calls(per_s: int, seconds: float, call: Callable[[], Coroutine[Any, Any, None]]) -> float:
    """Make calls at a steady rate. Return milliseconds of CPU time per call."""
    started, due = process_time(), current_time()
    count = round(per_s * seconds)
    async with create_task_group() as calls:
        for _ in range(count):
            calls.start_soon(call)
            due += 1 / per_s
            await sleep_until(due)
    return 1000 * (process_time() - started) / count


async def _sleep() -> None:
    await sleep(CALL_S)


async def _limited(limiter: Limiter, waits: list[float]) -> None:
    async with limiter.permit(NAME, tokens=TOKENS) as permit:
        await sleep(CALL_S)
        permit.used(USED)
        await limiter.learn(NAME, ProviderLimits(60_000, 60_000_000, 0.9, 0.9))
    waits.append(permit.waited_s)
