"""What each command does when all is well, and that none of them ever shows a secret."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from blogworker import __version__
from blogworker.db.migrate import migrations

UNREACHABLE = "postgresql://u@127.0.0.1:1/d"
SECRETS = {
    "OPENAI_API_KEY": "sk-secret-one",
    "REPLICATE_API_TOKEN": "r8-secret-two",
    "WIX_APP_ID": "app",
    "WIX_APP_SECRET": "secret-three",
}
WIX_EXPORT = """handleId,fieldType,name,description,price,visible
mug,Product,Low Water Mug,A mug.,26.00,true
bowl,Product,Tide Bowl,A bowl.,31.00,true
hidden,Product,Kiln Brick,A brick.,1.00,false
"""
SHOPIFY_EXPORT = """Handle,Title,Body (HTML),Vendor,Tags,Variant Price,Image Src,Status
mug,Low Water Mug,<p>A mug.</p>,Tidewrack,"mug, tea",26.00,https://shop.example/mug.jpg,active
mug,,,,,28.00,https://shop.example/mug-2.jpg,active
bowl,Tide Bowl,<p>A bowl.</p>,Tidewrack,bowl,31.00,,active
"""
ROWS = [
    {"instance_id": "a", "source_type": "keyword", "source_id": "mugs", "priority": 5},
    {"instanceId": "b", "sourceType": "product", "sourceData": {"name": "Low Water Mug"}},
    {"instance_id": "c", "source_type": "text", "source_data": {"text": "Write about kilns."}, "max_attempts": 2},
]

Sql = Callable[..., list[tuple[Any, ...]]]


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def enqueued(sql: Sql) -> list[tuple[Any, ...]]:
    return sql("select instance_id, source_type, source_id, source_data from blog_generations order by id")


def test_the_version_is_told(offline: Any) -> None:
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


def test_a_list_of_keywords_is_dealt_over_the_sites_given(cli: Any, sql: Sql) -> None:
    (cli.folder / "words.txt").write_text("# ideas\nmugs\n\nbowls\nMugs\nkilns\n")

    ran = cli("enqueue", "words.txt", "--site", "a", "--site", "b", "--json")

    assert ran.json == {
        "created": 3, "known": 0, "sites": 2, "skipped": 1, "skipped_by": {"repeated": 1}, "bad": 0,
    }  # fmt: skip
    assert [(site, data["keyword"]) for site, _, _, data in enqueued(sql)] == [
        ("a", "mugs"),
        ("b", "bowls"),
        ("a", "kilns"),
    ]


def test_jsonl_brings_every_kind_of_source_in_either_spelling(cli: Any, sql: Sql) -> None:
    (cli.folder / "rows.jsonl").write_text(jsonl(ROWS))

    ran = cli("enqueue", "rows.jsonl")

    assert (ran.code, ran.out, ran.err) == (0, "3 jobs enqueued for 3 sites\n", "")
    assert [row[:3] for row in enqueued(sql)] == [
        ("a", "keyword", "mugs"),
        ("b", "product", None),
        ("c", "text", None),
    ]
    assert sql("select priority, max_attempts from blog_generations order by id") == [(5, 5), (0, 5), (0, 2)]


def test_standard_input_is_read_like_a_file(cli: Any, sql: Sql) -> None:
    rows = cli("enqueue", "-", stdin=jsonl(ROWS).encode())
    words = cli("enqueue", "-", "--site", "d", stdin=b"mugs\nbowls\n")

    assert (rows.code, words.code) == (0, 0), (rows, words)
    assert [row[0] for row in enqueued(sql)] == ["a", "b", "c", "d", "d"]


def test_a_wix_export_brings_its_products(cli: Any, sql: Sql) -> None:
    (cli.folder / "catalog_products.csv").write_text(WIX_EXPORT)

    ran = cli("enqueue", "catalog_products.csv", "--site", "s")

    assert ran.code == 0, ran
    names = [data["name"] for *_, data in enqueued(sql)]
    assert names == ["Low Water Mug", "Tide Bowl"], "one is hidden in its shop"
    assert sql("select source_data ->> 'price' from blog_generations order by id limit 1") == [("26.00",)]


def test_a_shopify_export_brings_one_blog_a_product(cli: Any, sql: Sql) -> None:
    """Its variants and pictures stand on rows of their own."""
    (cli.folder / "products_export.csv").write_text(SHOPIFY_EXPORT)

    ran = cli("enqueue", "products_export.csv", "--site", "s", "--json")

    assert (ran.code, ran.json["created"]) == (0, 2)
    mug, bowl = (data for *_, data in enqueued(sql))
    assert (mug["name"], mug["price"], mug["price_max"]) == ("Low Water Mug", "26.00", "28.00")
    assert mug["images"] == ["https://shop.example/mug.jpg", "https://shop.example/mug-2.jpg"]
    assert bowl["name"] == "Tide Bowl"


def test_a_file_given_again_adds_nothing_unless_asked_to(cli: Any, sql: Sql) -> None:
    """Whoever is not sure that an import went through may repeat it."""
    (cli.folder / "words.txt").write_text("mugs\nbowls\n")
    command = ("enqueue", "words.txt", "--site", "s")

    first, again = cli(*command), cli(*command)
    more = cli(*command, "--repeatable", "--json")

    assert first.out == "2 jobs enqueued for 1 site\n"
    assert again.out.startswith("0 jobs enqueued")
    assert "enqueued before: 2 rows" in again.out
    assert more.json["created"] == 2
    assert len(enqueued(sql)) == 4


def test_a_key_given_twice_answers_with_the_first_blog(cli: Any, sql: Sql) -> None:
    command = ("enqueue", "--site", "s", "--keyword", "mugs", "--key", "order-7", "--json")

    first, again = cli(*command).json, cli(*command).json

    assert first[0].keys() == {"id", "status", "created", "place", "expected_start", "waits_for"}
    assert (first[0]["created"], first[0]["status"], first[0]["place"]) == (True, "PENDING", 1)
    assert (again[0]["created"], again[0]["id"]) == (False, first[0]["id"])
    assert len(enqueued(sql)) == 1


def test_a_blog_may_be_asked_for_now_and_published_later(cli: Any, sql: Sql) -> None:
    ran = cli(
        *("enqueue", "--site", "s", "--keyword", "mugs", "--keyword", "bowls", "--priority", "7"),
        *("--run-at", "2999-01-01T00:00:00Z", "--publish-at", "2999-01-02T00:00+02:00"),
    )

    assert ran.code == 0
    assert ran.out.count("SCHEDULED") == 2
    assert (
        sql("select status, priority, run_at = '2999-01-01T00:00Z' from blog_generations")
        == [("SCHEDULED", 7, True)] * 2
    )
    assert sql("select distinct publish_at = '2999-01-01T22:00Z' from scheduled_blogs") == [(True,)]


@pytest.fixture
def told(cli: Any, sql: Sql) -> Any:
    """A database with something to tell: blogs of two sites, one failed with an error in the words of markup."""
    assert cli("enqueue", "--site", "a", "--keyword", "mugs", "--keyword", "[bold]bowls[/nope]").code == 0
    assert cli("enqueue", "--site", "b", "--keyword", "kilns").code == 0
    sql("update blog_generations set status = 'FAILED', error = 'the [vendor] said no' where instance_id = 'b'")
    sql(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, request_id, retryable) "
        "select id, 1, 'ideas', 'Rejected', 'no', 'req_1', false from blog_generations where instance_id = 'b'"
    )
    return cli


def test_status_tells_the_queue_the_fleet_and_the_sites(told: Any) -> None:
    for_people, for_machines = told("status"), told("status", "--json")

    assert (for_people.code, for_people.err) == (0, "")
    for word in ("Queue", "PENDING", "FAILED", "Why jobs wait", "Workers", "Quotas", "Busiest sites", "spent today"):
        assert word in for_people.out
    found = for_machines.json
    assert found.keys() == {"queue", "waiting", "fleet", "workers", "quotas", "breakers", "busiest_sites"}
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


def test_list_gives_the_newest_first_and_can_be_narrowed(told: Any) -> None:
    found = told("list", "--json").json
    page = told("list", "--json", "--limit", "1", "--before", str(found[0]["id"])).json
    failed = told("list", "--json", "--status", "FAILED", "--site", "b").json
    for_people = told("list")

    assert [row["source"] for row in found] == ["kilns", "[bold]bowls[/nope]", "mugs"]
    assert {"id", "instance_id", "status", "stage", "failures", "error", "title", "url"} <= found[0].keys()
    assert page == found[1:2]
    assert [row["error"] for row in failed] == ["the [vendor] said no"]
    assert for_people.err == ""
    assert "[bold]bowls[/nope]" in for_people.out
    assert "the [vendor] said no" in for_people.out


def test_show_tells_all_that_is_known_of_a_blog(told: Any) -> None:
    job_id = str(told("list", "--json").json[0]["id"])

    for_people, found = told("show", job_id), told("show", job_id, "--json").json

    assert found.keys() == {"job", "post", "checkpoints", "errors", "publish_at", "worker"}
    assert (found["job"]["status"], found["post"]) == ("FAILED", None)
    assert [error["request_id"] for error in found["errors"]] == ["req_1"]
    for word in (f"Job {job_id}", "FAILED", "Errors", "Rejected", "req_1"):
        assert word in for_people.out


def test_show_tells_what_the_post_links_to_or_why_it_does_not(cli: Any, sql: Sql) -> None:
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


def test_no_command_shows_a_secret(told: Any, sql: Sql) -> None:
    """Neither in its output nor, later, in the environment of the database's own records."""
    url = f"{told.environment['DATABASE_URL']} password=secret-four"
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
        ran = told(*command, **secrets)
        assert "secret" not in ran.out + ran.err, command
    assert all("secret" not in str(row) for row in sql("select application_name, query from pg_stat_activity"))


