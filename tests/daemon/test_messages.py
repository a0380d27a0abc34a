"""A worker tells endpoints of what it has done, and of the alerts of its fleet; a dead endpoint costs it nothing."""

from typing import Any

import pytest
from anyio import create_task_group, fail_after, sleep

from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.job import Done
from blogworker.quota.breaker import Breakers
from blogworker.settings import Settings, load
from blogworker.spend.budget import check_budgets
from tests.webhooks.receiver import never, receiving

pytestmark = pytest.mark.anyio
WITHIN_S = 30.0


@pytest.fixture
def settings(database_url: str) -> Settings:
    return load(
        {
            "database": {"url": database_url},
            "worker": {"concurrency": 20, "name": "w", "poll_interval": 60},
            "webhook": {"key": "k" * 32, "allow_loopback": True},
        }
    )


async def done(*_: Any) -> Done:
    return Done()


async def execute(database: Database, statement: str, *values: object) -> None:
    async with database.connection() as connection:
        await connection.execute(statement.encode(), values or None)


async def worker(settings: Settings, database: Database) -> Incarnation:
    gate = Gate(Breakers(database), "wait")
    gate.apply(await check_budgets(database))
    return Incarnation(settings, database, DatabaseHealth(), done, gate=gate)


async def test_jobs_and_alerts_arrive(database: Database, settings: Settings) -> None:
    """And an endpoint that never answers holds up neither the others nor the jobs."""
    async with receiving() as receiver:
        receiver.by_path["/dead"] = never
        for path in ("dead", "alive"):
            await execute(
                database,
                "insert into webhooks (name, url, events) values (%s, %s, '{done,failed,alert}')",
                path,
                receiver.url(f"/{path}"),
            )
        await execute(
            database,
            "insert into blog_generations (instance_id, source_type, source_id) "
            "select 's' || n, 'keyword', 'k' from generate_series(1, 100) as n",
        )
        await execute(
            database,
            "insert into alerts (rule, severity, value, summary, held_at, fired_at, sent_at) "
            "select 'BlogworkerBudgetReached', 'warning', 1, 's', at, at, at "
            "from (select now() - interval '1 hour' as at) as t",
        )
        running = await worker(settings, database)
        async with create_task_group() as tasks:
            tasks.start_soon(lambda: running.run(until_empty=False))
            with fail_after(WITHIN_S):
                while len(receiver.of("/alive")) < 101:
                    await sleep(0.02)
            running.drain(0)

    bodies = b"".join(each.body for each in receiver.of("/alive"))
    assert bodies.count(b'"job.done"') == 100
    assert bodies.count(b'"resolved"') == 1
    assert len(receiver.of("/dead")) <= 16
