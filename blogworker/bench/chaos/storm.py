"""Carries out the schedule: finds out who is there, strikes, and writes down what was hit."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from signal import SIGCONT, SIGSTOP
from typing import TypeVar, assert_never

from anyio import create_task_group, current_time, sleep, sleep_until
from anyio.to_thread import run_sync

from blogworker.bench.chaos.crowd import Crowd
from blogworker.bench.chaos.fleet import Fleet
from blogworker.bench.chaos.incompatible import IncompatibleDatabase
from blogworker.bench.chaos.kills import Kill, ask, kill
from blogworker.bench.chaos.link import Link
from blogworker.bench.chaos.plan import Blow, Kind
from blogworker.bench.chaos.poison import Poisoner
from blogworker.db.embedded import EmbeddedPostgres
from blogworker.db.pool import Database

T = TypeVar("T")

EACH_PACKET_S = 0.15


@dataclass(slots=True)
class Tally:
    """What the storm did."""

    blows: Counter[Kind] = field(default_factory=Counter)
    kills: list[Kill] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Aims:
    """What it does it to: the workers and all that they depend on."""

    fleet: Fleet
    wire: Link
    postgres: EmbeddedPostgres
    database: Database
    poisoner: Poisoner
    crowd: Crowd
    incompatible: IncompatibleDatabase


class Storm:
    """One storm over one fleet."""

    def __init__(self, aims: Aims) -> None:
        self._aims = aims
        self._fleet = aims.fleet
        self.tally = Tally()

    async def rage(self, schedule: Sequence[Blow]) -> None:
        """Every blow at its time; ends when the last has passed."""
        began = current_time()
        async with create_task_group() as blows:
            for blow in schedule:
                await sleep_until(began + blow.at_s)
                blows.start_soon(self._strike, blow)

    async def _strike(self, blow: Blow) -> None:
        aims, hit = self._aims, True
        match blow.kind:
            case Kind.KILL:
                hit = await self._kill(blow.aim)
            case Kind.FREEZE:
                hit = await self._freeze(blow)
            case Kind.CRASH:
                await run_sync(partial(aims.postgres.restart, "immediate"))
            case Kind.TERMINATE:
                hit = await self._terminate(blow.aim)
            case Kind.CUT:
                await aims.wire.cut(blow.lasts_s)
            case Kind.DELAY:
                await aims.wire.delay(blow.lasts_s, each_s=EACH_PACKET_S)
            case Kind.HOLE:
                await aims.wire.fall_silent(blow.lasts_s)
            case Kind.POISON:
                await aims.poisoner.insert()
            case Kind.FLOOD:
                await aims.crowd.flood()
            case Kind.BURST:
                await aims.crowd.burst()
            case Kind.REVOKE:
                aims.fleet.expect_refusals(blow.lasts_s)
                await aims.incompatible.revoke(blow.lasts_s)
            case Kind.RENAME:
                aims.fleet.expect_refusals(blow.lasts_s)
                await aims.incompatible.rename(blow.lasts_s)
            case _:
                assert_never(blow.kind)
        self.tally.blows[blow.kind] += hit

    async def _kill(self, aim: float) -> bool:
        name = _pick(self._fleet.running, aim)
        killed = await kill(self._fleet, self._aims.database, name) if name else None
        self.tally.kills += killed or []
        return killed is not None

    async def _freeze(self, blow: Blow) -> bool:
        """The worker wakes as a zombie: its lease has ended, its jobs are others'."""
        name = _pick(self._fleet.running, blow.aim)
        pid = self._fleet.tell(name, SIGSTOP) if name else None
        if name is None or pid is None:
            return False
        await sleep(blow.lasts_s)
        if self._fleet.pid(name) == pid:  # else it was killed meanwhile, and another runs under its name
            self._fleet.tell(name, SIGCONT)
        return True

    async def _terminate(self, aim: float) -> bool:
        pids = [row["pid"] for row in await ask(self._aims.database, "bench/chaos_backends")]
        pid = _pick(pids, aim)
        return pid is not None and bool(await ask(self._aims.database, "bench/chaos_terminate", pid=pid))


def _pick(there: Sequence[T], aim: float) -> T | None:
    return there[int(aim * len(there))] if there else None
