"""What workers for comparison give to the stages instead of the guarantees: no limits, and checkpoints in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from blogworker.db.pool import Database
from blogworker.quota.bucket import Bucket, ProviderLimits, Reservation
from blogworker.quota.limiter import Limiter, Permit
from blogworker.spend.ledger import Spend
from blogworker.stages.preview import UnqueuedCheckpoints
from blogworker.stages.records import Output


class Unlimited(Limiter):
    """Permits every call at once, and learns nothing."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, {})

    @asynccontextmanager
    async def permit(
        self, bucket: str, *, tokens: int = 0, turn: float = 0.0, spares: int = 0
    ) -> AsyncIterator[Permit]:
        yield Permit(Reservation(tokens, 0, 0, 0, 0, 0, 0, 0), 0)

    async def ensure(self, bucket: Bucket) -> None:
        pass

    async def learn(self, bucket: str, limits: ProviderLimits) -> None:
        pass


class Unfenced(UnqueuedCheckpoints):
    """Checkpoints in memory, without a fencing token. Spend is not recorded."""

    def __init__(self) -> None:
        super().__init__(_discard)

    async def save_intent(self, name: str, output: Output, *, stamp: str | None = None) -> datetime:
        now = await self.confirm()
        await self.save(name, {**output, stamp: now.isoformat()} if stamp else output)
        return now

    async def confirm(self) -> datetime:
        return datetime.now(UTC)


async def _discard(spend: Spend) -> None:
    pass
