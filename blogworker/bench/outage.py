"""What an outage of a provider costs: attempts, failed jobs, and the time from its end to the normal rate.

Real workers and simulated providers. Times are by the database's clock, and rates are jobs DONE per second.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from anyio import fail_after, sleep

from blogworker.bench.chaos.worker_logs import WorkerLogs
from blogworker.bench.environment import Environment, environment
from blogworker.bench.scratch import server
from blogworker.db.pool import Row
from blogworker.errors import BlogworkerError

POLL_S = 0.2
WARM_UP_TIMEOUT_S = 120.0
WINDOW_S = 5.0  # over which a rate is measured
STEP_S = 0.25
RECOVERED = 0.9  # fraction of the rate before the outage


@dataclass(frozen=True, slots=True)
class Plan:
    provider: str
    outage_s: float
    before_s: float
    after_s: float
    workers: int
    concurrency: int
    sites: int
    jobs: int
    speed: float


@dataclass(frozen=True, slots=True)
class Figure:
    before_per_s: float
    during_per_s: float
    after_per_s: float
    recovered_after_s: float | None  # None: not in the measured time
    attempts_used: int
    failed: int
    claims_during: int
    calls_refused: int  # by the provider, because of the outage
    opened: int  # breakers, by the logs of all workers
    closed: int


async def measure(plan: Plan, *, progress: Callable[[str], None]) -> Figure:
    """Warm up, then measure before, during and after the outage.

    Raises TimeoutError if the warm-up takes too long, and BlogworkerError if too few jobs are left at the end.
    """
    settings = {"BLOGWORKER_CONCURRENCY": str(plan.concurrency), "BLOGWORKER_DRAIN_TIMEOUT": "0"}
    async with server() as dsn, environment(dsn, settings, speed=plan.speed) as env:
        for n in range(plan.sites):
            await env.database.execute("bench/insert_jobs", instance_id=f"site{n}", jobs=plan.jobs // plan.sites)
        names = [f"outage/{n}" for n in range(plan.workers)]
        for name in names:
            await env.fleet.start(name)
        snapshots = await _run(plan, env, progress)
        await env.fleet.stop()
        done = [row["done_s"] for row in await env.database.rows("bench/outage_done")]
        logs = WorkerLogs.read([env.fleet.log(name) for name in names])
    return _figure(plan, snapshots, done, logs)


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The queue at the start of each phase, and at the end of the last one."""

    before: Row
    outage: Row
    after: Row
    end: Row
    calls_refused: int


async def _run(plan: Plan, env: Environment, progress: Callable[[str], None]) -> Snapshots:
    slots = plan.workers * plan.concurrency
    progress(f"warming up until {2 * slots} of {plan.jobs} jobs are done")
    with fail_after(WARM_UP_TIMEOUT_S):
        while (before := await env.database.one("bench/outage_state"))["done"] < 2 * slots:
            await sleep(POLL_S)
    await sleep(plan.before_s)
    await env.simulator.set_faults([{"kind": "status", "vendor": plan.provider, "status": 503}])
    outage = await env.database.one("bench/outage_state")
    progress(f"{plan.provider} answers only 503 for {plan.outage_s:g} s")
    await sleep(plan.outage_s)
    refused = (await env.simulator.stats())["faults_hit"].get(f"{plan.provider}.status", 0)
    await env.simulator.clear_faults()
    after = await env.database.one("bench/outage_state")
    progress(f"{plan.provider} works again")
    await sleep(plan.after_s)
    end = await env.database.one("bench/outage_state")
    if end["open"] < slots:
        raise BlogworkerError(f"{plan.jobs} jobs were too few: only {end['open']} are left; use a larger --jobs")
    return Snapshots(before, outage, after, end, refused)


def _figure(plan: Plan, snapshots: Snapshots, done: Sequence[float], logs: WorkerLogs) -> Figure:
    phases = (snapshots.before, snapshots.outage, snapshots.after, snapshots.end)
    before, outage, after, end = (snapshot["now_s"] for snapshot in phases)
    rate = _rate(done, before, outage)
    starts = (after + STEP_S * n for n in range(int((plan.after_s - WINDOW_S) / STEP_S)))
    recovered = (start - after for start in starts if _rate(done, start, start + WINDOW_S) >= RECOVERED * rate)
    recovered_after_s = next(recovered, None)
    return Figure(
        before_per_s=rate,
        during_per_s=_rate(done, outage, after),
        after_per_s=_rate(done, after + (recovered_after_s or 0), end),
        recovered_after_s=recovered_after_s,
        attempts_used=int(snapshots.end["attempts_used"]),
        failed=snapshots.end["failed"],
        claims_during=int(snapshots.after["claims"] - snapshots.outage["claims"]),
        calls_refused=snapshots.calls_refused,
        opened=logs.events["breaker_opened"],
        closed=logs.events["breaker_closed"],
    )


def _rate(done: Sequence[float], since: float, until: float) -> float:
    return (bisect_left(done, until) - bisect_left(done, since)) / max(until - since, STEP_S)
