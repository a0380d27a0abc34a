"""`blogworker tail`: each event once, in order, until the job has ended."""

import json
import subprocess
import sys
from typing import Any

import psycopg
import pytest


def job(sql: Any, site: str = "s") -> int:
    rows = sql(
        "insert into blog_generations (instance_id, source_type, source_id) values (%s, 'keyword', 'k') returning id",
        site,
    )
    return int(rows[0][0])


def checkpoint(sql: Any, job_id: int, name: str) -> None:
    sql(
        "insert into generation_stages (generation_id, stage, output, attempt, duration_s, model, tokens_in, cost_usd) "
        "values (%s, %s, '{}', 1, 2.5, 'm', 30, 0.25)",
        job_id,
        name,
    )


def test_what_happened_is_printed_in_order(cli: Any, sql: Any) -> None:
    first, other = job(sql), job(sql, "other")
    checkpoint(sql, first, "source")
    checkpoint(sql, other, "source")
    sql(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
        "values (%s, 1, 'ideas', 'Unavailable', 'no answer', true)",
        first,
    )
    sql("update blog_generations set status = 'FAILED', error = 'gave up' where id = %s", first)

    lines = cli("tail", str(first)).out.splitlines()

    assert [line.split("  ")[1:4] for line in lines] == [
        [str(first), "s", "source"],
        [str(first), "s", "error"],
        [str(first), "s", "FAILED"],
    ]
    assert "2.5 s, m, 30 tokens, $0.25" in lines[0]
    assert "Unavailable in ideas: no answer" in lines[1]
    of_site = cli("tail", "--site", "s", "--no-follow", "--json").out.splitlines()
    assert {json.loads(line)["job_id"] for line in of_site} == {first}
    assert cli("tail", "--site", "other", "--no-follow").out == "", "its job has not begun"


def attempt(sql: Any, job_id: int, *, stage: str, rest: str, error: bool) -> None:
    """Claim the job, finish the stages before `stage`, and requeue it in line or to back off for `rest`."""
    sql(
        "update blog_generations set status = 'PROCESSING', attempt = 1, worker_id = gen_random_uuid() where id = %s",
        job_id,
    )
    if stage != "source":
        checkpoint(sql, job_id, "source")
    if error:
        sql(
            "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
            "values (%s, 1, %s, 'Unavailable', 'no answer', true)",
            job_id,
            stage,
        )
    sql(
        "update blog_generations set status = 'PENDING', stage = %s, run_at = now() + %s::interval where id = %s",
        stage,
        rest,
        job_id,
    )


@pytest.mark.parametrize(
    ("stage", "rest", "error", "events"),
    [
        pytest.param("source", "1 h", True, ["error"], id="failed, backs off"),
        pytest.param("source", "0", True, ["error"], id="failed, is in line again"),
        pytest.param("ideas", "1 h", True, ["source", "error"], id="failed at its second stage"),
        pytest.param("ideas", "1 h", False, ["source"], id="waits for a quota"),
        pytest.param("ideas", "0", False, ["source"], id="was released"),
    ],
)
def test_an_attempt_of_a_job_that_waits_again_is_shown(
    cli: Any, sql: Any, stage: str, rest: str, error: bool, events: list[str]
) -> None:
    first, other = job(sql), job(sql, "other")
    for each in (first, other):
        attempt(sql, each, stage=stage, rest=rest, error=error)
    assert sql("select status, line is null from blog_generations where id = %s", first) == [("PENDING", rest != "0")]

    of_site = [json.loads(line) for line in cli("tail", "--site", "s", "--no-follow", "--json").out.splitlines()]
    of_all = [json.loads(line) for line in cli("tail", "--no-follow", "--json").out.splitlines()]

    assert [(event["job_id"], event["event"]) for event in of_site] == [(first, event) for event in events]
    assert [event["event"] for event in of_all if event["job_id"] == first] == events
    assert [event["event"] for event in of_all if event["job_id"] == other] == events


def test_what_is_unknown_or_unclear_is_refused(cli: Any, sql: Any) -> None:
    job(sql)
    for arguments in (["99"], ["--site", "nobody"], ["1", "--site", "s"], ["1", "--since", "soon"]):
        assert cli("tail", *arguments, "--no-follow").code == 2, arguments


def test_new_events_follow_each_once_until_the_job_ends(cli: Any, sql: Any) -> None:
    job_id = job(sql)
    names = ["source", "ideas", "content", "image", "publish"]
    with subprocess.Popen(
        [sys.executable, "-m", "blogworker", "tail", str(job_id), "--json"],
        env=cli.environment,
        cwd=cli.folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        lines = []
        for name in names:
            checkpoint(sql, job_id, name)
            lines.append(json.loads(following.stdout.readline())["event"])
        sql("update blog_generations set status = 'CANCELLED' where id = %s", job_id)
        lines += [json.loads(line)["event"] for line in following.stdout.read().splitlines()]
        assert following.wait(timeout=30) == 0
    assert lines == [*names, "CANCELLED"]


def test_a_late_commit_is_not_missed(cli: Any, sql: Any, database_url: str) -> None:
    """A row has the time at which it was written, which is before its commit."""
    job_id = job(sql)
    with (
        psycopg.connect(database_url) as late,
        subprocess.Popen(
            [sys.executable, "-m", "blogworker", "tail", str(job_id), "--json"],
            env=cli.environment,
            cwd=cli.folder,
            stdout=subprocess.PIPE,
            text=True,
        ) as following,
    ):
        assert following.stdout is not None
        late.execute(
            "insert into generation_stages (generation_id, stage, output, attempt) values (%s, 'ideas', '{}', 1)",
            (job_id,),
        )
        checkpoint(sql, job_id, "source")
        assert json.loads(following.stdout.readline())["event"] == "source"
        late.commit()
        assert json.loads(following.stdout.readline())["event"] == "ideas"
        sql("update blog_generations set status = 'CANCELLED' where id = %s", job_id)
        assert following.wait(timeout=30) == 0


def test_more_events_at_one_moment_than_a_page_end(cli: Any, sql: Any) -> None:
    sql(
        "insert into blog_generations (instance_id, source_type, source_id) "
        "select 's', 'keyword', n::text from generate_series(1, 2500) as n"
    )
    sql("update blog_generations set status = 'CANCELLED'")

    ran = cli("tail", "--site", "s", "--no-follow", "--json")

    assert ran.code == 0
    ids = [json.loads(line)["job_id"] for line in ran.out.splitlines()]
    assert len(ids) == 2500
    assert ids == sorted(set(ids))
