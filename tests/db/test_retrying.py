"""Statements are retried while the database is unreachable, which is logged once."""

from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from anyio import create_task_group, fail_after, sleep
from psycopg.types.json import Json
from psycopg_pool import PoolTimeout
from structlog.testing import capture_logs

from blogworker.db.embedded import EmbeddedPostgres
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth, RetryingDatabase, is_transient
from blogworker.queue.claim import claim
from blogworker.queue.promote import promote
from blogworker.settings import DatabaseSettings

pytestmark = pytest.mark.anyio

TROUBLES = [
    "disk_full",
    "too_many_connections",
    "query_canceled",
    "serialization_failure",
    "deadlock_detected",
    "admin_shutdown",
    "lock_not_available",
    "read_only_sql_transaction",
]


LASTING = [
    "54000",  # more than Postgres can hold
    "54001",  # a statement too complex
    "22P02",  # data that cannot be read
    "23514",  # a check that refuses
    "28000",  # not let in
    "3D000",  # no such database
    "42501",  # no privilege
    "42P01",  # no such table
    "57P04",  # the database was dropped
]


@pytest.mark.parametrize("state", LASTING)
def test_permanent_errors_are_not_retried(state):
    """Reported as "the database went away", they would be searched for in the wrong place."""
    assert not is_transient(psycopg.errors.lookup(state)())


@pytest.mark.parametrize("name", TROUBLES)
def test_temporary_errors_are_retried(name):
    assert is_transient(getattr(psycopg.errors, "".join(word.title() for word in name.split("_")))())


@pytest.mark.parametrize("error", [psycopg.OperationalError(), psycopg.InterfaceError(), TimeoutError(), PoolTimeout()])
def test_connection_errors_are_retried(error):
    assert is_transient(error)


@pytest.fixture
async def held_job(database: Database, worker_id: UUID) -> int:
    """A job held by `worker_id`."""
    await database.execute(
        "queue/register_worker",
        name="test",
        worker_id=worker_id,
        host="here",
        pid=1,
        version="0",
        concurrency=1,
        lease_s=600,
    )
    await database.execute("bench/enqueue_one", instance_id="shop")
    await database.execute("queue/admit_sites", batch=50, only=None, skipped=[])
    return (await claim(database, worker_id, slots=1, site_window=1)).claims[0].job_id


async def refuse_checkpoints(database: Database, trouble: str, *, times: int) -> None:
    async with database.connection() as connection:
        await connection.execute("create sequence tries")
        await connection.execute(
            "create function in_trouble() returns trigger language plpgsql as $$ begin "
            f"if nextval('tries') <= {times} then raise exception 'trouble' using errcode = '{trouble}'; end if; "
            "return new; end $$".encode()
        )
        await connection.execute(
            "create trigger in_trouble before insert on generation_stages for each row execute function in_trouble()"
        )


def checkpoint(worker_id: UUID, job_id: int) -> dict[str, Any]:
    return {
        "worker_id": worker_id,
        "job_id": job_id,
        "attempt": 1,
        "stage": "content.draft",
        "output": Json({"text": "paid for"}),
        "next_stage": None,
        "provider": "openai",
        "model": "m",
        "prompt_version": None,
        "wasted": False,
        "replaces": [],
        "tokens_in": 10,
        "tokens_cached": 0,
        "tokens_out": 20,
        "cost_usd": 0.5,
        "duration_s": 1.0,
        "made_of": None,
    }


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_paid_checkpoint_survives_temporary_errors(
    database: Database, worker_id: UUID, held_job: int, trouble: str
) -> None:
    """Dropping it would buy the same text again."""
    await refuse_checkpoints(database, trouble, times=3)
    patient = RetryingDatabase(database, DatabaseHealth())

    with capture_logs() as logs, fail_after(20):
        saved = await patient.rows("stages/save_checkpoint", **checkpoint(worker_id, held_job))

    assert [row["job_id"] for row in saved] == [held_job]
    assert [entry["event"] for entry in logs] == ["database_lost", "database_recovered"], (
        "once per change, however long"
    )


