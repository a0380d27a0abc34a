"""Jobs that only wait, as for a provider: how many slots a worker keeps full, and the CPU time that this costs."""

from dataclasses import dataclass

from blogworker.bench.claim import Backlog, load
from blogworker.bench.idle_fleet import run_idle_fleet
from blogworker.bench.idle_worker import JOB_S, WAIT
from blogworker.bench.scratch import database, server

SITES = 50


@dataclass(frozen=True, slots=True)
class Figure:
    """The field names are the keys of the JSON output."""

    slots: int
    jobs: int
    jobs_per_s: float  # from the start of the first job to the end of the last
    ideal_per_s: float  # if no slot was ever empty
    percent: float
    worker_cpu_s_per_1000: float
    postgres_cpu_s_per_1000: float
    claimed_twice: int
    unfinished: int


async def measure(*, jobs: int, slots: int) -> Figure:
    async with server() as dsn, database(dsn) as opened:
        await load(opened, Backlog(jobs, SITES))
        run = await run_idle_fleet(opened, workers=1, concurrency=slots, pipeline=WAIT)
    per_s, ideal_per_s = jobs / run.busy_s, slots / JOB_S
    return Figure(
        slots=slots,
        jobs=jobs,
        jobs_per_s=per_s,
        ideal_per_s=ideal_per_s,
        percent=100 * per_s / ideal_per_s,
        worker_cpu_s_per_1000=1_000 * run.worker_cpu_s / jobs,
        postgres_cpu_s_per_1000=1_000 * run.postgres_cpu_s / jobs,
        claimed_twice=run.twice,
        unfinished=run.unfinished,
    )
