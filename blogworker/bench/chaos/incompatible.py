"""Make the database incompatible with the workers for a while: revoke a grant, or rename a function.

No job is at fault, and the change is undone within seconds. Both statements are repeated until they succeed.
"""

from functools import partial
from itertools import cycle

from anyio import sleep

from blogworker.bench.chaos.producers import until_success
from blogworker.db.pool import Database

GRANTS = (
    ("bench/chaos_revoke_checkpoints", "bench/chaos_grant_checkpoints"),
    ("bench/chaos_revoke_jobs", "bench/chaos_grant_jobs"),
)


class IncompatibleDatabase:
    """`database` is connected as the owner of the tables."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._grants = cycle(GRANTS)

    async def revoke(self, seconds: float) -> None:
        """Revoke one grant of the workers, a different one each time."""
        revoke, grant = next(self._grants)
        await until_success(lambda: self._database.rows(revoke))
        await sleep(seconds)
        await until_success(lambda: self._database.rows(grant))

    async def rename(self, seconds: float) -> None:
        """Rename a function, and close the workers' connections, because prepared statements would still find it."""
        await until_success(lambda: self._rename("bench/chaos_rename", exists=True))
        for row in await until_success(lambda: self._database.rows("bench/chaos_backends")):
            await until_success(partial(self._database.rows, "bench/chaos_terminate", pid=row["pid"]))
        await sleep(seconds)
        await until_success(lambda: self._rename("bench/chaos_rename_back", exists=False))

    async def _rename(self, statement: str, *, exists: bool) -> None:
        """Check first: an earlier try may have succeeded although its answer was lost."""
        if (await self._database.one("bench/chaos_quota_round"))["exists"] == exists:
            await self._database.execute(statement)
