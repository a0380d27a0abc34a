"""A dedicated connection: it does not wait for the pool, and is replaced after any failure."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from anyio import fail_after
from pydantic import SecretStr
from structlog.testing import capture_logs

from blogworker.db import dedicated
from blogworker.db.dedicated import DedicatedConnection
from blogworker.db.pool import Database, connect
from blogworker.db.retrying import DatabaseHealth, RetryingDatabase
from blogworker.settings import DatabaseSettings

pytestmark = pytest.mark.anyio

NOWHERE = SecretStr("postgresql://postgres@127.0.0.1:1/nothing")


def reserve(settings: DatabaseSettings, *, answer_s: float = 5.0) -> DedicatedConnection:
    return DedicatedConnection(settings, answer_s=answer_s, application="reserved")


@pytest.fixture
async def own(database_settings: DatabaseSettings) -> AsyncIterator[DedicatedConnection]:
    async with reserve(database_settings) as connection:
        yield connection


async def pid_of(connection: DedicatedConnection) -> int:
    await connection.execute("queue/ping")
    assert connection._connection is not None
    return connection._connection.info.backend_pid


async def sessions(database: Database) -> list[int]:
    async with database.connection() as connection:
        cursor = await connection.execute("select pid from pg_stat_activity where application_name = 'reserved'")
        return [row["pid"] for row in await cursor.fetchall()]


async def test_it_works_while_the_pool_is_exhausted(database_settings: DatabaseSettings) -> None:
    """Statements of jobs can use the whole pool; the lease must still be extended."""
    narrow = database_settings.model_copy(update={"pool_min": 1, "pool_max": 1})
    async with Database(narrow) as pool, pool.connection(), reserve(narrow) as own:
        with fail_after(2):
            assert await own.one("queue/ping") == {"yes": 1}


async def test_it_is_one_session_for_all_statements_and_ends_with_the_block(
    database: Database, database_settings: DatabaseSettings
) -> None:
    async with reserve(database_settings) as own:
        pids = {await pid_of(own) for _ in range(3)}
        assert await sessions(database) == list(pids)

    with fail_after(5):
        while await sessions(database):
            pass


async def test_a_broken_connection_is_replaced_and_logged_once(database: Database, own: DedicatedConnection) -> None:
    patient = RetryingDatabase(own, DatabaseHealth())
    first = await pid_of(own)
    async with database.connection() as connection:
        await connection.execute("select pg_terminate_backend(%s)", [first])

    with capture_logs() as logs:
        await patient.execute("queue/ping")
    second = await pid_of(own)

    assert second != first
    assert [line["event"] for line in logs] == ["database_lost", "database_recovered"]


async def test_a_server_that_cannot_be_reached_is_waited_for(
    database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, as while Postgres restarts: the lease's statement is sent again until it gets through."""
    refused = 0

    async def refuse(url: str, **options: Any) -> object:
        nonlocal refused
        refused += 1
        return await connect(NOWHERE.get_secret_value() if refused < 3 else url, **options)

    monkeypatch.setattr(dedicated, "connect", refuse)
    with capture_logs() as logs, fail_after(10):
        async with reserve(database_settings) as own:
            await RetryingDatabase(own, DatabaseHealth()).one("queue/ping")

    assert refused == 3
    assert [line["event"] for line in logs] == ["database_lost", "database_recovered"]


async def test_a_silent_connection_is_replaced(database_settings: DatabaseSettings, database_url: str) -> None:
    """A lease has no time to wait for a link that was cut without a word."""
    async with reserve(database_settings, answer_s=0.3) as own, await connect(database_url, timeout_s=5) as other:
        first = await pid_of(own)
        async with other.transaction():
            await other.execute("lock table workers")
            with pytest.raises(TimeoutError):
                await own.execute("queue/end_lease", worker_id=uuid4())

        assert await pid_of(own) != first


async def test_a_refused_statement_keeps_the_connection_usable(own: DedicatedConnection) -> None:
    with pytest.raises(psycopg.Error):
        await own.execute("queue/end_lease", worker_id="no uuid")

    assert await own.one("queue/ping") == {"yes": 1}


@pytest.mark.parametrize("closed", ["direct_url", "url"])
async def test_the_reachable_one_of_two_addresses_is_used(
    database_settings: DatabaseSettings, database_url: str, closed: str
) -> None:
    """A wrong DATABASE_DIRECT_URL costs a worker the wake-ups, not its lease."""
    ways = {"url": SecretStr(database_url), "direct_url": SecretStr(database_url), closed: NOWHERE}
    settings = database_settings.model_copy(update=ways)

    with fail_after(10):
        async with reserve(settings) as own:
            await RetryingDatabase(own, DatabaseHealth()).execute("queue/ping")
            first = await pid_of(own)
            assert await pid_of(own) == first
