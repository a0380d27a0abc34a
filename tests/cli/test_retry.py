"""`blogworker retry`: the cost is printed first, and each blog that is not retried has its reason."""

import os
import pty
import subprocess
import sys
from typing import Any

import pytest

FAILED = (
    "insert into blog_generations (id, instance_id, source_type, source_id, status, stage, finished_at, worker_id) "
    "overriding system value values (%s, %s, 'keyword', 'mugs', %s, 'content', "
    "case when %s not in ('PENDING', 'PROCESSING') then now() end, "
    "case when %s = 'PROCESSING' then gen_random_uuid() end)"
)
CHECKPOINT = "insert into generation_stages (generation_id, stage, output, attempt) values (%s, %s, '{}', 1)"


@pytest.fixture
def shop(cli: Any, sql: Any) -> Any:
    """Blogs of three sites: 1 and 2 FAILED with their ideas bought, 3 with all bought, the others as they say."""
    states = ["FAILED", "FAILED", "FAILED", "PROCESSING", "DONE", "PENDING", "FAILED", "FAILED", "CANCELLED"]
    for number, status in enumerate(states, 1):
        sql(FAILED, number, "abc"[number % 3], status, status, status)
    for number, stage in [(1, "ideas"), (2, "ideas"), *((3, s) for s in ("ideas", "content", "image"))]:
        sql(CHECKPOINT, number, stage)
    sql(CHECKPOINT, 7, "publish.draft")
    sql(CHECKPOINT, 8, "publish.post")
    return cli


def pending(sql: Any) -> list[int]:
    return [row[0] for row in sql("select id from blog_generations where status = 'PENDING' and id <> 6 order by id")]


def test_the_highest_cost_is_printed_first(shop: Any, sql: Any) -> None:
    ran = shop("retry", "1", "2")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0].startswith("2 jobs to retry (2 from the last checkpoint): $")
    assert " at most, $" in ran.out
    assert shop("retry", "3").out == "1 job to retry (1 from the last checkpoint): no cost\n" + (
        "1 job is PENDING again\n"
    )
    assert pending(sql) == [1, 2, 3]


@pytest.mark.parametrize(
    ("first", "to_pay"),
    [
        ("source", {"ideas": 2, "content": 2, "image": 2}),
        ("ideas", {"ideas": 2, "content": 2, "image": 2}),
        ("content", {"content": 2, "image": 2}),
        ("image", {"content": 1, "image": 2}),
        (None, {"content": 1, "image": 1}),
    ],
)
def test_json_has_the_same_figures(shop: Any, sql: Any, first: str | None, to_pay: dict[str, int]) -> None:
    told = shop("retry", "1", "3", "--json", *(["--from", first] if first else [])).json

    assert (told["retried"], told["to_pay"], told["refused"]) == ([1, 3], to_pay, [])
    assert told["regenerate_from"] == ({"1": first, "3": first} if first else {})
    assert 0 < told["usd"] < told["usd_at_most"] < 2


def test_each_blog_that_is_not_retried_has_its_reason_in_one_line(shop: Any, sql: Any) -> None:
    ran = shop("retry", *"1456789", "99", "--from", "content")

    assert ran.code == 1
    assert ran.err == (
        "blogworker: not retried: 4: it is running: cancel it first; 5: it is DONE; 6: it is already waiting to run: "
        "cancel it first; 7: its site may have a draft of the post: without --from the retry publishes that draft; "
        "8: its post is published; 99: it does not exist, or other options exclude it\n"
    )
    assert pending(sql) == [1, 9]


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--site", "a", "--site", "b"], [1, 3, 7]),
        (["--site", "b", "--site", "c"], [1, 2, 7]),
        (["--site", "a", "--site", "b", "--site", "c"], [1, 2, 3, 7]),
        (["--kind", "Rejected", "--kind", "Unavailable"], [1, 2]),
        (["--kind", "Unavailable", "--site", "b", "--site", "c"], [2]),
    ],
)
def test_sites_and_kinds_can_be_repeated(shop: Any, sql: Any, options: list[str], ids: list[int]) -> None:
    """Only the last one was used, without an error."""
    for number, kind in [(1, "Rejected"), (2, "Unavailable"), (3, "OutcomeUnknown")]:
        sql(
            "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
            "values (%s, 1, 'content', %s, 'no', true)",
            number, kind,
        )  # fmt: skip

    assert shop("retry", *options, "--json").json["retried"] == ids
    assert pending(sql) == ids


def test_failed_jobs_are_retried_by_age_text_and_stage(shop: Any, sql: Any) -> None:
    sql("update blog_generations set finished_at = now() - interval '2 days' where id = 1")
    sql("update blog_generations set error = 'the Kiln is cold' where id = 2")
    sql("update blog_generations set stage = 'image' where id = 3")

    assert shop("retry", "--older-than", "1d", "--json").json["retried"] == [1]
    assert shop("retry", "--text", "kiln", "--older-than", "1d", "--json").json["retried"] == []
    assert shop("retry", "--text", "kiln", "--json").json["retried"] == [2]
    assert shop("retry", "--stage", "image", "--json").json["retried"] == [3]
    assert pending(sql) == [1, 2, 3]


@pytest.mark.parametrize("kind", ["Rejected", "Unknown"])
def test_the_printed_command_retries_what_errors_lists(shop: Any, sql: Any, kind: str) -> None:
    """Unknown: no error was stored. Job 1 failed long ago."""
    sql("update blog_generations set finished_at = now() - interval '20 days' where id = 1")
    for number in (1, 2) if kind == "Rejected" else (3, 7, 8):
        sql(
            "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
            "values (%s, 1, 'content', 'Rejected', 'no', false)",
            number,
        )

    found = [group for group in shop("errors", "--within", "90min", "--json").json if group["kind"] == kind]

    assert [group["jobs"] for group in found] == [1]
    assert found[0]["retry"] == f"blogworker retry --kind {kind} --within 90min"
    assert shop(*found[0]["retry"].split()[1:], "--json").json["retried"] == [2]


@pytest.mark.parametrize(("answer", "options", "ids"), [("n", (), []), ("y", (), [1]), ("", ("--yes",), [1])])
def test_on_a_terminal_it_asks_for_confirmation(
    shop: Any, sql: Any, answer: str, options: tuple[str, ...], ids: list[int]
) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    ran = subprocess.Popen(
        [sys.executable, "-m", "blogworker", "retry", "1", *options],
        stdin=theirs, stdout=theirs, stderr=theirs, env=shop.environment, cwd=shop.folder,
    )  # fmt: skip
    code = ran.wait(20)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)

    assert " at most, $" in shown
    assert ("Continue? [y/N]" in shown, code) == (not options, int(not ids))
    assert pending(sql) == ids
