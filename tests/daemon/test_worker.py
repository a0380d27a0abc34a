"""A worker: what it claims, what it does with each outcome, and how it ends."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from blogworker.daemon import claim_backoff, occupancy
from blogworker.daemon import claimer as claimer_module
from blogworker.daemon.attempt import Pipeline
from blogworker.db.pool import Database
from blogworker.errors import LeaseLost
from blogworker.queue.claim import Claimed, ClaimFilter, Scan, claim
from blogworker.queue.job import Claim, Done, Failure, Outcome, Reject, Retry, Wait

from .bench import Bench, Stage, until

pytestmark = pytest.mark.anyio


async def test_no_more_jobs_run_than_there_are_slots(bench: Bench) -> None:
    """Jobs that cannot start stay available for other workers."""
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


async def test_a_free_slot_is_filled_at_once(bench: Bench) -> None:
    """The slowest job of a batch does not delay others."""
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


async def test_no_more_outcomes_than_slots_may_be_on_their_way(bench: Bench, database: Database) -> None:
    """A job that has ended needs no slot, but a worker must not claim more jobs than it can settle."""
    first, second, _ = await bench.add("a", "a", "a")
    stage = Stage()

    async with bench.working(stage, slots=1) as (worker, _):
        await stage.until_started(1)
        async with database.connection() as other, other.transaction():
            await other.execute("select from blog_generations where id = %s for update", [first])
            stage.gate(first).set()
            await stage.until_started(2)
            await other.execute("select from blog_generations where id = %s for update", [second])
            stage.gate(second).set()
            await until(lambda: stage.running == 0)
            settler = worker._settler
            await until(lambda: len(settler._waiting) == 2 and not settler._work.is_set())  # sent in vain once
            assert worker.in_flight == 2
            assert len(stage.started) == 2
        await stage.until_started(3)

    assert (await bench.statuses())[:2] == ["DONE", "DONE"]


async def test_a_job_that_was_claimed_ahead_starts_when_a_slot_is_free(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr(occupancy._Group, "ends_soon", lambda group: 2)
    await bench.add("a", "a", "a")
    stage = Stage()

    async with bench.working(stage, slots=1) as (worker, _):
        await stage.until_started(1)
        await until(lambda: worker.in_flight == 3)
        assert worker.slots_used == 1
        for n in range(3):
            stage.gate(stage.started[n].job_id).set()
            await stage.until_started(min(3, n + 2))

    assert stage.most == 1
    assert [(job["status"], job["attempt"]) for job in await bench.jobs()] == [("DONE", 1)] * 3


async def test_a_worker_that_drains_starts_nothing_that_was_claimed_ahead(bench: Bench, monkeypatch) -> None:
    ahead = 2
    monkeypatch.setattr(occupancy._Group, "ends_soon", lambda group: ahead)
    await bench.add("a", "a", "a")
    stage = Stage()

    async with bench.working(stage, slots=1) as (worker, _):
        await until(lambda: worker.in_flight == 3)
        ahead = 0
        assert worker.release_running(ahead=True) == 2
        await until(lambda: worker.in_flight == 1)
        assert await bench.statuses() == ["PROCESSING", "PENDING", "PENDING"]
        assert len(stage.started) == 1


async def test_a_job_that_was_claimed_ahead_and_gets_no_slot_goes_back_to_the_line(bench: Bench, monkeypatch) -> None:
    """It has used no attempt, and another worker may take it."""
    ahead = 1
    monkeypatch.setattr(occupancy._Group, "ends_soon", lambda group: ahead)
    monkeypatch.setattr(occupancy, "LONGEST_AHEAD_S", 0.01)
    first, second = await bench.add("a", "a")
    stage = Stage()

    async with bench.working(stage, slots=1) as (worker, _):
        await until(lambda: worker.in_flight == 2)
        ahead = 0
        await until(lambda: worker.in_flight == 1)
        (running,) = stage.started
        assert await bench.statuses() == ["PROCESSING", "PENDING"]
        (job,) = [job for job in await bench.jobs() if job["id"] == second]
        assert (job["attempt"], job["failures"], job["error"]) == (1, 0, None)
        stage.gate(running.job_id).set()
        await stage.until_started(2)

    assert running.job_id == first


async def test_an_unexpected_error_uses_an_attempt_and_is_recorded(bench: Bench) -> None:
    """An unexpected error fails the attempt, not the worker."""
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


async def test_a_wait_and_a_refusal_are_distinguished_from_a_failure(bench: Bench) -> None:
    waits, refused = await bench.add("a", "b")

    async def pipeline(claim: Claim) -> Outcome:
        failure = Failure("ideas", "Rejected", "no")
        return Wait(60.0, "busy") if claim.job_id == waits else Reject(failure)

    async with bench.working(_of(pipeline), slots=2) as (worker, _):
        await until(lambda: worker.ended.outcomes.total() == 2)

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
    assert worker.ended.outcomes == {"lost": 1}
    assert "attempt_lost" in [line["event"] for line in logs]


async def test_an_outcome_that_comes_too_late_is_dropped(bench: Bench) -> None:
    """Meanwhile the job was rescued: its next attempt belongs to another worker."""
    await bench.add("a")

    async def outlive(claim: Claim) -> Outcome:
        await bench.rescue()
        return Done()

    async with bench.working(_of(outlive), slots=1) as (worker, _):
        await until(lambda: worker.ended.outcomes["lost"] == 1)

    assert (await bench.statuses()) != ["DONE"]


async def test_a_rescued_attempt_is_stopped_when_the_job_is_claimed_here_again(bench: Bench) -> None:
    """The lost attempt is stopped before it pays for anything more."""
    (job_id,) = await bench.add("a")
    stage = Stage()

    async with bench.working(stage, slots=2) as (worker, _):
        await stage.until_started(1)
        await bench.rescue()
        await bench.begin_lease()  # and has a lease again
        await bench.begin_lease()
        await stage.until_started(2)
        await until(lambda: worker.ended.outcomes["lost"] == 1)
        assert [claim.attempt for claim in stage.started] == [1, 2]
        assert (stage.running, worker.in_flight, worker.job_ids) == (1, 1, {job_id})
        stage.gate(job_id).set()
        await until(lambda: worker.in_flight == 0)

    assert await bench.statuses() == ["DONE"]
    assert worker.ended.outcomes == {"lost": 1, "DONE": 1}


async def test_a_worker_whose_lease_has_ended_claims_nothing(bench: Bench) -> None:
    """Its jobs would be rescued at once, and each rescue brings a job nearer to being given up."""
    await bench.rescue()
    await bench.add("a")

    found = await claim(bench.database, bench.worker_id, slots=1, site_window=1)

    assert found.claims == ()


async def test_stopped_jobs_are_released_without_using_an_attempt(bench: Bench) -> None:
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


async def test_one_running_job_can_be_cancelled_without_affecting_others(bench: Bench) -> None:
    unwanted, _ = await bench.add("a", "b")
    stage = Stage()

    async with bench.working(stage, slots=2) as (worker, _):
        await stage.until_started(2)
        worker.cancel([unwanted, 999])
        await until(lambda: worker.ended.outcomes["CANCELLED"] == 1)
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
    async def attempt(claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        return await pipeline(claim)

    return attempt


async def _done() -> Outcome:
    return Done()


async def _gives(outcome: Outcome) -> Outcome:
    return outcome


async def test_a_worker_survives_any_number_of_empty_claims(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a breaker is open for hours, many sites wait: each claim reports that there may be more."""
    looks = 0

    async def more_behind(*_: Any, **__: Any) -> Claimed:
        nonlocal looks
        looks += 1
        return Claimed(claims=(), look_again=True)

    monkeypatch.setattr(claimer_module, "claim", more_behind)
    monkeypatch.setattr(claim_backoff, "CONTENDED_MAX_S", 0)

    async with bench.working(Stage(), slots=1):
        await until(lambda: looks > 1_100)


async def test_each_group_of_slots_scans_the_sites_by_itself(bench: Bench, monkeypatch) -> None:
    """The scan of one would end where that of the other goes on, and each would see a part of the sites only."""
    scans: dict[tuple[str, ...], list[Scan]] = {}

    async def noted(*args: Any, only: ClaimFilter, scan: Scan, **more: Any) -> Claimed:
        scans.setdefault(only.stages or (), []).append(scan)
        return Claimed(claims=(), look_again=False)

    monkeypatch.setattr(claimer_module, "claim", noted)
    async with bench.working(Stage(), by_stage="image=1,publish=1", stages=("image", "publish")):
        await until(lambda: len(scans) == 2 and min(map(len, scans.values())) >= 3)

    image, publish = scans.values()
    assert all(scan is image[0] for scan in image)
    assert all(scan is publish[0] for scan in publish)
    assert image[0] is not publish[0]
