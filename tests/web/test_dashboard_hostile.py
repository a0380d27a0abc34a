"""The dashboard with what is odd in the database: secrets, ids with spaces, rows of other programs."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

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
