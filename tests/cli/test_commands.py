"""What each command does when all is well, and that no command shows a secret."""

import json
import re
from typing import Any

import pytest

from blogworker import __version__
from blogworker.db.migrate import migrations

from .imports import Sql

UNREACHABLE = "postgresql://u@127.0.0.1:1/d"
SECRETS = {
    "OPENAI_API_KEY": "sk-secret-one",
    "REPLICATE_API_TOKEN": "r8-secret-two",
    "WIX_APP_ID": "app",
    "WIX_APP_SECRET": "secret-three",
}


def test_the_version_is_printed(offline: Any) -> None:
    assert offline("--version").out == f"blogworker {__version__}\n"


def test_migrate_prints_its_sql_and_connects_to_nothing(offline: Any) -> None:
    """What a database administrator reviews, from a machine that reaches no database."""
    ran = offline("migrate", "--sql", DATABASE_URL=UNREACHABLE)

    assert (ran.code, ran.err) == (0, "")
    for migration in migrations():
        whole = f"begin;\n{migration.text}commit;\n" if migration.statements is None else migration.text
        assert f"-- migration {migration.version:04} {migration.name}\n{whole}" in ran.out


def test_migrate_brings_an_empty_database_up_to_date_once(offline: Any, empty_url: str) -> None:
    known = [m.version for m in migrations()]

    before = offline("migrate", "--status", "--json", DATABASE_URL=empty_url)
    first = offline("migrate", DATABASE_URL=empty_url)
    second = offline("migrate", "--json", DATABASE_URL=empty_url)
    after = offline("migrate", "--status", DATABASE_URL=empty_url)

    assert (before.code, [m["state"] for m in before.json]) == (1, ["pending"] * len(known))
    assert first.code == 0
    assert [json.loads(line)["version"] for line in first.out.splitlines()] == known
    assert (second.code, second.json) == (0, {"applied": []})
    assert after.code == 0
    assert "pending" not in after.out


@pytest.fixture
def filled(cli: Any, sql: Sql) -> Any:
    """A database with something to show: blogs of two sites, one failed with an error in the words of markup."""
    assert cli("enqueue", "--site", "a", "--keyword", "mugs", "--keyword", "[bold]bowls[/nope]").code == 0
    assert cli("enqueue", "--site", "b", "--keyword", "kilns").code == 0
    sql("update blog_generations set status = 'FAILED', error = 'the [vendor] said no' where instance_id = 'b'")
    sql(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, request_id, retryable) "
        "select id, 1, 'ideas', 'Rejected', 'no', 'req_1', false from blog_generations where instance_id = 'b'"
    )
    return cli


def test_status_shows_the_queue_the_fleet_and_the_sites(filled: Any) -> None:
    for_people, for_machines = filled("status"), filled("status", "--json")

    assert (for_people.code, for_people.err) == (0, "")
    for word in ("Queue", "PENDING", "FAILED", "Why jobs wait", "Workers", "Quotas", "Busiest sites", "spent today"):
        assert word in for_people.out
    found = for_machines.json
    assert found.keys() == {
        "queue",
        "waiting",
        "fleet",
        "workers",
        "quotas",
        "breakers",
        "busiest_sites",
        "paused_stages",
        "scale",
        "webhooks",
    }
    assert {row["status"]: row["jobs"] for row in found["queue"]} == {"PENDING": 2, "FAILED": 1}
    assert found["fleet"]["sites"] == 2
    assert [site["instance_id"] for site in found["busiest_sites"]] == ["a", "b"]


def test_status_says_so_when_no_worker_is_alive(cli: Any, sql: Any) -> None:
    """The first thing to look at when nothing is published, and an empty table is easily read past."""
    alone = cli("status").out
    sql(
        "insert into workers (worker_id, name, host, pid, version, concurrency, lease_until) "
        "values (gen_random_uuid(), 'w', 'h', 1, '0', 1, now() + interval '1 minute')"
    )
    served = cli("status").out

    assert "none is alive: no job is claimed until one is started" in alone
    assert "none is alive" not in served


