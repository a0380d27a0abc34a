"""One run after the other, each with a fresh simulator and a fresh database."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory
from time import perf_counter

from anyio import CancelScope, create_task_group, open_process, sleep
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream
from psycopg.conninfo import make_conninfo
from pydantic import TypeAdapter

from blogworker.bench.chaos.vendors import Vendors, vendors
from blogworker.bench.quota.foreigner import Foreigner
from blogworker.bench.quota.order import OURS, SEED, Order, Report
from blogworker.bench.quota.watch import Reading, Stretch, Watch, between, part
from blogworker.bench.scratch import database, server

MODEL = "gpt-6-luna"  # for both calls, so that one bucket is all there is
RPM, TPM = 450, 450_000
BURST_S = 1.0  # vendor seconds
RAMP, TAIL = 0.2, 0.9  # of all calls: what is measured lies between
FOREIGN_FROM, FOREIGN_TO, FOREIGN_SHARE = 0.25, 0.75, 0.5
ROOM = 1 / 0.6  # of an estimate whose real usage is 40 percent less
LINE_BYTES = 100_000


class Scenario(StrEnum):
    TIGHT = "tight"  # estimates near the real usage
    ROOMY = "roomy"  # real usage 40 percent under the estimate
    FOREIGN = "foreign"  # half of the quota is another's for a while


@dataclass(frozen=True, slots=True)
class Plan:
    blogs: int
    speed: float
    tokens_per_minute: int = TPM
    vendor_burst: float = 1.0  # vendor minutes that the vendor's bucket holds
    slots: int = 50  # of each process


@dataclass(frozen=True, slots=True)
class Figure:
    scenario: Scenario
    limiter: str
    workers: int
    measured: Stretch  # after the ramp
    requests_used: float  # parts of the limits, all applications together
    tokens_used: float
    refused: int  # 429s in the whole run, all applications
    calls: int
    parked: int
    blogs_per_minute: float  # of the vendor's time
    cpu_ms: float  # of a worker, a call, its HTTP client included
    statements_per_s: float  # of a worker
    estimated_per_minute: float  # blogs that the estimates would allow

    @property
    def used(self) -> float:
        """Of the tighter limit."""
        return max(self.requests_used, self.tokens_used)

    @property
    def summary(self) -> str:
        return f"{100 * self.used:.1f} % used, {self.refused} refused, {self.blogs_per_minute:.1f} blogs a minute"


async def measure(
    plan: Plan, scenarios: Sequence[Scenario], *, workers: Sequence[int], seed: bool, progress: Callable[[str], None]
) -> list[Figure]:
    """A figure for each scenario, limiter and number of workers."""
    figures: list[Figure] = []
    async with server() as dsn:
        for scenario in scenarios:
            for limiter in (OURS, SEED) if seed else (OURS,):
                for count in workers:
                    figures.append(await _run(plan, scenario, limiter, count, dsn))
                    progress(f"{scenario}, {limiter}, {count} workers: {figures[-1].summary}")
    return figures


async def _run(plan: Plan, scenario: Scenario, limiter: str, workers: int, dsn: str) -> Figure:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-quota-")))
        simulator = await stack.enter_async_context(vendors(folder, speed=plan.speed, seed=1))
        await simulator.configure(openai_burst=plan.vendor_burst / plan.speed, openai_tpm=plan.tokens_per_minute)
        opened = await stack.enter_async_context(database(dsn, pool_max=2))
        url = make_conninfo(dsn, dbname=(await opened.one("bench/connected_to"))["name"])
        order = _order(plan, scenario, limiter, url, simulator.url)
        shares = [plan.blogs // workers + (n < plan.blogs % workers) for n in range(workers)]
        orders = [replace(order, number=number, blogs=blogs) for number, blogs in enumerate(shares)]
        watch = Watch(simulator, MODEL)
        began = perf_counter()
        reports, others = await _work(plan, scenario, orders, simulator, watch)
        elapsed_s = perf_counter() - began
    return _figure(plan, scenario, order, watch.readings, reports, others, elapsed_s)


def _order(plan: Plan, scenario: Scenario, limiter: str, dsn: str, url: str) -> Order:
    room = ROOM if scenario is Scenario.ROOMY else 1
    return Order(
        limiter=limiter,
        dsn=dsn,
        base_url=f"{url}/openai/v1",
        model=MODEL,
        number=0,
        blogs=0,
        slots=plan.slots,
        requests_per_minute=round(RPM * plan.speed),
        tokens_per_minute=round(plan.tokens_per_minute * plan.speed),
        burst_s=BURST_S / plan.speed,
        minute_s=60 / plan.speed,
        ideas_tokens=round(2_065 * room),
        content_tokens=round(3_275 * room),
    )


async def _work(
    plan: Plan, scenario: Scenario, orders: Sequence[Order], simulator: Vendors, watch: Watch
) -> tuple[list[Report], list[Reading]]:
    """The reports of the processes, and the readings at which the foreigner came and went."""
    async with AsyncExitStack() as stack, create_task_group() as tasks:
        callers = [await stack.enter_async_context(_caller(order)) for order in orders]
        said = [BufferedByteReceiveStream(_out(process)) for process in callers]
        for out in said:
            await out.receive_until(b"\n", LINE_BYTES)
        tasks.start_soon(watch.run)
        others: list[Reading] = []
        if scenario is Scenario.FOREIGN:
            tasks.start_soon(_foreign, plan, simulator, watch, others)
        for process in callers:
            assert process.stdin is not None  # noqa: S101 - it was asked for
            await process.stdin.send(b"go\n")
        reports = [_report(await out.receive_until(b"\n", LINE_BYTES)) for out in said]
        tasks.cancel_scope.cancel()
    with CancelScope(shield=True):
        await watch.read()
    return reports, others


async def _foreign(plan: Plan, simulator: Vendors, watch: Watch, others: list[Reading]) -> None:
    """Come when a quarter of the blogs are done, stay for about half of the rest."""
    total = 2 * plan.blogs
    await _until(watch, FOREIGN_FROM * total)
    rate = FOREIGN_SHARE * plan.tokens_per_minute * plan.speed / 60
    foreigner = Foreigner(simulator.url, model=MODEL, tokens_per_s=rate)
    others.append(await watch.read())
    async with create_task_group() as calls:
        calls.start_soon(foreigner.run)
        while watch.readings[-1].calls - foreigner.calls + foreigner.refused < FOREIGN_TO * total:
            await sleep(0.1)
        calls.cancel_scope.cancel()
    others.append(await watch.read())


async def _until(watch: Watch, calls: float) -> None:
    while not watch.readings or watch.readings[-1].calls < calls:
        await sleep(0.05)


def _figure(
    plan: Plan,
    scenario: Scenario,
    order: Order,
    readings: Sequence[Reading],
    reports: Sequence[Report],
    others: Sequence[Reading],
    elapsed_s: float,
) -> Figure:
    measured = between(others[0], others[1]) if others else part(readings, begin=RAMP, end=TAIL)
    calls = sum(report.calls for report in reports)
    return Figure(
        scenario=scenario,
        limiter=order.limiter,
        workers=len(reports),
        measured=measured,
        requests_used=measured.calls_per_minute / order.requests_per_minute,
        tokens_used=measured.tokens_per_minute / order.tokens_per_minute,
        refused=readings[-1].refused,
        calls=readings[-1].calls,
        parked=sum(report.parked for report in reports),
        blogs_per_minute=measured.calls_per_minute / 2 / plan.speed,
        cpu_ms=1000 * sum(report.cpu_s for report in reports) / max(1, calls),
        statements_per_s=sum(report.statements for report in reports) / len(reports) / elapsed_s,
        estimated_per_minute=plan.tokens_per_minute / (order.ideas_tokens + order.content_tokens),
    )


@asynccontextmanager
async def _caller(order: Order) -> AsyncIterator[Process]:
    process = await open_process(
        [sys.executable, "-m", "blogworker.bench.quota.caller", TypeAdapter(Order).dump_json(order).decode()],
        stdin=PIPE,
        stdout=PIPE,
        stderr=None,
        env=dict(os.environ),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        with CancelScope(shield=True):
            await process.wait()


def _out(process: Process) -> ByteReceiveStream:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    return process.stdout


def _report(line: bytes) -> Report:
    return TypeAdapter(Report).validate_json(line)
