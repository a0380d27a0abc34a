"""LISTEN, so that an idle worker wakes at once. A hint only: polling is the truth."""

from collections.abc import Callable
from uuid import uuid4

from anyio import create_task_group, fail_after
from anyio.abc import TaskStatus
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from blogworker.db.pool import Database, connect
from blogworker.db.sql import query
from blogworker.errors import BlogworkerError
from blogworker.settings import DatabaseSettings
from blogworker.telemetry import get_logger

CANCEL = "cancel"  # a payload: somebody asked for a running job to be stopped
PROBE_S = 10.0  # a connection that has been quiet for so long is asked whether it lives
ANSWER_S = 5.0

log = get_logger()


class ListenDeaf(BlogworkerError):
    """Notifications do not arrive on this connection: a pooler is in between, which drops them without a word."""


async def listen(settings: DatabaseSettings, database: Database, heard: Callable[[str], None]) -> None:
    """Call `heard` with the payload of each notification, for ever. Raises when the connection breaks or is deaf.

    What was sent before it listened is lost, so it begins with an empty payload, which means: there may be work.
    """
    connection = await connect(settings.direct, timeout_s=settings.connect_timeout_s, application="blogworker listen")
    async with connection:
        await connection.execute(query("queue/listen"))
        await _prove_hearing(connection, database)
        log.info("listen_connected")
        heard("")
        while True:
            async for notification in connection.notifies(timeout=PROBE_S):
                heard(notification.payload)
            with fail_after(ANSWER_S):  # a link that was cut without a word would stay silent for ever
                await connection.execute(query("queue/are_you_there"))


async def _prove_hearing(connection: AsyncConnection[DictRow], database: Database) -> None:
    """Notify ourselves over another connection, and wait for it."""
    token = f"probe {uuid4()}"
    try:
        with fail_after(ANSWER_S):
            async with create_task_group() as tasks:
                await tasks.start(_wait_for, connection, token)
                await database.execute("queue/notify", payload=token)
    except TimeoutError:
        raise ListenDeaf("notifications do not arrive: set DATABASE_DIRECT_URL; polling serves meanwhile") from None


async def _wait_for(connection: AsyncConnection[DictRow], token: str, *, task_status: TaskStatus[None]) -> None:
    task_status.started()
    async for notification in connection.notifies():
        if notification.payload == token:
            return
