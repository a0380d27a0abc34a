"""Who may settle an attempt: the worker that claimed it, once."""

from uuid import uuid4

import pytest
from anyio import create_task_group
from anyio.lowlevel import checkpoint
from psycopg.types.json import Json

from blogworker.queue.job import Done, PauseSite, PutOff, Release, Retry, Wait
from blogworker.queue.rescue import rescue
from blogworker.queue.settle import Settler

from .outcomes import FAILURE, delay_s, errors, one_claim

pytestmark = pytest.mark.anyio


async def taken_away(psql, database, claim):
    await psql.run("update workers set lease_until = now() - interval '1 second'")
    await rescue(database)


async def taken_away_and_claimed_by_another(psql, database, claim):
    await taken_away(psql, database, claim)
    await psql.run(
        "update blog_generations set status = 'PROCESSING', attempt = attempt + 1, worker_id = gen_random_uuid()"
    )


async def claimed_again_by_the_same_worker(psql, database, claim):
    await psql.run("update blog_generations set status = 'PENDING'")
    await psql.run(
        "update blog_generations set status = 'PROCESSING', attempt = attempt + 1, worker_id = %s",
        await psql.value("select worker_id from workers"),
    )


async def cancelled_by_hand(psql, database, claim):
    await psql.run("update blog_generations set status = 'CANCELLED'")


async def deleted(psql, database, claim):
    await psql.run("delete from blog_generations")


@pytest.mark.parametrize(
    "meanwhile",
    [
        taken_away,
        taken_away_and_claimed_by_another,
        claimed_again_by_the_same_worker,
        cancelled_by_hand,
        deleted,
    ],
)
async def test_a_lost_attempt_writes_nothing(psql, database, claimer, settler, meanwhile):
    """Fencing: whatever happened to the job since then is not changed."""
    claim = await one_claim(psql, claimer)
    await meanwhile(psql, database, claim)
    before = await psql.run("select * from blog_generations"), await errors(psql)

    assert await settler.settle(claim, Done()) is None
    assert await settler.settle(claim, Retry(FAILURE, 5)) is None

    assert (await psql.run("select * from blog_generations"), await errors(psql)) == before


async def test_another_worker_cannot_settle_the_attempt(psql, database, claimer):
    claim = await one_claim(psql, claimer)
    stranger = Settler(database, uuid4())

    async with create_task_group() as tasks:
        tasks.start_soon(stranger.run)
        status = await stranger.settle(claim, Done())
        tasks.cancel_scope.cancel()

    assert status is None
    assert (await psql.job())["status"] == "PROCESSING"


async def test_one_statement_settles_held_attempts_and_reports_lost_ones(psql, claimer, settler):
    await psql.insert("shop", 3)
    claims = (await claimer()).claims
    await psql.run("update blog_generations set status = 'CANCELLED' where id = 2")
    statuses = {}

    async def end(claim) -> None:
        statuses[claim.job_id] = await settler.settle(claim, Done())

    async with create_task_group() as tasks:
        for claim in claims:
            tasks.start_soon(end, claim)

    assert statuses == {1: "DONE", 2: None, 3: "DONE"}


@pytest.mark.parametrize(
    "outcome",
    [Retry(FAILURE, 5), Wait(5, "quota"), Wait(0, "quota"), PutOff(5, "later"), Release(), PauseSite(FAILURE)],
)
async def test_a_cancelled_job_is_not_requeued(psql, database, claimer, settler, outcome):
    """However its attempt ends, except with success: the cancel wins over every requeue."""
    claim = await one_claim(psql, claimer)
    (answer,) = await database.rows("queue/cancel", job_ids=[claim.job_id])

    status = await settler.settle(claim, outcome)

    job = await psql.job()
    assert answer["status"] == "PROCESSING"
    assert status == job["status"] == "CANCELLED"
    assert job["error"] == "cancelled"


async def test_a_job_finished_before_the_cancel_arrived_is_done(psql, database, claimer, settler):
    """Its post is on the site."""
    claim = await one_claim(psql, claimer)
    await database.rows("queue/cancel", job_ids=[claim.job_id])

    assert await settler.settle(claim, Done()) == "DONE"


async def test_the_first_outcome_of_an_attempt_wins(psql, database, claimer):
    """A stopping worker releases its jobs, also one whose outcome still waits for the database."""
    claim = await one_claim(psql, claimer)
    settler = Settler(database, claimer.worker_id)
    ended = []

    async def end(outcome) -> None:
        ended.append(await settler.settle(claim, outcome))

    async with create_task_group() as sending:
        async with create_task_group() as tasks:
            for outcome in (Retry(FAILURE, 60), Release(), Release()):
                tasks.start_soon(end, outcome)
            await checkpoint()
            sending.start_soon(settler.run)
        sending.cancel_scope.cancel()

    assert ended == ["PENDING"] * 3
    assert await delay_s(psql) > 50
    assert len(await errors(psql)) == 1


async def test_a_done_sent_twice_is_settled_twice(psql, claimer, database):
    """The first answer was lost: the attempt is ours and has ended, not lost to another worker."""
    await psql.insert("shop", 1)
    (held,) = (await claimer()).claims
    outcome = [{"job_id": held.job_id, "attempt": held.attempt, "status": "DONE", "spent": False}]

    answers = [
        await database.rows("queue/settle", worker_id=claimer.worker_id, outcomes=Json(outcome)) for _ in range(2)
    ]

    assert answers == [[{"job_id": held.job_id, "status": "DONE"}]] * 2
