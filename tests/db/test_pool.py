"""How many connections are opened, and that those outside the pool are closed with their block, however it ends."""

from contextlib import AsyncExitStack

import pytest
from anyio import CancelScope, create_task_group, fail_after
from anyio.lowlevel import checkpoint
from psycopg import OperationalError, waiting
from psycopg._pipeline_base import BasePipeline

from blogworker.db import pool
from blogworker.db.pool import USUAL_CONNECTIONS, connect

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("left_by", ["its end", "an error"])
async def test_a_connection_is_closed_although_its_block_is_cancelled(database_url, monkeypatch, left_by):
    """The driver gives way to other tasks where the event loop was busy for long, and can be cancelled there."""
    monkeypatch.setattr(waiting, "MAX_BUSY_TIME", 0)
    connection = await connect(database_url, timeout_s=5)

    with CancelScope() as scope, pytest.raises(ZeroDivisionError) if left_by == "an error" else CancelScope():
        async with connection:
            scope.cancel()
            if left_by == "an error":
                raise ZeroDivisionError

    assert connection.closed


async def test_a_connection_returns_its_rows_wherever_an_earlier_use_was_cancelled(database, monkeypatch):
    """A busy event loop makes the driver give way to other tasks at any place, also after the entry of a pipeline."""
    monkeypatch.setattr(waiting, "MAX_BUSY_TIME", 0)
    for steps in range(40):
        async with create_task_group() as tasks:
            tasks.start_soon(database.briefly, ("db/clock", {}), ("db/clock", {}))
            for _ in range(steps):
                await checkpoint()
            tasks.cancel_scope.cancel()

        for _ in range(USUAL_CONNECTIONS):  # whichever connection the pool gives
            assert len(await database.rows("db/clock")) == 1


async def test_transactions_work_wherever_an_earlier_one_was_cancelled(database, monkeypatch):
    monkeypatch.setattr(waiting, "MAX_BUSY_TIME", 0)

    async def read() -> None:
        async with database.transaction() as statements:
            await statements.rows("db/clock")

    for steps in range(40):
        async with create_task_group() as tasks:
            tasks.start_soon(read)
            for _ in range(steps):
                await checkpoint()
            tasks.cancel_scope.cancel()

        for _ in range(USUAL_CONNECTIONS):
            await read()
            assert len(await database.rows("db/clock")) == 1


async def test_a_hundred_statements_at_once_use_few_connections(database, monkeypatch):
    """Each connection plans each statement for itself, several times."""
    monkeypatch.setattr(pool, "HELD_S", 300)

    async with create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(database.rows, "queue/ping")

    assert database.stats()["pool_size"] <= USUAL_CONNECTIONS


async def test_connections_that_are_held_by_locks_do_not_hold_up_other_statements(database):
    async with AsyncExitStack() as held:
        for _ in range(USUAL_CONNECTIONS):
            await held.enter_async_context(database.connection())
        with fail_after(20):
            await database.rows("queue/ping")


async def test_a_statement_that_is_cancelled_while_it_waits_gives_its_turn_back(database, monkeypatch):
    monkeypatch.setattr(pool, "HELD_S", 300)
    async with AsyncExitStack() as held, create_task_group() as waiting:
        for _ in range(USUAL_CONNECTIONS):
            await held.enter_async_context(database.connection())
        for _ in range(20):
            waiting.start_soon(database.rows, "queue/ping")
        waiting.cancel_scope.cancel()

    with fail_after(20):  # every turn is free again
        async with AsyncExitStack() as held:
            for _ in range(USUAL_CONNECTIONS):
                await held.enter_async_context(database.connection())


async def test_a_locked_row_is_told_from_a_lost_connection_although_the_driver_cannot_end_its_pipeline(
    database, database_url, monkeypatch
):
    """Results may still arrive when the server has refused a statement; then the driver raises an error of its own."""
    await database.execute("bench/insert_spread", jobs=1, sites=1)

    def busy(*_: object) -> None:
        raise OperationalError("cannot exit pipeline mode while busy")

    async with await connect(database_url, timeout_s=5) as other, other.transaction():
        await other.execute("lock table sites in access exclusive mode")
        with monkeypatch.context() as patched:
            patched.setattr(BasePipeline, "_exit", busy)
            found = await database.briefly(("queue/sites_with_work", {"after": "", "most": 1}))

    assert found is None
    assert (await database.one("db/clock"))["now"]
