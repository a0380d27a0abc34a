"""Whatever is wrong, a command says it in clear lines, with the right exit code, and leaves the queue as it was."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from blogworker.db.embedded import EmbeddedPostgres

DONE, FAILED, USAGE, REFUSED = 0, 1, 2, 75
KEYS = {"OPENAI_API_KEY": "sk-test-1", "REPLICATE_API_TOKEN": "r8-test-1"}
GOOD = {"instance_id": "s", "source_type": "keyword", "source_data": {"keyword": "stoneware mugs"}}
BAD_ROWS = [
    ({**GOOD, "source_type": "poem"}, "source_type 'poem' is unknown: use keyword, product, text"),
    ({**GOOD, "source_data": {"keyword": " "}}, "a keyword blog needs its keyword"),
    ({**GOOD, "source_data": {"keyword": "k", "notes": "n" * 65_536}}, "source_data has 65,"),
    ({**GOOD, "source_data": {"keyword": "nul\0"}}, "source_data.keyword holds a NUL character"),
    ({**GOOD, "instance_id": ""}, "instance_id is missing"),
    ({**GOOD, "priority": 40_000}, "priority must be a whole number"),
    ({**GOOD, "publish_at": "2026-12-01T09:00:00"}, "publish_at has no time zone"),
    ({**GOOD, "keyword": "mugs"}, "unknown field 'keyword': put it into source_data"),
    (["not", "an", "object"], "not an object"),
]
WIX_EXPORT = """handleId,fieldType,name,description,price,visible
mug,Product,Low Water Mug,A mug.,26.00,true
,Product,,No name,5.00,true
bowl,Product,Tide Bowl,A bowl.,cheap,true
"""

Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> None:
    """Keep a machine's own settings out."""
    for name in [name for name in os.environ if name.startswith(("BLOGWORKER_", "DATABASE_", "DB_", "PG"))]:
        request.getfixturevalue("monkeypatch").delenv(name)


def queue_is_empty(sql: Sql) -> bool:
    return sql("select count(*) from blog_generations") == [(0,)] and sql("select count(*) from sites") == [(0,)]


def complained(ran: Any, *, code: int, of: str) -> None:
    """One clear line that holds `of`, nothing else on either stream, and the exit code."""
    assert (ran.code, ran.out) == (code, ""), ran
    assert len(ran.complaints) == 1, ran.err
    assert ran.err.startswith("blogworker: ")
    assert of in ran.err


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_every_bad_row_of_a_jsonl_file_is_named_and_nothing_is_enqueued(cli: Any, sql: Sql) -> None:
    """All or nothing: a person corrects a file once, not once a row."""
    jsonl(cli.folder / "rows.jsonl", [GOOD, *[row for row, _ in BAD_ROWS]])
    with (cli.folder / "rows.jsonl").open("a") as file:
        file.write("{broken\n")

    ran = cli("enqueue", "rows.jsonl")

    assert (ran.code, ran.out) == (USAGE, "")
    for line, (_, reason) in enumerate(BAD_ROWS, 2):
        assert any(c.startswith(f"blogworker: rows.jsonl:{line}: ") and reason in c for c in ran.complaints), reason
    assert f"blogworker: rows.jsonl:{len(BAD_ROWS) + 2}: not JSON" in ran.err
    assert "nothing was enqueued" in ran.complaints[-1]
    assert len(ran.complaints) == len(BAD_ROWS) + 2
    assert queue_is_empty(sql)


def test_skip_bad_enqueues_the_good_rows_and_still_names_the_others(cli: Any, sql: Sql) -> None:
    jsonl(cli.folder / "rows.jsonl", [GOOD, *[row for row, _ in BAD_ROWS], {**GOOD, "instance_id": "t"}])

    ran = cli("enqueue", "rows.jsonl", "--skip-bad", "--json")

    assert ran.code == DONE
    assert ran.json == {"created": 2, "known": 0, "sites": 2, "skipped": 0, "skipped_by": {}, "bad": len(BAD_ROWS)}
    assert all(line.endswith("(skipped)") for line in ran.complaints)
    assert sql("select instance_id from blog_generations order by 1") == [("s",), ("t",)]


def test_bad_rows_of_a_product_export_are_named_by_their_line(cli: Any, sql: Sql) -> None:
    (cli.folder / "export.csv").write_text(WIX_EXPORT, encoding="utf-8")

    ran = cli("enqueue", "export.csv", "--site", "s")

    assert (ran.code, ran.out) == (USAGE, "")
    assert "blogworker: export.csv:3: " in ran.err
    assert "blogworker: export.csv:4: " in ran.err
    assert "export.csv:2:" not in ran.err
    assert queue_is_empty(sql)


def test_bad_keywords_of_a_list_are_named_by_their_line(cli: Any, sql: Sql) -> None:
    (cli.folder / "words.txt").write_bytes(b"stoneware mugs\n" + b"x" * 300 + b"\n# a remark\n\xff\xfe tea\nnul\0\n")

    ran = cli("enqueue", "words.txt", "--site", "s")

    assert (ran.code, ran.out) == (USAGE, "")
    assert "blogworker: words.txt:2: a keyword of 300 characters" in ran.err
    assert "blogworker: words.txt:4: byte 1 is not UTF-8" in ran.err
    assert any("words.txt:5: " in line and "holds a NUL character" in line for line in ran.complaints)
    assert len(ran.complaints) == 4
    assert queue_is_empty(sql)


