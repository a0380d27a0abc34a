"""What the guarantees cost: whole blogs on the simulator, with our worker and with a bare one.

The bare worker makes the same calls with the same clients (`bare_worker.py`). The quotas are so large that no call
waits for one.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from blogworker.bench.environment.fleet import worker
from blogworker.bench.load.cluster import published_twice
from blogworker.bench.load.large_quotas import large_quotas, require_running
from blogworker.bench.load.metering import Meter, Usage
from blogworker.bench.scratch import server

LEAST = 1e-6  # of what a ratio is taken; less was too little to measure
OURS, BARE, RATIO = "ours", "bare", "ours / bare"
STATES = {OURS: "bench/pipeline_state", BARE: "bench/bare_state"}
SITES = 20
SLOWEST_S = 2.0  # per blog on average; a slower run is stopped
START_S = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    jobs: int
    workers: int
    slots: int  # of each worker
    speed: float
    by_stage: str | None = None  # slots of our worker


@dataclass(frozen=True, slots=True)
class Figure:
    """The field names are the keys of the JSON output. CPU, statements and calls are per blog. None: no ratio."""

    worker: str
    done: float
    blogs_per_s: float | None
    worker_cpu_ms: float | None
    postgres_cpu_ms: float | None
    statements: float | None
    calls: float | None  # to the providers, over the whole run
    connections: float | None  # the most at once, of all workers
    peak_mb: float | None  # of the largest worker process
    twice: float | None  # claimed or ended more than once
    posts: float | None  # at the provider
    published_twice: float | None


async def measure(plan: Plan, *, progress: Callable[[str], None]) -> list[Figure]:
    """Measure our worker and the bare one, each with a new database and a new simulator. The third figure is their
    ratio."""
    async with server() as dsn:
        figures = []
        for kind in (BARE, OURS):
            figures.append(await _run(plan, dsn, kind))
            progress(f"{kind}: {figures[-1].done} blogs are DONE")
    bare, ours = figures
    return [ours, bare, _ratio(ours, bare)]


async def _run(plan: Plan, dsn: str, kind: str) -> Figure:
    command = worker if kind == OURS else _bare_command
    by_stage = {"BLOGWORKER_SLOTS": plan.by_stage} if plan.by_stage and kind == OURS else {}
    async with large_quotas(dsn, slots=plan.slots, speed=plan.speed, command=command, more=by_stage) as env:
        await env.database.execute("bench/add_statistics")
        await env.database.execute("bench/insert_round_robin", prefix="site", sites=SITES, jobs=plan.jobs)
        if kind == BARE:
            for statement in ("bench/bare_table", "bench/bare_fill", "bench/bare_index"):
                await env.database.execute(statement)
        names = [f"{kind}/{n}" for n in range(plan.workers)]
        pids = [(await env.fleet.start(name)).pid for name in names]
        meter = Meter(env.database, STATES[kind], pids, require_running=lambda: require_running(env.fleet, names))
        usage = await meter.measure(plan.jobs, within_s=START_S + SLOWEST_S * plan.jobs)
        stats, posts = await env.simulator.stats(), await env.simulator.posts()
    calls = sum(counts["requests"] for counts in stats["vendors"].values())
    return _figure(kind, usage, calls / plan.jobs, posts)


def _bare_command(name: str) -> Sequence[str]:
    return [sys.executable, "-m", "blogworker.bench.bare_worker"]


def _figure(kind: str, usage: Usage, calls: float, posts: Sequence[dict[str, Any]]) -> Figure:
    return Figure(
        worker=kind,
        done=usage.done,
        blogs_per_s=usage.jobs / usage.seconds,
        worker_cpu_ms=1_000 * usage.worker_cpu_s / usage.jobs,
        postgres_cpu_ms=1_000 * usage.postgres_cpu_s / usage.jobs,
        statements=usage.statements / usage.jobs,
        calls=calls,
        connections=usage.connections,
        peak_mb=usage.peak_mb,
        twice=usage.twice,
        posts=len(posts),
        published_twice=published_twice(posts),
    )


def _ratio(ours: Figure, bare: Figure) -> Figure:
    """Return each figure of ours divided by that of bare; None where that of bare is 0."""
    theirs = {name: value for name, value in asdict(bare).items() if name != "worker" and value and value > LEAST}
    ratios: dict[str, Any] = dict.fromkeys(name for name in asdict(bare) if name != "worker")
    ratios |= {name: getattr(ours, name) / value for name, value in theirs.items() if getattr(ours, name) is not None}
    return Figure(worker=RATIO, **ratios)
