"""What each group role can and cannot do, with real logins and the statements that the program sends."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import dict_row

from blogworker.db.grants import ROLES, Role
from blogworker.db.migrate import created_functions, migrate, ours
from blogworker.db.pool import connect
from blogworker.db.roles import create, grant
from blogworker.db.sql import query, sql_dir

pytestmark = pytest.mark.anyio

QUERIES = Path(str(sql_dir())) / "queries"
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
KEYWORD = "(instance_id, source_type, source_id) values ('shop', 'keyword', 'linen')"

LIFE = """
insert into sites (instance_id) values ('shop');
insert into blog_generations (instance_id, source_type, source_id) values
    ('shop', 'keyword', 'a'), ('shop', 'keyword', 'b');
update blog_generations set status = 'FAILED', error = 'refused' where id = 1;
insert into quotas (name, provider, requests_per_minute) values ('openai/small', 'openai', 450);
insert into workers (name, worker_id, host, pid, version, concurrency, lease_until)
values ('w', '00000000-0000-0000-0000-000000000001', 'h', 1, '0', 9, now() + interval '1 day');
update blog_generations set status = 'PROCESSING', attempt = 1, worker_id = '00000000-0000-0000-0000-000000000001'
where id = 2;
update provider_health set state = 'open', reason = 'down', opened_at = now(), retry_at = now() where provider = 'wix';
"""

# What is done: who can, of producer, worker, reader, operator.
DEEDS = {
    "select enqueue_blog('shop', 'keyword', 'linen')": "P  O",
    "select enqueue_blog('new shop', 'keyword', 'linen', publish_at => now() + interval '1 day')": "P  O",
    """select enqueue_blogs('[{"instance_id": "new", "source_type": "keyword", "source_id": "linen"}]')""": "P  O",
    "select create_sites(array['new'])": "P  O",
    "select require_room(null, array['shop'], array[1])": "P  O",
    f"insert into blog_generations {KEYWORD}": "",
    "insert into sites (instance_id) values ('new')": "O",
    "insert into sites (instance_id, virtual_time) values ('new', 1e14)": "",
    "select from blog_generations": "WRO",
    "select from sites": "WRO",
    "select from blog_posts": "WRO",
    "select from blogworker_migrations": "WRO",
    "select * from v_waiting": "WRO",
    "select * from v_quotas": "WRO",
    "select * from spending": "WRO",
    "select * from site_service": "WRO",
    "select * from service_fairness": "WRO",
    "update sites set weight = 1000": "O",
    "update sites set budget_day_usd = 1e6": "O",
    "update sites set paused_at = now(), pause_reason = 'holiday'": "WO",
    "update sites set virtual_time = 0": "W",
    "update sites set turn_cost = 0.1": "W",
    "delete from sites": "",
    "update blog_generations set status = 'PENDING' where status = 'FAILED'": "WO",
    "update blog_generations set status = 'CANCELLED' where status = 'FAILED'": "WO",
    "update blog_generations set priority = 9": "O",
    "update blog_generations set failures = 0": "W",
    "update blog_generations set held_for = attempt, held_usd = 0": "",
    "update blog_generations set held_usd = 0": "",
    "update blog_generations set held_usd = 0 where id = 2": "W",  # as save_checkpoint does
    "update blog_generations set source_data = '{}'": "",
    "update blog_generations set instance_id = 'shop'": "",
    "update blog_generations set id = default": "",
    "delete from blog_generations where status = 'FAILED'": "O",
    "truncate blog_generations cascade": "",
    "lock table blog_generations in access exclusive mode": "O",  # whoever may DELETE can
    "update fleet_budget set day_usd = null": "O",
    "update fleet_budget set stopped_until = now() + interval '1 year'": "",
    "update site_spend set cost_usd = 0": "",
    "update fleet_spend set cost_usd = 0": "",
    "update queue_gauge set pending = 0": "",
    "update quotas set requests_per_minute = 1": "WO",
    "update quotas set requests_clock = now() + interval '1 year'": "W",
    "update provider_health set state = 'closed'": "WO",
    "update provider_health set struck = '{}'": "W",
    "insert into provider_usage (hour, provider, model, instance_id) values (now(), 'p', 'm', 'shop')": "W",
    "insert into generation_stages (generation_id, stage, output, attempt) values (2, 'ideas', '{}', 1)": "W",
    "update blog_posts set title = 'mine'": "W",
    "update blog_posts set score = 100": "W",
    "select draw_review(2, 1, '00000000-0000-0000-0000-000000000001', 1)": "W",
    "update site_reviews set passed = 0": "",
    "insert into site_reviews (instance_id, passed) values ('shop', 0)": "",
    "update provider_usage set score_sum = 0": "W",
    "insert into site_titles (instance_id, key, title) values ('shop', 'k', 'K')": "",
    "insert into site_slugs (instance_id, slug) values ('shop', 'k')": "",
    "insert into site_posts (instance_id, generation_id, title, angle, terms) values ('shop', 1, 'K', '', '{}')": "W",
    "insert into site_terms (instance_id, term, generation_id) values ('shop', 'k', 1)": "W",
    "delete from site_posts": "",
    "update scheduled_blogs set publish_at = now()": "O",
    "delete from workers": "WO",
    "insert into blogworker_migrations (version, name, checksum) values (9999, 'n', '')": "",
    "select nextval('blog_generations_id_seq')": "",
    "select setval('blog_generations_id_seq', 1000000)": "",
    "select secure_functions()": "",
    "select compare_titles()": "",
    "select wake_workers()": "W",
    "select note_queue_size(1000000000, 1)": "",
    "create table mine ()": "",
    "create function mine() returns int language sql return 1": "",
    "create trigger mine before insert on sites for each row execute function replace_seeded_row('instance_id')": "",
    "alter table sites disable trigger user": "",
    "drop table cache": "",
    "create role mine": "",
}

ENQUEUES = {"queue/enqueue_blog", "queue/enqueue_many", "queue/create_sites", "queue/require_room"}
CHANGES = {
    *(
        "queue/cancel",
        "queue/retry",
        "queue/pause_site",
        "queue/resume_site",
        "queue/set_site",
        "spend/set_site_budget",
    ),
    *("ops/prune", "ops/prune_leftovers", "spend/set_fleet_budget"),
    *("quota/breaker_close", "quota/set_bucket", "quota/unblock"),
}
LOOKS = {"queue/known_keys", "queue/outlook", "queue/retry_outlook", "spend/usage"}


def named(room: str) -> set[str]:
    return {f"{room}/{path.stem}" for path in (QUERIES / room).glob("*.sql")}


# fixed: its names were looked up when it was made, or are looked up in the schema of the tables.
FUNCTIONS = """
    select
        p.proname::text as name,
        p.prosecdef as definer,
        p.proconfig @> array['search_path=public, pg_temp'] is true as pinned,
        p.prosqlbody is not null or p.proconfig @> array['search_path=public, pg_temp'] is true as fixed,
        has_function_privilege('public', p.oid, 'EXECUTE') as open
    from pg_proc as p
    where
        p.pronamespace = 'public'::regnamespace
        and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
        and p.proname = any (%s)
