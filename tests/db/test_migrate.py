"""Migrations: each applied once, whoever starts at the same time and whatever goes wrong."""

import re
from collections import Counter
from dataclasses import replace
from time import monotonic
from uuid import UUID

import psycopg
import pytest
from anyio import create_task_group, fail_after, sleep
from psycopg.types.json import Json
from structlog.testing import capture_logs

from blogworker.db import migrate as room
from blogworker.db import migration_lock
from blogworker.db.grants import WORKER
from blogworker.db.migrate import Migration, migrate, migrations, state
from blogworker.db.pool import Database, connect
from blogworker.db.readiness import require_ready
from blogworker.errors import DatabaseNotReady
from blogworker.queue.claim import claim
from blogworker.settings import DatabaseSettings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def empty(empty_url):
    """A connection to a database that was never migrated."""
    connection = await connect(empty_url, timeout_s=5)
    async with connection:
        yield connection


@pytest.fixture
async def migrated(database_url):
    connection = await connect(database_url, timeout_s=5)
    async with connection:
        yield connection


def offer(monkeypatch, *texts: str) -> None:
    """Give the program these migrations instead of its own."""
    given = [Migration(n, f"step_{n}", text) for n, text in enumerate(texts, 1)]
    monkeypatch.setattr(room, "migrations", lambda: given)


async def tables(connection) -> set[str]:
    cursor = await connection.execute("select tablename from pg_tables where schemaname = 'public'")
    return {row["tablename"] for row in await cursor.fetchall()}


def test_the_files_are_numbered_without_gap_or_repeat():
    """Two branches that both add number 5 must not be merged by luck of the name."""
    assert [m.version for m in migrations()] == list(range(1, len(migrations()) + 1))
    assert all(m.name.isidentifier() for m in migrations())


async def test_an_empty_database_lacks_everything(empty):
    found = await state(empty)

    assert found.applied == ()
    assert found.pending == tuple(migrations())
    with pytest.raises(DatabaseNotReady, match=rf"lacks {len(migrations())} migration\(s\): run `blogworker migrate`"):
        found.require_current()


async def test_a_look_at_the_state_changes_nothing(empty):
    """`doctor` may run with a role that cannot create tables."""
    await state(empty)

    assert await tables(empty) == set()


async def test_after_migrating_the_misfit_ended_and_stays(empty):
    applied = await migrate(empty)
    again = await migrate(empty)

    assert applied == migrations()
    assert again == []
    (await state(empty)).require_current()


async def test_ten_at_once_apply_each_migration_once(empty_url):
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


async def test_a_newer_database_is_left_alone(migrated):
    await migrated.execute("insert into blogworker_migrations (version, name, checksum) values (99, 'future', 'x')")

    with pytest.raises(DatabaseNotReady, match=r"newer than this program \(it has migration 99\): upgrade blogworker"):
        (await state(migrated)).require_current()
    with pytest.raises(DatabaseNotReady, match="upgrade"):
        await migrate(migrated)


async def test_a_migration_that_was_edited_after_it_ran_is_noticed(migrated, monkeypatch):
    """The database is not what the file says, and nobody knows by how much."""
    first, *others = migrations()
    monkeypatch.setattr(room, "migrations", lambda: [replace(first, text=first.text + "\n-- edited"), *others])

    with pytest.raises(DatabaseNotReady, match="migration 1 differs from the one applied here"):
        (await state(migrated)).require_current()
    with pytest.raises(DatabaseNotReady, match="migration 1 differs from the one"):
        await migrate(migrated)


async def test_only_what_is_new_is_applied(empty, monkeypatch):
    offer(monkeypatch, "create table a ()")
    await migrate(empty)
    offer(monkeypatch, "create table a ()", "create table b ()")

    applied = await migrate(empty)

    assert [m.version for m in applied] == [2]
    assert await tables(empty) == {"blogworker_migrations", "a", "b"}


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty, monkeypatch):
    """What came before it stays, and the next start goes on from there."""
    offer(monkeypatch, "create table a ()", "create table b (); create table c (); select 1 / 0")

    with pytest.raises(DatabaseNotReady, match=r"migration 2 \(step_2\) failed.*: division by zero"):
        await migrate(empty)

    assert await tables(empty) == {"blogworker_migrations", "a"}
    assert (await state(empty)).applied == (1,)
    offer(monkeypatch, "create table a ()", "create table b ()")
    assert [m.version for m in await migrate(empty)] == [2]


