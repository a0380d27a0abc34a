"""A producer's login: its session cannot change what its calls do, nor lift a limit."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import dict_row

from blogworker.db.migrate import migrate, ours
from blogworker.db.pool import connect
from blogworker.db.roles import create, grant

from .logins import KEYWORD, Logins, attempted

pytestmark = pytest.mark.anyio
EVIL = """
    drop schema if exists evil cascade;
    create schema evil;
    create table evil.sites (instance_id text);
    create function evil.line_number(text, integer) returns smallint language sql as 'select 4::smallint';
    create function evil.announce_sites(text[]) returns void language sql as 'select null::void';
    create function evil.queue_size_limit(integer) returns integer language sql as 'select 1';
    create function evil.lower(text) returns text language sql as 'select null::text';
    grant usage on schema evil to {user};
    grant all on all tables in schema evil to {user};
"""


@pytest.fixture
def producer(logins: Logins) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A session of its own, since what is tested changes its settings."""
    url = make_conninfo(logins.url, user=logins.of["blogworker_producer"].info.user)
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as session:
        yield session


def enqueued(session: psycopg.Connection[dict[str, Any]], site: str, arguments: str = "") -> int:
    row = session.execute(f"select id from enqueue_blog('{site}', 'keyword', 'linen'{arguments})".encode()).fetchone()
    assert row is not None
    return int(row["id"])


async def test_a_producer_cannot_hide_its_login(logins: Logins, producer: psycopg.Connection[dict[str, Any]]) -> None:
    """The name that it gives is not checked, so its login is stored too. A plain INSERT gives no name at all."""
    site, login = f"site {uuid4().hex}", producer.info.user
    columns = "instance_id, source_type, source_id, added_by"
    logins.owner.execute(f"grant insert ({columns}) on blog_generations to {login}".encode())

    enqueued(producer, site)
    enqueued(producer, site, ", added_by => 'alice'")
    enqueued(producer, site, ", added_by => ''")
    enqueued(producer, site, ", added_by => repeat('x', 1000)")
    blog = "jsonb_build_object('instance_id', %s::text, 'source_type', 'keyword', 'source_id', 'k', 'added_by', 'bob')"
    producer.execute(f"select enqueue_blogs(jsonb_build_array({blog}))".encode(), [site])
    producer.execute(f"insert into blog_generations ({columns}) values (%s, 'keyword', 'k', 'me')".encode(), [site])

    found = logins.owner.execute(
        b"select added_by from blog_generations where instance_id = %s order by id", [site]
    ).fetchall()
    given = ["", "alice as ", "", "x" * 200 + " as ", "bob as ", ""]
    assert [row["added_by"] for row in found] == [f"{name}{login}" for name in given]


@pytest.mark.parametrize(
    "trick",
    [
        "create temp table sites (instance_id text); create temp table blog_generations (id bigint, instance_id text)",
        "create temp table queue_gauge (pending bigint)",
        "set search_path = pg_temp; create temp table site_arrivals (instance_id text)",
        "set search_path = evil, pg_catalog, public",
        "set search_path = evil, public; set check_function_bodies = off",
        "set check_function_bodies = off",
        "set blogworker.service_floor = 'NaN'",
        "set datestyle = 'German'; set timezone = 'Asia/Tokyo'",
        "set row_security = off; set default_transaction_read_only = off",
        "set transform_null_equals = on; set array_nulls = off; set plan_cache_mode = force_generic_plan",
    ],
)
async def test_a_producers_session_does_not_change_what_its_calls_do(
    logins: Logins, producer: psycopg.Connection[dict[str, Any]], trick: str
) -> None:
    """Shadowed names are not used and triggers not skipped: the blog waits; its site exists and is announced."""
    logins.owner.execute(EVIL.format(user=producer.info.user).encode())
    site = f"site {uuid4().hex}"
    producer.execute(trick.encode())

    row = producer.execute(f"select id from public.enqueue_blog('{site}', 'keyword', 'linen')".encode()).fetchone()

    assert row is not None
    found = logins.owner.execute(
        b"select g.status, g.line, s.virtual_time, "
        b"exists (select from site_arrivals as a where a.instance_id = %s) as told "
        b"from blog_generations as g join sites as s using (instance_id) where g.id = %s",
        [site, row["id"]],
    ).fetchall()
    assert found == [{"status": "PENDING", "line": 0, "virtual_time": 0.0, "told": True}]


