"""Run each scenario with each limiter and number of workers, with a new simulator and a new database each time."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from anyio import CancelScope, create_task_group, sleep
from pydantic import TypeAdapter

from blogworker.bench.environment.simulator import Simulator, running_simulator
from blogworker.bench.program import program
from blogworker.bench.quota.caller_config import OURS, SEED, CallerConfig, CallerReport
from blogworker.bench.quota.other_application import OtherApplication
from blogworker.bench.quota.usage import Reading, UsageReader, between, middle
from blogworker.bench.scratch import database, server

MODEL = "gpt-6-luna"  # for both calls, so that there is only one bucket
RPM, TPM = 450, 450_000
BURST_S = 1.0  # by the provider's clock
RAMP_END, TAIL_BEGIN = 0.2, 0.9  # fractions of all calls; the time between them is measured
OTHER_BEGIN, OTHER_END, OTHER_SHARE = 0.25, 0.75, 0.5  # of the other application: fractions of all calls, of the quota
ROOMY = 1 / 0.6  # estimated tokens / real tokens
POLL_S = 0.05


class Scenario(StrEnum):
    TIGHT = "tight"  # estimates are near the real usage
    ROOMY = "roomy"  # the real usage is 40 % lower than the estimate
    FOREIGN = "foreign"  # another application uses half of the quota for a while


@dataclass(frozen=True, slots=True)
class Plan:
    jobs: int
    speed: float
    tokens_per_minute: int = TPM
    provider_burst: float = 1.0  # minutes of the quota that the provider's bucket holds
    slots: int = 50  # of each process


@dataclass(frozen=True, slots=True)
class Figure:
    scenario: Scenario
    limiter: str
    workers: int
    measured_s: float  # after the ramp
    requests_used: float  # fractions of the limits, by all applications
    tokens_used: float
    refused: int  # 429 answers in the whole run, to all applications
    calls: int
    parked: int
    jobs_per_minute: float  # of the provider's clock
    cpu_ms: float  # of a worker, per call, with its HTTP client
    statements_per_s: float  # of a worker
    estimated_per_minute: float  # jobs that the estimates would allow

    @property
    def summary(self) -> str:
        used = max(self.requests_used, self.tokens_used)
        return f"{100 * used:.1f} % used, {self.refused} refused, {self.jobs_per_minute:.1f} jobs per minute"


async def measure(
    plan: Plan, scenarios: Sequence[Scenario], *, workers: Sequence[int], seed: bool, progress: Callable[[str], None]
) -> list[Figure]:
    """Return a figure for each scenario, limiter and number of workers."""
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
        simulator = await stack.enter_async_context(running_simulator(folder, speed=plan.speed, seed=1))
        await simulator.configure(openai_burst=plan.provider_burst / plan.speed, openai_tpm=plan.tokens_per_minute)
        opened = await stack.enter_async_context(database(dsn, pool_max=2))
        config = _config(plan, scenario, limiter, opened.url, simulator.url)
        shares = [plan.jobs // workers + (n < plan.jobs % workers) for n in range(workers)]
        configs = [replace(config, number=number, jobs=jobs) for number, jobs in enumerate(shares)]
        reader = UsageReader(simulator, MODEL)
        started = perf_counter()
        reports, other = await _call(plan, scenario, configs, simulator, reader)
        elapsed_s = perf_counter() - started
    return _figure(plan, scenario, config, reader.readings, reports, other, elapsed_s)


def _config(plan: Plan, scenario: Scenario, limiter: str, dsn: str, url: str) -> CallerConfig:
    factor = ROOMY if scenario is Scenario.ROOMY else 1
    return CallerConfig(
        limiter=limiter,
        dsn=dsn,
        base_url=f"{url}/openai/v1",
        model=MODEL,
        number=0,
        jobs=0,
        slots=plan.slots,
        requests_per_minute=round(RPM * plan.speed),
        tokens_per_minute=round(plan.tokens_per_minute * plan.speed),
        burst_s=BURST_S / plan.speed,
        minute_s=60 / plan.speed,
        ideas_tokens=round(2_065 * factor),
        content_tokens=round(3_275 * factor),
    )


async def _call(
    plan: Plan, scenario: Scenario, configs: Sequence[CallerConfig], simulator: Simulator, reader: UsageReader
) -> tuple[list[CallerReport], list[Reading]]:
    """Run the callers. Return their reports, and the readings at the start and the end of the other application."""
    other: list[Reading] = []
    async with AsyncExitStack() as stack, create_task_group() as tasks:
        arguments = [TypeAdapter(CallerConfig).dump_json(config).decode() for config in configs]
        callers = [await stack.enter_async_context(program("blogworker.bench.quota.caller", one)) for one in arguments]
        for caller in callers:
            await caller.line()
        tasks.start_soon(reader.run)
        if scenario is Scenario.FOREIGN:
            tasks.start_soon(_run_other, plan, simulator, reader, other)
        for caller in callers:
            await caller.begin()
        reports = [TypeAdapter(CallerReport).validate_json(await caller.line()) for caller in callers]
        tasks.cancel_scope.cancel()
    with CancelScope(shield=True):
        await reader.read()
    return reports, other


async def _run_other(plan: Plan, simulator: Simulator, reader: UsageReader, readings: list[Reading]) -> None:
    """Run the other application from a quarter to three quarters of our calls."""
    total = 2 * plan.jobs
    while not reader.readings or reader.readings[-1].calls < OTHER_BEGIN * total:
        await sleep(POLL_S)
    other = OtherApplication(
        simulator.url, model=MODEL, tokens_per_s=OTHER_SHARE * plan.tokens_per_minute * plan.speed / 60
    )
    readings.append(await reader.read())
    async with create_task_group() as calls:
        calls.start_soon(other.run)
        while reader.readings[-1].calls - other.calls + other.refused < OTHER_END * total:
            await sleep(POLL_S)
        calls.cancel_scope.cancel()
    readings.append(await reader.read())


def _figure(
    plan: Plan,
    scenario: Scenario,
    config: CallerConfig,
    readings: Sequence[Reading],
    reports: Sequence[CallerReport],
    other: Sequence[Reading],
    elapsed_s: float,
) -> Figure:
    rates = between(other[0], other[1]) if other else middle(readings, begin=RAMP_END, end=TAIL_BEGIN)
    calls = sum(report.calls for report in reports)
    return Figure(
        scenario=scenario,
        limiter=config.limiter,
        workers=len(reports),
        measured_s=rates.seconds,
        requests_used=rates.calls_per_minute / config.requests_per_minute,
        tokens_used=rates.tokens_per_minute / config.tokens_per_minute,
        refused=readings[-1].refused,
        calls=readings[-1].calls,
        parked=sum(report.parked for report in reports),
        jobs_per_minute=rates.calls_per_minute / 2 / plan.speed,
        cpu_ms=1000 * sum(report.cpu_s for report in reports) / max(1, calls),
        statements_per_s=sum(report.statements for report in reports) / len(reports) / elapsed_s,
        estimated_per_minute=plan.tokens_per_minute / (config.ideas_tokens + config.content_tokens),
    )
