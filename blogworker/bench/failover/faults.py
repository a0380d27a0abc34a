"""What happens to a Postgres while workers use it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from signal import SIGKILL

from anyio import sleep
from anyio.to_thread import run_sync
from psycopg.conninfo import conninfo_to_dict

from blogworker.bench.environment import Environment
from blogworker.bench.environment.pair import Pair
from blogworker.errors import DatabaseNotReady

LOST_S = 2.0  # what an asynchronous standby is behind
DUMP_AGE_S = 6.0
READ_ONLY_S = 3.0
STORM_S, STORM_EVERY_S = 4.0, 0.25


@dataclass(frozen=True, slots=True)
class Target:
    """What a fault may touch."""

    pair: Pair
    env: Environment
    workers: Sequence[str]

    @property
    def database(self) -> str:
        return str(conninfo_to_dict(self.env.database.url)["dbname"])


@dataclass(frozen=True, slots=True)
class PostgresFault:
    """`loses`: whether accepted jobs may be lost with the history."""

    name: str
    inject: Callable[[Target], Awaitable[None]]
    prepare: Callable[[Pair], None] | None = None
    loses: bool = False


async def _crash(target: Target) -> None:
    await run_sync(target.pair.primary.server.restart, "immediate")


async def _terminate(target: Target) -> None:
    """End every session again and again, as a pooler that is restarted or an impatient operator does."""
    for _ in range(round(STORM_S / STORM_EVERY_S)):
        await run_sync(target.pair.primary.end_sessions, target.database)
        await sleep(STORM_EVERY_S)


async def _read_only(target: Target) -> None:
    """A primary is demoted for a while: sessions stay connected, and every write is refused."""
    await run_sync(target.pair.primary.refuse_writes)
    await sleep(READ_ONLY_S)
    await run_sync(target.pair.primary.accept_writes)


async def _fail_over(target: Target) -> None:
    await run_sync(target.pair.failover)


async def _fail_over_behind(target: Target) -> None:
    await run_sync(target.pair.cut)
    await sleep(LOST_S)
    await run_sync(target.pair.failover)


async def _restore(target: Target) -> None:
    """Restore a dump that is some seconds old in place of the database, and start the workers again."""
    primary, name = target.pair.primary, target.database
    at = ("-h", str(primary.place.socket_dir()), "-p", str(primary.port), "-U", "postgres")
    dump = primary.place.home / "dump.sql"

    def run(program: str, *arguments: str) -> None:
        done = primary.place.run(program, *at, *arguments)
        if done.returncode != 0:
            raise DatabaseNotReady(f"{program} failed: {done.stderr.strip()[-2000:]}")

    await run_sync(run, "pg_dump", "-f", str(dump), name)
    await sleep(DUMP_AGE_S)
    for worker in target.workers:
        target.env.fleet.send_signal(worker, SIGKILL)
    await run_sync(run, "dropdb", "--force", name)
    await run_sync(run, "createdb", name)
    await run_sync(run, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump), name)
    for worker in target.workers:
        await target.env.fleet.start(worker)


FAULTS = {
    fault.name: fault
    for fault in (
        PostgresFault("crash and restart", _crash),
        PostgresFault("all sessions terminated, 4 times a second", _terminate),
        PostgresFault("read-only for 3 s", _read_only),
        PostgresFault("failover, synchronous", _fail_over, prepare=Pair.make_synchronous),
        PostgresFault("failover, standby 2 s behind", _fail_over_behind, loses=True),
        PostgresFault("dump restored, 6 s old", _restore, loses=True),
    )
}
