"""A queue of a million jobs is migrated while producers and workers use it."""

from time import monotonic
from uuid import UUID

import pytest
from anyio import create_task_group, sleep
from structlog.testing import capture_logs

from blogworker.bench.scratch import register, settle
from blogworker.db import migrate as room
from blogworker.db import migration_progress
from blogworker.db.migrate import migrate
from blogworker.db.pool import Database, connect
from blogworker.queue.claim import claim
from blogworker.queue.job import Done

from .next_release import next_migrations

pytestmark = [pytest.mark.anyio, pytest.mark.proof, pytest.mark.timeout(300)]

JOBS, BACKFILLED = 1_000_000, 200_000
FILL = f"""
    set session_replication_role = replica;
    insert into sites (instance_id) select 's' || n from generate_series(1, 1000) as n;
    insert into blog_generations (instance_id, source_type, source_id, status, line, run_at)
    select
        's' || (n % 1000 + 1), 'keyword', 'k' || n, case when n <= {BACKFILLED} then 'PENDING' else 'SCHEDULED' end,
        case when n <= {BACKFILLED} then 0 end, case when n <= {BACKFILLED} then now() else '2100-01-01Z' end
    from generate_series(1, {JOBS}) as n;
    update sites set ready = true, ready_at = now();
    set session_replication_role = origin;
"""
LONGEST_S = 2.0
PRODUCE = "insert into blog_generations (instance_id, source_type, source_id) values ('new', 'keyword', 'k')"


async def test_nobody_waits_for_two_seconds(database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch):
    """The rules of sql/README.md, on the largest queue that they promise."""
    waits: dict[str, list[float]] = {"produce": [], "claim": [], "settle": []}
    worker_id = await register(database)
    async with await connect(database_url, timeout_s=5) as owner:
        await owner.execute(FILL.encode())
        await owner.execute(b"analyze blog_generations")
    release = next_migrations()
    monkeypatch.setattr(room, "migrations", lambda: release)
    monkeypatch.setattr(migration_progress, "REPORT_S", 0.05)

    connection, watch, producer = [await connect(database_url, timeout_s=5) for _ in range(3)]
    async with connection, watch, producer, create_task_group() as tasks:

        async def produce() -> None:
            await producer.execute("set blogworker.queue_size_limit = 1000000")
            while True:
                started = monotonic()
                await producer.execute(PRODUCE.encode())
                waits["produce"].append(monotonic() - started)
                await sleep(0.01)

        tasks.start_soon(produce)
        tasks.start_soon(_work, database, worker_id, waits)
        with capture_logs() as logs:
            applied = await migrate(connection, watch=watch)
        tasks.cancel_scope.cancel()

    progress = [entry["progress"] for entry in logs if entry["event"] == "migration_progressed"]
    assert [m.name for m in applied] == ["language_of_jobs", "languages_of_old_jobs"]
    longest = {name: (len(times), round(max(times), 3)) for name, times in waits.items()}
    assert all(count > 5 and seconds < LONGEST_S for count, seconds in longest.values()), longest
    assert any("have a language" in text for text in progress)
    async with database.connection() as check:
        left = await check.execute(
            f"select count(*) as jobs from blog_generations where language is null and id <= {BACKFILLED}".encode()
        )
        assert await left.fetchone() == {"jobs": 0}


async def _work(database: Database, worker_id: UUID, waits: dict[str, list[float]]) -> None:
    while True:
        started = monotonic()
        found = await claim(database, worker_id, slots=20, site_window=20)
        waits["claim"].append(monotonic() - started)
        started = monotonic()
        await settle(database, worker_id, [(taken, Done()) for taken in found.claims])
        waits["settle"].append(monotonic() - started)
        await sleep(0.02)