async def test_a_failed_migrator_lets_the_next_one_in(empty, empty_url, monkeypatch):
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


async def test_a_migrator_that_never_ends_is_named(empty, empty_url, monkeypatch):
    monkeypatch.setattr(migration_lock, "LOCK_TIMEOUT_S", 0.3)
    another = await connect(empty_url, timeout_s=5)
    async with another:
        await migration_lock._lock(another)

        with pytest.raises(DatabaseNotReady, match="pg_stat_activity"):
            await migrate(empty)


async def test_statements_without_a_transaction_are_repeated_until_all_went_well(empty, monkeypatch):
    """It counts as applied when all of it is done: a migrator killed in between leaves the whole of it to the next."""
    broken = "-- migrate: no transaction\ncreate table if not exists b ();\n-- migrate: next\nselect 1 / 0"
    offer(monkeypatch, "create table a (id int)", broken)
    for _ in range(2):
        with pytest.raises(DatabaseNotReady, match=r"migration 2 \(step_2\) failed.*: division by zero"):
            await migrate(empty)
        assert (await state(empty)).applied == (1,)

    mended = broken.replace("select 1 / 0", "create index concurrently on a (id)")
    offer(monkeypatch, "create table a (id int)", mended)
    await migrate(empty)

    assert (await state(empty)).applied == (1, 2)
    assert await tables(empty) == {"blogworker_migrations", "a", "b"}


# The next release of this program, as sql/README.md says that a change is made: the column first, then what takes long.
NEXT = (
    """
    alter table blog_generations
        add column language text,
        add constraint language_is_known check (language <> '') not valid;
    """,
    """-- migrate: no transaction
    do $$
    declare
        after bigint := 0;
        up_to bigint;
    begin
        loop
            select max(b.id) into up_to
            from (select g.id from blog_generations as g where g.id > after order by g.id limit 2000) as b;
            exit when up_to is null;
            update blog_generations as g set language = 'de'
            where g.id > after and g.id <= up_to and g.language is null;
            commit;
            after := up_to;
        end loop;
    end
    $$;
-- migrate: next
    alter table blog_generations validate constraint language_is_known;
-- migrate: next
    drop index concurrently if exists blog_generations_language_idx;
-- migrate: next
    create index concurrently blog_generations_language_idx on blog_generations (language);
    """,
)


def release(monkeypatch, *texts: str) -> None:
    """Give the program these migrations after its own."""
    own = migrations()
    later = [Migration(len(own) + n, f"next_{n}", text) for n, text in enumerate(texts, 1)]
    monkeypatch.setattr(room, "migrations", lambda: [*own, *later])


def unrepeatable(migration: Migration) -> list[str]:
    """The indexes that a migration without a transaction could not create again after it was interrupted."""
    statements = migration.statements or []
    created = [re.search(r"create (?:unique )?index concurrently (\w+)", text) for text in statements]
    dropped = {
        found[1] for text in statements if (found := re.search(r"drop index concurrently if exists (\w+)", text))
    }
    return [found[1] for found in created if found and found[1] not in dropped]


def test_tables_are_created_in_a_transaction():
    """After an interruption, the name of a table that is there and not recorded looks like that of another program."""
    creates = re.compile(r"^create (?:unlogged )?(?:table|view)", re.MULTILINE)

    assert [m.name for m in migrations() if m.statements and creates.search(m.text)] == []


def test_every_index_that_is_built_without_a_transaction_can_be_built_again():
    """A build that was interrupted leaves an invalid index of that name behind."""
    bad = Migration(2, "bad", "-- migrate: no transaction\ncreate index concurrently i on a (b);")

    assert unrepeatable(bad) == ["i"]
    assert unrepeatable(Migration(2, "good", NEXT[1])) == []
    assert [m.name for m in migrations() if unrepeatable(m)] == []


