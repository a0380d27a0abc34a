"""The dashboard over HTTP: login, who sees what, forms, and that no text of others becomes markup."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from blogworker.ops.history import History, HistoryStep
from blogworker.web.dashboard.charts import throughput, waits

from .conftest import job

PAGES = ("/", "/jobs", "/sites", "/errors", "/providers", "/workers", "/costs", "/audit")
NASTY = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> \x1b[31m \u202e {{ 7*7 }}"


@contextmanager
def visitor(served: Any, *scopes: str) -> Iterator[httpx.Client]:
    """A browser that is logged in."""
    with httpx.Client(base_url=served.address, timeout=30, trust_env=False) as client:
        answered = client.post("/login", data={"token": served.token(*scopes), "next": "/"})
        assert answered.status_code == 303, answered.text
        yield client


@pytest.fixture(scope="module")
def operator(served: Any) -> Any:
    with visitor(served, "read", "operate") as client:
        yield client


@pytest.fixture(scope="module")
def reader(served: Any) -> Any:
    with visitor(served, "read") as client:
        yield client


def key(client: httpx.Client, path: str = "/sites") -> str:
    found = re.search(r'name="key" value="([0-9a-f]{64})"', client.get(path).text)
    assert found
    return found[1]


def test_nobody_sees_a_page_without_a_session(served: Any) -> None:
    with served.client() as client:
        for path in (*PAGES, "/jobs/1", "/jobs/1/cover", "/events"):
            answered = client.get(path)
            assert answered.status_code == 303
            assert answered.headers["location"].startswith("/login")
        for path in ("/jobs/change", "/sites/change", "/errors/retry", "/providers/close", "/providers/unblock"):
            assert client.post(path, data={"id": "1", "do": "cancel"}).headers["location"] == "/login"


def test_the_login_refuses_wrong_and_small_tokens(served: Any) -> None:
    with served.client() as client:
        for token, status in (("", 401), ("bw_x", 401), (served.token("intake"), 403)):
            answered = client.post("/login", data={"token": token, "next": "/"})
            assert answered.status_code == status
            assert "set-cookie" not in answered.headers
            assert 'role="alert"' in answered.text
        bound = served.token("read", sites=("one",))
        assert client.post("/login", data={"token": bound}).status_code == 403


@pytest.mark.parametrize("target", ["//evil.example/", "https://evil.example", "/\\evil", "javascript:alert(1)", "\n/"])
def test_the_login_leads_only_to_our_own_pages(served: Any, target: str) -> None:
    with served.client() as client:
        answered = client.post("/login", data={"token": served.token("read"), "next": target})
        assert answered.headers["location"] == "/"
        assert "evil" not in client.get("/login", params={"next": target}).text


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(served: Any) -> None:
    with served.client() as client:
        answered = client.post("/login", data={"token": served.token("read")})
        cookie = answered.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert client.post("/logout").status_code == 303
        assert client.get("/").status_code == 303


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_served(reader: httpx.Client, path: str) -> None:
    answered = reader.get(path)
    assert answered.status_code == 200, answered.text
    assert answered.headers["content-type"] == "text/html; charset=utf-8"


def test_no_page_runs_what_others_wrote(served: Any, operator: httpx.Client) -> None:
    waiting = job(served, NASTY.replace("\x1b", ""), source_data='{"keyword": "<b>k</b>"}')
    markdown = f"# a\n\n{NASTY}\n\n[x](javascript:alert(1)) ![y](http://evil.example/z.png)"
    served.sql("update blog_generations set status = 'FAILED', error = %s where id = %s", NASTY, waiting)
    served.sql(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, request_id, retryable) "
        "values (%s, 1, 'ideas', '<i>Rejected</i>', %s, %s, false)",
        waiting, NASTY, NASTY,
    )  # fmt: skip
    served.sql(
        "insert into blog_posts (generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, "
        "seo_description, word_count, url, image_alt, tags) select id, instance_id, %s, 's', %s, %s, %s, 't', 'd', 4, "
        "'javascript:alert(1)', %s, '{}' from blog_generations where id = %s",
        NASTY, NASTY, markdown, NASTY, NASTY, waiting,
    )  # fmt: skip
    served.sql("update sites set name = %s, paused_at = now(), pause_reason = %s", NASTY, NASTY)
    served.sql("update provider_health set state = 'open', reason = %s where provider = 'openai'", NASTY)
    served.sql("insert into quotas (name, provider, requests_per_minute) values (%s, 'openai', 40)", NASTY)
    served.sql(
        "insert into workers (worker_id, name, host, pid, version, concurrency, lease_until, stats) "
        "values (gen_random_uuid(), %s, %s, 1, %s, 50, now() + interval '1 h', '{}')",
        NASTY, NASTY, NASTY[:50],
    )  # fmt: skip
    for path in (
        *PAGES,
        f"/jobs/{waiting}",
        "/jobs?text=%3Cscript%3E",
        "/?note=%3Cscript%3E",
        "/sites?text=%22%3E%3Cb%3E",
    ):
        text = operator.get(path).text
        assert "<script>" not in text, path
        assert "<img src=x" not in text, path
        assert "<b>k" not in text, path
        assert 'href="javascript:' not in text, path
        assert "\x1b" not in text, path
        assert "\u202e" not in text, path
        assert ">49<" not in text, path
    served.sql("delete from workers; delete from quotas")
    served.sql("update sites set name = null, paused_at = null, pause_reason = null")


def test_the_page_of_a_job_says_who_added_it(served: Any, operator: httpx.Client) -> None:
    assert "<dt>Added by</dt><dd>postgres</dd>" in operator.get(f"/jobs/{job(served, 'linen')}").text


def test_a_reader_sees_no_buttons_and_can_change_nothing(served: Any, reader: httpx.Client) -> None:
    waiting = job(served, "shop")
    for path in ("/jobs", f"/jobs/{waiting}", "/sites", "/errors", "/providers"):
        assert not re.search(r'<button name="do"|action="/(sites|errors|providers)/', reader.get(path).text), path
    for path in ("/jobs/change", "/sites/change", "/errors/retry", "/providers/close", "/providers/unblock"):
        assert reader.post(path, data={"id": str(waiting), "do": "cancel"}).status_code == 403
    assert served.sql("select status from blog_generations where id = %s", waiting) == [("PENDING",)]


def test_a_form_of_another_site_is_refused(served: Any, operator: httpx.Client, reader: httpx.Client) -> None:
    waiting = job(served, "shop")
    for wrong in ("", "0" * 64, "é", key(operator)[::-1]):
        answered = operator.post("/jobs/change", data={"id": str(waiting), "do": "cancel", "key": wrong})
        assert answered.status_code == 403
    assert operator.get("/jobs/change").status_code == 405
    assert served.sql("select status from blog_generations where id = %s", waiting) == [("PENDING",)]


def test_jobs_are_cancelled_and_retried_in_bulk(served: Any, operator: httpx.Client) -> None:
    ids = [job(served, "bulk") for _ in range(5)]
    form = {"key": key(operator), "id": [str(each) for each in ids]}

    cancelled = operator.post(
        "/jobs/change", data=form | {"do": "cancel"}, headers={"referer": f"{served.address}/jobs?site=bulk"}
    )
    assert cancelled.headers["location"] == "/jobs?site=bulk&note=5+jobs+cancelled"
    assert "5 jobs cancelled" in operator.get(cancelled.headers["location"]).text
    assert served.sql("select distinct status from blog_generations where instance_id = 'bulk'") == [("CANCELLED",)]

    retried = operator.post("/jobs/change", data=form | {"do": "retry"})
    assert "5+jobs+retried" in retried.headers["location"]
    assert served.sql("select distinct status from blog_generations where instance_id = 'bulk'") == [("PENDING",)]
    assert "no+job" in operator.post("/jobs/change", data={"key": key(operator), "do": "retry"}).headers["location"]


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example/", "//evil.example?x=1"])
def test_no_action_leads_to_another_server(served: Any, operator: httpx.Client, path: str) -> None:
    job(served, "lead")
    form = {"key": key(operator), "site": "lead", "do": "pause"}
    answered = operator.post("/sites/change", data=form, headers={"referer": f"{served.address}{path}"})

    assert answered.status_code == 303
    assert answered.headers["location"].startswith("/?")
    served.sql("update sites set paused_at = null, pause_reason = null")


def test_all_jobs_that_match_the_filter_are_cancelled_and_retried(served: Any, operator: httpx.Client) -> None:
    """Also those on other pages, and no other ones."""
    served.sql(
        "insert into blog_generations (instance_id, source_type, source_id) "
        "select case when n <= 60 then 'all of it' else 'another' end, 'keyword', 'k' || n "
        "from generate_series(1, 61) as n"
    )
    page = operator.get("/jobs", params={"site": "all of it", "before": "5"}).text
    assert 'action="/jobs/change?site=all+of+it"' in page
    for unfiltered in ("/jobs", "/jobs?status=done", "/jobs?stage=draft&age=2+days"):
        assert "all that match" not in operator.get(unfiltered).text

    def change(action: str, **query: str) -> httpx.Response:
        return operator.post("/jobs/change", params=query, data={"key": key(operator), "do": action})

    def states() -> dict[str, int]:
        return dict(
            served.sql(
                "select instance_id || ' ' || status, count(*) from blog_generations "
                "where instance_id in ('all of it', 'another') group by 1"
            )
        )

    assert "no+job+matches" in change("cancel-all", site="all of it", status="DONE").headers["location"]
    assert "60+jobs+cancelled" in change("cancel-all", site="all of it").headers["location"]
    assert states() == {"all of it CANCELLED": 60, "another PENDING": 1}
    assert "60+jobs+retried" in change("retry-all", site="all of it", text="k").headers["location"]
    assert states() == {"all of it PENDING": 60, "another PENDING": 1}

    served.sql(
        "insert into blog_generations (instance_id, source_type, source_id) "
        "select 'all of it', 'keyword', 'm' || n from generate_series(1, 441) as n"
    )
    for refused, query in {
        "filter the jobs first": {},
        "there is no such status": {"status": "done"},
        "there is no such age": {"site": "another", "age": "2 days"},
        "more than 500 jobs match": {"site": "all of it"},
    }.items():
        answered = change("cancel-all", **query)
        assert (answered.status_code, refused in answered.text) == (400, True), answered.text
    assert change("erase-all", site="another").status_code == 400
    assert states() == {"all of it PENDING": 501, "another PENDING": 1}


def test_a_site_is_paused_resumed_and_weighted(served: Any, operator: httpx.Client) -> None:
    job(served, "corner shop")
    form = {"key": key(operator), "site": "corner shop"}

    def state() -> tuple[Any, ...]:
        return served.sql("select paused_at is not null, weight from sites where instance_id = 'corner shop'")[0]

    operator.post("/sites/change", data=form | {"do": "pause"})
    assert state() == (True, 1.0)
    assert "corner shop" in operator.get("/sites?paused=1").text
    operator.post("/sites/change", data=form | {"do": "resume"})
    operator.post("/sites/change", data=form | {"do": "weight", "weight": "2.5"})
    assert state() == (False, 2.5)
    for weight in ("0", "-1", "nan", "x", "1e9"):
        assert operator.post("/sites/change", data=form | {"do": "weight", "weight": weight}).status_code == 400
    assert operator.post("/sites/change", data=form | {"do": "delete"}).status_code == 400


def test_a_site_shows_its_share_its_longest_wait_and_why_it_is_paused(served: Any, operator: httpx.Client) -> None:
    for site, tokens in (("third part", 250), ("other parts", 500)):
        served.sql(
            "insert into provider_usage (hour, provider, model, instance_id, requests, tokens_in, tokens_out) "
            "values (date_trunc('hour', now()), 'openai', 'm', %s, 1, %s, %s)",
            site, tokens, tokens,
        )  # fmt: skip
    waiting = job(served, "third part")
    served.sql(
        "update blog_generations set (created_at, run_at) = (now() - interval '3 h', now() - interval '3 h') "
        "where id = %s",
        waiting,
    )
    page = operator.get("/sites?text=third+part").text
    assert "33.3 %" in page
    assert "3 h ago" in page
    assert 'aria-label="Reason for pausing third part"' in page

    form = {"key": key(operator), "site": "third part", "do": "pause", "reason": "the owner asked"}
    operator.post("/sites/change", data=form)

    assert "the owner asked" in operator.get("/sites?text=third+part").text
    served.sql("delete from provider_usage")


def test_the_timeline_shows_dates_remedies_and_the_stage_that_runs(served: Any, reader: httpx.Client) -> None:
    running = job(served, "timeline")
    served.sql(
        "insert into workers (worker_id, name, host, pid, version, concurrency, lease_until, stats) values "
        "('00000000-0000-0000-0000-000000000009', 'w9', 'h', 1, '1', 50, now() + interval '1 h', '{}')"
    )
    before = reader.get(f"/jobs/{running}").text
    served.sql(
        "update blog_generations set status = 'PROCESSING', attempt = 1, claimed_at = '2026-03-04 05:06:07+00', "
        "worker_id = '00000000-0000-0000-0000-000000000009' where id = %s",
        running,
    )
    served.sql(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable, created_at) "
        "values (%s, 1, 'source', 'Rejected', 'no', false, '2026-03-04 05:06:08+00')",
        running,
    )
    page = reader.get(f"/jobs/{running}").text
    served.sql("update blog_generations set status = 'FAILED', error = 'no' where id = %s", running)
    after = reader.get(f"/jobs/{running}").text
    served.sql("delete from workers")

    assert "Nothing has happened yet." in before
    assert "2026-03-04<br>05:06:08" in page
    assert f"then <code>blogworker retry {running}</code>" in page
    assert 'class="state running"' in page
    assert "attempt 1, on w9" in page
    assert 'class="state running"' not in before + after


def test_jobs_are_found_by_text_status_stage_error_and_age(served: Any, reader: httpx.Client) -> None:
    wanted = job(served, "findme", source_data='{"keyword": "Ünusual Lamps"}')
    failed = job(served, "findme")
    served.sql("update blog_generations set status = 'FAILED', error = 'quota of 7' where id = %s", failed)
    served.sql(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
        "values (%s, 1, 'ideas', 'Misconfigured', 'm', false)",
        failed,
    )

    def found(**query: str) -> set[int]:
        text = reader.get("/jobs", params=query).text
        return {int(each) for each in re.findall(r'href="/jobs/(\d+)"', text)} & {wanted, failed}

    assert found(site="findme") == {wanted, failed}
    assert found(text="ünusual") == {wanted}
    assert found(text="QUOTA OF") == {failed}
    assert found(site="findme", status="FAILED") == {failed}
    assert found(site="findme", kind="Misconfigured") == {failed}
    assert found(site="findme", stage="publish") == set()
    assert found(site="findme", age="1 hour") == {wanted, failed}
    assert found(site="findme", before=str(failed)) == {wanted}
    assert found(site="findme", before="x" * 50, status="NONE", age="?", stage="%") == {wanted, failed}
    assert found(text="\0") >= {wanted}


def test_the_cover_is_served_only_as_a_picture(served: Any, reader: httpx.Client) -> None:
    ids = {}
    for name, data in (("png", b"\x89PNG\r\n\x1a\nx"), ("html", b"<script>alert(1)</script>"), ("none", None)):
        ids[name] = job(served, "covers")
        served.sql(
            "insert into blog_posts (generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, "
            "seo_description, word_count, image, tags) "
            "values (%s, 'covers', %s, %s, 'e', 'm', 'h', 't', 'd', 1, %s, '{}')",
            ids[name], name, name, data,
        )  # fmt: skip
    assert reader.get(f"/jobs/{ids['png']}/cover").headers["content-type"] == "image/png"
    for name in ("html", "none"):
        assert reader.get(f"/jobs/{ids[name]}/cover").status_code == 404
    assert reader.get("/jobs/99999999999999999999/cover").status_code == 404


def test_the_stream_sends_the_overview_and_ends_with_the_server(served: Any, reader: httpx.Client) -> None:
    with reader.stream("GET", "/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = iter(stream.iter_lines())
        text = "\n".join(next(lines) for _ in range(12))
    assert "event: overview" in text
    assert 'data: <section class="cards"' in text


def test_charts_have_a_place_for_every_step() -> None:
    now = datetime(2031, 1, 1, 12, 0, 30, tzinfo=UTC)
    steps = [
        HistoryStep(now.replace(second=0) - timedelta(minutes=n), 1, n * 7, n % 3, 0, 0, 1.0, n * 2.0 or None, 3.0, 4.0)
        for n in range(30, -1, -1)
    ]
    found = History(3600, 60, steps, [], [])

    chart = throughput(found, now=now)
    assert len([bar for bar in chart.bars if bar.kind == "done"]) == 30
    assert all(bar.y >= 0 and bar.height > 0 and 0 <= bar.x < chart.width for bar in chart.bars)
    line = dict(waits(found, now=now).lines)["p95"].split()
    assert len(line) == 30, "a step without a value has no point"
    empty = throughput(History(3600, 60, [], [], []), now=now)
    assert (empty.bars, empty.summary) == ([], "0 done, 0 failed")


def test_a_stage_is_paused_and_resumed(served: Any, operator: httpx.Client) -> None:
    form = {"key": key(operator), "stage": "image"}
    assert operator.post("/stages/change", data=form | {"do": "pause"}).status_code == 303
    assert "paused by test" in operator.get("/workers").text
    assert served.sql("select stage from stage_pauses") == [("image",)]
    assert operator.post("/stages/change", data=form | {"do": "resume"}).status_code == 303
    assert served.sql("select stage from stage_pauses") == []
    assert operator.post("/stages/change", data=form | {"stage": "x", "do": "pause"}).status_code == 400


def test_the_audit_names_who_changed_what(served: Any, operator: httpx.Client) -> None:
    job(served, "audited")
    with served.client("operate") as client:
        assert client.post("/api/sites/audited/pause").status_code == 200
    operator.post("/sites/change", data={"key": key(operator), "site": "audited", "do": "resume"})

    page = operator.get("/audit?target=audited").text

    assert page.index("site.resume") < page.index("site.pause")
    rows = served.sql("select via, actor, action from audit where target = 'audited' order by audit_id")
    assert [(via, action) for via, _, action in rows] == [("http", "site.pause"), ("dashboard", "site.resume")]
    assert all(actor.startswith("test ") for _, actor, _ in rows)
