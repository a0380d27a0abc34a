"""Reserve quota before a provider call, and reconcile it with the real usage after the call.

The state is in the database, so all workers together keep within each quota.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import asdict

from anyio import current_time, move_on_after

from blogworker.db.pool import Runner
from blogworker.errors import ProviderDown, RateLimited, Unsent
from blogworker.quota.bucket import Bucket, ProviderLimits, Reservation
from blogworker.quota.bucket_client import BucketClient
from blogworker.quota.round import Request
from blogworker.telemetry import get_logger, tracing

LONGEST_WAIT_S = 30.0  # of callers outside the queue, such as preview
REFRESH_S = 0.5  # how old the last round may be while a caller sleeps until its call is due
SHORT_S = 0.1  # a wait this short is not interrupted to look for refunds
LEARN_S = 0.25  # the minimum time between two reports of the provider's headers by one process
SLOW_DOWN = "slow_down"
TOO_MANY = 429
FEW_CALLS = 3
LOGGED_WAIT_S = 0.1  # shorter waits are not logged
OWN_QUOTA = "quota"  # the error code when our own limiter refuses a call, not the provider
IDLE_S = 600.0  # an idle site bucket is dropped from memory after this time; far less than IDLE_S of upkeep.py

log = get_logger()

# Seconds that the calls of one attempt waited for quotas, which stage times exclude; None: not recorded.
waits_of_attempt: ContextVar[list[float] | None] = ContextVar("waits_of_attempt", default=None)


class Permit:
    """Permission to make one call. Call `used` with the tokens that the provider counted."""

    def __init__(self, reservation: Reservation, waited_s: float) -> None:
        self.waited_s = waited_s
        self.tokens = reservation.tokens

    def used(self, tokens: int) -> None:
        self.tokens = tokens


class Limiter:
    """Gives out permits. One per process."""

    def __init__(
        self, database: Runner, buckets: Mapping[str, Bucket], *, longest_wait_s: float = LONGEST_WAIT_S
    ) -> None:
        """`buckets`: by the key that callers use. Keys whose buckets have the same name share one client.
        `longest_wait_s`: a call that would wait longer is refused."""
        self._database = database
        self._longest_wait_s = longest_wait_s
        clients = {bucket.name: BucketClient(database, bucket, longest_wait_s) for bucket in buckets.values()}
        self._clients = {key: clients[bucket.name] for key, bucket in buckets.items()}
        self._learned_at: dict[str, float] = {}
        self._ensured: set[str] = set()
        self._swept_at = -IDLE_S
        self._waiting: Counter[str] = Counter()

    async def start(self) -> None:
        """Store the buckets in the database, with the limits of the settings."""
        await self._store("quota/upsert_bucket")

    async def start_as_guest(self) -> None:
        """Create the missing buckets. Do not change the limits of the others: this process is no worker."""
        await self._store("quota/join_bucket")

    async def _store(self, statement: str) -> None:
        for bucket in {client.bucket.name: client.bucket for client in self._clients.values()}.values():
            await self._database.execute(statement, **asdict(bucket))

    async def ensure(self, bucket: Bucket) -> None:
        """Create a bucket, such as a site's, before its first use. Only buckets in use are kept in memory."""
        now, client = current_time(), self._clients.get(bucket.name)
        if client is not None and now - client.seen_at < IDLE_S:
            return
        await self._database.execute("quota/ensure_bucket", **asdict(bucket))
        if now - self._swept_at > IDLE_S:
            self._swept_at = now
            for name in [name for name in self._ensured if now - self._clients[name].seen_at > IDLE_S]:
                self._ensured.remove(name)
                del self._clients[name]
        self._ensured.add(bucket.name)
        # A slow bucket may not allow a few calls within the usual longest wait. A job that gave up each time would
        # repeat its first calls forever and never reach its last.
        longest_wait_s = max(self._longest_wait_s, FEW_CALLS * 60 / bucket.requests_per_minute)
        self._clients.setdefault(
            bucket.name, BucketClient(self._database, bucket, longest_wait_s)
        ).seen_at = current_time()

    @asynccontextmanager
    async def permit(
        self, bucket: str, *, tokens: int = 0, turn: float = 0.0, spares: int = 0
    ) -> AsyncIterator[Permit]:
        """Sleep until one call of about `tokens` tokens may start. Reconcile with `Permit.used` when the block ends.

        `spares`: how many calls of this process follow soon; they may get their quota with this one. The lowest `turn`
        of all callers of the bucket is served first. Raises RateLimited, and refunds the quota, when
        the wait would be too long. When the block raises, the estimate stays charged, because the provider may have
        counted the call. Only a call that never reached the provider is refunded.
        """
        client = self._clients[bucket]
        asked_at = current_time()
        try:
            with self._counted_as_waiting(client.bucket.name):
                spare = client.take_spare() if spares else None
                reservation = spare or await self._reserve(client, Request(tokens, turn, spares=spares))
        finally:  # a refused call has waited too
            _note_wait(client.bucket, waited_s := current_time() - asked_at)
        started_at = client.call_started(reservation)
        permit = Permit(reservation, waited_s)
        reached_provider = True
        try:
            yield permit
        except (ProviderDown, Unsent) as error:
            reached_provider = _may_have_reached_provider(error)
            raise
        except RateLimited as error:
            client.drop_spares()
            if error.status == TOO_MANY:
                permit.used(0)
            await self._block_after(bucket, error)
            raise
        finally:
            if reached_provider:
                await client.call_finished(reservation, started_at=started_at, used=permit.tokens)
            else:
                await client.refund(reservation, started_at=started_at)

    async def learn(self, bucket: str, limits: ProviderLimits) -> None:
        """Store the limits that a response's headers report, at most a few times per second."""
        now = current_time()
        if limits == ProviderLimits() or now - self._learned_at.get(bucket, -LEARN_S) < LEARN_S:
            return
        self._learned_at[bucket] = now
        await self._database.execute(
            "quota/learn",
            name=self._clients[bucket].bucket.name,
            requests_limit=limits.requests_limit,
            tokens_limit=limits.tokens_limit,
            requests_left=limits.requests_left,
            tokens_left=limits.tokens_left,
        )

    async def block(self, bucket: str, seconds: float) -> None:
        """Stop all calls of this bucket, on all workers, for the time that the provider named."""
        await self._database.execute("quota/block", name=self._clients[bucket].bucket.name, seconds=seconds)

    def waiting(self) -> dict[str, int]:
        """Return how many callers of this process wait for quota, by bucket."""
        return dict(+self._waiting)

    def stuck_s(self) -> float:
        """Return how long callers have waited for an answer of the database, of whatever kind."""
        return max((client.stuck_s for client in self._clients.values()), default=0.0)

    @contextmanager
    def _counted_as_waiting(self, bucket: str) -> Iterator[None]:
        self._waiting[bucket] += 1
        try:
            yield
        finally:
            self._waiting[bucket] -= 1

    async def _block_after(self, bucket: str, error: RateLimited) -> None:
        if error.code == SLOW_DOWN:
            await self._database.execute("quota/slow_down", name=self._clients[bucket].bucket.name)
        await self.block(bucket, error.retry_after_s)

    async def _reserve(self, client: BucketClient, request: Request) -> Reservation:
        """Return a reservation that is due. Reserve again when the bucket changes before it is due."""
        while True:
            await client.reserve(request)
            if request.reservation is None:
                message = f"the fleet's quota for {client.bucket.name} is used up"
                raise RateLimited(message, provider=client.bucket.provider, code=OWN_QUOTA).after(request.refused_s)
            try:
                if await self._sleep_until_due(client, request.reservation):
                    return request.reservation
            except BaseException:
                await client.refund(request.reservation)
                raise

    async def _sleep_until_due(self, client: BucketClient, reservation: Reservation) -> bool:
        """Sleep until the reservation is due. Return False as soon as the bucket has changed since the grant."""
        while (left_s := client.due_at(reservation) - current_time()) > 0:
            if client.epoch != reservation.epoch:
                return False
            # Wake up early, because refunds may have moved the due time forward.
            with move_on_after(left_s if left_s < SHORT_S else min(left_s / 2, REFRESH_S)):
                await client.changed.wait()
                return False
            if left_s > REFRESH_S:
                await client.refresh(REFRESH_S)
        return True


def _note_wait(bucket: Bucket, waited_s: float) -> None:
    tracing.waited(bucket.provider, bucket.name, waited_s)
    if (waits := waits_of_attempt.get()) is not None:
        waits.append(waited_s)
    if waited_s >= LOGGED_WAIT_S:
        log.debug("limiter_waited", quota=bucket.name, wait_s=round(waited_s, 3))


def _may_have_reached_provider(error: ProviderDown | Unsent) -> bool:
    """Return whether the provider may know of the call.

    ProviderDown without a cause means that the breaker refused the call; with a cause, that the call met an outage.
    """
    cause = error.__cause__ if isinstance(error, ProviderDown) else error
    return cause is not None and not isinstance(cause, Unsent)
