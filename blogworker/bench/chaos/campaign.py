"""The whole of it: the world, the storm, the calm after it, the audit."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from anyio import CancelScope, create_task_group, move_on_after, sleep
from anyio.to_thread import run_sync
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import PoolTimeout
from pydantic import SecretStr

from blogworker.bench.chaos.audit import Verdict, judge
from blogworker.bench.chaos.crowd import Crowd
from blogworker.bench.chaos.evidence import Report, gather, watch
from blogworker.bench.chaos.fleet import Fleet, kept
from blogworker.bench.chaos.incompatible import IncompatibleDatabase
from blogworker.bench.chaos.link import HOST, link
from blogworker.bench.chaos.logbook import Logbook
from blogworker.bench.chaos.plan import LEASE_S, Plan, schedule
from blogworker.bench.chaos.poison import Poisoner
from blogworker.bench.chaos.producers import Producers
from blogworker.bench.chaos.storm import Aims, Storm
from blogworker.bench.chaos.vendors import FAULTS, Vendors, vendors
from blogworker.bench.scratch import prepare
from blogworker.db.embedded import EmbeddedPostgres
from blogworker.db.migrate import ours
from blogworker.db.pool import Database
from blogworker.db.roles import create, grant
from blogworker.settings import DatabaseSettings

LOOK_S = 0.5
BEGIN_WITHIN_S = 30.0
SAY_S = 10.0
LOGINS = ("bench/chaos_worker_role", "bench/chaos_stranger_role")
WORKERS, STRANGER, PASSWORD = "chaos_worker", "chaos_stranger", "chaos"  # as in the statements above
WORKER = {
    "BLOGWORKER_LEASE": str(LEASE_S),
    "BLOGWORKER_POLL_INTERVAL": "1",
    "BLOGWORKER_HEARTBEAT_INTERVAL": "5",
    "BLOGWORKER_RETRY_BASE": "0.2",
    "BLOGWORKER_RETRY_CAP": "3",
    "BLOGWORKER_LOG_FORMAT": "json",
    "DB_POOL_MAX": "6",
    "LOG_LEVEL": "info",
}


@dataclass(frozen=True, slots=True)
class World:
    """All that runs."""

    near: Database  # past the link
    far: Database  # behind it
    vendors: Vendors
    aims: Aims


async def run(plan: Plan, *, logs: Path | None = None, say: Callable[[str], None]) -> Verdict:
    """Begin, storm, calm down, judge. The workers' output is kept in `logs` when that is given."""
    async with AsyncExitStack() as stack:
        if logs is None:
            logs = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-chaos-")))
        world = await stack.enter_async_context(_world(plan, logs))
        producers, storm = Producers(plan, world.near, world.far), Storm(world.aims)
        opening = await producers.open()
        say(f"{len(opening)} blogs wait; {plan.workers} workers start; {plan.seconds:.0f} s of storm, seed {plan.seed}")
        fleet, poisoner = world.aims.fleet, world.aims.poisoner
        async with kept(fleet, plan.names):
            await _health(plan, world, producers, storm, say)
        report = Report(
            ledger=producers.ledger,
            tally=storm.tally,
            exits=fleet.exits,
            killed=fleet.killed,
            logbook=Logbook.read([fleet.log(name) for name in plan.names]),
            opening=opening,
            poisons=len(poisoner.accepted),
            refused=poisoner.refused,
            acts=world.aims.crowd.acts,
        )
        return judge(await gather(world.near, world.vendors, report))


async def _health(plan: Plan, world: World, producers: Producers, storm: Storm, say: Callable[[str], None]) -> None:
    """The storm, then the calm, until every producer was answered and the queue is empty, or time is up."""
    async with create_task_group() as watchers:
        watchers.start_soon(producers.operate)
        watchers.start_soon(_tell, world.near, say)
        with move_on_after(BEGIN_WITHIN_S):  # a storm over processes that are still starting would hit nothing
            while (await world.near.one("bench/living_workers"))["workers"] < plan.workers:
                await sleep(LOOK_S)
        await world.vendors.trouble(FAULTS)
        async with create_task_group() as tasks:
            tasks.start_soon(producers.produce)
            await storm.rage(schedule(plan))
            await world.vendors.calm()
            say("calm")
        with move_on_after(plan.calm_s):
            while await _open(world.near):
                await sleep(LOOK_S)
        watchers.cancel_scope.cancel()


async def _open(database: Database) -> int:
    """Blogs that have not ended well."""
    state = await database.one("bench/chaos_state")
    return int(state["open"] + state["failed"])


async def _tell(database: Database, say: Callable[[str], None]) -> None:
    while True:
        await sleep(SAY_S)
        try:
            state = await database.one("bench/chaos_state")
        except (psycopg.Error, PoolTimeout):
            continue
        say(f"{state['done']} done, {state['open']} open, {state['failed']} failed")


@asynccontextmanager
async def _world(plan: Plan, logs: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-chaos-", ignore_cleanup_errors=True)))
        postgres = EmbeddedPostgres(folder / "postgres", durable=True, tcp=True)
        stack.push_async_callback(_removed, postgres)
        near_url = await run_sync(postgres.start)
        wire = await stack.enter_async_context(link(int(str(conninfo_to_dict(near_url)["port"]))))
        far_url = make_conninfo(near_url, host=HOST, port=wire.port)
        await prepare(near_url)
        near = await stack.enter_async_context(_producers_pool(near_url))
        far = await stack.enter_async_context(_producers_pool(far_url))
        await watch(near)
        async with near.connection() as owner:
            await create(owner)
            await grant(owner, ours())
        for statement in LOGINS:
            await near.execute(statement)
        simulator = await stack.enter_async_context(vendors(logs, speed=plan.speed, seed=plan.seed))
        workers_url = make_conninfo(far_url, user=WORKERS, password=PASSWORD)
        environment = {
            **WORKER,
            **simulator.environment,
            "BLOGWORKER_CONCURRENCY": str(plan.concurrency),
            "DATABASE_URL": workers_url,
            "DATABASE_DIRECT_URL": workers_url,
        }
        crowd = Crowd(near, make_conninfo(near_url, user=STRANGER, password=PASSWORD), sites=plan.burst_sites)
        fleet = Fleet(environment, logs)
        yield World(
            near, far, simulator, Aims(fleet, wire, postgres, near, Poisoner(near), crowd, IncompatibleDatabase(near))
        )


def _producers_pool(url: str) -> Database:
    return Database(DatabaseSettings(url=SecretStr(url)), application="chaos")


async def _removed(postgres: EmbeddedPostgres) -> None:
    with CancelScope(shield=True):
        await run_sync(postgres.remove)
