"""Where one process asks one bucket: all that its callers want, and give back, goes in one statement.

Whoever finds the desk free does the round for everybody who is waiting; those who come during it are in the next.
Rounds keep a distance, so that a worker costs the database a few statements a second however many slots it has.

Callers come and go: one that is cancelled leaves the line, or has what the round under way takes for it given back.
"""

from dataclasses import dataclass, field
from itertools import count

from anyio import CancelScope, Event, current_time, move_on_after, sleep_until
from anyio.lowlevel import checkpoint_if_cancelled

from blogworker.db.pool import Runner
from blogworker.quota.bucket import Bucket, Reservation

ROUND_S = 0.05  # the least distance between the beginnings of two rounds
ANSWER_S = 5.0  # a round that takes longer is asked again, by a caller that is still there
REFUND_GRACE_S = 2.0


@dataclass(slots=True, eq=False)
class Ask:
    """One caller's wish and, after a round, its answer."""

    tokens: int
    place: int  # in the line; kept when it has to ask again
    answered: bool = False
    abandoned: bool = False
    reservation: Reservation | None = None  # None, once answered: refused
    refused_s: float = 0.0  # when to come again


@dataclass(slots=True, eq=False)
class Refund:
    """How far the clocks are to move back."""

    requests_s: float = 0.0
    tokens_s: float = 0.0

    def __bool__(self) -> bool:
        return self.requests_s != 0 or self.tokens_s != 0


@dataclass(slots=True)
class Desk:
    """One bucket, as one process knows it."""

    database: Runner
    bucket: Bucket
    longest_wait_s: float
    epoch: int = 0  # as of the last round
    changed: Event = field(default_factory=Event)  # of the epoch: set once, then another one takes its place
    seen_at: float = -1e9  # when the last round was answered
    _begun_at: float = -1e9
    _places: "count[int]" = field(default_factory=count)
    _waiting: list[Ask] = field(default_factory=list)
    _back: Refund = field(default_factory=Refund)
    _busy: bool = False
    _done: Event = field(default_factory=Event)

    def ask(self, tokens: int) -> Ask:
        """A wish, at the end of the line."""
        return Ask(tokens, next(self._places))

    async def reserve(self, ask: Ask) -> None:
        """Have it answered. A caller that is cancelled meanwhile has everything given back."""
        ask.answered = False
        self._waiting.append(ask)
        try:
            while not ask.answered:
                await self._turn()
            await checkpoint_if_cancelled()  # a round is not interrupted, its caller may be gone all the same
        except BaseException:
            await self._abandon(ask)
            raise

    async def undo(self, reservation: Reservation) -> None:
        """Give back a call that was never made."""
        self._undo(reservation)
        await self._settle()

    async def reconcile(self, reservation: Reservation, used: int) -> None:
        """Give back the tokens that were not used, or take those used beyond the estimate."""
        self._back.tokens_s += reservation.tokens_s - used * reservation.token_s
        await self._settle()

    async def look(self, older_than_s: float) -> None:
        """Learn the bucket's epoch, unless it was seen lately."""
        while current_time() - self.seen_at > older_than_s:
            await self._turn()

    async def _abandon(self, ask: Ask) -> None:
        ask.abandoned = True
        if ask in self._waiting:
            self._waiting.remove(ask)
        elif ask.answered:
            if ask.reservation is not None:
                await self.undo(ask.reservation)
        else:  # the round under way answers it, and gives back what it gets
            with CancelScope(shield=True), move_on_after(REFUND_GRACE_S):
                await self._done.wait()
            await self._settle()

    def _undo(self, reservation: Reservation) -> None:
        if reservation.epoch == self.epoch:  # else the bucket has dropped it already
            self._back.requests_s += reservation.request_s
            self._back.tokens_s += reservation.tokens_s

    async def _settle(self) -> None:
        """Return once what has been given back so far has been sent, or cannot be for now: then a later round does."""
        with CancelScope(shield=True), move_on_after(REFUND_GRACE_S):  # else the fleet loses this share
            back = self._back
            while back and self._back is back:
                await self._turn()

    async def _turn(self) -> None:
        """Do a round, or wait for the one that is under way."""
        if self._busy:
            await self._done.wait()
            return
        self._busy = True
        try:
            await sleep_until(self._begun_at + ROUND_S)
            with CancelScope(shield=True), move_on_after(ANSWER_S):  # cut off, it would lose what it took for others
                await self._round()
        finally:
            self._busy = False
            self._done.set()
            self._done = Event()

    async def _round(self) -> None:
        self._begun_at = current_time()
        asks, self._waiting = sorted(self._waiting, key=lambda ask: ask.place), []
        back, self._back = self._back, Refund()
        try:
            row = await self.database.one(
                "quota/round",
                name=self.bucket.name,
                tokens=[ask.tokens for ask in asks],
                back_requests_s=back.requests_s,
                back_tokens_s=back.tokens_s,
                back_epoch=self.epoch,
                longest_wait_s=self.longest_wait_s,
            )
        except BaseException:
            self._waiting += [ask for ask in asks if not ask.abandoned]
            self._back.requests_s += back.requests_s
            self._back.tokens_s += back.tokens_s
            raise
        self.seen_at = current_time()
        if row["epoch"] != self.epoch:
            self.epoch, self._back = row["epoch"], Refund()  # what came back meanwhile was of the old one
            self.changed.set()
            self.changed = Event()
        for ask, wait_s in zip(asks, row["waits"], strict=True):
            ask.answered, ask.refused_s = True, row["next_s"]
            ask.reservation = None
            if wait_s is not None:
                ask.reservation = Reservation(
                    ask.tokens, wait_s, self.seen_at + wait_s, self.epoch, row["request_s"], row["token_s"]
                )
                if ask.abandoned:
                    self._undo(ask.reservation)
