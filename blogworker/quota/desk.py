"""Where one process asks one bucket: all that its callers want, and give back, goes in one statement.

Whoever finds the desk free does the round for everybody who is waiting; those who come during it are in the next.
Rounds keep a distance, so that a worker costs the database a few statements a second however many slots it has.
"""

from collections import deque
from dataclasses import dataclass, field

from anyio import CancelScope, Event, current_time, sleep_until

from blogworker.db.pool import Runner
from blogworker.quota.bucket import Bucket, Reservation

ROUND_S = 0.05  # the least distance between two rounds


@dataclass(slots=True)
class Ask:
    """One caller's wish and, after a round, its answer."""

    tokens: int
    answered: bool = False
    reservation: Reservation | None = None  # None, once answered: refused
    refused_s: float = 0.0  # when to come again


@dataclass(slots=True)
class Refund:
    calls: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Desk:
    """One bucket, as one process knows it."""

    database: Runner
    bucket: Bucket
    longest_wait_s: float
    epoch: int = 0  # as of the last round
    seen_at: float = -1e9  # when that was
    _waiting: deque[Ask] = field(default_factory=deque)
    _back: Refund = field(default_factory=Refund)
    _busy: bool = False
    _done: Event = field(default_factory=Event)

    async def reserve(self, tokens: int) -> Ask:
        """Take quota for one call, or be refused."""
        ask = Ask(tokens)
        self._waiting.append(ask)
        try:
            while not ask.answered:
                await self._turn()
        except BaseException:
            if ask.reservation is not None:
                self.give_back(calls=1, tokens=tokens)
            elif not ask.answered and ask in self._waiting:
                self._waiting.remove(ask)
            raise
        return ask

    def give_back(self, *, calls: int, tokens: int) -> None:
        """Quota that was not used (negative: was used beyond the estimate); it goes with the next round."""
        self._back.calls += calls
        self._back.tokens += tokens

    async def settle(self) -> None:
        """Return once nothing is left to give back."""
        while self._back.calls or self._back.tokens:
            await self._turn()

    async def look(self, older_than_s: float) -> None:
        """Learn the bucket's epoch, unless it was seen lately."""
        while current_time() - self.seen_at > older_than_s:
            await self._turn()

    async def _turn(self) -> None:
        """Do a round, or wait for the one that is under way."""
        if self._busy:
            await self._done.wait()
            return
        self._busy = True
        try:
            await sleep_until(self.seen_at + ROUND_S)
            with CancelScope(shield=True):  # a round that is cut off would lose what it took for the others
                await self._round()
        finally:
            self._busy = False
            self._done.set()
            self._done = Event()

    async def _round(self) -> None:
        asks, self._waiting = list(self._waiting), deque()
        back, self._back = self._back, Refund()
        try:
            row = await self.database.one(
                "quota/round",
                name=self.bucket.name,
                tokens=[ask.tokens for ask in asks],
                back_calls=back.calls,
                back_tokens=back.tokens,
                longest_wait_s=self.longest_wait_s,
            )
        except BaseException:
            self._waiting.extendleft(reversed(asks))
            self.give_back(calls=back.calls, tokens=back.tokens)
            raise
        self.seen_at = current_time()
        self.epoch = row["epoch"]
        for ask, wait_s in zip(asks, row["waits"], strict=True):
            ask.answered = True
            ask.refused_s = row["next_s"]
            if wait_s is not None:
                ask.reservation = Reservation(ask.tokens, wait_s, self.seen_at + wait_s, self.epoch)
