"""LISTEN, so that an idle worker wakes at once. A hint only: polling is the truth."""

from collections.abc import Callable

from blogworker.db.pool import connect
from blogworker.settings import DatabaseSettings
from blogworker.telemetry import get_logger

log = get_logger()


async def listen(settings: DatabaseSettings, wake: Callable[[], None]) -> None:
    """Call `wake` for each notification, for ever. Raises when the connection breaks; wakes once when it is made,
    since what was sent before it is lost."""
    connection = await connect(settings.direct, timeout_s=settings.connect_timeout_s, application="blogworker listen")
    async with connection:
        await connection.execute("listen blogworker_jobs")
        log.debug("listen_connected")
        wake()
        async for _ in connection.notifies():
            wake()
