"""A worker whose jobs are cancelled neither continues to claim nor exits for good."""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from anyio import create_task_group, fail_after, sleep, sleep_forever
from anyio.abc import TaskStatus

from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.daemon.worker import Worker
from blogworker.db.pool import Database, Row
from blogworker.db.retrying import DatabaseHealth
from blogworker.ops.jobs import JobFilter, list_jobs
from blogworker.queue.job import Claim, Done, Outcome
from blogworker.queue.lease import Lease
from blogworker.queue.settle import Settler
from blogworker.quota.breaker import Breakers
from blogworker.settings import DatabaseSettings, load
from tests.forks import Forks

pytestmark = pytest.mark.anyio

JOBS = 200
WITHIN_S = 45.0
UNIT = Path(__file__).parents[2] / "systemd" / "blogworker@.service"


@pytest.fixture
async def backlog(database: Database) -> Database:
    await database.execute("bench/insert_jobs", instance_id="site", jobs=JOBS)
    return database


async def test_a_busy_claim_loop_can_be_cancelled(backlog: Database) -> None:
    """The claim is shielded: a loop that never waited between two of them claimed and released a backlog for ever."""
    lease = Lease(backlog, name="w", lease_s=60, concurrency=50)
    worker_id = (await lease.begin()).worker_id
    settings = load({"database": {"url": "postgresql://unused/d"}, "worker": {"concurrency": 50}})

    async def pipeline(claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        jobs.cancel_scope.cancel()  # the window leaves slots free, so that the next claim is under way
        await sleep_forever()
        return Done()

    settler = Settler(backlog, worker_id)
    worker = Worker(
        backlog,
        settler,
        pipeline,
        queue=settings.queue,
        worker=settings.worker,
        health=DatabaseHealth(),
        gate=Gate(Breakers(backlog), "wait"),
    )
    async with create_task_group() as keepers:
        keepers.start_soon(settler.run)
        async with create_task_group() as jobs:
            await worker.claim_loop(worker_id, jobs)
        keepers.cancel_scope.cancel()

    assert sum(row["attempt"] for row in await rows(backlog)) <= 50


async def test_a_lease_extended_just_after_the_jobs_were_stopped_does_not_end_the_worker(
    database: Database, database_settings: DatabaseSettings
) -> None:
    """Nobody asked it to leave: it begins a new lease. It used to exit as if it had been drained."""
    settings = load({"database": {"url": database_settings.url}, "worker": {"name": "w"}})
    done: list[bool] = []

    async def pipeline(worker_id: UUID, claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        return Done()

    async def work(*, task_status: TaskStatus[Incarnation]) -> None:
        gate = Gate(Breakers(database), "wait")
        incarnation = Incarnation(settings, database, DatabaseHealth(), pipeline, gate=gate)
        task_status.started(incarnation)
        done.append(await incarnation.run(until_empty=False))

    with fail_after(WITHIN_S):
        async with create_task_group() as tasks:
            incarnation = await tasks.start(work)
            while incarnation._jobs is None:
                await sleep(0.01)
            incarnation._jobs.cancel_scope.cancel()  # as its deadline does

    assert done == [False]


async def test_nothing_is_claimed_if_what_the_jobs_need_cannot_be_prepared(
    backlog: Database, database_settings: DatabaseSettings
) -> None:
    """A worker with a broken SDK is started again and again. Its jobs would be suspected of killing it."""
    settings = load({"database": {"url": database_settings.url}, "worker": {"name": "w"}})

    async def pipeline(worker_id: UUID, claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        return Done()

    async def prepare() -> None:
        raise ImportError("broken install")

    gate = Gate(Breakers(backlog), "wait")
    incarnation = Incarnation(settings, backlog, DatabaseHealth(), pipeline, gate=gate, prepare=prepare)
    with fail_after(WITHIN_S), pytest.raises(ExceptionGroup) as raised:
        await incarnation.run(until_empty=False)

    assert raised.group_contains(ImportError)
    assert {(row["status"], row["attempt"]) for row in await rows(backlog)} == {("PENDING", 0)}


async def rows(database: Database) -> list[Row]:
    return [asdict(job) for job in await list_jobs(database, JobFilter(), most=1000)]


def test_a_worker_that_starts_while_postgres_is_away_is_started_again(tmp_path: Path, forks: Forks) -> None:
    """Killed during a restart of Postgres, it comes up before the database: that must not be its end."""
    ran = forks.run(
        ("run",),
        folder=tmp_path,
        environment={
            "PATH": os.defpath,
            "BLOGWORKER_ENV_FILE": "",
            "DATABASE_URL": "postgresql://u@127.0.0.1:1/d",
            "OPENAI_API_KEY": "k",
            "REPLICATE_API_TOKEN": "k",
        },
    )

    given_up = re.findall(r"^RestartPreventExitStatus=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert ran.code == os.EX_TEMPFAIL, ran.err
    assert str(ran.code) not in " ".join(given_up).split()
    assert "cannot connect to Postgres" in ran.err
    assert ran.err.count("\n") == 1
