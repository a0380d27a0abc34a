"""The settler: many outcomes in few statements, whatever the database or a person does meanwhile."""

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from anyio import create_task_group, fail_after, sleep, wait_all_tasks_blocked

from blogworker.db.pool import connect
from blogworker.queue import settle
from blogworker.queue.job import Done, PauseSite, Reject, Release, Retry, Wait
from blogworker.queue.settle import Settler

from .outcomes import FAILURE, one_claim

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("outcome", [PauseSite(FAILURE), Release()], ids=["pause", "release"])
async def test_a_locked_site_does_not_delay_other_outcomes(psql, another_psql, claimer, settler, outcome):
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
    """Outcomes that arrive during one statement are sent together in the next."""
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


async def test_a_busy_worker_gathers_outcomes(psql, database, claimer, monkeypatch):
    """After a statement the next one waits for a while, or for so many outcomes."""
    monkeypatch.setattr(settle, "GATHER_S", 3_600)
    await psql.insert("shop", 1 + settle.GATHER_MOST)
    first, *others, last = (await claimer(100, 100)).claims
    counted = Counted(database)
    settler = Settler(counted, claimer.worker_id)

    with fail_after(20):
        async with create_task_group() as keepers:
            keepers.start_soon(settler.run)
            assert await settler.settle(first, Done()) == "DONE", "nothing was sent before it"
            async with create_task_group() as attempts:
                for claim in others:
                    attempts.start_soon(settler.settle, claim, Done())
                await wait_all_tasks_blocked()
                assert (counted.statements, len(settler._waiting)) == (1, len(others))
                assert await settler.settle(last, Done()) == "DONE"
            keepers.cancel_scope.cancel()

    assert counted.statements == 2


async def test_jobs_that_are_released_together_are_few_statements(psql, database, claimer):
    await psql.insert("shop", 100)
    counted = Counted(database)
    settler = Settler(counted, claimer.worker_id)

    async with create_task_group() as keepers:
        keepers.start_soon(settler.run)
        await settler.settle_all((await claimer(100, 100)).claims, Release())
        keepers.cancel_scope.cancel()

    assert counted.statements <= 2
    assert await psql.value("select count(*) from blog_generations where status = 'PENDING'") == 100


async def test_an_outcome_alone_is_sent_at_once(psql, database, claimer):
    """Nothing was sent shortly before, so it does not wait for others."""
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
            await sleep(1.2)  # several sends fail; none may give up
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
async def test_an_unstorable_outcome_does_not_block_others(psql, claimer, settler, outcome):
    """Messages of providers are untrusted: an outcome that Postgres cannot store must not be sent for ever."""
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


async def test_a_refused_outcome_does_not_delay_others(psql, claimer, settler):
    """Outcomes that share a statement must not fail together."""
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


async def test_a_locked_job_does_not_delay_other_outcomes(psql, another_psql, claimer, settler):
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
