"""How a real fleet serves new sites beside old backlogs while the quota of the text model limits everything.

Real workers and simulated providers, with the limits of the seed. The busy sites have more jobs than the quota allows.
After a while the new sites are added at the same time, with one job each.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from anyio import create_task_group, move_on_after, sleep

from blogworker.bench.load import (
    Cluster,
    JobTimes,
    Sample,
    Scale,
    SlotSampler,
    job_times,
    longest_wait_s,
    running_cluster,
)
from blogworker.bench.load.cluster import Cpu, published_twice, refusals, used_tokens
from blogworker.bench.load.shares import Minute, minutes
from blogworker.bench.scratch import server
from blogworker.queue.enqueue import Enqueued, enqueue
from blogworker.queue.job import Stage
from blogworker.queue.validation import NewJob
from blogworker.section import load_section
from blogworker.settings import OpenAISettings

BUSY, NEW = "busy", "new"  # prefixes of the sites
TIMEOUT_S = 1_200.0  # for the jobs of the new sites, in seconds of the providers' clock
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    busy: int
    backlog: int  # jobs of each busy site
    new: int
    workers: Sequence[int]
    slots: int  # of each worker
    speed: float
    warm_s: float  # before the new sites are added; this and the next one in seconds of the providers' clock
    watch_s: float  # measured time after that
    wix_rpm: int
    idle: bool  # first measure the new sites alone


@dataclass(frozen=True, slots=True)
class Figure:
    """Seconds of the providers' clock. None: no measurement, or it did not happen in time.

    The field names are the keys of the JSON output.
    """

    workers: int
    idle_done_median_s: float | None  # new sites alone, from enqueue to DONE
    idle_done_longest_s: float | None
    new_claimed_median_s: float | None  # from enqueue to the first claim
    new_claimed_longest_s: float | None
    new_done_median_s: float | None
    new_done_longest_s: float | None
    claim_to_done_median_s: float | None  # of all jobs that became DONE in the measured time
    jain_tokens_least: float | None  # of the minutes in which several sites had waiting jobs all the time
    jain_tokens_median: float | None
    jain_started_least: float | None
    jain_started_median: float | None
    jain_minutes: int
    busy_share_most: float | None  # of all slots, in use by one busy site after the new sites were added
    slots_by_stage: dict[str, float]  # fraction of all slots, on average over the measured time
    quota_wait_longest_s: float | None  # in a slot
    refused: dict[str, int]  # 429 answers in the whole run, by provider
    content_tokens_percent: float  # of the quota, in the measured time
    blogs_per_minute: float  # jobs DONE in the measured time
    attempts_mean: float  # of jobs DONE
    attempts_most: int
    done: int
    failed: int
    published_twice: int
    said_median_s: float | None  # expected wait until the first claim, by the answer of `enqueue`
    said_to_came: float | None  # expected wait / real wait, median
    cores_used: float  # in the measured time, by workers, simulator and Postgres
    cores_busy: float  # by all processes; near the number of cores, the machine limits the run


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment, by the database's clock and the simulator's counters."""

    at_s: float
    stats: dict[str, Any]
    cpu: Cpu


@dataclass(frozen=True, slots=True)
class RunData:
    """The records of one run."""

    jobs: Sequence[JobTimes]
    minutes: Sequence[Minute]
    samples: Sequence[Sample]
    begin: Snapshot  # when the new sites were added
    end: Snapshot
    stats: dict[str, Any]
    answers: Sequence[Enqueued]
    longest_wait_s: float | None
    published_twice: int

    @property
    def new(self) -> list[JobTimes]:
        return [job for job in self.jobs if job.instance_id.startswith(f"{NEW}-")]

    @property
    def done(self) -> list[JobTimes]:
        return [job for job in self.jobs if job.done_s is not None]