def test_list_gives_the_newest_first_and_can_be_narrowed(filled: Any) -> None:
    found = filled("list", "--json").json
    page = filled("list", "--json", "--limit", "1", "--before", str(found[0]["id"])).json
    failed = filled("list", "--json", "--status", "FAILED", "--site", "b").json
    for_people = filled("list")

    assert [row["source"] for row in found] == ["kilns", "[bold]bowls[/nope]", "mugs"]
    assert {"id", "instance_id", "status", "stage", "failures", "error", "title", "url"} <= found[0].keys()
    assert page == found[1:2]
    assert [row["error"] for row in failed] == ["the [vendor] said no"]
    assert for_people.err == ""
    assert "[bold]bowls[/nope]" in for_people.out
    assert "the [vendor] said no" in for_people.out


def test_jobs_are_cancelled_by_a_filter(filled: Any, sql: Sql) -> None:
    sql("update blog_generations set created_at = now() - interval '3 days' where source_id is null")
    before = {row["id"]: row["status"] for row in filled("list", "--json").json}
    waiting = [job_id for job_id, status in before.items() if status == "PENDING"]

    nobody = filled("cancel", "--text", "no such text")
    recent = filled("cancel", "--older-than", "4d", "--json").json
    found = filled("cancel", "--within", "4d", "--status", "PENDING", "--yes")

    assert nobody.out == "0 jobs cancelled\n"
    assert recent == []
    assert found.out == f"{len(waiting)} jobs cancelled\n"
    after = {row["id"]: row["status"] for row in filled("list", "--json").json}
    assert after == before | dict.fromkeys(waiting, "CANCELLED")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "which jobs?"),
        (["1", "--all"], "which jobs?"),
        (["--status", "DONE"], "DONE jobs have ended"),
        (["--site", "unknown"], "unknown"),
        (["--older-than", "soon"], "is not a duration"),
    ],
)
def test_cancel_needs_ids_or_a_filter_of_jobs_that_can_be_cancelled(
    filled: Any, arguments: list[str], reason: str
) -> None:
    refused = filled("cancel", *arguments)

    assert (refused.code, refused.out) == (2, "")
    assert reason in refused.err


def test_show_prints_everything_about_a_job(filled: Any) -> None:
    job_id = str(filled("list", "--json").json[0]["id"])

    for_people, found = filled("show", job_id), filled("show", job_id, "--json").json

    assert found.keys() == {"job", "post", "checkpoints", "errors", "publish_at", "worker"}
    assert (found["job"]["status"], found["post"]) == ("FAILED", None)
    assert [error["request_id"] for error in found["errors"]] == ["req_1"]
    for word in (f"Job {job_id}", "FAILED", "Errors", "Rejected", "req_1"):
        assert word in for_people.out


def test_show_prints_the_link_of_the_post_or_why_it_has_none(cli: Any, sql: Sql) -> None:
    assert cli("enqueue", "--site", "a", "--keyword", "mugs").code == 0

    def shown(source: dict[str, Any]) -> str:
        sql(
            "insert into generation_stages (generation_id, stage, output, attempt) select id, 'source', %s, 1 "
            "from blog_generations on conflict (generation_id, stage) do update set output = excluded.output",
            json.dumps(source),
        )
        return str(cli("show", "1").out)

    assert "no link: the source has no url and the site no --product-url" in shown({"kind": "product", "url": ""})
    assert "no link: the product has no sku" in shown({"kind": "product", "no_link": "the product has no sku"})
    assert "https://shop.example/mug" in shown({"kind": "product", "url": "https://shop.example/mug"})
    assert "no link" not in shown({"kind": "keyword", "url": ""})


def test_a_site_can_be_made_changed_paused_and_resumed(cli: Any) -> None:
    made = cli("sites", "set", "s", "--name", "Tidewrack", "--weight", "2.5", "--settings", '{"language": "de"}')
    changed = cli("sites", "set", "s", "--max-in-flight", "3", "--settings", '{"tone": "dry"}', "--json").json
    assert made.code == 0
    assert (changed[0]["weight"], changed[0]["max_in_flight"]) == (2.5, 3)
    assert changed[0]["settings"] == {"language": "de", "tone": "dry"}

    assert cli("sites", "pause", "s", "--reason", "owner on holiday").code == 0
    assert "owner on holiday" in cli("sites", "list").out
    assert cli("sites", "resume", "s").code == 0
    assert cli("sites", "list", "--json").json[0]["pause_reason"] is None