"""
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

SENT = {
    "blogworker_producer": ENQUEUES,
    "blogworker_reader": named("ops") - CHANGES | LOOKS,
    "blogworker_operator": named("ops") | CHANGES | LOOKS | ENQUEUES,
    "blogworker_worker": (named("queue") | named("quota") | named("stages") | {"ops/heartbeat"} | {"queue/pause_site"})
    - (CHANGES - {"queue/pause_site"})
    - ENQUEUES
    - {"queue/listen"},  # no plan is made of it, and no privilege asked for
}


@dataclass(frozen=True, slots=True)
class Logins:
    """A database with the roles, and a session of a member of each that has nothing else."""

    owner: psycopg.Connection[dict[str, Any]]
    url: str
    of: dict[str, psycopg.Connection[dict[str, Any]]]


@pytest.fixture(scope="module")
async def logins(module_url: str, anyio_backend: str) -> Iterator[Logins]:
    async with await connect(module_url, timeout_s=5) as connection:
        await create(connection)
        await grant(connection, ours())
    with psycopg.connect(module_url, autocommit=True, row_factory=dict_row) as owner:
        owner.execute(LIFE.encode())
        sessions = {}
        for role in ROLES:
            login = f"{owner.info.dbname}_{role.name}"[-60:]
            owner.execute(f"create role {login} login in role {role.name}".encode())
            url = make_conninfo(module_url, user=login)
            sessions[role.name] = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        yield Logins(owner, module_url, sessions)
        for session in sessions.values():
            user = session.info.user
            session.close()
            owner.execute(f"drop owned by {user}; drop role {user}".encode())


def attempted(session: psycopg.Connection[dict[str, Any]], deed: str) -> psycopg.Error | None:
    """The database's answer to a statement, which is rolled back."""
    try:
        with session.transaction(force_rollback=True):
            session.execute(deed.encode())
    except psycopg.Error as error:
        return error
    return None


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
async def test_a_role_can_do_what_the_table_says_and_nothing_else(logins: Logins, role: Role) -> None:
    letter = role.name.removeprefix("blogworker_")[0].upper()
    wrong = {}

    for deed, who in DEEDS.items():
        error = attempted(logins.of[role.name], deed)
        refused = isinstance(error, InsufficientPrivilege | psycopg.errors.GeneratedAlways)
        if (error is None) != (letter in who) or (error is not None and not refused):
            wrong[deed] = error

    assert wrong == {}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
