"""A worker whose pool of connections is exhausted says so in the database, where the alert rules read it."""

from contextlib import AsyncExitStack

import pytest
from anyio import create_task_group, fail_after, sleep

from blogworker.alerts.evaluation import holding_now
from blogworker.alerts.rules import POOL_WAITING
from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.ops.pulse import read_pulse
from blogworker.queue.job import Done
from blogworker.quota.breaker import Breakers
from blogworker.settings import load

pytestmark = pytest.mark.anyio
CONNECTIONS = 2


async def test_callers_that_wait_for_a_connection_are_an_alert_until_they_have_one(database, database_url):
    """The lease has a connection of its own, so the worker can report while its pool has none left."""
    pool = {"url": database_url, "pool_min": 1, "pool_max": CONNECTIONS, "connect_timeout_s": 300}
    settings = load({"database": pool, "worker": {"concurrency": 1, "name": "w", "lease": 3}})

    async def pipeline(*_: object) -> Done:
        return Done()

    async def alert(expected: bool) -> None:
        with fail_after(45):
            while (
                "BlogworkerPoolExhausted" in {each["rule"] for each in holding_now(await read_pulse(database))}
            ) != expected:
                await sleep(0.05)

    async with Database(settings.database) as exhausted, create_task_group() as tasks:
        gate = Gate(Breakers(exhausted), "wait")
        incarnation = Incarnation(settings, exhausted, DatabaseHealth(), pipeline, gate=gate)
        tasks.start_soon(lambda: incarnation.run(until_empty=False))
        with fail_after(45):
            while not incarnation.registered:
                await sleep(0.05)
        await alert(False)
        async with AsyncExitStack() as held:
            for _ in range(CONNECTIONS):
                await held.enter_async_context(exhausted.connection())
            for _ in range(POOL_WAITING + 1):
                tasks.start_soon(exhausted.rows, "queue/ping")
            await alert(True)
        await alert(False)
        incarnation.drain(0)
