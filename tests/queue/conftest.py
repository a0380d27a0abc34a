"""Short words for what queue tests do."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from anyio import create_task_group, fail_after, sleep
from psycopg import AsyncConnection

from blogworker.db.pool import Database, connect
from blogworker.db.retrying import DatabaseHealth, RetryingDatabase
from blogworker.queue.claim import Claimed, claim
from blogworker.queue.settle import Settler


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
        """What the database says to a statement it must not run."""
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
    """As `psql`, in a transaction that is rolled back: for tests that need no second session."""
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
