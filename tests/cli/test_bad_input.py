"""Wrong arguments and settings: a command names them in one clear line, with the right exit code."""

import json
import socket
from typing import Any

import pytest

from .refusals import DONE, FAILED, KEYS, USAGE, Sql, complained

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "nothing to enqueue"),
        (["--keyword", "mugs"], "--keyword needs --site"),
        (["missing.jsonl"], "missing.jsonl cannot be read: No such file or directory"),
        (["."], ". cannot be read: Is a directory"),
        (["empty.txt", "--site", "s"], "empty.txt is empty"),
        (["words.txt"], "words.txt does not name a site"),
        (["words.txt", "--site", "s", "--keyword", "k"], "give either files or --keyword"),
        (["--site", "s", "--keyword", "a", "--keyword", "b", "--key", "k"], "--key belongs to one job"),
    ],
)
def test_a_wrong_use_of_enqueue_is_one_line(offline: Any, arguments: list[str], reason: str) -> None:
    (offline.folder / "empty.txt").touch()
    (offline.folder / "words.txt").write_text("mugs\n")

    ran = offline("enqueue", *arguments, DATABASE_URL="postgresql://u@127.0.0.1:1/d")

    complained(ran, code=USAGE, of=reason)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["publish"], "No such command 'publish'"),
        (["list", "--colour"], "No such option: --colour"),
        (["list", "--status", "READY"], "READY"),
        (["list", "--limit", "0"], "--limit"),
        (["show", "first"], "valid integer"),
        (["enqueue", "--site", "s", "--keyword", "k", "--publish-at", "tomorrow"], "tomorrow"),
    ],
)
def test_an_unknown_command_option_or_value_is_a_usage_error(offline: Any, arguments: list[str], reason: str) -> None:
    ran = offline(*arguments)

    assert (ran.code, ran.out) == (USAGE, "")
    assert reason in ran.complaints[-1]
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("environment", "reasons"),
    [
        ({"REPLICATE_API_TOKEN": " "}, ["REPLICATE_API_TOKEN is not set"]),
        ({"OPENAI_API_KEY": "", "REPLICATE_API_TOKEN": ""}, ["OPENAI_API_KEY", "REPLICATE_API_TOKEN"]),
        ({"WIX_APP_SECRET": "hush"}, ["set both WIX_APP_ID and WIX_APP_SECRET, or neither"]),
        ({"DB_POOL_MIN": "9", "DB_POOL_MAX": "3"}, ["DB_POOL_MIN (9) is above DB_POOL_MAX (3)"]),
        (
            {"LOG_LEVEL": "5", "DB_POOL_MAX": "many", "BLOGWORKER_CONCURRENCY": "0", "OPENAI_RPM": "-1"},
            ["LOG_LEVEL: ", "DB_POOL_MAX: ", "BLOGWORKER_CONCURRENCY: ", "OPENAI_RPM: "],
        ),
    ],
)
def test_settings_that_cannot_work_stop_a_worker_before_it_starts(
    offline: Any, environment: dict[str, str], reasons: list[str]
) -> None:
    """A line for each fault, all of them at once."""
    ran = offline("run", **({"DATABASE_URL": "postgresql://u@127.0.0.1:1/d"} | KEYS | environment))

    assert (ran.code, ran.out) == (USAGE, "")
    assert len(ran.complaints) == len(reasons)
    for line, reason in zip(ran.complaints, reasons, strict=True):
        assert line.startswith("blogworker: ")
        assert reason in line
    assert "hush" not in ran.err


def test_a_blog_that_does_not_exist_cannot_be_shown(cli: Any) -> None:
    complained(cli("show", "999"), code=FAILED, of="there is no job 999")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["pause", "nobody"], "there is no site nobody"),
        (["resume", "nobody"], "there is no site nobody"),
        (["set", "s", "--settings", "{"], "--settings is not JSON"),
        (["set", "s", "--settings", "[1]"], "--settings must be a JSON object"),
        (["set", "s", "--product-url", "https://shop.example/{handle"], "--product-url has a brace"),
        (
            ["set", "s", "--settings", '{"product_url": "https://a:b@shop.example/{id}"}'],
            "product_url: contains a user name",
        ),
        (["set", " "], "instance_id is missing"),
        (["set", "s" * 300], "instance_id has 300 characters"),
    ],
)
def test_a_wrong_use_of_sites_is_one_line(cli: Any, arguments: list[str], reason: str) -> None:
    complained(cli("sites", *arguments), code=USAGE, of=reason)


@pytest.mark.parametrize("form", ["--json", "--limit=10000"])
def test_a_closed_pipe_is_not_an_error(cli: Any, sql: Sql, form: str) -> None:
    """`blogworker list | head -1` ends in silence."""
    sql(
        "insert into blog_generations (instance_id, source_type, source_id) "
        "select 's', 'keyword', repeat('k', 400) || n from generate_series(1, 400) as n"
    )

    ran = cli("list", form, out="socket")

    assert (ran.code, ran.err) == (DONE, "")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["retry", "9" * 30], "Invalid value for"),
        (["cancel", "--", "-1"], "Invalid value for"),
        (["list", "--before", "9" * 30], "Invalid value for '--before'"),
        (["sites", "set", "s", "--max-pending", "9" * 12], "Invalid value for '--max-pending'"),
        (["retry", "--within", "9" * 12 + "d"], "longer than a hundred years"),
        (["prune", "--older-than", "9" * 12 + "d"], "longer than a hundred years"),
    ],
)
def test_a_number_out_of_range_is_a_usage_error(cli: Any, arguments: list[str], reason: str) -> None:
    """Exit 1 would say that the command was right and the database at fault."""
    ran = cli(*arguments)

    assert (ran.code, ran.out) == (USAGE, ""), ran
    assert reason in ran.err


def test_an_error_names_the_empty_standard_input(cli: Any) -> None:
    """A person looks in vain for the temporary file that it is copied to."""
    complained(cli("enqueue", "-", "--site", "s"), code=USAGE, of="- is empty")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--host", "256.0.0.1", "--port", "0"], "cannot listen on 256.0.0.1, port 0: "),
        (["--port", "{taken}"], "choose others with --host and --port"),
    ],
)
def test_a_simulator_that_cannot_listen_says_where(offline: Any, arguments: list[str], reason: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        complained(offline("simulate", *(a.format(taken=port) for a in arguments)), code=USAGE, of=reason)


def test_a_simulator_that_cannot_print_its_address_exits(offline: Any) -> None:
    ran = offline("simulate", "--port", "0", "--url-file", ".")

    assert (ran.code, len(ran.complaints)) == (USAGE, 1), ran.err
    assert "--url-file . cannot be written" in ran.err


def test_a_misspelt_setting_is_reported_with_a_suggestion(cli: Any) -> None:
    """The worker runs with the default, and nobody would ever know."""
    (cli.folder / ".env").write_text("blogworker_leese=30\nBLOGWORKER_LEASE=20\n")

    ran = cli("run", "--until-empty", **KEYS, BLOGWORKER_CONCURENCY="5", LOG_LEVEL="warning")

    suggested = {line["name"]: line["meant"] for line in map(json.loads, ran.complaints + ran.out.splitlines())}
    assert ran.code == DONE, ran.err
    assert suggested == {"BLOGWORKER_CONCURENCY": "BLOGWORKER_CONCURRENCY", "BLOGWORKER_LEESE": "BLOGWORKER_LEASE"}
