"""Promotion: scheduled and resting jobs become ready when their time has come."""

import pytest
from anyio import create_task_group, fail_after

from blogworker.queue import promote as promotion
from blogworker.queue.promote import promote

pytestmark = pytest.mark.anyio


async def plan(psql, count: int, due_in: str) -> None:
    """Jobs whose time was in the future when they came, and is `due_in` from now."""
    await psql.insert("shop", count, run_at="2100-01-01Z")
    await psql.run(
        "update blog_generations set run_at = now() + %s::interval where run_at > '2099-01-01Z'",
        due_in,
    )


async def rest(psql, count: int, due_in: str, *, site: str = "rests", stage: str = "content") -> None:
    """Jobs that backed off, and whose rest ends `due_in` from now: as a settle leaves them when that time comes."""
    await psql.run("set session_replication_role = replica")
    await psql.run("insert into sites (instance_id) values (%s) on conflict do nothing", site)
    await psql.run(
        "insert into blog_generations (instance_id, source_type, source_id, stage, run_at) "
        "select %s, 'keyword', 'k', %s, now() + %s::interval from generate_series(1, %s)",
        site,
        stage,
        due_in,
        count,
    )
    await psql.run("set session_replication_role = origin")


async def statuses(psql) -> dict[str, int]:
    rows = await psql.run("select status, count(*) as jobs from blog_generations group by status")
    return {row["status"]: row["jobs"] for row in rows}


async def test_only_due_jobs_become_ready(psql, database, claimer):
    await plan(psql, 3, "-1 second")
    await plan(psql, 2, "1 minute")

    promoted = await promote(database)

    assert promoted == 3
    assert await statuses(psql) == {"PENDING": 3, "SCHEDULED": 2}
    assert len((await claimer()).claims) == 3


async def test_a_job_is_claimed_again_only_after_its_rest(psql, database, claimer):
    await rest(psql, 3, "-1 second")
    await rest(psql, 2, "1 minute")
    assert (await claimer()).claims == ()

    promoted = await promote(database)

    assert promoted == 3
    assert await statuses(psql) == {"PENDING": 5}
    assert [row["line"] for row in await psql.run("select line from blog_generations order by id")] == [2] * 3 + [
        None
    ] * 2
    assert [c.job_id for c in (await claimer()).claims] == [1, 2, 3]


async def test_the_end_of_a_rest_wakes_a_worker_and_returns_the_site_to_the_line(psql, another_psql, database, claimer):
    """A site whose jobs all rest has left the line."""
    await rest(psql, 1, "-1 second")
    await another_psql.run("listen blogworker_jobs")

    await promote(database)

    assert len([n async for n in another_psql.connection.notifies(timeout=5, stop_after=1)]) == 1
    assert await claimer.sites() == ["rests"]


async def a_batch(database, batch: int) -> int:
    """How many jobs one transaction promotes."""
    (row,) = await database.briefly(("queue/promote", {"batch": batch, "only": None, "skipped": []}))
    return row["promoted"]


async def test_scheduled_and_resting_jobs_do_not_delay_each_other(psql, database):
    """Each has a batch of its own: a night's backlog of one kind must not delay what backed off for seconds."""
    await plan(psql, 4, "-1 hour")
    await rest(psql, 4, "-1 second")

    assert [await a_batch(database, 3) for _ in range(3)] == [6, 2, 0]


async def test_a_locked_resting_job_is_left_for_the_next_round(psql, another_psql, database):
    await rest(psql, 2, "-1 second")
    await another_psql.run("begin")
    await another_psql.run("select from blog_generations where id = 1 for update")

    with fail_after(5):
        assert await promote(database) == 1

    await another_psql.run("rollback")
    assert await promote(database) == 1


async def test_promoted_jobs_wake_a_worker(psql, another_psql, database):
    await plan(psql, 1, "-1 second")
    await another_psql.run("listen blogworker_jobs")

    await promote(database)

    assert len([n async for n in another_psql.connection.notifies(timeout=5, stop_after=1)]) == 1


async def test_the_longest_due_goes_first_in_batches(psql, database):
    """A backlog of due jobs, as after a night without workers, must not become one long transaction."""
    await plan(psql, 3, "-1 minute")
    await plan(psql, 3, "-1 hour")

    batches = [await a_batch(database, 4) for _ in range(3)]

    assert batches == [4, 2, 0]


async def test_the_longest_due_is_in_the_first_batch(psql, database):
    await plan(psql, 3, "-1 minute")
    await plan(psql, 3, "-1 hour")

    await a_batch(database, 3)

    ready = await psql.run("select id from blog_generations where status = 'PENDING' order by id")
    assert [row["id"] for row in ready] == [4, 5, 6]


async def test_several_promoters_move_each_job_once(psql, database, monkeypatch):
    """Every worker promotes; the counts must add up to the jobs."""
    monkeypatch.setattr(promotion, "BATCH", 25)
    await plan(psql, 200, "-1 second")
    counts = []

    async def until_empty() -> None:
        while count := await promote(database):
            counts.append(count)

    async with create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(until_empty)

    assert sum(counts) == 200
    assert await statuses(psql) == {"PENDING": 200}


async def test_a_row_that_another_transaction_has_locked_is_left_for_the_next_round(psql, another_psql, database):
    await plan(psql, 2, "-1 second")
    await another_psql.run("begin")
    await another_psql.run("select from blog_generations where id = 1 for update")

    with fail_after(5):
        assert await promote(database) == 1

    await another_psql.run("rollback")
    assert await promote(database) == 1


async def test_a_locked_site_does_not_block_the_promotion_of_others(psql, another_psql, database, claimer):
    """Its jobs stand first in every batch: nothing of the fleet became due while the transaction was open."""
    await psql.insert("held", 1, run_at="2100-01-01Z")
    await plan(psql, 1, "-1 second")
    await another_psql.run("begin")
    await another_psql.run("select from sites where instance_id = 'held' for update")

    assert await promote(database) == 2

    assert await claimer.sites() == ["shop"]
    await another_psql.run("rollback")
    assert await claimer.sites() == ["held"]
