"""Scale: how many workers should run on a host. `decide` is pure; the facts come from the view v_scale.

The need (`workers_wanted`) follows from what waits, arrives and runs, and from the quotas: sql/schema/scale.sql. This
module adds what keeps the number of workers steady. It goes up at once, but at most once a minute. It goes down only to
the highest need of the last ten minutes, at most once in five.
"""

import math
from dataclasses import dataclass

from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.ops.shown import duration
from blogworker.plurals import counted

MOST_WORKERS = 1_000
UP_EVERY_S, DOWN_EVERY_S, WINDOW_S = 50.0, 300.0, 600.0  # 50: a timer of a minute may come some seconds early
KNOWN = 0.8  # part of the window with decisions, before the number goes down


@dataclass(frozen=True, slots=True)
class ScaleFacts:
    """The row of v_scale: the fleet, its jobs, and the need that follows. None: unknown, or no limit."""

    workers: int
    slots: int
    busy: int
    waiting: int
    claimable: int
    oldest_wait_s: float | None
    arriving_a_minute: float
    ended_a_minute: float
    blog_s: float
    quota_a_minute: float | None
    stopped_by: str | None
    limited_by: str | None
    workers_wanted: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What was decided on this host. `hosts`: that have workers. `known_s`: age of the first decision within the
    window; `most_wanted`: in the window; `changed_s`: since the number of workers was changed. None: never."""

    hosts: int = 1
    known_s: float | None = None
    most_wanted: int | None = None
    changed_s: float | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """The fewest and the most workers of a host."""

    least: int
    most: int

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most <= MOST_WORKERS:
            raise SettingsError(f"--min is at most --max, and both are from 0 to {MOST_WORKERS:,}")

    def within(self, workers: int) -> int:
        return max(self.least, min(self.most, workers))


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers should run on this host. `wanted`: its part of the need. `reason`: one line."""

    workers: int
    target: int
    wanted: int
    reason: str


def decide(facts: ScaleFacts, memory: Memory, bounds: Bounds, workers: int) -> Decision:
    """Return how many workers should run on a host on which `workers` run now."""
    wanted = math.ceil(facts.workers_wanted / max(1, memory.hosts))
    goal = bounds.within(wanted)
    target: int
    wait: str | None
    if workers > bounds.most:
        target, wait = bounds.most, f"at most {bounds.most} are allowed"
    elif goal > workers:
        target, wait = _up(memory, bounds, goal, workers)
    elif goal < workers:
        target, wait = _down(memory, bounds, goal, workers)
    else:
        target, wait = workers, _bound(wanted, bounds)
    return Decision(workers, target, wanted, "; ".join(filter(None, (why(facts), wait))))


def _up(memory: Memory, bounds: Bounds, goal: int, workers: int) -> tuple[int, str | None]:
    if memory.changed_s is not None and memory.changed_s < UP_EVERY_S:
        return max(
            workers, bounds.least
        ), f"up to {goal} later, because the number changed {duration(memory.changed_s)} ago"
    return goal, None


def _down(memory: Memory, bounds: Bounds, goal: int, workers: int) -> tuple[int, str | None]:
    highest = max(goal, bounds.within(memory.most_wanted or 0))
    if memory.known_s is None or memory.known_s < KNOWN * WINDOW_S or highest >= workers:
        return workers, f"down to {goal} when the need has been low for {duration(WINDOW_S)}"
    if memory.changed_s is not None and memory.changed_s < DOWN_EVERY_S:
        return workers, f"down to {highest} later, because the number changed {duration(memory.changed_s)} ago"
    return highest, f"no more than {highest} were needed for {duration(WINDOW_S)}"


def _bound(wanted: int, bounds: Bounds) -> str | None:
    if wanted > bounds.most:
        return f"{wanted} are needed, but at most {bounds.most} are allowed"
    return f"at least {bounds.least} must run" if wanted < bounds.least else None


def why(facts: ScaleFacts) -> str:
    """Return the need in words."""
    slots = f"{facts.busy:,} of {facts.slots:,} slots are busy"
    more = "" if facts.claimable < 10_000 else " or more"
    jobs = f"{counted(facts.claimable, 'job')}{more} could start, {slots}"
    if facts.stopped_by is not None:
        return f"{counted(facts.waiting, 'job')} wait, {slots}; {facts.stopped_by}"
    if facts.limited_by == "quota":
        rate = "" if facts.quota_a_minute is None else f" ({facts.quota_a_minute:,.0f} jobs a minute)"
        return f"{jobs}; the quota is the limit{rate}, and more workers would not use more of it"
    if facts.limited_by is not None:
        return f"{jobs}; slots are free, so more workers would not help"
    return jobs if facts.claimable or facts.busy else "no job waits for a slot"


async def read_scale(database: Database) -> ScaleFacts:
    """Return the facts of now."""
    return ScaleFacts(**await database.one("ops/metrics_scale"))


async def read_memory(database: Database, host: str) -> tuple[Memory, int, set[str]]:
    """Return what was decided on this host, how many workers claim there according to their leases, and which of all
    workers are quiet."""
    row = dict(await database.one("ops/scale_memory", host=host, window_s=WINDOW_S))
    workers: int = row.pop("here")
    quiet = set(row.pop("quiet"))
    return Memory(**row), workers, quiet


async def record_scaling(database: Database, host: str, decision: Decision) -> None:
    """Remember the decision: the next one depends on it."""
    await database.execute(
        "ops/record_scaling", host=host, workers=decision.workers, wanted=decision.wanted, target=decision.target
    )
