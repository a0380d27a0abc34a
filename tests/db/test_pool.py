"""Connections outside the pool are closed with their block, however it ends."""

import pytest
from anyio import CancelScope
from psycopg import waiting

from blogworker.db.pool import connect

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
