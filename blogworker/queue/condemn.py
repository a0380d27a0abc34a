"""Find the job that stops every claim, and end it.

A claim takes jobs of many sites in one statement. What the table's own checks let through cannot stop it; a trigger or
a check of somebody else's can. Each job that a claim would take next is then claimed alone, in a transaction that is
rolled back. Where that fails, the job is FAILED with the reason; where not even that is allowed, its site is paused.
"""

from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from blogworker.db.pool import Database, Row, Statements

SITES, JOBS = 200, 20  # looked at: from the head of the line, and of each site


@dataclass(frozen=True, slots=True)
class Condemned:
    job_id: int
    instance_id: str
    error: str


async def condemn(database: Database, ours: Callable[[BaseException], bool]) -> list[Condemned]:
    """End the jobs that cannot be claimed; give them. `ours`: of an error, whether it is not the job's."""
    found = []
    for row in await database.rows("queue/next_jobs", sites=SITES, jobs=JOBS):
        if (fault := await _fault(database, row, ours)) is not None:
            await _end(database, row, fault, ours)
            found.append(Condemned(row["job_id"], row["instance_id"], fault))
    return found


async def _fault(database: Database, row: Row, ours: Callable[[BaseException], bool]) -> str | None:
    try:
        async with database.connection() as connection, connection.transaction(force_rollback=True):
            await Statements(connection).execute("queue/try_claim", job_id=row["job_id"])
    except psycopg.Error as error:
        if ours(error):
            raise
        return f"the database refuses to have it claimed: {next(iter(str(error).splitlines()), '')}"
    return None


async def _end(database: Database, row: Row, fault: str, ours: Callable[[BaseException], bool]) -> None:
    try:
        await database.execute("queue/condemn", job_id=row["job_id"], error=fault)
    except psycopg.Error as error:
        if ours(error):
            raise
        await database.execute(
            "queue/pause_site", instance_id=row["instance_id"], reason=f"blog {row['job_id']}: {fault}"
        )
