"""Schemas: pg_trgm is found in any of them, and all of ours is in one."""

import psycopg
import pytest

from blogworker.db.grants import WORKER
from blogworker.db.migrate import migrate, state
from blogworker.db.readiness import require_ready
from blogworker.errors import DatabaseNotReady

from .migrating import tables

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["public", "public, extensions"])
async def test_pg_trgm_is_used_from_any_schema(empty, path):
    """Supabase keeps it in one of its own, which may not be on the path of everybody."""
    await empty.execute("create schema extensions; create extension pg_trgm schema extensions")
    await empty.execute(f"set search_path = {path}".encode())
    await migrate(empty)
    await empty.execute("set search_path = public")

    await require_ready(empty, needs=WORKER)
    assert await likeness(empty) == 1
    await empty.execute("alter extension pg_trgm set schema public")
    assert await likeness(empty) == 1
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        await empty.execute("drop extension pg_trgm")


async def test_titles_are_compared_again_after_pg_trgm_was_dropped(migrated):
    """DROP EXTENSION drops what depends on it; another migrate works without it."""
    await migrated.execute("drop extension pg_trgm cascade")
    with pytest.raises(DatabaseNotReady, match="because the extension pg_trgm was dropped: run `blogworker"):
        await require_ready(migrated, needs=WORKER)

    assert await migrate(migrated) == []

    await require_ready(migrated, needs=WORKER)
    assert await likeness(migrated) == 1
    await migrated.execute("create extension pg_trgm")
    assert await likeness(migrated) == 1


async def likeness(connection) -> float:
    cursor = await connection.execute(
        "select title_limit(), title_likeness('linen curtains', 'linen curtains') as likeness, "
        "(select count(*) from titles_like('s', 'linen curtains', null, 0.75)) as found"
    )
    return (await cursor.fetchone())["likeness"]


async def test_everything_is_created_in_the_first_schema_of_the_search_path(empty):
    """Several systems may share a database, each in a schema of its own."""
    await empty.execute("create schema tenant")
    await empty.execute("set search_path = tenant, public")

    await migrate(empty)

    assert await tables(empty) == set()
    (await state(empty)).require_current()