async def test_long_work_done_twice_gives_the_same(migrated, monkeypatch):
    """It may be killed just before it is recorded."""
    release(monkeypatch, *NEXT)
    shape = "select indexname, indexdef from pg_indexes where tablename = 'blog_generations' order by 1"
    await migrate(migrated)
    before = await (await migrated.execute(shape.encode())).fetchall()
    await migrated.execute("delete from blogworker_migrations where name = 'next_2'")

    assert [m.name for m in await migrate(migrated)] == ["next_2"]

    assert await (await migrated.execute(shape.encode())).fetchall() == before
    assert "blog_generations_language_idx" in {row["indexname"] for row in before}


async def test_a_lock_that_is_not_free_is_given_up_and_tried_again(empty, empty_url, monkeypatch):
    """Whoever writes waits behind a migration that waits: so it does not wait for long."""
    offer(monkeypatch, "create table a ()")
    await migrate(empty)
    offer(monkeypatch, "create table a ()", "alter table a add column b int")
    holder, producer = [await connect(empty_url, timeout_s=5) for _ in range(2)]
    waits = []
    async with holder, producer, create_task_group() as tasks, holder.transaction():
        await holder.execute("select from a")
        tasks.start_soon(migrate, empty)
        with capture_logs() as logs, fail_after(20):
            while sum(entry["event"] == "migration_waited" for entry in logs) < 2:
                started = monotonic()
                await producer.execute("insert into a default values")
                waits.append(monotonic() - started)
                await sleep(0.01)

    assert max(waits) < 1.5
    assert (await state(empty)).applied == (1, 2)


async def test_a_lock_that_never_comes_free_is_told(empty, empty_url, monkeypatch):
    monkeypatch.setattr(room, "LOCK_RETRY_S", 0.1)
    offer(monkeypatch, "create table a ()")
    await migrate(empty)
    offer(monkeypatch, "create table a ()", "create table b (); alter table a add column b int")
    holder = await connect(empty_url, timeout_s=5)
    async with holder, holder.transaction():
        await holder.execute("select from a")

        with pytest.raises(DatabaseNotReady, match=r"migration 2 \(step_2\) is not applied.*xact_start"):
            await migrate(empty)

    assert await tables(empty) == {"blogworker_migrations", "a"}


FULL = """
    set blogworker.queue_size_limit = 1000000;
    do $$ begin
        execute format('alter database %I set blogworker.queue_size_limit = 1000000', current_database());
    end $$;
    insert into sites (instance_id) select 's' || n from generate_series(1, 50) as n;
    insert into blog_generations (instance_id, source_type, source_id)
    select 's' || (n % 50 + 1), 'keyword', 'k' || n from generate_series(1, 20000) as n;
    insert into blog_posts (
        generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, seo_description, word_count
    )
    select g.id, g.instance_id, 'Title ' || md5(g.id::text), '', '', '', '', '', '', 0
    from blog_generations as g
"""


async def test_producers_go_on_while_a_full_database_is_brought_up(migrated, database_url, monkeypatch):
    """A change made by the rules of sql/README.md blocks nobody, however much there is to rewrite."""
    await migrated.execute(FULL.encode())
    release(monkeypatch, *NEXT)
    waits = []

    async def produce(*, task_status) -> None:
        async with await connect(database_url, timeout_s=5) as producer:
            task_status.started()
            while True:
                started = monotonic()
                await producer.execute(
                    "insert into blog_generations (instance_id, source_type, source_id) values ('new', 'keyword', 'k')"
                )
                waits.append(monotonic() - started)
                await sleep(0.05)

    async with create_task_group() as tasks:
        await tasks.start(produce)
        await migrate(migrated)
        tasks.cancel_scope.cancel()

    left = await migrated.execute(
        "select count(*) filter (where language is null and instance_id <> 'new') as languages, "
        "(select count(*) from pg_index where not indisvalid) as indexes, "
        "(select count(*) from pg_constraint where not convalidated) as constraints from blog_generations"
    )
    assert await left.fetchone() == {"languages": 0, "indexes": 0, "constraints": 0}
    assert len(waits) > 1
    assert max(waits) < 2


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
    """It takes along what needs it; another migrate makes do without."""
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


