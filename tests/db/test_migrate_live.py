"""Migrations of a database in use: nobody waits for long, and all that is in it stays."""

import re
from collections import Counter
from time import monotonic
from uuid import UUID

import pytest
from anyio import create_task_group, fail_after, sleep
from psycopg.types.json import Json
from structlog.testing import capture_logs

from blogworker.db import migrate as room
from blogworker.db.migrate import Migration, migrate, migrations, state
from blogworker.db.pool import Database, connect
from blogworker.errors import DatabaseNotReady
from blogworker.queue.claim import claim
from blogworker.settings import DatabaseSettings

from .migrating import offer, tables

pytestmark = pytest.mark.anyio


async def test_statements_without_a_transaction_are_repeated_until_all_succeed(empty, monkeypatch):
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


async def test_long_work_is_idempotent(migrated, monkeypatch):
    """It may be killed just before it is recorded."""
    release(monkeypatch, *NEXT)
    shape = "select indexname, indexdef from pg_indexes where tablename = 'blog_generations' order by 1"
    await migrate(migrated)
    before = await (await migrated.execute(shape.encode())).fetchall()
    await migrated.execute("delete from blogworker_migrations where name = 'next_2'")

    assert [m.name for m in await migrate(migrated)] == ["next_2"]

    assert await (await migrated.execute(shape.encode())).fetchall() == before
    assert "blog_generations_language_idx" in {row["indexname"] for row in before}


async def test_a_busy_lock_is_released_and_retried(empty, empty_url, monkeypatch):
    """Writers queue behind a waiting migration, so it does not wait for long."""
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


async def test_a_lock_that_never_becomes_free_is_reported(empty, empty_url, monkeypatch):
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


async def test_producers_continue_while_a_full_database_is_migrated(migrated, database_url, monkeypatch):
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


async def test_a_database_of_the_last_release_is_migrated_with_its_rows(migrated, database_url, monkeypatch):
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


async def test_an_index_that_is_built_concurrently_is_reported_by_its_name(database, database_url):
    """The build waits for a transaction that has written to the table, so there is time to look at it."""
    index = "create index concurrently language_idx on blog_generations (instance_id, source_type)"
    writer, builder = [await connect(database_url, timeout_s=5) for _ in range(2)]
    async with writer, builder, create_task_group() as tasks:
        await writer.execute("begin")
        await writer.execute(
            "insert into blog_generations (instance_id, source_type, source_id) values ('s', 'keyword', 'k')"
        )
        tasks.start_soon(builder.execute, index)
        with fail_after(45):
            found = None
            while found is None or "language_idx" not in found["progress"]:
                await sleep(0.02)
                found = await database.maybe("db/migration_progress", pid=builder.info.backend_pid)
        await writer.execute("rollback")

    assert found["progress"].startswith("index language_idx: waiting")
