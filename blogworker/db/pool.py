"""A pool of connections that runs statements by name.

Connections are in autocommit mode, so each statement is its own transaction. Statements that repeat are prepared, which
saves parsing and planning. Behind a pooler in transaction mode nothing is prepared, because the server connection is
shared and might run another client's statement of the same name.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from anyio import Semaphore, WouldBlock, move_on_after
from psycopg import AsyncConnection, AsyncRawCursor, OperationalError
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import (
    FeatureNotSupported,
    InvalidSqlStatementName,
    LockNotAvailable,
    QueryCanceled,
    ReadOnlySqlTransaction,
)
from psycopg.pq import PipelineStatus
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from blogworker.db.loaders import tolerant
from blogworker.db.messages import message_of
from blogworker.db.session import begin_session
from blogworker.db.sql import prepared
from blogworker.errors import DatabaseNotReady, DatabaseUnavailable
from blogworker.settings import DatabaseSettings

Row = dict[str, Any]
PREPARE_AFTER = 3  # times that a connection has run a statement, unless it makes one plan of each
USUAL_CONNECTIONS = 4  # that are used at once, unless they are held: each makes its own plans of all statements
HELD_S = 0.5  # how long a statement waits for one of them before it takes another
RECONNECT_S = 3.0  # the pool's own backoff grows to 30 s; giving up early lets the next caller reconnect at once


class Runner(ABC):
    """Runs the files of `sql/queries`."""

    @abstractmethod
    async def rows(self, name: str, /, **parameters: object) -> list[Row]:
        """Return all rows of `sql/queries/<name>.sql`."""

    async def one(self, name: str, /, **parameters: object) -> Row:
        """Return the row of a statement that always gives one row."""
        return (await self.rows(name, **parameters))[0]

    async def maybe(self, name: str, /, **parameters: object) -> Row | None:
        """Return the row of a statement that gives one row or no row."""
        return next(iter(await self.rows(name, **parameters)), None)

    async def execute(self, name: str, /, **parameters: object) -> None:
        """Run a statement for its effect."""
        await self.rows(name, **parameters)


class Statements(Runner):
    """Runs statements on one connection, for example in a transaction."""

    def __init__(self, connection: AsyncConnection[DictRow]) -> None:
        self._connection = connection

    async def rows(self, name: str, /, **parameters: object) -> list[Row]:
        cursor = await _send(self._connection, name, parameters)
        return await cursor.fetchall() if cursor.description else []


class Database(Runner):
    """The pool. Entering it raises DatabaseNotReady or DatabaseUnavailable if the server cannot be used."""

    def __init__(
        self,
        settings: DatabaseSettings,
        *,
        application: str = "blogworker",
        checked: bool = False,
        plans_once: bool = False,
    ) -> None:
        """`checked`: test a connection before each use, for callers that do not repeat what failed on a lost one.
        `plans_once`: each connection makes one plan of each statement, for callers that send the same ones all day."""
        self._settings = settings
        self._checked = checked
        self._application = application
        self._plans_once = plans_once
        self._pool: AsyncConnectionPool[AsyncConnection[DictRow]] | None = None
        self._usual = Semaphore(USUAL_CONNECTIONS, fast_acquire=True)

    async def __aenter__(self) -> "Database":
        settings = self._settings
        pool = AsyncConnectionPool(
            settings.url.get_secret_value(),
            connection_class=AsyncConnection[DictRow],
            kwargs=_options(settings.url.get_secret_value(), settings.connect_timeout_s, self._application),
            min_size=0,
            max_size=settings.pool_max,
            max_idle=settings.idle_timeout_s,
            timeout=settings.connect_timeout_s,
            reconnect_timeout=RECONNECT_S,
            configure=self._configure,
            open=False,
        )
        await self._test_connection(settings)
        await pool.open()
        await pool.resize(settings.pool_min, settings.pool_max)
        self._pool = pool
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def _test_connection(self, settings: DatabaseSettings) -> None:
        """Connect once without the pool, which would hide the reason of a failure."""
        connection = await connect(settings.url.get_secret_value(), timeout_s=settings.connect_timeout_s)
        await connection.close()

    async def _configure(self, connection: AsyncConnection[DictRow]) -> None:
        """Configure a new connection of the pool. Prepare statements unless a pooler is in between."""
        # A pooler may forward notifications of other sessions, and the driver would store them all.
        connection.pgconn.notify_handler = None
        if await begin_session(connection, plans_once=self._plans_once):
            connection.prepare_threshold = 0 if self._plans_once else PREPARE_AFTER

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        if self._pool is None:
            raise RuntimeError("the database is not open")
        async with self._few(), self._live(self._pool) as connection:
            try:
                yield connection
            except ReadOnlySqlTransaction:
                await connection.close()  # its server has become a standby; the pool would keep it for up to an hour
                raise
            except (FeatureNotSupported, InvalidSqlStatementName):
                await connection.close()  # its prepared statements are lost, or belong to an older schema
                raise
            finally:
                if connection.info.pipeline_status != PipelineStatus.OFF:
                    # Its entry was cancelled after it was complete. The driver does not end such a pipeline, and all
                    # later statements on this connection would seem to return no rows.
                    await connection.close()

    @asynccontextmanager
    async def _live(
        self, pool: AsyncConnectionPool[AsyncConnection[DictRow]]
    ) -> AsyncIterator[AsyncConnection[DictRow]]:
        """Take a connection, with a test if asked for. The pool's own test waits longer after each lost connection."""
        for _ in range(pool.max_size if self._checked else 0):
            async with pool.connection() as connection:
                if await _is_alive(connection):
                    yield connection
                    return
        async with pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def _few(self) -> AsyncIterator[None]:
        """Wait a moment while the usual number of connections is in use. Statements that wait for locks may hold them,
        so then another one is opened."""
        usual = False
        try:
            self._usual.acquire_nowait()
            usual = True
        except WouldBlock:
            with move_on_after(HELD_S):
                await self._usual.acquire()
                usual = True
        try:
            yield
        finally:
            if usual:
                self._usual.release()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Statements]:
        """Run statements that succeed or fail together. Do not call a provider in the block."""
        async with self.connection() as connection, connection.transaction():
            yield Statements(connection)

    async def rows(self, name: str, /, **parameters: object) -> list[Row]:
        async with self.connection() as connection:
            return await Statements(connection).rows(name, **parameters)

    async def briefly(self, *statements: tuple[str, Mapping[str, object]]) -> list[Row] | None:
        """Run statements in order in one transaction and one round trip. Return the rows of the last one.

        Returns None, and changes nothing, if a statement would have to wait for a lock. Each statement gives rows.
        Raises QueryCanceled also if the server refuses the commit: a time limit may end there.
        """
        try:
            async with self.connection() as connection, _ended_after_errors(connection), connection.pipeline():
                all_statements = (("db/begin_briefly", {}), *statements)
                cursors = [await _send(connection, name, parameters) for name, parameters in all_statements]
                return [await cursor.fetchall() for cursor in cursors][-1]
        except LockNotAvailable:
            return None

    def stats(self) -> dict[str, int]:
        return self._pool.get_stats() if self._pool is not None else {}


