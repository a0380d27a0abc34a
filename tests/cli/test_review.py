"""`blogworker review`: posts beside their source, on a terminal, as a page and for machines."""

import io
import json
import re
from html.parser import HTMLParser
from typing import Any
from unicodedata import category

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Group

from blogworker.cli import review_forms as forms
from blogworker.cli.output import Screen, json_text
from blogworker.demo.review_page import review_page
from blogworker.ops.review import Review, review_of

KEYS = {"OPENAI_API_KEY": "sk-test-1", "REPLICATE_API_TOKEN": "r8-test-1"}
DONE, FAILED, USAGE = 0, 1, 2
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
VOID = {"meta", "link", "img", "br", "hr"}
HOSTILE = "</title><script>alert(1)</script>&amp; \" ' $title ${body} \u202egpj.exe \x1b[31m <img src=https://x.example/p.png>"
BODY = (
    "The Low Water Mug costs $26.00.\n\n## Where it stands\n\nWords about mugs.\n\n## Who it is for\n\nPeople with tea."
)
SOURCE = {"kind": "product", "name": "Low Water Mug", "price": "26.00", "currency": "USD", "site": {"language": "en"}}
WRITTEN = {"model": "gpt-6.1-terra", "repaired": ["footnote"], "returned": ["too short"], "score": 70}


def row(**changes: Any) -> dict[str, Any]:
    """As ops/reviewed_posts gives it."""
    post = {
        "title": "Mugs",
        "slug": "mugs",
        "excerpt": "About mugs.",
        "seo_title": "Mugs",
        "seo_description": "All about mugs.",
        "image_alt": None,
        "image_type": None,
        "tags": ["mugs"],
        "markdown": BODY,
        "html": "<p>The Low Water Mug costs $26.00.</p>",
        "word_count": 19,
        "score": 70,
        "wix_draft_id": None,
        "wix_post_id": None,
        "url": None,
    }
    return {
        "id": 7,
        "instance_id": "shop",
        "site": "Tidewrack",
        "status": "DONE",
        "finished_at": None,
        "source": SOURCE,
        "idea": {},
        "written": WRITTEN,
        "ended": {"published": False, "reason": "left as a draft for review: one of every 4 posts"},
        "title_of": 7,
        "slug_of": 9,
        **{name: value for name, value in changes.items() if name not in post},
        "post": post | {name: value for name, value in changes.items() if name in post},
    }


def drawn(review: Review, width: int) -> str:
    out = io.StringIO()
    screen = Screen(file=out, width=width, color_system=None, markup=False, emoji=False, highlight=False)
    screen.print(Group(*forms.parts(review)))
    return out.getvalue()


