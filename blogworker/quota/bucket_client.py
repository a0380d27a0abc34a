"""One process's side of one bucket: all that its callers want, and give back, goes in one statement.

Whoever finds the client free does the round for everybody who waits; those who come during it are in the next. Rounds
keep a distance, so that a worker costs the database a few statements a second however many slots it has.

Calls are granted shortly before they may go, in the order of their sites' turns over all processes. One that is not
granted yet is asked for again in each round: the database keeps it in line meanwhile.

Callers come and go: one that is cancelled leaves the line, or has what the round under way takes for it given back.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from uuid import UUID, uuid4

import psycopg
from anyio import CancelScope, Event, current_time, move_on_after, sleep_until
from anyio.lowlevel import checkpoint_if_cancelled

from blogworker.db.patient import is_transient
from blogworker.db.pool import Row, Runner
from blogworker.db.words import in_words
from blogworker.quota.bucket import Bucket, Reservation
from blogworker.telemetry import get_logger

ROUND_S = 0.05  # the least distance between the beginnings of two rounds
AHEAD_S = 1.0  # how long before it may go a call is granted; from then on no other call goes before it
POLL_S = 0.25  # between rounds of callers that wait; several fit into AHEAD_S, so that callers learn of grants in time
ANSWER_S = 5.0  # a round that takes longer is asked again, by a caller that is still there
REFUND_GRACE_S = 2.0
NO_SUCH_BUCKET = "BW404"  # our own SQLSTATE, see quota_round

log = get_logger()


@dataclass(slots=True, eq=False)
class Request:
    """One caller's wish and, after a round, its answer."""

    tokens: int
    turn: float  # of its site in the round robin; the earliest goes first
    asked_at: float = field(default_factory=current_time)  # kept when it asks again
    call_id: UUID = field(default_factory=uuid4)  # a new one each time it has to ask again
    answered: bool = False
    abandoned: bool = False
    waits: bool = False  # the database has it in line
    reservation: Reservation | None = None  # None, once answered: refused
    refused_s: float = 0.0  # how long it would have had to wait


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What the figures of the last minute are to take in."""

    at: float  # when the call went, by this process's monotonic clock
    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Unused:
    """What a call that started left of its estimate."""

    tokens: int  # below zero: it used more
    token_s: float  # how far each of them moved the clock


@dataclass(slots=True, eq=False)
class Refund:
    """What the next round has to give back and to report."""

    unused: list[Unused] = field(default_factory=list)
    requests_s: float = 0.0  # of calls that the vendor never saw
    tokens_s: float = 0.0  # of calls that have not started
    told: list[UsageReport] = field(default_factory=list)
    left: bool = False  # a caller has left the line, which the database knows when it is not named any more

    def __bool__(self) -> bool:
        return self.left or bool(self.told or self.unused) or any((self.requests_s, self.tokens_s))


@dataclass(slots=True)
class BucketClient:
    """One bucket, as one process knows it."""

    database: Runner
    bucket: Bucket
    longest_wait_s: float
    epoch: int = 0  # as of the last round
    changed: Event = field(default_factory=Event)  # of the epoch: set once, then another one takes its place
    returned_s: float = 0.0  # as of the last round
    desk_id: UUID = field(default_factory=uuid4)
    seen_at: float = -1e9  # when the last round was answered
    _begun_at: float = -1e9
    _waiting: list[Request] = field(default_factory=list)
    _back: Refund = field(default_factory=Refund)
    _sent: Refund | None = None  # in a round whose answer has not come: it is sent again as it was, and heard once
    _number: int = 0  # of the rounds that gave back
    _busy: bool = False
    _done: Event = field(default_factory=Event)
    _fresh: Event = field(default_factory=Event)  # a caller has come that is not in line yet, or one gives back

    @property
    def _ahead_s(self) -> float:
        return min(AHEAD_S, self.longest_wait_s / 2)

    async def reserve(self, ask: Request) -> None:
        """Have it answered. A caller that is cancelled meanwhile has everything given back."""
        ask.answered, ask.waits, ask.call_id = False, False, uuid4()
        self._waiting.append(ask)
        self._fresh.set()
        try:
            while not ask.answered:
                await self._turn()
            await checkpoint_if_cancelled()  # a round is not interrupted, its caller may be gone all the same
        except BaseException:
            await self._abandon(ask)
            raise

    def due_at(self, reservation: Reservation) -> float:
        """When the call may go: what others gave back since it was granted moves it up."""
        moved_s = self.returned_s - reservation.returned_s
        return max(reservation.soonest_at, reservation.starts_at - moved_s)

    async def undo(self, reservation: Reservation, *, went_at: float | None = None) -> None:
        """Give back a call that never reached the vendor. `went_at`: as `went` gave it, if the call started."""
        self._undo(reservation, went_at)
        await self._settle()

    def went(self, reservation: Reservation) -> float:
        """Note that the call goes. Gives the time of it. The database has counted one that had not to wait."""
        if reservation.wait_s > 0:
            self._back.told.append(UsageReport(now := current_time(), 1, reservation.tokens))
            return now
        return reservation.starts_at

    async def ended(self, reservation: Reservation, *, went_at: float, used: int) -> None:
        """Give back the tokens that were not used, or take those used beyond the estimate."""
        if used != reservation.tokens:
            self._note_unused(reservation, used)
            self._back.told.append(UsageReport(went_at, 0, used - reservation.tokens))
        elif reservation.wait_s <= 0:
            return  # all of it is known
        await self._settle()

    async def look(self, older_than_s: float) -> None:
        """Learn the bucket's epoch, unless it was seen lately."""
        while current_time() - self.seen_at > older_than_s:
            await self._turn()

    async def _abandon(self, ask: Request) -> None:
        ask.abandoned = True
        if ask in self._waiting:
            self._waiting.remove(ask)
            if ask.waits:
                self._back.left = True
                await self._settle()
        elif ask.answered:
            if ask.reservation is not None:
                await self.undo(ask.reservation)
        else:  # the round under way answers it, and gives back what it gets
            with CancelScope(shield=True), move_on_after(REFUND_GRACE_S):
                await self._done.wait()
            await self._settle()

    def _undo(self, reservation: Reservation, went_at: float | None = None) -> None:
        if started := went_at is not None:
            self._note_unused(reservation, 0)
        elif reservation.wait_s <= 0:
            went_at = reservation.starts_at  # the database has counted it
        if went_at is not None:
            self._back.told.append(UsageReport(went_at, -1, -reservation.tokens))
        if reservation.epoch == self.epoch:  # else the bucket has dropped it already
            self._back.requests_s += reservation.request_s
            self._back.tokens_s += 0.0 if started else reservation.tokens_s

    def _note_unused(self, reservation: Reservation, used: int) -> None:
        if reservation.token_s:
            self._back.unused.append(Unused(reservation.tokens - used, reservation.token_s))

    async def _settle(self) -> None:
        """Return once what has been given back so far has been sent, or cannot be for now: then a later round does."""
        with CancelScope(shield=True), move_on_after(REFUND_GRACE_S):  # else the fleet loses this share
            back = self._back
            self._fresh.set()
            while back and self._back is back:
                await self._turn()

    async def _turn(self) -> None:
        """Do a round, or wait for the one that is under way."""
        if self._busy:
            await self._done.wait()
            return
        self._busy = True
        try:
            await self._time_for_a_round()
            with CancelScope(shield=True), move_on_after(ANSWER_S):  # cut off, it would lose what it took for others
                await self._round()
        finally:
            self._busy = False
            self._done.set()
            self._done = Event()

    async def _time_for_a_round(self) -> None:
        """A moment after the last round where there are new callers; later where all are in line already."""
        await sleep_until(self._begun_at + ROUND_S)
        if self._waiting and not self._back and self._sent is None and all(ask.waits for ask in self._waiting):
            with move_on_after(self._begun_at + min(POLL_S, self._ahead_s / 4) - current_time()):
                await self._fresh.wait()

    async def _round(self) -> None:
        self._begun_at = current_time()
        self._fresh = Event()
        asks, self._waiting = self._waiting, []
        if self._sent is None:
            self._sent, self._back = self._back, Refund()
            self._number += bool(self._sent)
        try:
            row = await self._ask_database(asks, self._sent)
        except BaseException as error:
            self._waiting += [ask for ask in asks if not ask.abandoned]
            if isinstance(error, psycopg.Error) and error.sqlstate == NO_SUCH_BUCKET:  # deleted, or not restored
                await self.database.execute("quota/ensure_bucket", **asdict(self.bucket))
            elif not self._drop(error):
                raise
            return
        self._sent = None
        self.seen_at = current_time()
        if row["epoch"] != self.epoch:
            self.epoch = row["epoch"]
            self._back.requests_s = self._back.tokens_s = 0  # those calls are out of the line already
            self.changed.set()
            self.changed = Event()
        self.returned_s = row["returned_s"]
        for place, ask in enumerate(asks):
            if row["waits"][place] is None and not row["refused"][place] and not ask.abandoned:
                ask.waits = True
                self._waiting.append(ask)
            else:
                self._answer(ask, row, place)

    def _drop(self, error: BaseException) -> bool:
        """Whether the error was of what was sent, which is dropped: else no round would ever get through."""
        if not self._sent or not isinstance(error, psycopg.Error) or is_transient(error):
            return False
        log.error("refund_dropped", quota=self.bucket.name, error_type=type(error).__name__, error=in_words(error))
        self._sent = None
        return True

    async def _ask_database(self, asks: Sequence[Request], back: Refund) -> Row:
        now = current_time()
        return await self.database.one(
            "quota/round",
            name=self.bucket.name,
            call_ids=[ask.call_id for ask in asks],
            turns=[ask.turn for ask in asks],
            tokens=[ask.tokens for ask in asks],
            waited_s=[now - ask.asked_at for ask in asks],
            unused_tokens=[unused.tokens for unused in back.unused],
            unused_token_s=[unused.token_s for unused in back.unused],
            back_requests_s=back.requests_s,
            back_tokens_s=back.tokens_s,
            back_epoch=self.epoch,
            longest_wait_s=self.longest_wait_s,
            ahead_s=self._ahead_s,
            told_s=[now - told.at for told in back.told],
            told_requests=[told.requests for told in back.told],
            told_tokens=[told.tokens for told in back.told],
            desk_id=self.desk_id,
            number=self._number,
        )

    def _answer(self, ask: Request, row: Row, place: int) -> None:
        ask.answered, ask.reservation = True, None
        wait_s = row["waits"][place]
        if wait_s is None:
            self._back.left |= not row["refused"][place]
            ask.refused_s = row["expected_s"][place]
            return
        ask.reservation = Reservation(
            tokens=ask.tokens,
            wait_s=wait_s,
            starts_at=self.seen_at + wait_s,
            soonest_at=self.seen_at + row["soonest"][place],
            returned_s=row["returned_at_s"][place],
            epoch=self.epoch,
            request_s=row["request_s"][place],
            token_s=row["token_s"][place],
        )
        if ask.abandoned:
            self._undo(ask.reservation)
