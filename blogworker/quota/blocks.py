"""The buckets that a 429 has stopped for longer than a call may wait in line: what needs them is not worth claiming."""

from collections.abc import Mapping

from blogworker.db.pool import Runner
from blogworker.quota.limiter import LONGEST_WAIT_S


class Blocks:
    """As one process last saw them."""

    def __init__(self, database: Runner, buckets: Mapping[str, str]) -> None:
        """`buckets`: their names, by what needs them. Several may need one."""
        self._database = database
        self._buckets = buckets
        self.stopped: frozenset[str] = frozenset()  # those who need a bucket that is blocked

    async def sync(self) -> bool:
        """Look. Whether something is no longer stopped."""
        before = self.stopped
        names = sorted(set(self._buckets.values()))
        rows = await self._database.rows("quota/blocked", names=names, longer_than_s=LONGEST_WAIT_S)
        blocked = {row["name"] for row in rows}
        self.stopped = frozenset(who for who, name in self._buckets.items() if name in blocked)
        return bool(before - self.stopped)
