"""`blogworker explain`: why a job waits or failed, what is before it, and what to do."""

from typing import Any

import pytest

from .refusals import complained

FAILED = 1
DUE = "interval '1 hour'"


def job(sql: Any, site: str = "shop", **columns: object) -> int:
    names = "".join(f", {name}" for name in columns)
    marks = ", %s" * len(columns)
    rows = sql(
        f"insert into blog_generations (instance_id, source_type, source_id{names}) values (%s, 'keyword', 'k'{marks}) "
        "returning id",
        site,
        *columns.values(),
    )
    return int(rows[0][0])


def worker(sql: Any, lease: str = "1 hour", *, draining: bool = False) -> None:
    sql(
        "insert into workers (worker_id, name, host, pid, version, concurrency, lease_until, draining, stats) "
        "values (gen_random_uuid(), 'w', 'h', 1, '1', 50, now() + %s::interval, %s, "
        """'{"needs": {"buckets": ["openai/m", "openai/m", "replicate"], "tokens": [1, 1, 1]}}')""",
        lease,
        draining,
    )


def test_a_job_in_line_knows_what_is_before_it(cli: Any, sql: Any) -> None:
    worker(sql)
    first, second = job(sql), job(sql)
    urgent = job(sql, priority=5)

    places = {each: cli("explain", str(each), "--json").json["jobs_before"] for each in (first, second, urgent)}

    assert places == {urgent: 0, first: 1, second: 2}
    shown = cli("explain", str(second)).out
    assert "waits: in line" in shown
    assert "2 jobs of its site; 0 sites" in shown


@pytest.mark.parametrize(
    ("change", "kind", "advice"),
    [
        ("update sites set paused_at = now(), pause_reason = 'no credit'", "pause", "blogworker sites resume shop"),
        ("update fleet_budget set stopped_until = now() + interval '1 h', stop_reason = 'spent'", "budget", "costs"),
        (
            "update provider_health set state = 'open', reason = 'down' where provider = 'openai'",
            "breaker",
            "breakers close",
        ),
        (
            "update sites set max_in_flight = 1; update sites set at_cap = true",
            "cap",
            "blogworker sites set shop --max-in-flight",
        ),
        ("update blog_generations set run_at = now() + interval '1 h', line = null", "schedule", "run_at"),
    ],
)
def test_what_a_job_waits_for_comes_with_what_to_do(cli: Any, sql: Any, change: str, kind: str, advice: str) -> None:
    worker(sql)
    waiting = job(sql)
    sql(change)

    found = cli("explain", str(waiting), "--json").json

    assert found["waits_for"] == kind
    assert advice in found["advice"]
    assert (found["starts_in_s"] is None) == (kind in ("pause", "budget", "breaker"))


@pytest.mark.parametrize(
    ("stage", "quota", "kind"), [("publish", "wix/shop", "site_quota"), ("ideas", "openai/m", "quota")]
)
def test_an_expected_start_is_not_before_the_quota_allows_it(
    cli: Any, sql: Any, stage: str, quota: str, kind: str
) -> None:
    worker(sql)
    waiting = job(sql, stage=stage)
    sql(
        "insert into quotas (name, provider, requests_per_minute, requests_clock) "
        "values (%s, 'openai', 60, now() + interval '10 minutes')",
        quota,
    )

    found = cli("explain", str(waiting), "--json").json

    assert found["waits_for"] == kind
    assert 500 < found["starts_in_s"] < 700

    answer = "extract(epoch from expected_start - now())"
    ((again,),) = sql(f"select {answer} from enqueue_blog('shop', 'keyword', 'k')")
    assert (again > 500) == (kind == "quota"), "a new job begins with another stage than publish"


