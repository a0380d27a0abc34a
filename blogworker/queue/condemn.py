"""Find the job that stops every claim, and end it.

A claim takes jobs of many sites in one statement. What the table's own checks let through cannot stop it; a trigger or
a check of another program can. Each job that a claim would take next is claimed alone, in a transaction that is rolled
back. Where that fails, the job ends FAILED with the reason; where not even that is allowed, its site is paused.

When all of them fail for the same reason, no job is to blame (a trigger that forbids every change for a while, DDL
under way), and none ends. Where the reason is a missing privilege or name, the job is not ended, because that costs no
blog its attempts: its site is paused.
"""

from dataclasses import dataclass

import psycopg
from anyio import current_time

from blogworker.db.misfit import misfit
from blogworker.db.patient import is_transient
from blogworker.db.pool import Database, Row, Statements
from blogworker.db.storable import explained
from blogworker.db.words import in_words

SITES = 200  # looked at, from the head of the line
LONGEST_S = 5.0
REASON_MAX = 2_000  # characters


@dataclass(frozen=True, slots=True)
class Condemned:
    job_id: int
    instance_id: str
    error: str


@dataclass(frozen=True, slots=True)
class _Fault:
    text: str
    misfit: bool


async def condemn(database: Database, window: int) -> list[Condemned]:
    """End the jobs that cannot be claimed, or pause their sites; give them. `window`: the most jobs of a site that a
    claim takes. Raises what has nothing to do with any job."""
    give_up_at = current_time() + LONGEST_S
    faults: list[tuple[Row, _Fault]] = []
    tried = 0
    for row in await database.rows("queue/next_jobs", sites=SITES, jobs=window):
        tried += 1
        if (fault := await _fault(database, row)) is not None:
            faults.append((row, fault))
        if current_time() > give_up_at:
            break
    if len(faults) == tried and (len({fault for _, fault in faults}) == 1 or all(fault.misfit for _, fault in faults)):
        return []
    ended = []
    paused: set[str] = set()
    for row, found in faults:
        if row["instance_id"] in paused:
            continue
        fault = await _fault(database, row)
        if fault is None:  # what has passed meanwhile was no job's fault
            continue
        if fault.misfit or not await _end(database, row, found):
            await _pause(database, row, found)
            paused.add(row["instance_id"])
        ended.append(Condemned(row["job_id"], row["instance_id"], found.text))
    return ended


async def _fault(database: Database, row: Row) -> _Fault | None:
    try:
        async with database.connection() as connection, connection.transaction(force_rollback=True):
            await Statements(connection).execute("queue/try_claim", job_id=row["job_id"])
    except psycopg.Error as error:
        if is_transient(error):
            raise
        return _Fault(f"the database refuses to claim it: {in_words(error)}", misfit(error))
    return None


async def _end(database: Database, row: Row, fault: _Fault) -> bool:
    """Whether the database permits it."""
    try:
        await database.execute("queue/condemn", job_id=row["job_id"], error=explained(fault.text, REASON_MAX))
    except psycopg.Error as error:
        if is_transient(error):
            raise
        return False
    return True


async def _pause(database: Database, row: Row, fault: _Fault) -> None:
    reason = explained(f"blog {row['job_id']}: {fault.text}", REASON_MAX)
    await database.execute("queue/pause_site", instance_id=row["instance_id"], reason=reason)
