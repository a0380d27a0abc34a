"""A worker that is killed, what it held then, and what became of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from signal import SIGKILL

import psycopg
from anyio import move_on_after
from psycopg_pool import PoolTimeout

from blogworker.bench.chaos.fleet import Fleet
from blogworker.db.pool import Database, Row

ASK_S = 1.0  # the database may be down itself


@dataclass(frozen=True, slots=True)
class Kill:
    """What a worker held when it was killed."""

    name: str
    at: datetime  # by the database's clock
    held: frozenset[tuple[int, int]]  # jobs and attempts


async def kill(fleet: Fleet, database: Database, name: str) -> list[Kill] | None:
    """The kill, if anything was held and the database could say so; None: there was nobody to kill."""
    if fleet.tell(name, SIGKILL) is None:
        return None
    # Asked after the blow: the dead hold their jobs until a lease ends, the living settle them any moment.
    rows = await ask(database, "bench/chaos_held", name=name)
    held = frozenset((row["job_id"], row["attempt"]) for row in rows)
    return [Kill(name, rows[0]["at"], held)] if rows else []


async def ask(database: Database, question: str, /, **parameters: object) -> list[Row]:
    """The answer, or an empty list if none comes in time."""
    with move_on_after(ASK_S):
        try:
            return await database.rows(question, **parameters)
        except (psycopg.OperationalError, PoolTimeout):
            pass
    return []


def delays(kills: Iterable[Kill], rows: Sequence[Row], *, ahead: int) -> list[float]:
    """Seconds from each kill to what became of what the worker held: the row of its attempt, or of one `ahead`."""
    moments = {(row["job_id"], row["attempt"]): row["at"] for row in rows}
    return [
        (moments[job_id, attempt + ahead] - at).total_seconds()
        for (job_id, attempt), at in orphaned(kills).items()
        if (job_id, attempt + ahead) in moments
    ]


def orphaned(kills: Iterable[Kill]) -> dict[tuple[int, int], datetime]:
    """When each attempt lost its worker. One killed before it had its lease leaves what the one before it held."""
    lost: dict[tuple[int, int], datetime] = {}
    for killed in kills:
        for held in killed.held:
            lost.setdefault(held, killed.at)
    return lost