@pytest.mark.parametrize("state", ["none", "lost", "draining", "quiet"])
def test_no_start_is_expected_while_no_worker_claims(cli: Any, sql: Any, state: str) -> None:
    if state != "none":
        worker(sql, "-1 second" if state == "lost" else "1 hour", draining=state == "draining")
    if state == "quiet":
        sql("insert into quiet_workers (name, reason) values ('w', 'r')")
    ((waiting, start, reason),) = sql("select id, expected_start, waits_for from enqueue_blog('shop', 'keyword', 'k')")

    found = cli("explain", str(waiting), "--json").json

    assert (start, reason) == (None, "no live worker claims jobs")
    assert (found["summary"], found["waits_for"]) == (f"waits: {reason}", "unserved")
    assert found["starts_in_s"] is None
    assert "start a worker" in found["advice"]


def test_a_job_of_a_worker_whose_lease_has_ended_runs_on_none(cli: Any, sql: Any) -> None:
    worker(sql)
    running = job(sql)
    sql("update blog_generations set status = 'PROCESSING', attempt = 1, worker_id = (select worker_id from workers)")
    assert cli("explain", str(running), "--json").json["worker"] == "w"

    sql("update workers set lease_until = now() - interval '1 second'")

    found = cli("explain", str(running), "--json").json
    assert (found["worker"], found["summary"]) == (None, "runs on a worker without a lease: it will be rescued")


def test_a_site_that_begins_with_a_dash_can_be_typed(cli: Any, sql: Any) -> None:
    waiting = job(sql, site="-x")
    sql("update sites set paused_at = now(), pause_reason = 'r'")

    assert "blogworker sites resume -- -x" in cli("explain", str(waiting)).out


def test_a_failed_job_says_why_and_how_to_go_on(cli: Any, sql: Any) -> None:
    failed = job(sql)
    sql("update blog_generations set status = 'FAILED', error = 'the model refused {this}'")
    sql(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
        "values (%s, 1, 'content', 'Refused', 'm', false)",
        failed,
    )

    found = cli("explain", str(failed), "--json").json

    assert found["summary"] == "failed: the model refused {this}"
    assert found["advice"].endswith(f"`blogworker retry {failed}`")


@pytest.mark.parametrize("status", ["CANCELLED", "FAILED"])
def test_an_ended_job_waits_for_nothing(cli: Any, sql: Any, status: str) -> None:
    ended = job(sql)
    sql(f"update blog_generations set status = '{status}'")

    found = cli("explain", str(ended), "--json").json

    assert (found["waits_for"], found["jobs_before"], found["starts_in_s"]) == (None, None, None)
    assert f"blogworker retry {ended}" in found["advice"]


def test_a_job_that_does_not_exist_is_one_line(cli: Any) -> None:
    complained(cli("explain", "999"), code=FAILED, of="there is no job 999")


def test_all_reasons_are_named_the_decisive_one_first(cli: Any, sql: Any) -> None:
    worker(sql)
    waiting = job(sql)
    sql("update sites set max_in_flight = 1")
    sql("update sites set paused_at = now(), pause_reason = 'no credit'")
    sql("update sites set at_cap = true")
    sql("update provider_health set state = 'open', reason = 'down' where provider = 'openai'")

    found = cli("explain", str(waiting), "--json").json
    shown = cli("explain", str(waiting)).out

    assert found["waits_for"] == "pause"
    assert found["also"] == [
        "the circuit breaker of openai is open: down",
        "its site has reached its limit of running jobs",
    ]
    assert all(reason in shown for reason in ["no credit", *found["also"]])


@pytest.mark.parametrize(("stage", "words"), [("source", "run_at"), ("publish", "publish_at")])
def test_a_job_that_was_put_off_says_until_when(cli: Any, sql: Any, stage: str, words: str) -> None:
    put_off = job(sql, run_at="2100-01-01 12:00+00")
    if stage == "publish":
        sql("update blog_generations set stage = 'publish'")
        sql("insert into scheduled_blogs (blog_generation_id, publish_at) values (%s, '2100-01-01 12:00+00')", put_off)

    found = cli("explain", str(put_off), "--json").json

    assert (found["status"], found["waits_for"]) == ("SCHEDULED", "schedule")
    assert found["until"].startswith("2100-01-01T12:00")
    assert words in found["summary"]
    assert "2100-01-01 12:00" in cli("explain", str(put_off)).out
