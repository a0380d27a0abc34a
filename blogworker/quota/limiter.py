"""Wait for the fleet's quota before a call, and tell it the real usage after."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import asdict

from anyio import current_time, move_on_after

from blogworker.db.pool import Runner
from blogworker.errors import ProviderDown, RateLimited, Unsent
from blogworker.quota.bucket import Bucket, Reservation, VendorLimits
from blogworker.quota.bucket_client import BucketClient, Request
from blogworker.telemetry import get_logger

LONGEST_WAIT_S = 30.0  # of callers outside the queue, such as preview
LOOK_S = 0.5  # how old one's view of a bucket may be while one waits for it
SHORT_S = 0.1  # a wait that is slept through
LEARN_S = 0.25  # how often one process passes on what the vendor's headers say
SLOW_DOWN = "slow_down"
TOO_MANY = 429
FEW_CALLS = 3
WORTH_A_LINE_S = 0.1  # shorter waits are not logged
OWN_QUOTA = "quota"  # the code of a refusal that no vendor made
IDLE_S = 600.0  # a bucket that was ensured is forgotten when it was not used for so long; far below upkeep's

log = get_logger()

# Seconds that the calls of one attempt waited for quotas; None: they are not recorded. Stage times leave them out.
waits_of_attempt: ContextVar[list[float] | None] = ContextVar("waits_of_attempt", default=None)


class Permit:
    """Leave to make one call. `used` is called with what the vendor counted."""

    def __init__(self, reservation: Reservation, waited_s: float) -> None:
        self.waited_s = waited_s
        self.tokens = reservation.tokens

    def used(self, tokens: int) -> None:
        self.tokens = tokens


class Limiter:
    """Hands out permits. One a process; its state is in the database."""

    def __init__(
        self, database: Runner, buckets: Mapping[str, Bucket], *, longest_wait_s: float = LONGEST_WAIT_S
    ) -> None:
        """`buckets` by what callers ask for. Several may be one bucket, by its name: then they share its client.
        `longest_wait_s`: a call that would wait longer is refused."""
        self._database = database
        self._longest_wait_s = longest_wait_s
        clients = {bucket.name: BucketClient(database, bucket, longest_wait_s) for bucket in buckets.values()}
        self._clients = {asked: clients[bucket.name] for asked, bucket in buckets.items()}
        self._learned_at: dict[str, float] = {}
        self._ensured: set[str] = set()
        self._swept_at = -IDLE_S
        self._waiting: Counter[str] = Counter()

    async def open(self) -> None:
        """Make the buckets known to the database, with the limits of our settings."""
        await self._make("quota/upsert_bucket")

    async def join(self) -> None:
        """Make the buckets that are missing; the others keep the limits in force, which are not ours to change."""
        await self._make("quota/join_bucket")

    async def _make(self, statement: str) -> None:
        for bucket in {client.bucket.name: client.bucket for client in self._clients.values()}.values():
            await self._database.execute(statement, **asdict(bucket))

    async def ensure(self, bucket: Bucket) -> None:
        """Make sure of a bucket right before it is asked: of the many there may be, only those in use are known."""
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
        # Of a slow bucket the next few calls may be further away than the patience: a blog that gave up each time would
        # make its first calls again and again, and never its last.
        longest_wait_s = max(self._longest_wait_s, FEW_CALLS * 60 / bucket.requests_per_minute)
        self._clients.setdefault(
            bucket.name, BucketClient(self._database, bucket, longest_wait_s)
        ).seen_at = current_time()

    @asynccontextmanager
    async def permit(self, bucket: str, *, tokens: int = 0, turn: float = 0.0) -> AsyncIterator[Permit]:
        """Sleep until one call of about `tokens` may go; reconcile with `Permit.used` when the block ends. Of all that
        wait for the bucket the earliest `turn` goes first.

        Raises RateLimited, with the quota given back, when the wait would be long. A block that ends in an error
        before the vendor counted anything keeps the estimate charged: the vendor may have counted it. Only what never
        reached the vendor is given back.
        """
        client = self._clients[bucket]
        asked_at = current_time()
        try:
            with self._in_line(client.bucket.name):
                reservation = await self._granted(client, Request(tokens, turn))
        finally:  # a call that is refused has waited too
            _note_wait(client.bucket.name, waited_s := current_time() - asked_at)
        went_at = client.went(reservation)
        permit = Permit(reservation, waited_s)
        made = True
        try:
            yield permit
        except (ProviderDown, Unsent) as error:
            made = _was_made(error)
            raise
        except RateLimited as error:
            if error.status == TOO_MANY:
                permit.used(0)
            await self._refused(bucket, error)
            raise
        finally:
            if made:
                await client.ended(reservation, went_at=went_at, used=permit.tokens)
            else:
                await client.undo(reservation, went_at=went_at)

    async def learn(self, bucket: str, limits: VendorLimits) -> None:
        """Pass on what an answer's headers said, a few times a second at most."""
        now = current_time()
        if limits == VendorLimits() or now - self._learned_at.get(bucket, -LEARN_S) < LEARN_S:
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
        """No call of this bucket goes for so many seconds, on any worker: the vendor said so."""
        await self._database.execute("quota/block", name=self._clients[bucket].bucket.name, seconds=seconds)

    def waiting(self) -> dict[str, int]:
        """How many callers of this process wait for the quota, by bucket."""
        return dict(+self._waiting)

    @contextmanager
    def _in_line(self, bucket: str) -> Iterator[None]:
        self._waiting[bucket] += 1
        try:
            yield
        finally:
            self._waiting[bucket] -= 1

    async def _refused(self, bucket: str, error: RateLimited) -> None:
        if error.code == SLOW_DOWN:
            await self._database.execute("quota/slow_down", name=self._clients[bucket].bucket.name)
        await self.block(bucket, error.retry_after_s)

    async def _granted(self, client: BucketClient, ask: Request) -> Reservation:
        """A reservation whose time has come. One that was overtaken by a change of the bucket is taken anew."""
        while True:
            await client.reserve(ask)
            if ask.reservation is None:
                message = f"the fleet's quota for {client.bucket.name} is used up"
                raise RateLimited(message, provider=client.bucket.provider, code=OWN_QUOTA).after(ask.refused_s)
            try:
                if await self._holds_until_due(client, ask.reservation):
                    return ask.reservation
            except BaseException:
                await client.undo(ask.reservation)
                raise

    async def _holds_until_due(self, client: BucketClient, reservation: Reservation) -> bool:
        """Sleep to the reservation's time. False as soon as the bucket has changed since it was granted."""
        while (left_s := client.due_at(reservation) - current_time()) > 0:
            if client.epoch != reservation.epoch:
                return False
            with move_on_after(left_s if left_s < SHORT_S else min(left_s / 2, LOOK_S)):  # it may move up meanwhile
                await client.changed.wait()
                return False
            if left_s > LOOK_S:
                await client.look(LOOK_S)
        return True


def _note_wait(quota: str, waited_s: float) -> None:
    if (waits := waits_of_attempt.get()) is not None:
        waits.append(waited_s)
    if waited_s >= WORTH_A_LINE_S:
        log.debug("limiter_waited", quota=quota, wait_s=round(waited_s, 3))


def _was_made(error: ProviderDown | Unsent) -> bool:
    """Whether the vendor can know of the call. A breaker may refuse one, or tell of an outage that the call met."""
    met = error.__cause__ if isinstance(error, ProviderDown) else error
    return met is not None and not isinstance(met, Unsent)
