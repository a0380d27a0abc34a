"""A worker whose jobs do nothing: `python -m blogworker.bench.idle_worker DSN DATABASE NAME CONCURRENCY`.

Says "ready", and begins when it is told to, so that a bench starts all of them at once.
"""

import sys
from collections.abc import Mapping
from functools import partial
from uuid import UUID

import anyio
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

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


async def main(dsn: str, name: str, worker: str, concurrency: str) -> None:
    settings = load(
        {
            "database": {"url": SecretStr(make_conninfo(dsn, dbname=name)), "pool_max": 6},
            "worker": {"name": worker, "concurrency": int(concurrency)},
        }
    )
    async with Database(settings.database) as database:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await anyio.to_thread.run_sync(sys.stdin.readline)
        gate = Gate(Breakers(database), "wait")
        health = DatabaseHealth()
        begin = partial(Incarnation, settings, database, health, nothing, gate=gate)
        await Supervisor(begin, settings.worker, database, health).run(until_empty=True)


if __name__ == "__main__":
    configure(LogSettings(level="error"))
    anyio.run(partial(main, *sys.argv[1:]))
