"""Make the database incompatible with the workers for a while: revoke a grant, or rename a function.

No job is at fault, and the change is undone within seconds. Both statements are repeated until they succeed.
"""

from functools import partial
from itertools import cycle

from anyio import sleep

from blogworker.bench.chaos.producers import until_answered
from blogworker.db.pool import Database

GRANTS = (
    ("bench/chaos_revoke_checkpoints", "bench/chaos_grant_checkpoints"),
    ("bench/chaos_revoke_jobs", "bench/chaos_grant_jobs"),
)


class IncompatibleDatabase:
    """`database`: a connection of the owner."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._grants = cycle(GRANTS)

    async def revoke(self, seconds: float) -> None:
        """Revoke one grant of the workers, a different one each time."""
        taken, given = next(self._grants)
        await until_answered(lambda: self._database.rows(taken))
        await sleep(seconds)
        await until_answered(lambda: self._database.rows(given))

    async def rename(self, seconds: float) -> None:
        """Statements that are prepared know a function by its number: only new connections miss its name."""
        await until_answered(lambda: self._renamed("bench/chaos_rename", there=True))
        for row in await until_answered(lambda: self._database.rows("bench/chaos_backends")):
            await until_answered(partial(self._database.rows, "bench/chaos_terminate", pid=row["pid"]))
        await sleep(seconds)
        await until_answered(lambda: self._renamed("bench/chaos_rename_back", there=False))

    async def _renamed(self, statement: str, *, there: bool) -> None:
        """Asked first, because an answer that was lost may have been a yes."""
        if (await self._database.one("bench/chaos_quota_round"))["there"] == there:
            await self._database.execute(statement)