@pytest.mark.parametrize(
    ("setting", "arguments"),
    [
        ("reset all", ""),
        ("set blogworker.queue_size_limit = 1000000", ""),
        ("reset all", ", queue_size_limit => 1000000"),
        ("set blogworker.queue_size_limit = 1000000; set check_function_bodies = off", ", queue_size_limit => 1000000"),
        ("begin; set local blogworker.queue_size_limit = 1000000", ""),
    ],
)
async def test_a_producer_cannot_lift_the_limit_of_the_queue(
    logins: Logins, producer: psycopg.Connection[dict[str, Any]], setting: str, arguments: str
) -> None:
    """An operator can, for what it enqueues itself; anyone may set a lower one."""
    name = logins.owner.info.dbname
    waiting = logins.owner.execute(b"select pending_count(1000000) as n").fetchall()[0]["n"]
    logins.owner.execute(f"alter database {name} set blogworker.queue_size_limit = {waiting}".encode())
    try:
        producer.execute(setting.encode())
        with pytest.raises(psycopg.Error) as refused:
            enqueued(producer, "shop", arguments)
        with logins.of["blogworker_operator"].transaction(force_rollback=True):
            assert enqueued(logins.of["blogworker_operator"], "shop", ", queue_size_limit => 1000000")
    finally:
        logins.owner.execute(f"alter database {name} reset blogworker.queue_size_limit".encode())

    assert refused.value.sqlstate == "BW503"
    assert f"at most {waiting} may" in str(refused.value)


TYPED = {
    "stage": st.sampled_from(["'source'", "'content'", "'publish'"]),
    "attempt": st.sampled_from(["1", "999999999"]),
    "failures": st.sampled_from(["4", "1000000000"]),
    "rescues": st.sampled_from(["2", "1000000000"]),
    "lone_rescues": st.just("3"),
    "line": st.sampled_from(["-1", "4"]),
    "held_usd": st.sampled_from(["0", "1000000"]),
    "held_for": st.sampled_from(["1", "2"]),
    "charged": st.sampled_from(["0", "1000"]),
    "created_at": st.sampled_from(["'0001-01-01Z'", "'9999-12-31Z'"]),
    "claimed_at": st.just("now()"),
    "cancel_requested_at": st.just("now()"),
    "error": st.just("'mine'"),
    "id": st.sampled_from(["1", "2", "1000000", "9223372036854775807"]),
}
OWNED = """
    select stage, attempt, failures, rescues, lone_rescues, line, held_usd, held_for, charged, claimed_at,
        cancel_requested_at, error, now() - created_at < interval '1 hour' as new, id < 1000000 as in_sequence
    from blog_generations where instance_id = %s
"""


@pytest.mark.parametrize("setting", ["reset all", "set check_function_bodies = off"])
async def test_a_role_with_insert_cannot_set_columns_of_the_program(logins: Logins, setting: str) -> None:
    """Even with the whole table granted: the columns that the program maintains are reset."""
    login = f"inserter_{uuid4().hex}"
    logins.owner.execute(f"create role {login} login; grant insert on blog_generations, sites to {login}".encode())
    try:
        with psycopg.connect(make_conninfo(logins.url, user=login), autocommit=True) as session:
            session.execute(setting.encode())
            session.execute(f"insert into blog_generations {KEYWORD.replace('shop', login)}".encode())
            nothing = logins.owner.execute(OWNED.encode(), [login]).fetchall()

            @settings(max_examples=40)
            @given(st.fixed_dictionaries({}, optional=TYPED))
            def types(typed: dict[str, str]) -> None:
                site = uuid4().hex
                columns = ", ".join(["instance_id", "source_type", "source_id", *typed])
                values = ", ".join([f"'{site}'", "'keyword'", "'k'", *typed.values()])
                session.execute(
                    f"insert into blog_generations ({columns}) overriding system value values ({values})".encode()
                )
                assert logins.owner.execute(OWNED.encode(), [site]).fetchall() == nothing

            types()
            for status in ("PROCESSING", "DONE", "FAILED", "CANCELLED"):
                with pytest.raises(InsufficientPrivilege, match="cannot be inserted as"):
                    session.execute(
                        "insert into blog_generations (status, instance_id, source_type, source_id) "
                        f"values ('{status}', 'shop', 'keyword', 'k')".encode()
                    )
            session.execute(
                b"insert into sites (instance_id, ready, virtual_time, turn_cost, at_cap) "
                b"values (%s, true, 1e15, 100, true)",
                [f"site of {login}"],
            )
    finally:
        logins.owner.execute(f"drop owned by {login}; drop role {login}".encode())

    assert logins.owner.execute(
        b"select ready, virtual_time, turn_cost, at_cap from sites where instance_id = %s", [f"site of {login}"]
    ).fetchall() == [{"ready": False, "virtual_time": 0.0, "turn_cost": 1.0, "at_cap": False}]


