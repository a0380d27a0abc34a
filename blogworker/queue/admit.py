"""Admit sites: put sites with new jobs into the line that claims serve.

A trigger announces each site that gets a job (table `site_arrivals`). Each claim admits a few of the first arrivals, so
that a single new job is served at once. When one statement adds jobs of ten thousand sites, this module admits the rest
batch by batch, and no claim waits for that. An admitted site gets the lowest virtual time in the line, so it is served
next, whichever batch it is in.
"""

from psycopg import Error

from blogworker.db.pool import Database, Statements
from blogworker.db.retrying import is_transient
from blogworker.queue.batches import Batches

WITH_A_CLAIM = 50  # arrivals per claim: two or three milliseconds
BATCH = 200


def arrivals() -> Batches:
    return Batches("queue/admit_sites", most=BATCH)


async def admit(database: Database, batches: Batches | None = None) -> int:
    """Admit all announced sites. Return how many joined the line. Any worker may do this at any time."""
    joined: int = sum(row["joined"] for row in await (batches or arrivals()).run(database))
    await database.briefly(("queue/forget_arrivals", {}))
    return joined


async def admissible(database: Database) -> bool:
    """Return whether a claim can admit the first arrivals. If the database refuses one, only `admit` can skip it."""
    asked: dict[str, object] = {"batch": WITH_A_CLAIM, "only": None, "skipped": []}
    try:
        async with database.connection() as connection, connection.transaction(force_rollback=True):
            await Statements(connection).execute("queue/admit_sites", **asked)
    except Error as error:
        if is_transient(error):
            raise
        return False
    return True


class Reopening:
    """Finds sites that are marked as at their cap (`max_in_flight`) but are not, one batch per run."""

    BATCH = 500

    def __init__(self) -> None:
        self._after = ""

    async def run_once(self, database: Database) -> int:
        """Check one batch. Return how many sites came back into the line."""
        rows = await database.briefly(("queue/reopen_sites", {"after": self._after, "batch": self.BATCH}))
        if not rows:
            return 0
        self._after = rows[0]["last"] if rows[0]["looked_at"] == self.BATCH else ""
        reopened: int = rows[0]["reopened"]
        return reopened
