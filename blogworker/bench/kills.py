"""A storm of nothing but `kill -9`, and one blog that kills whoever holds it: every other blog is made all the same.

Each worker is started again at once under its name, as systemd does. Nobody retries anything by hand.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from anyio import create_task_group, current_time, move_on_after, sleep
from psycopg.conninfo import make_conninfo

from blogworker.bench.chaos import promises
from blogworker.bench.chaos.audit import Verdict, work
from blogworker.bench.chaos.campaign import WORKER
from blogworker.bench.chaos.evidence import Evidence, Report, gather, watch
from blogworker.bench.chaos.fleet import Fleet, kept
from blogworker.bench.chaos.kills import kill
from blogworker.bench.chaos.logbook import Logbook
from blogworker.bench.chaos.plan import Kind
from blogworker.bench.chaos.poison import SITE as POISONED
from blogworker.bench.chaos.producers import Ledger, in_bulk
from blogworker.bench.chaos.promises import Promise
from blogworker.bench.chaos.storm import Tally
from blogworker.bench.chaos.vendors import Vendors, vendors
from blogworker.bench.scratch import database, server
from blogworker.db.pool import Database

LOOK_S, HOLDER_LOOK_S = 0.25, 0.02
SAY_S = 10.0
FATAL_AFTER_S = 0.1  # from the moment when a worker is seen to hold the culprit until it is killed
CULPRIT = "the blog that kills its worker"
CULPRIT_SPEED = 10.0  # of the vendors' clock at most: it must not finish a stage before it kills
MOST_KILLED = 20  # by the culprit: then it is given up


@dataclass(frozen=True, slots=True)
class Plan:
    blogs: int
    sites: int
    workers: int = 3
    concurrency: int = 10
    speed: float = 25
    every_s: float = 2.0  # from one kill to the next
    kills_for_s: float | None = None  # None: until all blogs have ended
    within_s: float = 240.0
    seed: int = 1

    @property
    def names(self) -> list[str]:
        return [f"chaos/{number}" for number in range(1, self.workers + 1)]


@dataclass(frozen=True, slots=True)
class World:
    database: Database
    simulator: Vendors
    fleet: Fleet
    ledger: Ledger


async def storm(plan: Plan, *, say: Callable[[str], None]) -> Verdict:
    """Kill a worker every so often until all blogs have ended."""
    async with _world(plan) as world:
        tally, began = Tally(), current_time()
        async with kept(world.fleet, plan.names), create_task_group() as tasks:
            tasks.start_soon(_kill, plan, world, tally)
            tasks.start_soon(_tell, world.database, say)
            await _ended(plan, world.database)
            tasks.cancel_scope.cancel()
        took_s = current_time() - began
        found = await _found(plan, world, tally)
        longest = await world.database.one("bench/storm_longest")
        facts = {"workers killed": world.fleet.killed, "seconds": round(took_s, 1), **work(found)}
        facts |= {"longest from a blog's first claim to its end, s": round(longest["blog_s"], 1)}
        facts |= {"most attempts at one blog": longest["attempts"]}
        return Verdict(tuple(_kept(found)), facts)


async def culprit(plan: Plan, *, say: Callable[[str], None]) -> Verdict:
    """Kill whoever holds one certain blog, soon after it was claimed, until that blog has ended."""
    async with _world(plan) as world:
        await world.database.execute("bench/chaos_insert", instance_id=f"{POISONED}culprit", topic=CULPRIT)
        tally, began = Tally(), current_time()
        async with kept(world.fleet, plan.names), create_task_group() as tasks:
            tasks.start_soon(_kill_holders, world, tally)
            tasks.start_soon(_tell, world.database, say)
            await _ended(plan, world.database)
            tasks.cancel_scope.cancel()
        took_s = current_time() - began
        found = await _found(plan, world, tally)
        facts = {"processes killed by it": tally.blows[Kind.KILL], "seconds": round(took_s, 1), **work(found)}
        return Verdict((_condemned(found), *_kept(found)), facts)


@asynccontextmanager
async def _world(plan: Plan) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(server())
        logs = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-storm-")))
        simulator = await stack.enter_async_context(vendors(logs, speed=plan.speed, seed=plan.seed))
        opened = await stack.enter_async_context(database(dsn))
        await watch(opened)
        ledger = Ledger(plan.sites)
        await in_bulk(opened, ledger, each=max(1, round(plan.blogs / plan.sites)))
        url = make_conninfo(dsn, dbname=(await opened.one("bench/connected_to"))["name"])
        environment = {**WORKER, **simulator.environment, "BLOGWORKER_CONCURRENCY": str(plan.concurrency)}
        environment |= {"DATABASE_URL": url, "DATABASE_DIRECT_URL": url}
        yield World(opened, simulator, Fleet(environment, logs), ledger)


async def _ended(plan: Plan, database: Database) -> None:
    with move_on_after(plan.within_s):
        while (await database.one("bench/chaos_state"))["open"]:
            await sleep(LOOK_S)


async def _kill(plan: Plan, world: World, tally: Tally) -> None:
    """Of those that have their lease, the one that has had it longest; never the last, however slowly they start."""
    with move_on_after(plan.kills_for_s):
        while True:
            await sleep(plan.every_s)
            rows = await world.database.rows("bench/storm_workers")
            names = [row["name"] for row in rows if world.fleet.pid(row["name"]) == row["pid"]]
            if len(names) > 1:
                tally.kills += await kill(world.fleet, world.database, names[0]) or []


async def _kill_holders(world: World, tally: Tally) -> None:
    last = None
    while tally.blows[Kind.KILL] < MOST_KILLED:
        await sleep(HOLDER_LOOK_S)
        held = await world.database.maybe("bench/storm_holder", topic=CULPRIT)
        if held in (None, last):
            continue
        await sleep(FATAL_AFTER_S)
        if await world.database.maybe("bench/storm_holder", topic=CULPRIT) == held:
            tally.blows[Kind.KILL] += world.fleet.kill_pid(held["pid"])
            last = held  # the dead worker holds it until it is rescued


async def _tell(database: Database, say: Callable[[str], None]) -> None:
    while True:
        await sleep(SAY_S)
        state = await database.one("bench/chaos_state")
        say(f"{state['done']} done, {state['open']} open, {state['failed']} failed")


async def _found(plan: Plan, world: World, tally: Tally) -> Evidence:
    fleet = world.fleet
    logbook = Logbook.read([fleet.log(name) for name in plan.names])
    report = Report(ledger=world.ledger, tally=tally, exits=fleet.exits, killed=fleet.killed, logbook=logbook)
    return await gather(world.database, world.simulator, report)


def _kept(found: Evidence) -> Iterable[Promise]:
    yield promises.done_once(found)
    yield _none_failed(found)
    yield promises.published_once(found)
    yield promises.paid_once(found)
    yield promises.spend_recorded_once(found)
    yield promises.workers_end_only_when_killed(found)


def _none_failed(found: Evidence) -> Promise:
    failed = [end for end in found.innocent_ends if end["became"] == "FAILED"]
    named = ", ".join(f"{end['job_id']}: {end['error']}" for end in failed[: promises.SHOWN])
    return Promise("nobody has to retry a blog", not failed, f"{len(failed)} FAILED on the way {named}".strip())


def _condemned(found: Evidence) -> Promise:
    blog = next(blog for blog in found.poisoned if blog["topic"] == CULPRIT)
    says_so = "worker" in (blog["error"] or "")
    evidence = f"{blog['status']} after {found.report.tally.blows[Kind.KILL]} killed: {blog['error']}"
    return Promise(
        "the blog that kills its workers ends FAILED and says so", blog["status"] == "FAILED" and says_so, evidence
    )
