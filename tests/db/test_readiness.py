"""An unusable database or role is reported in one line, before anything is changed."""

from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from blogworker.db.grants import PRODUCER, READER, WORKER, Role
from blogworker.db.migrate import TABLE, Migration, created_relations, migrate, migrations, ours
from blogworker.db.pool import connect
from blogworker.db.readiness import require_ready
from blogworker.db.roles import create, grant
from blogworker.errors import DatabaseNotReady, DatabaseUnavailable

pytestmark = pytest.mark.anyio

Connection = AsyncConnection[DictRow]


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[Connection]:
    async with await connect(database_url, timeout_s=5) as connection:
        yield connection


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[Connection]:
    async with await connect(empty_url, timeout_s=5) as connection:
        yield connection


@pytest.fixture
async def worker(owner: Connection, database_url: str) -> AsyncIterator[Connection]:
    """A session of a role that has what README asks for, and no more."""
    role = f"w{uuid4().hex}"
    await create(owner)
    await grant(owner, ours())
    await run(owner, f"create role {role} login in role blogworker_worker")
    async with await connect(psycopg.conninfo.make_conninfo(database_url, user=role), timeout_s=5) as connection:
        yield connection
    await run(owner, f"drop owned by {role}; drop role {role}")


async def run(connection: Connection, command: str) -> None:
    await connection.execute(command.encode())


async def relations(connection: Connection) -> list[str]:
    """The tables and views in the schema public."""
    cursor = await connection.execute(
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')"
    )
    return sorted(row["relname"] for row in await cursor.fetchall())


async def refused(connection: Connection, *, needs: Role = WORKER) -> str:
    with pytest.raises(DatabaseNotReady) as error:
        await require_ready(connection, needs=needs)
    assert "\n" not in str(error.value)
    return str(error.value)


async def test_the_grants_of_the_readme_are_enough(worker: Connection) -> None:
    await require_ready(worker, needs=WORKER)


async def test_all_tables_and_views_of_the_migrations_are_checked(owner: Connection) -> None:
    """They are read from the migrations: none can be forgotten."""
    assert await relations(owner) == sorted([TABLE, *created_relations(migrations())])


async def test_a_check_reads_only_the_catalog(owner: Connection) -> None:
    """A worker takes it again while it runs: it must not cost more with a big backlog."""
    reads = (
        "select sum(seq_scan + coalesce(idx_scan, 0)) as reads from pg_stat_xact_user_tables "
        "where schemaname = 'public' and relname <> 'blogworker_migrations'"
    )
    async with owner.transaction():
        await require_ready(owner, needs=WORKER)
        row = await (await owner.execute(reads.encode())).fetchone()

    assert row == {"reads": 0}


@pytest.mark.parametrize("table", ["blog_generations", "quotas", "blogworker_migrations"])
async def test_row_level_security_that_hides_rows_is_reported(
    owner: Connection, worker: Connection, table: str
) -> None:
    """Otherwise the queue looks empty."""
    await run(owner, f"alter table {table} enable row level security")

    assert f"row level security hides rows of {table}" in await refused(worker)
    await require_ready(owner, needs=WORKER)


async def test_forced_row_level_security_hides_rows_from_the_owner_too(owner: Connection) -> None:
    role = f"o{uuid4().hex}"
    await run(owner, f"create role {role}; grant all on schema public to {role}; alter table sites owner to {role}")
    await run(owner, f"grant all on all tables in schema public to {role}")
    await run(owner, "alter table sites enable row level security; alter table sites force row level security")
    await run(owner, f"set role {role}")

    message = await refused(owner)

    await run(owner, "reset role; alter table sites owner to postgres")
    await run(owner, f"drop owned by {role}; drop role {role}")
    assert "hides rows of sites" in message


@pytest.mark.parametrize(
    ("policy", "fits"),
    [
        ("for all using (true)", True),
        ("for all using (true) with check (true)", True),
        ("for select using (true)", False),
        ("for all using (instance_id = 'mine')", False),
        ("for all to postgres using (true)", False),
    ],
)
async def test_a_permissive_policy_hides_nothing(
    owner: Connection, worker: Connection, policy: str, fits: bool
) -> None:
    await run(owner, f"alter table sites enable row level security; create policy p on sites {policy}")

    if fits:
        await require_ready(worker, needs=WORKER)
    else:
        assert "hides rows of sites" in await refused(worker)


async def test_a_restrictive_policy_beside_it_hides_rows(owner: Connection, worker: Connection) -> None:
    await run(owner, "alter table sites enable row level security; create policy p on sites using (true)")
    await run(owner, "create policy q on sites as restrictive using (weight > 1)")

    assert "hides rows of sites" in await refused(worker)


async def test_missing_privileges_are_named_with_the_grants_needed(owner: Connection, worker: Connection) -> None:
    await run(owner, "revoke insert on cache, blog_posts from blogworker_worker")
    await run(owner, "revoke update (virtual_time) on sites from blogworker_worker")
    await run(owner, "revoke update, delete on workers from blogworker_worker")

    message = await refused(worker)

    assert "lacks INSERT on blog_posts, INSERT on cache, UPDATE on sites and 2 more; as the owner" in message
    await grant(owner, ours())  # what `blogworker roles` does
    await require_ready(worker, needs=WORKER)


async def test_an_error_names_the_role_that_a_login_needs(owner: Connection, worker: Connection) -> None:
    user = worker.info.user
    await run(owner, f"revoke blogworker_worker from {user}")

    message = await refused(worker)

    assert message.endswith(f"grant blogworker_worker to {user}")
    await run(owner, message.rpartition(": ")[2])
    await require_ready(worker, needs=WORKER)


