"""A database of the bench's own: new, migrated, and gone afterwards."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID, uuid4

from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from blogworker.db.embedded import temporary_server
from blogworker.db.migrate import migrate
from blogworker.db.pool import Database, connect
from blogworker.settings import DatabaseSettings


def server() -> AbstractAsyncContextManager[str]:
    """The DSN of a Postgres that lives as long as the block, with durable commits as in production."""
    return temporary_server(durable=True, max_connections=200)


@asynccontextmanager
async def database(dsn: str, *, pool_max: int = 20) -> AsyncIterator[Database]:
    """A fresh, migrated database on that server."""
    name = f"bench_{uuid4().hex}"
    async with await connect(dsn, timeout_s=5) as admin:
        await admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    url = make_conninfo(dsn, dbname=name)
    await prepare(url)
    async with Database(DatabaseSettings(url=SecretStr(url), pool_max=pool_max)) as opened:
        yield opened


async def prepare(url: str) -> None:
    """Migrate the database, and lift the queue's limit in it, for all sessions to come."""
    async with await connect(url, timeout_s=5) as owner:
        await migrate(owner)
        name = sql.Identifier(owner.info.dbname)
        await owner.execute(sql.SQL("alter database {} set blogworker.queue_size_limit = 2000000000").format(name))


async def registered(opened: Database, name: str = "bench") -> UUID:
    """The id of a worker that may claim."""
    worker_id = uuid4()
    await opened.execute("bench/register_worker", name=name, worker_id=worker_id)
    return worker_id
