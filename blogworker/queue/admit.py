"""Put the sites that got work in line.

Each claim admits a few of those that came first, so that one new blog is served at once. When ten thousand sites get
work in one statement, the rest follows here, batch by batch, and no claim waits for it. A site joins at the lowest
virtual time that is in service when its batch is admitted, so it is next, whichever batch that is.
"""

from psycopg import Error

from blogworker.db.patient import is_transient
from blogworker.db.pool import Database, Statements
from blogworker.queue.batches import Batches

WITH_A_CLAIM = 50  # two or three milliseconds
BATCH = 200


def arrivals() -> Batches:
    return Batches("queue/admit_sites", most=BATCH)


async def admit(database: Database, batches: Batches | None = None) -> int:
    """All sites that have been announced; gives how many joined the line. Any worker may, at any time."""
    joined: int = sum(row["joined"] for row in await (batches or arrivals()).run(database))
    if not joined:
        await database.briefly(("queue/forget_arrivals", {}))
    return joined


async def admissible(database: Database) -> bool:
    """Whether a claim can admit the first sites. Where the database refuses one, `admit` passes it over."""
    asked: dict[str, object] = {"batch": WITH_A_CLAIM, "only": None, "aside": []}
    try:
        async with database.connection() as connection, connection.transaction(force_rollback=True):
            await Statements(connection).execute("queue/admit_sites", **asked)
    except Error as error:
        if is_transient(error):
            raise
        return False
    return True


class Reopening:
    """Looks for sites that are marked as at their cap and are not, a batch each time, from where it was before."""

    BATCH = 500

    def __init__(self) -> None:
        self._after = ""

    async def look(self, database: Database) -> int:
        """One batch; gives how many sites came back into the line."""
        rows = await database.briefly(("queue/reopen_sites", {"after": self._after, "batch": self.BATCH}))
        if not rows:
            return 0
        self._after = rows[0]["last"] if rows[0]["looked_at"] == self.BATCH else ""
        reopened: int = rows[0]["reopened"]
        return reopened