@pytest.mark.parametrize("command", ["--help", "status", "quotas", "breakers", "list", "costs"])
def test_a_command_that_only_looks_loads_no_vendors_sdk(cli: Any, command: str) -> None:
    """They take more than half a second, of an operator who looks every few."""
    ran = cli.afresh(command, PYTHONPROFILEIMPORTTIME="1")

    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.complaints}
    assert ran.code == 0
    assert "blogworker" in loaded
    assert loaded.isdisjoint({"openai", "replicate", "starlette", "uvicorn", "markdown_it"})


def test_quotas_are_not_drowned_by_thousands_of_sites(cli: Any, sql: Sql) -> None:
    """Of the buckets of sites, an operator wants those that hold somebody up."""
    sql(
        "insert into quotas (name, provider, requests_per_minute, burst_s) "
        "select 'wix/s' || n, 'wix', 150, 15 from generate_series(1, 3000) as n"
    )
    sql("insert into quotas (name, provider, requests_per_minute) values ('replicate/reads', 'replicate', 3000)")
    sql("update quotas set blocked_until = now() + interval '1 hour' where name = 'wix/s7'")
    sql("update quotas set requests_clock = now() + interval '1 hour' where name = 'wix/s8'")

    shown = {row["name"] for row in cli("quotas", "--json").json}
    one = cli("quotas", "--site", "s9", "--json").json

    assert shown == {"replicate/reads", "wix/s7", "wix/s8"}
    assert shown == {row["name"] for row in cli("status", "--json").json["quotas"]}
    assert len(cli("quotas", "--all", "--json").json) == 3001
    assert [(row["name"], row["requests_per_minute"]) for row in one] == [("wix/s9", 150)]
    assert "there is no site unknown" in cli("quotas", "--site", "unknown", "--json").err
    assert "known are replicate/reads, wix/s7, wix/s8" in cli("quotas", "set", "wix/s", "--rpm", "9").err


