"""The dashboard with what is odd in the database: secrets, ids with spaces, rows of other programs."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from blogworker.web.dashboard.session import _coded

from .conftest import job, serving
from .test_dashboard import key, visitor

SECRET = "sk-proj-Zq8_vT2_xK5_mN7w"  # noqa: S105
ESCAPED = SECRET.replace("_", "\\_")  # as Markdown


def test_no_page_shows_a_secret_that_was_stored(database_url: str, tmp_path: Any) -> None:
    with serving(database_url, tmp_path, OPENAI_API_KEY=SECRET) as served, visitor(served, "read") as client:
        leaking = job(served, "leak")
        for name, output in (
            ("source", f'{{"a": ["{SECRET}"]}}'),
            ("ideas", f'["{SECRET}"]'),
            ("image", f'"{SECRET}"'),
        ):
            served.sql(
                "insert into generation_stages (generation_id, stage, output, attempt) values (%s, %s, %s, 1)",
                leaking, name, output,
            )  # fmt: skip
        served.sql(
            "insert into blog_posts (generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, "
            "seo_description, word_count, tags) values (%s, 'leak', 't', 's', 'e', %s, 'h', 't', 'd', 4, '{}')",
            leaking, f"the key {SECRET} and `{SECRET}` and {ESCAPED}",
        )  # fmt: skip

        text = client.get(f"/jobs/{leaking}").text

    assert SECRET not in text
    assert text.count("[secret]") == 6


@pytest.fixture(scope="module")
def operator(served: Any) -> Iterator[httpx.Client]:
    with visitor(served, "read", "operate") as client:
        yield client


@pytest.mark.parametrize("site", [" lead", "lead ", "le\0ad"])
def test_an_action_compares_ids_exactly(served: Any, operator: httpx.Client, site: str) -> None:
    others, own = job(served, "lead"), None if "\0" in site else job(served, site)

    operator.post("/jobs/change", params={"site": site}, data={"key": key(operator), "do": "cancel-all"})
    operator.post("/sites/change", data={"key": key(operator), "site": site, "do": "pause"})

    status = dict(served.sql("select id, status from blog_generations where id in (%s, %s)", others, own))
    assert status == {others: "PENDING"} | ({own: "CANCELLED"} if own else {})
    assert served.sql("select paused_at from sites where instance_id = 'lead'") == [(None,)]
    page = operator.get("/audit", params={"target": site}).text
    assert ("jobs.cancel" in page, "site.pause" in page) == (False, own is not None)
    served.sql("update blog_generations set status = 'CANCELLED' where id = %s", others)


def failed(served: Any, days: float, *, kind: str | None, message: str = "m") -> int:
    job_id = job(served, "kinds")
    served.sql(
        "update blog_generations set status = 'FAILED', error = %s, finished_at = now() - make_interval(secs => %s) "
        "where id = %s",
        message, days * 86_400, job_id,
    )  # fmt: skip
    if kind:
        served.sql(
            "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
            "values (%s, 1, 'ideas', %s, %s, false)",
            job_id, kind, message,
        )  # fmt: skip
    return job_id


@pytest.mark.parametrize("kind", ["Odd", None])
def test_a_kind_of_error_is_retried_as_it_is_listed(served: Any, operator: httpx.Client, kind: str | None) -> None:
    fresh = [failed(served, 0.1, kind=kind), failed(served, 0.2, kind=kind, message="another")]
    old = failed(served, 20, kind=kind)
    job(served, "kinds")
    name = kind or "Unknown"

    page = operator.get("/errors").text
    listed = operator.get("/jobs", params={"kind": name, "site": "kinds"}).text
    answered = operator.post("/errors/retry", data={"key": key(operator), "kind": name})

    assert f"Retry all 2 jobs of kind {name} that failed in the last day?" in page
    assert {int(each) for each in re.findall(r'name="id" value="(\d+)"', listed)} == {*fresh, old}
    assert "2+jobs+retried" in answered.headers["location"]
    status = dict(served.sql("select id, status from blog_generations where id = any(%s)", [*fresh, old]))
    assert status == dict.fromkeys(fresh, "PENDING") | {old: "FAILED"}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_action_returns_to_its_page_also_behind_tls(served: Any, operator: httpx.Client, scheme: str) -> None:
    """A proxy that ends TLS passes the host on."""
    job(served, "tls")
    host = served.address.partition("://")[2]

    def location(referer: str) -> str:
        form = {"key": key(operator), "site": "tls", "do": "resume"}
        served.sql("update sites set paused_at = now(), pause_reason = 'r' where instance_id = 'tls'")
        answered = operator.post("/sites/change", data=form, headers={"referer": referer})
        assert answered.status_code == 303
        return str(answered.headers["location"])

    assert location(f"{scheme}://{host}/sites?text=t+ls&note=old") == "/sites?text=t+ls&note=site+tls+is+resumed"
    for foreign in (f"{scheme}://evil.example/jobs", f"{scheme}://{host}.evil.example/", "ftp://x/", "http://[", "x"):
        assert location(foreign) == "/sites?note=site+tls+is+resumed", foreign
    assert location(f"{scheme}://{host}//evil.example/").startswith("/?note="), "the path of another server"


def test_a_worker_without_slots_is_shown(served: Any, operator: httpx.Client) -> None:
    served.sql(
        "insert into workers (worker_id, name, host, pid, version, concurrency, in_flight, lease_until) "
        "values (gen_random_uuid(), 'none', 'h', 1, '1', 0, 0, now() + interval '1 hour')"
    )

    answered = operator.get("/workers")

    assert (answered.status_code, "0 of 0" in answered.text) == (200, True)


@pytest.mark.parametrize("target", ["stages", "workers"])
def test_an_unknown_action_changes_nothing(served: Any, operator: httpx.Client, target: str) -> None:
    form = {"key": key(operator), "stage": "image", "name": "none", "do": "stop"}

    assert operator.post(f"/{target}/change", data=form).status_code == 400
    assert served.sql("select stage from stage_pauses union all select name from quiet_workers") == []


def test_commands_in_advice_are_code_and_the_rest_is_text() -> None:
    shown = _coded("run `blogworker sites resume '<b>'` <script> then `")

    assert shown == "run <code>blogworker sites resume &#39;&lt;b&gt;&#39;</code> &lt;script&gt; then `"
