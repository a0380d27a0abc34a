"""What a run costs between its first DONE job and 97 % of its jobs, so that the start and the end do not count."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from anyio import fail_after, sleep

from blogworker.bench.environment.counting import CountingRunner
from blogworker.bench.load import cpu
from blogworker.bench.load.memory import peak_mb
from blogworker.db.pool import Database, Row

POLL_S = 0.2
FIRST_POLL_S = 0.02
MEASURED = 0.97  # of the jobs


@dataclass(frozen=True, slots=True)
class Reading:
    """Totals so far."""

    at_s: float
    done: int
    worker_cpu_s: float
    postgres_cpu_s: float  # this and the next: without what the meter itself uses
    statements: int


@dataclass(frozen=True, slots=True)
class Usage:
    """The measured part of a run, and the state of all jobs at its end."""

    jobs: int
    seconds: float
    worker_cpu_s: float  # of all workers
    postgres_cpu_s: float  # of the whole server, without the backends of the meter
    statements: int
    connections: int  # the most at any time
    peak_mb: float  # of the largest worker
    done: int
    twice: int


class Meter:
    """Reads the costs of worker processes and of their database. `state` names a statement that gives done, ended and
    twice. `require_running` raises if a worker has exited."""

    def __init__(
        self, database: Database, state: str, pids: Sequence[int], *, require_running: Callable[[], None]
    ) -> None:
        self._database = CountingRunner(database)
        self._state = state
        self._pids = pids
        self._require_running = require_running
        self._connections = 0
        self._peak_mb = 0.0

    async def measure(self, jobs: int, *, within_s: float) -> Usage:
        """Wait until so many jobs have ended. Raises TimeoutError."""
        with fail_after(within_s):
            await self._until(lambda state: state["done"] > 0, poll_s=FIRST_POLL_S)
            first = await self._read()
            await self._until(lambda state: state["ended"] >= min(MEASURED * jobs, jobs - 1), poll_s=POLL_S)
            last = await self._read()
            end = await self._until(lambda state: state["ended"] >= jobs, poll_s=POLL_S)
        return Usage(
            jobs=max(1, last.done - first.done),
            seconds=last.at_s - first.at_s,
            worker_cpu_s=last.worker_cpu_s - first.worker_cpu_s,
            postgres_cpu_s=last.postgres_cpu_s - first.postgres_cpu_s,
            statements=last.statements - first.statements,
            connections=self._connections,
            peak_mb=self._peak_mb,
            done=end["done"],
            twice=end["twice"],
        )

    async def _until(self, condition: Callable[[Row], bool], *, poll_s: float) -> Row:
        while not condition(state := await self._database.one(self._state)):
            self._require_running()
            self._connections = max(self._connections, (await self._database.one("bench/connections"))["connections"])
            self._peak_mb = max([self._peak_mb, *(peak_mb(pid) for pid in self._pids)])
            await sleep(poll_s)
        return state

    async def _read(self) -> Reading:
        connections = await self._database.one("bench/connections")
        statements = (await self._database.one("bench/statements"))["statements"]
        done = (await self._database.one(self._state))["done"]
        return Reading(
            at_s=perf_counter(),
            done=done,
            worker_cpu_s=cpu.used_s(self._pids),
            postgres_cpu_s=cpu.server_s(connections["backend_pid"]) - cpu.used_s(connections["own_pids"]),
            statements=statements - self._database.statements,
        )
