"""Workers and a producer under load, one fault of Postgres, and what it has cost.

The producer adds jobs with idempotency keys. It repeats a job until the database has accepted it, and after the fault
it repeats all of them, as a producer with an outbox does.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from anyio import create_task_group, current_time, fail_after, sleep

from blogworker.bench.chaos.producers import Submissions
from blogworker.bench.chaos.worker_logs import WorkerLogs
from blogworker.bench.environment import Environment, environment
from blogworker.bench.environment.pair import running_pair
from blogworker.bench.failover.faults import PostgresFault, Target
from blogworker.db.pool import Database, Runner
from blogworker.db.retrying import DatabaseHealth, RetryingDatabase
from blogworker.providers.wix.drafts import mark_in
from blogworker.queue.enqueue import enqueue, enqueue_many
from blogworker.queue.validation import NewJob

SAMPLE_S, WINDOW_S = 0.1, 2.0
RECOVERED = 0.8  # fraction of the rate before the fault
SLOWEST_DRAFT_S = 40.0  # by the clock of the providers


@dataclass(frozen=True, slots=True)
class Plan:
    jobs: int = 60
    sites: int = 6
    workers: int = 2
    concurrency: int = 8
    speed: float = 25
    before_s: float = 2.0
    every_s: float = 0.2  # from one job of the producer to the next
    stalled_s: float = 60.0  # give up if no job has changed for so long


@dataclass(frozen=True, slots=True)
class Figure:
    fault: str
    accepted: int
    lost: int  # accepted jobs that the database did not have after the fault
    not_done: int  # jobs that are not DONE in the end, after the producer has repeated the lost ones
    published_twice: int
    drafts_twice: int
    losable: int  # jobs that were accepted since the fault began
    bought_twice: int  # paid calls that no checkpoint knows
    buyable_twice: int  # paid calls during the fault, and those that were in flight when it began
    attempts_used: int
    silent_s: float  # the longest time without a published post, from the fault on
    full_speed_s: float | None  # from the fault on; None: not before the jobs were used up
    restores: int  # how often workers logged that history was lost

    def kept(self, fault: PostgresFault) -> bool:
        """Whether nothing was lost or bought twice, or no more than what the fault covers if it loses history."""
        lost, bought = (self.losable, self.buyable_twice) if fault.loses else (0, 0)
        return self.lost <= lost and self.bought_twice <= bought and not (self.not_done or self.published_twice)


@dataclass
class Samples:
    """How many posts were published, by time."""

    published: list[tuple[float, int]] = field(default_factory=list)

    async def take(self, env: Environment) -> None:
        while True:
            stats = await env.simulator.stats()
            self.published.append((current_time(), int(stats["wix"]["posts_published"])))
            await sleep(SAMPLE_S)

    @property
    def first_at(self) -> float:
        """When the first post was published."""
        return next(at for at, count in self.published if count)

    def rate(self, since: float, until: float) -> float:
        return (self._count(until) - self._count(since)) / (until - since)

    def full_speed_s(self, began: float, ended: float, *, least: float) -> float | None:
        """Seconds from `began` to the first window after `ended` with this rate."""
        last = self.published[-1][0]
        starts = [at for at, _ in self.published if at >= ended and at + WINDOW_S <= last]
        return next((at - began for at in starts if self.rate(at, at + WINDOW_S) >= least), None)

    def silent_s(self, began: float) -> float:
        steps = pairwise(self.published)
        changes = [began, *(later for (_, old), (later, new) in steps if new > old and later > began)]
        return max((after - before for before, after in pairwise(changes)), default=0.0)

    def _count(self, at: float) -> int:
        return max((count for when, count in self.published if when <= at), default=0)


async def measure(fault: PostgresFault, plan: Plan, *, progress: Callable[[str], None]) -> Figure:
    """Run one fault. Raises TimeoutError if the jobs stop changing before all have ended."""
    settings = {
        "BLOGWORKER_CONCURRENCY": str(plan.concurrency),
        "BLOGWORKER_RETRY_BASE": "0.2",
        "BLOGWORKER_DRAIN_TIMEOUT": "0",
        "WIX_SLOWEST_DRAFT": str(SLOWEST_DRAFT_S / plan.speed),
    }
    async with running_pair() as pair, environment(pair.dsn, settings, speed=plan.speed) as env:
        if fault.prepare is not None:
            fault.prepare(pair)
        names = [f"failover/{n}" for n in range(plan.workers)]
        return await _run(fault, plan, Target(pair, env, names), progress)


async def _run(fault: PostgresFault, plan: Plan, target: Target, progress: Callable[[str], None]) -> Figure:
    env, samples = target.env, Samples()
    retrying = RetryingDatabase(env.database, DatabaseHealth())
    jobs = Jobs(retrying, plan)
    await jobs.add_initial(env.database)
    for name in target.workers:
        await env.fleet.start(name)
    async with create_task_group() as sampling:
        sampling.start_soon(samples.take, env)
        async with create_task_group() as producing:
            producing.start_soon(jobs.produce)
            await _until(env.database, lambda jobs: jobs["done"] >= plan.workers * plan.concurrency, plan.stalled_s)
            await sleep(plan.before_s)
            began = current_time()
            before = samples.rate(samples.first_at, began)
            progress(f"{fault.name}: {before:.1f} posts/s before")
            accepted, paid = len(jobs.accepted), _paid(await env.simulator.stats())
            await fault.inject(target)
            ended = current_time()
            paid_since = _paid(await env.simulator.stats()) - paid
            bounds = len(jobs.accepted) - accepted, paid_since + plan.workers * plan.concurrency
            producing.cancel_scope.cancel()
        lost = await jobs.repeat_all()
        await _until(retrying, lambda jobs: not jobs["open"], plan.stalled_s)
        sampling.cancel_scope.cancel()
    logs = WorkerLogs.read([env.fleet.log(name) for name in target.workers])
    times = samples.silent_s(began), samples.full_speed_s(began, ended, least=RECOVERED * before)
    return await _figure(fault, env, jobs.accepted, lost, bounds, times, logs)


async def _until(database: Runner, reached: Callable[[Mapping[str, Any]], bool], stalled_s: float) -> None:
    """Wait until the jobs are as wanted. Raises TimeoutError if none has changed for `stalled_s`."""
    before: tuple[int, ...] = ()
    with fail_after(stalled_s) as limit:
        while not reached(state := await database.one("bench/outage_state")):
            counts = tuple(state[key] for key in ("done", "failed", "open", "claims"))
            if counts != before:
                before, limit.deadline = counts, current_time() + stalled_s
            await sleep(SAMPLE_S)


def _paid(stats: Mapping[str, Any]) -> int:
    """The calls that the providers have charged."""
    return int(sum(model["calls"] for model in stats["openai"]["models"].values()) + stats["replicate"]["predictions"])


class Jobs:
    """The producer. `accepted`: the jobs that the database has accepted, by topic."""

    def __init__(self, database: Runner, plan: Plan) -> None:
        self._database = database
        self._plan = plan
        self._submissions = Submissions(plan.sites)
        self.accepted: dict[str, NewJob] = {}

    async def add_initial(self, database: Database) -> None:
        jobs = [self._next() for _ in range(self._plan.jobs)]
        await enqueue_many(database, jobs, counts=Counter(job.instance_id for job in jobs))
        self.accepted = {str(job.source_id): job for job in jobs}

    async def produce(self) -> None:
        """Add jobs one by one until cancelled."""
        while True:
            job = self._next()
            await enqueue(self._database, job)
            self.accepted[str(job.source_id)] = job
            await sleep(self._plan.every_s)

    async def repeat_all(self) -> int:
        """Add all jobs again. Return how many of them the database had lost."""
        return sum([(await enqueue(self._database, job)).created for job in list(self.accepted.values())])

    def _next(self) -> NewJob:
        sites = self._submissions.sites
        return self._submissions.job(sites[self._submissions.made % len(sites)])


async def _figure(
    fault: PostgresFault,
    env: Environment,
    jobs: dict[str, NewJob],
    lost: int,
    bounds: tuple[int, int],
    times: tuple[float, float | None],
    logs: WorkerLogs,
) -> Figure:
    rows = {row["topic"]: row for row in await env.database.rows("bench/failover_jobs")}
    stats, stored = await env.simulator.stats(), (await env.database.one("bench/failover_stored"))["calls"]
    marks = Counter(mark_in(post) for post in await env.simulator.posts())
    return Figure(
        fault=fault.name,
        accepted=len(jobs),
        lost=lost,
        losable=bounds[0],
        not_done=sum(topic not in rows or rows[topic]["status"] != "DONE" for topic in jobs),
        published_twice=max(marks.total() - len(marks), int(stats["wix"]["duplicate_posts"])),
        drafts_twice=int(stats["wix"]["duplicate_drafts"]),
        bought_twice=_paid(stats) - int(stored),
        buyable_twice=bounds[1],
        attempts_used=sum(row["failures"] for row in rows.values()),
        silent_s=round(times[0], 1),
        full_speed_s=None if times[1] is None else round(times[1], 1),
        restores=logs.events["restore_found"],
    )
