"""How soon the jobs of a killed worker run again: taken over by another worker, or by its own next process."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from statistics import median
from tempfile import TemporaryDirectory

from anyio import CancelScope, current_time, fail_after, sleep
from psycopg.conninfo import make_conninfo

from blogworker.bench.chaos.fleet import Fleet
from blogworker.bench.chaos.vendors import Vendors, vendors
from blogworker.bench.scratch import database, server
from blogworker.db.pool import Database, Row

VICTIM, OTHER = "recovery/victim", "recovery/other"
LOOK_S = 0.01
WITHIN_S = 60.0
NEVER_S = 600.0  # how long the vendors take to answer: no job ends by itself


@dataclass(frozen=True, slots=True)
class Figure:
    case: str
    promised_s: float
    rounds: tuple["Round", ...]

    @property
    def median_s(self) -> float:
        return median(turn.seconds for turn in self.rounds)

    @property
    def slowest_s(self) -> float:
        return max(turn.seconds for turn in self.rounds)

    @property
    def registered_s(self) -> float:
        return median(turn.registered_s for turn in self.rounds)


@dataclass(frozen=True, slots=True)
class Round:
    seconds: float  # from SIGKILL until the last of its jobs was claimed again
    registered_s: float  # of them, since the worker that claimed them had its lease: without the start of its process


async def measure(*, rounds: int, jobs: int, progress: Callable[[str], None]) -> list[Figure]:
    """Both cases, with the default lease of 15 s; the second counts the start of the new process too."""
    rescued, restarted = [], []
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(server())
        logs = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-recovery-")))
        simulator = await stack.enter_async_context(vendors(logs, speed=1, seed=1))
        await simulator.trouble([{"kind": "latency", "vendor": "openai", "delay_s": NEVER_S}])
        for turn in range(rounds):
            rescued.append(await _round(dsn, simulator, logs, jobs=jobs, restart=False))
            restarted.append(await _round(dsn, simulator, logs, jobs=jobs, restart=True))
            progress(
                f"round {turn + 1}: {rescued[-1].seconds:.1f} s by another, {restarted[-1].seconds:.2f} s by itself"
            )
    return [
        Figure("nobody restarts it: another worker rescues", 20, tuple(rescued)),
        Figure("started again at once under its name", 2, tuple(restarted)),
    ]


async def _round(dsn: str, simulator: Vendors, logs: Path, *, jobs: int, restart: bool) -> Round:
    async with database(dsn) as opened:
        url = make_conninfo(dsn, dbname=(await opened.one("bench/connected_to"))["name"])
        environment = {"DATABASE_URL": url, "BLOGWORKER_DRAIN_TIMEOUT": "0", "BLOGWORKER_LOG_FORMAT": "json"}
        fleet = Fleet({**simulator.environment, **environment}, logs)
        try:
            await fleet.start(VICTIM)
            await opened.execute("bench/insert_by_hand", instance_id="recovery", jobs=jobs)
            await _until(opened, lambda state: state["running"] == jobs)
            if not restart:
                await fleet.start(OTHER)
                await _until(opened, lambda state: state["workers"] == len((VICTIM, OTHER)))
            fleet.tell(VICTIM, SIGKILL)
            killed_at = current_time()
            if restart:
                await fleet.start(VICTIM)
            last = await _until(opened, lambda state: state["again"] == jobs)
            return Round(current_time() - killed_at, last["registered_s"])
        finally:
            with CancelScope(shield=True):
                await fleet.stop()


async def _until(opened: Database, fact: Callable[[Row], bool]) -> Row:
    with fail_after(WITHIN_S):
        while not fact(state := await opened.one("bench/recovery_state")):
            await sleep(LOOK_S)
    return state