async def measure(plan: Plan, *, progress: Callable[[str], None]) -> list[Figure]:
    """Return a figure for each number of workers."""
    figures = []
    async with server() as dsn:
        for workers in plan.workers:
            scale = Scale(workers, plan.slots, plan.speed, plan.wix_rpm)
            alone = await _alone(plan, dsn, scale) if plan.idle else []
            progress(f"{workers} workers: {plan.busy} busy sites with {plan.backlog} jobs each")
            figures.append(_figure(scale, await _run(plan, dsn, scale), alone))
            progress(f"{workers} workers: {figures[-1].done} jobs done")
    return figures


async def _alone(plan: Plan, dsn: str, scale: Scale) -> list[float]:
    """Return the time of each new site from enqueue to DONE on an idle fleet, in seconds of the providers' clock."""
    async with running_cluster(dsn, scale) as cluster:
        await cluster.start()
        await _add_new_sites(plan, cluster)
        await _wait_for_new_sites(cluster)
        jobs = await job_times(cluster.database)
    return [scale.speed * (job.done_s - job.enqueued_s) for job in jobs if job.done_s is not None]


async def _run(plan: Plan, dsn: str, scale: Scale) -> RunData:
    async with running_cluster(dsn, scale) as cluster:
        jobs = plan.busy * plan.backlog
        await cluster.database.execute("bench/insert_round_robin", prefix=BUSY, sites=plan.busy, jobs=jobs)
        sampler = SlotSampler(cluster.database)
        async with create_task_group() as background:
            background.start_soon(sampler.run)
            await cluster.start()
            await sleep(plan.warm_s / scale.speed)
            begin = await _snapshot(cluster)
            answers = await _add_new_sites(plan, cluster)
            await sleep(plan.watch_s / scale.speed)
            end = await _snapshot(cluster)
            await _wait_for_new_sites(cluster)
            background.cancel_scope.cancel()
        cluster.require_running()
        await cluster.fleet.stop()
        times = await job_times(cluster.database)
        tokens = await cluster.database.rows("bench/history_tokens")
        return RunData(
            jobs=times,
            minutes=minutes(times, tokens, sampler.samples, until_s=end.at_s, minute_s=scale.minute_s),
            samples=sampler.samples,
            begin=begin,
            end=end,
            stats=await cluster.simulator.stats(),
            answers=answers,
            longest_wait_s=longest_wait_s(cluster.logs),
            published_twice=published_twice(await cluster.simulator.posts()),
        )


async def _snapshot(cluster: Cluster) -> Snapshot:
    row = await cluster.database.one("bench/open_jobs", prefix="")
    return Snapshot(row["now_s"], await cluster.simulator.stats(), await cluster.cpu())


async def _add_new_sites(plan: Plan, cluster: Cluster) -> list[Enqueued]:
    """Enqueue one job for each new site, all at the same time."""
    answers: list[Enqueued] = []

    async def add(site: str) -> None:
        answers.append(await enqueue(cluster.database, NewJob(site, "keyword", f"{site} subject", {})))

    async with create_task_group() as producers:
        for n in range(plan.new):
            producers.start_soon(add, f"{NEW}-{n}")
    return answers


async def _wait_for_new_sites(cluster: Cluster) -> None:
    """Wait until all jobs of new sites have ended, or the time limit is over."""
    with move_on_after(TIMEOUT_S / cluster.scale.speed):
        while (await cluster.database.one("bench/open_jobs", prefix=f"{NEW}-"))["open"]:
            await sleep(POLL_S)


