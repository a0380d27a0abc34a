"""No event is lost and no state is stuck, whenever a worker is killed."""

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from anyio import fail_after, open_process
from anyio.abc import Process, SocketStream

from blogworker.bench.scratch import register
from blogworker.db.pool import Database

from .conftest import KEY, Psql
from .receiver import receiving, status

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("promptly")]
ROOT = Path(__file__).parents[2]


async def started(what: str, url: str, argument: str) -> Process:
    return await open_process([sys.executable, "-m", "tests.webhooks.killed", what, url, argument], cwd=ROOT)


async def killed(process: Process) -> None:
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await process.aclose()


async def test_a_worker_killed_between_send_and_record(psql: Psql, database_url: str, delivering: Any) -> None:
    """The receiver has the message, and the database does not know it: it is sent again, with the same id."""
    process: Process | None = None

    async def kill_sender(_: Any, stream: SocketStream) -> None:
        assert process is not None
        await killed(process)

    async with receiving(kill_sender, status(200)) as receiver:
        await psql.hook(receiver.url())
        await psql.fail(await psql.job())
        process = await started("deliver", database_url, KEY)
        await receiver.until(1)
        with fail_after(20):
            await process.wait()
        async with delivering():
            assert await psql.value("select leased_until > now() from webhook_deliveries")
            await psql.run("update webhook_deliveries set due_at = now(), leased_until = now()")  # a minute passes
            first, second = await receiver.until(2)
            await psql.until("select bool_and(state = 'delivered') from webhook_deliveries")

    assert first.message_id == second.message_id
    assert first.body == second.body
    assert await psql.value("select attempts from webhook_deliveries") == 2


async def test_a_worker_killed_while_it_settles(psql: Psql, database: Database, database_url: str) -> None:
    """The end of a job and its delivery are there both, or neither."""
    await psql.hook("https://x.example.com")
    await psql.run(
        "insert into blog_generations (instance_id, source_type, source_id) "
        "select 's' || n % 20, 'keyword', 'k' from generate_series(1, 600) as n"
    )
    for _ in range(2):
        worker_id = await register(database)
        process = await started("settle", database_url, str(worker_id))
        assert process.stdout is not None
        with fail_after(20):
            await process.stdout.receive()
        await killed(process)

    ended = "select count(*) from blog_generations where status = 'DONE'"
    assert 0 < await psql.value(ended) < 600
    assert await psql.value(
        "select array(select id from blog_generations where status = 'DONE' order by id) = "
        "array(select job_id from webhook_deliveries order by job_id)"
    )