async def test_a_producer_that_inserts_needs_privileges_on_named_columns_only(logins: Logins) -> None:
    """As README grants it, where a program cannot call a function."""
    login = f"columns_{uuid4().hex}"
    columns = "instance_id, source_type, source_id, source_data, priority, run_at, idempotency_key, publish_mode"
    logins.owner.execute(f"create role {login} login; grant insert ({columns}) on blog_generations to {login}".encode())
    try:
        with psycopg.connect(make_conninfo(logins.url, user=login), autocommit=True) as session:
            session.execute(
                b"insert into blog_generations (instance_id, source_type, source_id) values ('c', 'keyword', 'k')"
            )
            for column in ("id", "attempt", "held_for", "status", "max_attempts"):
                with pytest.raises(InsufficientPrivilege):
                    session.execute(
                        f"insert into blog_generations (instance_id, source_type, source_id, {column}) "
                        "values ('c', 'keyword', 'k', default)".encode()
                    )
    finally:
        logins.owner.execute(f"drop owned by {login}; drop role {login}".encode())

    assert logins.owner.execute(b"select status, line from blog_generations where instance_id = 'c'").fetchall() == [
        {"status": "PENDING", "line": 0}
    ]


async def test_a_role_with_update_cannot_forge_a_reservation(logins: Logins) -> None:
    """An attempt that holds a reservation does not ask again, so a forged one would bypass the budget."""
    login = f"updater_{uuid4().hex}"
    logins.owner.execute(f"create role {login} login; grant select, update on blog_generations to {login}".encode())
    try:
        with psycopg.connect(make_conninfo(logins.url, user=login), autocommit=True, row_factory=dict_row) as session:
            told = [
                attempted(session, f"update blog_generations set {typed} where id = 2")
                for typed in ("held_for = attempt", "held_usd = 1", "held_usd = 'NaN'", "id = default")
            ]
    finally:
        logins.owner.execute(f"drop owned by {login}; drop role {login}".encode())

    assert all("cannot be written directly" in str(error) for error in told[:3])


async def test_functions_in_another_schema_use_that_schema(empty_url: str) -> None:
    """CREATE on the schema is revoked from PUBLIC: functions of others could shadow ours."""
    url = make_conninfo(empty_url, options="-csearch_path=tenant")
    login = f"tenant_{uuid4().hex}"
    with psycopg.connect(empty_url, autocommit=True, row_factory=dict_row) as owner:
        owner.execute(
            b"create schema tenant; grant create on schema tenant to public; create table sites (stranger int)"
        )
        async with await connect(url, timeout_s=5) as connection:
            await migrate(connection)
            await create(connection)
            await grant(connection, ours())
        owner.execute(f"create role {login} login in role blogworker_producer".encode())
        try:
            with psycopg.connect(make_conninfo(empty_url, user=login), autocommit=True) as producer:
                producer.execute(b"select tenant.enqueue_blog('shop', 'keyword', 'linen')")
                with pytest.raises(InsufficientPrivilege):
                    producer.execute(b"create function tenant.mine() returns int language sql return 1")
            found = owner.execute(b"select instance_id, line from tenant.blog_generations").fetchall()
        finally:
            owner.execute(f"drop owned by {login}; drop role {login}".encode())

    assert found == [{"instance_id": "shop", "line": 0}]
