"""`status --check`, `status --watch`, `errors`, `history` and the filters of `list`."""

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

OK, WARNING, CRITICAL = 0, 1, 2
INSERT = "insert into blog_generations (instance_id, source_type, source_id) values"


@pytest.fixture
def alive(sql: Any) -> None:
    sql(
        "insert into workers (worker_id, name, host, pid, version, concurrency, lease_until, stats) "
        "values (gen_random_uuid(), 'w', 'h', 1, '1', 50, now() + interval '1 h', '{}')"
    )


def fail(sql: Any, kind: str, message: str, number: int = 1, site: str = "s") -> None:
    for _ in range(number):
        (job_id,) = sql(
            INSERT + " (%s, 'keyword', 'k') returning id",
            site,
        )[0]
        sql("update blog_generations set status = 'FAILED', error = %s where id = %s", message, job_id)
        sql(
            "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
            "values (%s, 1, 'content', %s, %s, false)",
            job_id,
            kind,
            message,
        )


def test_a_monitor_sees_that_all_is_well(cli: Any, alive: None) -> None:
    ran = cli("status", "--check")
    assert (ran.code, ran.out.count("\n")) == (OK, 1)
    assert ran.out.startswith("OK: 0 waiting")


@pytest.mark.parametrize(
    ("change", "options", "code", "words"),
    [
        ("delete from workers", [], CRITICAL, "no worker is alive"),
        ("update provider_health set state = 'open', reason = 'down' where provider = 'wix'", [], CRITICAL, "down"),
        ("update fleet_budget set stopped_until = now() + interval '1 h', stop_reason = 'r'", [], CRITICAL, "budget"),
        ("select 1", ["--most-waiting", "1"], WARNING, "2 jobs wait: more than 1"),
        ("select 1", ["--longest-wait", "0s"], WARNING, "longer than 0 s"),
        ("update workers set lease_until = now() - interval '1 min'", [], CRITICAL, "1 worker lost"),
        ("select 1", ["--most-waiting", "2", "--most-failed", "0"], OK, "2 waiting"),
    ],
)  # fmt: skip
def test_a_monitor_sees_what_needs_a_person(
    cli: Any, sql: Any, alive: None, change: str, options: list[str], code: int, words: str
) -> None:
    sql(f"{INSERT} ('s', 'keyword', 'k'), ('s', 'keyword', 'l')")
    sql("update sites set ready = true, ready_at = now()")
    sql(change)

    ran = cli("status", "--check", *options)
    machine = cli("status", "--check", "--json", *options)

    assert ran.code == machine.code == code, ran.out
    assert words in ran.out
    assert machine.json["level"] == {OK: "OK", WARNING: "WARNING", CRITICAL: "CRITICAL"}[code]


def test_failures_are_counted_by_the_monitor(cli: Any, sql: Any, alive: None) -> None:
    fail(sql, "Rejected", "no", 3)
    assert cli("status", "--check", "--most-failed", "3").code == OK
    assert cli("status", "--check", "--most-failed", "2").code == WARNING


def test_errors_are_grouped_by_kind_stage_and_text_without_numbers(cli: Any, sql: Any) -> None:
    for number in range(4):
        fail(sql, "Misconfigured", f"key {number} is wrong", site=f"s{number % 2}")
    fail(sql, "Rejected", "too short")
    fail(sql, "Rejected", "too long")

    groups = cli("errors", "--json").json

    assert [(each["kind"], each["jobs"], each["sites"]) for each in groups] == [
        ("Misconfigured", 4, 2),
        ("Rejected", 1, 1),
        ("Rejected", 1, 1),
    ]
    assert groups[0]["message"] == "key 3 is wrong"
    shown = cli("errors", "--limit", "1").out
    assert "Misconfigured in content: 4 jobs of 2 sites" in shown
    assert "blogworker retry --kind Misconfigured" in shown
    assert cli("errors", "--within", "1s", "--limit", "1").code == OK


def test_no_error_is_said(cli: Any) -> None:
    assert cli("errors").out == "no job failed in the last 24 h\n"


def test_jobs_are_searched(cli: Any, sql: Any) -> None:
    sql(
        "insert into blog_generations (instance_id, source_type, source_data) values "
        "('a', 'keyword', '{\"keyword\": \"Oak table\"}'), ('b', 'keyword', '{\"keyword\": \"lamp\"}')"
    )
    fail(sql, "Refused", "words")

    def found(*options: str) -> list[str]:
        return [each["instance_id"] for each in cli("list", "--json", *options).json]

    assert found("--text", "OAK") == ["a"]
    assert found("--kind", "Refused") == ["s"]
    assert found("--stage", "source") == ["s", "b", "a"]
    assert found("--stage", "image") == []
    assert found("--within", "1h", "--status", "pending") == ["b", "a"]
    assert found("--text", "%") == []
    assert cli("list", "--site", "nowhere").code == 2


def test_the_history_is_shown_in_steps(cli: Any, sql: Any) -> None:
    sql(
        "insert into history (minute, done, failed, cancelled, pending, wait_p50_s) "
        "values (date_trunc('minute', now()) - interval '2 min', 7, 1, 0, 5, 3.5)"
    )
    sql(
        "insert into history_stages (minute, stage, jobs, p50_s, p95_s) select minute, 'image', 7, 2.5, 90 from history"
    )

    shown = cli("history", "--step", "1min")
    machine = cli("history", "--step", "1min", "--json").json

    assert "3.5 s" in shown.out
    assert "image" in shown.out
    assert [(each["done"], each["failed"], each["pending"]) for each in machine["steps"]] == [(7, 1, 5)]
    assert "Stages over time" not in shown.out
    assert "Stages over time" in cli("history", "--step", "1min", "--stages").out
    assert [(each["stage"], each["p50_s"]) for each in machine["stage_steps"]] == [("image", 2.5)]
    assert machine["stages"] == [{"stage": "image", "jobs": 7, "p50_s": 2.5, "p95_s": 90.0}]
    assert cli("history", "--within", "1s").code == 2


@pytest.mark.parametrize("as_json", [False, True])
def test_a_live_view_is_printed_again_without_a_terminal(cli: Any, sql: Any, alive: None, as_json: bool) -> None:
    sql("drop table history_stages, history cascade")  # they are not needed
    sql("insert into blog_generations (instance_id, source_type, source_id) values ('s', 'keyword', 'k')")
    with subprocess.Popen(
        [sys.executable, "-m", "blogworker", "status", "--watch", "0.5", *(["--json"] if as_json else [])],
        env=cli.environment,
        cwd=cli.folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        lines = []
        while sum(line.startswith(("waiting", "{")) for line in lines) < 2:
            lines.append(watching.stdout.readline())
            assert lines[-1], lines
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=30) == 0
    if as_json:
        assert [json.loads(line)["queue"]["pending"] for line in lines] == [1, 1]
    else:
        assert "1, no site is in line" in "".join(lines)


def test_the_fleet_is_paused_and_resumed(cli: Any, sql: Any, alive: None) -> None:
    assert len(cli("pause", "--json", "--reason", "incident 7").json) == 5
    assert "stage source: incident 7" in cli("status").out
    assert cli("status", "--check").code == WARNING
    assert [each["stage"] for each in cli("resume", "--stage", "image", "--json").json] == [
        "source",
        "ideas",
        "content",
        "publish",
    ]
    assert cli("resume").out == "no stage is paused\n"
    assert cli("resume").code == 2
    assert cli("pause", "--stage", "printing").code == 2
    assert cli("status", "--check").code == OK
