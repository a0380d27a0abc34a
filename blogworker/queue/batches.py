"""Work through what may be much: one statement again and again, each time a batch in a transaction of its own.

However much there is, no transaction is long, and what each did stays done. A batch that takes too long (a slow disk, a
busy server) is tried again with half as many rows; each that ends in time makes the next a quarter larger, up to the
most. A batch that a row of some site makes fail is done for all other sites (`aside.py`).
"""

from functools import partial

from psycopg.errors import QueryCanceled

from blogworker.db.pool import Database, Row
from blogworker.queue.aside import Aside

STEP_S = 2.0  # a statement that takes longer is stopped by the database
LEAST = 10


class Batches:
    """A statement that takes `batch`, `only` and `aside`, and gives in `looked_at` how many rows it found."""

    def __init__(self, statement: str, *, most: int) -> None:
        self._statement = statement
        self._most = most
        self.batch = most
        self._asked = most  # by the last step
        self._aside = Aside()

    async def run(self, database: Database, **parameters: object) -> list[Row]:
        """The rows of all batches, until one is not full or meets a lock that it would have to wait for."""
        found: list[Row] = []
        while True:
            rows = await self._aside.rows(database, partial(self._step, database, parameters), did=_looked)
            found += rows
            if not rows or rows[0]["looked_at"] < self._asked:
                return found

    async def _step(
        self, database: Database, parameters: dict[str, object], only: list[str] | None, aside: list[str]
    ) -> list[Row]:
        """The rows of one batch, none where it met a lock."""
        while True:
            self._asked = batch = self.batch
            asked = {"batch": batch, "only": only, "aside": aside, **parameters}
            try:
                rows = await database.briefly(("db/limit_time", {"seconds": STEP_S}), (self._statement, asked))
            except QueryCanceled:
                if batch <= LEAST:
                    raise
                self.batch = max(LEAST, batch // 2)
            else:
                self.batch = min(self._most, batch + batch // 4)
                return rows or []


def _looked(rows: list[Row]) -> bool:
    return bool(rows) and rows[0]["looked_at"] > 0
