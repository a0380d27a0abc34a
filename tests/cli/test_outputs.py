"""Whatever standard output is, a command does what it was asked for, says in one line what it could not write, and
exits as it should."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.forks import Forks, Ran

DONE, FAILED, USAGE = 0, 1, 2
KEYS = {"OPENAI_API_KEY": "sk-test-1", "REPLICATE_API_TOKEN": "r8-test-1"}
NASTY = "caf\xe9 \u5ead\u5712 \x1b[31mred\x1b]0;title\x07 \x9b2J \u202eexe.gpj \u200bzero\u2028line \U000e0041"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]  # some tests here run thirty commands


@pytest.fixture
def command(forks: Forks, tmp_path: Path) -> Callable[..., Ran]:
    """Commands whose output goes to a file, or to what cannot take it."""

    def run(*arguments: str, out: str = "file", err_encoding: str = "utf-8", **environment: str) -> Ran:
        given = {**os.environ, **environment}
        return forks.run(arguments, folder=tmp_path, environment=given, out=out, err_encoding=err_encoding)

    return run


@pytest.fixture
def run(command: Callable[..., Ran], database_url: str, sql: Callable[..., Any]) -> Callable[..., Ran]:
    """Commands on a database where a title, an error, a reason, a bucket and a site are nasty."""
    sql("insert into sites (instance_id) values ('s')")
    for site in ("s", NASTY.replace(" ", "")):
        sql(
            "insert into blog_generations (instance_id, source_type, source_data) "
            "values (%s, 'keyword', jsonb_build_object('keyword', %s::text))",
            site,
            NASTY,
        )
    sql("update blog_generations set status = 'FAILED', error = %s where instance_id = 's'", NASTY)
    sql(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, request_id, retryable) "
        "select min(id), 1, 'ideas', 'Rejected', %s, %s, false from blog_generations",
        NASTY,
        NASTY,
    )
    sql(
        "insert into blog_posts (generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, "
        "seo_description, word_count, wix_draft_id, tags) "
        "select min(g.id), 's', t, 'slug', t, t, t, t, t, 4, 'draft', array[t] "
        "from blog_generations as g, (values (%s)) as v (t) group by t",
        NASTY,
    )
    sql("update provider_health set state = 'open', reason = %s where provider = 'openai'", NASTY)
    sql("insert into quotas (name, provider, requests_per_minute) values (%s, 'openai', 400)", NASTY)
    sql(
        "insert into webhooks (name, url, events, instance_ids, failures, failing_since, last_error) "
        "values ('w', %s, '{done}', array[%s], 1, now(), %s)",
        NASTY,
        NASTY,
        NASTY,
    )
    sql(
        "insert into webhook_deliveries (webhook_id, message_id, event, payload, last_error) "
        "select webhook_id, gen_random_uuid(), 'done', '{}', %s from webhooks",
        NASTY,
    )
    sql("insert into alerts (rule, severity, value, summary) values (%s, 'warning', 1, %s)", NASTY, NASTY)
    sql("insert into alert_evaluations (one) values (true)")
    sql("update sites set pause_reason = %s, paused_at = now()", NASTY)

    def with_database(*arguments: str, out: str = "file", **environment: str) -> Ran:
        return command(*arguments, out=out, **({"DATABASE_URL": database_url, "COLUMNS": "80"} | environment))

    return with_database


COMMANDS = [
    ["--help"],
    ["--version"],
    ["migrate", "--sql"],
    ["migrate", "--status"],
    ["status"],
    ["list"],
    ["show", "1"],
    ["explain", "1"],
    ["review"],
    ["review", "1"],
    ["sites", "list"],
    ["sites", "show", "s"],
    ["plans", "list"],
    ["autoscale"],
    ["quotas"],
    ["quotas", "--site", "s"],
    ["breakers"],
    ["metrics", "--top-sites", "9"],
    ["errors"],
    ["audit"],
    ["reconcile"],
    ["tail", "1", "--no-follow", "--since", "1d"],
    ["workers"],
    ["history"],
    ["tokens"],
    ["alerts"],
    ["webhooks"],
    ["webhooks", "deliveries", "w"],
    ["doctor", "--no-keys"],
    ["list", "--text", "red"],
    ["costs"],
    ["costs", "budget"],
    ["enqueue", "--site", "t", "--keyword", "tea", "--dry-run"],
    ["enqueue", "--site", "t", "--keyword", "tea"],
    ["retry", "1"],
    ["cancel", "1"],
    ["pause", "--stage", "image", "--reason", NASTY],
    ["resume", "--stage", "image"],
    ["prune"],
    ["sites", "set", "s", "--weight", "2"],
    ["plans", "set", "gold", "--weight", "2"],
    ["breakers", "close", "openai"],
    ["migrate", "--wait"],
    ["systemd", "install", "--root", "machine", "--program", "/opt/blogworker/bin/blogworker"],
    ["systemd", "uninstall", "--root", "machine"],
    ["run", "--until-empty", "--suspects"],
]
MACHINES = [
    [*command, "--json"]
    for command in (
        ["status"],
        ["list"],
        ["show", "1"],
        ["explain", "1"],
        ["review", "1"],
        ["sites", "list"],
        ["sites", "show", "s"],
        ["plans", "list"],
        ["autoscale"],
        ["quotas"],
        ["breakers"],
        ["costs"],
        ["alerts"],
        ["webhooks"],
    )
]


def hidden(text: str) -> list[str]:
    """What a terminal would obey, or not show."""
    return [sign for sign in text if sign != "\n" and (not sign.isprintable() and sign != "\u3000")]


def test_no_command_writes_control_sequences(run: Callable[..., Ran]) -> None:
    """Titles come from a model and errors from a provider: neither may control the operator's terminal."""
    for command in COMMANDS + MACHINES:
        ran = run(*command, **KEYS, BLOGWORKER_LOG_FORMAT="console")
        assert hidden(ran.out + ran.err) == [], command
        assert "Traceback" not in ran.err, ran.err
        if command[0] in ("status", "list", "show") or command[:2] == ["review", "1"]:
            assert ("\\u001b[31mred" if "--json" in command else r"\x1b[31mred") in ran.out, command


