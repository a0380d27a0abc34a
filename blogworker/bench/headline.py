"""The seed's headline, whole: so many blogs of so many sites, and how near to the quota the fleet makes them.

A run cannot be faster than the tokens and requests it really uses can be had at the limits; the simulator counts both.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anyio import create_task_group, move_on_after, sleep
from pydantic import TypeAdapter

from blogworker.bench.chaos.fleet import Command, worker
from blogworker.bench.load import Blog, Scale, SlotWatch, World, blogs, opened
from blogworker.bench.load.world import Cpu, published_twice, refusals, used_tokens
from blogworker.bench.quota.order import OURS, SEED
from blogworker.bench.scratch import server
from blogworker.bench.seed_worker import Order
from blogworker.db.pool import Row
from blogworker.queue.enqueue import enqueue
from blogworker.queue.validation import NewJob

LOOK_S = 0.5
SAY_S = 20.0  # real seconds
FORECAST_S = 2.0
LATE, LATE_FROM = 20, 0.2
SLOWEST_PER_MINUTE = 10  # blogs; a run that is slower is given up
LEAST_MIN = 20


@dataclass(frozen=True, slots=True)
class Plan:
    blogs: int
    sites: int
    workers: int
    slots: int  # of each worker
    speed: float
    seed: bool  # the seed's worker beside ours


@dataclass(frozen=True, slots=True)
class Figure:
    """Minutes are the vendors'."""

    fleet: str
    took_min: float | None  # from the first claim to the last DONE
    needed_min: float  # at the limits, by what was really used: the largest of the next two
    tokens_min: dict[str, float]  # by model
    requests_min: dict[str, float]
    ratio_percent: float | None  # needed to took
    refused: dict[str, int]  # 429s, by vendor
    done: int
    failed: int
    left: int  # neither, when the run was given up
    posts: int
    posts_too_many: int  # more than blogs that are DONE
    published_twice: int
    slots_most: int  # held at once
    said_to_came_least: float | None  # what the queue said that the wait would be, divided by what it was: between the
    said_to_came_most: float | None  # first tenth of the run and its last quarter
    start_said_to_came_least: float | None  # the same of the start that each late blog was promised by its enqueue
    start_said_to_came_most: float | None
    worker_cpu_ms: float  # these three for each blog that is DONE
    simulator_cpu_ms: float
    postgres_cpu_ms: float
    cores_used: float | None  # on average, by all of these
    cores_busy: float | None  # by whatever ran; near the number there are, the machine is what limits the run


async def measure(plan: Plan, *, progress: Callable[[str], None]) -> list[Figure]:
    """Our fleet, and the seed's if asked for, each with a fresh database and a fresh simulator."""
    async with server() as dsn:
        return [await _run(plan, dsn, fleet, progress) for fleet in ((OURS, SEED) if plan.seed else (OURS,))]
    raise AssertionError("the block swallows no error")


async def _run(plan: Plan, dsn: str, fleet: str, progress: Callable[[str], None]) -> Figure:
    scale = Scale(plan.workers, plan.slots, plan.speed)
    async with opened(dsn, scale, command=worker if fleet == OURS else _seed_command(plan.speed)) as world:
        await world.database.execute("bench/insert_round_robin", prefix="site", sites=plan.sites, jobs=plan.blogs)
        watch, said, late = SlotWatch(world.database), list[Row](), dict[int, float]()
        async with create_task_group() as watchers:
            watchers.start_soon(watch.run)
            await world.start()
            before = await world.cpu()
            watchers.start_soon(_tell, world, fleet, plan.blogs, progress)
            watchers.start_soon(_forecast, world, said)
            watchers.start_soon(_enqueue_late, world, plan, late)
            with move_on_after(60 / plan.speed * (LEAST_MIN + plan.blogs / SLOWEST_PER_MINUTE)):
                await _ended(world)
            watchers.cancel_scope.cancel()
        used = (await world.cpu()).since(before)
        await world.fleet.stop()
        stats, posts = await world.simulator.stats(), await world.simulator.posts()
        return _figure(fleet, plan, await blogs(world.database), stats, posts, used, watch.most_held, said, late)
    raise AssertionError("the block swallows no error")


def _seed_command(speed: float) -> Command:
    def command(name: str) -> Sequence[str]:
        order = TypeAdapter(Order).dump_json(Order(name, speed)).decode()
        return [sys.executable, "-m", "blogworker.bench.seed_worker", order]

    return command


