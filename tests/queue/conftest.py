"""Fixtures and helpers of the queue tests."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from anyio import create_task_group, fail_after, sleep
from psycopg import AsyncConnection

from blogworker.db.pool import Database, connect
from blogworker.db.retrying import DatabaseHealth, RetryingDatabase
from blogworker.queue.claim import Claimed, ClaimFilter, Pacing, Scan, claim
from blogworker.queue.job import Done, Reject, Release
from blogworker.queue.settle import Settler

from .ended_jobs import failure
from .paced_claims import CONTENT, IDEAS, IMAGE, PACING
from .purse import Purse

pytest.register_assert_rewrite("tests.queue.stateful")  # the machine asserts in modules that are not tests


class Psql:
    """A person at psql: plain SQL on a connection of its own."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection

    async def run(self, text: str, *parameters: object) -> list[dict[str, Any]]:
        cursor = await self.connection.execute(text.encode(), parameters or None)
        return await cursor.fetchall() if cursor.description else []

    async def value(self, text: str, *parameters: object) -> Any:
        return next(iter((await self.run(text, *parameters))[0].values()))

    async def insert(self, site: str, count: int = 1, *, source_type: str = "keyword", **columns: object) -> None:
        names = "".join(f", {name}" for name in columns)
        marks = ", %s" * len(columns)
        await self.run(
            f"insert into blog_generations (instance_id, source_type, source_id{names}) "
            f"select %s, %s, 'k' || n{marks} from generate_series(1, %s) as n",
            site,
            source_type,
            *columns.values(),
            count,
        )

    async def job(self, job_id: int = 1) -> dict[str, Any]:
        return (await self.run("select * from blog_generations where id = %s", job_id))[0]

    async def refused(self, text: str, *parameters: object) -> psycopg.Error:
        """The error of a statement that the database must refuse."""
        with pytest.raises(psycopg.Error) as refusal:
            async with self.connection.transaction():
                await self.run(text, *parameters)
        return refusal.value

    async def until_waiting(self, count: int = 1) -> None:
        """Return once so many sessions of this database wait for a lock."""
        with fail_after(10):
            while (
                await self.value(
                    "select count(*) from pg_stat_activity "
                    "where datname = current_database() and wait_event_type = 'Lock'"
                )
                < count
            ):
                await sleep(0.01)


@pytest.fixture
async def psql(database_url: str) -> AsyncIterator[Psql]:
    connection = await connect(database_url, timeout_s=5)
    async with connection:
        yield Psql(connection)


@pytest.fixture
async def another_psql(database_url: str) -> AsyncIterator[Psql]:
    connection = await connect(database_url, timeout_s=5)
    async with connection:
        yield Psql(connection)


@pytest.fixture
async def passing_psql(module_url: str) -> AsyncIterator[Psql]:
    """Like `psql`, in a transaction that is rolled back: for tests that need only one session."""
    connection = await connect(module_url, timeout_s=5)
    async with connection, connection.transaction(force_rollback=True):
        yield Psql(connection)


class Claimer:
    """Claims for one worker with a live lease."""

    def __init__(self, database: Database, worker_id: UUID) -> None:
        self.database = database
        self.worker_id = worker_id

    async def __call__(self, slots: int = 100, site_window: int = 20) -> Claimed:
        return await claim(self.database, self.worker_id, slots=slots, site_window=site_window)

    async def sites(self, slots: int = 100, site_window: int = 20) -> list[str]:
        return [c.instance_id for c in (await self(slots, site_window)).claims]


async def register(database: Database, worker_id: UUID, name: str = "test") -> UUID:
    """Give a worker a lease that outlasts the test."""
    await database.execute(
        "queue/register_worker",
        name=name,
        worker_id=worker_id,
        host="here",
        pid=1,
        version="0",
        concurrency=100,
        lease_s=600,
    )
    return worker_id


@pytest.fixture
async def claimer(database: Database, worker_id: UUID) -> Claimer:
    await register(database, worker_id)
    return Claimer(database, worker_id)


@pytest.fixture
async def settler(database: Database, worker_id: UUID) -> AsyncIterator[Settler]:
    """A settler that sends what it is given, as a worker runs it: it waits for a database that is away."""
    settler = Settler(RetryingDatabase(database, DatabaseHealth()), worker_id)
    async with create_task_group() as tasks:
        tasks.start_soon(settler.run)
        yield settler
        tasks.cancel_scope.cancel()


@pytest.fixture
def purse(database, psql, claimer) -> Purse:
    return Purse(database, psql, claimer)


@pytest.fixture
async def quotas(psql):
    """Three buckets: content goes every ten seconds, the others twenty times a second."""
    await psql.run(
        "insert into quotas (name, provider, requests_per_minute) "
        "values (%s, 'openai', 1200), (%s, 'openai', 6), (%s, 'replicate', 1200)",
        IDEAS,
        CONTENT,
        IMAGE,
    )


@pytest.fixture
def paced(database, claimer):
    async def run(slots: int = 100, pacing: Pacing = PACING, *, window: int = 100, scan: Scan | None = None) -> Claimed:
        passing = ClaimFilter(pacing=pacing)
        return await claim(
            database, claimer.worker_id, slots=slots, site_window=window, only=passing, scan=scan or Scan()
        )

    return run


async def dry(claimer) -> None:
    """Claim until nothing is left and the sites found dry have left the line."""
    while (await claimer()).look_again:
        pass


@pytest.fixture
async def failed(psql, claimer, settler):
    """Six jobs: 1 and 2 of shop a were refused, 3 and 4 of shop b met an outage, 5 is done, 6 was cancelled."""
    for site in ("a", "b", "c"):
        await psql.insert(site, 2)
    claims = {c.job_id: c for c in (await claimer()).claims}
    for job_id, outcome in {
        1: Reject(failure("Rejected")),
        2: Reject(failure("Rejected")),
        3: Reject(failure("Unavailable")),
        4: Reject(failure("Unavailable")),
        5: Done(),
        6: Release(),
    }.items():
        await settler.settle(claims[job_id], outcome)
    await psql.run("update blog_generations set status = 'CANCELLED' where id = 6")