async def test_everything_is_made_in_the_first_schema_of_the_path(empty):
    """Several systems may share a database, each in a schema of its own."""
    await empty.execute("create schema tenant")
    await empty.execute("set search_path = tenant, public")

    await migrate(empty)

    assert await tables(empty) == set()
    (await state(empty)).require_current()


AS_IT_WAS = """
    insert into sites (instance_id, weight, max_in_flight) values ('busy', 2, 3), ('paused', 1, null), ('capped', 1, 1);
    insert into workers (worker_id, name, host, pid, version, concurrency, lease_until)
    values ('00000000-0000-4000-8000-000000000001', 'w', 'h', 1, '0', 5, now() + interval '1 hour');
    insert into quotas (name, provider, requests_per_minute, tokens_per_minute, requests_clock, tokens_clock)
    values ('openai/m', 'openai', 450, 450000, now() + interval '1 hour', now() + interval '1 hour');
    update provider_health set state = 'open', reason = 'by hand' where provider = 'openai';
    insert into blog_generations (instance_id, source_type, source_id, stage)
    select s, 'keyword', 'k' || n, 'ideas' from unnest(array['busy', 'paused', 'capped', 'new']) as s
    cross join generate_series(1, 7) as n;
    update sites set paused_at = now(), pause_reason = 'by hand' where instance_id = 'paused';
    update blog_generations set status = 'PROCESSING', attempt = 1, worker_id = '00000000-0000-4000-8000-000000000001'
    where id in (1, 2, 3, 4, 5);
    insert into generation_stages (generation_id, stage, output, model, tokens_in, tokens_out, attempt)
    values (1, 'ideas', '{}', 'm', 100, 200, 1);
    insert into blog_posts (
        generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, seo_description, word_count
    )
    select n, 'busy', t, '', '', '', '', '', '', 0 from (values (2, 'A title'), (3, 'a  TITLE')) as p (n, t);
    update blog_generations set status = 'DONE' where id = 2;
    update blog_generations set status = 'FAILED', error = 'no' where id = 3;
    update blog_generations set status = 'SCHEDULED', run_at = now() + interval '1 day' where id = 4;
    update blog_generations set status = 'CANCELLED' where id = 5;
"""


async def test_a_database_of_the_last_release_is_brought_up_with_all_that_is_in_it(migrated, database_url, monkeypatch):
    """Jobs in every state, some of them of a live worker; and all that reads or moves them still works."""
    await migrated.execute(AS_IT_WAS.encode())
    release(monkeypatch, *NEXT)
    kept = "select id, instance_id, status, stage, attempt, worker_id, run_at, error from blog_generations order by id"
    before = await (await migrated.execute(kept.encode())).fetchall()

    await migrate(migrated)

    assert await (await migrated.execute(kept.encode())).fetchall() == before
    assert {row["status"] for row in before} == {"PENDING", "PROCESSING", "SCHEDULED", "DONE", "FAILED", "CANCELLED"}
    views = await migrated.execute("select viewname from pg_views where schemaname = 'public'")
    for view in await views.fetchall():
        await migrated.execute(f"select * from {view['viewname']}".encode())
    async with Database(DatabaseSettings(url=database_url, _env_file=None)) as database:
        for name in ("ops/heartbeat", "ops/fleet", "spend/spending", "ops/breakers"):
            assert await database.rows(name)
        me = UUID("00000000-0000-4000-8000-000000000001")
        (done,) = await database.rows(
            "queue/settle",
            worker_id=me,
            outcomes=Json([{"job_id": 1, "attempt": 1, "status": "DONE", "spent": False}]),
        )
        found = await claim(database, me, slots=100, site_window=20)
        quotas = {row["name"]: row for row in await database.rows("ops/quotas", name=None, every=True)}
        (health,) = [row for row in await database.rows("ops/breakers") if row["provider"] == "openai"]
    assert done["status"] == "DONE"
    assert Counter(job.instance_id for job in found.claims) == {"busy": 2, "capped": 1, "new": 7}
    assert quotas["openai/m"]["tokens_ahead_s"] > 5
    assert (health["state"], health["reason"]) == ("open", "by hand")
