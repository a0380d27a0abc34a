"""Slots run one attempt after another, and each attempt is logged, traced and ended by itself."""

from asyncio import current_task
from collections.abc import Mapping
from typing import Any

import anyio.lowlevel
import pytest
import structlog
from anyio import Event, create_task_group, wait_all_tasks_blocked
from structlog.testing import capture_logs

from blogworker.daemon import attempts as attempts_module
from blogworker.daemon import occupancy
from blogworker.daemon.attempt import Attempt
from blogworker.daemon.attempts import Attempts
from blogworker.daemon.gate import Gate
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.claim import claim
from blogworker.queue.job import Claim, Done, Outcome
from blogworker.queue.settle import Settler
from blogworker.quota.breaker import Breakers
from blogworker.settings import WorkerSettings
from blogworker.telemetry import tracing
from blogworker.telemetry.facts import note
from blogworker.telemetry.tracing import Kind, Span, observed

from .bench import Bench, Stage, until

pytestmark = pytest.mark.anyio

SLOTS = 3


class Watch:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[Span] = []
        self.done: list[Span] = []

    def began(self, span: Span) -> None:
        self.begun.append(span)

    def ended(self, span: Span) -> None:
        self.done.append(span)

    def waited(self, provider: str, seconds: float) -> None:
        pass

    def claimed(self, jobs: int, seconds: float) -> None:
        pass

    def sized(self, slots: int) -> None:
        pass