class Page(HTMLParser):
    """A page whose tags balance, with its text and what it would load or follow."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert len(found) == len(attrs)
        assert not [name for name in found if name.startswith("on")]
        self.seen.append(tag)
        self.open += [] if tag in VOID else [tag]
        self.loads += [str(found["src"])] if "src" in found else []
        self.loads += [str(found["href"])] if tag == "link" else []
        self.ids += [str(found["id"])] if "id" in found else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def safe(page: str) -> Page:
    """Nothing runs, nothing is loaded from elsewhere, nothing hides."""
    read = Page(page)
    assert "script" not in read.seen
    assert all(address.startswith("data:") for address in read.loads)
    assert "Content-Security-Policy" in page
    assert "default-src 'none'" in page
    assert len(read.ids) == len(set(read.ids))
    assert "\u202e" not in page
    assert "\x1b" not in page
    return read


def test_a_review_lists_repairs_returns_and_remaining_findings() -> None:
    review = review_of(row(excerpt="It costs €99 [TODO]."))

    outcomes = {cost.name: str(cost.outcome) for cost in review.costs}
    assert outcomes["footnote"] == "repaired"
    assert outcomes["too short"] == "remaining", "it went back, and is too short all the same"
    assert outcomes["price not in the source"] == outcomes["placeholder in square brackets"] == "remaining"
    assert review.checks["footnote"] == "repaired"
    assert review.checks["glued table"] == "passed"
    assert review.facts["slug unique"] == "no: job 9 has it"
    assert review.facts["title unique"] == "yes"
    stated = {(fact.text, fact.field): fact.in_source for fact in review.verdict.facts}
    assert stated == {("$26.00", "body_markdown"): True, ("€99", "excerpt"): False}
    assert (review.score, review.score_now) == (70, 0)


def test_findings_of_an_older_version_are_shown_separately() -> None:
    review = review_of(row(written={"defects": ["footnote", "product never named"]}, score=None))

    outcomes = {cost.name: str(cost.outcome) for cost in review.costs}
    assert (outcomes["footnote"], outcomes["product never named"]) == ("repaired", "sent back")
    assert "not stored" in drawn(review, 80)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_review_fits_the_terminal_without_truncation(width: int) -> None:
    text = drawn(review_of(row(excerpt="Costs €99. " + "word " * 60)), width)

    assert max(map(len, text.splitlines())) <= width
    for shown in (
        "Low Water Mug",
        "left as a draft for review",
        "price not in the source",
        "Words about mugs.",
        "19 words",
    ):
        assert shown in " ".join(text.split())


TEXT = st.text(max_size=60) | st.just(HOSTILE) | st.just("")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
FIELDS = dict.fromkeys(("title", "slug", "excerpt", "seo_title", "seo_description", "markdown", "html"), TEXT)
ROWS = st.fixed_dictionaries(
    {},
    optional={
        **FIELDS,
        "image_alt": st.none() | TEXT,
        "tags": st.lists(TEXT, max_size=4),
        "url": st.none() | st.just("https://tidewrack.example/p"),
        "wix_post_id": st.none() | st.just("p"),
        "source": ANYTHING
        | st.dictionaries(st.sampled_from([*SOURCE, "url", "text", "keyword"]), ANYTHING, max_size=5),
        "idea": ANYTHING,
        "ended": ANYTHING,
        "site": st.none() | TEXT,
        "title_of": st.none() | st.sampled_from([0, 7, 8]),
    },
)


@settings(max_examples=150)
@given(changes=ROWS, width=st.sampled_from([60, 80, 120]))
def test_every_form_shows_any_content_without_executing_it(changes: Any, width: int) -> None:
    """Titles come from a model, sources from strangers, and anything from whoever writes SQL."""
    review = review_of(row(**changes))

    text = drawn(review, width)
    page = safe(review_page([review], {}))
    shown = json.loads(json_text([forms.as_json(review)]))

    assert not [sign for sign in text if sign != "\n" and category(sign) in HIDDEN]
    assert f"Job {review.job_id}" in text
    assert f"Job {review.job_id}" in page.text
    assert shown[0]["score_now"] == review.score_now
    assert 0 <= review.score_now <= 100


def test_a_page_of_several_posts_has_an_index_and_their_pictures() -> None:
    found = [review_of(row(image_type="image/png", image_alt=HOSTILE)), review_of(row(id=8, image_type="text/html"))]

    page = safe(review_page(found, {7: b"png", 8: b"<script>"}))

    assert "2 posts to review" in page.text
    assert page.loads == ["data:,", "data:image/png;base64,cG5n"]
    assert {"blog-7", "blog-8"} <= set(page.ids)


POSTS = """
insert into blog_generations (instance_id, source_type, source_id) values
    ('a', 'keyword', 'one'), ('a', 'keyword', 'two'), ('b', 'keyword', 'three'), ('b', 'keyword', 'old'),
    ('b', 'keyword', 'waits');
insert into blog_posts (
    generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, seo_description, word_count, score,
    wix_draft_id, wix_post_id
)
select id, instance_id, 'Title ' || id, 's' || id, 'e', 'm', 'h', 't', 'd', 1, 100 - 10 * id, 'd',
    case when id % 2 = 0 then 'p' end