def test_json_equals_the_database(run: Callable[..., Ran]) -> None:
    for out in ("file", "ascii"):
        assert {row["source"] for row in json.loads(run("list", "--json", out=out).out)} == {NASTY[:60]}


def test_an_output_of_ascii_is_written_in_ascii(run: Callable[..., Ran]) -> None:
    texts = (["status"], ["list"], ["show", "1"], ["show", "1", "--json"], ["metrics"])
    for command in (*texts, ["run", *COMMANDS[-1][1:]]):
        ran = run(*command, out="ascii", **KEYS, BLOGWORKER_LOG_FORMAT="console")
        assert ran.out.isascii(), command
        assert (ran.code, ran.err) == (DONE, ""), command


BAD = ("full", "closed", "pipe")
TURNS = [(command, BAD[turn % len(BAD)]) for turn, command in enumerate(COMMANDS + MACHINES[:3])]
EVERY = [(command, out) for command in (["list"], ["list", "--json"], COMMANDS[-1]) for out in BAD]


def test_an_unwritable_output_is_reported_in_one_line(run: Callable[..., Ran]) -> None:
    """Only a worker reports a reader that has left: `list | head -1` is done, but a worker runs on for days."""
    for number, (command, out) in enumerate(TURNS + EVERY):
        ran = run(*command, out=out, **KEYS, BLOGWORKER_LOG_FORMAT=("json", "console")[number % 2])
        complaints = ran.err.splitlines()
        assert len(complaints) == (1 if out != "pipe" or command[0] == "run" else 0), (command, out, ran)
        assert all("standard output cannot be written: " in line for line in complaints), (command, out, ran)
        assert ran.code == (DONE if out == "pipe" else FAILED), (command, out, ran)


def test_work_is_done_even_if_it_cannot_be_reported(run: Callable[..., Ran], sql: Callable[..., Any]) -> None:
    run("enqueue", "--site", "t", "--keyword", "tea", out="full")

    assert sql("select source_data ->> 'keyword' from blog_generations where instance_id = 't'") == [("tea",)]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_wrong_command_line_is_repeated_in_printable_characters(command: Callable[..., Ran], encoding: str) -> None:
    ran = command("list", f"--{NASTY}", err_encoding=encoding)

    assert (ran.code, ran.out) == (USAGE, "")
    assert hidden(ran.err) == []
    assert encoding == "utf-8" or ran.err.isascii()
    assert r"\x1b[31mred" in ran.err


@pytest.mark.parametrize(
    ("url", "complaints"),
    [
        ("postgresql://u@127.0.0.1:1/d", "127.0.0.1 port 1: Connection refused"),
        ("postgresql://u@127.0.0.1:1,127.0.0.2:2/d", "127.0.0.2 port 2: Connection refused; 127.0.0.1 port 1: "),
        ("postgresql:///d?host=/no/folder", "/no/folder/.s.PGSQL.5432: No such file or directory"),
    ],
)
def test_an_unreachable_database_is_reported_in_one_line(
    command: Callable[..., Ran], url: str, complaints: str
) -> None:
    ran = command("list", DATABASE_URL=url)

    assert ran.err.startswith(f"blogworker: cannot connect to Postgres: {complaints}")
    assert ran.err.endswith(". Check DATABASE_URL\n")
    assert ran.err.count("\n") == 1
