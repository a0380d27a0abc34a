"""The settings of a chaos experiment, and its schedule of faults, which follows from the seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random

# Between two claims: a crash, a failover and refused writes in a row, then a missing grant, then a new process.
LONGEST_PAUSE_S = 45.0
LEASE_S = 4.0
OPEN_TRANSACTION_S = 60.0  # how long the slowest producer keeps its transaction open


def worker_names(count: int) -> list[str]:
    return [f"chaos/{number}" for number in range(1, count + 1)]


@dataclass(frozen=True, slots=True)
class Plan:
    jobs: int
    sites: int
    seconds: float  # how long faults are injected
    seed: int
    workers: int = 3
    concurrency: int = 10  # slots of each worker
    speed: float = 20  # how many times faster the clock of the providers runs
    kill_every_s: float = 1.0
    fail_over_every_s: float = 40.0
    burst_sites: int = 40_000  # sites that get their first job in one statement
    longest_pause_s: float = LONGEST_PAUSE_S
    recovery_s: float = 150.0  # time limit for the queue to become empty after the faults

    @property
    def names(self) -> list[str]:
        return worker_names(self.workers)

    @property
    def open_transaction_s(self) -> float:
        return min(OPEN_TRANSACTION_S, self.seconds / 2)


class Kind(StrEnum):
    """The scheduled faults. Faults of the providers have probabilities instead (`simulator.py`)."""

    KILL = "worker killed (SIGKILL)"
    FREEZE = "worker frozen past its lease (SIGSTOP)"
    CRASH = "Postgres restarted (immediate)"
    GO_AWAY = "Postgres away for longer than the leases"
    FAIL_OVER = "standby promoted (synchronous)"
    TERMINATE = "connection terminated by Postgres"
    TERMINATE_ALL = "all sessions terminated, four times a second"
    REFUSE_WRITES = "Postgres read-only for a while"
    STOP = "worker stopped (SIGTERM) and started again"
    RELOAD = "settings reloaded (SIGHUP)"
    CUT = "database link cut"
    DELAY = "database link delayed"
    STALL = "database link silent"
    POISON = "set of poisoned rows inserted"
    FLOOD = "flood of notifications"
    BURST = "burst of new sites"
    REVOKE = "grant taken from the workers for a while"
    RENAME = "function renamed for a while"


@dataclass(frozen=True, slots=True)
class Timing:
    """How often a fault occurs and how long it lasts: ranges in seconds with uniform distribution."""

    interval_s: tuple[float, float]
    duration_s: tuple[float, float] = (0.0, 0.0)


TIMINGS = {
    Kind.FREEZE: Timing((6.0, 14.0), (LEASE_S + 0.5, LEASE_S + 3)),
    Kind.CRASH: Timing((14.0, 26.0)),
    Kind.GO_AWAY: Timing((100.0, 150.0), (LEASE_S + 1, LEASE_S + 5)),
    Kind.TERMINATE: Timing((1.0, 4.0)),
    Kind.TERMINATE_ALL: Timing((20.0, 40.0), (1.0, 3.0)),
    Kind.REFUSE_WRITES: Timing((25.0, 45.0), (1.0, 3.0)),
    Kind.STOP: Timing((8.0, 16.0)),
    Kind.RELOAD: Timing((5.0, 10.0)),
    Kind.CUT: Timing((4.0, 10.0), (0.0, 1.5)),
    Kind.DELAY: Timing((6.0, 12.0), (1.0, 3.0)),
    Kind.STALL: Timing((12.0, 24.0), (1.0, LEASE_S + 2)),
    Kind.POISON: Timing((100.0, 150.0)),
    Kind.FLOOD: Timing((40.0, 60.0)),
    Kind.BURST: Timing((150.0, 200.0)),
    Kind.REVOKE: Timing((35.0, 50.0), (8.0, 12.0)),
    Kind.RENAME: Timing((35.0, 50.0), (8.0, 12.0)),
}


@dataclass(frozen=True, slots=True)
class Fault:
    at_s: float  # since the start of the schedule
    kind: Kind
    duration_s: float
    target: float  # 0 to 1: selects one of the workers or connections that exist then


def schedule(plan: Plan) -> list[Fault]:
    """Return all faults in order of time. Each kind has its own random numbers, so kinds do not affect each other."""
    timings = {
        Kind.KILL: Timing((0.5 * plan.kill_every_s, 1.5 * plan.kill_every_s)),
        Kind.FAIL_OVER: Timing((0.75 * plan.fail_over_every_s, 1.25 * plan.fail_over_every_s)),
        **TIMINGS,
    }
    faults = [fault for kind, timing in timings.items() for fault in _of_kind(kind, timing, plan)]
    return sorted(faults, key=lambda fault: fault.at_s)


def _of_kind(kind: Kind, timing: Timing, plan: Plan) -> Iterator[Fault]:
    random = Random(f"{plan.seed} {kind.name}")
    shortest, longest = timing.interval_s
    at_s = random.uniform(0.5, 1.0) * min(longest, plan.seconds / 2)  # a short schedule also has every kind
    while at_s < plan.seconds:
        yield Fault(at_s, kind, random.uniform(*timing.duration_s), random.random())
        at_s += random.uniform(shortest, longest)