async def test_the_statements_that_the_program_sends_as_a_role_are_allowed(logins: Logins, role: Role) -> None:
    """Postgres checks privileges when a plan is made ready to run, which EXPLAIN does too."""
    refused = {}

    for name in sorted(SENT[role.name]):
        text = query(name)
        try:
            with logins.of[role.name].transaction(force_rollback=True) as _, logins.of[role.name].cursor() as cursor:
                cursor.execute(b"explain " + text.encode(), dict.fromkeys(PLACEHOLDER.findall(text)))
        except psycopg.Error as error:
            refused[name] = error

    assert refused == {}


async def test_every_function_of_ours_is_known_and_fixed_in_its_names_and_closed_to_public(logins: Logins) -> None:
    """A function that resolves names by the caller's search_path could call the caller's own functions."""
    rows = logins.owner.execute(FUNCTIONS.encode(), [created_functions()]).fetchall()

    assert {row["name"] for row in rows} <= set(created_functions())
    assert len(rows) > 80
    assert [row["name"] for row in rows if not row["fixed"]] == []
    assert [row["name"] for row in rows if row["open"]] == []
    assert [row["name"] for row in rows if row["definer"] and not row["pinned"]] == []
    assert (
        sorted(logins.owner.execute(b"select own_functions() as names").fetchall()[0]["names"]) == created_functions()
    )


async def test_what_claims_ask_for_each_row_is_still_inlined(logins: Logins) -> None:
    """A function with a setting cannot be inlined: it would be called for each row that a claim reads."""
    plan = logins.owner.execute(
        b"explain (verbose, costs off) select line_number(g.stage, g.rescues), needs_shop(g), "
        b"is_attempt(g, 1, 1, gen_random_uuid()) from blog_generations as g"
    ).fetchall()

    assert not any(name in str(plan) for name in ("line_number", "stage_number", "needs_shop", "is_attempt"))


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
async def test_a_role_that_may_insert_into_the_table_types_nothing_of_the_programs(
    logins: Logins, setting: str
) -> None:
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


async def test_a_producer_that_inserts_needs_named_columns_only(logins: Logins) -> None:
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


async def test_a_role_that_may_update_the_table_reserves_nothing_by_hand(logins: Logins) -> None:
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


async def test_in_a_schema_of_its_own_functions_keep_to_it(empty_url: str) -> None:
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
