"""A pool of connections that runs statements by name.

Connections are in autocommit, each statement a transaction of its own. Statements that repeat are prepared, which saves
their parsing and planning, where the session has its server connection to itself. Behind a pooler in transaction mode
another client's statement might be run, so nothing is prepared there.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection, OperationalError
from psycopg.errors import FeatureNotSupported, InvalidSqlStatementName, LockNotAvailable, ReadOnlySqlTransaction
from psycopg.pq import PipelineStatus
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from blogworker.db.loaders import tolerant
from blogworker.db.session import begin_session
from blogworker.db.sql import query
from blogworker.db.words import in_words
from blogworker.errors import DatabaseAway, DatabaseUnready
from blogworker.settings import DatabaseSettings

Row = dict[str, Any]
PREPARE_AFTER = 3  # times that a connection has run a statement
RECONNECT_S = 3.0  # the pool's own back-off grows to half a minute; giving up early makes the next caller try at once


class Runner(ABC):
    """Runs the files of `sql/queries`."""

    @abstractmethod
    async def rows(self, name: str, /, **parameters: object) -> list[Row]:
        """All rows of `sql/queries/<name>.sql`."""

    async def one(self, name: str, /, **parameters: object) -> Row:
        """The row of a statement that always gives one."""
        return (await self.rows(name, **parameters))[0]

    async def maybe(self, name: str, /, **parameters: object) -> Row | None:
        """The row of a statement that gives one or none."""
        return next(iter(await self.rows(name, **parameters)), None)

    async def execute(self, name: str, /, **parameters: object) -> None:
        """Run a statement for its effect."""
        await self.rows(name, **parameters)


class Statements(Runner):
    """On one connection, for example within a transaction."""

    def __init__(self, connection: AsyncConnection[DictRow]) -> None:
        self._connection = connection

    async def rows(self, name: str, /, **parameters: object) -> list[Row]:
        cursor = await self._connection.execute(query(name), parameters)
        return await cursor.fetchall() if cursor.description else []


class Database(Runner):
    """The pool. `open` fails with DatabaseUnready, in one line, when the server cannot be reached."""

    def __init__(self, settings: DatabaseSettings, *, application: str = "blogworker") -> None:
        self._settings = settings
        self._application = application
        self._pool: AsyncConnectionPool[AsyncConnection[DictRow]] | None = None

    async def __aenter__(self) -> "Database":
        settings = self._settings
        pool = AsyncConnectionPool(
            settings.url.get_secret_value(),
            connection_class=AsyncConnection[DictRow],
            kwargs=_options(settings.connect_timeout_s, self._application),
            min_size=0,
            max_size=settings.pool_max,
            max_idle=settings.idle_timeout_s,
            timeout=settings.connect_timeout_s,
            reconnect_timeout=RECONNECT_S,
            configure=_configure,
            open=False,
        )
        await self._prove(settings)
        await pool.open()
        await pool.resize(settings.pool_min, settings.pool_max)
        self._pool = pool
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def _prove(self, settings: DatabaseSettings) -> None:
        """Connect once by hand: the pool would hide why it cannot."""
        connection = await connect(settings.url.get_secret_value(), timeout_s=settings.connect_timeout_s)
        await connection.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        if self._pool is None:
            raise RuntimeError("the database is not open")
        async with self._pool.connection() as connection:
            try:
                yield connection
            except ReadOnlySqlTransaction:
                await connection.close()  # it leads to what is a standby now, and would for up to an hour
                raise
            except (FeatureNotSupported, InvalidSqlStatementName):
                await connection.close()  # its prepared statements are of another schema, or lost
                raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Statements]:
        """Statements that succeed or fail together. Never across a remote call."""
        async with self.connection() as connection, connection.transaction():
            yield Statements(connection)

    async def rows(self, name: str, /, **parameters: object) -> list[Row]:
        async with self.connection() as connection:
            return await Statements(connection).rows(name, **parameters)

    async def briefly(self, *statements: tuple[str, Mapping[str, object]]) -> list[Row] | None:
        """The rows of the last of these, which all give rows: one round trip, one transaction, in this order.

        None, and nothing done, when one of them met a lock that it would have had to wait for.
        """
        try:
            async with self.connection() as connection, _prepared_anew_after_errors(connection), connection.pipeline():
                wanted = (("db/wait_briefly", {}), *statements)
                cursors = [await connection.execute(query(name), parameters) for name, parameters in wanted]
                return [await cursor.fetchall() for cursor in cursors][-1]
        except LockNotAvailable:
            return None

    def stats(self) -> dict[str, int]:
        return self._pool.get_stats() if self._pool is not None else {}


class OwnConnection(AsyncConnection[DictRow]):
    """Closes at the end of its block, also when the block is cancelled.

    The driver commits first, where it can be cancelled, and then leaves the connection open. In autocommit there is
    nothing to commit.
    """

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


async def connect(url: str, *, timeout_s: float, application: str = "blogworker") -> OwnConnection:
    """One connection of our own, in autocommit. Raises DatabaseAway or DatabaseUnready, saying what to look at."""
    try:
        connection = await OwnConnection.connect(url, **_options(timeout_s, application))
        try:
            await begin_session(connection)
        except BaseException:
            await connection.close()
            raise
        return connection
    except (OperationalError, PoolTimeout, ValueError) as error:
        raise DatabaseAway(f"cannot connect to Postgres: {in_words(error)}. Check DATABASE_URL") from error
    except Exception as error:
        if type(error).__module__.startswith("psycopg"):
            raise DatabaseUnready(f"DATABASE_URL is not usable: {in_words(error)}") from error
        raise


def _options(connect_timeout_s: float, application: str) -> dict[str, Any]:
    """How every connection of ours is made. The keepalives find a server that went away without a word in 15 s."""
    return {
        "autocommit": True,
        "context": tolerant(),
        "row_factory": dict_row,
        "prepare_threshold": None,
        "application_name": application,
        "client_encoding": "UTF8",
        "connect_timeout": max(1, round(connect_timeout_s)),
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 5,
        "tcp_user_timeout": 15_000,
    }


@asynccontextmanager
async def _prepared_anew_after_errors(connection: AsyncConnection[DictRow]) -> AsyncIterator[None]:
    """What the server skipped after an error in a pipeline is not prepared there, while psycopg believes that it is.

    Each later use of such a connection would fail."""
    try:
        yield
    except psycopg.Error:
        if connection.info.pipeline_status != PipelineStatus.OFF:
            await connection.close()  # it could not be ended: answers are still on their way
        elif connection.prepare_threshold is not None and not connection.broken:
            async with connection.transaction(force_rollback=True):
                pass  # a rollback makes psycopg forget them, here and at the server
        raise


async def _configure(connection: AsyncConnection[DictRow]) -> None:
    """A connection of the pool: its statements repeat, so they are prepared where no pooler is between."""
    # A pooler may forward notifications that another session listens for; the driver would keep each of them for ever.
    connection.pgconn.notify_handler = None
    if await begin_session(connection):
        connection.prepare_threshold = PREPARE_AFTER