def test_quotas_tell_the_last_minute_and_take_new_limits(cli: Any, sql: Sql) -> None:
    """What the seed's limiter told of one process, of the whole fleet."""
    sql(
        "insert into quotas "
        "(name, provider, requests_per_minute, tokens_per_minute, newest_slot, slot_requests, slot_tokens) "
        "values ('openai/mini', 'openai', 400, 40000, quota_slot(now()), "
        "array[60, 40] || array_fill(0, array[11]), array[6000, 4000] || array_fill(0, array[11])), "
        "('replicate/predictions', 'replicate', 600, null, 0, array_fill(0, array[13]), array_fill(0, array[13]))"
    )

    for_people, (text, images) = cli("quotas"), cli("quotas", "--json").json
    changed = cli("quotas", "set", "openai/mini", "--rpm", "200", "--json").json

    assert (text["requests_in_last_minute"], text["max_requests"], text["requests_percent"]) == (100, 400, 25.0)
    assert (text["tokens_in_last_minute"], text["max_tokens"], text["tokens_percent"]) == (10_000, 40_000, 25.0)
    assert (text["queue_length"], images["requests_in_last_minute"], images["max_tokens"]) == (0, 0, None)
    assert (for_people.code, for_people.err) == (0, "")
    for word in ("openai/mini", "waiting", "25.0", "10,000"):
        assert word in for_people.out
    assert [(row["max_requests"], row["requests_percent"], row["pinned"]) for row in changed] == [(200, 50.0, True)]


