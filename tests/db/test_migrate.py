"""Migrations: each applied once, whoever starts at the same time and whatever goes wrong."""

from dataclasses import replace

import psycopg
import pytest
from anyio import create_task_group, fail_after, sleep

from blogworker.db import migrate as room
from blogworker.db import migration_lock
from blogworker.db.migrate import migrate, migrations, state
from blogworker.db.pool import connect
from blogworker.errors import DatabaseNotReady

from .migrating import offer, tables

pytestmark = pytest.mark.anyio


def test_migrations_are_numbered_without_gap_or_repeat():
    """Two branches that both add number 5 must not be merged by luck of the name."""
    assert [m.version for m in migrations()] == list(range(1, len(migrations()) + 1))
    assert all(m.name.isidentifier() for m in migrations())


async def test_an_empty_database_lacks_everything(empty):
    found = await state(empty)

    assert found.applied == ()
    assert found.pending == tuple(migrations())
    with pytest.raises(DatabaseNotReady, match=rf"lacks {len(migrations())} migration\(s\): run `blogworker migrate`"):
        found.require_current()


async def test_reading_the_state_changes_nothing(empty):
    """`doctor` may run with a role that cannot create tables."""
    await state(empty)

    assert await tables(empty) == set()


async def test_a_migrated_database_is_ready(empty):
    applied = await migrate(empty)
    again = await migrate(empty)

    assert applied == migrations()
    assert again == []
    (await state(empty)).require_current()


async def test_ten_concurrent_migrators_apply_each_migration_once(empty_url):
    """Ten workers are started on a new database by one command."""
    applied = []

    async def one() -> None:
        connection = await connect(empty_url, timeout_s=10)
        async with connection:
            applied.extend(m.version for m in await migrate(connection))

    async with create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)

    assert sorted(applied) == [m.version for m in migrations()]


async def test_a_newer_database_is_not_changed(migrated):
    await migrated.execute("insert into blogworker_migrations (version, name, checksum) values (99, 'future', 'x')")

    with pytest.raises(DatabaseNotReady, match=r"newer than this program \(it has migration 99\): upgrade blogworker"):
        (await state(migrated)).require_current()
    with pytest.raises(DatabaseNotReady, match="upgrade"):
        await migrate(migrated)


async def test_a_migration_edited_after_it_ran_is_noticed(migrated, monkeypatch):
    """The database is not what the file says, and nobody knows by how much."""
    first, *others = migrations()
    monkeypatch.setattr(room, "migrations", lambda: [replace(first, text=first.text + "\n-- edited"), *others])

    with pytest.raises(DatabaseNotReady, match="migration 1 differs from the one applied here"):
        (await state(migrated)).require_current()
    with pytest.raises(DatabaseNotReady, match="migration 1 differs from the one"):
        await migrate(migrated)


async def test_only_new_migrations_are_applied(empty, monkeypatch):
    offer(monkeypatch, "create table a ()")
    await migrate(empty)
    offer(monkeypatch, "create table a ()", "create table b ()")

    applied = await migrate(empty)

    assert [m.version for m in applied] == [2]
    assert await tables(empty) == {"blogworker_migrations", "a", "b"}


async def test_a_failed_migration_leaves_nothing(empty, monkeypatch):
    """What came before it stays, and the next start goes on from there."""
    offer(monkeypatch, "create table a ()", "create table b (); create table c (); select 1 / 0")

    with pytest.raises(DatabaseNotReady, match=r"migration 2 \(step_2\) failed.*: division by zero"):
        await migrate(empty)

    assert await tables(empty) == {"blogworker_migrations", "a"}
    assert (await state(empty)).applied == (1,)
    offer(monkeypatch, "create table a ()", "create table b ()")
    assert [m.version for m in await migrate(empty)] == [2]


async def test_a_failed_migrator_releases_its_lock(empty, empty_url, monkeypatch):
    """On the same connection it would be let in anyhow: the lock is the session's."""
    offer(monkeypatch, "select 1 / 0")
    with pytest.raises(DatabaseNotReady, match="division by zero"):
        await migrate(empty)
    offer(monkeypatch, "create table a ()")

    another = await connect(empty_url, timeout_s=5)
    async with another:
        with fail_after(5):
            assert len(await migrate(another)) == 1


async def test_a_killed_migrator_leaves_no_lock(empty, empty_url, monkeypatch):
    offer(monkeypatch, "create table a (); select pg_sleep(60)")
    pid = empty.info.backend_pid

    async def doomed() -> None:
        with pytest.raises(psycopg.OperationalError):
            await migrate(empty)

    another = await connect(empty_url, timeout_s=5)
    async with another, create_task_group() as tasks:
        tasks.start_soon(doomed)
        with fail_after(10):
            while not await sleeps(another, pid):
                await sleep(0.01)
        await another.execute("select pg_terminate_backend(%s)", [pid])
        offer(monkeypatch, "create table b ()")
        with fail_after(10):
            await migrate(another)

        assert await tables(another) == {"blogworker_migrations", "b"}


async def sleeps(connection, pid: int) -> bool:
    cursor = await connection.execute("select wait_event from pg_stat_activity where pid = %s", [pid])
    row = await cursor.fetchone()
    return row is not None and row["wait_event"] == "PgSleep"


async def test_an_error_names_a_migrator_that_never_ends(empty, empty_url, monkeypatch):
    monkeypatch.setattr(migration_lock, "LOCK_TIMEOUT_S", 0.3)
    another = await connect(empty_url, timeout_s=5)
    async with another:
        await migration_lock._lock(another)

        with pytest.raises(DatabaseNotReady, match="pg_stat_activity"):
            await migrate(empty)
