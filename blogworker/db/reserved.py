"""A connection that only one part of a worker uses, so that it never waits for the others."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from anyio import fail_after
from psycopg import AsyncConnection, OperationalError
from psycopg.rows import DictRow

from blogworker.db.pool import Row, Runner, Statements, connect
from blogworker.errors import DatabaseAway
from blogworker.settings import DatabaseSettings


class ReservedConnection(Runner):
    """Connects when it is first used, and again after anything went wrong. One statement at a time.

    It goes past a pooler where there is a way, because a pooler has a queue of its own. Where that way turns out to be
    closed, it goes through the pooler.
    """

    def __init__(self, settings: DatabaseSettings, *, answer_s: float, application: str) -> None:
        self._settings = settings
        self._answer_s = answer_s  # a link that takes longer is given up for a new one
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
        """Raises OperationalError or TimeoutError when the database cannot be reached."""
        async with AsyncExitStack() as failed:
            # Cancelled or broken: nobody knows what state it is in, nor which server it leads to after a failover.
            failed.push_async_callback(self._close)
            with fail_after(self._answer_s):
                rows = await Statements(await self._opened()).rows(name, **parameters)
            failed.pop_all()
        return rows

    async def _opened(self) -> AsyncConnection[DictRow]:
        if self._connection is None:
            settings = self._settings
            url = settings.direct if self._direct else settings.url.get_secret_value()
            self._direct = not self._direct  # the other way next time, should this one fail or take too long
            try:
                self._connection = await connect(
                    url, timeout_s=settings.connect_timeout_s, application=self._application
                )
            except DatabaseAway as away:
                raise OperationalError(str(away)) from away
            self._direct = not self._direct
        return self._connection

    async def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()
