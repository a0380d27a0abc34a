"""A database that is away, not migrated, read-only or full: one clear line and the right exit code."""

import os
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from blogworker.db.embedded import EmbeddedPostgres

from .refusals import DONE, KEYS, REFUSED, USAGE, Sql, complained, queue_is_empty

pytestmark = pytest.mark.usefixtures("quiet")
CRITICAL = 2  # the exit code that a monitor knows


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "DATABASE_URL is not set"),
        ("mysql://u:hunter2@127.0.0.1/d", "DATABASE_URL: not a connection string of Postgres"),
        ("postgresql://u:hunter2/x@127.0.0.1/d", "in a password, write / as %2F"),
        ("postgresql://u:p@hunter2/x@127.0.0.1/d", "in a password, write / as %2F"),
    ],
)
def test_a_wrong_database_url_is_explained_without_its_password(offline: Any, url: str, reason: str) -> None:
    """Such a line ends in a ticket or a shared terminal."""
    ran = offline("list", DATABASE_URL=url)

    complained(ran, code=USAGE, of=reason)
    assert "hunter2" not in ran.err


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u:hunter2@127.0.0.1:1/d", "Connection refused"),
        ("postgresql://u:hunter2@no-such-host.invalid/d", "cannot connect to Postgres"),
    ],
)
@pytest.mark.parametrize("arguments", [["list"], ["enqueue", "--site", "shop", "--keyword", "k"]])
def test_an_unreachable_database_exits_with_75(offline: Any, arguments: list[str], url: str, reason: str) -> None:
    """A producer's script that gets exit code 2 considers its jobs invalid and drops them."""
    ran = offline(*arguments, DATABASE_URL=url)

    complained(ran, code=REFUSED, of=reason)
    assert "hunter2" not in ran.err


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u:hunter2@127.0.0.1:1/d", "Connection refused"),
        ("postgresql://u:hunter2@no-such-host.invalid/d", "cannot connect to Postgres"),
    ],
)
def test_an_unreachable_database_is_critical_for_a_monitor(offline: Any, url: str, reason: str) -> None:
    """A monitor reads one line of standard output, and knows the codes 0, 1 and 2 only."""
    ran = offline("status", "--check", DATABASE_URL=url)
    machine = offline("status", "--check", "--json", DATABASE_URL=url)

    assert (ran.code, ran.err) == (machine.code, machine.err) == (CRITICAL, "")
    assert ran.out.startswith("CRITICAL: the database does not answer: ")
    assert ran.out.count("\n") == 1
    assert reason in ran.out
    assert machine.json == {"level": "CRITICAL", "findings": [ran.out.strip().partition(": ")[2]], "summary": ""}
    assert "hunter2" not in ran.out + machine.out


def test_a_database_that_cannot_be_used_is_critical_for_a_monitor(offline: Any, empty_url: str) -> None:
    ran = offline("status", "--check", DATABASE_URL=empty_url)

    assert (ran.code, ran.err) == (CRITICAL, "")
    assert ran.out.startswith("CRITICAL: the database cannot be used: ")
    assert "run `blogworker migrate`" in ran.out


@pytest.mark.slow
def test_a_wrong_password_is_explained_and_not_shown(offline: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    embedded = EmbeddedPostgres(tmp_path_factory.mktemp("tcp"), durable=False, tcp=True)
    try:
        right = embedded.start()
        password = right.split(":")[2].partition("@")[0]

        ran = offline("list", DATABASE_URL=right.replace(password, "hunter2"))
    finally:
        embedded.remove()

    complained(ran, code=REFUSED, of="password authentication failed")
    assert "hunter2" not in ran.err


def test_a_database_that_was_never_migrated_says_what_to_run(offline: Any, empty_url: str) -> None:
    for command in (["list"], ["enqueue", "--site", "s", "--keyword", "k"], ["run"]):
        ran = offline(*command, DATABASE_URL=empty_url, **KEYS)

        complained(ran, code=USAGE, of="run `blogworker migrate`")


def test_a_database_newer_than_the_program_is_refused(cli: Any, sql: Sql) -> None:
    """A worker of yesterday must not write into tables of tomorrow."""
    sql("insert into blogworker_migrations (version, name, checksum) values (9999, 'of_tomorrow', 'x')")

    for command in (["enqueue", "--site", "s", "--keyword", "k"], ["run"], ["migrate"]):
        ran = cli(*command, **KEYS)

        complained(ran, code=USAGE, of="newer than this program (it has migration 9999): upgrade blogworker")
    assert queue_is_empty(sql)


def test_a_migration_edited_after_it_ran_is_detected(cli: Any, sql: Sql) -> None:
    sql("update blogworker_migrations set checksum = 'edited' where version = 1")

    for command in (["list"], ["migrate"]):
        complained(cli(*command), code=USAGE, of="migration 1 differs from the one applied here")


def test_a_read_only_role_gets_an_error_when_it_writes(cli: Any, sql: Sql, database_url: str) -> None:
    """It can still read."""
    role = f"looker_{os.getpid()}"
    assert cli("roles").code == DONE
    sql(f"create role {role} login in role blogworker_reader")
    url = make_conninfo(database_url, user=role)
    try:
        looked = cli("list", DATABASE_URL=url)
        asked = cli("enqueue", "--site", "s", "--keyword", "k", DATABASE_URL=url)
        worked = cli("run", **KEYS, DATABASE_URL=url)
    finally:
        sql(f"drop owned by {role}; drop role {role}")

    assert looked.code == DONE
    complained(asked, code=USAGE, of=f"grant blogworker_producer to {role}")
    complained(worked, code=USAGE, of=f"grant blogworker_worker to {role}")


def test_a_read_only_database_exits_with_75(cli: Any, sql: Sql, database_url: str) -> None:
    """After a failover, or with a full disk, systemd has to start the worker again."""
    sql(f"alter database {conninfo_to_dict(database_url)['dbname']} set default_transaction_read_only = on")

    for command in (["list"], ["run"], ["migrate"]):
        complained(cli(*command, **KEYS), code=REFUSED, of="the database is read-only")


def test_a_full_queue_exits_with_75(cli: Any, sql: Sql) -> None:
    """Exit 75 is EX_TEMPFAIL: a script may try again later."""
    assert cli("enqueue", "--site", "s", "--keyword", "a", "--keyword", "b").code == DONE
    (cli.folder / "words.txt").write_text("c\nd\ne\n")

    for arguments in (["--keyword", "c", "--keyword", "d"], ["words.txt"]):
        ran = cli("enqueue", "--site", "s", *arguments, BLOGWORKER_QUEUE_SIZE_LIMIT="3")
        complained(ran, code=REFUSED, of="at most 3 may; try again in about 1 min")

    assert sql("select count(*) from blog_generations") == [(2,)]


def test_a_full_site_refuses_its_own_jobs_only(cli: Any) -> None:
    assert cli("sites", "set", "s", "--max-pending", "1").code == DONE
    assert cli("enqueue", "--site", "s", "--keyword", "a").code == DONE

    complained(cli("enqueue", "--site", "s", "--keyword", "b"), code=REFUSED, of="site s is full")
    assert cli("enqueue", "--site", "t", "--keyword", "b").code == DONE
