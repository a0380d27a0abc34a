"""Throughput of many jobs of many sites, compared with the time that their tokens and requests need at the limits.

The simulator counts the tokens and requests that were really used. No run can be faster than the limits allow.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anyio import create_task_group, move_on_after, sleep
from pydantic import TypeAdapter

from blogworker.bench.environment.fleet import Command, worker
from blogworker.bench.http import Burst, post_jobs
from blogworker.bench.load import Cluster, JobTimes, Scale, SlotSampler, job_times, running_cluster
from blogworker.bench.load.cluster import Cpu, published_twice, refusals, used_tokens
from blogworker.bench.quota.caller_config import OURS, SEED
from blogworker.bench.scratch import server
from blogworker.bench.seed_worker import SeedWorkerConfig
from blogworker.db.pool import Row
from blogworker.queue.enqueue import enqueue
from blogworker.queue.validation import NewJob

POLL_S = 0.5
PROGRESS_S = 20.0  # real seconds
FORECAST_S = 2.0
LATE_JOBS, LATE_AFTER = 20, 0.2  # enqueued when this fraction of the other jobs has started
SLOWEST_PER_MINUTE = 10  # jobs, on the providers' clock; a slower run is stopped
MIN_TIMEOUT_MIN = 20
SLOWEST_PER_S = 3  # jobs, in real time: at a high speed the machine is the limit


@dataclass(frozen=True, slots=True)
class Plan:
    jobs: int
    sites: int
    workers: int
    slots: int  # of each worker
    speed: float
    seed: bool  # also measure the seed's worker
    http: bool = False  # the jobs of our fleet are simultaneous POSTs


@dataclass(frozen=True, slots=True)
class Figure:
    """Minutes of the providers' clock. The field names are the keys of the JSON output."""

    fleet: str
    accepted: int  # jobs: by POST, those that were answered 202
    refused_posts: int  # 503
    dropped_posts: int  # no answer, or another one
    posting_s: float | None  # real seconds until the last answer; None: without HTTP
    took_min: float | None  # from the first claim to the last DONE
    needed_min: float  # for the real usage at the limits: the largest value of the next two
    tokens_min: dict[str, float]  # by model
    requests_min: dict[str, float]
    ratio_percent: float | None  # needed_min / took_min
    refused: dict[str, int]  # 429 answers by provider
    done: int
    failed: int
    left: int  # neither, when the run was stopped
    posts: int
    posts_too_many: int  # more than jobs DONE
    published_twice: int
    slots_most: int  # in use at once
    said_to_came_least: float | None  # forecast of the queue / real wait, between the first 10 % and the last 25 % of
    said_to_came_most: float | None  # the run
    start_said_to_came_least: float | None  # the same for the expected start that `enqueue` returned for late jobs
    start_said_to_came_most: float | None
    worker_cpu_ms: float  # this and the next two: per job DONE
    simulator_cpu_ms: float
    postgres_cpu_ms: float
    cores_used: float | None  # on average, by all of them
    cores_busy: float | None  # by all processes; near the number of cores, the machine limits the run


@dataclass(frozen=True, slots=True)
class RunData:
    """The records of one run."""

    burst: Burst | None
    jobs: Sequence[JobTimes]
    stats: dict[str, Any]
    posts: Sequence[dict[str, Any]]
    cpu: Cpu
    most_running: int
    forecasts: Sequence[Row]
    expected_starts: Mapping[int, float]  # of late jobs, by id

    @property
    def claims(self) -> list[float]:
        return [job.claimed_s for job in self.jobs if job.claimed_s is not None]

    @property
    def ends(self) -> list[float]:
        return [job.done_s for job in self.jobs if job.done_s is not None]


async def measure(plan: Plan, *, progress: Callable[[str], None]) -> list[Figure]:
    """Measure our fleet, and the seed's worker if `plan.seed`, each with a new database and a new simulator."""
    async with server() as dsn:
        runs = {fleet: await _run(plan, dsn, fleet, progress) for fleet in ((OURS, SEED) if plan.seed else (OURS,))}
    return [_figure(fleet, plan, data) for fleet, data in runs.items()]


async def _run(plan: Plan, dsn: str, fleet: str, progress: Callable[[str], None]) -> RunData:
    scale = Scale(plan.workers, plan.slots, plan.speed)
    forecasts, expected_starts = list[Row](), dict[int, float]()
    async with running_cluster(dsn, scale, command=worker if fleet == OURS else _seed_command(plan.speed)) as cluster:
        database = cluster.database
        burst = None
        if plan.http and fleet == OURS:
            burst = await post_jobs(database, plan.jobs, plan.sites)
        else:
            await database.execute("bench/insert_round_robin", prefix="site", sites=plan.sites, jobs=plan.jobs)
        sampler = SlotSampler(database)
        async with create_task_group() as background:
            background.start_soon(sampler.run)
            await cluster.start()
            before = await cluster.cpu()
            background.start_soon(_report_progress, cluster, fleet, plan.jobs, progress)
            background.start_soon(_forecast, cluster, forecasts)
            background.start_soon(_enqueue_late, cluster, plan, expected_starts)
            limit_s = 60 / plan.speed * (MIN_TIMEOUT_MIN + plan.jobs / SLOWEST_PER_MINUTE)
            with move_on_after(max(limit_s, plan.jobs / SLOWEST_PER_S)):
                while (await database.one("bench/open_jobs", prefix=""))["open"]:
                    cluster.require_running()
                    await sleep(POLL_S)
            background.cancel_scope.cancel()
        cpu = (await cluster.cpu()).since(before)
        await cluster.fleet.stop()
        stats, posts = await cluster.simulator.stats(), await cluster.simulator.posts()
        jobs = await job_times(database)
    return RunData(burst, jobs, stats, posts, cpu, sampler.most_running, forecasts, expected_starts)


