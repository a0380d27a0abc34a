"""A worker whose database is away for longer than its lease."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pytest
from anyio import create_task_group, current_time, fail_after, sleep, to_thread

from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.db.embedded import EmbeddedPostgres
from blogworker.db.migrate import migrate
from blogworker.db.pool import Database, connect
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.job import Claim, Done, Outcome
from blogworker.queue.rescue import FormerLease
from blogworker.quota.breaker import Breakers
from blogworker.settings import load
from blogworker.telemetry.progress import Progress

pytestmark = pytest.mark.anyio

LEASE_S = 3.0
STALL_S = 8.0  # longer than a wait for a connection, and the pause after it


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    with TemporaryDirectory(prefix="blogworker-test-") as folder:
        server = EmbeddedPostgres(Path(folder) / "pg", durable=False)
        try:
            yield server
        finally:
            server.remove()


async def pipeline(worker_id: UUID, claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
    return Done()


async def test_it_does_not_stall_and_goes_on(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog would restart every worker of the fleet: each starts its imports while Postgres recovers."""
    monkeypatch.setattr("blogworker.telemetry.progress.STALL_S", STALL_S)
    dsn = await to_thread.run_sync(server.start)
    async with await connect(dsn, timeout_s=5) as connection:
        await migrate(connection)
    settings = load({"database": {"url": dsn}, "worker": {"name": "w", "lease": LEASE_S}})
    progress, health, leases, claims, stalled = Progress(), DatabaseHealth(), 0, 0, set[str]()

    def note_claim() -> None:
        nonlocal claims
        claims += 1

    async def work(database: Database) -> None:
        nonlocal leases
        former: FormerLease | None = None
        while True:
            incarnation = Incarnation(
                settings,
                database,
                health,
                pipeline,
                gate=Gate(Breakers(database), "wait"),
                former=former,
                progress=progress,
                on_claim=note_claim,
            )
            assert not await incarnation.run(until_empty=False)
            leases += 1
            former = incarnation.former

    with fail_after(60):
        async with Database(settings.database) as database, create_task_group() as tasks:
            tasks.start_soon(work, database)
            while not claims:
                await sleep(0.05)
            await to_thread.run_sync(server.stop)
            over_at = current_time() + LEASE_S + 2 * STALL_S
            while current_time() < over_at:
                stalled.update(progress.stalled())
                await sleep(0.1)
            before = claims
            await to_thread.run_sync(server.start)
            while claims == before:
                stalled.update(progress.stalled())
                await sleep(0.05)
            tasks.cancel_scope.cancel()

    assert (stalled, leases) == (set(), 1)
