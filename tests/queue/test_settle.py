"""Ending an attempt: what each outcome does to the job, and who may still say so."""

from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from uuid import uuid4

import pytest
from anyio import create_task_group, fail_after, sleep
from anyio.lowlevel import checkpoint
from psycopg.types.json import Json
from structlog.testing import capture_logs

from blogworker.db.pool import connect
from blogworker.queue.job import Cancel, Done, Failure, PauseSite, PutOff, Reject, Release, Retry, Wait
from blogworker.queue.rescue import rescue
from blogworker.queue.settle import Settler

pytestmark = pytest.mark.anyio

FAILURE = Failure(
    stage="content",
    kind="Unavailable",
    message="the vendor is down",
    provider="openai",
    status=503,
    code="overloaded",
    request_id="req_1",
)


async def one_claim(psql, claimer):
    await psql.insert("shop", 1)
    return (await claimer()).claims[0]


async def errors(psql):
    return await psql.run("select * from generation_errors order by id")


async def delay_s(psql) -> float:
    return float(await psql.value("select extract(epoch from run_at - now()) from blog_generations"))


async def test_done_ends_the_job(psql, claimer, settler):
    claim = await one_claim(psql, claimer)

    status = await settler.settle(claim, Done())

    job = await psql.job()
    assert status == job["status"] == "DONE"
    assert job["finished_at"] is not None
    assert (job["worker_id"], job["failures"], job["attempt"], job["error"]) == (None, 0, 1, None)
    assert await errors(psql) == []


async def test_retry_spends_an_attempt_and_comes_back_after_its_delay(psql, claimer, settler):
    claim = await one_claim(psql, claimer)

    status = await settler.settle(claim, Retry(FAILURE, 40))

    job = await psql.job()
    assert status == job["status"] == "PENDING"
    assert (job["failures"], job["attempt"], job["error"]) == (1, 1, "the vendor is down")
    assert 30 < await delay_s(psql) <= 40
    assert job["line"] is None, "it rests"
    assert (await claimer()).claims == ()


async def test_what_went_wrong_is_kept_in_full(psql, claimer, settler):
    """The request id is what a vendor's support asks for."""
    claim = await one_claim(psql, claimer)

    await settler.settle(claim, Retry(FAILURE, 1))

    (error,) = await errors(psql)
    assert {name: error[name] for name in asdict(FAILURE)} == asdict(FAILURE)
    assert (error["generation_id"], error["attempt"], error["retryable"]) == (1, 1, True)


async def test_the_last_attempt_that_fails_fails_the_job(psql, claimer, settler):
    await psql.insert("shop", 1, max_attempts=2)
    statuses = []
    for _ in range(2):
        (claim,) = (await claimer()).claims
        statuses.append(await settler.settle(claim, Retry(FAILURE, 0)))

    job = await psql.job()
    assert statuses == ["PENDING", "FAILED"]
    assert (job["failures"], job["attempt"], job["error"]) == (2, 2, "the vendor is down")
    assert job["finished_at"] is not None
    assert [error["retryable"] for error in await errors(psql)] == [True, False]


async def test_waiting_spends_nothing_however_often(psql, claimer, settler):
    """A quota that is used up must never use up a job."""
    await psql.insert("shop", 1, max_attempts=1)
    for _ in range(3):
        (claim,) = (await claimer()).claims
        assert await settler.settle(claim, Wait(20, "quota", FAILURE)) == "PENDING"
        assert 10 < await delay_s(psql) <= 20
        assert (await claimer()).claims == (), "it rests"
        await psql.run("update blog_generations set run_at = now()")

    job = await psql.job()
    assert (job["failures"], job["attempt"], job["error"]) == (0, 3, "quota")
    assert len(await errors(psql)) == 3


async def test_waiting_for_no_error_records_none(psql, claimer, settler):
    claim = await one_claim(psql, claimer)

    await settler.settle(claim, Wait(20, "the database was away"))

    assert (await psql.job())["error"] == "the database was away"
    assert await errors(psql) == []


async def test_a_wait_without_a_time_keeps_its_place_in_line(psql, claimer, settler):
    """Its quota was used up: the next claim that the quota allows may take it, and no clock has to wake it."""
    await psql.insert("shop", 2)
    first, second = (await claimer()).claims

    for claim in (second, first):
        assert await settler.settle(claim, Wait(0, "quota")) == "PENDING"

    assert [c.job_id for c in (await claimer()).claims] == [first.job_id, second.job_id]
    assert await psql.value("select sum(failures) from blog_generations") == 0


async def test_only_what_its_owner_put_off_is_scheduled(psql, claimer, settler):
    """Everything else that is not finished waits in the queue and counts against its limits."""
    claim = await one_claim(psql, claimer)

    status = await settler.settle(claim, PutOff(20, "made, to be published later"))

    job = await psql.job()
    assert status == job["status"] == "SCHEDULED"
    assert (job["failures"], job["error"], job["line"]) == (0, "made, to be published later", None)
    assert 10 < await delay_s(psql) <= 20
    assert await errors(psql) == []
    assert await psql.value("select pending_count(10)") == 0


