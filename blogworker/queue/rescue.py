"""Take back the jobs of workers that died."""

from dataclasses import dataclass

from blogworker.db.pool import Database

BATCH = 500
MOST_RESCUES = 3  # a job that took so many workers down with it is held to be the cause


@dataclass(frozen=True, slots=True)
class Rescued:
    jobs: int
    failed: int  # of them, those that ended because they keep killing their workers


async def rescue(database: Database) -> Rescued:
    """One batch. Any worker may, at any time."""
    rows = await database.rows("queue/rescue", batch=BATCH, most_rescues=MOST_RESCUES)
    return Rescued(jobs=len(rows), failed=sum(row["status"] == "FAILED" for row in rows))
