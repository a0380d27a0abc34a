"""Cancelling jobs, whatever their workers do meanwhile."""

import pytest
from anyio import create_task_group
from psycopg.types.json import Json

from blogworker.queue.job import Done, Release, Retry, Wait
from blogworker.queue.rescue import rescue

from .ended_jobs import failure, retry

pytestmark = pytest.mark.anyio
PUBLISHED = """
insert into generation_stages (generation_id, stage, output, attempt) values (1, 'publish.post', '{"id": "p"}', 1)
"""
TITLES = """
with titles as (
    insert into site_titles (instance_id, key, title, generation_id) select 'shop', 't' || n, 't', n
    from generate_series(1, 2) as n
)
insert into site_slugs (instance_id, slug, generation_id) select 'shop', 's' || n, n from generate_series(1, 2) as n
"""


async def test_waiting_jobs_are_cancelled_at_once(psql, database, claimer):
    await psql.insert("shop", 1)
    await psql.insert("shop", 1, run_at="2100-01-01Z")

    rows = await database.rows("queue/cancel", job_ids=[1, 2])

    assert [(row["job_id"], row["status"]) for row in rows] == [(1, "CANCELLED"), (2, "CANCELLED")]
    job = await psql.job(2)
    assert (job["status"], job["error"], job["finished_at"] is not None) == ("CANCELLED", "cancelled", True)
    assert (await claimer()).claims == ()


async def test_the_worker_of_a_running_job_is_asked_to_stop_it(psql, another_psql, database, claimer):
    """By NOTIFY at once, or with the next extension of the lease."""
    await psql.insert("shop", 2)
    await claimer()
    await another_psql.run("listen blogworker_jobs")

    (answer,) = await database.rows("queue/cancel", job_ids=[2])

    extended = await database.one(
        "queue/extend_lease", worker_id=claimer.worker_id, lease_s=600, in_flight=2, draining=False, stats=Json({})
    )
    payloads = [n.payload async for n in another_psql.connection.notifies(timeout=5, stop_after=1)]
    assert answer["status"] == (await psql.job(2))["status"] == "PROCESSING"
    assert extended["cancelled"] == [2]
    assert payloads == ["cancel"]


async def test_ended_jobs_are_not_changed_by_a_cancel(failed, psql, database):
    """A post that is on the site cannot be called off, and a failure keeps its reason."""
    before = await psql.run("select * from blog_generations order by id")

    assert await database.rows("queue/cancel", job_ids=[1, 5, 6, 99]) == []

    assert await psql.run("select * from blog_generations order by id") == before


@pytest.mark.parametrize("outcome", [Release(), Retry(failure("Unavailable"), 0), Wait(0, "quota")])
async def test_a_cancelled_job_ends_instead_of_being_requeued(psql, database, claimer, settler, outcome):
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims
    await database.rows("queue/cancel", job_ids=[1])

    assert await settler.settle(claim, outcome) == "CANCELLED"
    assert (await claimer()).claims == ()


async def test_a_cancelled_job_that_is_finished_stays_finished(psql, database, claimer, settler):
    """Its post was published before the cancel arrived, so the job must not show as cancelled."""
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims
    await database.rows("queue/cancel", job_ids=[1])

    assert await settler.settle(claim, Done()) == "DONE"


async def test_a_cancelled_job_ends_when_its_worker_died(psql, database, claimer):
    await psql.insert("shop", 1)
    await claimer()
    await database.rows("queue/cancel", job_ids=[1])
    await psql.run("update workers set lease_until = now() - interval '1 second'")

    assert (await rescue(database)).failed == 0
    assert (await psql.job())["status"] == "CANCELLED"


@pytest.mark.parametrize("how", ["waits", "worker died", "released"])
async def test_a_published_post_is_done_and_not_cancelled(psql, database, claimer, settler, how):
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims
    await psql.run("update blog_generations set stage = 'publish'")
    await psql.run(PUBLISHED)
    if how == "waits":
        await settler.settle(claim, Retry(failure("Unavailable"), 0))
    await database.rows("queue/cancel", job_ids=[1])
    if how == "worker died":
        await psql.run("update workers set lease_until = now() - interval '1 second'")
        await rescue(database)
    if how == "released":
        assert await settler.settle(claim, Release()) == "DONE"

    job = await psql.job()
    assert (job["status"], job["error"]) == ("DONE", None)


async def test_a_deleted_job_leaves_the_title_of_a_published_post_taken(psql):
    """Whatever its status was: the next post must not get the same title and address."""
    await psql.insert("shop", 2, stage="publish")
    await psql.run(PUBLISHED)
    await psql.run(TITLES)

    await psql.run("delete from blog_generations")

    assert await psql.value("select array_agg(key) from site_titles") == ["t1"]
    assert await psql.value("select array_agg(slug) from site_slugs") == ["s1"]


async def test_a_cancelled_job_ends_when_it_is_taken_from_its_worker_by_hand(psql, database, claimer):
    await psql.insert("shop", 1)
    await claimer()
    await database.rows("queue/cancel", job_ids=[1])

    await psql.run("update blog_generations set status = 'PENDING'")

    assert (await psql.job())["status"] == "CANCELLED"


async def test_a_cancel_concurrent_with_a_claim_reaches_the_worker(psql, another_psql, database, claimer):
    """It waits for the claim, and then asks the worker to stop instead of ending a running job."""
    await psql.insert("shop", 1)
    answers = []

    async def cancel() -> None:
        answers.extend(await database.rows("queue/cancel", job_ids=[1]))

    await another_psql.run("begin")
    await another_psql.run(
        "update blog_generations set status = 'PROCESSING', attempt = attempt + 1, worker_id = %s", claimer.worker_id
    )
    async with create_task_group() as tasks:
        tasks.start_soon(cancel)
        await psql.until_waiting(1)
        await another_psql.run("commit")

    assert [row["status"] for row in answers] == ["PROCESSING"]
    assert (await psql.job())["cancel_requested_at"] is not None


async def test_a_retry_forgets_the_cancellation(psql, database, claimer, settler):
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims
    await database.rows("queue/cancel", job_ids=[1])
    await settler.settle(claim, Release())

    assert await retry(database, job_ids=[1]) == [1]

    (again,) = (await claimer()).claims
    assert await settler.settle(again, Release()) == "PENDING"
