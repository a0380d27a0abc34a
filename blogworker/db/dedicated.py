"""A connection for one part of a worker, so that this part never waits for a connection of the pool."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from anyio import fail_after
from psycopg import AsyncConnection, OperationalError
from psycopg.rows import DictRow

from blogworker.db.pool import Row, Runner, Statements, connect
from blogworker.errors import DatabaseUnavailable
from blogworker.settings import DatabaseSettings


class DedicatedConnection(Runner):
    """Connects at its first use and again after any error. Runs one statement at a time.

    It prefers a direct connection that bypasses the pooler, because a pooler has its own queue. When the direct
    connection fails, it connects through the pooler.
    """

    def __init__(self, settings: DatabaseSettings, *, answer_s: float, application: str) -> None:
        self._settings = settings
        self._answer_s = answer_s  # a connection that takes longer is replaced by a new one
        self._application = application
        self._direct = True
        self._connection: AsyncConnection[DictRow] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    async def rows(self, name: str, /, **parameters: object) -> list[Row]:
        """Run a statement. Raises OperationalError or TimeoutError when the database cannot be reached."""
        async with AsyncExitStack() as failed:
            # After an error or a cancellation the state of the connection is unknown, also which server it leads to.
            failed.push_async_callback(self._close)
            with fail_after(self._answer_s):
                rows = await Statements(await self._opened()).rows(name, **parameters)
            failed.pop_all()
        return rows

    async def _opened(self) -> AsyncConnection[DictRow]:
        if self._connection is None:
            settings = self._settings
            url = settings.direct if self._direct else settings.url.get_secret_value()
            self._direct = not self._direct  # try the other address next time, if this one fails or takes too long
            try:
                self._connection = await connect(
                    url, timeout_s=settings.connect_timeout_s, application=self._application
                )
            except DatabaseUnavailable as away:
                raise OperationalError(str(away)) from away
            self._direct = not self._direct
        return self._connection

    async def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()
