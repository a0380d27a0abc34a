"""Databases that exist for one bench only: created, migrated, and removed at the end."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID, uuid4

from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Json
from pydantic import SecretStr

from blogworker.db.embedded import temporary_server
from blogworker.db.migrate import migrate
from blogworker.db.pool import Database, connect
from blogworker.queue.job import Claim, Outcome
from blogworker.queue.settle import move
from blogworker.settings import DatabaseSettings

APPLICATION = "blogworker bench"  # of its own connections, as pg_stat_activity shows them


class ScratchDatabase(Database):
    """A migrated database without jobs."""

    @property
    def url(self) -> str:
        return self._settings.url.get_secret_value()


def server() -> AbstractAsyncContextManager[str]:
    """Run Postgres during the block, with durable commits as in production. Yield its DSN."""
    return temporary_server(durable=True, max_connections=200)


@asynccontextmanager
async def database(dsn: str, *, pool_max: int = 20) -> AsyncIterator[ScratchDatabase]:
    """Create and migrate a database on the server of this DSN."""
    name = f"bench_{uuid4().hex}"
    async with await connect(dsn, timeout_s=5) as admin:
        await admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    url = make_conninfo(dsn, dbname=name)
    await prepare(url)
    settings = DatabaseSettings(url=SecretStr(url), pool_max=pool_max)
    opened = ScratchDatabase(settings, application=APPLICATION, plans_once=True)
    async with opened:
        yield opened


async def prepare(url: str) -> None:
    """Migrate the database, and remove the limit of its queue for later sessions."""
    async with await connect(url, timeout_s=5) as owner:
        await migrate(owner)
        name = sql.Identifier(owner.info.dbname)
        await owner.execute(sql.SQL("alter database {} set blogworker.queue_size_limit = 2000000000").format(name))


async def register(database: Database, name: str = "bench") -> UUID:
    """Register a worker whose lease does not end during a bench. Return its id."""
    worker_id = uuid4()
    await database.execute("bench/register_worker", name=name, worker_id=worker_id)
    return worker_id


async def settle(database: Database, worker_id: UUID, ended: Iterable[tuple[Claim, Outcome]]) -> None:
    """Settle these attempts in one statement."""
    moves = [(claim, move(outcome)) for claim, outcome in ended]
    outcomes = [
        {"job_id": c.job_id, "attempt": c.attempt, "status": m.status, "delay_s": m.delay_s, "spent": m.spent}
        for c, m in moves
    ]
    await database.rows("queue/settle", worker_id=worker_id, outcomes=Json(outcomes))