def test_sites_show_their_share_and_their_longest_wait(cli: Any, sql: Sql) -> None:
    sql(
        "insert into provider_usage (hour, provider, model, instance_id, requests, tokens_in) values "
        "(date_trunc('hour', now()), 'openai', 'm', 's', 1, 30), "
        "(date_trunc('hour', now()), 'openai', 'm', 't', 1, 90), "
        "(now() - interval '3 hours', 'openai', 'm', 't', 1, 1000)"
    )
    sql("insert into sites (instance_id) values ('t'), ('u')")
    sql("insert into blog_generations (instance_id, source_type, source_id) values ('s', 'keyword', 'k')")

    shares = {row["instance_id"]: row["token_share"] for row in cli("sites", "list", "--json").json}
    assert shares == {"s": 0.25, "t": 0.75, "u": 0}
    assert cli("sites", "show", "s", "--json").json["token_share"] == 0.25
    assert "25 %" in cli("sites", "list").out
    assert "oldest waiting job" in cli("sites", "show", "s").out
    assert cli("sites", "show", "t", "--json").json["waiting_since"] is None


def test_the_address_of_products_is_set_shown_and_removed(cli: Any, sql: Sql) -> None:
    page = "https://shop.example/product-page/{handle}"
    made = cli("sites", "set", "s", "--product-url", page, "--settings", '{"tone": "dry"}')
    sql("insert into sites (instance_id) values ('wix')")
    sql(
        "insert into cache (key, value, expires_at) values "
        "('product_url/wix', '\"https://wix.example/p/{handle}\"', '2100-01-01Z'), "
        "('product_url/s', '\"https://old.example/{handle}\"', '2100-01-01Z')"
    )

    shown = cli("sites", "list").out
    rows = {row["instance_id"]: row for row in cli("sites", "list", "--json").json}
    removed = cli("sites", "set", "s", "--product-url", "", "--json").json[0]

    assert page in made.out
    assert page in shown
    assert "https://wix.example/p/{handle} (detected)" in shown
    assert (rows["s"]["product_url"], rows["s"]["product_url_learnt"]) == (page, False)
    assert rows["s"]["settings"] == {"tone": "dry", "product_url": page}
    assert (rows["wix"]["product_url"], rows["wix"]["product_url_learnt"]) == ("https://wix.example/p/{handle}", True)
    assert removed["settings"] == {"tone": "dry", "product_url": None}
    assert (removed["product_url"], removed["product_url_learnt"]) == ("https://old.example/{handle}", True)


def test_no_command_shows_a_secret(filled: Any, sql: Sql) -> None:
    """Neither in its output nor, later, in the environment of the database's own records."""
    url = f"{filled.environment['DATABASE_URL']} password=secret-four"
    secrets = SECRETS | {"DATABASE_URL": url}
    commands = [
        ("status",),
        ("status", "--json"),
        ("list",),
        ("show", "1", "--json"),
        ("migrate", "--status"),
        ("run", "--until-empty", "--concurrency", "0"),
    ]

    for command in commands:
        ran = filled(*command, **secrets)
        assert "secret" not in ran.out + ran.err, command
    assert all("secret" not in str(row) for row in sql("select application_name, query from pg_stat_activity"))