def test_a_thousand_bad_rows_are_not_all_printed(cli: Any, sql: Sql) -> None:
    jsonl(cli.folder / "rows.jsonl", [{"source_type": "poem"}] * 1200)

    ran = cli("enqueue", "rows.jsonl")

    assert ran.code == USAGE
    assert len(ran.complaints) < 60
    assert "more" in ran.complaints[-2]
    assert queue_is_empty(sql)


def test_a_bad_keyword_beside_a_good_one_enqueues_neither(cli: Any, sql: Sql) -> None:
    """The command line is all or nothing as files are."""
    ran = cli("enqueue", "--site", "s", "--keyword", "stoneware mugs", "--keyword", " ")

    complained(ran, code=USAGE, of="a keyword blog needs its keyword")
    assert queue_is_empty(sql)


def test_a_keyword_that_is_no_text_is_refused(cli: Any, sql: Sql) -> None:
    ran = cli("enqueue", "--site", "s", "--keyword", b"caf\xe9")

    complained(ran, code=USAGE, of="surrogate")
    assert queue_is_empty(sql)


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
def test_a_database_that_is_away_is_worth_another_try(
    offline: Any, arguments: list[str], url: str, reason: str
) -> None:
    """A producer's script that is told 2 takes its blogs for wrong and drops them."""
    ran = offline(*arguments, DATABASE_URL=url)

    complained(ran, code=REFUSED, of=reason)
    assert "hunter2" not in ran.err


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


def test_a_newer_database_found_than_the_program_is_left_alone(cli: Any, sql: Sql) -> None:
    """A worker of yesterday must not write into tables of tomorrow."""
    sql("insert into blogworker_migrations (version, name, checksum) values (9999, 'of_tomorrow', 'x')")

    for command in (["enqueue", "--site", "s", "--keyword", "k"], ["run"], ["migrate"]):
        ran = cli(*command, **KEYS)

        complained(ran, code=USAGE, of="newer than this program (it has migration 9999): upgrade blogworker")
    assert queue_is_empty(sql)


def test_a_migration_that_was_edited_after_it_ran_is_found_out(cli: Any, sql: Sql) -> None:
    sql("update blogworker_migrations set checksum = 'edited' where version = 1")

    for command in (["list"], ["migrate"]):
        complained(cli(*command), code=USAGE, of="migration 1 differs from the one applied here")


def test_a_role_that_may_only_read_is_told_when_it_writes(cli: Any, sql: Sql, database_url: str) -> None:
    """It may look all the same."""
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


def test_a_read_only_database_is_worth_another_try(cli: Any, sql: Sql, database_url: str) -> None:
    """After a failover, or with a full disk, systemd has to start the worker again."""
    sql(f"alter database {conninfo_to_dict(database_url)['dbname']} set default_transaction_read_only = on")

    for command in (["list"], ["run"], ["migrate"]):
        complained(cli(*command, **KEYS), code=REFUSED, of="the database is read-only")


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


def test_a_full_queue_refuses_for_now(cli: Any, sql: Sql) -> None:
    """Exit 75 is EX_TEMPFAIL: a script may try again later."""
    assert cli("enqueue", "--site", "s", "--keyword", "a", "--keyword", "b").code == DONE
    (cli.folder / "words.txt").write_text("c\nd\ne\n")

    for arguments in (["--keyword", "c", "--keyword", "d"], ["words.txt"]):
        ran = cli("enqueue", "--site", "s", *arguments, BLOGWORKER_QUEUE_SIZE_LIMIT="3")
        complained(ran, code=REFUSED, of="at most 3 may; try again in about 1 min")

    assert sql("select count(*) from blog_generations") == [(2,)]


def test_a_site_that_is_full_refuses_for_itself_only(cli: Any) -> None:
    assert cli("sites", "set", "s", "--max-pending", "1").code == DONE
    assert cli("enqueue", "--site", "s", "--keyword", "a").code == DONE

    complained(cli("enqueue", "--site", "s", "--keyword", "b"), code=REFUSED, of="site s is full")
    assert cli("enqueue", "--site", "t", "--keyword", "b").code == DONE


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["pause", "nobody"], "site nobody is unknown, or already paused"),
        (["resume", "nobody"], "site nobody is unknown, or not paused"),
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
def test_a_reader_that_leaves_early_is_no_error(cli: Any, sql: Sql, form: str) -> None:
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
def test_a_number_that_no_column_holds_is_a_usage_error(cli: Any, arguments: list[str], reason: str) -> None:
    """Exit 1 would say that the command was right and the database at fault."""
    ran = cli(*arguments)

    assert (ran.code, ran.out) == (USAGE, ""), ran
    assert reason in ran.err


def test_an_empty_standard_input_is_called_by_its_name(cli: Any) -> None:
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


def test_a_simulator_that_cannot_tell_its_address_ends(offline: Any) -> None:
    ran = offline("simulate", "--port", "0", "--url-file", ".")

    assert (ran.code, len(ran.complaints)) == (USAGE, 1), ran.err
    assert "--url-file . cannot be written" in ran.err


def test_a_misspelt_setting_is_told_with_the_one_that_was_meant(cli: Any) -> None:
    """The worker runs with the default, and nobody would ever know."""
    (cli.folder / ".env").write_text("blogworker_leese=30\nBLOGWORKER_LEASE=20\n")

    ran = cli("run", "--until-empty", **KEYS, BLOGWORKER_CONCURENCY="5", LOG_LEVEL="warning")

    told = {line["name"]: line["meant"] for line in map(json.loads, ran.complaints + ran.out.splitlines())}
    assert ran.code == DONE, ran.err
    assert told == {"BLOGWORKER_CONCURENCY": "BLOGWORKER_CONCURRENCY", "BLOGWORKER_LEESE": "BLOGWORKER_LEASE"}