async def test_a_released_job_is_ready_at_once_and_has_spent_nothing(psql, claimer, settler):
    claim = await one_claim(psql, claimer)

    status = await settler.settle(claim, Release())

    job = await psql.job()
    assert status == job["status"] == "PENDING"
    assert (job["failures"], job["error"], job["worker_id"]) == (0, None, None)
    assert [c.attempt for c in (await claimer()).claims] == [2]


async def test_a_rejected_job_fails_at_once(psql, claimer, settler):
    """No second call buys a different answer."""
    claim = await one_claim(psql, claimer)

    status = await settler.settle(claim, Reject(FAILURE))

    (error,) = await errors(psql)
    assert status == "FAILED"
    assert (await psql.job())["error"] == "the vendor is down"
    assert not error["retryable"]


async def test_a_cancelled_job_ends(psql, claimer, settler):
    claim = await one_claim(psql, claimer)

    assert await settler.settle(claim, Cancel()) == "CANCELLED"
    assert (await psql.job())["finished_at"] is not None


async def test_a_site_that_is_out_of_reach_is_paused_and_keeps_its_job(psql, claimer, settler):
    claim = await one_claim(psql, claimer)
    await psql.insert("other", 1)

    status = await settler.settle(claim, PauseSite(replace(FAILURE, message="the token was revoked")))

    job, (site,) = await psql.job(), await psql.run("select * from sites where instance_id = 'shop'")
    assert status == job["status"] == "PENDING"
    assert (job["failures"], len(await errors(psql))) == (0, 1)
    assert site["paused_at"] is not None
    assert site["pause_reason"] == "the token was revoked"
    assert await claimer.sites() == ["other"]


async def test_a_pause_is_logged_once(psql, claimer, settler):
    """Four blogs of one site fail at the same time, on different workers: one line is logged."""
    await psql.insert("shop", 4)
    claims = (await claimer()).claims

    with capture_logs() as lines:
        async with create_task_group() as tasks:
            for claim in claims:
                tasks.start_soon(settler.settle, claim, PauseSite(FAILURE))

    assert [(line["event"], line["instance_id"], line["error"]) for line in lines] == [
        ("site_paused", "shop", "the vendor is down")
    ]


async def test_the_first_reason_of_a_pause_stays(psql, claimer, settler):
    """Fifty jobs of one site fail together; the operator reads why it began."""
    claim = await one_claim(psql, claimer)
    await psql.run("update sites set paused_at = now(), pause_reason = 'the owner asked'")

    await settler.settle(claim, PauseSite(FAILURE))

    assert await psql.value("select pause_reason from sites") == "the owner asked"


@pytest.mark.parametrize("outcome", [PauseSite(FAILURE), Release()], ids=["pause", "release"])
async def test_a_site_that_a_person_holds_holds_up_no_other(psql, another_psql, claimer, settler, outcome):
    """A transaction left open over lunch: every worker with a job of that site stopped, with all its slots."""
    await psql.insert("held", 1)
    await psql.insert("other", 1)
    held, other = sorted((await claimer()).claims, key=lambda c: c.instance_id)
    await another_psql.run("begin")
    await another_psql.run("select from sites where instance_id = 'held' for update")

    with fail_after(8):
        async with create_task_group() as tasks:
            tasks.start_soon(settler.settle, held, outcome)
            assert await settler.settle(other, Done()) == "DONE"

    await another_psql.run("rollback")
    assert await claimer.sites() == ["held"]


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
    """Fencing: whatever was decided about the job since then stands."""
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


async def test_lost_and_held_attempts_of_one_statement_are_told_apart(psql, claimer, settler):
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


class Counted:
    """A database that counts the statements sent to it, and can hold them back."""

    def __init__(self, database) -> None:
        self.database = database
        self.statements = 0
        self.held_back = False

    async def rows(self, name, /, **parameters):
        self.statements += 1
        while self.held_back:
            await sleep(0.005)
        return await self.database.rows(name, **parameters)


async def test_many_outcomes_are_one_statement(psql, database, claimer):
    """What ends while one statement is under way goes together in the next."""
    await psql.insert("shop", 41)
    claims = (await claimer(100, 100)).claims
    counted = Counted(database)
    settler = Settler(counted, claimer.worker_id)

    async with create_task_group() as keepers:
        keepers.start_soon(settler.run)
        counted.held_back = True
        async with create_task_group() as attempts:
            attempts.start_soon(settler.settle, claims[0], Done())
            with fail_after(5):
                while counted.statements == 0:
                    await sleep(0.005)
            for claim in claims[1:]:
                attempts.start_soon(settler.settle, claim, Done())
            with fail_after(5):
                while len(settler._waiting) < 40:
                    await sleep(0.005)
            counted.held_back = False
        keepers.cancel_scope.cancel()

    assert counted.statements == 2
    assert await psql.value("select count(*) from blog_generations where status = 'DONE'") == 41


async def test_an_outcome_alone_is_sent_at_once(psql, database, claimer):
    """A slot is free only when its outcome is stored, so nothing may wait for company."""
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims
    counted = Counted(database)
    settler = Settler(counted, claimer.worker_id)

    async with create_task_group() as keepers:
        keepers.start_soon(settler.run)
        with fail_after(2):
            assert await settler.settle(claim, Done()) == "DONE"
        keepers.cancel_scope.cancel()