async def test_each_command_needs_only_its_own_privileges(owner: Connection, worker: Connection) -> None:
    """A role that only looks needs SELECT; one that only adds blogs does not even need that."""
    user = worker.info.user
    await run(owner, f"revoke blogworker_worker from {user}; grant blogworker_reader to {user}")

    await require_ready(worker, needs=READER)
    assert "lacks" in await refused(worker)
    assert "may not execute create_sites, enqueue_blog" in await refused(worker, needs=PRODUCER)
    await run(owner, "revoke select on v_waiting from blogworker_reader")
    assert "lacks SELECT on v_waiting" in await refused(worker, needs=READER)
    await run(owner, f"revoke blogworker_reader from {user}; grant blogworker_producer to {user}")
    await require_ready(worker, needs=PRODUCER)
    assert "lacks SELECT" in await refused(worker, needs=READER)


async def test_a_producer_gets_an_error_for_a_database_that_was_never_migrated(empty: Connection) -> None:
    assert "run `blogworker migrate`" in await refused(empty, needs=PRODUCER)


async def test_functions_without_execute_privilege_are_named(owner: Connection, worker: Connection) -> None:
    await run(owner, "revoke execute on function pending_count(bigint) from blogworker_worker")

    assert "may not execute pending_count" in await refused(worker)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
async def test_only_utf8_is_accepted(server: str, owner: Connection, encoding: str) -> None:
    """Twice the same, and nothing is made."""
    name = f"e{uuid4().hex}"
    await run(owner, f"create database {name} encoding '{encoding}' template template0 locale 'C'")
    async with await connect(psycopg.conninfo.make_conninfo(server, dbname=name), timeout_s=5) as connection:
        for _ in range(2):
            with pytest.raises(DatabaseNotReady, match=rf"encoding is {encoding}, and posts need UTF8"):
                await migrate(connection)
        made = await relations(connection)
    await run(owner, f"drop database {name}")

    assert made == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "has no usable schema"),
        ("nowhere", "schema nowhere does not exist"),
        ("nowhere, public", "begins with schema nowhere, which does not exist"),
        ('"$user", "No Where", public', "begins with schema No Where, which does not exist"),
        ("pg_catalog, public", "begins with pg_catalog, a system schema"),
        ("pg_temp, public", "begins with pg_temp, a system schema"),
    ],
)
async def test_a_search_path_to_a_missing_schema_is_reported(empty: Connection, path: str, message: str) -> None:
    """The second schema of the path would be taken, without a word, for a database that was never migrated."""
    await run(empty, f"set search_path = {path or repr('')}")

    with pytest.raises(DatabaseNotReady, match=message):
        await migrate(empty)


@pytest.mark.parametrize("path", ["public", '"$user", public', "tenant", '"A ""b, c", public'])
async def test_valid_search_paths_are_accepted(empty: Connection, path: str) -> None:
    await run(empty, 'create schema tenant; create schema "A ""b, c"')
    await run(empty, f"set search_path = {path}")

    await migrate(empty)

    await require_ready(empty, needs=WORKER)


@pytest.mark.parametrize("setting", ["session_replication_role = replica", "IntervalStyle = iso_8601"])
async def test_settings_that_we_may_not_change_are_reported(owner: Connection, setting: str) -> None:
    """Behind a pooler most are not; and only a superuser may change whether triggers fire."""
    await run(owner, f"set {setting}")

    message = await refused(owner)

    assert "is wrong: alter role postgres set" in message
    await run(owner, message.partition("alter role postgres ")[2])
    await require_ready(owner, needs=WORKER)


async def test_a_read_only_database_is_retried(owner: Connection) -> None:
    """A provider makes it so when its disk is full, an operator before a switch to another server: exit 75, not 2."""
    await run(owner, "set default_transaction_read_only = on")

    with pytest.raises(DatabaseUnavailable, match="read-only"):
        await require_ready(owner, needs=WORKER)
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        await migrate(owner)


@pytest.mark.parametrize("kind", ["table sites ()", "table cache (key text)", "view workers as select 1 as one"])
async def test_an_unrelated_table_of_the_same_name_is_reported_before_the_first_migration(
    empty: Connection, kind: str
) -> None:
    await run(empty, f"create {kind}")

    for _ in range(2):
        with pytest.raises(DatabaseNotReady, match=r"already has a \w+ of another program.*schema of its own"):
            await migrate(empty)

    assert await relations(empty) == [kind.split()[1]]


async def test_schema_migrations_of_another_tool_are_ignored(empty: Connection) -> None:
    await run(empty, "create table schema_migrations (version bigint primary key, dirty boolean not null)")

    await migrate(empty)

    await require_ready(empty, needs=WORKER)


async def test_a_missing_create_privilege_is_reported_before_anything_is_created(empty: Connection) -> None:
    role = f"n{uuid4().hex}"
    await run(empty, f"create role {role}; set role {role}")
    with pytest.raises(DatabaseNotReady, match=f"role {role} may not create tables in schema public"):
        await migrate(empty)
    await run(empty, f"reset role; drop role {role}")


async def test_an_error_names_the_owner_of_the_tables(empty: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    role = f"n{uuid4().hex}"
    await migrate(empty)
    later = Migration(99, "later", "create table later ()")
    monkeypatch.setattr("blogworker.db.migrate.migrations", lambda: [*migrations(), later])
    await run(empty, f"create role {role}; grant all on schema public to {role}")
    await run(empty, f"grant all on all tables in schema public to {role}; set role {role}")

    with pytest.raises(DatabaseNotReady, match=r"belongs to postgres.*migrate as postgres"):
        await migrate(empty)

    await run(empty, f"reset role; drop owned by {role}; drop role {role}")
