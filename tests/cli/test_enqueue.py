"""`blogworker enqueue`: keywords, files and exports become jobs, each once."""

import re
from typing import Any

from .imports import ROWS, SHOPIFY_EXPORT, WIX_EXPORT, Sql, enqueued, jsonl


def test_a_list_of_keywords_is_distributed_over_the_sites(cli: Any, sql: Sql) -> None:
    (cli.folder / "words.txt").write_text("# ideas\nmugs\n\nbowls\nMugs\njugs\n")

    ran = cli("enqueue", "words.txt", "--site", "a", "--site", "b", "--json")

    assert ran.json == {
        "created": 3, "known": 0, "sites": 2, "skipped": 1, "skipped_by": {"repeated": 1}, "bad": 0,
    }  # fmt: skip
    rows = {data["keyword"]: site for site, _, _, data in enqueued(sql)}
    assert list(rows) == ["mugs", "bowls", "jugs"]
    assert set(rows.values()) == {"a", "b"}


def test_a_job_remembers_who_added_it(cli: Any, sql: Sql) -> None:
    """The person behind sudo, and the login at the database."""
    (cli.folder / "words.txt").write_text("mugs\n")

    cli("enqueue", "--keyword", "bowls", "--site", "a", SUDO_USER="alice")
    cli("enqueue", "words.txt", "--site", "a", SUDO_USER="bob")
    sql("insert into blog_generations (instance_id, source_type, source_id) values ('a', 'keyword', 'jugs')")

    (one,), (many,), (plain,) = sql("select added_by from blog_generations order by id")
    assert re.fullmatch(r"alice@\S+ as postgres", one)
    assert re.fullmatch(r"bob@\S+ as postgres", many)
    assert plain == "postgres"
    assert cli("show", "1", "--json").json["job"]["added_by"] == one
    assert one in " ".join(cli("show", "1").out.split())


def test_a_file_that_was_corrected_adds_only_what_was_wrong(cli: Any, sql: Sql) -> None:
    header = "Handle,Title,Variant Price\n"
    rows = ["mug,Mug,cheap\n", *(f"jug-{n},Jug {n},4\n" for n in range(5))]
    command = ("enqueue", "shop.csv", "--site", "a", "--site", "b", "--skip-bad", "--json")

    (cli.folder / "shop.csv").write_text(header + "".join(rows))
    first = cli(*command).json
    (cli.folder / "shop.csv").write_text(header + "".join(rows).replace("cheap", "4"))
    second = cli(*command).json

    assert (first["created"], first["bad"]) == (5, 1)
    assert (second["created"], second["known"]) == (1, 5)


def test_jsonl_accepts_every_kind_of_source_in_either_spelling(cli: Any, sql: Sql) -> None:
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


def test_a_wix_export_becomes_jobs_for_its_products(cli: Any, sql: Sql) -> None:
    (cli.folder / "catalog_products.csv").write_text(WIX_EXPORT)

    ran = cli("enqueue", "catalog_products.csv", "--site", "s")

    assert ran.code == 0, ran
    names = [data["name"] for *_, data in enqueued(sql)]
    assert names == ["Low Water Mug", "Tide Bowl"], "one is hidden in its shop"
    assert sql("select source_data ->> 'price' from blog_generations order by id limit 1") == [("26.00",)]


def test_a_shopify_export_becomes_one_job_per_product(cli: Any, sql: Sql) -> None:
    """Its variants and pictures stand on rows of their own."""
    (cli.folder / "products_export.csv").write_text(SHOPIFY_EXPORT)

    ran = cli("enqueue", "products_export.csv", "--site", "s", "--json")

    assert (ran.code, ran.json["created"]) == (0, 2)
    mug, bowl = (data for *_, data in enqueued(sql))
    assert (mug["name"], mug["price"], mug["price_max"]) == ("Low Water Mug", "26.00", "28.00")
    assert mug["images"] == ["https://shop.example/mug.jpg", "https://shop.example/mug-2.jpg"]
    assert bowl["name"] == "Tide Bowl"


def test_a_repeated_file_adds_nothing_unless_asked_to(cli: Any, sql: Sql) -> None:
    """An import can be repeated when its outcome is unknown."""
    (cli.folder / "words.txt").write_text("mugs\nbowls\n")
    command = ("enqueue", "words.txt", "--site", "s")

    first, again = cli(*command), cli(*command)
    more = cli(*command, "--repeatable", "--json")

    assert first.out == "2 jobs enqueued for 1 site\n"
    assert again.out.startswith("0 jobs enqueued")
    assert "enqueued before: 2 rows" in again.out
    assert more.json["created"] == 2
    assert len(enqueued(sql)) == 4


def test_a_repeated_key_returns_the_first_job(cli: Any, sql: Sql) -> None:
    command = ("enqueue", "--site", "s", "--keyword", "mugs", "--key", "order-7", "--json")

    first, again = cli(*command).json, cli(*command).json

    assert first[0].keys() == {"id", "status", "created", "place", "expected_start", "waits_for"}
    assert (first[0]["created"], first[0]["status"], first[0]["place"]) == (True, "PENDING", 1)
    assert (again[0]["created"], again[0]["id"]) == (False, first[0]["id"])
    assert len(enqueued(sql)) == 1


def test_a_job_can_be_made_now_and_published_later(cli: Any, sql: Sql) -> None:
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
