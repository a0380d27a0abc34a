"""Take back the jobs of workers that died, and those that a worker holds without knowing.

Any job that a worker held may have been what killed it. One that was held at two deaths in a row, and finished no stage
between them, is a suspect: it runs alone, in a process of its own (`daemon/isolation.py`). Only what kills a worker
that held nothing else ends FAILED. The other jobs that the worker held are not affected.
"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from blogworker.db.pool import Row, Runner
from blogworker.queue.aside import Aside
from blogworker.queue.claim import claim_of
from blogworker.queue.job import Claim, Stage

BATCH = 500
STRAY_AFTER_S = 20.0  # longer than a claim may take to be answered
MOST_LONE = 3  # deaths of workers that held nothing else, and that nothing else explains
MOST = 12  # deaths, where others died meanwhile too: a bad host must not keep a poisonous job from its end


@dataclass(frozen=True, slots=True)
class Rescued:
    workers: tuple[str, ...]  # names of the workers that lost the jobs; the id of one whose name is in use again
    jobs: int
    failed: int  # jobs among them that ended FAILED, because they kept killing their workers


@dataclass(frozen=True, slots=True)
class Former:
    """A lease that ended while its process went on."""

    worker_id: UUID
    held: tuple[tuple[int, int], ...]  # the jobs and attempts that it could not settle


async def rescue(database: Runner, aside: Aside | None = None) -> Rescued:
    """One batch. Any worker may, at any time."""

    async def ask(only: list[str] | None, passed_over: list[str]) -> list[Row]:
        return await database.rows(
            "queue/rescue", batch=BATCH, most_lone=MOST_LONE, most=MOST, only=only, aside=passed_over
        )

    rows = await (aside or Aside()).rows(database, ask)
    workers = tuple(sorted({row["worker"] for row in rows}))
    return Rescued(workers, jobs=len(rows), failed=sum(row["status"] == "FAILED" for row in rows))


async def release_strays(
    database: Runner, worker_id: UUID, *, known: Collection[int], aside: Aside | None = None
) -> int:
    """Hand back jobs that a claim of ours took although its answer never reached us; give how many."""
    asked = {"worker_id": worker_id, "known": list(known), "older_than_s": STRAY_AFTER_S}

    async def ask(only: list[str] | None, passed_over: list[str]) -> list[Row]:
        return await database.rows("queue/release_strays", **asked, only=only, aside=passed_over)

    return len(await (aside or Aside()).rows(database, ask))


async def take_back(database: Runner, former: Former) -> int:
    """Free what this process held when its former lease ended. Where another worker has rescued it, take back the
    suspicion: the process lives. Gives how many."""
    rows = await database.rows(
        "queue/take_back",
        former=former.worker_id,
        job_ids=[job_id for job_id, _ in former.held],
        attempts=[attempt for _, attempt in former.held],
    )
    return len(rows)


async def claim_suspect(database: Runner, worker_id: UUID, stages: tuple[Stage, ...] | None) -> Claim | None:
    """Take one suspect whose next stage is one of these (None: any), if there is one and the worker holds nothing."""
    row = await database.maybe(
        "queue/claim_suspect", worker_id=worker_id, stages=None if stages is None else list(stages)
    )
    return None if row is None else claim_of(row)
