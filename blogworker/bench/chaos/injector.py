"""Injects the faults of a schedule, and counts those that had a target."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from signal import SIGCONT, SIGHUP, SIGSTOP, SIGTERM, Signals
from typing import TypeVar, assert_never

from anyio import create_task_group, current_time, sleep, sleep_until

from blogworker.bench.chaos.incompatible import IncompatibleDatabase
from blogworker.bench.chaos.kills import Kill, kill, rows_if_available
from blogworker.bench.chaos.plan import Fault, Kind
from blogworker.bench.chaos.poison import Poisoner
from blogworker.bench.chaos.servers import Servers
from blogworker.bench.chaos.spikes import LoadSpikes
from blogworker.bench.environment.fleet import Fleet
from blogworker.db.pool import Database

T = TypeVar("T")

PACKET_DELAY_S = 0.15


@dataclass(slots=True)
class Injected:
    """The faults that had an effect."""

    faults: Counter[Kind] = field(default_factory=Counter)
    kills: list[Kill] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Targets:
    """The workers and everything that they depend on."""

    fleet: Fleet
    servers: Servers
    database: Database
    poisoner: Poisoner
    spikes: LoadSpikes
    incompatible: IncompatibleDatabase


class FaultInjector:
    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._fleet = targets.fleet
        self.injected = Injected()

    async def run(self, schedule: Sequence[Fault]) -> None:
        """Inject each fault at its time. Return when the last one has ended."""
        started = current_time()
        async with create_task_group() as faults:
            for fault in schedule:
                await sleep_until(started + fault.at_s)
                faults.start_soon(self._inject, fault)

    async def _inject(self, fault: Fault) -> None:
        targets, hit = self._targets, True
        match fault.kind:
            case Kind.KILL:
                hit = await self._kill(fault)
            case Kind.FREEZE:
                hit = await self._freeze(fault)
            case Kind.CRASH:
                await targets.servers.crash()
            case Kind.GO_AWAY:
                await targets.servers.go_away(fault.duration_s)
            case Kind.FAIL_OVER:
                await targets.servers.fail_over()
            case Kind.TERMINATE:
                hit = await self._terminate(fault)
            case Kind.TERMINATE_ALL:
                await targets.servers.terminate_all(fault.duration_s)
            case Kind.REFUSE_WRITES:
                await targets.servers.refuse_writes(fault.duration_s)
            case Kind.STOP:
                hit = self._signal(fault, SIGTERM)
            case Kind.RELOAD:
                hit = self._signal(fault, SIGHUP)
            case Kind.CUT:
                await targets.servers.proxy.cut(fault.duration_s)
            case Kind.DELAY:
                await targets.servers.proxy.delay(fault.duration_s, each_s=PACKET_DELAY_S)
            case Kind.STALL:
                await targets.servers.proxy.stall(fault.duration_s)
            case Kind.POISON:
                await targets.poisoner.insert()
            case Kind.FLOOD:
                await targets.spikes.flood()
            case Kind.BURST:
                await targets.spikes.burst()
            case Kind.REVOKE:
                targets.fleet.expect_incompatible(fault.duration_s)
                await targets.incompatible.revoke(fault.duration_s)
            case Kind.RENAME:
                targets.fleet.expect_incompatible(fault.duration_s)
                await targets.incompatible.rename(fault.duration_s)
            case _:
                assert_never(fault.kind)
        self.injected.faults[fault.kind] += hit

    async def _kill(self, fault: Fault) -> bool:
        name = _select(self._fleet.running, fault)
        killed = await kill(self._fleet, self._targets.database, name) if name else None
        self.injected.kills += killed or []
        return killed is not None

    def _signal(self, fault: Fault, signal: Signals) -> bool:
        name = _select([name for name in self._fleet.running if self._fleet.handles(name, signal)], fault)
        return name is not None and self._fleet.send_signal(name, signal) is not None

    async def _freeze(self, fault: Fault) -> bool:
        """Stop a worker until its lease has ended, so that other workers have its jobs when it continues."""
        name = _select(self._fleet.running, fault)
        pid = self._fleet.send_signal(name, SIGSTOP) if name else None
        if name is None or pid is None:
            return False
        await sleep(fault.duration_s)
        if self._fleet.pid(name) == pid:  # else it was killed meanwhile, and its name belongs to a new process
            self._fleet.send_signal(name, SIGCONT)
        return True

    async def _terminate(self, fault: Fault) -> bool:
        database = self._targets.database
        pid = _select([row["pid"] for row in await rows_if_available(database, "bench/chaos_backends")], fault)
        return pid is not None and bool(await rows_if_available(database, "bench/chaos_terminate", pid=pid))


def _select(candidates: Sequence[T], fault: Fault) -> T | None:
    return candidates[int(fault.target * len(candidates))] if candidates else None
