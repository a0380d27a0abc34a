"""How a real fleet serves new sites beside old backlogs while the quota of the text model is what everybody waits for.

Real workers on the simulator, at the limits of the seed. The busy sites have more blogs than the quota allows; after a
while the newcomers come, all at once, with one blog each. Every figure is in the vendors' time.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from anyio import create_task_group, move_on_after, sleep

from blogworker.bench.load import Blog, Look, Scale, SlotWatch, World, blogs, longest_wait_s, opened
from blogworker.bench.load.shares import Minute, minutes
from blogworker.bench.load.world import Cpu, published_twice, refusals, used_tokens
from blogworker.bench.scratch import server
from blogworker.queue.enqueue import Enqueued, enqueue
from blogworker.queue.job import Stage
from blogworker.queue.validation import NewJob
from blogworker.section import load_section
from blogworker.settings import OpenAISettings

BUSY, NEW = "busy", "new"
WITHIN_S = 1_200.0  # vendor seconds from the newcomers until the run is given up
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    busy: int
    backlog: int  # blogs of each busy site
    new: int
    workers: Sequence[int]
    slots: int  # of each worker
    speed: float
    warm_s: float  # from the workers' start until the newcomers come; these two in vendor seconds
    watch_s: float  # from then on
    wix_rpm: int
    idle: bool  # first measure the newcomers alone


@dataclass(frozen=True, slots=True)
class Figure:
    """Seconds are the vendors'. None: nothing to measure, or it did not happen in time."""

    workers: int
    idle_done_median_s: float | None  # newcomers alone, from enqueue to DONE
    idle_done_longest_s: float | None
    new_claimed_median_s: float | None  # from enqueue to the first claim
    new_claimed_longest_s: float | None
    new_done_median_s: float | None
    new_done_longest_s: float | None
    claim_to_done_median_s: float | None  # of all blogs that were DONE in the measured stretch
    jain_tokens_least: float | None  # of the minutes in which several sites waited all the time
    jain_tokens_median: float | None
    jain_started_least: float | None
    jain_started_median: float | None
    jain_minutes: int
    busy_share_most: float | None  # of all slots, held by one busy site after the newcomers came
    slots_by_stage: dict[str, float]  # part of all slots, on average in the measured stretch
    quota_wait_longest_s: float | None  # with a slot held
    refused: dict[str, int]  # 429s in the whole run, by vendor
    content_tokens_percent: float  # of the quota, in the measured stretch
    blogs_per_minute: float  # DONE in the measured stretch
    attempts_mean: float  # of blogs that were DONE
    attempts_most: int
    done: int
    failed: int
    published_twice: int
    said_median_s: float | None  # until the first claim, by the answer of enqueue
    said_to_came: float | None  # median of that, divided by what came
    cores_used: float  # in the measured stretch, by workers, simulator and Postgres
    cores_busy: float  # by whatever ran; near the number there are, the machine is what limits the run


@dataclass(frozen=True, slots=True)
class Mark:
    """One moment, by the database's clock and by the simulator's counters."""

    at_s: float
    stats: dict[str, Any]
    cpu: Cpu


@dataclass(frozen=True, slots=True)
class Found:
    """All that one run left behind."""

    blogs: Sequence[Blog]
    minutes: Sequence[Minute]
    looks: Sequence[Look]
    came: Mark
    end: Mark
    stats: dict[str, Any]
    answers: Sequence[Enqueued]
    longest_wait_s: float | None
    twice: int


async def measure(plan: Plan, *, progress: Callable[[str], None]) -> list[Figure]:
    """A figure for each number of workers."""
    figures = []
    async with server() as dsn:
        for workers in plan.workers:
            scale = Scale(workers, plan.slots, plan.speed, plan.wix_rpm)
            alone = await _alone(plan, dsn, scale) if plan.idle else []
            progress(f"{workers} workers: {plan.busy} busy sites with {plan.backlog} blogs each")
            figures.append(figure(scale, await _run(plan, dsn, scale), alone))
            progress(f"{workers} workers: {figures[-1].done} blogs done")
    return figures


async def _alone(plan: Plan, dsn: str, scale: Scale) -> list[float]:
    """How long each newcomer takes from enqueue to DONE on an idle fleet, in vendor seconds."""
    async with opened(dsn, scale) as world:
        await world.start()
        await _come(plan, world)
        await _served(world)
        found = await blogs(world.database)
    return [scale.speed * (blog.done_s - blog.came_s) for blog in found if blog.done_s is not None]


async def _run(plan: Plan, dsn: str, scale: Scale) -> Found:
    async with opened(dsn, scale) as world:
        jobs = plan.busy * plan.backlog
        await world.database.execute("bench/insert_round_robin", prefix=BUSY, sites=plan.busy, jobs=jobs)
        watch = SlotWatch(world.database)
        async with create_task_group() as watchers:
            watchers.start_soon(watch.run)
            await world.start()
            await sleep(plan.warm_s / scale.speed)
            came = await _mark(world)
            answers = await _come(plan, world)
            await sleep(plan.watch_s / scale.speed)
            end = await _mark(world)
            await _served(world)
            watchers.cancel_scope.cancel()
        world.require_running()
        await world.fleet.stop()
        found = await blogs(world.database)
        spent = await world.database.rows("bench/history_tokens")
        return Found(
            blogs=found,
            minutes=minutes(found, spent, watch.looks, until_s=end.at_s, minute_s=scale.minute_s),
            looks=watch.looks,
            came=came,
            end=end,
            stats=await world.simulator.stats(),
            answers=answers,
            longest_wait_s=longest_wait_s(world.logs),
            twice=published_twice(await world.simulator.posts()),
        )
    raise AssertionError("the block swallows no error")


