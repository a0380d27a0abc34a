"""`blogworker roles`, and commands as members of the group roles."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from click.testing import Result
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner

from blogworker.cli.app import app
from blogworker.db.grants import ROLES
from blogworker.errors import DatabaseNotReady

NAMES = [role.name for role in ROLES]
Sql = Callable[..., list[tuple[Any, ...]]]

OPERATES = (
    ("status",),
    ("list",),
    ("show", "1"),
    ("sites", "list"),
    ("sites", "set", "shop", "--weight", "2", "--budget-day", "5"),
    ("sites", "set", "new shop", "--max-pending", "5"),
    ("sites", "pause", "shop", "--reason", "holiday"),
    ("sites", "resume", "shop"),
    ("costs",),
    ("costs", "budget", "--day", "50"),
    ("quotas",),
    ("quotas", "set", "openai/small", "--rpm", "9"),
    ("breakers",),
    ("breakers", "close", "wix"),
    ("enqueue", "--site", "shop", "--keyword", "wool"),
    ("cancel", "2"),
    ("retry", "2"),
    ("prune", "--older-than", "30d"),
)
LIFE = """
insert into sites (instance_id) values ('shop');
insert into blog_generations (instance_id, source_type, source_id) values
    ('shop', 'keyword', 'a'), ('shop', 'keyword', 'b');
insert into quotas (name, provider, requests_per_minute) values ('openai/small', 'openai', 450);
update provider_health set state = 'open', reason = 'down', opened_at = now(), retry_at = now() where provider = 'wix';
"""


def ran(url: str, *arguments: str) -> Result:
    """A command in this process: twenty processes would take most of a minute. A thread has no event loop yet."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(CliRunner().invoke, app, list(arguments), env={"DATABASE_URL": url}).result()


@contextmanager
def member(sql: Sql, url: str, *options: str) -> Iterator[str]:
    """The DSN of a new login."""
    name = f"member_{uuid4().hex}"
    sql(f"create role {name} login {' '.join(options)}")
    try:
        yield make_conninfo(url, user=name)
    finally:
        sql(f"drop owned by {name}; drop role {name}")


@pytest.fixture
def roles(database_url: str) -> None:
    assert ran(database_url, "roles").exit_code == 0


def test_roles_can_be_repeated_and_repairs_changes(sql: Sql, database_url: str, roles: None) -> None:
    sql("grant update on sites to blogworker_producer; revoke select on cache from blogworker_reader")

    again = ran(database_url, "roles", "--json")

    assert again.exit_code == 0
    assert again.stdout == f'{{"created": [], "granted": {NAMES}, "not_created": []}}\n'.replace("'", '"')
    assert sql("select has_table_privilege('blogworker_producer', 'sites', 'UPDATE')") == [(False,)]
    assert sql("select has_table_privilege('blogworker_reader', 'cache', 'SELECT')") == [(True,)]


def test_the_printed_sql_does_the_same(sql: Sql, database_url: str, roles: None) -> None:
    """For a DBA, who runs it in psql."""
    for name in NAMES:
        sql(f"drop owned by {name}")
    printed = ran(database_url, "roles", "--print").stdout

    assert sql("select has_table_privilege('blogworker_reader', 'sites', 'SELECT')") == [(False,)]
    sql(printed)
    assert sql("select has_table_privilege('blogworker_reader', 'sites', 'SELECT')") == [(True,)]
    assert sql("select has_function_privilege('blogworker_producer', 'enqueue_blogs(jsonb)', 'EXECUTE')") == [(True,)]


def test_an_owner_without_createrole_gets_a_message_and_grants_to_existing_roles(
    sql: Sql, database_url: str, roles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role name that no server has stands for a role that is missing."""
    monkeypatch.setattr("blogworker.db.roles.NAMES", [*NAMES[1:], "blogworker_absent"])
    with member(sql, database_url) as owner:
        name = psycopg.conninfo.conninfo_to_dict(owner)["user"]
        sql(f"grant all on schema public to {name}")
        sql(
            "do $$ declare r record; begin "
            "for r in select oid::regclass as name from pg_class where relkind in ('r', 'v') "
            f"and relnamespace = 'public'::regnamespace loop execute format('alter table %s owner to {name}', r.name); "
            "end loop; for r in select oid::regprocedure as name from pg_proc where proname = any (own_functions()) "
            f"loop execute format('alter function %s owner to {name}', r.name); end loop; end $$"
        )
        outcome = ran(owner, "roles")
        sql(f"reassign owned by {name} to postgres")

    assert outcome.exit_code == 2
    assert outcome.stderr.count("\n") == 1
    assert "may not create blogworker_absent: run the output of" in outcome.stderr
    assert "up to date" in outcome.stdout


def test_an_operator_can_run_all_commands_of_an_operator(
    sql: Sql, database_url: str, roles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql(LIFE)
    monkeypatch.setattr("blogworker.cli.signals.handled_signals", tuple)  # a thread cannot handle any
    failed = {}

    with member(sql, database_url, "in role blogworker_operator") as url:
        for arguments in OPERATES:
            done = ran(url, *arguments)
            if done.exit_code:
                failed[arguments] = done.exception, done.stderr

    assert failed == {}


def test_readers_and_producers_get_an_error_for_other_commands(sql: Sql, database_url: str, roles: None) -> None:
    sql(LIFE)
    with (
        member(sql, database_url, "in role blogworker_reader") as reader,
        member(sql, database_url, "in role blogworker_producer") as producer,
    ):
        looked = [ran(reader, name).exit_code for name in ("status", "list", "costs", "quotas", "breakers")]
        added = ran(producer, "enqueue", "--site", "shop", "--keyword", "wool").exit_code
        refused = [
            ran(reader, "enqueue", "--site", "shop", "--keyword", "wool").exception,
            ran(producer, "list").exception,
            ran(reader, "roles").exception,
        ]
        paused = ran(reader, "sites", "pause", "shop", "--reason", "mine").exception

    assert (looked, added) == ([0] * 5, 0)
    assert all(isinstance(error, DatabaseNotReady) for error in refused)
    assert "grant blogworker_producer to" in str(refused[0])
    assert "grant blogworker_reader to" in str(refused[1])
    assert "as the owner of the tables" in str(refused[2])
    assert isinstance(paused, psycopg.errors.InsufficientPrivilege)


def test_a_dry_run_shows_each_role_what_it_may_read(sql: Sql, database_url: str, roles: None) -> None:
    """A producer reads nothing, but learns whether the queue has room; a reader cannot ask for room."""
    sql(LIFE)
    dry = ("enqueue", "--site", "shop", "--keyword", "wool", "--dry-run", "--json")
    with (
        member(sql, database_url, "in role blogworker_reader") as reader,
        member(sql, database_url, "in role blogworker_producer") as producer,
    ):
        read, foreseen = ran(reader, *dry), ran(producer, *dry)
        sql("update sites set max_pending = 2")
        full = ran(producer, *dry)

    outcome = [json.loads(done.stdout) for done in (read, foreseen, full)]
    assert (read.exit_code, foreseen.exit_code, full.exit_code) == (0, 0, 75)
    assert [(one["known"], one["waiting"], bool(one["refusal"])) for one in outcome] == [
        (0, 2, False),
        (None, None, False),
        (None, None, True),
    ]
    assert "only members of the role blogworker_producer can check" in read.stderr
    assert sql("select count(*) from blog_generations") == [(2,)]
