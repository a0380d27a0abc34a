"""Kill a worker, record the attempts that it was running, and measure when they were rescued and claimed again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from signal import SIGKILL

import psycopg
from anyio import move_on_after
from psycopg_pool import PoolTimeout

from blogworker.bench.environment.fleet import Fleet
from blogworker.db.pool import Database, Row

QUERY_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Kill:
    at: datetime  # by the database's clock
    attempts: frozenset[tuple[int, int]]  # job id and attempt of each job that the worker was running


async def kill(fleet: Fleet, database: Database, name: str) -> list[Kill] | None:
    """Kill a worker. Return None if it was not running, an empty list if it ran no job or the database did not answer.

    The jobs are read after the kill: a dead worker keeps them until its lease ends, a live one could settle them.
    """
    if fleet.send_signal(name, SIGKILL) is None:
        return None
    rows = await rows_if_available(database, "bench/chaos_running", name=name)
    return [Kill(rows[0]["at"], frozenset((row["job_id"], row["attempt"]) for row in rows))] if rows else []


async def rows_if_available(database: Database, statement: str, /, **parameters: object) -> list[Row]:
    """Run a statement. Return an empty list if the database does not answer in time."""
    with move_on_after(QUERY_TIMEOUT_S):
        try:
            return await database.rows(statement, **parameters)
        except (psycopg.OperationalError, PoolTimeout):
            pass
    return []


def delays(kills: Iterable[Kill], rows: Sequence[Row], *, later: int) -> list[float]:
    """Return seconds from the kill of each attempt to the row (job_id, attempt, at) of its job `later` attempts on."""
    times = {(row["job_id"], row["attempt"]): row["at"] for row in rows}
    return [
        (times[job_id, attempt + later] - at).total_seconds()
        for (job_id, attempt), at in orphaned(kills).items()
        if (job_id, attempt + later) in times
    ]


def orphaned(kills: Iterable[Kill]) -> dict[tuple[int, int], datetime]:
    """Return when each attempt lost its worker.

    The first kill counts: a process that is killed before it has a lease leaves the attempts of the previous process.
    """
    lost: dict[tuple[int, int], datetime] = {}
    for killed in kills:
        for attempt in killed.attempts:
            lost.setdefault(attempt, killed.at)
    return lost
