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
    retry: str  # the command that retries these jobs


async def list_errors(database: Database, *, within_s: float = DAY_S, most: int = MOST) -> list[ErrorGroup]:
    """Return the reasons why jobs failed in the last `within_s` seconds, the most frequent first."""
    rows = await database.rows("ops/errors", within_s=within_s, most=most)
    return [
        ErrorGroup(
            **row, remedy=remedy(row["kind"], row["job_id"]), retry=f"blogworker retry --kind {typed(row['kind'])}"
        )
        for row in rows
    ]


def remedy(kind: str, job_id: int) -> str:
    """Return what to do about a failed job whose last error is of this kind."""
    return FAILURES.get(kind, RETRY).format(job=job_id, site="SITE", option="SITE")
