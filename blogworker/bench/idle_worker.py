"""A worker whose jobs do nothing: `python -m blogworker.bench.idle_worker URL NAME CONCURRENCY`.

It exits when the queue is empty.
"""

import sys
from collections.abc import Mapping
from functools import partial
from uuid import UUID

import anyio
from pydantic import SecretStr

from blogworker.bench.program import wait_for_begin
from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.daemon.supervisor import Supervisor
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.job import Claim, Done, Outcome
from blogworker.quota.breaker import Breakers
from blogworker.settings import LogSettings, load
from blogworker.stages.records import Output
from blogworker.telemetry import configure


async def nothing(worker_id: UUID, claim: Claim, saved: Mapping[str, Output]) -> Outcome:
    return Done()


async def main(url: str, name: str, concurrency: str) -> None:
    settings = load(
        {
            "database": {"url": SecretStr(url), "pool_max": 6},
            "worker": {"name": name, "concurrency": int(concurrency)},
        }
    )
    async with Database(settings.database) as database:
        await wait_for_begin()
        gate = Gate(Breakers(database), "wait")
        health = DatabaseHealth()
        incarnation = partial(Incarnation, settings, database, health, nothing, gate=gate)
        await Supervisor(incarnation, settings.worker, database, health).run(until_empty=True)


if __name__ == "__main__":
    configure(LogSettings(level="error"))
    anyio.run(partial(main, *sys.argv[1:]))
