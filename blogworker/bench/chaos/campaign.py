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

from blogworker.bench.chaos.audit import Verdict, gather, judge
from blogworker.bench.chaos.fleet import Fleet, kept
from blogworker.bench.chaos.link import HOST, Link, link
from blogworker.bench.chaos.logbook import Logbook
from blogworker.bench.chaos.plan import LEASE_S, Plan, schedule
from blogworker.bench.chaos.producers import Producers
from blogworker.bench.chaos.storm import Storm
from blogworker.bench.chaos.vendors import FAULTS, Vendors, vendors
from blogworker.db.embedded import EmbeddedPostgres
from blogworker.db.migrate import migrate
from blogworker.db.pool import Database, connect
from blogworker.settings import DatabaseSettings

LOOK_S = 0.5
SAY_S = 10.0
CONNECT_S = 5.0
WITNESSES = (
    *("bench/chaos_history", "bench/chaos_record", "bench/chaos_watch"),
    *("bench/chaos_answers", "bench/chaos_note_answer", "bench/chaos_watch_answers"),
)
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

    postgres: EmbeddedPostgres
    wire: Link
    near: Database  # past the link
    far: Database  # behind it
    vendors: Vendors
    fleet: Fleet


async def run(plan: Plan, *, logs: Path | None = None, say: Callable[[str], None]) -> Verdict:
    """Begin, storm, calm down, judge. The workers' output is kept in `logs` when that is given."""
    async with AsyncExitStack() as stack:
        if logs is None:
            logs = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-chaos-")))
        world = await stack.enter_async_context(_world(plan, logs))
        producers = Producers(plan, world.near, world.far)
        storm = Storm(world.fleet, world.wire, world.postgres, world.near)
        opening = await producers.open()
        say(f"{len(opening)} blogs wait; {plan.workers} workers start; {plan.seconds:.0f} s of storm, seed {plan.seed}")
        async with kept(world.fleet, plan.names):
            await _weather(plan, world, producers, storm, say)
        return judge(
            await gather(
                world.near,
                world.vendors,
                ledger=producers.ledger,
                opening=opening,
                tally=storm.tally,
                exits=world.fleet.exits,
                logbook=Logbook.read([world.fleet.log(name) for name in plan.names]),
            )
        )


async def _weather(plan: Plan, world: World, producers: Producers, storm: Storm, say: Callable[[str], None]) -> None:
    """The storm, then the calm, until every producer was answered and the queue is empty, or time is up."""
    async with create_task_group() as watchers:
        watchers.start_soon(producers.operate)
        watchers.start_soon(_tell, world.near, say)
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
        async with await connect(near_url, timeout_s=CONNECT_S) as owner:
            await migrate(owner)
        near = await stack.enter_async_context(_producers_pool(near_url))
        far = await stack.enter_async_context(_producers_pool(far_url))
        for statement in WITNESSES:
            await near.execute(statement)
        simulator = await stack.enter_async_context(vendors(logs, speed=plan.speed, seed=plan.seed))
        environment = {
            **WORKER,
            **simulator.environment,
            "BLOGWORKER_CONCURRENCY": str(plan.concurrency),
            "DATABASE_URL": far_url,
            "DATABASE_DIRECT_URL": far_url,
        }
        yield World(postgres, wire, near, far, simulator, Fleet(environment, logs))


def _producers_pool(url: str) -> Database:
    return Database(DatabaseSettings(url=SecretStr(url)), application="chaos")


async def _removed(postgres: EmbeddedPostgres) -> None:
    with CancelScope(shield=True):
        await run_sync(postgres.remove)
