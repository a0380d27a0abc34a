"""`sql/schema` is the present, the migrations are the history: both create the same database, to the last comment."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from blogworker.db import migrate as room
from blogworker.db.baseline import baseline
from blogworker.db.embedded.programs import find_pg_bin
from blogworker.db.migrate import Migration, migrate, migrations, ours
from blogworker.db.pool import connect
from blogworker.db.roles import grant
from blogworker.db.sql import query, schema, schema_rooms, sql_dir

from .catalogue import Catalogue, catalogue, differences, read

STEPS = range(len(migrations()))
OBJECT = re.compile(
    r"^create (?:unlogged )?(table|view|function|index|trigger|type|sequence|domain) (\w+)(?:[^;]*?\bon (\w+))?",
    re.MULTILINE,
)


async def build(url: str, text: str) -> None:
    """Apply a schema to an empty database, and do to it what `migrate` does after its migrations."""
    async with await connect(url, timeout_s=5) as connection:
        await connection.execute(query("db/create_migrations"))
        async with connection.transaction():
            await connection.execute(text.encode())
        await connection.execute(query("db/secure_functions"))
        await grant(connection, ours())


async def bring_up(url: str) -> None:
    async with await connect(url, timeout_s=5) as connection:
        await migrate(connection)


@pytest.fixture(scope="module")
def schema_url(databases) -> Iterator[str]:
    """A database made of the files of sql/schema."""
    with databases.copy("template0") as url:
        anyio.run(build, url, schema())
        yield url


@pytest.mark.parametrize("step", STEPS)
def test_a_database_migrated_from_any_step_equals_the_schema(step, schema_url, empty_url, monkeypatch):
    """Otherwise a file describes a database that nobody has."""
    with monkeypatch.context() as then:
        then.setattr(room, "migrations", lambda: migrations()[:step])
        anyio.run(bring_up, empty_url)
    anyio.run(bring_up, empty_url)

    assert differences(catalogue(schema_url), catalogue(empty_url)) == {}


def test_pg_dump_sees_no_difference_either(schema_url, empty_url):
    """It reads the catalogues in its own way, so it would show what the comparison above overlooks."""
    anyio.run(bring_up, empty_url)

    assert dump(empty_url) == dump(schema_url)


def dump(url: str) -> str:
    program = str(find_pg_bin() / "pg_dump")
    text = subprocess.run(
        [program, "--schema-only", url], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return re.sub(r"^\\(?:un)?restrict .*$", "", text, flags=re.MULTILINE)  # followed by a random word


COLUMN = "alter table sites add column colour text"


@pytest.mark.parametrize(("migrated", "written", "found"), [
    (COLUMN, "", {("column", "sites.colour"): "missing"}),
    ("", COLUMN, {("column", "sites.colour"): "added"}),
    (COLUMN, COLUMN, {}),
])  # fmt: skip
def test_a_change_in_only_one_of_both_is_noticed(migrated, written, found, databases, empty_url, monkeypatch):
    """A migration without its line in sql/schema is noticed, and so is the reverse."""
    with databases.copy("template0") as url:
        anyio.run(build, url, schema() + written)
        monkeypatch.setattr(room, "migrations", lambda: [*migrations(), Migration(99, "next", migrated)])
        anyio.run(bring_up, empty_url)

        assert differences(catalogue(empty_url), catalogue(url)) == found


CHANGES = {
    "schema": ["grant create on schema public to public", "alter schema public owner to pg_monitor"],
    "extension": ["drop extension pg_trgm cascade"],
    "table": [
        "create table another ()",
        "alter table sites set (fillfactor = 71)",
        "alter table site_arrivals set (autovacuum_vacuum_threshold = 999)",
        "alter table generation_stages set (toast.autovacuum_enabled = off)",
        "alter table cache set logged",
        "alter table sites owner to pg_monitor",
        "grant select on sites to public",
        "alter table sites enable row level security",
        "alter table sites replica identity full",
    ],
    "column": [
        "alter table sites add column colour text",
        "alter table sites drop column paused_for",
        "alter table sites rename column plan to tariff",
        "alter table sites alter column paused_for type varchar",
        "alter table sites alter column plan set default 'free'",
        "alter table sites alter column plan drop not null",
        "alter table sites alter column name set not null",
        'alter table generation_errors alter column code type text collate "C"',
        "alter table sites alter column name set statistics 500",
        "alter table sites alter column settings set storage external",
        "alter table sites alter column settings set compression pglz",
        "alter table site_arrivals alter column id set generated by default",
        "alter table provider_health alter column strikes drop expression",
        "grant update (name) on sites to public",
        "alter table quota_rounds drop column number; alter table quota_rounds add column number bigint not null",
    ],
    "constraint": [
        "alter table sites drop constraint texts_are_bounded",
        "alter table sites add check (name <> 'x')",
        "alter table sites drop constraint budgets_are_bounded; alter table sites add constraint budgets_are_bounded "
        "check (budget_day_usd < 1e9 and budget_month_usd < 1e8)",
        "alter table cache drop constraint key_is_at_most_2000_characters; alter table cache add constraint "
        "key_is_at_most_2000_characters check (length(key) <= 2000) not valid",
        "alter table blog_posts alter constraint blog_posts_instance_id_fkey deferrable initially deferred",
        "alter table scheduled_blogs drop constraint scheduled_blogs_blog_generation_id_fkey; alter table "
        "scheduled_blogs add foreign key (blog_generation_id) references blog_generations",
    ],
    "index": [
        "drop index sites_virtual_time_idx",
        "create index another on sites (name)",
        "alter index sites_virtual_time_idx rename to another",
        "drop index sites_resume_idx; create index sites_resume_idx on sites (resume_at)",
        "alter index sites_virtual_time_idx set (fillfactor = 71)",
        "alter table sites cluster on sites_virtual_time_idx",
        "update pg_index set indisvalid = false where indexrelid = 'sites_virtual_time_idx'::regclass",
    ],
    "function": [
        "create function another() returns integer language sql return 1",
        "create function utc_day(t date) returns date language sql return t",
        "drop function usd_text(numeric)",
        "create or replace function standard_blog_tokens() returns double precision language sql return 7::float8",
        "alter function announce_sites(text[]) reset enable_seqscan",
        "alter function service_floor() volatile",
        "alter function utc_day(timestamptz) strict",
        "alter function utc_day(timestamptz) parallel safe",
        "alter function utc_day(timestamptz) cost 5",
        "alter function titles_like(text, text, bigint, real) rows 5",
        "alter function utc_day(timestamptz) leakproof",
        "alter function spent_usd(text, timestamptz) security definer",
        "alter function utc_day(timestamptz) owner to pg_monitor",
        "grant execute on function utc_day(timestamptz) to public",
    ],
    "trigger": [
        "drop trigger note_floor on sites",
        "alter table sites disable trigger note_floor",
        "alter trigger note_floor on sites rename to another",
        "drop trigger rejoin on sites; create trigger rejoin before update on sites for each row "
        "execute function sites_rejoin()",
    ],
    "view": [
        "drop view spending",
        "drop view service_fairness; create view service_fairness as select count(*) as sites_in_line from sites",
        "alter view spending set (security_barrier)",
        "grant select on spending to public",
    ],
    "type": ["create type mood as enum ('good')", "create domain mood as text check (value <> '')"],
    "sequence": ["alter sequence blog_generations_id_seq cache 50", "create sequence another"],
    "comment": [
        "comment on table sites is 'x'",
        "comment on column quotas.epoch is null",
        "comment on column quotas.epoch is 'x'",
        "comment on function utc_day(timestamptz) is 'x'",
        "comment on index sites_virtual_time_idx is 'x'",
        "comment on constraint texts_are_bounded on sites is 'x'",
        "comment on trigger note_floor on sites is 'x'",
    ],
    "policy": ["create policy everybody on sites using (true)"],
    "rule": ["create rule nobody as on delete to cache do instead nothing"],
    "statistics": ["create statistics another on status, stage from blog_generations"],
    "default privileges": ["alter default privileges in schema public grant select on tables to public"],
    "event trigger": [
        "create function public.at_ddl() returns event_trigger language plpgsql as 'begin end'; "
        "create event trigger at_ddl on ddl_command_end execute function at_ddl()"
    ],
    "publication": ["create publication everything for all tables"],
    "rows": [
        "update fleet_budget set day_usd = 5",
        "delete from provider_health where provider = 'wix'",
        "insert into sites (instance_id) values ('s')",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def session(module_url) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(module_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def before(session) -> Catalogue:
    return read(session)


@pytest.mark.parametrize(("kind", "change"), [(kind, change) for kind, all_of in CHANGES.items() for change in all_of])
def test_the_comparison_notices(kind, change, session, before):
    """A comparison that overlooks a kind of object, or one of its facts, would let the two drift apart."""
    with session.transaction(force_rollback=True):
        session.execute(change.encode())
        found = differences(before, read(session))

    assert kind in {key[0] for key in found}


def test_every_kind_of_object_is_compared(before):
    """A kind that is added needs a change which shows that it is compared."""
    assert {kind for kind, _ in before} <= set(CHANGES)


def test_a_function_that_forbids_a_path_forbids_the_jit_compiler_too(session):
    """A forbidden path without an alternative is priced so high that it is compiled first: 0.4 s for every insert."""
    rows = session.execute(
        "select proname, proconfig from pg_proc "
        "where proconfig::text ~ 'enable_' and pronamespace = 'public'::regnamespace"
    ).fetchall()

    assert rows
    assert [name for name, settings in rows if "jit=off" not in settings] == []


def test_each_object_is_defined_once():
    """Two definitions of one function: a reader finds the one that does not hold."""
    found = [
        (kind, name, on if kind == "trigger" else "")
        for schema_room in schema_rooms()
        for kind, name, on in OBJECT.findall(text_of(schema_room))
    ]

    assert len(found) > 100
    assert [each for each in set(found) if found.count(each) > 1] == []


def text_of(schema_room: str) -> str:
    return (sql_dir() / "schema" / f"{schema_room}.sql").read_text(encoding="utf-8")


def test_comments_name_existing_statements():
    """`-- promote.sql` beside an index says which statement would be slow without it."""
    statements = {path.name for path in Path(str(sql_dir() / "queries")).rglob("*.sql")}
    named = {name for each in schema_rooms() for name in re.findall(r"\b\w+\.sql\b", text_of(each))}

    assert len(named) > 10
    assert named - statements == set()


def test_the_order_lists_every_file_once():
    files = {path.name.removesuffix(".sql") for path in (sql_dir() / "schema").iterdir() if path.name.endswith(".sql")}

    assert sorted(schema_rooms()) == sorted(files)


def test_the_baseline_is_the_schema_until_there_is_a_second_migration():
    """After the first release it is history and stays as it is."""
    first, *later = migrations()

    assert later or first.text == baseline(), "run `make baseline`"