async def test_a_slot_runs_one_attempt_after_another(bench: Bench) -> None:
    """A task for each job would cost more than a job that ends at once."""
    await bench.add(*["a", "b"] * 20)
    tasks = set()

    async def pipeline(claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        tasks.add(current_task())
        await anyio.lowlevel.checkpoint()
        return Done()

    async with bench.working(pipeline, slots=SLOTS) as (worker, _):
        await until(lambda: worker.ended.outcomes["DONE"] == 40)

    assert len(tasks) <= 2 * SLOTS  # as many outcomes as there are slots may be on their way


async def test_attempts_in_one_slot_have_nothing_in_common(bench: Bench) -> None:
    """Neither in their log lines nor in their traces."""
    jobs = await bench.add(*["a", "b", "c"] * 4)
    watch, log = Watch(), structlog.get_logger()

    async def pipeline(claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        with tracing.stage("content", waits=lambda _: False):
            await anyio.lowlevel.checkpoint()
            log.info("ran", of=claim.job_id)
            note(tokens=claim.job_id)
            if claim.job_id % 3 == 0:
                note(title="of one in three")
        return Done()

    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines, observed(watch):
        async with bench.working(pipeline, slots=1) as (worker, _):
            await until(lambda: worker.ended.outcomes["DONE"] == len(jobs))

    ran = [line for line in lines if line["event"] == "ran"]
    assert [line["job_id"] for line in ran] == [line["of"] for line in ran]
    settled = {line["job_id"]: line for line in lines if line["event"] == "job_settled"}
    assert {job: line["tokens"] for job, line in settled.items()} == {job: job for job in jobs}
    assert {job for job, line in settled.items() if "title" in line} == {job for job in jobs if job % 3 == 0}
    attempts = [span for span in watch.done if span.kind is Kind.ATTEMPT]
    assert {span.attributes[tracing.JOB]: span.attributes["blogworker.tokens"] for span in attempts} == {
        job: job for job in jobs
    }
    assert {span.parent for span in attempts} == {None}
    stages = [span for span in watch.done if span.kind is Kind.STAGE]
    assert sorted(span.parent.attributes[tracing.JOB] for span in stages if span.parent) == sorted(jobs)


async def test_a_job_that_makes_room_in_its_group_gives_the_next_one_nothing(bench: Bench, monkeypatch) -> None:
    """It moves to the slots of its next stage, and the slot that it leaves begins another job."""
    monkeypatch.setattr(occupancy._Group, "ends_soon", lambda group: 2)
    monkeypatch.setattr(occupancy, "LONGEST_AHEAD_S", 60)
    first, second = await bench.add("a", "a")
    stage = Stage()

    async def pipeline(claim: Claim, saved: Mapping[str, Any], enter: Any) -> Outcome:
        if claim.job_id == first:
            note(tokens=1, title="of the first")
            await until(lambda: worker.in_flight == 2)
            assert enter("publish")
            await stage.gate(first).wait()
        else:
            note(tokens=1000, title="of the second", cost_usd=5)
        return Done()

    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        async with bench.working(pipeline, by_stage="source=1,ideas=1,content=1,image=1,publish=1") as (worker, _):
            await until(lambda: worker.ended.outcomes["DONE"] == 1)
            stage.gate(first).set()
            await until(lambda: worker.ended.outcomes["DONE"] == 2)

    settled = {line["job_id"]: line for line in lines if line["event"] == "job_settled"}
    assert (settled[first]["tokens"], settled[first]["title"], settled[first].get("cost_usd")) == (
        1,
        "of the first",
        None,
    )
    assert (settled[second]["tokens"], settled[second]["cost_usd"]) == (1000, 5)


async def test_a_job_without_a_slot_goes_back_in_time_while_a_claim_hangs(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr(occupancy._Group, "ends_soon", lambda group: 4)
    monkeypatch.setattr(occupancy, "LONGEST_AHEAD_S", 0.05)
    await bench.add(*["a"] * 3)
    stage, answer = Stage(), Event()

    async with bench.working(stage, slots=1) as (worker, _):
        take = worker._claimer.take

        async def slow(*arguments: Any, **named: Any) -> Any:
            if stage.started:
                await answer.wait()
            return await take(*arguments, **named)

        monkeypatch.setattr(worker._claimer, "take", slow)
        await until(lambda: worker.in_flight == 1 and len(worker.ended.outcomes) > 0)
        assert sorted(await bench.statuses()) == ["PENDING", "PENDING", "PROCESSING"]
        answer.set()


async def test_a_job_that_is_cancelled_before_it_has_a_slot_never_starts(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr(occupancy._Group, "ends_soon", lambda group: 1)
    monkeypatch.setattr(occupancy, "LONGEST_AHEAD_S", 60)
    first, second = await bench.add("a", "a")
    stage = Stage()

    async with bench.working(stage, slots=1) as (worker, _):
        await until(lambda: worker.in_flight == 2 and len(stage.started) == 1)
        worker.cancel([second])
        await until(lambda: worker.ended.outcomes["CANCELLED"] == 1)
        assert [claim.job_id for claim in stage.started] == [first]

    assert await bench.statuses() == ["PENDING", "CANCELLED"]


async def test_all_that_was_claimed_is_released_when_the_jobs_are_stopped(bench: Bench, monkeypatch) -> None:
    """Those that run, and those that wait for a slot. A slot without a job ends too."""
    monkeypatch.setattr(occupancy._Group, "ends_soon", lambda group: 2)
    monkeypatch.setattr(occupancy, "LONGEST_AHEAD_S", 60)
    await bench.add(*["a"] * 4)
    stage = Stage()

    with capture_logs() as lines:
        async with bench.working(stage, slots=2) as (worker, jobs):
            await until(lambda: worker.in_flight == 4 and len(stage.started) == 2)
            stage.gate(stage.started[0].job_id).set()
            await until(lambda: len(stage.started) == 3)
            jobs.cancel_scope.cancel()

    assert worker.in_flight == 0
    assert sorted(await bench.statuses()) == ["DONE", "PENDING", "PENDING", "PENDING"]
    settled = [line["outcome"] for line in lines if line["event"] == "job_settled"]
    assert sorted(settled) == ["done", "release", "release", "release"]


async def test_a_worker_that_closes_waits_until_all_outcomes_are_stored(bench: Bench, database: Database) -> None:
    held, other = await bench.add("a", "b")
    stage = Stage()

    async with bench.working(stage, slots=2) as (worker, _):
        await stage.until_started(2)
        async with database.connection() as psql, psql.transaction():
            await psql.execute("select from blog_generations where id = %s for update", [held])
            worker._attempts.close()
            stage.gate(held).set()
            stage.gate(other).set()
            await until(lambda: worker.ended.outcomes["DONE"] == 1)
            assert worker.job_ids == {held}
        await until(lambda: worker.in_flight == 0)

    assert await bench.statuses() == ["DONE", "DONE"]


async def test_attempts_that_cannot_be_settled_are_left_to_the_next_lease(
    bench: Bench, database: Database, monkeypatch
) -> None:
    """The database does not answer: a worker that stops waits for a moment, and remembers what it could not store."""
    monkeypatch.setattr(attempts_module, "RELEASE_GRACE_S", 0.05)
    await bench.add(*["a"] * 3)
    claims = (await claim(database, bench.worker_id, slots=3, site_window=3)).claims
    stage, watch = Stage(), Watch()
    unstored = Attempts(
        Settler(database, bench.worker_id),  # it does not run, as if its statement never returned
        stage,
        worker=WorkerSettings(concurrency=2, _env_file=None),
        health=DatabaseHealth(),
        gate=Gate(Breakers(database), "wait"),
        on_free=lambda: None,
    )

    with observed(watch):
        async with create_task_group() as tasks:
            unstored.open(tasks)
            for each in claims:
                unstored.start(Attempt(each, {}))
            await stage.until_started(2)
            stage.gate(stage.started[0].job_id).set()
            await wait_all_tasks_blocked()
            unstored.close()
            tasks.cancel_scope.cancel()

    assert (len(unstored), unstored.job_ids) == (0, set())
    assert unstored.unsettled == {(each.job_id, each.attempt) for each in claims}
    assert len(watch.done) == len(watch.begun) == 3
    assert await bench.statuses() == ["PROCESSING"] * 3
