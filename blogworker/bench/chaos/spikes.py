"""Load spikes: a flood of notifications, and many sites that get their first job at the same time."""

from collections import Counter

import psycopg
from anyio import move_on_after, sleep
from psycopg_pool import PoolTimeout
from pydantic import SecretStr

from blogworker.bench.chaos.producers import RETRY_S, until_success
from blogworker.db.pool import Database
from blogworker.db.retrying import is_transient
from blogworker.errors import DatabaseUnavailable
from blogworker.settings import DatabaseSettings

NOTIFICATIONS, BATCH = 60_000, 1_000
BURST_TIMEOUT_S = 90.0  # after it, the jobs of the burst stay in the queue


class LoadSpikes:
    """`unprivileged_url` connects as a role that has no privilege except to connect."""

    def __init__(self, database: Database, unprivileged_url: str, *, sites: int) -> None:
        self._database = database
        self._unprivileged_url = unprivileged_url
        self._sites = sites
        self.counts: Counter[str] = Counter()

    async def flood(self) -> None:
        """Send all notifications, and reconnect whenever the connection is lost."""
        settings = DatabaseSettings(url=SecretStr(self._unprivileged_url), pool_min=1, pool_max=1)
        left = NOTIFICATIONS
        while left > 0:
            try:
                async with Database(settings, application="chaos flood") as database:
                    while left > 0:
                        sent = (await database.one("bench/chaos_flood", notifications=BATCH))["sent"]
                        left -= sent
                        self.counts["notifications sent by a role without rights"] += sent
            except (psycopg.Error, PoolTimeout, DatabaseUnavailable) as error:
                if not (isinstance(error, DatabaseUnavailable) or is_transient(error)):
                    raise
                await sleep(RETRY_S)

    async def burst(self) -> None:
        """Insert one job for each site. Cancel half of those that no worker has claimed, and postpone the others."""
        with move_on_after(BURST_TIMEOUT_S):
            await until_success(
                lambda: self._database.rows("bench/chaos_burst", sites=self._sites), timeout_s=BURST_TIMEOUT_S
            )
            self.counts["sites that got their first blog in one statement"] += self._sites
            ended = await until_success(lambda: self._database.one("bench/chaos_burst_end"), timeout_s=BURST_TIMEOUT_S)
            self.counts["blogs of theirs cancelled at once"] += ended["cancelled"]
            self.counts["blogs of theirs put off for a year"] += ended["postponed"]
