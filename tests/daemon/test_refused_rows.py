"""Rows that the database refuses: only their site or their job is affected."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from anyio import Event, create_task_group, sleep
from structlog.testing import capture_logs

from blogworker.db import retrying as retrying_module
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth, RetryingDatabase
from blogworker.queue.admit import admit, arrivals
from blogworker.queue.claim import claim
from blogworker.queue.job import Claim, Done, Outcome
from blogworker.queue.settle import Settler

from .bench import Bench, until
from .incompatible_database import INCOMPATIBLE_CODES, done, run

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
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
async def test_a_job_that_breaks_every_claim_fails_and_the_others_continue(
    bench: Bench, database: Database, code: str
) -> None:
    """Another program's trigger refuses one row, while one statement claims for all sites."""
    await run(database, EVERY_CLAIM_FAILS.format(code=code, and_else="false"))
    await run(
        database, "insert into blog_generations (instance_id, source_type, source_id) values ('a', 'keyword', 'poison')"
    )
    await bench.add("a", "b", "c")

    async def pipeline(claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        return Done()

    with capture_logs() as logs:
        async with bench.working(pipeline, slots=4) as (worker, _):
            await until(lambda: worker.ended.outcomes["DONE"] == 3)

    poison, *others = await bench.jobs()
    assert poison["status"] == "FAILED"
    assert poison["error"] == "the database refuses to claim it: no blog about poison"
    assert {job["status"] for job in others} == {"DONE"}
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["claim_failed", "unclaimable_job_found"]


@pytest.mark.parametrize("code", INCOMPATIBLE_CODES)
async def test_an_incompatible_row_pauses_its_site_and_uses_no_attempt(
    bench: Bench, database: Database, code: str
) -> None:
    """Another program's trigger lacks a privilege or a name, for one site only."""
    await run(database, EVERY_CLAIM_FAILS.format(code=code, and_else="false"))
    await run(
        database,
        "insert into blog_generations (instance_id, source_type, source_id) "
        "select 'odd', 'keyword', 'poison' from generate_series(1, 5)",
    )
    await bench.add("a", "b", "c")

    with capture_logs() as logs:
        async with bench.working(done, slots=4) as (worker, _):
            await until(lambda: worker.ended.outcomes["DONE"] == 3)
            await bench.add("d", "a")
            await until(lambda: worker.ended.outcomes["DONE"] == 5)

    jobs = await bench.jobs()
    assert {(job["status"], job["attempt"]) for job in jobs if job["instance_id"] == "odd"} == {("PENDING", 0)}
    assert {job["status"] for job in jobs if job["instance_id"] != "odd"} == {"DONE"}
    (site,) = await database.rows("ops/sites", most=9, instance_id="odd", text=None, paused=False)
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


@pytest.mark.parametrize("code", ["P0001", "23514", *INCOMPATIBLE_CODES[:2]])
async def test_a_site_that_cannot_join_the_line_breaks_no_claim(
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
        await until(lambda: worker.ended.outcomes["DONE"] == 2)
        await bench.add("c")
        await until(lambda: worker.ended.outcomes["DONE"] == 3)
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


@pytest.mark.parametrize("code", ["P0001", *INCOMPATIBLE_CODES[:2]])
async def test_an_incompatible_outcome_does_not_delay_others(bench: Bench, database: Database, code: str) -> None:
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


async def test_a_single_incompatible_row_is_not_retried_for_ever(
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


async def test_the_site_of_a_job_that_cannot_be_settled_is_paused(bench: Bench, database: Database) -> None:
    await run(database, EVERY_CLAIM_FAILS.format(code="P0001", and_else="new.status = 'FAILED'"))
    await run(
        database, "insert into blog_generations (instance_id, source_type, source_id) values ('a', 'keyword', 'poison')"
    )
    await bench.add("b", "c")

    async def pipeline(claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        return Done()

    async with bench.working(pipeline, slots=3) as (worker, _):
        await until(lambda: worker.ended.outcomes["DONE"] == 2)

    (site,) = [
        row
        for row in await database.rows("ops/sites", most=9, instance_id=None, text=None, paused=False)
        if row["paused_at"]
    ]
    assert (site["instance_id"], "no blog about poison" in site["pause_reason"]) == ("a", True)


async def test_an_error_of_every_job_uses_no_attempts(bench: Bench, database: Database) -> None:
    """Another program forbids all changes for a while: by a migration or a trigger."""
    await run(database, EVERY_CLAIM_FAILS.format(code="P0001", and_else="false").replace("'poison'", "old.source_id"))
    async with database.connection() as connection:
        await connection.execute(
            "insert into blog_generations (instance_id, source_type, source_id) "
            "select 'site' || n % 9, 'keyword', 'k' from generate_series(1, 30) as n"
        )

    async def pipeline(claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        return Done()

    with capture_logs() as logs:
        async with bench.working(pipeline, slots=50) as (worker, _):
            await until(lambda: any(line["event"] == "claim_failed" for line in logs))
            await run(database, "drop trigger refuse_poison on blog_generations")
            await until(lambda: worker.ended.outcomes["DONE"] == 30)

    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["claim_failed"]
