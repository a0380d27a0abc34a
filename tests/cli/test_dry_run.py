"""`blogworker enqueue --dry-run`: prints what would be enqueued and writes nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

DONE, USAGE, REFUSED = 0, 2, 75
PRODUCTS = """Handle,Title,Body (HTML),Variant Price
mug,Low Water Mug,A mug.,26.00
bowl,Tide Bowl,A bowl.,31.00
"""
Sql = Callable[..., list[tuple[Any, ...]]]


def state(sql: Sql) -> list[Any]:
    """What any enqueue would leave a trace in."""
    tables = ("blog_generations", "sites", "site_arrivals", "scheduled_blogs", "quotas", "provider_usage")
    counts = [sql(f"select count(*), max(xmin::text) from {table}") for table in tables]
    return [*counts, sql("select last_value, is_called from blog_generations_id_seq")]


@pytest.fixture
def files(cli: Any) -> Any:
    """A file of each form."""
    (cli.folder / "words.txt").write_text("mugs\nbowls\nMugs\n")
    (cli.folder / "products.csv").write_text(PRODUCTS)
    rows = [
        {"instance_id": site, "source_type": "text", "source_data": {"text": f"Notes {n}."}, "idempotency_key": f"k{n}"}
        for site, n in (("a", 1), ("b", 1), ("a", 2), ("a", 1))
    ]
    (cli.folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return cli


@pytest.mark.parametrize(
    ("arguments", "by_source", "sites", "repeated"),
    [
        (("words.txt", "--site", "s"), {"keyword": 2}, 1, 1),
        (("products.csv", "--site", "a", "--site", "b"), {"product": 2}, 2, 0),
        (("rows.jsonl",), {"text": 3}, 2, 1),
        (("words.txt", "products.csv", "rows.jsonl", "--site", "s"), {"keyword": 2, "product": 2, "text": 3}, 3, 2),
        (("--keyword", "mugs", "--keyword", "bowls", "--site", "s"), {"keyword": 2}, 1, 0),
        (("--keyword", "mugs", "--site", "s", "--key", "order-7"), {"keyword": 1}, 1, 0),
    ],
)
def test_a_dry_run_of_every_input_predicts_the_enqueue_and_writes_nothing(
    files: Any, sql: Sql, arguments: tuple[str, ...], by_source: dict[str, int], sites: int, repeated: int
) -> None:
    before = state(sql)
    ran = files("enqueue", *arguments, "--dry-run", "--json")
    after = state(sql)

    assert (ran.code, ran.err) == (DONE, "")
    answer = ran.json
    assert (answer["by_source"], answer["sites"], answer["repeated"], answer["known"]) == (by_source, sites, 0, 0)
    assert answer["skipped"] == answer["skipped_by"].get("repeated", 0) == repeated
    assert answer["new"] == sum(by_source.values())
    assert before == after
    assert files("enqueue", *arguments).code == DONE
    assert sql("select count(*), count(distinct instance_id) from blog_generations") == [(answer["new"], sites)]


def test_jobs_enqueued_before_are_recognised_and_cost_nothing(files: Any) -> None:
    assert files("enqueue", "words.txt", "--site", "s").code == DONE

    again = files("enqueue", "words.txt", "--site", "s", "--dry-run", "--json").json
    elsewhere = files("enqueue", "words.txt", "--site", "t", "--dry-run", "--json").json
    repeatable = files("enqueue", "words.txt", "--site", "s", "--repeatable", "--dry-run", "--json").json

    assert (again["new"], again["known"], again["usd"]) == (0, 2, 0)
    assert (elsewhere["new"], elsewhere["known"]) == (2, 0)
    assert (repeatable["new"], repeatable["known"]) == (2, 0)


def test_the_text_output_is_a_table(files: Any) -> None:
    """Two keywords at the reserved tokens: 2 * $0.024, at most 2 * $0.1488."""
    ran = files("enqueue", "words.txt", "--site", "s", "--dry-run")

    assert (ran.code, ran.err) == (DONE, "")
    for words in ("2 jobs for 1 site", "$0.05 likely, $0.30 at most", "the reservation of a call"):
        assert words in ran.out
    assert ran.out.endswith("nothing was enqueued\n")


def test_bad_rows_are_named_as_in_a_real_run(files: Any, sql: Sql) -> None:
    (files.folder / "rows.jsonl").write_text('{"instance_id": "s", "source_type": "poem"}\n')

    dry, real = files("enqueue", "rows.jsonl", "--dry-run"), files("enqueue", "rows.jsonl")

    assert (dry.code, dry.out, dry.err) == (USAGE, "", real.err)
    assert sql("select count(*) from blog_generations") == [(0,)]


def test_a_full_queue_is_predicted_with_its_exit_code(files: Any, sql: Sql) -> None:
    assert files("enqueue", "--site", "x", "--keyword", "kilns").code == DONE

    dry = files("enqueue", "words.txt", "--site", "s", "--dry-run", "--json", BLOGWORKER_QUEUE_SIZE_LIMIT="2")
    real = files("enqueue", "words.txt", "--site", "s", BLOGWORKER_QUEUE_SIZE_LIMIT="2")

    assert (dry.code, real.code) == (REFUSED, REFUSED)
    assert dry.json["refusal"]["limit"] == 2
    assert (dry.json["new"], dry.json["waiting"]) == (2, 1)
    assert len(dry.complaints) == 1
    assert sql("select count(*) from blog_generations") == [(1,)]


def test_the_limit_of_a_site_is_predicted(files: Any) -> None:
    assert files("sites", "set", "s", "--max-pending", "1").code == DONE

    ran = files("enqueue", "words.txt", "--site", "s", "--dry-run")

    assert ran.code == REFUSED
    assert "site s is full" in ran.err


@pytest.mark.parametrize(
    ("url", "reason"), [("", "DATABASE_URL is not set"), ("postgresql://u@127.0.0.1:1/d", "cannot connect to Postgres")]
)
def test_without_a_database_the_prices_still_make_an_estimate(files: Any, url: str, reason: str) -> None:
    ran = files("enqueue", "words.txt", "--site", "s", "--dry-run", "--json", DATABASE_URL=url)

    assert ran.code == DONE
    assert len(ran.complaints) == 1
    assert reason in ran.err
    assert (ran.json["new"], ran.json["known"], ran.json["waiting"]) == (2, None, None)
    assert ran.json["usd"] == pytest.approx(2 * 0.024)


def test_finished_blogs_make_the_estimate(files: Any, sql: Sql) -> None:
    """25 posts of 1,000 tokens in, 400 of them cached, and 2,000 out, every fifth with a repair of 100 and 500.

    A post: 620 new tokens in at $1, 400 cached at $0.05 and 2,100 out at $5 a million make $0.01114. Ideas were made by
    a model of former days, so they count as reserved.
    """
    finished(sql, blogs=25, waiting=10)

    answer = files("enqueue", "words.txt", "--site", "s", "--dry-run", "--json").json

    ideas, content, image = answer["uses"]
    assert (ideas["seen"], ideas["usd"]) == (0, pytest.approx(0.001))
    assert (content["seen"], content["seen_of"], content["calls"]) == (25, "keyword", pytest.approx(1.2))
    assert content["tokens"] == pytest.approx(1_020 + 2_100)
    assert content["usd"] == pytest.approx((620 * 1 + 400 * 0.05 + 2_100 * 5) / 1e6)
    assert (image["seen"], image["usd"]) == (25, pytest.approx(0.003))
    assert answer["usd"] == pytest.approx(2 * (0.001 + 0.01114 + 0.003))
    assert answer["waiting"] == 10
    assert answer["minutes_at_pace"] == pytest.approx(12 / 2.5)
    assert answer["minutes_of_quota"] == pytest.approx(2 * 3_120 / 450_000)
    assert answer["minutes_behind_waiting"] == pytest.approx(12 * 3_120 / 450_000)


def finished(sql: Sql, *, blogs: int, waiting: int) -> None:
    sql("insert into sites (instance_id) values ('old')")
    sql(
        "insert into blog_generations (instance_id, source_type, source_id) "
        "select 'old', 'keyword', 'k' || n from generate_series(1, %s) as n",
        blogs + waiting,
    )
    sql(
        "do $$ begin set local session_replication_role = replica; "  # the guard knows no leap from PENDING to DONE
        "update blog_generations set status = 'DONE', finished_at = now() "
        f"where id in (select id from blog_generations order by id limit {blogs}); end $$"
    )
    for stage, model, every, tokens in (
        ("ideas.draft", "former", 1, (900, 0, 900)),
        ("content.draft", "gpt-6.1-terra", 1, (1_000, 400, 2_000)),
        ("content.repair", "gpt-6.1-terra", 5, (100, 0, 500)),
        ("image.prediction", "black-forest-labs/flux-schnell", 1, (0, 0, 0)),
    ):
        sql(
            "insert into generation_stages "
            "(generation_id, stage, output, model, tokens_in, tokens_cached, tokens_out, attempt) "
            "select id, %s, '{}', %s, %s, %s, %s, 1 from blog_generations where status = 'DONE' and id %% %s = 0",
            *(stage, model, *tokens, every),
        )


@pytest.mark.proof
def test_a_large_campaign_is_not_held_in_memory(cli: Any) -> None:
    """90 MB of rows: what is kept of each is a number."""
    path = cli.folder / "rows.jsonl"
    row = {"instance_id": "s", "source_type": "text", "source_data": {"text": "x" * 30_000}}
    with path.open("w") as file:
        for n in range(3_000):
            file.write(f"{json.dumps(row | {'idempotency_key': str(n)})}\n")
    (cli.folder / "one.jsonl").write_text(f"{json.dumps(row)}\n")

    small, large = (peak_kb(cli, name) for name in ("one.jsonl", "rows.jsonl"))

    assert large - small < 12_000, (small, large)


def peak_kb(cli: Any, name: str) -> int:
    """The most memory the command held."""
    command = [sys.executable, "-m", "blogworker", "enqueue", name, "--dry-run", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=cli.folder, env=cli.environment)
    assert process.stdout is not None
    with process.stdout as out:
        answer = json.loads(out.read())
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert (process.returncode, answer["refusal"]) == (DONE, None)
    return used.ru_maxrss
