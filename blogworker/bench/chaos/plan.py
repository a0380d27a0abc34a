"""What a storm is made of, and when each blow falls: all of it follows from one seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random

LEASE_S = 4.0
OPEN_TRANSACTION_S = 60.0  # the slowest producer keeps its transaction open for so long


@dataclass(frozen=True, slots=True)
class Plan:
    blogs: int
    sites: int
    seconds: float  # of storm
    seed: int
    workers: int = 3
    concurrency: int = 10  # of each worker
    speed: float = 20  # how many times faster than life the vendors' clock runs
    kill_every_s: float = 1.0
    burst_sites: int = 40_000  # that get their first blog in one statement
    calm_s: float = 150.0  # most that the queue may take to become empty after the storm

    @property
    def names(self) -> list[str]:
        return [f"chaos/{number}" for number in range(1, self.workers + 1)]

    @property
    def open_transaction_s(self) -> float:
        return min(OPEN_TRANSACTION_S, self.seconds / 2)


class Kind(StrEnum):
    """What befalls the fleet. The vendors' faults are set once, as probabilities (`vendors.py`)."""

    KILL = "worker killed (SIGKILL)"
    FREEZE = "worker frozen past its lease (SIGSTOP)"
    CRASH = "Postgres restarted (immediate)"
    TERMINATE = "connection terminated by Postgres"
    CUT = "database link cut"
    DELAY = "database link delayed"
    HOLE = "database link silent"
    POISON = "set of poisoned rows inserted"
    FLOOD = "flood of notifications"
    BURST = "burst of new sites"
    REVOKE = "grant taken from the workers for a while"
    RENAME = "function renamed for a while"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often a kind strikes, and how long each blow lasts, in seconds; both drawn evenly from their range."""

    every: tuple[float, float]
    lasts: tuple[float, float] = (0.0, 0.0)


RHYTHMS = {
    Kind.FREEZE: Rhythm((6.0, 14.0), (LEASE_S + 0.5, LEASE_S + 3)),
    Kind.CRASH: Rhythm((14.0, 26.0)),
    Kind.TERMINATE: Rhythm((1.0, 4.0)),
    Kind.CUT: Rhythm((4.0, 10.0), (0.0, 1.5)),
    Kind.DELAY: Rhythm((6.0, 12.0), (1.0, 3.0)),
    Kind.HOLE: Rhythm((12.0, 24.0), (1.0, LEASE_S + 2)),
    Kind.POISON: Rhythm((100.0, 150.0)),
    Kind.FLOOD: Rhythm((40.0, 60.0)),
    Kind.BURST: Rhythm((150.0, 200.0)),
    Kind.REVOKE: Rhythm((35.0, 50.0), (8.0, 12.0)),
    Kind.RENAME: Rhythm((35.0, 50.0), (8.0, 12.0)),
}


@dataclass(frozen=True, slots=True)
class Blow:
    at_s: float  # from the beginning of the storm
    kind: Kind
    lasts_s: float
    aim: float  # 0 to 1: which of those who are there is hit


def schedule(plan: Plan) -> list[Blow]:
    """Every blow of the storm, in order. Each kind has a chance of its own, so that none shifts the others."""
    rhythms = {Kind.KILL: Rhythm((0.5 * plan.kill_every_s, 1.5 * plan.kill_every_s)), **RHYTHMS}
    blows = [blow for kind, rhythm in rhythms.items() for blow in _of(kind, rhythm, plan)]
    return sorted(blows, key=lambda blow: blow.at_s)


def _of(kind: Kind, rhythm: Rhythm, plan: Plan) -> Iterator[Blow]:
    random = Random(f"{plan.seed} {kind.name}")
    shortest, longest = rhythm.every
    at_s = random.uniform(0.5, 1.0) * min(longest, plan.seconds / 2)  # a short storm too has each kind once
    while at_s < plan.seconds:
        yield Blow(at_s, kind, random.uniform(*rhythm.lasts), random.random())
        at_s += random.uniform(shortest, longest)
