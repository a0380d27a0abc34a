"""An incompatible database is no fault of a job: no job loses an attempt, and nothing is claimed meanwhile."""

from collections.abc import Mapping
from typing import Any

import psycopg
import pytest
from anyio import Event
from structlog.testing import capture_logs

from blogworker.db import compatibility as compatibility_module
from blogworker.db.compatibility import Compatibility, is_incompatible
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth, RetryingDatabase
from blogworker.queue.job import Claim, Done, Outcome

from .bench import Bench, Stage, until
from .incompatible_database import run

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
AWAY = "alter function stage_rooms rename to stage_rooms_away"
BACK = "alter function stage_rooms_away rename to stage_rooms"
# What a person may do to a database under a running worker, and undo: each stops every claim or every job.
MISFITS = {
    "a function is renamed": (AWAY, BACK),
    "a column is renamed": (
        "alter table blog_generations rename column charged to charged_away",
        "alter table blog_generations rename column charged_away to charged",
    ),
    "a table is renamed": (
        "alter table scheduled_blogs rename to scheduled_away",
        "alter table scheduled_away rename to scheduled_blogs",
    ),
    "the schema is renamed": ("alter schema public rename to away", "alter schema away rename to public"),
}


@pytest.mark.usefixtures("quiet_sooner")
@pytest.mark.parametrize(("breaks", "mends"), MISFITS.values(), ids=list(MISFITS))
async def test_nothing_is_claimed_from_an_incompatible_database(
    bench: Bench, database: Database, breaks: str, mends: str
) -> None:
    stage = Stage()
    with capture_logs() as logs:
        async with bench.working(stage, slots=2) as (worker, _):
            await run(database, breaks)
            await until(lambda: any(line["event"] == "schema_mismatch_found" for line in logs))
            await run(database, mends)
            first, second, third = await bench.add("a", "b", "c")
            await stage.until_started(2)
            for job_id in (first, second, third):
                stage.gate(job_id).set()
            await until(lambda: worker.ended.outcomes["DONE"] == 3)

    events = [line["event"] for line in logs]
    assert "database_lost" not in events
    assert (events.count("schema_mismatch_found"), events.count("schema_mismatch_ended")) == (1, 1)
    assert {(job["status"], job["failures"], job["attempt"]) for job in await bench.jobs()} == {("DONE", 0, 1)}


async def test_a_job_waits_to_store_what_it_paid_for(bench: Bench, database: Database) -> None:
    """The ideas of sixty jobs were bought five times each, and then all were FAILED, for a grant that was missing."""
    jobs = await bench.add("a", "b", "c")
    waiting, health = Event(), DatabaseHealth()

    async def pipeline(claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        if claim.job_id == jobs[-1]:
            waiting.set()
        await RetryingDatabase(database, health).rows("stages/load_image", job_id=claim.job_id)
        return Done()

    await run(database, "alter table blog_posts rename to posts_away")
    with capture_logs() as logs:
        async with bench.working(pipeline, slots=3, health=health) as (worker, _):
            await waiting.wait()
            await until(lambda: any(line["event"] == "schema_mismatch_found" for line in logs))
            await bench.add("d")
            assert worker.in_flight == 3
            assert worker.ended.outcomes == {}
            await run(database, "alter table posts_away rename to blog_posts")
            await until(lambda: worker.ended.outcomes["DONE"] == 4)

    assert {(job["status"], job["failures"], job["attempt"]) for job in await bench.jobs()} == {("DONE", 0, 1)}


async def test_jobs_that_are_released_have_used_no_attempt(bench: Bench) -> None:
    await bench.add("a", "b")
    stage = Stage()

    async with bench.working(stage, slots=2) as (worker, _):
        await stage.until_started(2)
        claimed_again = worker.release_running() + 2
        await stage.until_started(claimed_again)
        assert worker.ended.outcomes == {"PENDING": 2}

    assert {(job["status"], job["failures"], job["error"]) for job in await bench.jobs()} == {("PENDING", 0, None)}


async def test_a_cancelled_job_is_not_taken_for_a_released_one(bench: Bench) -> None:
    (job_id,) = await bench.add("a")
    stage = Stage()

    async with bench.working(stage, slots=2) as (worker, _):
        await stage.until_started(1)
        worker.cancel([job_id])
        await until(lambda: worker.ended.outcomes["CANCELLED"] == 1)


def undefined_function() -> psycopg.Error:
    return psycopg.errors.UndefinedFunction("function f() does not exist")


def test_one_job_is_tried_when_no_statement_waits_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """When all jobs with refused statements are released, one job has to try again, not fifty."""
    clock = [100.0]
    monkeypatch.setattr(compatibility_module, "monotonic", lambda: clock[0])
    compatibility = Compatibility()
    assert compatibility.usable_slots(50, in_flight=0) == 50

    compatibility.failed(undefined_function(), "stages/store_post")
    clock[0] += 10
    assert (compatibility.usable_slots(50, in_flight=0), compatibility.incompatible_for_s) == (0, 10)
    clock[0] += compatibility_module.QUIET_S
    assert (
        compatibility.usable_slots(50, in_flight=0),
        compatibility.usable_slots(49, in_flight=1),
        compatibility.incompatible_for_s,
    ) == (1, 0, 0)
    compatibility.failed(undefined_function(), "stages/store_post")
    clock[0] += 1
    assert (compatibility.usable_slots(50, in_flight=0), compatibility.incompatible_for_s) == (0, 1)
    compatibility.succeeded("stages/save_checkpoint")  # another statement says nothing of this one
    assert compatibility.usable_slots(50, in_flight=0) == 0
    compatibility.succeeded("stages/store_post")
    assert compatibility.usable_slots(50, in_flight=0) == 50


def test_a_job_that_succeeds_shows_that_the_database_is_compatible(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(compatibility_module, "monotonic", lambda: clock[0])
    compatibility = Compatibility()
    compatibility.failed(undefined_function(), "stages/site_tags")

    compatibility.job_succeeded()
    assert compatibility.usable_slots(50, in_flight=0) == 0  # others still wait
    clock[0] += compatibility_module.QUIET_S + 1
    compatibility.job_succeeded()
    assert compatibility.usable_slots(50, in_flight=0) == 50


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.errors.InsufficientPrivilege, True),
        (psycopg.errors.UndefinedTable, True),
        (psycopg.errors.UndefinedColumn, True),
        (psycopg.errors.InvalidSchemaName, True),
        (psycopg.errors.FeatureNotSupported, True),  # "cached plan must not change result type"
        (psycopg.errors.CheckViolation, False),
        (psycopg.errors.NumericValueOutOfRange, False),
        (psycopg.errors.AdminShutdown, False),
        (psycopg.errors.SerializationFailure, False),
        (psycopg.OperationalError, False),
        (ValueError, False),
    ],
)
def test_which_errors_mean_an_incompatible_database(error: type[Exception], expected: bool) -> None:
    assert is_incompatible(error()) is expected


async def test_a_statement_is_prepared_again_after_its_table_changed(database: Database) -> None:
    """A migration under a running worker: otherwise each of its connections would refuse the statement for ever."""
    for _ in range(5):
        await database.rows("stages/load_image", job_id=1)
    await run(database, "alter table blog_posts alter column image type text using null")

    for _ in range(database.stats()["pool_size"]):
        try:
            await database.rows("stages/load_image", job_id=1)
        except psycopg.errors.FeatureNotSupported:
            continue
    assert await database.rows("stages/load_image", job_id=1) == []
