"""Take back the jobs of workers that died, and those that a worker holds without knowing."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from blogworker.db.pool import Runner

BATCH = 500
STRAY_AFTER_S = 20.0  # longer than a claim may take to be answered
MOST_RESCUES = 3  # a job that took so many workers down with it is held to be the cause


@dataclass(frozen=True, slots=True)
class Rescued:
    jobs: int
    failed: int  # of them, those that ended because they keep killing their workers


async def rescue(database: Runner) -> Rescued:
    """One batch. Any worker may, at any time."""
    rows = await database.rows("queue/rescue", batch=BATCH, most_rescues=MOST_RESCUES)
    return Rescued(jobs=len(rows), failed=sum(row["status"] == "FAILED" for row in rows))


async def release_strays(database: Runner, worker_id: UUID, *, known: Collection[int]) -> int:
    """Hand back jobs that a claim of ours took although its answer never reached us; give how many."""
    rows = await database.rows(
        "queue/release_strays", worker_id=worker_id, known=list(known), older_than_s=STRAY_AFTER_S
    )
    return len(rows)