async def _mark(world: World) -> Mark:
    row = await world.database.one("bench/open_blogs", prefix="")
    return Mark(row["now_s"], await world.simulator.stats(), await world.cpu())


async def _come(plan: Plan, world: World) -> list[Enqueued]:
    """All newcomers at once, each by its own call."""
    answers: list[Enqueued] = []

    async def one(site: str) -> None:
        answers.append(await enqueue(world.database, NewJob(site, "keyword", f"{site} subject", {})))

    async with create_task_group() as producers:
        for n in range(plan.new):
            producers.start_soon(one, f"{NEW}-{n}")
    return answers


async def _served(world: World) -> None:
    """Wait until every newcomer has ended, or the time is up."""
    with move_on_after(WITHIN_S / world.scale.speed):
        while (await world.database.one("bench/open_blogs", prefix=f"{NEW}-"))["open"]:
            await sleep(LOOK_S)


def figure(scale: Scale, found: Found, alone: Sequence[float]) -> Figure:
    speed, came, end = scale.speed, found.came, found.end
    new = [blog for blog in found.blogs if blog.instance_id.startswith(f"{NEW}-")]
    claimed = [None if blog.claimed_s is None else speed * (blog.claimed_s - blog.came_s) for blog in new]
    done = [None if blog.done_s is None else speed * (blog.done_s - blog.came_s) for blog in new]
    ended = [blog for blog in found.blogs if blog.done_s is not None]
    lately = [blog for blog in ended if came.at_s <= (blog.done_s or 0) < end.at_s]
    took = [speed * (blog.done_s - blog.claimed_s) for blog in lately if blog.done_s and blog.claimed_s]
    said, used_cpu = _said(found, speed), end.cpu.since(came.cpu)
    used = [minute.tokens for minute in found.minutes], [minute.started for minute in found.minutes]
    return Figure(
        workers=scale.workers,
        idle_done_median_s=_median(alone),
        idle_done_longest_s=_longest(alone),
        new_claimed_median_s=_median(claimed),
        new_claimed_longest_s=_longest(claimed),
        new_done_median_s=_median(done),
        new_done_longest_s=_longest(done),
        claim_to_done_median_s=_median(took),
        jain_tokens_least=min(used[0], default=None),
        jain_tokens_median=_median(used[0]),
        jain_started_least=min(used[1], default=None),
        jain_started_median=_median(used[1]),
        jain_minutes=len(found.minutes),
        busy_share_most=_busiest(found, scale),
        slots_by_stage=_stages(found, scale),
        quota_wait_longest_s=None if found.longest_wait_s is None else speed * found.longest_wait_s,
        refused=refusals(found.stats),
        content_tokens_percent=_quota_percent(came, end),
        blogs_per_minute=len(lately) / ((end.at_s - came.at_s) / scale.minute_s),
        attempts_mean=mean([blog.attempts for blog in ended] or [0]),
        attempts_most=max([blog.attempts for blog in ended], default=0),
        done=len(ended),
        failed=sum(blog.status == "FAILED" for blog in found.blogs),
        published_twice=found.twice,
        said_median_s=_median([seconds for seconds, _ in said]),
        said_to_came=_median([seconds / waited for seconds, waited in said]),
        cores_used=used_cpu.total / (end.at_s - came.at_s),
        cores_busy=used_cpu.machine / (end.at_s - came.at_s),
    )


def _said(found: Found, speed: float) -> list[tuple[float, float]]:
    """Of each newcomer: the wait that enqueue foretold, and the one that came."""
    lives = {blog.job_id: blog for blog in found.blogs}
    return [
        (speed * (answer.expected_start.timestamp() - life.came_s), speed * (life.claimed_s - life.came_s))
        for answer in found.answers
        if answer.expected_start is not None and (life := lives[answer.job_id]).claimed_s is not None
    ]


def _busiest(found: Found, scale: Scale) -> float | None:
    looks = [look for look in found.looks if look.at_s >= found.came.at_s]
    held = [slots for look in looks for site, slots in look.held.items() if site.startswith(f"{BUSY}-")]
    return max(held) / (scale.workers * scale.slots) if held else None


def _stages(found: Found, scale: Scale) -> dict[str, float]:
    looks = [look for look in found.looks if found.came.at_s <= look.at_s < found.end.at_s]
    held: Counter[str] = Counter()
    for look in looks:
        held.update(look.stages)
    return {stage.value: round(held[stage] / (len(looks) * scale.workers * scale.slots), 3) for stage in Stage if looks}


def _quota_percent(came: Mark, end: Mark) -> float:
    """By the simulator's clock, and by its own accounting."""
    model = load_section(OpenAISettings).content_model
    used = used_tokens(end.stats, model) - used_tokens(came.stats, model)
    minutes_passed = (end.stats["uptime_s"] - came.stats["uptime_s"]) / 60
    return 100 * float(used / (end.stats["openai"]["limit_tokens_per_minute"] * minutes_passed))


def _median(values: Sequence[float | None]) -> float | None:
    """Where less than half has happened, the median has not."""
    ordered = sorted(values, key=lambda value: float("inf") if value is None else value)
    middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
    return median(value for value in middle if value is not None) if middle and None not in middle else None


def _longest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None) if None not in values else None