async def _is_alive(connection: AsyncConnection[DictRow]) -> bool:
    """Return whether the server answers. If not, the connection is closed, and the pool replaces it."""
    try:
        await connection.execute(b"")
    except OperationalError:
        await connection.close()
        return False
    return True


class ClosingConnection(AsyncConnection[DictRow]):
    """A connection that is always closed at the end of its block, also when the block is cancelled.

    The driver's own `__aexit__` commits first; if it is cancelled there, the connection stays open. In autocommit mode
    there is nothing to commit.
    """

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


async def _send(
    connection: AsyncConnection[DictRow], name: str, parameters: Mapping[str, object]
) -> AsyncRawCursor[DictRow]:
    statement = prepared(name)
    return await AsyncRawCursor(connection).execute(statement.text, statement.values(parameters))


async def connect(url: str, *, timeout_s: float, application: str = "blogworker") -> ClosingConnection:
    """Open one connection in autocommit mode. Raises DatabaseUnavailable or DatabaseNotReady, with advice."""
    try:
        connection = await ClosingConnection.connect(url, **_options(url, timeout_s, application))
        try:
            await begin_session(connection)
        except BaseException:
            await connection.close()
            raise
        return connection
    except (OperationalError, PoolTimeout, ValueError) as error:
        raise DatabaseUnavailable(f"cannot connect to Postgres: {message_of(error)}. Check DATABASE_URL") from error
    except Exception as error:
        if type(error).__module__.startswith("psycopg"):
            raise DatabaseNotReady(f"DATABASE_URL is not usable: {message_of(error)}") from error
        raise


def _options(url: str, connect_timeout_s: float, application: str) -> dict[str, Any]:
    """Return the options of all our connections. The keepalives detect a server that disappeared within 15 s.

    The driver gives each host of the URL the whole connect_timeout, in their order. So they share ours; otherwise the
    next host is never tried while the first one does not answer. The driver's minimum is 2 s.
    """
    hosts = str(conninfo_to_dict(url).get("host") or "").count(",") + 1
    return {
        "autocommit": True,
        "context": tolerant(),
        "row_factory": dict_row,
        "prepare_threshold": None,
        "application_name": application,
        "client_encoding": "UTF8",
        "connect_timeout": max(1, round(connect_timeout_s) if hosts == 1 else int(connect_timeout_s / hosts)),
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 5,
        "tcp_user_timeout": 15_000,
    }


@asynccontextmanager
async def _ended_after_errors(connection: AsyncConnection[DictRow]) -> AsyncIterator[None]:
    """End a pipeline after an error, and reset prepared statements.

    The server skips what follows the error, so it has not prepared those statements, but psycopg believes that it has.
    Each later use of the connection would fail. Raises the error of the server, also if the driver then could not end
    the pipeline.
    """
    try:
        yield
    except IndexError as error:  # how psycopg fails at the error of a commit, which answers none of its statements
        await connection.close()
        raise QueryCanceled("the server refused the commit") from error
    except psycopg.Error as error:
        if connection.info.pipeline_status != PipelineStatus.OFF:
            await connection.close()  # the pipeline could not be ended: results are still arriving
            answer = error.__context__
            if error.sqlstate is None and isinstance(answer, psycopg.Error) and answer.sqlstate is not None:
                raise answer from None  # what the server said; the driver's own error about the pipeline replaced it
        elif connection.prepare_threshold is not None and not connection.broken:
            async with connection.transaction(force_rollback=True):
                pass  # a rollback makes psycopg deallocate all prepared statements
        raise
