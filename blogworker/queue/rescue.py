"""Rescue jobs: requeue the jobs of dead workers, and jobs that a worker has claimed without receiving the answer.

Any job that ran in a worker when it died may have killed it. A job that was running at two deaths in a row, without a
finished stage in between, becomes a *suspect*: it runs alone, in a separate process (`daemon/isolation.py`). Only a job
that kills a worker in which it runs alone ends FAILED. Other jobs of a dead worker are not affected.
"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from blogworker.db.pool import Row, Runner
from blogworker.queue.claim import claim_of
from blogworker.queue.job import Claim, Stage
from blogworker.queue.skipped_sites import SkippedSites

BATCH = 500
LOST_AFTER_S = 20.0  # longer than a claim may take to be answered
MOST_LONE = 3  # deaths of workers that ran this job alone, while no other worker died
MOST = 12  # deaths, even if other workers died too: also on a bad host a job that kills its workers must end


@dataclass(frozen=True, slots=True)
class Rescued:
    workers: tuple[str, ...]  # the workers that lost the jobs: their names, or the id if a new worker uses the name
    jobs: int
    failed: int  # jobs among them that ended FAILED because they killed their workers repeatedly


@dataclass(frozen=True, slots=True)
class FormerLease:
    """A lease of this process that ended while the process went on."""

    worker_id: UUID
    unsettled: tuple[tuple[int, int], ...]  # the jobs and attempts that it could not settle


async def rescue(database: Runner, skipped: SkippedSites | None = None) -> Rescued:
    """Rescue one batch. Any worker may do this at any time."""

    async def run(only: list[str] | None, skip: list[str]) -> list[Row]:
        return await database.rows("queue/rescue", batch=BATCH, most_lone=MOST_LONE, most=MOST, only=only, skipped=skip)

    rows = await (skipped or SkippedSites()).rows(database, run)
    workers = tuple(sorted({row["worker"] for row in rows}))
    return Rescued(workers, jobs=len(rows), failed=sum(row["status"] == "FAILED" for row in rows))


async def release_lost_claims(
    database: Runner, worker_id: UUID, *, known: Collection[int], skipped: SkippedSites | None = None
) -> int:
    """Release jobs that this worker claimed but whose claim was never answered. Return how many. `known`: its jobs."""
    asked = {"worker_id": worker_id, "known": list(known), "older_than_s": LOST_AFTER_S}

    async def run(only: list[str] | None, skip: list[str]) -> list[Row]:
        return await database.rows("queue/release_lost_claims", **asked, only=only, skipped=skip)

    return len(await (skipped or SkippedSites()).rows(database, run))


async def take_back(database: Runner, former: FormerLease) -> int:
    """Release the jobs of this process's former lease. Return how many jobs changed.

    If another worker has rescued a job meanwhile, undo the suspicion, because this process did not die.
    """
    rows = await database.rows(
        "queue/take_back",
        former=former.worker_id,
        job_ids=[job_id for job_id, _ in former.unsettled],
        attempts=[attempt for _, attempt in former.unsettled],
    )
    return len(rows)


async def claim_suspect(database: Runner, worker_id: UUID, stages: tuple[Stage, ...] | None) -> Claim | None:
    """Claim one suspect whose next stage is in `stages` (None: any), if the worker has no other job."""
    row = await database.maybe(
        "queue/claim_suspect", worker_id=worker_id, stages=None if stages is None else list(stages)
    )
    return None if row is None else claim_of(row)
