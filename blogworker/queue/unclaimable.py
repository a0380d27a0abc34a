"""Find jobs that make every claim fail, and end them.

A claim takes jobs of many sites in one statement. The constraints of our tables exclude rows that make it fail, but a
trigger or a constraint of another program may refuse one row. So each job that a claim would take next is claimed
alone, in a transaction that is rolled back. A job whose trial claim fails ends FAILED with the reason. If even that is
refused, its site is paused.

If all trial claims fail for the same reason, no job is to blame (for example a trigger that forbids every change, or
DDL in progress), and no job is ended. If the reason is a missing privilege or name, the job keeps its attempts, and
its site is paused instead.
"""

from dataclasses import dataclass

import psycopg
from anyio import current_time

from blogworker.db.compatibility import is_incompatible
from blogworker.db.messages import message_of
from blogworker.db.pool import Database, Row, Statements
from blogworker.db.retrying import is_transient
from blogworker.db.storable import storable_message

SITES = 200  # checked, from the head of the line
LONGEST_S = 5.0
REASON_MAX = 2_000  # characters


@dataclass(frozen=True, slots=True)
class Unclaimable:
    """A job that was ended, or whose site was paused."""

    job_id: int
    instance_id: str
    error: str


@dataclass(frozen=True, slots=True)
class _Fault:
    text: str
    is_incompatible: bool


async def fail_unclaimable(database: Database, window: int) -> list[Unclaimable]:
    """End the jobs that cannot be claimed, or pause their sites. Return these jobs.

    `window`: the largest number of jobs of one site in a claim. Raises errors that no job causes.
    """
    give_up_at = current_time() + LONGEST_S
    faults: list[tuple[Row, _Fault]] = []
    tried = 0
    for row in await database.rows("queue/next_jobs", sites=SITES, jobs=window):
        tried += 1
        if (fault := await _claim_fault(database, row)) is not None:
            faults.append((row, fault))
        if current_time() > give_up_at:
            break
    if len(faults) == tried and (
        len({fault for _, fault in faults}) == 1 or all(fault.is_incompatible for _, fault in faults)
    ):
        return []
    ended = []
    paused: set[str] = set()
    for row, found in faults:
        if row["instance_id"] in paused:
            continue
        fault = await _claim_fault(database, row)
        if fault is None:  # an error that ended by itself was no fault of the job
            continue
        if fault.is_incompatible or not await _end(database, row, found):
            await _pause(database, row, found)
            paused.add(row["instance_id"])
        ended.append(Unclaimable(row["job_id"], row["instance_id"], found.text))
    return ended


async def _claim_fault(database: Database, row: Row) -> _Fault | None:
    try:
        async with database.connection() as connection, connection.transaction(force_rollback=True):
            await Statements(connection).execute("queue/try_claim", job_id=row["job_id"])
    except psycopg.Error as error:
        if is_transient(error):
            raise
        return _Fault(f"the database refuses to claim it: {message_of(error)}", is_incompatible(error))
    return None


async def _end(database: Database, row: Row, fault: _Fault) -> bool:
    """End the job. Return False if the database refuses that."""
    try:
        await database.execute(
            "queue/fail_unclaimable", job_id=row["job_id"], error=storable_message(fault.text, REASON_MAX)
        )
    except psycopg.Error as error:
        if is_transient(error):
            raise
        return False
    return True


async def _pause(database: Database, row: Row, fault: _Fault) -> None:
    reason = storable_message(f"job {row['job_id']}: {fault.text}", REASON_MAX)
    await database.execute("queue/pause_site", instance_id=row["instance_id"], reason=reason)
