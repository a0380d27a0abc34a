"""Short words for what queue tests do."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from psycopg import AsyncConnection

from blogworker.db.pool import Database, connect
from blogworker.queue.claim import Claimed, claim


class Psql:
    """A person at psql: plain SQL on a connection of its own."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection

    async def run(self, text: str, *parameters: object) -> list[dict[str, Any]]:
        cursor = await self.connection.execute(text.encode(), parameters or None)
        return await cursor.fetchall() if cursor.description else []

    async def value(self, text: str, *parameters: object) -> Any:
        return next(iter((await self.run(text, *parameters))[0].values()))

    async def insert(self, site: str, count: int = 1, **columns: object) -> None:
        names = "".join(f", {name}" for name in columns)
        marks = ", %s" * len(columns)
        await self.run(
            f"insert into blog_generations (instance_id, source_type, source_id{names}) "
            f"select %s, 'keyword', 'k' || n{marks} from generate_series(1, %s) as n",
            site,
            *columns.values(),
            count,
        )


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


class Claimer:
    """Claims for one worker with a live lease."""

    def __init__(self, database: Database, worker_id: UUID) -> None:
        self.database = database
        self.worker_id = worker_id

    async def __call__(self, slots: int = 100, site_window: int = 20) -> Claimed:
        return await claim(self.database, self.worker_id, slots=slots, site_window=site_window)

    async def sites(self, slots: int = 100, site_window: int = 20) -> list[str]:
        return [c.instance_id for c in (await self(slots, site_window)).claims]


@pytest.fixture
async def claimer(database: Database, worker_id: UUID) -> Claimer:
    await database.execute(
        "queue/register_worker",
        name="test",
        worker_id=worker_id,
        host="here",
        pid=1,
        version="0",
        concurrency=100,
        lease_s=600,
    )
    return Claimer(database, worker_id)
