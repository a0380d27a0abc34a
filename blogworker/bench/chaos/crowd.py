"""Far more of something than anybody needs: notifications from a stranger, and sites that all get work at once."""

from collections import Counter

import psycopg
from anyio import move_on_after, sleep
from psycopg_pool import PoolTimeout
from pydantic import SecretStr

from blogworker.bench.chaos.producers import AGAIN_S, until_answered
from blogworker.db.pool import Database
from blogworker.db.retrying import is_transient
from blogworker.errors import DatabaseUnavailable
from blogworker.settings import DatabaseSettings

NOTIFICATIONS, AT_ONCE = 60_000, 1_000
BURST_S = 90.0  # most that it may take: then what is left of it stays in the queue


class Crowd:
    """`stranger`: the URL of a role that may connect, and nothing else."""

    def __init__(self, database: Database, stranger: str, *, sites: int) -> None:
        self._database = database
        self._stranger = stranger
        self._sites = sites
        self.acts: Counter[str] = Counter()

    async def flood(self) -> None:
        """As many notifications as planned, however often the connection is lost."""
        settings = DatabaseSettings(url=SecretStr(self._stranger), pool_min=1, pool_max=1)
        left = NOTIFICATIONS
        while left > 0:
            try:
                async with Database(settings, application="chaos stranger") as database:
                    while left > 0:
                        sent = (await database.one("bench/chaos_flood", notifications=AT_ONCE))["sent"]
                        left -= sent
                        self.acts["notifications sent by a role without rights"] += sent
            except (psycopg.Error, PoolTimeout, DatabaseUnavailable) as error:
                if not (isinstance(error, DatabaseUnavailable) or is_transient(error)):
                    raise
                await sleep(AGAIN_S)

    async def burst(self) -> None:
        """All sites at once. What no worker has begun when they are committed is cancelled or put off for a year."""
        with move_on_after(BURST_S):
            await until_answered(lambda: self._database.rows("bench/chaos_burst", sites=self._sites), within_s=BURST_S)
            self.acts["sites that got their first blog in one statement"] += self._sites
            ended = await until_answered(lambda: self._database.one("bench/chaos_burst_end"), within_s=BURST_S)
            self.acts["blogs of theirs cancelled at once"] += ended["cancelled"]
            self.acts["blogs of theirs put off for a year"] += ended["put_off"]
