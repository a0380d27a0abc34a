"""Run a statement repeatedly over many rows, one batch per transaction.

So no transaction is long, and the work of finished batches is kept. A batch that takes too long (a slow disk, a busy
server) is retried with half as many rows. Each batch that finishes in time makes the next one a quarter larger, up to
the maximum. If a row of one site makes a batch fail, the batch is done for all other sites (`skipped_sites.py`).
"""

from functools import partial

from psycopg.errors import QueryCanceled

from blogworker.db.pool import Database, Row
from blogworker.queue.skipped_sites import SkippedSites

STEP_S = 2.0  # the database cancels a statement that takes longer
LEAST = 10


class Batches:
    """A statement that takes `batch`, `only` and `skipped`, and gives in `looked_at` how many rows it found."""

    def __init__(self, statement: str, *, most: int) -> None:
        self._statement = statement
        self._most = most
        self.batch = most
        self._asked = most  # the batch size of the last step
        self._skipped = SkippedSites()

    async def run(self, database: Database, **parameters: object) -> list[Row]:
        """Return the rows of all batches. Stop at a batch that is not full or that would have to wait for a lock."""
        found: list[Row] = []
        while True:
            rows = await self._skipped.rows(
                database, partial(self._step, database, parameters), did_something=_found_rows
            )
            found += rows
            if not rows or rows[0]["looked_at"] < self._asked:
                return found

    async def _step(
        self, database: Database, parameters: dict[str, object], only: list[str] | None, skipped: list[str]
    ) -> list[Row]:
        """Return the rows of one batch, or no rows if it would have to wait for a lock."""
        while True:
            self._asked = batch = self.batch
            asked = {"batch": batch, "only": only, "skipped": skipped, **parameters}
            try:
                rows = await database.briefly(("db/limit_time", {"seconds": STEP_S}), (self._statement, asked))
            except QueryCanceled:
                if batch <= LEAST:
                    raise
                self.batch = max(LEAST, batch // 2)
            else:
                self.batch = min(self._most, batch + batch // 4)
                return rows or []


def _found_rows(rows: list[Row]) -> bool:
    return bool(rows) and rows[0]["looked_at"] > 0
