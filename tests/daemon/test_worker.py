"""The slots of one worker, on a real queue, with pipelines that do as the test says."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
import structlog
from anyio import CancelScope, Event, create_task_group, fail_after, sleep
from anyio.abc import TaskGroup
from structlog.testing import capture_logs

from blogworker.daemon import claim_backoff
from blogworker.daemon import claimer as claimer_module
from blogworker.daemon.gate import Gate
from blogworker.daemon.worker import Pipeline, Worker
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.errors import LeaseLost
from blogworker.queue.claim import Claimed, claim
from blogworker.queue.enqueue import enqueue
from blogworker.queue.job import Claim, Done, Failure, Outcome, Reject, Retry, Wait
from blogworker.queue.settle import Settler
from blogworker.queue.validation import NewJob
from blogworker.quota.breaker import Breakers
from blogworker.settings import QueueSettings, WorkerSettings

pytestmark = pytest.mark.anyio

WITHIN_S = 45.0
LOOK_S = 0.01


@dataclass
class Stage:
    """A pipeline whose jobs stay until they are let go."""

    started: list[Claim] = field(default_factory=list)
    running: int = 0
    most: int = 0
    gates: dict[int, Event] = field(default_factory=dict)

    async def __call__(self, claim: Claim, saved: Mapping[str, Any]) -> Outcome:
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
        rows = await self.database.rows("ops/list_jobs", status=None, instance_id=None, before=None, most=1000)
        return sorted(rows, key=lambda row: row["id"])

    async def statuses(self) -> list[str]:
        return [job["status"] for job in await self.jobs()]

    async def errors(self, job_id: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.database.one("ops/show_job", job_id=job_id))["errors"]
        return found

    @asynccontextmanager
    async def working(
        self, pipeline: Pipeline, *, slots: int, health: DatabaseHealth | None = None
    ) -> AsyncIterator[tuple[Worker, TaskGroup]]:
        """A worker that claims while the block lasts, with the task group of its jobs."""
        settler = Settler(self.database, self.worker_id)
        worker = Worker(
            self.database,
            settler,
            pipeline,
            queue=QueueSettings(_env_file=None),
            worker=WorkerSettings(concurrency=slots, poll_interval=0.05, _env_file=None),
            health=health or DatabaseHealth(),
            gate=Gate(Breakers(self.database), "wait"),
        )
        async with create_task_group() as keepers:
            keepers.start_soon(settler.run)
            async with create_task_group() as jobs:
                claiming = CancelScope()
                keepers.start_soon(self._claim, worker, claiming, jobs)
                yield worker, jobs
                claiming.cancel()
                jobs.cancel_scope.cancel()
            keepers.cancel_scope.cancel()

    async def _claim(self, worker: Worker, claiming: CancelScope, jobs: TaskGroup) -> None:
        with claiming:
            await worker.claim_loop(self.worker_id, jobs)

    async def once(self, pipeline: Callable[[Claim], Awaitable[Outcome]]) -> Worker:
        """Let each ready job have one attempt."""

        async def attempt(claim: Claim, saved: Mapping[str, Any]) -> Outcome:
            return await pipeline(claim)

        async with self.working(attempt, slots=10) as (worker, _):
            await until(lambda: bool(worker.outcomes) and worker.in_flight == 0)
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


@pytest.fixture
async def bench(database: Database, worker_id: UUID) -> Bench:
    bench = Bench(database, worker_id)
    await bench.begin_lease()
    return bench


async def test_no_more_jobs_run_than_there_are_slots(bench: Bench) -> None:
    """What cannot start is not claimed: it is there for other workers."""
    await bench.add(*["a", "b", "c"] * 4)
    stage = Stage()

    async with bench.working(stage, slots=3) as (worker, _):
        await stage.until_started(3)
        assert (await bench.statuses()).count("PROCESSING") == 3
        assert worker.in_flight == 3
        while len(stage.started) < 12:
            before = len(stage.started)
            stage.gate(stage.started[before - 3].job_id).set()
            await stage.until_started(before + 1)

    assert stage.most == 3


async def test_a_freed_slot_is_filled_at_once(bench: Bench) -> None:
    """The slowest job of a batch holds up nobody."""
    await bench.add("a", "b", "c", "d")
    stage = Stage()

    async with bench.working(stage, slots=2):
        await stage.until_started(2)
        slow, quick = stage.started
        stage.gate(quick.job_id).set()
        await stage.until_started(3)
        stage.gate(stage.started[2].job_id).set()
        await stage.until_started(4)

        assert not stage.gate(slow.job_id).is_set()
        assert stage.running == 2


async def test_a_slot_is_free_only_when_its_outcome_is_stored(bench: Bench, database: Database) -> None:
    """A worker that forgot what it could not store yet would take on more than it can settle."""
    first, _ = await bench.add("a", "a")
    stage = Stage()

    async with bench.working(stage, slots=1) as (worker, _):
        await stage.until_started(1)
        async with database.connection() as other, other.transaction():
            await other.execute("select from blog_generations where id = %s for update", [first])
            stage.gate(first).set()
            await until(lambda: stage.running == 0)
            settler = worker._settler
            await until(lambda: bool(settler._waiting) and not settler._work.is_set())  # sent in vain once
            assert worker.in_flight == 1
            assert len(stage.started) == 1
        await stage.until_started(2)

    assert (await bench.statuses())[0] == "DONE"


async def test_a_crash_costs_its_job_an_attempt_and_leaves_a_trace(bench: Bench) -> None:
    """An error nobody foresaw is the job's, not the worker's."""
    (job_id,) = await bench.add("a")

    async def crash(claim: Claim) -> Outcome:
        raise ZeroDivisionError("division by zero")

    with capture_logs() as logs:
        await bench.once(crash)

    (job,) = await bench.jobs()
    assert (job["status"], job["failures"], job["error"]) == ("PENDING", 1, "division by zero")
    (error,) = await bench.errors(job_id)
    assert (error["stage"], error["kind"], error["retryable"]) == ("source", "ZeroDivisionError", True)
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["attempt_crashed"]


async def test_the_last_failed_attempt_fails_the_job(bench: Bench) -> None:
    await bench.add("a", max_attempts=1)

    await bench.once(lambda claim: _gives(Retry(Failure("ideas", "Unavailable", "503"), 0.0)))

    (job,) = await bench.jobs()
    assert (job["status"], job["failures"], job["error"]) == ("FAILED", 1, "503")


async def test_a_wait_and_a_refusal_are_told_apart_from_a_failure(bench: Bench) -> None:
    waits, refused = await bench.add("a", "b")

    async def pipeline(claim: Claim) -> Outcome:
        failure = Failure("ideas", "Rejected", "no")
        return Wait(60.0, "busy") if claim.job_id == waits else Reject(failure)

    async with bench.working(_of(pipeline), slots=2) as (worker, _):
        await until(lambda: worker.outcomes.total() == 2)

    first, second = await bench.jobs()
    assert (first["status"], first["failures"], first["error"]) == ("PENDING", 0, "busy")
    assert (second["id"], second["status"], second["error"]) == (refused, "FAILED", "no")


async def test_an_attempt_whose_claim_was_lost_writes_nothing(bench: Bench) -> None:
    (job_id,) = await bench.add("a")

    async def lose(claim: Claim) -> Outcome:
        raise LeaseLost(claim.job_id, claim.attempt)

    with capture_logs() as logs:
        worker = await bench.once(lose)

    (job,) = await bench.jobs()
    assert (job["status"], job["failures"], job["error"]) == ("PROCESSING", 0, None)
    assert await bench.errors(job_id) == []
    assert worker.outcomes == {"lost": 1}
    assert "attempt_lost" in [line["event"] for line in logs]


async def test_an_outcome_that_comes_too_late_is_dropped(bench: Bench) -> None:
    """Meanwhile the job was rescued: its next attempt belongs to somebody else."""
    await bench.add("a")

    async def outlive(claim: Claim) -> Outcome:
        await bench.rescue()
        return Done()

    async with bench.working(_of(outlive), slots=1) as (worker, _):
        await until(lambda: worker.outcomes["lost"] == 1)

    assert (await bench.statuses()) != ["DONE"]


async def test_an_attempt_that_was_rescued_makes_way_for_the_next_one_here(bench: Bench) -> None:
    """The lost attempt is stopped before it pays for anything more."""
    (job_id,) = await bench.add("a")
    stage = Stage()

    async with bench.working(stage, slots=2) as (worker, _):
        await stage.until_started(1)
        await bench.rescue()
        await bench.begin_lease()  # and has a lease again
        await bench.begin_lease()
        await stage.until_started(2)
        await until(lambda: worker.outcomes["lost"] == 1)
        assert [claim.attempt for claim in stage.started] == [1, 2]
        assert (stage.running, worker.in_flight, worker.job_ids) == (1, 1, {job_id})
        stage.gate(job_id).set()
        await until(lambda: worker.in_flight == 0)

    assert await bench.statuses() == ["DONE"]
    assert worker.outcomes == {"lost": 1, "DONE": 1}


async def test_a_worker_whose_lease_has_ended_claims_nothing(bench: Bench) -> None:
    """Its jobs would be rescued at once, and each rescue brings a job nearer to being given up."""
    await bench.rescue()
    await bench.add("a")

    found = await claim(bench.database, bench.worker_id, slots=1, site_window=1)

    assert found.claims == ()


async def test_cancelled_jobs_are_handed_back_with_their_attempt_unspent(bench: Bench) -> None:
    await bench.add("a", "b", "c")
    stage = Stage()

    with capture_logs() as logs:
        async with bench.working(stage, slots=2) as (worker, jobs):
            await stage.until_started(2)
            jobs.cancel_scope.cancel()

    assert await bench.statuses() == ["PENDING"] * 3
    assert [job["failures"] for job in await bench.jobs()] == [0, 0, 0]
    assert worker.in_flight == 0
    settled = [line for line in logs if line["event"] == "job_settled"]
    assert [line["outcome"] for line in settled] == ["release", "release"]


async def test_one_running_job_can_be_cancelled_and_the_others_go_on(bench: Bench) -> None:
    unwanted, _ = await bench.add("a", "b")
    stage = Stage()

    async with bench.working(stage, slots=2) as (worker, _):
        await stage.until_started(2)
        worker.cancel([unwanted, 999])
        await until(lambda: worker.outcomes["CANCELLED"] == 1)
        assert stage.running == 1

    assert await bench.statuses() == ["CANCELLED", "PENDING"]


async def test_every_line_of_an_attempt_names_its_job(bench: Bench) -> None:
    (job_id,) = await bench.add("a")

    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        await bench.once(lambda _: _done())

    (line,) = [line for line in logs if line["event"] == "job_settled"]
    assert (line["job_id"], line["instance_id"], line["attempt"]) == (job_id, "a", 1)
    assert (line["outcome"], line["status"]) == ("done", "DONE")
    assert None not in line.values()  # what does not apply is not there
    assert line["duration_s"] >= 0


def _of(pipeline: Callable[[Claim], Awaitable[Outcome]]) -> Pipeline:
    async def attempt(claim: Claim, saved: Mapping[str, Any]) -> Outcome:
        return await pipeline(claim)

    return attempt


async def _done() -> Outcome:
    return Done()


async def _gives(outcome: Outcome) -> Outcome:
    return outcome


async def test_a_worker_outlives_any_number_of_looks_in_vain(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a provider is left alone for hours, many sites wait for it: each look says that there may be more."""
    looks = 0

    async def more_behind(*_: Any, **__: Any) -> Claimed:
        nonlocal looks
        looks += 1
        return Claimed(claims=(), look_again=True)

    monkeypatch.setattr(claimer_module, "claim", more_behind)
    monkeypatch.setattr(claim_backoff, "CONTENDED_MAX_S", 0)

    async with bench.working(Stage(), slots=1):
        await until(lambda: looks > 1_100)
