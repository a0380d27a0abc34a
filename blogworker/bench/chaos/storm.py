"""Carries out the schedule: finds out who is there, strikes, and writes down what was hit."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import TypeVar, assert_never

import psycopg
from anyio import create_task_group, current_time, move_on_after, sleep, sleep_until
from anyio.to_thread import run_sync
from psycopg_pool import PoolTimeout

from blogworker.bench.chaos.fleet import Fleet
from blogworker.bench.chaos.link import Link
from blogworker.bench.chaos.plan import Blow, Kind
from blogworker.db.embedded import EmbeddedPostgres
from blogworker.db.pool import Database, Row

T = TypeVar("T")

ASK_S = 1.0  # the database may be down itself
EACH_PACKET_S = 0.15


@dataclass(frozen=True, slots=True)
class Kill:
    """What a worker held when it was killed."""

    name: str
    at: datetime  # by the database's clock
    held: frozenset[tuple[int, int]]  # jobs and attempts


@dataclass(slots=True)
class Tally:
    """What the storm did."""

    blows: Counter[Kind] = field(default_factory=Counter)
    kills: list[Kill] = field(default_factory=list)


class Storm:
    """One storm over one fleet."""

    def __init__(self, fleet: Fleet, wire: Link, postgres: EmbeddedPostgres, database: Database) -> None:
        self._fleet = fleet
        self._wire = wire
        self._postgres = postgres
        self._database = database
        self.tally = Tally()

    async def rage(self, schedule: Sequence[Blow]) -> None:
        """Every blow at its time; ends when the last has passed."""
        began = current_time()
        async with create_task_group() as blows:
            for blow in schedule:
                await sleep_until(began + blow.at_s)
                blows.start_soon(self._strike, blow)

    async def _strike(self, blow: Blow) -> None:
        match blow.kind:
            case Kind.KILL:
                hit = await self._kill(blow.aim)
            case Kind.FREEZE:
                hit = await self._freeze(blow)
            case Kind.CRASH:
                await run_sync(partial(self._postgres.restart, "immediate"))
                hit = True
            case Kind.TERMINATE:
                hit = await self._terminate(blow.aim)
            case Kind.CUT:
                hit = True
                await self._wire.cut(blow.lasts_s)
            case Kind.DELAY:
                hit = True
                await self._wire.delay(blow.lasts_s, each_s=EACH_PACKET_S)
            case Kind.HOLE:
                hit = True
                await self._wire.fall_silent(blow.lasts_s)
            case _:
                assert_never(blow.kind)
        self.tally.blows[blow.kind] += hit

    async def _kill(self, aim: float) -> bool:
        name = _pick(self._fleet.running, aim)
        if name is None or self._fleet.tell(name, SIGKILL) is None:
            return False
        # Asked after the blow: the dead hold their jobs until a lease ends, the living settle them any moment.
        rows = await self._ask("bench/chaos_held", name=name)
        if rows:
            held = frozenset((row["job_id"], row["attempt"]) for row in rows)
            self.tally.kills.append(Kill(name, rows[0]["at"], held))
        return True

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
        pid = _pick([row["pid"] for row in await self._ask("bench/chaos_backends")], aim)
        return pid is not None and bool(await self._ask("bench/chaos_terminate", pid=pid))

    async def _ask(self, question: str, /, **parameters: object) -> list[Row]:
        with move_on_after(ASK_S):
            try:
                return await self._database.rows(question, **parameters)
            except (psycopg.OperationalError, PoolTimeout):
                pass
        return []


def _pick(there: Sequence[T], aim: float) -> T | None:
    return there[int(aim * len(there))] if there else None
