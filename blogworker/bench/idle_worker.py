"""A worker whose jobs do not write posts: `python -m blogworker.bench.idle_worker URL NAME CONCURRENCY PIPELINE`.

    nothing   jobs end at once
    wait      jobs wait for `JOB_S`, as for a provider
    report    jobs print their id and the time of their start, and the worker runs until it is killed

Otherwise it exits when the queue is empty. Then it prints an `IdleReport` as JSON.
"""

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from time import monotonic, process_time
from uuid import UUID

import anyio
from anyio import sleep
from pydantic import SecretStr

from blogworker.bench.program import wait_for_begin
from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.daemon.report import Reporter
from blogworker.daemon.supervisor import Supervisor
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.job import Claim, Done, Outcome
from blogworker.quota.breaker import Breakers
from blogworker.settings import LogSettings, load
from blogworker.stages.records import Output
from blogworker.telemetry import configure
from blogworker.telemetry.progress import Progress

NOTHING, WAIT, REPORT = "nothing", "wait", "report"
JOB_S = 0.2


@dataclass(frozen=True, slots=True)
class IdleReport:
    cpu_s: float  # since `begin`
    busy_s: float  # from the start of the first job to the end of the last; 0 without jobs


@dataclass(frozen=True, slots=True)
class Start:
    """What a job of `report` prints. CLOCK_MONOTONIC is the same for all processes of a machine."""

    job_id: int
    at_s: float


class TimedPipeline:
    def __init__(self, run: Callable[[Claim], Awaitable[None]]) -> None:
        self._run = run
        self._first_s = inf
        self._last_s = 0.0

    async def __call__(
        self, worker_id: UUID, claim: Claim, saved: Mapping[str, Output], enter: object = None
    ) -> Outcome:
        self._first_s = min(self._first_s, monotonic())
        await self._run(claim)
        self._last_s = monotonic()
        return Done()

    @property
    def busy_s(self) -> float:
        return max(0.0, self._last_s - self._first_s)


async def nothing(claim: Claim) -> None:
    pass


async def wait(claim: Claim) -> None:
    await sleep(JOB_S)


async def report(claim: Claim) -> None:
    _print(Start(claim.job_id, monotonic()))


PIPELINES = {NOTHING: nothing, WAIT: wait, REPORT: report}


async def main(url: str, name: str, concurrency: str, pipeline: str) -> None:
    settings = load(
        {
            "database": {"url": SecretStr(url), "pool_max": 6},
            "worker": {"name": name, "concurrency": int(concurrency)},
        }
    )
    async with Database(settings.database, plans_once=True) as database:
        await wait_for_begin()
        cpu_s = process_time()
        timed = TimedPipeline(PIPELINES[pipeline])
        gate = Gate(Breakers(database), "wait")
        health = DatabaseHealth()
        incarnation = partial(Incarnation, settings, database, health, timed, gate=gate)
        await Supervisor(incarnation, settings.worker, database, Reporter(Progress(), health)).run(
            until_empty=pipeline != REPORT
        )
        _print(IdleReport(process_time() - cpu_s, timed.busy_s))


def _print(record: IdleReport | Start) -> None:
    print(json.dumps(asdict(record)), flush=True)  # noqa: T201 - read by the bench


if __name__ == "__main__":
    configure(LogSettings(level="error"))
    anyio.run(partial(main, *sys.argv[1:]))