def test_no_command_shows_a_secret_that_was_stored(filled: Any, sql: Sql) -> None:
    """A worker with other settings may have stored it: in an error, a reason, a post."""
    secret = "sk-proj-Zq8_vT2_xK5_mN7w"  # noqa: S105
    failed = sql("select id from blog_generations where status = 'FAILED'")[0][0]
    sql("update blog_generations set error = %s where id = %s", f"bad key {secret}", failed)
    sql("update generation_errors set message = %s", f"bad key {secret}")
    sql("update provider_health set state = 'open', reason = %s where provider = 'openai'", f"bad key {secret}")
    sql(
        "insert into blog_posts (generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, "
        "seo_description, word_count, tags) select id, instance_id, 't', 's', 'e', %s, 'h', 't', 'd', 4, '{}' "
        "from blog_generations where id = %s",
        f"# Title\n\nthe key {secret} in a post",
        failed,
    )
    commands = [
        ("show", str(failed)),
        ("tail", str(failed), "--no-follow"),
        ("status", "--check"),
        ("autoscale",),
        ("errors",),
        ("breakers",),
        ("explain", str(failed)),
        ("list",),
    ]

    shown = {command: filled(*command, OPENAI_API_KEY=secret) for command in commands}

    assert [command for command, ran in shown.items() if secret in ran.out + ran.err] == []
    assert [command for command, ran in shown.items() if "[secret]" not in ran.out] == []


@pytest.mark.parametrize("command", ["--help", "status", "quotas", "breakers", "list", "costs"])
def test_read_only_commands_load_no_sdk_of_a_provider(cli: Any, command: str) -> None:
    """They take more than half a second, of an operator who looks every few."""
    ran = cli.afresh(command, PYTHONPROFILEIMPORTTIME="1")

    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.complaints}
    assert ran.code == 0
    assert "blogworker" in loaded
    assert loaded.isdisjoint({"openai", "replicate", "starlette", "uvicorn", "markdown_it"})


def test_tries_count_failed_attempts(cli: Any, sql: Sql) -> None:
    """A refused blog was attempted once: FAILED beside 0/5 puzzled operators."""
    sql(
        "insert into blog_generations (instance_id, source_type, source_id, status, attempt, failures, finished_at) "
        "values ('s', 'keyword', 'refused', 'FAILED', 1, 0, now()), ('s', 'keyword', 'late', 'FAILED', 4, 2, now()), "
        "('s', 'keyword', 'used-up', 'FAILED', 5, 5, now()), ('s', 'keyword', 'done', 'DONE', 2, 1, now()), "
        "('s', 'keyword', 'by-hand', 'FAILED', 0, 0, now())"
    )
    sql("insert into blog_generations (instance_id, source_type, source_id) values ('s', 'keyword', 'waits')")

    ids = dict(sql("select source_id, id from blog_generations"))

    lines = cli("list").out.splitlines()

    expected = {"refused": "1 (final)", "late": "3 (final)", "used-up": "5/5", "done": "2", "waits": "0/5"}
    for word, tries in {**expected, "by-hand": "0"}.items():
        assert f"  {tries}  " in next(line for line in lines if word in line)
    assert re.search(r"^attempts +1 \(final\)$", cli("show", str(ids["refused"])).out, re.MULTILINE)


def test_show_prints_the_subject_and_times_in_whole_seconds(cli: Any, sql: Sql) -> None:
    """A blog about a keyword has no source_id: nothing on the page named its subject."""
    sql(
        "insert into blog_generations (instance_id, source_type, source_data, run_at) values "
        "('s', 'keyword', '{\"keyword\": \"linen\"}', '2027-03-04 05:06:07.891+00'), "
        "('s', 'text', jsonb_build_object('text', repeat('wool ', 100)), default)"
    )

    keyword, text = (cli("show", job).out for job in ("1", "2"))

    assert re.search(r"^source +linen$", keyword, re.MULTILINE)
    assert re.search(r"^run at +2027-03-04 05:06:07 UTC$", keyword, re.MULTILINE)
    assert "wool…\n" in text
    assert f"text: {('wool ' * 12)[:59]}… " in cli("list").out


def test_a_cancel_of_a_published_post_says_that_it_is_done(cli, sql):
    sql(
        "insert into blog_generations (instance_id, source_type, source_id, stage) "
        "values ('a', 'keyword', 'k', 'publish')"
    )
    sql(
        "insert into generation_stages (generation_id, stage, output, attempt) "
        "values (1, 'publish.post', '{\"id\": \"p\"}', 1)"
    )

    assert cli("cancel", "1").out == "job 1: its post is published, so it is done\n"
    assert sql("select status from blog_generations") == [("DONE",)]