def _figure(scale: Scale, data: RunData, alone: Sequence[float]) -> Figure:
    speed, begin, end = scale.speed, data.begin, data.end
    claimed = [None if job.claimed_s is None else speed * (job.claimed_s - job.enqueued_s) for job in data.new]
    done = [None if job.done_s is None else speed * (job.done_s - job.enqueued_s) for job in data.new]
    measured = [job for job in data.done if begin.at_s <= (job.done_s or 0) < end.at_s]
    took = [speed * (job.done_s - job.claimed_s) for job in measured if job.done_s and job.claimed_s]
    waits, cpu, measured_s = _waits(data, speed), end.cpu.since(begin.cpu), end.at_s - begin.at_s
    tokens, started = [minute.tokens for minute in data.minutes], [minute.started for minute in data.minutes]
    return Figure(
        workers=scale.workers,
        idle_done_median_s=_median(alone),
        idle_done_longest_s=_longest(alone),
        new_claimed_median_s=_median(claimed),
        new_claimed_longest_s=_longest(claimed),
        new_done_median_s=_median(done),
        new_done_longest_s=_longest(done),
        claim_to_done_median_s=_median(took),
        jain_tokens_least=min(tokens, default=None),
        jain_tokens_median=_median(tokens),
        jain_started_least=min(started, default=None),
        jain_started_median=_median(started),
        jain_minutes=len(data.minutes),
        busy_share_most=_busy_share(data, scale),
        slots_by_stage=_slots_by_stage(data, scale),
        quota_wait_longest_s=None if data.longest_wait_s is None else speed * data.longest_wait_s,
        refused=refusals(data.stats),
        content_tokens_percent=_quota_percent(begin, end),
        blogs_per_minute=len(measured) / (measured_s / scale.minute_s),
        attempts_mean=mean([job.attempts for job in data.done] or [0]),
        attempts_most=max([job.attempts for job in data.done], default=0),
        done=len(data.done),
        failed=sum(job.status == "FAILED" for job in data.jobs),
        published_twice=data.published_twice,
        said_median_s=_median([expected for expected, _ in waits]),
        said_to_came=_median([expected / real for expected, real in waits]),
        cores_used=cpu.total / measured_s,
        cores_busy=cpu.machine / measured_s,
    )


def _waits(data: RunData, speed: float) -> list[tuple[float, float]]:
    """Return the wait that `enqueue` expected and the real one, for each new site."""
    jobs = {job.job_id: job for job in data.jobs}
    return [
        (speed * (answer.expected_start.timestamp() - job.enqueued_s), speed * (job.claimed_s - job.enqueued_s))
        for answer in data.answers
        if answer.expected_start is not None and (job := jobs[answer.job_id]).claimed_s is not None
    ]


def _busy_share(data: RunData, scale: Scale) -> float | None:
    """Return the largest fraction of all slots that one busy site had in a sample."""
    samples = [sample for sample in data.samples if sample.at_s >= data.begin.at_s]
    running = [n for sample in samples for site, n in sample.running.items() if site.startswith(f"{BUSY}-")]
    return max(running) / (scale.workers * scale.slots) if running else None


def _slots_by_stage(data: RunData, scale: Scale) -> dict[str, float]:
    samples = [sample for sample in data.samples if data.begin.at_s <= sample.at_s < data.end.at_s]
    running: Counter[str] = Counter()
    for sample in samples:
        running.update(sample.stages)
    slots = len(samples) * scale.workers * scale.slots
    return {stage.value: round(running[stage] / slots, 3) for stage in Stage if samples}


def _quota_percent(begin: Snapshot, end: Snapshot) -> float:
    """By the simulator's clock and its own counters."""
    model = load_section(OpenAISettings).content_model
    used = used_tokens(end.stats, model) - used_tokens(begin.stats, model)
    minutes_passed = (end.stats["uptime_s"] - begin.stats["uptime_s"]) / 60
    return 100 * float(used / (end.stats["openai"]["limit_tokens_per_minute"] * minutes_passed))


def _median(values: Sequence[float | None]) -> float | None:
    """Return None if so many values are None that the median is unknown."""
    ordered = sorted(values, key=lambda value: float("inf") if value is None else value)
    middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
    return median(value for value in middle if value is not None) if middle and None not in middle else None


def _longest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None) if None not in values else None
