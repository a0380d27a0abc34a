"""What an outage of a provider costs: attempts spent, blogs failed, and the time from its end to full speed.

Real workers on the simulator. Every time is the database's, and a rate is that of blogs done.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from anyio import CancelScope, fail_after, sleep
from psycopg.conninfo import make_conninfo

from blogworker.bench.chaos.fleet import Fleet
from blogworker.bench.chaos.logbook import Logbook
from blogworker.bench.chaos.vendors import Vendors, vendors
from blogworker.bench.scratch import database, server
from blogworker.db.pool import Database, Row
from blogworker.errors import BlogworkerError

LOOK_S = 0.2
WITHIN_S = 120.0
WINDOW_S = 5.0  # over which a rate is taken
STEP_S = 0.25
BACK = 0.9  # of the rate before: full speed


@dataclass(frozen=True, slots=True)
class Plan:
    vendor: str
    outage_s: float
    before_s: float
    after_s: float
    workers: int
    concurrency: int
    sites: int
    blogs: int
    speed: float


@dataclass(frozen=True, slots=True)
class Figure:
    before_per_s: float
    during_per_s: float
    after_per_s: float
    back_after_s: float | None  # None: not within the time that was watched
    spent: int
    failed: int
    claims_during: int
    calls_during: int  # that met the outage
    opened: int  # lines in the logs of all workers
    closed: int


async def measure(plan: Plan, *, progress: Callable[[str], None]) -> Figure:
    """Warm up, watch, take the vendor away, give it back, watch again."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(server())
        logs = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-outage-")))
        simulator = await stack.enter_async_context(vendors(logs, speed=plan.speed, seed=1))
        opened = await stack.enter_async_context(database(dsn))
        url = make_conninfo(dsn, dbname=(await opened.one("bench/connected_to"))["name"])
        settings = {"DATABASE_URL": url, "BLOGWORKER_CONCURRENCY": str(plan.concurrency)}
        settings |= {"BLOGWORKER_LOG_FORMAT": "json", "BLOGWORKER_DRAIN_TIMEOUT": "0"}
        fleet = Fleet({**simulator.environment, **settings}, logs)
        names = [f"outage/{n}" for n in range(plan.workers)]
        try:
            for n in range(plan.sites):
                await opened.execute("bench/insert_by_hand", instance_id=f"site{n}", jobs=plan.blogs // plan.sites)
            for name in names:
                await fleet.start(name)
            marks = await _watched(plan, opened, simulator, progress)
        finally:
            with CancelScope(shield=True):
                await fleet.stop()
        ends = [row["done_s"] for row in await opened.rows("bench/outage_ends")]
        return _figure(plan, marks, ends, Logbook.read([fleet.log(name) for name in names]))


@dataclass(frozen=True, slots=True)
class Marks:
    """The queue at the beginning of each part, and at the end of the last."""

    before: Row
    outage: Row
    after: Row
    end: Row
    calls: int


async def _watched(plan: Plan, opened: Database, simulator: Vendors, progress: Callable[[str], None]) -> Marks:
    slots = plan.workers * plan.concurrency
    progress(f"warming up until {2 * slots} of {plan.blogs} blogs are done")
    with fail_after(WITHIN_S):
        while (before := await opened.one("bench/outage_state"))["done"] < 2 * slots:
            await sleep(LOOK_S)
    await sleep(plan.before_s)
    await simulator.trouble([{"kind": "status", "vendor": plan.vendor, "status": 503}])
    outage = await opened.one("bench/outage_state")
    progress(f"{plan.vendor} answers nothing but 503 for {plan.outage_s:g} s")
    await sleep(plan.outage_s)
    calls = (await simulator.stats())["faults_hit"].get(f"{plan.vendor}.status", 0)
    await simulator.calm()
    after = await opened.one("bench/outage_state")
    progress(f"{plan.vendor} is back")
    await sleep(plan.after_s)
    end = await opened.one("bench/outage_state")
    if end["left"] < slots:
        raise BlogworkerError(f"{plan.blogs} jobs were too few: only {end['left']} are left; use a larger --jobs")
    return Marks(before, outage, after, end, calls)


def _figure(plan: Plan, marks: Marks, ends: Sequence[float], logbook: Logbook) -> Figure:
    before, outage, after, end = (mark["now_s"] for mark in (marks.before, marks.outage, marks.after, marks.end))
    rate = _rate(ends, before, outage)
    starts = (after + STEP_S * n for n in range(int((plan.after_s - WINDOW_S) / STEP_S)))
    back = next((start - after for start in starts if _rate(ends, start, start + WINDOW_S) >= BACK * rate), None)
    return Figure(
        before_per_s=rate,
        during_per_s=_rate(ends, outage, after),
        after_per_s=_rate(ends, after + (back or 0), end),
        back_after_s=back,
        spent=int(marks.end["spent"]),
        failed=marks.end["failed"],
        claims_during=int(marks.after["claims"] - marks.outage["claims"]),
        calls_during=marks.calls,
        opened=logbook.events["breaker_opened"],
        closed=logbook.events["breaker_closed"],
    )


def _rate(ends: Sequence[float], since: float, until: float) -> float:
    return (bisect_left(ends, until) - bisect_left(ends, since)) / max(until - since, STEP_S)
