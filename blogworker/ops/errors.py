"""Errors: why jobs failed, in groups, with what to do about each."""

from dataclasses import dataclass
from datetime import datetime

from blogworker.db.pool import Database
from blogworker.ops.explain import FAILURES, RETRY
from blogworker.printable import typed

DAY_S = 86_400.0
MOST = 50


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Jobs that failed for the same reason. `message` is that of the newest, `job_id`."""

    kind: str
    stage: str | None
    message: str
    jobs: int
    sites: int
    first_at: datetime
    last_at: datetime
    job_id: int
    remedy: str
    retry: str  # the command that retries all of this kind that failed within the same time
    jobs_of_kind: int  # in all groups


async def list_errors(database: Database, *, within_s: float = DAY_S, most: int = MOST) -> list[ErrorGroup]:
    """Return the reasons why jobs failed in the last `within_s` seconds, the most frequent first."""
    rows = await database.rows("ops/errors", within_s=within_s, most=most)
    within = _duration(within_s)
    return [
        ErrorGroup(
            **row,
            remedy=remedy(row["kind"], row["job_id"]),
            retry=f"blogworker retry --kind {typed(row['kind'])} --within {within}",
        )
        for row in rows
    ]


def _duration(within_s: float) -> str:
    """Return a time as an option takes it."""
    for unit, unit_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if within_s % unit_s == 0:
            return f"{within_s // unit_s:.0f}{unit}"
    return f"{within_s}s"


def remedy(kind: str, job_id: int) -> str:
    """Return what to do about a failed job whose last error is of this kind."""
    return FAILURES.get(kind, RETRY).format(job=job_id, site="SITE", option="SITE")
