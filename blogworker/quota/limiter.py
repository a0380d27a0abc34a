"""Wait for the fleet's quota before a call, and tell it the real usage after."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from anyio import CancelScope, get_cancelled_exc_class, move_on_after, sleep

from blogworker.db.pool import Runner
from blogworker.errors import ProviderError, RateLimited
from blogworker.quota.bucket import Bucket, Reservation

LONGEST_WAIT_S = 30.0  # a call further away than this gives its slot to another job
REFUND_GRACE_S = 2.0


class Permit:
    """Leave to make one call. `used` is called with what the vendor counted."""

    def __init__(self, reservation: Reservation) -> None:
        self.reservation = reservation
        self.waited_s = 0.0
        self.tokens = reservation.tokens

    def used(self, tokens: int) -> None:
        self.tokens = tokens


class Limiter:
    """Hands out permits. One a process; its state is in the database."""

    def __init__(self, database: Runner, buckets: Mapping[str, Bucket]) -> None:
        self._database = database
        self._buckets = buckets

    async def open(self) -> None:
        """Make the buckets known to the database, with the limits of our settings."""
        for bucket in self._buckets.values():
            await self._database.execute(
                "quota/upsert_bucket",
                name=bucket.name,
                provider=bucket.provider,
                requests_per_minute=bucket.requests_per_minute,
                tokens_per_minute=bucket.tokens_per_minute,
            )

    @asynccontextmanager
    async def permit(self, bucket: str, *, tokens: int = 0) -> AsyncIterator[Permit]:
        """Sleep until one call of about `tokens` may go; reconcile with `Permit.used` when the block ends.

        Raises RateLimited, with the quota given back, when the wait would be long. A block that ends in an error
        before the vendor counted anything keeps the estimate charged: the vendor may have counted it.
        """
        reservation = await self._reserve(bucket, tokens)
        permit = Permit(reservation)
        try:
            await self._wait(reservation)
        except get_cancelled_exc_class():
            with move_on_after(REFUND_GRACE_S, shield=True):  # else the fleet loses this call's share
                await self._give_back(reservation, calls=1, tokens=reservation.tokens)
            raise
        permit.waited_s = reservation.wait_s
        try:
            yield permit
        except RateLimited as error:
            await self.block(bucket, error.retry_after_s)
            raise
        finally:
            if permit.tokens != reservation.tokens:
                with CancelScope(shield=True), move_on_after(REFUND_GRACE_S):
                    await self._give_back(reservation, calls=0, tokens=reservation.tokens - permit.tokens)

    async def block(self, bucket: str, seconds: float) -> None:
        """No call of this bucket goes for so many seconds, on any worker: the vendor said so."""
        await self._database.execute("quota/block", name=bucket, seconds=seconds)

    async def _reserve(self, bucket: str, tokens: int) -> Reservation:
        row = await self._database.one("quota/reserve", name=bucket, tokens=tokens, longest_wait_s=LONGEST_WAIT_S)
        if not row["granted"]:
            raise RateLimited(
                f"the fleet's quota for {bucket} is used up", provider=self._buckets[bucket].provider, code="quota"
            ).after(row["wait_s"])
        return Reservation(bucket=bucket, tokens=tokens, wait_s=row["wait_s"])

    async def _wait(self, reservation: Reservation) -> None:
        await sleep(max(0.0, reservation.wait_s))

    async def _give_back(self, reservation: Reservation, *, calls: int, tokens: int) -> None:
        await self._database.execute("quota/give_back", name=reservation.bucket, calls=calls, tokens=tokens)


__all__ = ["Limiter", "Permit", "ProviderError"]
