"""The client of one bucket in one process. It sends the requests of all callers to the database together.

One statement, a *round*, carries everything: new requests for quota, refunds, and reports of real usage. The first
caller that finds the client idle runs the round for all waiting callers. Callers that arrive during a round are served
by the next one. Rounds keep a minimum distance, so a worker sends few statements per second, whatever its concurrency.

The database grants a request shortly before its call may start, in the order of the sites' turns across all processes.
A request that is not granted yet stays in line in the database, and each round names it again.

A round may also grant *spares*: calls that the next callers start without a round. A blog makes ten short calls to its
site one after the other, and a round before each would take longer than the call.

A caller can be cancelled at any time. Then its request leaves the line, or the quota that the running round takes for
it is refunded.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from uuid import UUID, uuid4

import psycopg
from anyio import CancelScope, Event, current_time, move_on_after, sleep_until
from anyio.lowlevel import checkpoint_if_cancelled

from blogworker.db.messages import message_of
from blogworker.db.pool import Row, Runner
from blogworker.db.retrying import is_transient
from blogworker.quota.bucket import Bucket, Reservation
from blogworker.quota.round import Refund, Request, Unused, UsageReport
from blogworker.telemetry import get_logger

ROUND_S = 0.05  # the minimum time between the starts of two rounds
AHEAD_S = 1.0  # a request is granted at most this long before its call starts; after that no request overtakes it
POLL_S = 0.25  # between rounds when all callers are in line; less than AHEAD_S, so that grants arrive in time
ANSWER_S = 5.0  # a round that takes longer is abandoned and sent again by a caller that still waits
REFUND_GRACE_S = 2.0
SPARE_S = 2.0  # how long after the round a spare may start
NO_SUCH_BUCKET = "BW404"  # the SQLSTATE that quota_round raises

log = get_logger()


@dataclass(slots=True)
class BucketClient:
    """One bucket as seen by one process."""

    database: Runner
    bucket: Bucket
    longest_wait_s: float
    epoch: int = 0  # of the bucket, as of the last round
    changed: Event = field(default_factory=Event)  # set once when the epoch changes, then replaced by a new event
    returned_s: float = 0.0  # as of the last round
    client_id: UUID = field(default_factory=uuid4)
    seen_at: float = -1e9  # when the last round was answered
    _round_started_at: float = -1e9
    _waiting: list[Request] = field(default_factory=list)
    _refund: Refund = field(default_factory=Refund)
    _sent: Refund | None = None  # in a round without an answer yet: sent again unchanged, and counted once
    _number: int = 0  # of the rounds with a refund; the database ignores a number that it has seen
    _busy: bool = False
    _busy_since: float = -1e9
    _round_done: Event = field(default_factory=Event)
    _spares: list[Reservation] = field(default_factory=list)
    _has_news: Event = field(default_factory=Event)  # a new request or a refund waits for the next round

    @property
    def _ahead_s(self) -> float:
        return min(AHEAD_S, self.longest_wait_s / 2)

    @property
    def stuck_s(self) -> float:
        """Return how long callers have waited for a round that neither starts nor ends."""
        if not self._busy and not self._waiting:
            return 0.0
        last_asked_at = max((request.asked_at for request in self._waiting), default=0.0)
        return current_time() - max(self._round_started_at, self._busy_since, last_asked_at)

    async def reserve(self, request: Request) -> None:
        """Wait until the request is answered. If the caller is cancelled meanwhile, everything is refunded."""
        request.answered, request.in_line, request.call_id = False, False, uuid4()
        self._waiting.append(request)
        self._has_news.set()
        try:
            while not request.answered:
                await self._run_or_await_round()
            await checkpoint_if_cancelled()  # a round is shielded, so its caller may be cancelled by now
        except BaseException:
            await self._abandon(request)
            raise

    def take_spare(self) -> Reservation | None:
        """Return a call that an earlier round granted in advance."""
        if self._spares and current_time() - self._spares[0].starts_at > SPARE_S:
            self.drop_spares()
        return self._spares.pop() if self._spares else None

    def drop_spares(self) -> None:
        """Refund the spares, with the next round: the bucket has changed, or they are too old."""
        spares, self._spares = self._spares, []
        for reservation in spares:
            self._add_refund(reservation)

    def due_at(self, reservation: Reservation) -> float:
        """Return when the call may start. Refunds since the grant move it forward."""
        moved_s = self.returned_s - reservation.returned_s
        return max(reservation.soonest_at, reservation.starts_at - moved_s)

    async def refund(self, reservation: Reservation, *, started_at: float | None = None) -> None:
        """Refund a call that never reached the provider. `started_at`: from `call_started`, if the call had started."""
        self._add_refund(reservation, started_at)
        await self._send_refunds()

    def call_started(self, reservation: Reservation) -> float:
        """Record that the call starts. Return the time. The database has counted a call without a wait already."""
        if reservation.wait_s > 0:
            self._refund.reports.append(UsageReport(now := current_time(), 1, reservation.tokens))
            return now
        return reservation.starts_at

    async def call_finished(self, reservation: Reservation, *, started_at: float, used: int) -> None:
        """Refund the tokens that were not used, or charge those beyond the estimate."""
        if used != reservation.tokens:
            self._note_unused(reservation, used)
            self._refund.reports.append(UsageReport(started_at, 0, used - reservation.tokens))
        elif reservation.wait_s <= 0:
            return  # the database knows all of it
        await self._send_refunds()

    async def refresh(self, older_than_s: float) -> None:
        """Read the bucket's epoch again if the last round is older than this."""
        while current_time() - self.seen_at > older_than_s:
            await self._run_or_await_round()

    async def _abandon(self, request: Request) -> None:
        request.abandoned = True
        if request in self._waiting:
            self._waiting.remove(request)
            if request.in_line:
                self._refund.caller_left = True
                await self._send_refunds()
        elif request.answered:
            if request.reservation is not None:
                await self.refund(request.reservation)
        else:  # the running round answers the request and then refunds it
            with CancelScope(shield=True), move_on_after(REFUND_GRACE_S):
                await self._round_done.wait()
            await self._send_refunds()

    def _add_refund(self, reservation: Reservation, started_at: float | None = None) -> None:
        if started := started_at is not None:
            self._note_unused(reservation, 0)
        elif reservation.wait_s <= 0:
            started_at = reservation.starts_at  # the database has counted it
        if started_at is not None:
            self._refund.reports.append(UsageReport(started_at, -1, -reservation.tokens))
        if reservation.epoch == self.epoch:  # after a change of the bucket its grants are void already
            self._refund.requests_s += reservation.request_s
            self._refund.tokens_s += 0.0 if started else reservation.tokens_s

    def _note_unused(self, reservation: Reservation, used: int) -> None:
        if reservation.token_s:
            self._refund.unused.append(Unused(reservation.tokens - used, reservation.token_s))

    async def _send_refunds(self) -> None:
        """Wait until the current refunds are sent, for a short time at most. A later round sends what is left."""
        with CancelScope(shield=True), move_on_after(REFUND_GRACE_S):  # otherwise the fleet loses this quota
            refund = self._refund
            self._has_news.set()
            while refund and self._refund is refund:
                await self._run_or_await_round()

    async def _run_or_await_round(self) -> None:
        """Run a round, or wait for the one that is running."""
        if self._busy:
            await self._round_done.wait()
            return
        self._busy, self._busy_since = True, current_time()
        try:
            await self._await_round_time()
            with CancelScope(shield=True), move_on_after(ANSWER_S):  # cancelled, it would lose quota
                await self._round()
        finally:
            self._busy = False
            self._round_done.set()
            self._round_done = Event()

    async def _await_round_time(self) -> None:
        """Wait ROUND_S after the last round, and up to POLL_S when all callers are in line already."""
        await sleep_until(self._round_started_at + ROUND_S)
        idle = not self._refund and self._sent is None
        if idle and self._waiting and all(request.in_line for request in self._waiting):
            with move_on_after(self._round_started_at + min(POLL_S, self._ahead_s / 4) - current_time()):
                await self._has_news.wait()

    async def _round(self) -> None:
        self._round_started_at = current_time()
        self._has_news = Event()
        requests, self._waiting = self._waiting, []
        if self._sent is None:
            self._sent, self._refund = self._refund, Refund()
            self._number += bool(self._sent)
        try:
            row = await self._send(requests, self._sent)
        except BaseException as error:
            self._waiting += [request for request in requests if not request.abandoned]
            if isinstance(error, psycopg.Error) and error.sqlstate == NO_SUCH_BUCKET:  # deleted, or not restored
                await self.database.execute("quota/ensure_bucket", **asdict(self.bucket))
            elif not self._drop_refund(error):
                raise
            return
        self._sent = None
        self.seen_at = current_time()
        self._note_epoch(row["epoch"])
        self.returned_s = row["returned_s"]
        self._keep_spares(row)
        for place, request in enumerate(requests):
            if row["waits"][place] is None and not row["refused"][place] and not request.abandoned:
                request.in_line = True
                self._waiting.append(request)
            else:
                self._answer(request, row, place)

    def _note_epoch(self, epoch: int) -> None:
        if epoch == self.epoch:
            return
        self.epoch = epoch
        self._spares = []  # their grants are void
        self._refund.requests_s = self._refund.tokens_s = 0  # the change of the bucket has voided those grants already
        self.changed.set()
        self.changed = Event()

    def _drop_refund(self, error: BaseException) -> bool:
        """Drop a refund that the database refuses, because no round could succeed with it. Return whether it did."""
        if not self._sent or not isinstance(error, psycopg.Error) or is_transient(error):
            return False
        log.error("refund_dropped", quota=self.bucket.name, error_type=type(error).__name__, error=message_of(error))
        self._sent = None
        return True

    async def _send(self, requests: Sequence[Request], refund: Refund) -> Row:
        now = current_time()
        return await self.database.one(
            "quota/round",
            name=self.bucket.name,
            call_ids=[request.call_id for request in requests],
            turns=[request.turn for request in requests],
            tokens=[request.tokens for request in requests],
            waited_s=[now - request.asked_at for request in requests],
            unused_tokens=[unused.tokens for unused in refund.unused],
            unused_token_s=[unused.token_s for unused in refund.unused],
            refund_requests_s=refund.requests_s,
            refund_tokens_s=refund.tokens_s,
            refund_epoch=self.epoch,
            longest_wait_s=self.longest_wait_s,
            ahead_s=self._ahead_s,
            reported_s=[now - report.at for report in refund.reports],
            reported_requests=[report.requests for report in refund.reports],
            reported_tokens=[report.tokens for report in refund.reports],
            client_id=self.client_id,
            number=self._number,
            spares=0 if self._spares else max((request.spares for request in requests), default=0),
        )

    def _keep_spares(self, row: Row) -> None:
        if row["spares"]:
            request_s = next(seconds for seconds in row["request_s"] if seconds is not None)
            at = self.seen_at
            self._spares = [
                Reservation(0, 0.0, at, at, row["returned_s"], self.epoch, request_s, 0.0) for _ in range(row["spares"])
            ]

    def _answer(self, request: Request, row: Row, place: int) -> None:
        request.answered, request.reservation = True, None
        wait_s = row["waits"][place]
        if wait_s is None:
            self._refund.caller_left |= not row["refused"][place]
            request.refused_s = row["expected_s"][place]
            return
        request.reservation = Reservation(
            tokens=request.tokens,
            wait_s=wait_s,
            starts_at=self.seen_at + wait_s,
            soonest_at=self.seen_at + row["soonest"][place],
            returned_s=row["returned_at_s"][place],
            epoch=self.epoch,
            request_s=row["request_s"][place],
            token_s=row["token_s"][place],
        )
        if request.abandoned:
            self._add_refund(request.reservation)
