"""A worker whose lease ends: what it has claimed is released, or left to its next lease, whatever is in progress."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after, sleep

from blogworker.daemon import attempts as attempts_module
from blogworker.daemon import occupancy
from blogworker.daemon.attempt import Attempt, Pipeline
from blogworker.daemon.attempts import Attempts
from blogworker.daemon.claimer import Claimer
from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.claim import claim
from blogworker.queue.job import Claim, Done, Outcome
from blogworker.queue.settle import Settler
from blogworker.quota.breaker import Breakers
from blogworker.settings import DatabaseSettings, WorkerSettings, load
from blogworker.telemetry.tracing import observed

from .bench import WITHIN_S, Bench, Stage, until
from .test_attempts import Watch

pytestmark = pytest.mark.anyio

GRACE_S = 0.05
MANY_AHEAD = 4


def unstored(bench: Bench, pipeline: Pipeline, *, slots: int) -> Attempts:
    """Attempts whose outcomes are never stored, as if the statement did not return."""
    return Attempts(
        Settler(bench.database, bench.worker_id),  # it does not run
        pipeline,
        worker=WorkerSettings(concurrency=slots, _env_file=None),
        health=DatabaseHealth(),
        gate=Gate(Breakers(bench.database), "wait"),
        on_free=lambda: None,
    )


async def test_a_job_that_needs_long_to_stop_is_released_too(bench: Bench) -> None:
    """The time to store its outcome begins when it has stopped, not when the first one has."""
    await bench.add("slow", "quick")
    watch, started = Watch(), []

    async def pipeline(claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        started.append(claim)
        try:
            await sleep(600)
        finally:
            if claim.instance_id == "slow":
                with CancelScope(shield=True):
                    await sleep(1.25 * attempts_module.RELEASE_GRACE_S)
        return Done()

    with observed(watch):
        async with bench.working(pipeline, slots=2) as (worker, jobs):
            await until(lambda: len(started) == 2)
            jobs.cancel_scope.cancel()

    assert await bench.statuses() == ["PENDING", "PENDING"]
    assert worker.unsettled == set()
    assert len(watch.begun) == len(watch.done)


def _drain(held: Attempts) -> None:
    held.release(ahead=True)


def _reload(held: Attempts) -> None:
    held.use(WorkerSettings(concurrency=9, _env_file=None))


def _nothing(held: Attempts) -> None:
    pass


@pytest.mark.parametrize("meanwhile", [_nothing, _drain, _reload])
async def test_nothing_starts_after_the_worker_has_given_up(
    bench: Bench, database: Database, monkeypatch, meanwhile: Callable[[Attempts], None]
) -> None:
    """The claim loop is in a claim, which is shielded, and finds jobs when it is answered."""
    monkeypatch.setattr(attempts_module, "RELEASE_GRACE_S", GRACE_S)
    await bench.add(*["a"] * 6)
    *claims, late = (await claim(database, bench.worker_id, slots=6, site_window=6)).claims
    stage = Stage()
    held = unstored(bench, stage, slots=1)
    async with create_task_group() as tasks:
        held.open(tasks)
        for each in claims:
            held.start(Attempt(each, {}))
        await stage.until_started(1)
        tasks.cancel_scope.cancel()
        with CancelScope(shield=True):
            await until(lambda: len(held.unsettled) == len(claims) and not held.job_ids)
            meanwhile(held)
            held.start(Attempt(late, {}))
        held.close()

    assert len(stage.started) == 1
    assert held.unsettled == {(each.job_id, each.attempt) for each in [*claims, late]}


@pytest.mark.parametrize("last", [False, True], ids=["at once", "when none is left"])
@pytest.mark.parametrize("answers", [False, True], ids=["before the claim", "after the claim"])
@pytest.mark.parametrize("how", ["the jobs are stopped", "the lease has ended"])
async def test_a_lease_that_ends_during_a_claim_loses_no_job(
    bench: Bench,
    database: Database,
    database_settings: DatabaseSettings,
    monkeypatch,
    how: str,
    answers: bool,
    last: bool,
) -> None:
    """What is claimed then, and all that cannot be released any more, is left to the next lease."""
    monkeypatch.setattr(occupancy._Group, "ends_soon", lambda group: MANY_AHEAD)
    monkeypatch.setattr(occupancy, "LONGEST_AHEAD_S", 600)
    monkeypatch.setattr(attempts_module, "RELEASE_GRACE_S", GRACE_S)
    await bench.add("a", "a")
    settings = load(
        {"database": {"url": database_settings.url}, "worker": {"name": "w", "concurrency": 1, "lease": 60}}
    )
    stage, take, hangs, answer = Stage(), Claimer.take, Event(), Event()

    async def slow(claimer: Claimer, *arguments: Any, **named: Any) -> Any:
        found = await take(claimer, *arguments, **named) if answers else None
        if stage.started and (found is None or found[0].claims):
            hangs.set()
            await answer.wait()
        return found or await take(claimer, *arguments, **named)

    async def pipeline(worker_id: UUID, claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        return await stage(claim, saved)

    monkeypatch.setattr(Claimer, "take", slow)
    incarnation = Incarnation(settings, database, DatabaseHealth(), pipeline, gate=Gate(Breakers(database), "wait"))
    ended: list[bool] = []

    async def work() -> None:
        ended.append(await incarnation.run(until_empty=False))

    with fail_after(WITHIN_S):
        async with create_task_group() as tasks:
            tasks.start_soon(work)
            await stage.until_started(1)
            await bench.add("a", "a")
            incarnation.worker.wake()
            await hangs.wait()
            if how == "the jobs are stopped":
                assert incarnation._jobs is not None
                incarnation._jobs.cancel_scope.cancel()
            else:
                async with database.connection() as psql:
                    await psql.execute("update workers set lease_until = now() - interval '1 s' where name = 'w'")
                assert incarnation._keepers is not None
                incarnation._keepers.start_soon(incarnation._extend)
            await until(lambda: stage.running == 0)
            if last:
                await until(lambda: not incarnation.worker.job_ids)
            answer.set()

    assert ended == [False]
    held = {(job["id"], job["attempt"]) for job in await bench.jobs() if job["status"] == "PROCESSING"}
    assert held <= incarnation.worker.unsettled
    assert bool(held) == (how == "the lease has ended"), "otherwise all outcomes are stored"


async def test_a_job_that_was_rescued_while_its_worker_stopped_is_named_to_the_next_lease(bench: Bench) -> None:
    """The worker was only out of reach. Its jobs must not be suspected of having killed it: `take_back` undoes that."""
    (job_id,) = await bench.add("a")
    stage = Stage()

    async with bench.working(stage, slots=1) as (worker, jobs):
        await stage.until_started(1)
        await bench.rescue()
        jobs.cancel_scope.cancel()

    assert worker.ended.outcomes == {"lost": 1}
    assert worker.unsettled == {(job_id, 1)}