from blog_generations where id < 5;
update blog_generations set status = 'CANCELLED' where id < 5;
set session_replication_role = replica;
update blog_generations set status = 'DONE' where id < 5;
update blog_generations set finished_at = now() - interval '60 days' where id = 4;
"""


@pytest.fixture
def posts(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(POSTS.encode())


def ids(ran: Any) -> list[int]:
    assert (ran.code, ran.err) == (DONE, ""), ran
    return [found["id"] for found in ran.json]


@pytest.mark.usefixtures("posts")
def test_posts_are_chosen_by_id_site_score_age_and_chance(cli: Any) -> None:
    assert ids(cli("review", "4", "1", "--json")) == [4, 1], "named ones may be old, and come in that order"
    assert ids(cli("review", "--site", "b", "--json")) == [3]
    assert ids(cli("review", "--site", "b", "--since", "90d", "--json")) == [4, 3]
    assert ids(cli("review", "--worst", "2", "--json")) == [3, 2]
    assert ids(cli("review", "--drafts", "--json")) == [3, 1]
    assert sorted(ids(cli("review", "--sample", "3", "--json"))) == [1, 2, 3]
    listed = cli("review").out
    assert "Title 1" in listed
    assert "Title 3" in listed
    assert "Title 2" not in listed
    assert ids(cli("review", "--json")) == [3, 1], "the worst first"


@pytest.mark.usefixtures("posts")
def test_a_page_is_written_to_the_given_path(cli: Any) -> None:
    ran = cli("review", "1", "2", "--page", "posts.html")

    assert (ran.code, ran.out, ran.err) == (DONE, "2 posts: posts.html\n", "")
    assert "Title 2" in safe((cli.folder / "posts.html").read_text()).text


@pytest.mark.usefixtures("posts")
def test_a_blog_without_a_post_is_named_and_the_others_are_shown(cli: Any) -> None:
    ran = cli("review", "1", "5", "99")

    assert (ran.code, len(ran.complaints)) == (FAILED, 1)
    assert "Title 1" in ran.out
    assert "no post for job 5, 99" in ran.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--sample", "3", "--worst", "3"), "either --sample or --worst"),
        (("1", "--site", "a"), "either ids, or --site"),
        (("--since", "yesterday", "--drafts"), "yesterday"),
        (("--drafts", "--page", "nowhere/p.html"), "name a file in a folder that exists"),
        (("--site", "nobody"), "there is no site nobody"),
    ],
)
def test_a_refused_review_is_explained_in_one_line(cli: Any, arguments: tuple[str, ...], reason: str) -> None:
    ran = cli("review", *arguments)

    assert (ran.code, ran.out, len(ran.complaints)) == (USAGE, "", 1), ran
    assert reason in ran.err


@pytest.mark.parametrize("number", ["0", "1001", "many"])
def test_a_number_out_of_bounds_is_refused(cli: Any, number: str) -> None:
    ran = cli("review", "--sample", number)

    assert (ran.code, ran.out) == (USAGE, "")
    assert "--sample" in ran.err


def test_no_post_waits_for_review_at_first(cli: Any) -> None:
    ran = cli("review")

    assert (ran.code, ran.out, ran.err) == (DONE, "no post is a draft\n", "")


def test_the_share_of_posts_held_for_review_is_a_setting_of_the_site(cli: Any, sql: Any) -> None:
    assert cli("sites", "set", "shop", "--review-every", "10", "--json").json[0]["settings"] == {"review_every": 10}
    assert "1 of 10" in cli("sites", "list").out
    assert cli("sites", "set", "shop", "--review-every", "0", "--json").json[0]["settings"] == {"review_every": None}
    assert "review" not in cli("sites", "list").out
    for wrong in ("0", "1001", '"often"', "1.5"):
        ran = cli("sites", "set", "shop", "--settings", f'{{"review_every": {wrong}}}')
        assert (ran.code, len(ran.complaints)) == (USAGE, 1)
        assert "review_every" in ran.err
        assert "one of this many posts stays a draft" in ran.err
    assert cli("sites", "set", "shop", "--review-every", "1001").code == USAGE
    ran = cli("run", "--until-empty", **KEYS, BLOGWORKER_REVIEW_EVERY="0")
    assert (ran.code, len(ran.complaints)) == (USAGE, 1)
    assert "BLOGWORKER_REVIEW_EVERY" in ran.err
    assert re.search(r"[^ -~\n]", ran.err) is None


def test_costs_show_the_average_score(cli: Any, sql: Any) -> None:
    """So that a cheaper model that writes worse is seen to."""
    sql(
        "insert into provider_usage (hour, provider, model, instance_id, requests, cost_usd, posts, score_sum) values "
        "(date_trunc('hour', now()), 'openai', 'dear', 'a', 2, 2, 2, 195), "
        "(date_trunc('hour', now()), 'openai', 'cheap', 'b', 4, 0.1, 4, 290), "
        "(date_trunc('hour', now()), 'replicate', 'painter', 'b', 4, 0.1, 0, 0)"
    )

    found = cli("costs", "--json").json
    page = cli("costs").out

    assert {row["model"]: row["score"] for row in found["models"]} == {"dear": 97.5, "cheap": 72.5, "painter": None}
    assert {row["instance_id"]: row["score"] for row in found["sites"]} == {"a": 97.5, "b": 72.5}
    assert [(row["posts"], row["score"]) for row in found["periods"]] == [(6, 80.8)]
    assert (found["spending"]["posts_month"], found["spending"]["score_month"]) == (6, 80.8)
    assert "6 posts this month, 80.8 of 100 on average" in page
    assert "97.5" in page
