"""An incompatible database is no fault of a job: no job loses an attempt, and nothing is claimed meanwhile."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from anyio import Event, create_task_group, sleep
from structlog.testing import capture_logs

from blogworker.db import compatibility as compatibility_module
from blogworker.db import retrying as retrying_module
from blogworker.db.compatibility import Compatibility, is_incompatible
from blogworker.db.pool import Database
from blogworker.db.retrying import LONGEST_WAIT_S, DatabaseHealth, RetryingDatabase
from blogworker.queue.admit import admit, arrivals
from blogworker.queue.claim import claim
from blogworker.queue.job import Claim, Done, Outcome
from blogworker.queue.settle import Settler

from .test_worker import Bench, Stage, until
from .test_worker import bench as bench

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
def quiet_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Still longer than the longest wait between two tries of a statement."""
    monkeypatch.setattr(compatibility_module, "QUIET_S", 1.5 * LONGEST_WAIT_S)


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


async def run(database: Database, text: str) -> None:
    async with database.connection() as connection:
        await connection.execute(text.encode())


@pytest.mark.usefixtures("quiet_sooner")
@pytest.mark.parametrize(("breaks", "mends"), MISFITS.values(), ids=list(MISFITS))
async def test_nothing_is_claimed_from_a_database_that_does_not_fit(
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
            await until(lambda: worker.outcomes["DONE"] == 3)

    events = [line["event"] for line in logs]
    assert "database_lost" not in events
    assert (events.count("schema_mismatch_found"), events.count("schema_mismatch_ended")) == (1, 1)
    assert {(job["status"], job["failures"], job["attempt"]) for job in await bench.jobs()} == {("DONE", 0, 1)}


async def test_a_job_waits_to_store_what_it_paid_for(bench: Bench, database: Database) -> None:
    """The ideas of sixty blogs were bought five times each, and then all were FAILED, for a grant that was missing."""
    jobs = await bench.add("a", "b", "c")
    waiting, health = Event(), DatabaseHealth()

    async def pipeline(claim: Claim, saved: Mapping[str, Any]) -> Outcome:
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
            assert worker.outcomes == {}
            await run(database, "alter table posts_away rename to blog_posts")
            await until(lambda: worker.outcomes["DONE"] == 4)

    assert {(job["status"], job["failures"], job["attempt"]) for job in await bench.jobs()} == {("DONE", 0, 1)}


async def test_jobs_that_are_released_have_used_no_attempt(bench: Bench) -> None:
    await bench.add("a", "b")
    stage = Stage()

    async with bench.working(stage, slots=2) as (worker, _):
        await stage.until_started(2)
        claimed_again = worker.release_running() + 2
        await stage.until_started(claimed_again)
        assert worker.outcomes == {"PENDING": 2}

    assert {(job["status"], job["failures"], job["error"]) for job in await bench.jobs()} == {("PENDING", 0, None)}


async def test_a_cancelled_job_is_not_taken_for_a_released_one(bench: Bench) -> None:
    (job_id,) = await bench.add("a")
    stage = Stage()

    async with bench.working(stage, slots=2) as (worker, _):
        await stage.until_started(1)
        worker.cancel([job_id])
        await until(lambda: worker.outcomes["CANCELLED"] == 1)


def undefined_function() -> psycopg.Error:
    return psycopg.errors.UndefinedFunction("function f() does not exist")


def test_one_job_is_let_through_when_nobody_waits_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_job_that_needed_nothing_that_is_missing_ends_the_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_a_prepared_statement_whose_table_changed_is_prepared_anew(database: Database) -> None:
    """A migration under a running worker: else each of its connections would refuse the statement for ever."""
    for _ in range(5):
        await database.rows("stages/load_image", job_id=1)
    await run(database, "alter table blog_posts alter column image type text using null")

    for _ in range(database.stats()["pool_size"]):
        try:
            await database.rows("stages/load_image", job_id=1)
        except psycopg.errors.FeatureNotSupported:
            continue
    assert await database.rows("stages/load_image", job_id=1) == []


EVERY_CLAIM_FAILS = """
create function refuse_poison() returns trigger language plpgsql as $$
begin
    if old.source_id = 'poison' and (new.status = 'PROCESSING' or {and_else}) then
        raise exception 'no blog about poison' using errcode = '{code}';
    end if;
    return new;
end
$$;
create trigger refuse_poison before update on blog_generations for each row execute function refuse_poison()
"""


@pytest.mark.parametrize("code", ["P0001", "22003", "23514", "BW409"])
async def test_a_job_that_stops_every_claim_is_ended_and_the_others_go_on(
    bench: Bench, database: Database, code: str
) -> None:
    """A trigger of somebody else's refuses one row: one statement claims for all sites."""
    await run(database, EVERY_CLAIM_FAILS.format(code=code, and_else="false"))
    await run(
        database, "insert into blog_generations (instance_id, source_type, source_id) values ('a', 'keyword', 'poison')"
    )
    await bench.add("a", "b", "c")

    async def pipeline(claim: Claim, saved: Mapping[str, Any]) -> Outcome:
        return Done()

    with capture_logs() as logs:
        async with bench.working(pipeline, slots=4) as (worker, _):
            await until(lambda: worker.outcomes["DONE"] == 3)

    poison, *others = await bench.jobs()
    assert poison["status"] == "FAILED"
    assert poison["error"] == "the database refuses to claim it: no blog about poison"
    assert {job["status"] for job in others} == {"DONE"}
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["claim_failed", "unclaimable_job_found"]


MISFIT_CODES = ["42501", "42703", "42883", "42P01", "3F000", "0A000"]


async def done(claim: Claim, saved: Mapping[str, Any]) -> Outcome:
    return Done()


@pytest.mark.parametrize("code", MISFIT_CODES)
async def test_a_row_that_does_not_fit_pauses_its_site_and_costs_no_attempt(
    bench: Bench, database: Database, code: str
) -> None:
    """A trigger of somebody else's lacks a privilege or a name, for one site. The database fits all others."""
    await run(database, EVERY_CLAIM_FAILS.format(code=code, and_else="false"))
    await run(
        database,
        "insert into blog_generations (instance_id, source_type, source_id) "
        "select 'odd', 'keyword', 'poison' from generate_series(1, 5)",
    )
    await bench.add("a", "b", "c")

    with capture_logs() as logs:
        async with bench.working(done, slots=4) as (worker, _):
            await until(lambda: worker.outcomes["DONE"] == 3)
            await bench.add("d", "a")
            await until(lambda: worker.outcomes["DONE"] == 5)

    jobs = await bench.jobs()
    assert {(job["status"], job["attempt"]) for job in jobs if job["instance_id"] == "odd"} == {("PENDING", 0)}
    assert {job["status"] for job in jobs if job["instance_id"] != "odd"} == {"DONE"}
    (site,) = await database.rows("ops/sites", most=9, instance_id="odd")
    assert site["pause_reason"].endswith("the database refuses to claim it: no blog about poison")
    events = [line["event"] for line in logs if line["log_level"] in {"error", "warning"}]
    assert events == ["schema_mismatch_found", "unclaimable_job_found"]


ADMISSION_FAILS = """
create function refuse_odd() returns trigger language plpgsql as $$
begin
    if new.instance_id = 'odd' and new.ready then
        raise exception 'no such site' using errcode = '{code}';
    end if;
    return new;
end
$$;
create trigger refuse_odd before update on sites for each row execute function refuse_odd()
"""


@pytest.mark.parametrize("code", ["P0001", "23514", *MISFIT_CODES[:2]])
async def test_a_site_that_cannot_join_the_line_stops_no_claim(
    bench: Bench, database: Database, quiet_sooner: None, code: str
) -> None:
    """Each claim admits some sites, in its own transaction."""
    await run(database, ADMISSION_FAILS.format(code=code))
    await bench.add("odd", "a", "b")
    arrived = arrivals()

    async def keep_admitting() -> None:
        while True:
            with suppress(psycopg.Error):  # where only the odd site arrives, there is nothing to serve
                await admit(database, arrived)
            await sleep(0.05)

    async with bench.working(done, slots=4) as (worker, _), create_task_group() as keepers:
        keepers.start_soon(keep_admitting)
        await until(lambda: worker.outcomes["DONE"] == 2)
        await bench.add("c")
        await until(lambda: worker.outcomes["DONE"] == 3)
        keepers.cancel_scope.cancel()

    assert await bench.statuses() == ["PENDING", "DONE", "DONE", "DONE"]


SETTLING_FAILS = """
create function refuse_odd() returns trigger language plpgsql as $$
begin
    if new.instance_id = 'odd' and new.status = 'DONE' then
        raise exception 'not this one' using errcode = '{code}';
    end if;
    return new;
end
$$;
create trigger refuse_odd before update on blog_generations for each row execute function refuse_odd()
"""


@pytest.mark.parametrize("code", ["P0001", *MISFIT_CODES[:2]])
async def test_an_outcome_that_does_not_fit_holds_no_other_up(bench: Bench, database: Database, code: str) -> None:
    await run(database, SETTLING_FAILS.format(code=code))
    await bench.add("odd", "a", "b", "odd", "c")
    health = DatabaseHealth()
    settler = Settler(
        RetryingDatabase(database, health),
        bench.worker_id,
        strict=RetryingDatabase(database, health, retries_incompatible=False),
    )
    statuses: dict[int, str | None] = {}

    async def end(taken: Claim) -> None:
        statuses[taken.job_id] = await settler.settle(taken, Done())

    await admit(database)
    found = await claim(database, bench.worker_id, slots=9, site_window=9)
    async with create_task_group() as keepers:
        keepers.start_soon(settler.run)
        async with create_task_group() as ends:
            for taken in found.claims:
                ends.start_soon(end, taken)
        keepers.cancel_scope.cancel()

    by_site = sorted((taken.instance_id, statuses[taken.job_id]) for taken in found.claims)
    assert by_site == [("a", "DONE"), ("b", "DONE"), ("c", "DONE"), ("odd", None), ("odd", None)]
    assert health.compatibility.usable_slots(9, in_flight=0) == 9


async def test_a_row_that_alone_does_not_fit_is_not_waited_for(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same statement gets through for others, so it is not the database that has to change."""
    monkeypatch.setattr(retrying_module, "LONGEST_WAIT_S", 0.05)
    await run(database, SETTLING_FAILS.format(code="42501").replace("new.status = 'DONE'", "true"))
    await bench.add("odd", *"abcdefgh")
    odd, *others = [job["id"] for job in await bench.jobs()]
    health = DatabaseHealth()
    one = RetryingDatabase(database, health)
    refused = Event()

    async def alone() -> None:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await one.rows("queue/fail_unclaimable", job_id=odd, error="e")
        refused.set()

    with capture_logs():
        async with create_task_group() as tasks:
            tasks.start_soon(alone)
            await until(lambda: health.compatibility.usable_slots(9, in_flight=0) == 0)
            assert not refused.is_set()
            for job_id in others[:3]:
                await one.rows("queue/fail_unclaimable", job_id=job_id, error="e")
            await refused.wait()


async def test_the_site_of_a_job_that_cannot_even_be_ended_is_paused(bench: Bench, database: Database) -> None:
    await run(database, EVERY_CLAIM_FAILS.format(code="P0001", and_else="new.status = 'FAILED'"))
    await run(
        database, "insert into blog_generations (instance_id, source_type, source_id) values ('a', 'keyword', 'poison')"
    )
    await bench.add("b", "c")

    async def pipeline(claim: Claim, saved: Mapping[str, Any]) -> Outcome:
        return Done()

    async with bench.working(pipeline, slots=3) as (worker, _):
        await until(lambda: worker.outcomes["DONE"] == 2)

    (site,) = [row for row in await database.rows("ops/sites", most=9, instance_id=None) if row["paused_at"]]
    assert (site["instance_id"], "no blog about poison" in site["pause_reason"]) == ("a", True)


async def test_a_fault_of_every_job_is_no_jobs_fault(bench: Bench, database: Database) -> None:
    """Somebody forbids all changes for a while: a migration of theirs, a trigger until noon."""
    await run(database, EVERY_CLAIM_FAILS.format(code="P0001", and_else="false").replace("'poison'", "old.source_id"))
    async with database.connection() as connection:
        await connection.execute(
            "insert into blog_generations (instance_id, source_type, source_id) "
            "select 'site' || n % 9, 'keyword', 'k' from generate_series(1, 30) as n"
        )

    async def pipeline(claim: Claim, saved: Mapping[str, Any]) -> Outcome:
        return Done()

    with capture_logs() as logs:
        async with bench.working(pipeline, slots=50) as (worker, _):
            await until(lambda: any(line["event"] == "claim_failed" for line in logs))
            await run(database, "drop trigger refuse_poison on blog_generations")
            await until(lambda: worker.outcomes["DONE"] == 30)

    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["claim_failed"]