async def _ended(world: World) -> None:
    while (await world.database.one("bench/open_blogs", prefix=""))["open"]:
        world.require_running()
        await sleep(LOOK_S)


async def _forecast(world: World, said: list[Row]) -> None:
    while True:
        said.append(await world.database.one("bench/forecast"))
        await sleep(FORECAST_S)


async def _enqueue_late(world: World, plan: Plan, late: dict[int, float]) -> None:
    """One more blog for each of a few sites, when a fifth of the others have started: their expected start, by id."""
    while (await world.database.one("bench/open_blogs", prefix=""))["begun"] < LATE_FROM * plan.blogs:
        await sleep(LOOK_S)
    for n in range(min(LATE, plan.sites)):
        blog = NewJob(f"site-{n}", "keyword", None, {"keyword": f"a late subject {n}"})
        answer = await enqueue(world.database, blog)
        if answer.expected_start is not None:
            late[answer.job_id] = answer.expected_start.timestamp()


async def _tell(world: World, fleet: str, jobs: int, progress: Callable[[str], None]) -> None:
    while True:
        await sleep(SAY_S)
        left = (await world.database.one("bench/open_blogs", prefix=""))["open"]
        progress(f"{fleet}: {left} of {jobs} blogs are left")


def _figure(
    fleet: str,
    plan: Plan,
    found: Sequence[Blog],
    stats: dict[str, Any],
    posts: Sequence[dict[str, Any]],
    used: Cpu,
    slots_most: int,
    said: Sequence[Row],
    late: Mapping[int, float],
) -> Figure:
    starts = _starts_said_to_came(found, late)
    claims = [blog.claimed_s for blog in found if blog.claimed_s is not None]
    ends = [blog.done_s for blog in found if blog.done_s is not None]
    took_s = max(ends) - min(claims) if ends else None
    took_min = plan.speed * took_s / 60 if took_s else None
    openai, done = stats["openai"], max(1, len(ends))
    tokens, calls = openai["limit_tokens_per_minute"] / plan.speed, openai["limit_requests_per_minute"] / plan.speed
    tokens_min = {model: used_tokens(stats, model) / tokens for model in openai["models"]}
    requests_min = {model: counts["calls"] / calls for model, counts in openai["models"].items()}
    needed_min = max([*tokens_min.values(), *requests_min.values()], default=0.0)
    failed = sum(blog.status == "FAILED" for blog in found)
    return Figure(
        fleet=fleet,
        took_min=took_min,
        needed_min=needed_min,
        tokens_min=tokens_min,
        requests_min=requests_min,
        ratio_percent=100 * needed_min / took_min if took_min else None,
        refused=refusals(stats),
        done=len(ends),
        failed=failed,
        left=len(found) - len(ends) - failed,
        posts=len(posts),
        posts_too_many=len(posts) - len(ends),
        published_twice=published_twice(posts),
        slots_most=slots_most,
        said_to_came_least=min(_said_to_came(said, claims), default=None),
        said_to_came_most=max(_said_to_came(said, claims), default=None),
        start_said_to_came_least=min(starts, default=None),
        start_said_to_came_most=max(starts, default=None),
        worker_cpu_ms=1_000 * used.workers / done,
        simulator_cpu_ms=1_000 * used.simulator / done,
        postgres_cpu_ms=1_000 * used.postgres / done,
        cores_used=used.total / took_s if took_s else None,
        cores_busy=used.machine / took_s if took_s else None,
    )


def _said_to_came(said: Sequence[Row], claims: Sequence[float]) -> list[float]:
    """Each forecast of the middle of the run, divided by the time from then until the last blog started."""
    if not claims:
        return []
    first, last = min(claims), max(claims)
    middle = [row for row in said if 0.1 < (row["now_s"] - first) / max(last - first, 1e-9) < 0.75]
    return [row["said_s"] / (last - row["now_s"]) for row in middle]


def _starts_said_to_came(found: Sequence[Blog], late: Mapping[int, float]) -> list[float]:
    blogs = {blog.job_id: blog for blog in found if blog.job_id in late}
    return [
        (late[job_id] - blog.came_s) / (blog.claimed_s - blog.came_s)
        for job_id, blog in blogs.items()
        if blog.claimed_s is not None
    ]