def test_a_quota_used_to_the_full_is_not_said_to_be_overrun(cli: Any, sql: Sql) -> None:
    """The figure is a sum of 5 s slots and reached 109 %. After a limit was lowered, more than 100 % is right."""
    expected = {400: (400, 100.0), 436: (400, 100.0), 440: (400, 100.0), 441: (441, 110.3), 800: (800, 200.0)}
    for used in expected:
        sql(
            "insert into quotas "
            "(name, provider, requests_per_minute, tokens_per_minute, newest_slot, slot_requests, slot_tokens) values "
            f"('openai/{used}', 'openai', 400, 400, quota_slot(now()), array[{used}] || array_fill(0, array[12]), "
            f"array[{used}] || array_fill(0, array[12]))"
        )

    rows = cli("quotas", "--json").json

    assert {row["name"]: (row["requests_in_last_minute"], row["requests_percent"]) for row in rows} == {
        f"openai/{used}": shown for used, shown in expected.items()
    }
    assert all(row["tokens_percent"] == row["requests_percent"] for row in rows)


def test_tries_are_the_attempts_that_counted(cli: Any, sql: Sql) -> None:
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


def test_show_says_what_a_blog_is_about_and_when_in_whole_seconds(cli: Any, sql: Sql) -> None:
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


def test_a_person_ends_the_block_of_a_429(cli: Any, sql: Sql) -> None:
    """A vendor may name a day; its limit is raised in a minute, and those who wait must hear of it."""
    sql(
        "insert into quotas (name, provider, requests_per_minute, blocked_until) "
        "values ('openai/mini', 'openai', 400, now() + interval '1 day')"
    )

    ended, again, unknown = (cli("quotas", "unblock", name) for name in ("openai/mini", "openai/mini", "openai/max"))

    assert (ended.code, ended.err) == (0, "")
    assert sql("select epoch, blocked_until <= clock_timestamp() from quotas") == [(1, True)]
    assert (again.code, "openai/mini is not blocked" in again.err) == (2, True)
    assert (unknown.code, "there is no quota openai/max; known are openai/mini" in unknown.err) == (2, True)


def test_limits_that_no_bucket_can_have_are_refused_in_words(cli: Any, sql: Sql) -> None:
    sql("insert into quotas (name, provider, requests_per_minute) values ('replicate/reads', 'replicate', 3000)")

    endless, uncounted = (
        cli("quotas", "set", "replicate/reads", *limit) for limit in (("--rpm", "3000000000"), ("--tpm", "5"))
    )

    assert (endless.code, "2147483647" in endless.err) == (2, True)
    assert (uncounted.code, "counts requests only" in uncounted.err) == (2, True)
    assert sql("select requests_per_minute, pinned from quotas") == [(3000, False)]
