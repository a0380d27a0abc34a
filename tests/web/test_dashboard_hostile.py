"""The dashboard with what is odd in the database: secrets, ids with spaces, rows of other programs."""

from typing import Any

from .conftest import job, serving
from .test_dashboard import visitor

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
