"""Rescue: the jobs of the dead, and only theirs."""

from collections import Counter

import pytest
from anyio import create_task_group, fail_after

from blogworker.queue.rescue import MOST_RESCUES, STRAY_AFTER_S, release_strays, rescue

pytestmark = pytest.mark.anyio


async def die(psql) -> None:
    await psql.run("update workers set lease_until = now() - interval '1 second'")


async def live(psql) -> None:
    await psql.run("update workers set lease_until = now() + interval '10 minutes'")


async def test_a_dead_workers_jobs_are_ready_again(psql, database, claimer):
    await psql.insert("shop", 3)
    await claimer()
    await die(psql)

    rescued = await rescue(database)

    jobs = await psql.run("select * from blog_generations")
    assert (rescued.jobs, rescued.failed) == (3, 0)
    assert {(j["status"], j["rescues"], j["failures"], j["attempt"], j["worker_id"]) for j in jobs} == {
        ("PENDING", 1, 0, 1, None)
    }
    await live(psql)
    assert [c.attempt for c in (await claimer()).claims] == [2, 2, 2]


async def test_a_live_workers_jobs_are_never_taken(psql, database, claimer):
    """However long they take: the lease says that the worker lives."""
    await psql.insert("shop", 3)
    await claimer()
    await psql.run("set session_replication_role = replica")
    await psql.run("update blog_generations set claimed_at = now() - interval '1 day'")
    await psql.run(
        "insert into workers (name, worker_id, host, pid, version, concurrency, lease_until) "
        "values ('dead', gen_random_uuid(), 'h', 1, '0', 1, now() - interval '1 day')"
    )

    assert (await rescue(database)).jobs == 0
    assert await psql.value("select count(*) from blog_generations where status = 'PROCESSING'") == 3


async def test_a_rescue_is_told_in_the_jobs_history(psql, database, claimer):
    await psql.insert("shop", 1)
    await claimer()
    await die(psql)

    await rescue(database)

    (error,) = await psql.run("select * from generation_errors")
    assert (error["kind"], error["attempt"], error["stage"], error["retryable"]) == ("LeaseLost", 1, "source", True)
    assert error["message"] == (await psql.job())["error"] == "its worker died or lost the database while holding it"


async def test_a_job_that_keeps_killing_its_workers_fails(psql, database, claimer):
    """Else one poisonous blog takes the whole fleet down, worker by worker."""
    await psql.insert("shop", 1)
    for _ in range(MOST_RESCUES):
        await live(psql)
        assert len((await claimer()).claims) == 1
        await die(psql)
        rescued = await rescue(database)

    job = await psql.job()
    assert (rescued.jobs, rescued.failed) == (1, 1)
    assert (job["status"], job["rescues"], job["failures"]) == ("FAILED", 3, 0)
    assert job["error"] == "its worker died or lost the database 3 times while holding it"
    assert job["finished_at"] is not None
    errors = await psql.run("select retryable from generation_errors order by id")
    assert [error["retryable"] for error in errors] == [True, True, False]


async def test_many_rescuers_take_each_job_once(psql, database, claimer):
    """Every worker rescues; a job counted twice would fail before its time."""
    await psql.insert("shop", 60)
    await claimer(100, 100)
    await die(psql)
    taken: Counter[int] = Counter()

    async def one() -> None:
        rows = await database.rows("queue/rescue", batch=20, most_rescues=MOST_RESCUES)
        taken.update(row["job_id"] for row in rows)

    async with create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(one)
    await rescue(database)

    assert await psql.value("select count(*) from blog_generations where rescues = 1") == 60
    assert set(taken.values()) == {1}


async def test_a_job_that_is_being_settled_is_not_waited_for(psql, database, claimer):
    """Whoever holds the row decides; a rescuer has others to look after."""
    await psql.insert("shop", 2)
    await claimer()
    await die(psql)
    await psql.run("begin")
    await psql.run("select from blog_generations where id = 1 for update")

    with fail_after(5):
        assert (await rescue(database)).jobs == 1

    await psql.run("rollback")
    assert (await rescue(database)).jobs == 1


async def test_a_rescue_frees_the_sites_cap(psql, database, claimer):
    """A dead worker must not shut its sites out."""
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 1)")
    await psql.insert("capped", 2)
    await claimer()
    await die(psql)
    await rescue(database)
    await live(psql)

    assert await claimer.sites() == ["capped"]


async def test_a_job_that_was_cancelled_does_not_come_back_by_rescue(psql, database, claimer):
    await psql.insert("shop", 1)
    await claimer()
    await database.rows("queue/cancel", job_ids=[1])
    await die(psql)

    await rescue(database)

    assert (await psql.job())["status"] == "CANCELLED"


async def test_a_worker_hands_back_what_it_holds_without_knowing(psql, database, claimer):
    """A claim was committed and its answer lost: the lease is extended, so nobody else would take the jobs back."""
    await psql.insert("shop", 4)
    await claimer(3)
    async with psql.connection.transaction():
        await psql.run("set local session_replication_role = replica")
        await psql.run(
            "update blog_generations set claimed_at = now() - make_interval(secs => %s) where id in (1, 2)",
            STRAY_AFTER_S + 1,
        )
        await psql.run(
            "update blog_generations set status = 'PROCESSING', worker_id = gen_random_uuid(), "
            "claimed_at = now() - interval '1 day' where id = 4"
        )

    released = await release_strays(database, claimer.worker_id, known=[2])

    rows = await psql.run("select id, status, failures from blog_generations order by id")
    assert released == 1
    assert [(row["id"], row["status"], row["failures"]) for row in rows] == [
        (1, "PENDING", 0),
        (2, "PROCESSING", 0),  # known
        (3, "PROCESSING", 0),  # just claimed: the answer may be on its way
        (4, "PROCESSING", 0),  # another worker's
    ]
