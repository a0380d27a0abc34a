"""Sessions have the same settings, whatever the role, the database, the server or the environment set."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.json import Json

from blogworker.db.grants import WORKER
from blogworker.db.pool import Database, connect
from blogworker.db.readiness import require_ready
from blogworker.errors import DatabaseUnavailable
from blogworker.queue.claim import claim
from blogworker.settings import DatabaseSettings

pytestmark = pytest.mark.anyio

# What people set for a role or a database.
HOSTILE = {
    "DateStyle": ["SQL, DMY", "German", "Postgres, DMY"],
    "IntervalStyle": ["iso_8601", "sql_standard", "postgres_verbose"],
    "TimeZone": ["Pacific/Chatham"],
    "client_encoding": ["LATIN1"],
    "standard_conforming_strings": ["off"],
    "array_nulls": ["off"],
    "extra_float_digits": ["-15"],
    "bytea_output": ["escape"],
    "transform_null_equals": ["on"],
    "statement_timeout": ["1ms"],
    "lock_timeout": ["1ms"],
    "idle_in_transaction_session_timeout": ["1ms"],
    "idle_session_timeout": ["50ms"],
    "default_transaction_isolation": ["serializable", "repeatable read"],
    "default_transaction_deferrable": ["on"],
    "plan_cache_mode": ["force_generic_plan"],
    "gin_fuzzy_search_limit": ["1"],
    "enable_seqscan": ["off"],
    "row_security": ["off"],
    "client_min_messages": ["debug1"],
}


async def story(url: str) -> list[Any]:
    """What happens to two blogs, without what differs each time."""
    site, worker_id = uuid4().hex, uuid4()
    worker = {"name": site, "worker_id": worker_id, "host": "h", "pid": 1, "version": "0", "concurrency": 9}
    async with Database(DatabaseSettings(url=url, pool_min=1, pool_max=2, _env_file=None)) as database:
        async with database.connection() as connection:
            await require_ready(connection, needs=WORKER)
        await database.execute("queue/register_worker", **worker, lease_s=600)
        for _ in range(2):
            await database.execute("bench/enqueue_one", instance_id=site)
        await database.execute("queue/admit_sites", batch=50, only=None, skipped=[])
        found = (await claim(database, worker_id, slots=5, site_window=5)).claims
        done = [{"job_id": job.job_id, "attempt": job.attempt, "status": "DONE", "spent": False} for job in found]
        settled = await database.rows("queue/settle", worker_id=worker_id, outcomes=Json(done))
        async with database.connection() as connection:
            cursor = await connection.execute(SHOWN, {"site": site, "sent": [None, 3]})
            shown = await cursor.fetchall()
    ages = [datetime.now(UTC) - row.pop("finished_at") for row in shown] + [row.pop("age") for row in shown]
    assert all(timedelta() <= age < timedelta(minutes=1) for age in ages)
    return [len(found), [row["status"] for row in settled], shown]


async def patient_story(url: str) -> list[Any]:
    """On a slow machine a session may end by its time-outs before it could remove them. Workers try again, too."""
    while True:
        with suppress(DatabaseUnavailable):
            return await story(url)


# Slower than any of the time-outs, with a value of each type that a setting shows in another way.
SHOWN = """
    select g.status, g.stage, g.attempt, g.source_data, g.finished_at, g.finished_at - g.created_at as age,
        '\u0436\\n' as letter, 1 / 3::float8 as third, array[null, '\\x00'::bytea] as bytes, %(sent)s::int[] as sent,
        interval '-1 day 2 hours' as span, '2026-02-01'::date as day, pg_sleep(0.003)::text as slept
    from blog_generations as g where g.instance_id = %(site)s order by g.id
"""


@settings(max_examples=15)
@given(chosen=st.fixed_dictionaries({}, optional={name: st.sampled_from(v) for name, v in HOSTILE.items()}))
async def test_settings_of_a_role_have_no_effect(module_url: str, chosen: dict[str, str]) -> None:
    plain = await story(module_url)
    role = f"r{uuid4().hex}"
    with psycopg.connect(module_url, autocommit=True) as owner:
        owner.execute(f"create role {role} login".encode())
        owner.execute(f"grant select, insert, update, delete on all tables in schema public to {role}".encode())
        owner.execute(f"grant execute on all functions in schema public to {role}".encode())
        for name, value in chosen.items():
            owner.execute(f"alter role {role} set {name} = '{value}'".encode())
        try:
            assert await patient_story(psycopg.conninfo.make_conninfo(module_url, user=role)) == plain
        finally:
            owner.execute(f"drop owned by {role}; drop role {role}".encode())


async def test_libpq_variables_have_no_effect(module_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = await story(module_url)
    for name, value in {"PGTZ": "Asia/Tokyo", "PGDATESTYLE": "German", "PGCLIENTENCODING": "LATIN1"}.items():
        monkeypatch.setenv(name, value)

    assert await story(module_url) == plain


async def test_the_search_path_is_the_users_own(database_url: str) -> None:
    """It says whose tables are meant."""
    url = psycopg.conninfo.make_conninfo(database_url, options="-csearch_path=tenant")

    async with await connect(url, timeout_s=5) as connection:
        row = await (await connection.execute("show search_path")).fetchone()

    assert row == {"search_path": "tenant"}
