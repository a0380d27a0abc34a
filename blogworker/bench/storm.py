"""Workers that are killed with SIGKILL again and again, and a job that kills every worker that runs it.

Each worker is restarted at once under its name, as systemd does. No job is retried by hand.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from anyio import create_task_group, current_time, move_on_after, sleep

from blogworker.bench.chaos import promises
from blogworker.bench.chaos.audit import Verdict, worker_facts
from blogworker.bench.chaos.evidence import ANSWER_HISTORY, JOB_HISTORY, Evidence, Report, collect, record
from blogworker.bench.chaos.experiment import WORKER_SETTINGS, report_progress
from blogworker.bench.chaos.injector import Injected
from blogworker.bench.chaos.kills import kill
from blogworker.bench.chaos.plan import Kind, worker_names
from blogworker.bench.chaos.poison import SITE as POISONED
from blogworker.bench.chaos.producers import Submissions, enqueue_evenly
from blogworker.bench.chaos.promises import Promise
from blogworker.bench.chaos.worker_logs import WorkerLogs
from blogworker.bench.environment import environment
from blogworker.bench.environment.fleet import Fleet
from blogworker.bench.environment.simulator import Simulator
from blogworker.bench.scratch import server
from blogworker.db.pool import Database

POLL_S, OWNER_POLL_S = 0.25, 0.02
KILL_DELAY_S = 0.1  # from the moment when a worker is seen to run the killer job until it is killed
KILLER = "the job that kills its worker"  # its topic
KILLER_SPEED = 10.0  # the highest speed of the providers' clock: the job must not finish a stage before the kill
MAX_KILLS = 20  # by the killer job


@dataclass(frozen=True, slots=True)
class Plan:
    jobs: int
    sites: int
    workers: int = 3
    concurrency: int = 10
    speed: float = 25
    every_s: float = 2.0  # from one kill to the next
    kills_for_s: float | None = None  # None: until all jobs have ended
    timeout_s: float = 240.0
    seed: int = 1

    @property
    def names(self) -> list[str]:
        return worker_names(self.workers)


@dataclass(frozen=True, slots=True)
class Cluster:
    database: Database
    simulator: Simulator
    fleet: Fleet
    submissions: Submissions
    injected: Injected = field(default_factory=Injected)


async def kill_workers(plan: Plan, *, progress: Callable[[str], None]) -> Verdict:
    """Kill a worker every few seconds until all jobs have ended."""
    async with _cluster(plan) as cluster:
        facts, found = await _run(plan, cluster, _kill_oldest, progress)
        longest = await cluster.database.one("bench/storm_longest")
        facts = {"workers killed": cluster.fleet.killed, **facts}
        facts |= {"longest from a blog's first claim to its end, s": round(longest["job_s"], 1)}
        facts |= {"most attempts at one blog": longest["attempts"]}
        return Verdict(tuple(_promises(found)), facts)


async def run_killer_job(plan: Plan, *, progress: Callable[[str], None]) -> Verdict:
    """Kill every process that runs one particular job, soon after its claim, until that job has ended."""
    async with _cluster(plan) as cluster:
        await cluster.database.execute("bench/chaos_insert", instance_id=f"{POISONED}culprit", topic=KILLER)
        facts, found = await _run(plan, cluster, _kill_owners, progress)
        facts = {"processes killed by it": cluster.injected.faults[Kind.KILL], **facts}
        return Verdict((_killer_failed(found), *_promises(found)), facts)


Kills = Callable[[Plan, Cluster], Coroutine[Any, Any, None]]  # kills processes until cancelled


@asynccontextmanager
async def _cluster(plan: Plan) -> AsyncIterator[Cluster]:
    settings = {**WORKER_SETTINGS, "BLOGWORKER_CONCURRENCY": str(plan.concurrency)}
    async with server() as dsn, environment(dsn, settings, speed=plan.speed, seed=plan.seed) as env:
        await record(env.database, JOB_HISTORY, ANSWER_HISTORY)
        submissions = Submissions(plan.sites)
        await enqueue_evenly(env.database, submissions, per_site=max(1, round(plan.jobs / plan.sites)))
        yield Cluster(env.database, env.simulator, env.fleet, submissions)


async def _run(
    plan: Plan,
    cluster: Cluster,
    kills: Kills,
    progress: Callable[[str], None],
) -> tuple[dict[str, int | float], Evidence]:
    started, fleet = current_time(), cluster.fleet
    async with fleet.supervised(plan.names), create_task_group() as tasks:
        tasks.start_soon(kills, plan, cluster)
        tasks.start_soon(report_progress, cluster.database, progress)
        with move_on_after(plan.timeout_s):
            while (await cluster.database.one("bench/chaos_state"))["open"]:
                await sleep(POLL_S)
        tasks.cancel_scope.cancel()
    took_s = current_time() - started
    logs = WorkerLogs.read([fleet.log(name) for name in plan.names])
    report = Report(cluster.submissions, cluster.injected, fleet.exits, fleet.killed, logs)
    found = await collect(cluster.database, cluster.simulator, report)
    return {"seconds": round(took_s, 1), **worker_facts(found)}, found


async def _kill_oldest(plan: Plan, cluster: Cluster) -> None:
    """Kill the worker that has had its lease longest, but never the only one."""
    with move_on_after(plan.kills_for_s):
        while True:
            await sleep(plan.every_s)
            rows = await cluster.database.rows("bench/storm_workers")
            names = [row["name"] for row in rows if cluster.fleet.pid(row["name"]) == row["pid"]]
            if len(names) > 1:
                cluster.injected.kills += await kill(cluster.fleet, cluster.database, names[0]) or []


async def _kill_owners(_plan: Plan, cluster: Cluster) -> None:
    last, faults = None, cluster.injected.faults
    while faults[Kind.KILL] < MAX_KILLS:
        await sleep(OWNER_POLL_S)
        owner = await cluster.database.maybe("bench/storm_owner", topic=KILLER)
        if owner in (None, last):
            continue
        await sleep(KILL_DELAY_S)
        if await cluster.database.maybe("bench/storm_owner", topic=KILLER) == owner:
            faults[Kind.KILL] += cluster.fleet.kill_pid(owner["pid"])
            last = owner  # the dead worker owns the job until it is rescued


def _promises(found: Evidence) -> Iterable[Promise]:
    yield promises.done_once(found)
    yield _none_failed(found)
    yield promises.published_once(found)
    yield promises.paid_once(found)
    yield promises.spend_recorded_once(found)
    yield promises.workers_end_only_when_signalled(found)


def _none_failed(found: Evidence) -> Promise:
    failed = [end for end in found.ordinary_ends if end["new_status"] == "FAILED"]
    shown = ", ".join(f"{end['job_id']}: {end['error']}" for end in failed[: promises.SHOWN])
    return Promise("no job needs a manual retry", not failed, f"{len(failed)} FAILED {shown}".strip())


def _killer_failed(found: Evidence) -> Promise:
    job = next(job for job in found.poisoned if job["topic"] == KILLER)
    kept = job["status"] == "FAILED" and "worker" in (job["error"] or "")
    evidence = f"{job['status']} after {found.report.injected.faults[Kind.KILL]} kills: {job['error']}"
    return Promise("the job that kills its workers ends FAILED and says so", kept, evidence)
