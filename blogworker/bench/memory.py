"""The resident memory of a worker: at its start, when it is ready, while it makes whole blogs, and its growth."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import StatisticsError, linear_regression, median

from anyio import fail_after, sleep

from blogworker.bench.environment import Environment
from blogworker.bench.load.large_quotas import large_quotas, require_running
from blogworker.bench.load.memory import peak_mb, resident_mb
from blogworker.bench.scratch import server
from blogworker.db.pool import Row

SITES = 20
NAME = "memory/0"
START_POLL_S, SAMPLE_S = 0.01, 0.25
START_S, SLOWEST_S = 60.0, 2.0  # limits: until the worker is ready, and per blog on average
WARM = 1 / 3  # of the blogs: pools, caches and the allocator fill up meanwhile
FULL = 0.9  # of the blogs: until then the slots are full


@dataclass(frozen=True, slots=True)
class Figure:
    """Megabytes of the worker's own process. The field names are the keys of the JSON output."""

    slots: int
    jobs: int
    started_mb: float  # at its first connection to the database: everything is imported
    ready_mb: float  # it has its lease
    running_mb: float | None  # median with full slots, after the warm-up; None: too few samples
    peak_mb: float
    idle_mb: float  # after all blogs
    growth_mb: float | None  # per 1,000 blogs, with full slots after the warm-up
    done: int
    twice: int


@dataclass(frozen=True, slots=True)
class Sample:
    done: int
    resident_mb: float


async def measure(*, jobs: int, slots: list[int], speed: float, progress: Callable[[str], None]) -> list[Figure]:
    """Measure a new worker for each number of slots. Raises TimeoutError."""
    figures = []
    async with server() as dsn:
        for count in slots:
            async with large_quotas(dsn, slots=count, speed=speed) as env:
                figures.append(await _run(env, jobs=jobs, slots=count))
            progress(f"{count} slots: {figures[-1].done} blogs are DONE")
    return figures


async def _run(env: Environment, *, jobs: int, slots: int) -> Figure:
    pid = (await env.fleet.start(NAME)).pid
    with fail_after(START_S):
        await _until(env, "bench/connections", lambda found: found["connections"] > 0)
        started_mb = resident_mb(pid)
        await _until(env, "bench/live_workers", lambda found: found["workers"] > 0)
        ready_mb = resident_mb(pid)
    await env.database.execute("bench/insert_round_robin", prefix="site", sites=SITES, jobs=jobs)
    samples: list[Sample] = []
    with fail_after(START_S + SLOWEST_S * jobs):
        while (state := await env.database.one("bench/pipeline_state"))["ended"] < jobs:
            require_running(env.fleet, [NAME])
            samples.append(Sample(state["done"], resident_mb(pid)))
            await sleep(SAMPLE_S)
    full = [sample for sample in samples if WARM * jobs <= sample.done <= FULL * jobs]
    return Figure(
        slots=slots,
        jobs=jobs,
        started_mb=started_mb,
        ready_mb=ready_mb,
        running_mb=median(sample.resident_mb for sample in full) if full else None,
        peak_mb=peak_mb(pid),
        idle_mb=resident_mb(pid),
        growth_mb=growth_mb(full),
        done=state["done"],
        twice=state["twice"],
    )


async def _until(env: Environment, statement: str, condition: Callable[[Row], bool]) -> None:
    while not condition(await env.database.one(statement)):
        require_running(env.fleet, [NAME])
        await sleep(START_POLL_S)


def growth_mb(samples: list[Sample]) -> float | None:
    """Return the growth per 1,000 blogs, by linear regression. None: there are too few samples."""
    try:
        slope = linear_regression([sample.done for sample in samples], [s.resident_mb for s in samples]).slope
    except StatisticsError:
        return None
    return 1_000 * slope
