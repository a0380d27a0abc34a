"""A worker with its keepers, on a real database."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from anyio import CancelScope, Event, create_task_group, fail_after, sleep
from anyio.abc import TaskGroup

from blogworker.daemon.attempt import Pipeline
from blogworker.daemon.gate import Gate
from blogworker.daemon.worker import Worker
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.ops.jobs import JobFilter, list_jobs
from blogworker.queue.enqueue import enqueue
from blogworker.queue.job import Claim, Done, Outcome
from blogworker.queue.settle import Settler
from blogworker.queue.validation import NewJob
from blogworker.quota.breaker import Breakers
from blogworker.settings import QueueSettings, WorkerSettings
from blogworker.slots import ALL_STAGES

WITHIN_S = 45.0
LOOK_S = 0.01


@dataclass
class Stage:
    """A pipeline whose jobs stay until they are let go."""

    started: list[Claim] = field(default_factory=list)
    running: int = 0
    most: int = 0
    gates: dict[int, Event] = field(default_factory=dict)

    async def __call__(self, claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        self.started.append(claim)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate(claim.job_id).wait()
        finally:
            self.running -= 1
        return Done()

    def gate(self, job_id: int) -> Event:
        return self.gates.setdefault(job_id, Event())

    async def until_started(self, count: int) -> None:
        await until(lambda: len(self.started) >= count)


async def until(fact: Callable[[], bool]) -> None:
    with fail_after(WITHIN_S):
        while not fact():
            await sleep(LOOK_S)


@dataclass(frozen=True)
class Bench:
    """A queue, and workers on it."""

    database: Database
    worker_id: UUID

    async def add(self, *sites: str, max_attempts: int = 5) -> list[int]:
        blogs = [NewJob(site, "keyword", None, {"keyword": "k"}, max_attempts=max_attempts) for site in sites]
        return [(await enqueue(self.database, blog)).job_id for blog in blogs]

    async def jobs(self) -> list[dict[str, Any]]:
        rows = [asdict(job) for job in await list_jobs(self.database, JobFilter(), most=1000)]
        return sorted(rows, key=lambda row: row["id"])

    async def statuses(self) -> list[str]:
        return [job["status"] for job in await self.jobs()]

    async def errors(self, job_id: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.database.one("ops/show_job", job_id=job_id))["errors"]
        return found

    @asynccontextmanager
    async def working(
        self,
        pipeline: Pipeline,
        *,
        slots: int = 10,
        by_stage: str | None = None,
        stages: Sequence[str] = ALL_STAGES,
        health: DatabaseHealth | None = None,
    ) -> AsyncIterator[tuple[Worker, TaskGroup]]:
        """A worker that claims while the block lasts, with the task group of its jobs."""
        settler = Settler(self.database, self.worker_id)
        worker = Worker(
            self.database,
            settler,
            pipeline,
            queue=QueueSettings(_env_file=None),
            worker=WorkerSettings(
                concurrency=slots, slots=by_stage or {}, stages=tuple(stages), poll_interval=0.05, _env_file=None
            ),
            health=health or DatabaseHealth(),
            gate=Gate(Breakers(self.database), "wait", stages=stages),
        )
        async with create_task_group() as keepers:
            keepers.start_soon(settler.run)
            async with create_task_group() as claims, create_task_group() as jobs:
                claiming = CancelScope()
                claims.start_soon(self._claim, worker, claiming, jobs)  # outlives the jobs, and releases what it finds
                yield worker, jobs
                claiming.cancel()
                jobs.cancel_scope.cancel()
            keepers.cancel_scope.cancel()

    async def _claim(self, worker: Worker, claiming: CancelScope, jobs: TaskGroup) -> None:
        with claiming:
            await worker.claim_loop(self.worker_id, jobs)

    async def once(self, pipeline: Callable[[Claim], Awaitable[Outcome]]) -> Worker:
        """Let each ready job have one attempt."""

        async def attempt(claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
            return await pipeline(claim)

        async with self.working(attempt, slots=10) as (worker, _):
            await until(lambda: bool(worker.ended.outcomes) and worker.in_flight == 0)
        return worker

    async def begin_lease(self) -> None:
        await self.database.execute(
            "queue/register_worker",
            name="test",
            worker_id=self.worker_id,
            host="here",
            pid=1,
            version="0",
            concurrency=10,
            lease_s=600,
        )

    async def rescue(self) -> None:
        """As another worker does when this one was silent for too long."""
        await self.database.execute("queue/end_lease", worker_id=self.worker_id)
        await self.database.rows("queue/rescue", batch=10, most_lone=3, most=12, only=None, skipped=[])
