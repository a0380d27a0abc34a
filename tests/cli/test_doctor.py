"""`blogworker doctor`: what is well, what is wrong, and what to do; against a simulator over TCP."""

import os
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from anyio.to_thread import run_sync
from psycopg.conninfo import make_conninfo

from blogworker.cli import doctor
from blogworker.cli.simulation import settings_for
from blogworker.simulator import SimulatorOptions, running_simulator

pytestmark = pytest.mark.anyio


@pytest.fixture
async def providers() -> AsyncIterator[dict[str, str]]:
    """The settings for a simulator that knows its keys."""
    options = SimulatorOptions().changed(
        {"openai_key": "simulated-key", "replicate_token": "simulated-key", "wix_secret": "simulated-key"}
    )
    async with running_simulator(options) as url:
        yield settings_for(url)


async def examined(cli: Any, *options: str, **environment: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    ran = await run_sync(partial(cli, "doctor", "--json", *options, **environment))
    found: dict[str, list[dict[str, str]]] = {}
    for check in ran.json:
        found.setdefault(check["name"], []).append(check)
    return ran.code, found


def states(found: dict[str, list[dict[str, str]]], name: str) -> set[str]:
    return {check["state"] for check in found[name]}


async def test_a_machine_that_is_well_has_nothing_wrong(cli: Any, sql: Any, providers: dict[str, str]) -> None:
    sql(
        "insert into workers (worker_id, name, host, pid, version, concurrency, lease_until, stats) "
        "values (gen_random_uuid(), 'w', 'h', 1, '0.1.0', 50, now() + interval '1 h', '{}')"
    )
    code, found = await examined(cli, "--site", "some-site", **providers)

    assert code == 0, found
    assert {name: states(found, name) for name in found if states(found, name) - {"ok", "skipped"}} == {}
    assert {"settings", "database", "migrations", "privileges", "connection", "clock", "pg_trgm", "fleet"} <= set(found)
    assert [check["finding"] for check in found["OpenAI"]] == [
        "the key is accepted, and gpt-6-luna exists",
        "the key is accepted, and gpt-6.1-terra exists",
    ]


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"OPENAI_API_KEY": "another-key"}, "OpenAI", "Incorrect API key"),
        ({"BLOGWORKER_IDEAS_MODEL": "gpt-7"}, "OpenAI", "gpt-7"),
        ({"OPENAI_API_KEY": ""}, "OpenAI", "not set"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, "OpenAI", "openai"),
        ({"REPLICATE_API_TOKEN": "another-token"}, "Replicate", "HTTP 401"),
        ({"REPLICATE_BASE_URL": "http://127.0.0.1:1"}, "Replicate", "replicate"),
        ({"WIX_APP_SECRET": "another-secret"}, "Wix", "some-site"),
        ({"DB_POOL_MIN": "9", "DB_POOL_MAX": "3"}, "settings", "DB_POOL_MIN"),
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "database", "cannot connect"),
    ],
)
async def test_what_is_wrong_is_named(
    cli: Any, providers: dict[str, str], changes: dict[str, str], name: str, words: str
) -> None:
    known = {"WIX_APP_SECRET": "simulated-key"} | changes
    code, found = await examined(cli, "--site", "some-site", **{**providers, **known})

    assert code == 1
    assert "wrong" in states(found, name), found[name]
    assert any(words in check["finding"] for check in found[name]), found[name]
    assert "another-" not in str(found)


async def test_a_database_without_tables_says_what_to_do(cli: Any, empty_url: str) -> None:
    code, found = await examined(cli, "--no-keys", DATABASE_URL=empty_url)
    assert code == 1
    assert "blogworker migrate" in found["migrations"][0]["finding"]
    assert "OpenAI" not in found


@pytest.fixture
def producer(cli: Any, sql: Any, database_url: str) -> Iterator[str]:
    """The name of a login that may add jobs and reads nothing."""
    name = f"producer_{uuid4().hex}"
    assert cli("roles").code == 0
    sql(f"create role {name} login in role blogworker_producer")
    yield name
    sql(f"drop owned by {name}; drop role {name}")


async def test_a_role_that_may_not_read_gets_all_checks_and_the_grant_it_needs(
    cli: Any, providers: dict[str, str], producer: str, database_url: str
) -> None:
    url = make_conninfo(database_url, user=producer)
    code, found = await examined(cli, **{**providers, "DATABASE_URL": url, "WIX_APP_SECRET": "simulated-key"})

    assert code == 1
    assert {name for name in found if "wrong" in states(found, name)} == {"migrations", "fleet"}
    assert found["migrations"][0]["finding"] == "permission denied for table blogworker_migrations"
    assert "permission denied" in found["fleet"][0]["finding"]
    for name in ("migrations", "fleet"):
        assert "`blogworker roles`" in found[name][0]["advice"]
        assert f"grant blogworker_reader to {producer}" in found[name][0]["advice"]
    assert "enough for blogworker_producer; not for blogworker_worker" in found["privileges"][0]["finding"]
    assert f"grant blogworker_worker to {producer}" in found["privileges"][0]["finding"]
    assert {"settings", "database", "connection", "OpenAI", "Replicate", "Wix", "units"} <= set(found)


async def test_a_table_that_is_not_readable_hides_no_other_check(
    cli: Any, sql: Any, producer: str, database_url: str
) -> None:
    sql(f"grant blogworker_reader to {producer}; revoke select on quotas from blogworker_reader")
    code, found = await examined(cli, "--no-keys", DATABASE_URL=make_conninfo(database_url, user=producer))

    assert code == 1
    assert [check["finding"] for check in found["fleet"]] == ["permission denied for table quotas"]
    assert {"migrations", "clock", "pg_trgm", "connections", "versions", "units"} <= set(found)


async def test_a_pooler_that_does_not_answer_hides_no_other_check(cli: Any, database_url: str) -> None:
    away = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/d", "DATABASE_DIRECT_URL": database_url}
    code, found = await examined(cli, "--no-keys", **away)

    assert code == 1
    assert {name for name in found if "wrong" in states(found, name)} == {"connection", "fleet"}
    assert "Connection refused" in found["connection"][0]["finding"]
    assert "units" in found


async def test_warnings_are_no_failure(cli: Any, sql: Any) -> None:
    code, found = await examined(cli, "--no-keys", DB_POOL_MAX="500", BLOGWORKER_CONCURENCY="3")

    assert code == 0
    assert states(found, "connections") == states(found, "settings") == states(found, "fleet") == {"warning"}
    assert "BLOGWORKER_CONCURRENCY" in found["settings"][0]["advice"]


async def test_it_is_readable(cli: Any, providers: dict[str, str]) -> None:
    ran = await run_sync(partial(cli, "doctor", COLUMNS="100", **providers))
    assert "what to do" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("script", "finding"),
    [
        ("echo 'Failed to connect to bus' >&2; exit 1", "systemctl list-units failed: Failed to connect to bus"),
        ("exit 3", "systemctl list-units failed: exit code 3"),
        ("exec sleep 60", "systemctl has not answered for 0.2 s"),
    ],
)
def test_a_systemctl_that_does_not_answer_is_one_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, finding: str
) -> None:
    """It ended the command before, so that no other check was shown."""
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(doctor, "SYSTEMD", tmp_path)
    monkeypatch.setattr(doctor, "SYSTEMCTL_S", 0.2)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert [(check.state, check.finding) for check in doctor._units()] == [("wrong", finding)]
