"""Jobs over HTTP: lists with a cursor, one job, cancel, retry; and the state of the fleet."""

from typing import Any

import httpx
import pytest

from .conftest import job, serving

JOBS = "/api/blog-generation"


def test_pages_contain_every_job_once_newest_first(served: Any, admin: httpx.Client) -> None:
    ids = [job(served, "pages") for _ in range(25)]
    seen: list[int] = []
    cursor: dict[str, Any] = {}
    while True:
        page = admin.get(JOBS, params={"site": "pages", "limit": 10, **cursor}).json()
        seen += [found["id"] for found in page["jobs"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}

    assert seen == ids[::-1]


def test_jobs_are_filtered_by_status(served: Any, admin: httpx.Client) -> None:
    failed = job(served, "filter")
    job(served, "filter")
    served.sql("update blog_generations set status = 'FAILED', error = 'e' where id = %s", failed)

    found = admin.get(JOBS, params={"site": "filter", "status": "FAILED"}).json()["jobs"]

    assert [(each["id"], each["status"], each["error"]) for each in found] == [(failed, "FAILED", "e")]


def test_jobs_are_found_by_text_stage_kind_and_age(served: Any, admin: httpx.Client) -> None:
    young, old, other = (job(served, "search") for _ in range(3))
    served.sql("update blog_generations set created_at = now() - interval '3 days' where id = %s", old)
    served.sql(
        "update blog_generations set status = 'FAILED', error = 'the kiln is cold', stage = 'image' where id = %s",
        other,
    )
    served.sql(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
        "values (%s, 1, 'image', 'Rejected', 'm', false)",
        other,
    )

    def found(**asked: str) -> set[int]:
        return {each["id"] for each in admin.get(JOBS, params={"site": "search", **asked}).json()["jobs"]}

    assert found(text="KILN") == found(stage="image") == found(kind="Rejected") == {other}
    assert found(olderThan="1d") == {old}
    assert found(within="1d") == {young, other}
    assert found(within="1d", status="PENDING") == {young}


@pytest.mark.parametrize(
    "query",
    ["stage=draft", "within=soon", "olderThan=-1", "olderThan=99999999d",
     "limit=0", "limit=501", "limit=x", "limit=1&limit=2", "status=done", "cursor=0", f"cursor={2**63}", "page=2",
     "site=%00", "site=%ff", "limit=%EF%BC%91"],
)  # fmt: skip
def test_a_wrong_query_is_refused(admin: httpx.Client, query: str) -> None:
    answered = admin.get(f"{JOBS}?{query}")
    assert answered.status_code == 400, answered.text


@pytest.mark.parametrize("path", ["0", "99999999999", str(2**63 - 1), str(2**63), "9" * 400])
def test_an_unknown_job_is_not_found(admin: httpx.Client, path: str) -> None:
    for method, end in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
        assert admin.request(method, f"{JOBS}/{path}{end}").status_code == 404


def test_a_waiting_job_is_cancelled_and_retried(served: Any, admin: httpx.Client) -> None:
    waiting = job(served, "turn")

    cancelled = admin.post(f"{JOBS}/{waiting}/cancel")
    again = admin.post(f"{JOBS}/{waiting}/cancel")
    retried = admin.post(f"{JOBS}/{waiting}/retry")
    waits = admin.post(f"{JOBS}/{waiting}/retry")

    assert (cancelled.status_code, cancelled.json()) == (200, {"id": waiting, "status": "CANCELLED"})
    assert again.status_code == 409
    assert retried.status_code == 200
    assert retried.json()["usdAtMost"] > 0
    assert served.sql("select status from blog_generations where id = %s", waiting) == [("PENDING",)]
    assert waits.status_code == 409
    assert "already waiting" in waits.json()["detail"]


def test_a_failed_job_says_why_and_what_to_do(served: Any, admin: httpx.Client) -> None:
    failed = job(served, "why")
    served.sql("update blog_generations set status = 'FAILED', error = 'no credit' where id = %s", failed)
    served.sql(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
        "values (%s, 1, 'content', 'Misconfigured', 'no credit, request 123', false)",
        failed,
    )

    explanation = admin.get(f"{JOBS}/{failed}").json()["explanation"]
    group = next(found for found in admin.get("/api/errors").json() if found["jobId"] == failed)

    assert "no credit" in explanation["summary"]
    assert "retry" in explanation["advice"]
    assert (group["kind"], group["stage"], group["jobs"]) == ("Misconfigured", "content", 1)
    assert group["retry"] == "blogworker retry --kind Misconfigured --within 1d"


def test_a_secret_that_was_stored_is_not_shown(database_url: str, tmp_path: Any) -> None:
    secret = "an-unusual-key-7Qx"  # noqa: S105
    with serving(database_url, tmp_path, OPENAI_API_KEY=secret) as served, served.client("read") as client:
        failed = job(served, "leak")
        served.sql("update blog_generations set error = %s where id = %s", f"bad key {secret}", failed)
        for path in (f"{JOBS}/{failed}", JOBS, "/api/errors"):
            assert secret not in client.get(path).text


@pytest.mark.parametrize("path", ["/api/sites/%00/pause", "/api/sites/%ff/resume", "/api/breakers/%00/close"])
def test_a_path_that_cannot_be_stored_is_refused(admin: httpx.Client, path: str) -> None:
    answered = admin.post(path)
    assert (answered.status_code, "cannot be stored" in answered.text) == (400, True)


def test_sites_are_paused_and_resumed(served: Any, admin: httpx.Client) -> None:
    for site in ("a/b", "ü €", "plain"):
        job(served, site)
        quoted = httpx.URL("http://x").copy_with(path=f"/api/sites/{site}").raw_path.decode()

        assert admin.post(f"{quoted}/pause").status_code == 200, site
        assert served.sql("select paused_at is not null from sites where instance_id = %s", site) == [(True,)]
        assert admin.post(f"{quoted}/pause").status_code == 409
        assert admin.post(f"{quoted}/resume").status_code == 200
        assert admin.post(f"{quoted}/resume").status_code == 409


def test_an_unknown_site_is_not_found_and_no_other_is_named(served: Any, admin: httpx.Client) -> None:
    """A token of one site must not learn of the others."""
    job(served, "somebody's shop")
    with served.client("operate", sites=("somebodys shop",)) as bound:
        for client, act in ((admin, "pause"), (admin, "resume"), (bound, "pause"), (bound, "resume")):
            answered = client.post(f"/api/sites/somebodys shop/{act}")
            assert answered.status_code == 404, answered.text
            assert "somebody's" not in answered.text


def test_a_breaker_is_closed(served: Any, admin: httpx.Client) -> None:
    served.sql("update provider_health set state = 'open', reason = 'r' where provider = 'openai'")

    assert admin.post("/api/breakers/openai/close").json() == {"name": "openai", "state": "closed"}
    assert admin.post("/api/breakers/openai/close").status_code == 409
    assert admin.post("/api/breakers/other/close").status_code == 404


def test_the_stats_of_the_limiters_have_the_names_of_the_previous_system(served: Any, admin: httpx.Client) -> None:
    served.sql(
        "insert into quotas (name, provider, requests_per_minute, tokens_per_minute) "
        "values ('openai/a', 'openai', 400, 1000), ('openai/b', 'openai', 50, null), "
        "('replicate/predictions', 'replicate', 600, null)"
    )
    answered = admin.get("/api/rate-limiter/stats")
    assert answered.status_code == 200, answered.text
    text = answered.json()
    pictures = admin.get("/api/replicate-rate-limiter/stats").json()

    names = {"queueLength", "requestsInLastMinute", "maxRPM", "rpmUsagePercent"}
    assert names | {"tokensInLastMinute", "maxTPM", "tpmUsagePercent", "quotas"} == set(text) == set(pictures)
    assert (text["maxRPM"], text["maxTPM"], pictures["maxRPM"], pictures["maxTPM"]) == (450, 1000, 600, 0)
    assert [quota["name"] for quota in text["quotas"]] == ["openai/a", "openai/b"]


def test_the_history_is_shown_in_steps(served: Any, admin: httpx.Client) -> None:
    served.sql(
        "insert into history (minute, done, failed, cancelled, wait_p95_s) "
        "select date_trunc('minute', now()) - make_interval(mins => n), 7, 1, 0, 2 from unnest(array[90, 200]) as n"
    )
    served.sql(
        "insert into history_stages (minute, stage, jobs, p50_s, p95_s) select minute, 'image', 7, 3, 9 from history"
    )

    found = admin.get("/api/history", params={"minutes": 120, "step": 1}).json()

    assert (found["withinS"], found["stepS"]) == (7_200, 60)
    assert [(step["done"], step["failed"], step["waitP95S"]) for step in found["steps"] if step["minutes"]] == [
        (7, 1, 2)
    ]
    assert [(step["stage"], step["jobs"], step["p50S"], step["p95S"]) for step in found["stageSteps"]] == [
        ("image", 7, 3, 9)
    ]
    week = admin.get("/api/history", params={"minutes": 10_080}).json()
    assert week["stepS"] == 420
    assert sum(step["done"] for step in week["steps"] if step["minutes"]) == 14
    assert admin.get("/api/history").json()["stepS"] == 300


@pytest.mark.parametrize(
    "query", ["minutes=10081", "minutes=0", "step=0", "minutes=10080&step=1", "minutes=1h", "days=1"]
)
def test_a_range_of_the_history_that_is_too_long_is_refused(admin: httpx.Client, query: str) -> None:
    assert admin.get(f"/api/history?{query}").status_code == 400


def test_the_fleet_is_shown_as_the_commands_show_it(admin: httpx.Client) -> None:
    assert {
        "queue",
        "waiting",
        "fleet",
        "workers",
        "quotas",
        "breakers",
        "busiestSites",
        "pausedStages",
        "scale",
        "webhooks",
    } == set(admin.get("/api/status").json())
    assert admin.get("/api/sites", params={"limit": 1}).json()[0]["instanceId"]
    assert admin.get("/api/costs", params={"days": 7, "by": "month"}).json()["spending"]["spentTodayUsd"] == 0
    assert "blogworker_jobs" in admin.get("/metrics").text