@asynccontextmanager
async def database_away(server, psql):
    """Every connection of the worker breaks; new ones are refused until the block ends."""
    name = await psql.value("select current_database()")
    admin = await connect(server, timeout_s=5)
    async with admin:
        await admin.execute(f"alter database {name} allow_connections false".encode())
        await psql.run(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        yield
        await admin.execute(f"alter database {name} allow_connections true".encode())


@pytest.mark.parametrize("outcome", [Done(), PauseSite(FAILURE)])
async def test_an_outcome_outlives_the_connection(server, psql, claimer, settler, outcome):
    """The work is paid for: its result is stored when the database is back."""
    claim = await one_claim(psql, claimer)
    statuses = []

    async def end() -> None:
        statuses.append(await settler.settle(claim, outcome))

    async with create_task_group() as attempts:
        async with database_away(server, psql):
            attempts.start_soon(end)
            await sleep(0.2)  # some sends fail; none may give up
            assert statuses == []
        with fail_after(10):
            while not statuses:
                await sleep(0.02)

    assert statuses == ["DONE" if outcome == Done() else "PENDING"]
    assert (await psql.job())["worker_id"] is None
    assert await psql.value("select paused_at is not null from sites") == (outcome != Done())


@pytest.mark.parametrize(
    "outcome",
    [
        Retry(replace(FAILURE, message="bad byte \0 in the answer"), 1),
        Reject(replace(FAILURE, message="half a sign \ud83d in the answer")),
        Wait(1e300, "come back in some ages"),
        Wait(float("inf"), "never"),
        Wait(float("nan"), "a header that is no number"),
    ],
)
async def test_no_outcome_can_block_the_others(psql, claimer, settler, outcome):
    """A vendor's message is not ours to trust: what Postgres cannot store must not be sent for ever."""
    await psql.insert("shop", 2)
    odd, plain = (await claimer()).claims
    statuses = {}

    async def end(claim, outcome) -> None:
        statuses[claim.job_id] = await settler.settle(claim, outcome)

    with fail_after(5):
        async with create_task_group() as attempts:
            attempts.start_soon(end, odd, outcome)
            attempts.start_soon(end, plain, Done())

    assert statuses[plain.job_id] == "DONE"
    assert statuses[odd.job_id] in {"PENDING", "FAILED"}


async def test_an_outcome_the_database_refuses_holds_up_no_other(psql, claimer, settler):
    """What goes in one statement must not fail in one statement."""
    await psql.insert("shop", 3)
    odd, *plain = (await claimer()).claims
    statuses = {}

    async def end(claim, outcome) -> None:
        statuses[claim.job_id] = await settler.settle(claim, outcome)

    with fail_after(5):
        async with create_task_group() as attempts:
            attempts.start_soon(end, odd, Retry(replace(FAILURE, status=2**40), 1))
            for claim in plain:
                attempts.start_soon(end, claim, Done())

    assert statuses == {odd.job_id: None} | dict.fromkeys((c.job_id for c in plain), "DONE")


@pytest.mark.parametrize(
    "outcome",
    [Retry(FAILURE, 5), Wait(5, "quota"), Wait(0, "quota"), PutOff(5, "later"), Release(), PauseSite(FAILURE)],
)
async def test_a_job_somebody_cancelled_does_not_come_back(psql, database, claimer, settler, outcome):
    """However its attempt ends, if not well: what was asked for wins over every way back into the queue."""
    claim = await one_claim(psql, claimer)
    (told,) = await database.rows("queue/cancel", job_ids=[claim.job_id])

    status = await settler.settle(claim, outcome)

    job = await psql.job()
    assert told["status"] == "PROCESSING"
    assert status == job["status"] == "CANCELLED"
    assert job["error"] == "cancelled"


async def test_a_job_that_was_done_before_the_cancel_was_heard_is_done(psql, database, claimer, settler):
    """Its post is on the site."""
    claim = await one_claim(psql, claimer)
    await database.rows("queue/cancel", job_ids=[claim.job_id])

    assert await settler.settle(claim, Done()) == "DONE"


async def test_a_job_that_a_person_holds_holds_up_no_other(psql, another_psql, claimer, settler):
    """An update typed into psql and not committed: the worker stood still, with all its slots, until it was."""
    await psql.insert("shop", 2)
    held, other = (await claimer()).claims
    await another_psql.run("begin")
    await another_psql.run("update blog_generations set priority = 5 where id = %s", held.job_id)
    ended = []

    async def end() -> None:
        ended.append(await settler.settle(held, Done()))

    with fail_after(8):
        async with create_task_group() as tasks:
            tasks.start_soon(end)
            assert await settler.settle(other, Done()) == "DONE"
            assert ended == []
            await another_psql.run("commit")

    assert ended == ["DONE"]


async def test_the_first_outcome_of_an_attempt_stands(psql, database, claimer):
    """A worker that is told to stop hands its jobs back, also one whose end waits for the database."""
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
