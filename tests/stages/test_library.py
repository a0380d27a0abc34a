"""A site's library: the published posts that are related to a new one are found."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blogworker.db.sql import query
from blogworker.errors import LeaseLost
from blogworker.stages.library import (
    DEPTH,
    FOUND,
    LEAST_SHARE,
    MOST_TERMS,
    terms_of,
)
from blogworker.stages.work import LibraryEntry

from .related_posts import OIL, PAN
from .test_titles import _open as opened

pytestmark = pytest.mark.anyio
MANY = 100_000


@pytest.fixture
async def shop(database):
    return await opened(database)


async def record(job, entry):
    await job.claim_title([entry], source=entry.title, last_chance=True)


async def write(job, title, *, url=None, language=None, draft=False):
    """Record a post, and publish it where it has an address."""
    await record(job, LibraryEntry(title, f"What {title} is", language, tuple(terms_of([title]))))
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
def test_words_match_whatever_their_endings(one, other):
    assert terms_of([one]).keys() & terms_of([other]).keys()


def test_common_words_and_numbers_are_ignored():
    assert terms_of(["the pan for you and 26"]) == {"pan": 1}


# --- finding -------------------------------------------------------------------------------------------------------


async def test_similar_posts_are_found_most_similar_first(shop):
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


async def test_only_published_posts_outlive_their_job(shop):
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


async def test_a_rewritten_post_is_found_by_its_new_words_only(shop):
    job, asking = await shop.jobs(2)
    await write(job, "How to season a cast iron pan", url=PAN)

    await record(job, LibraryEntry("Stoneware mugs", "", None, tuple(terms_of(["Stoneware mugs and pan"]))))

    assert await related(asking, "cast iron season") == []
    assert [each.title for each in await related(asking, "stoneware mug")] == ["Stoneware mugs"]
    assert [row["term"] for row in await shop.run("select term from site_terms order by term")] == [
        "mug",
        "pan",
        "stonew",
    ]


async def test_a_lost_claim_records_nothing(shop):
    [job] = await shop.jobs(1)
    await shop.run("update blog_generations set status = 'PENDING', worker_id = null")

    with pytest.raises(LeaseLost):
        await job.claim_title([LibraryEntry("A title", "", None, ("title",))], source="s", last_chance=False)

    assert await shop.run("select title from site_posts") == []
    assert await shop.run("select title from site_titles") == []
    assert await shop.run("select term from site_terms") == []


async def test_only_the_claimed_title_is_recorded(shop):
    """Title and entry are stored together: no other job can claim the title while the library does not show it."""
    first, second = await shop.jobs(2)
    mugs = LibraryEntry("How to warm a stoneware mug", "of the first", None, ("mug",))
    pans = LibraryEntry("How to season a cast iron pan", "of the second", "en", ("iron", "pan"))
    await first.claim_title([mugs], source="s", last_chance=False)

    claimed = await second.claim_title([replace(mugs, angle="never"), pans], source="t", last_chance=False)
    none = await second.claim_title([mugs], source="t", last_chance=False)

    assert (claimed.place, none.place) == (1, None)
    recorded = await shop.run("select angle, language, terms from site_posts order by generation_id")
    assert [(row["angle"], row["language"], row["terms"]) for row in recorded] == [
        ("of the first", None, ["mug"]),
        ("of the second", "en", ["iron", "pan"]),
    ]
    assert len(await shop.run("select term from site_terms")) == 3


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
