"""The lock that lets one migration run at a time.

The lock is polled with `pg_try_advisory_lock`. A waiting `pg_advisory_lock` would deadlock with CREATE INDEX
CONCURRENTLY, which waits for every older snapshot, and the waiter has one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import fail_after, sleep
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from blogworker.db.sql import query
from blogworker.errors import DatabaseNotReady

LOCK_POLL_S = 0.1
LOCK_TIMEOUT_S = 300.0


@asynccontextmanager
async def migration_lock(connection: AsyncConnection[DictRow]) -> AsyncIterator[None]:
    """Hold the lock during the block. Every change of the schema or of privileges takes it."""
    await _lock(connection)
    try:
        yield
    finally:
        if not connection.closed:
            await connection.execute(query("db/unlock_migrations"))


async def _lock(connection: AsyncConnection[DictRow]) -> None:
    try:
        with fail_after(LOCK_TIMEOUT_S):
            while True:
                row = await (await connection.execute(query("db/lock_migrations"))).fetchone()
                if row is not None and row["locked"]:
                    return
                await sleep(LOCK_POLL_S)
    except TimeoutError as error:
        raise DatabaseNotReady(
            "another migration has been running for five minutes; look for it in pg_stat_activity"
        ) from error