async def test_a_read_only_database_does_not_count_as_recovered(
    database: Database, worker_id: UUID, held_job: int
) -> None:
    """After a failover to a standby the log would say lost and back every second, and one believes the last line."""
    await refuse_checkpoints(database, "read_only_sql_transaction", times=3)
    patient = RetryingDatabase(database, DatabaseHealth())

    async def look() -> None:
        while True:
            await patient.execute("queue/ping")

    with capture_logs() as logs, fail_after(20):
        async with create_task_group() as tasks:
            tasks.start_soon(look)
            await patient.rows("stages/save_checkpoint", **checkpoint(worker_id, held_job))
            tasks.cancel_scope.cancel()

    assert [entry["event"] for entry in logs] == ["database_lost", "database_recovered"]


async def test_a_checkpoint_saved_twice_is_charged_once(database: Database, worker_id: UUID, held_job: int) -> None:
    """The first may have been committed although its answer was lost."""
    for _ in range(2):
        await database.execute("stages/save_checkpoint", **checkpoint(worker_id, held_job))

    async with database.connection() as connection:
        usage = await (await connection.execute("select requests, tokens_out, cost_usd from provider_usage")).fetchall()
        stages = await (await connection.execute("select tokens_out, cost_usd from generation_stages")).fetchall()
    assert [(row["requests"], row["tokens_out"], float(row["cost_usd"])) for row in usage] == [(1, 20, 0.5)]
    assert [(row["tokens_out"], float(row["cost_usd"])) for row in stages] == [(20, 0.5)]


async def test_a_refusal_for_good_is_not_repeated(database: Database, worker_id: UUID, held_job: int) -> None:
    wrong = checkpoint(worker_id, held_job) | {"stage": "no such stage"}

    with pytest.raises(psycopg.errors.CheckViolation):
        await RetryingDatabase(database, DatabaseHealth()).rows("stages/save_checkpoint", **wrong)


async def test_statements_continue_after_a_server_restart(tmp_path: Path) -> None:
    """A restart or a failover: the statement waits, and the pool's dead connections are replaced."""
    embedded = EmbeddedPostgres(tmp_path / "pg", durable=False)
    dsn = embedded.start()
    try:
        async with Database(DatabaseSettings(url=dsn, connect_timeout_s=1, _env_file=None)) as database:
            patient = RetryingDatabase(database, DatabaseHealth())
            await patient.execute("queue/ping")
            embedded.stop()
            with capture_logs() as logs, fail_after(60):
                async with create_task_group() as tasks:
                    tasks.start_soon(patient.one, "queue/ping")
                    while not logs:
                        await sleep(0.02)
                    embedded.start()
            assert [entry["event"] for entry in logs] == ["database_lost", "database_recovered"]
    finally:
        embedded.remove()


async def test_a_connection_to_a_standby_is_closed(database_url: str, server: str) -> None:
    """After a failover it stays healthy and refuses every write: kept in the pool, it held a worker up for an hour."""
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    admin = await psycopg.AsyncConnection.connect(server, autocommit=True)
    async with admin:
        await admin.execute(f"alter database {name} set default_transaction_read_only = on".encode())
        settings = DatabaseSettings(url=database_url, pool_min=1, pool_max=1, _env_file=None)
        async with Database(settings) as database:
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await database.execute("bench/enqueue_one", instance_id="shop")
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await promote(database)
            await admin.execute(f"alter database {name} reset default_transaction_read_only".encode())

            with fail_after(20):
                await RetryingDatabase(database, DatabaseHealth()).execute("bench/enqueue_one", instance_id="shop")
                assert await promote(database) == 0


def test_our_own_mistakes_are_not_temporary_errors() -> None:
    assert not is_transient(psycopg.errors.UndefinedTable("no such table"))
    assert not is_transient(psycopg.errors.UniqueViolation("twice"))
    assert is_transient(psycopg.errors.OperationalError("connection reset"))
