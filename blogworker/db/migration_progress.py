"""Report the progress of a long migration: the steps that are done, the progress of an index, and its own notices.

A block that changes rows in batches reports with `raise notice`, such as `40000 of 1000000 jobs`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

from anyio import create_task_group, sleep
from psycopg import AsyncConnection
from psycopg import Error as PostgresError
from psycopg.errors import Diagnostic
from psycopg.rows import DictRow

from blogworker.db.sql import query
from blogworker.telemetry import get_logger

REPORT_S = 2.0

log = get_logger()


class Progress:
    """Reports of one migration. `watch`: another connection to the same server; None: indexes are not reported."""

    def __init__(
        self, connection: AsyncConnection[DictRow], watch: AsyncConnection[DictRow] | None, *, version: int, steps: int
    ) -> None:
        self._connection = connection
        self._watch = watch
        self._version = version
        self._steps = steps
        self._noted_at = 0.0

    @asynccontextmanager
    async def reporting(self, step: int) -> AsyncIterator[None]:
        """Report the progress of a statement every few seconds while it runs."""

        def note(diagnostic: Diagnostic) -> None:
            if monotonic() - self._noted_at >= REPORT_S:
                self._noted_at = monotonic()
                self._report(step, str(diagnostic.message_primary))

        self._noted_at = monotonic()
        failure: Exception | None = None
        self._connection.add_notice_handler(note)
        try:
            async with create_task_group() as tasks:
                if self._watch is not None:
                    tasks.start_soon(self._follow, self._watch, step)
                try:
                    yield
                except Exception as error:  # raised below: a task group would wrap it
                    failure = error
                tasks.cancel_scope.cancel()
        finally:
            self._connection.remove_notice_handler(note)
        if failure is not None:
            raise failure

    async def _follow(self, watch: AsyncConnection[DictRow], step: int) -> None:
        pid = self._connection.info.backend_pid
        while True:
            await sleep(REPORT_S)
            with suppress(PostgresError):  # the migration does not depend on its reports
                cursor = await watch.execute(query("db/migration_progress"), {"pid": pid})
                if (row := await cursor.fetchone()) is not None:
                    self._report(step, row["progress"])

    def _report(self, step: int, progress: str) -> None:
        log.info("migration_progressed", version=self._version, step=step, steps=self._steps, progress=progress)
