"""A site's library: related posts are found, and only published posts of the same site are linked, each once."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from blogworker.db.sql import query
from blogworker.errors import LeaseLost
from blogworker.post import render
from blogworker.post.ricos import ricos
from blogworker.post.ricos_html import ricos_html
from blogworker.post.ricos_rules import ricos_faults
from blogworker.simulator.ricos_rules import violations
from blogworker.stages import content, ideas, library
from blogworker.stages.content import read_post
from blogworker.stages.library import (
    CLOSE_SHARE,
    DEPTH,
    FOUND,
    LEAST_SHARE,
    MOST_LINKS,
    MOST_TERMS,
    SHOWN,
    known,
    offered,
    stored,
    terms_of,
    with_list,
)
from blogworker.stages.work import Related
from blogworker.stages.writing import InvalidOutput

from .conftest import body, idea, post
from .test_titles import _open as opened

pytestmark = pytest.mark.anyio

OWN = "https://shop.example/product-page/mug"
PAN = "https://shop.example/post/season-a-pan"
OIL = "https://shop.example/post/oil_(for-wood)"
MANY = 100_000
TITLES = st.text("abc de'*_`|&<>[]()!\\#-ßé陶ไ ", min_size=3, max_size=60)


@pytest.fixture
async def shop(database):
    return await opened(database)


async def write(job, title, *, url=None, language=None, draft=False):
    """Record a post, and publish it where it has an address."""
    await job.record_post(title=title, angle=f"What {title} is", language=language, terms=list(terms_of([title])))
    columns = {
        "title": title, "slug": "s", "excerpt": "", "markdown": "", "html": "", "seo_title": "", "seo_description": "",
        "word_count": 1,
    }  # fmt: skip
    made = {"wix_draft_id": "d"} | ({"wix_post_id": "p", "url": url} if url and not draft else {})
    await job.store_post({**columns, **made})


async def related(job, *texts, language=None):
    return await job.related_posts(terms_of(texts), language=language)


# --- terms ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(), max_size=6))
def test_terms_are_few_short_and_distinct(texts):
    found = terms_of(texts)

    assert len(found) == len(set(found)) <= MOST_TERMS
    assert all(0 < len(term) <= 100 and term.isprintable() for term in found)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Seasoning pans", "a seasoned pan"),
        ("Gusseiserne Pfannen", "die gusseiserne Pfanne"),
        ("чугунная сковорода", "чугунные сковороды"),
        ("陶器のマグカップ", "陶器の手入れ"),
    ],
)
def test_words_meet_whatever_their_endings(one, other):
    assert terms_of([one]).keys() & terms_of([other]).keys()


def test_common_words_and_numbers_say_nothing():
    assert terms_of(["the pan for you and 26"]) == {"pan": 1}


# --- finding -------------------------------------------------------------------------------------------------------


async def test_posts_about_the_same_are_found_the_most_alike_first(shop):
    pan, care, mug, asking = await shop.jobs(4)
    await write(pan, "How to season a cast iron pan", url=PAN)
    await write(care, "Cast iron pans: oil, heat and rust")
    await write(mug, "How to choose a stoneware mug")

    found = await related(asking, "cast iron pan")

    assert [(each.title, each.url) for each in found] == [
        ("Cast iron pans: oil, heat and rust", None),
        ("How to season a cast iron pan", PAN),
    ]
    assert all(LEAST_SHARE <= each.share <= 1 for each in found)


async def test_a_post_is_not_related_to_itself_nor_to_another_sites(shop):
    [own] = await shop.jobs(1)
    [other] = await shop.jobs(1, "another shop")
    await write(own, "How to season a cast iron pan", url=PAN)
    await write(other, "How to season a cast iron pan", url="https://other.example/post/pan")

    assert await related(own, "season a cast iron pan") == []


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
async def test_a_blog_that_ended_without_a_post_is_forgotten(shop, status):
    gone, asking = await shop.jobs(2)
    await write(gone, "How to season a cast iron pan")
    await shop.run(f"update blog_generations set status = '{status}', error = 'e' where id = 1")

    assert await related(asking, "cast iron pan") == []


async def test_what_is_published_outlives_its_blog_and_nothing_else_does(shop):
    """`prune` deletes the blog and its post; the page on the site stays."""
    live, draft, asking = await shop.jobs(3)
    await write(live, "How to season a cast iron pan", url=PAN)
    await write(draft, "Cast iron pans on induction")
    await shop.run("update blog_generations set status = 'DONE' where id in (1, 2)")
    await shop.run("delete from blog_generations where id in (1, 2)")

    assert [each.url for each in await related(asking, "cast iron pan")] == [PAN]


async def test_posts_in_another_language_are_left_out(shop):
    german, unknown, asking = await shop.jobs(3)
    await write(german, "Cast iron", url=PAN, language="de")
    await write(unknown, "Cast iron again", url=OIL)

    assert [each.url for each in await related(asking, "cast iron", language="en")] == [OIL]
    assert len(await related(asking, "cast iron")) == 2


async def test_a_post_that_is_written_anew_is_found_by_its_new_words_alone(shop):
    job, asking = await shop.jobs(2)
    await write(job, "How to season a cast iron pan", url=PAN)

    await job.record_post(
        title="Stoneware mugs", angle="", language=None, terms=list(terms_of(["Stoneware mugs and pan"]))
    )

    assert await related(asking, "cast iron season") == []
    assert [each.title for each in await related(asking, "stoneware mug")] == ["Stoneware mugs"]
    assert [row["term"] for row in await shop.run("select term from site_terms order by term")] == [
        "mug",
        "pan",
        "stonew",
    ]


async def test_who_lost_the_claim_records_nothing(shop):
    [job] = await shop.jobs(1)
    await shop.run("update blog_generations set status = 'PENDING', worker_id = null")

    with pytest.raises(LeaseLost):
        await job.record_post(title="A title", angle="", language=None, terms=["title"])

    assert await shop.run("select from site_posts") == []
    assert await shop.run("select from site_terms") == []


WORDS = st.sampled_from(
    [
        "iron",
        "steel",
        "copper",
        "pan",
        "pot",
        "kettle",
        "season",
        "polish",
        "rust",
        "heat",
        "oil",
        "gas",
        "induction",
        "oven",
        "camp",
    ]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    posts=st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=6), st.booleans()), max_size=30),
    wanted=st.lists(WORDS, min_size=1, max_size=8),
)
async def test_any_library_gives_few_posts_of_its_own_that_share_words(shop, posts, wanted):
    await shop.run("truncate blog_generations, site_posts, site_terms, site_titles restart identity cascade")
    jobs = await shop.jobs(len(posts) + 1)
    others = await shop.jobs(1, "another shop")
    for number, (job, (words, live)) in enumerate(zip(jobs, posts, strict=False)):
        await write(job, " ".join(words), url=f"https://shop.example/post/{number}" if live else None)
    await write(others[0], "iron steel copper pan pot", url="https://other.example/post/1")

    found = await related(jobs[-1], *wanted)

    assert len(found) <= FOUND
    assert [each.share for each in found] == sorted((each.share for each in found), reverse=True)
    assert all(terms_of(wanted).keys() & terms_of([each.title]).keys() for each in found)
    assert all(LEAST_SHARE <= each.share <= 1 + 1e-9 for each in found)
    assert all(each.url is None or each.url.startswith("https://shop.example/") for each in found)


async def test_a_site_of_100_000_posts_is_searched_by_index_and_to_a_bounded_depth(shop):
    """Every post of it has every word that is asked for, so that no word is rare."""
    [job] = await shop.jobs(1)
    terms = [f"t{n}" for n in range(6)]
    await shop.run("alter table site_terms drop constraint site_terms_pkey")  # quicker made at the end than kept up
    await shop.run(
        "insert into site_posts (instance_id, generation_id, title, angle, terms, url) "
        "select 'shop', n, 'A post', '', %s, 'https://shop.example/' || n from generate_series(10, %s) as n",
        terms, MANY + 9,
    )  # fmt: skip
    await shop.run(
        "insert into site_terms select p.instance_id, t.term, p.generation_id "
        "from site_posts as p cross join unnest(p.terms) as t (term)"
    )
    await shop.run("alter table site_terms add primary key (instance_id, term, generation_id)")
    await shop.run("vacuum analyze site_terms, site_posts")
    asked = {
        "instance_id": "shop", "job_id": job._claim.job_id, "terms": terms, "counts": [1] * len(terms),
        "language": None, "depth": DEPTH,
        "least_share": LEAST_SHARE, "posts": FOUND,
    }  # fmt: skip

    async with shop.database.connection() as connection:
        cursor = await connection.execute(
            b"explain (analyze, format json) " + query("stages/related_posts").encode(), asked
        )
        [plan] = (await cursor.fetchone())["QUERY PLAN"]
    found = await job.related_posts(dict.fromkeys(terms, 1), language=None)

    read = [node for node in nodes(plan["Plan"]) if node.get("Relation Name") in ("site_terms", "site_posts")]
    assert {node["Node Type"] for node in read} <= {"Index Only Scan", "Index Scan"}, read
    assert "site_terms_pkey" in {node.get("Index Name") for node in read}
    assert max(node["Actual Rows"] * node["Actual Loops"] for node in read) <= len(terms) * DEPTH
    assert found[0].url == f"https://shop.example/{MANY + 9}"
    assert len(found) == FOUND


def nodes(plan):
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


# --- linking -------------------------------------------------------------------------------------------------------

ADDRESSES = st.sampled_from(
    [
        None,
        PAN,
        OIL,
        OWN,
        f"{OWN}?a=1",
        f"http://www.{PAN[8:]}/",
        "javascript:alert(1)",
        "https://x.example/a b",
        "ftp://x",
    ]
)
POSTS = st.lists(st.builds(Related, TITLES, TITLES, ADDRESSES, st.floats(0, 1)), max_size=12)


@given(POSTS)
def test_at_most_two_pages_are_offered_none_of_them_the_products_own(found):
    kept = offered(found, own_url=OWN)
    urls = [each.url for each in kept if each.url]

    assert len(kept) <= SHOWN
    assert len(urls) <= MOST_LINKS
    assert not any(render.same_page(url, OWN) for url in urls)
    assert not any(render.same_page(one, other) for one in urls for other in urls if one is not other)
    assert all(url.startswith("http") and " " not in url for url in urls)
    assert known(json.loads(json.dumps(stored(kept)))) == [each for each in kept if each.title]


@given(st.recursive(st.none() | st.text(max_size=5) | st.floats(), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["title", "angle", "url", "share"]), x)))  # fmt: skip
def test_whatever_a_checkpoint_holds_is_read(value):
    known(value)


RELATED = [Related("How to season a pan", "Thin layers", PAN, 0.5), Related("Oil *for* [wood]", "", OIL, 0.3)]
SNIPPETS = (
    f"Read [how to season]({PAN}) first.", f"See <{PAN}>.", f"More at {PAN}.", f"[pan](<{PAN}/?utm=1>)", f"({OIL})",
    f"[oil]({OIL}) and [the mug]({OWN}).", f"[mug](<{OWN}>)", f"The mug is at {OWN}.", "[x](https://evil.example/a)",
    "Go to https://evil.example now.", "https://shop.example/post/other is good.", "[y](javascript:alert(1))",
    f"[z](https://shop.example/post/season-a-pan-too) and [w]({PAN}#part)", "![a](https://x.example/y.png)",
    '<a href="https://evil.example">here</a>', f'<a href="{PAN}">there</a>', "[ref][1]", f"[1]: {PAN}", "`code`",
    "**b**",
    f"- item [a]({PAN})", f"| a | [b]({OIL}) |", f"> quote {PAN}", "## A heading that says something", "```",
    "plain words",
    "[a](https://shop.example/post/season-a-pan@evil.example)", "www.evil.example",
    f"[s](https://evil.example/?u={PAN})",
)  # fmt: skip
HREF = re.compile(r'href="([^"]*)"')


def targets(node):
    if isinstance(node, dict):
        if node.get("type") == "LINK":
            yield node["linkData"]["link"]["url"]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(SNIPPETS), max_size=8), st.sampled_from(["\n\n", " ", "\n"]))
def test_only_allowed_addresses_survive_in_every_form_each_once(snippets, between):
    own_link = f"The [low mug](<{OWN}>) stays."
    text = f"{own_link}\n\n{body()}\n\n{between.join(snippets)}\n\n{body()}"
    answer = json.dumps(post(body_markdown=text))

    try:
        made = read_post(answer, source={"url": OWN}, idea=idea(), related=RELATED)
    except InvalidOutput:  # such as a paragraph without an end: it is returned to its writer
        reject()

    document = ricos(made["markdown"], own_url=made["own_url"], links=made["links"])
    in_html, in_ricos = HREF.findall(made["html"]), list(targets(document))
    assert in_html == in_ricos == HREF.findall(ricos_html(document))
    assert set(in_html) <= {OWN, PAN, OIL}
    assert len(in_html) == len(set(in_html))
    assert set(made["links"]) == set(in_html) - {OWN}
    assert "evil" not in render.text(made["markdown"])
    assert ricos_faults(document) == []
    assert violations(document, "richContent") == []


@given(TITLES, st.sampled_from([PAN, OIL, "https://shop.example/post/%D0%BA%D1%80?x=(1)&y=*_2"]))
def test_a_post_that_links_none_lists_the_closest_by_its_title(title, url):
    closest = Related(title, "", url, CLOSE_SHARE)

    made = with_list("Words.", [closest, Related("Loosely related", "", None, 1.0)], own_url=OWN)

    read = " ".join(render.text(made).split())
    assert read == " ".join(f"Words. {re.sub(r'[][]', '', title)}".split())
    assert render.linked_in(made, links=[url]) == {url}
    assert with_list(made, [closest], own_url=OWN) == made


@pytest.mark.parametrize(
    ("text", "post"),
    [
        (f"See [the pan](<{PAN}>).", RELATED[0]),  # the writer has linked it
        ("Words.", replace(RELATED[0], share=CLOSE_SHARE - 0.01)),
        ("Words.", replace(RELATED[0], url=None)),
        ("```\nan open fence", RELATED[0]),  # it would be code
    ],
)
def test_nothing_is_listed_without_need_or_where_it_would_not_be_a_link(text, post):
    assert with_list(text, [post], own_url=OWN) == text


def test_a_bare_address_of_a_related_post_becomes_its_title():
    made = read_post(
        json.dumps(post(body_markdown=f"{body()}\n\nRead more at {PAN}.")), source={}, idea=idea(), related=RELATED
    )

    assert f"Read more at [How to season a pan](<{PAN}>)." in made["markdown"]


async def test_both_writers_are_told_what_the_site_has(work, checkpoints, writer):
    checkpoints.library = [*RELATED, *(Related(f"Post {n}", "a" * 900, None, 0.3) for n in range(10))]
    checkpoints.saved["source"] = {"kind": "keyword", "keyword": "Low Water Mug", "site": {"language": "en"}}
    writer.will_write({"ideas": [idea()]}, post())
    checkpoints.saved["ideas"] = (await ideas.run(work)).dump()

    await content.run(work)

    first, second = (asked["input"] for asked in writer.asked)
    taken = json.loads(first.partition("<taken>\n")[2].partition("\n</taken>")[0])
    told = json.loads(second.partition("<related>\n")[2].partition("\n</related>")[0])
    assert taken[0] == "How to season a pan: Thin layers"
    assert len(taken) == library.TAKEN_SHOWN
    assert [each.get("url") for each in told] == [PAN, OIL, None, None]
    assert len(json.dumps(taken)) < 2_000
    assert len(json.dumps(told)) < 1_200
    assert checkpoints.recorded["title"] == post()["title"]
    assert "mug" in checkpoints.recorded["terms"]


async def test_an_older_checkpoint_of_ideas_has_no_related_posts(work, checkpoints, writer):
    checkpoints.saved |= {"source": {"kind": "keyword", "keyword": "low water mug"}, "ideas": {"chosen": idea()}}
    writer.will_write(post())

    made = (await content.run(work)).dump()

    assert made["links"] == []
    assert "<related>" not in writer.asked[0]["input"]