def _seed_command(speed: float) -> Command:
    def command(name: str) -> Sequence[str]:
        config = TypeAdapter(SeedWorkerConfig).dump_json(SeedWorkerConfig(name, speed)).decode()
        return [sys.executable, "-m", "blogworker.bench.seed_worker", config]

    return command


async def _forecast(cluster: Cluster, forecasts: list[Row]) -> None:
    while True:
        forecasts.append(await cluster.database.one("bench/forecast"))
        await sleep(FORECAST_S)


async def _enqueue_late(cluster: Cluster, plan: Plan, expected_starts: dict[int, float]) -> None:
    """Enqueue one more job for some sites during the run, and record its expected start."""
    while (await cluster.database.one("bench/open_jobs", prefix=""))["started"] < LATE_AFTER * plan.jobs:
        await sleep(POLL_S)
    for n in range(min(LATE_JOBS, plan.sites)):
        job = NewJob(f"site-{n}", "keyword", None, {"keyword": f"a late subject {n}"})
        answer = await enqueue(cluster.database, job)
        if answer.expected_start is not None:
            expected_starts[answer.job_id] = answer.expected_start.timestamp()


async def _report_progress(cluster: Cluster, fleet: str, jobs: int, progress: Callable[[str], None]) -> None:
    while True:
        await sleep(PROGRESS_S)
        left = (await cluster.database.one("bench/open_jobs", prefix=""))["open"]
        progress(f"{fleet}: {left} of {jobs} jobs are left")


def _figure(fleet: str, plan: Plan, data: RunData) -> Figure:
    forecasts, starts, ends = _forecast_ratios(data), _start_ratios(data), data.ends
    took_s = max(ends) - min(data.claims) if ends else None
    took_min = plan.speed * took_s / 60 if took_s else None
    openai, done = data.stats["openai"], max(1, len(ends))
    tokens, calls = openai["limit_tokens_per_minute"] / plan.speed, openai["limit_requests_per_minute"] / plan.speed
    tokens_min = {model: used_tokens(data.stats, model) / tokens for model in openai["models"]}
    requests_min = {model: counts["calls"] / calls for model, counts in openai["models"].items()}
    needed_min = max([*tokens_min.values(), *requests_min.values()], default=0.0)
    failed = sum(job.status == "FAILED" for job in data.jobs)
    return Figure(
        fleet=fleet,
        accepted=data.burst.accepted if data.burst else plan.jobs,
        refused_posts=data.burst.refused if data.burst else 0,
        dropped_posts=data.burst.dropped if data.burst else 0,
        posting_s=data.burst.seconds if data.burst else None,
        took_min=took_min,
        needed_min=needed_min,
        tokens_min=tokens_min,
        requests_min=requests_min,
        ratio_percent=100 * needed_min / took_min if took_min else None,
        refused=refusals(data.stats),
        done=len(ends),
        failed=failed,
        left=len(data.jobs) - len(ends) - failed,
        posts=len(data.posts),
        posts_too_many=len(data.posts) - len(ends),
        published_twice=published_twice(data.posts),
        slots_most=data.most_running,
        said_to_came_least=min(forecasts, default=None),
        said_to_came_most=max(forecasts, default=None),
        start_said_to_came_least=min(starts, default=None),
        start_said_to_came_most=max(starts, default=None),
        worker_cpu_ms=1_000 * data.cpu.workers / done,
        simulator_cpu_ms=1_000 * data.cpu.simulator / done,
        postgres_cpu_ms=1_000 * data.cpu.postgres / done,
        cores_used=data.cpu.total / took_s if took_s else None,
        cores_busy=data.cpu.machine / took_s if took_s else None,
    )


def _forecast_ratios(data: RunData) -> list[float]:
    """Return each forecast of the middle of the run, divided by the time until the last job really started."""
    if not (claims := data.claims):
        return []
    first, last = min(claims), max(claims)
    middle = [row for row in data.forecasts if 0.1 < (row["now_s"] - first) / max(last - first, 1e-9) < 0.75]
    return [row["forecast_s"] / (last - row["now_s"]) for row in middle]


def _start_ratios(data: RunData) -> list[float]:
    """Return the expected wait of each late job, divided by its real wait."""
    expected = data.expected_starts
    return [
        (expected[job.job_id] - job.enqueued_s) / (job.claimed_s - job.enqueued_s)
        for job in data.jobs
        if job.job_id in expected and job.claimed_s is not None
    ]
