"""A queue and its workers in virtual time, whose number the program's own SQL and `decide` choose each minute."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from blogworker.ops.scale import UP_EVERY_S, WINDOW_S, Bounds, Decision, Memory, ScaleFacts, decide

BOUNDS = Bounds(1, 8)
SLOTS = 50  # of a worker
MINUTE_S, STEP_S = 60.0, 5.0
Need = Callable[..., tuple[int, str | None]]


@dataclass(frozen=True, slots=True)
class Moment:
    """What a minute brings. arrivals: jobs; quota: jobs that it lets start, None: any; down: the provider is away."""

    arrivals: float
    quota: float | None = None
    down: bool = False


@dataclass
class Remembered:
    """The decisions of one host, as the table keeps them and queries/ops/scale_memory reads them."""

    decided: deque[tuple[float, int]] = field(default_factory=deque)
    changed_at: float | None = None
    changes: list[tuple[float, int]] = field(default_factory=list)

    def at(self, now: float) -> Memory:
        while self.decided and self.decided[0][0] <= now - WINDOW_S:
            self.decided.popleft()
        return Memory(
            known_s=now - self.decided[0][0] if self.decided else None,
            most_wanted=max((wanted for _, wanted in self.decided), default=None),
            changed_s=None if self.changed_at is None else now - self.changed_at,
        )

    def add(self, now: float, decision: Decision) -> None:
        self.decided.append((now, decision.wanted))
        if decision.target != decision.workers:
            self.changed_at = now
            self.changes.append((now, decision.target - decision.workers))


@dataclass
class World:
    """A queue and workers: a job takes a minute or so; the quota lets so many start in a minute, with no burst."""

    need: Need
    at: Callable[[float], Moment]
    workers: int = 1
    now: float = 0.0
    pending: float = 0.0
    allowance: float = 0.0
    running: list[float] = field(default_factory=list)  # when each job ends
    minutes: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=6))  # ended, pending
    ended: int = 0
    waited_since: float | None = None
    memory: Remembered = field(default_factory=Remembered)
    log: list[tuple[float, ScaleFacts, Decision]] = field(default_factory=list)
    random: Random = field(default_factory=lambda: Random(1))

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self._step()
            if self.now % MINUTE_S == 0:
                self.minutes.append((self.ended, self.pending))
                self.ended = 0
                self._decide()

    def _step(self) -> None:
        self.now += STEP_S
        moment = self.at(self.now)
        self.pending += moment.arrivals * STEP_S / 60
        before = len(self.running)
        self.running = [end for end in self.running if end > self.now]
        self.ended += before - len(self.running)
        starts = 0 if moment.down else min(int(self.pending), max(0, self.workers * SLOTS - len(self.running)))
        if moment.quota is not None:
            self.allowance = min(self.allowance + moment.quota * STEP_S / 60, moment.quota / 12 + 1)
            starts = min(starts, int(self.allowance))
            self.allowance -= starts
        self.pending -= starts
        self.waited_since = (
            None if self.pending < 1 else self.now if starts or self.waited_since is None else self.waited_since
        )
        self.running += [self.now + self.random.uniform(40, 80) for _ in range(starts)]

    def facts(self) -> ScaleFacts:
        moment = self.at(self.now)
        claimable = 0 if moment.down else min(10_000, int(self.pending))
        ended = sum(count for count, _ in list(self.minutes)[1:])
        grown = self.minutes[-1][1] - self.minutes[0][1]
        arriving = 0.0 if moment.down or len(self.minutes) < 2 else max(0.0, (ended + grown) / (len(self.minutes) - 1))
        wait = None if self.waited_since is None else self.now - self.waited_since
        rate = sum(count for count, _ in self.minutes) / len(self.minutes)
        slots, busy = self.workers * SLOTS, len(self.running)
        wanted, limit = self.need(self.workers, slots, busy, claimable, arriving, rate, 60.0, moment.quota, wait)
        stopped = "the circuit breaker of openai is open" if moment.down else None
        return ScaleFacts(
            self.workers,
            slots,
            busy,
            int(self.pending),
            claimable,
            wait,
            arriving,
            rate,
            60.0,
            moment.quota,
            stopped,
            limit,
            wanted,
        )

    def _decide(self) -> None:
        facts = self.facts()
        decision = decide(facts, self.memory.at(self.now), BOUNDS, self.workers)
        self.memory.add(self.now, decision)
        self.log.append((self.now, facts, decision))
        self.workers = decision.target

    def when(self, condition: Callable[[Decision], bool], *, after: float = 0.0) -> float:
        """Minutes from a time to the first decision like this."""
        return next((now - after) / 60 for now, _, decision in self.log if now >= after and condition(decision))

    def check(self) -> None:
        """What holds whatever the load is."""
        for _, facts, decision in self.log:
            assert BOUNDS.least <= decision.target <= BOUNDS.most
            if decision.target > decision.workers:
                assert facts.stopped_by is None
                assert (
                    facts.busy >= 0.9 * facts.slots or not facts.claimable
                )  # the slots are the limit, or soon will be
                if facts.quota_a_minute is not None:
                    assert (
                        decision.target <= math.ceil(facts.quota_a_minute * 1.25 / SLOTS)
                        or facts.busy > facts.quota_a_minute
                    )
        steady(self.memory.changes)


def steady(changes: list[tuple[float, int]]) -> None:
    """In no hour more than 12 steps down, nor more than 12 turns from up to down or back."""
    downs = [now for now, by in changes if by < 0]
    turns = [now for (_, before), (now, by) in pairwise(changes) if (before > 0) != (by > 0)]
    for times in (downs, turns):
        assert all(sum(start <= now < start + 3600 for now in times) <= 12 for start in times)
    moments = [now for now, _ in changes]
    assert all(after - before >= UP_EVERY_S for before, after in pairwise(moments))
