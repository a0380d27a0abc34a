"""The cache that jobs share: products of a shop, catalog versions, unused ideas; and the single-flight locks, so that
no two jobs pay for the same ideas.

It is stored in Postgres for all workers, in an unlogged table that a crash of the server may empty: this costs a call,
not a job. Ideas are cached per site. Two sites never share them, even for the same keyword: the same post on two sites
harms the search rank of both, and the notes of one owner are private.
"""

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Json

from blogworker.db.loaders import Unreadable
from blogworker.db.pool import Runner
from blogworker.db.storable import storable
from blogworker.queue.job import Claim
from blogworker.stages.work import Flight


class StoredCache:
    """Implements `work.Cache`. Lifetimes in seconds."""

    def __init__(self, database: Runner, *, product_s: float, ideas_s: float) -> None:
        self._database = database
        self.product_s = product_s
        self.ideas_s = ideas_s

    async def recall(self, key: str) -> Any:
        row = await self._database.maybe("stages/recall", key=key)
        if row is None or isinstance(row["value"], Unreadable):
            return None  # an unreadable value counts as missing
        return row["value"]

    async def remember(self, key: str, value: object, *, ttl_s: float | None) -> None:
        await self._database.execute("stages/remember", key=key, value=Json(storable(value)), ttl_s=ttl_s)

    async def forget(self, key: str) -> None:
        await self._database.execute("stages/forget", key=key)

    async def begin_single_flight(self, key: str, claim: Claim, *, ttl_s: float, always: bool = False) -> Flight:
        row = await self._database.one("stages/begin_single_flight", **_owner(key, claim), ttl_s=ttl_s, always=always)
        value = None if isinstance(row["value"], Unreadable) else row["value"]
        return Flight(value, ours=row["ours"])

    async def end_single_flight(self, key: str, claim: Claim, *, found: Sequence[object], most: int) -> None:
        value = Json(storable(list(found))) if found else None
        await self._database.execute(
            "stages/end_single_flight", **_owner(key, claim), found=value, most=most, ttl_s=self.ideas_s
        )


def _owner(key: str, claim: Claim) -> dict[str, object]:
    return {"key": key, "job_id": claim.job_id, "attempt": claim.attempt}
