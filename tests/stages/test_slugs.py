"""Slugs: no two posts of a site have the same one, also with concurrent jobs, and a job keeps its slug."""

import json
from dataclasses import replace
from random import Random
from urllib.parse import quote

import pytest
from anyio import create_task_group
from hypothesis import given
from hypothesis import strategies as st

from blogworker.errors import LeaseLost
from blogworker.post.plain import SLUG_LIMIT, slug
from blogworker.post.site import SiteSettings
from blogworker.post.slugs import choices, stem
from blogworker.stages import content
from blogworker.stages.checkpoint import StoredCheckpoints

from .conftest import idea, post
from .good_posts import SOURCE, good
from .test_titles import _open as opened

pytestmark = pytest.mark.anyio

SEED = 20261127
SCRIPTS = (
    "the low water mug with a blue handle",
    "große Tasse für den süßen Tee",
    "кружка для чая из керамики",
    "陶器 の マグ カップ 青い",
    "kubek do herbaty z gliny 2",
    "כוס חרס כחולה",
    "แก้วน้ำดินเผา สีฟ้า",
)
TEXTS = st.text("abc de-ß2ШЩéק陶ไ ", max_size=150)


@pytest.fixture
async def shop(database):
    return await opened(database)


async def reserve(job, text, *hints):
    slugs = choices(slug(text), hints)
    return (await job.claim_names({text or "-": slugs}, source="", stem=stem(slug(text)))).slug


@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_all_slug_candidates_fit_wix_and_start_with_the_wanted_one(text, hints):
    wanted = slug(text)

    found = choices(wanted, hints)

    assert found[0] == wanted
    assert len(set(found)) == len(found)
    assert all(len(quote(each)) <= SLUG_LIMIT and each == slug(each) for each in found)
    assert len(quote(f"{stem(wanted)}-1234567890")) <= SLUG_LIMIT


@pytest.mark.parametrize(
    ("hints", "second"),
    [
        (["The Low Water Mug in blue"], "low-water-mug-blue"),
        (["Low Water Mug", "mug with lid 2"], "low-water-mug-lid"),
        (["Low Water Mug 350"], "low-water-mug-350"),
        (["Кружка", "x"], "low-water-mug-кружка"),
    ],
)
def test_the_second_candidate_has_a_distinguishing_word(hints, second):
    assert choices("low-water-mug", hints)[1] == second


def test_a_distinguishing_word_is_spelled_as_the_language_of_the_site_does():
    assert choices("brett", ["Räuchereiche"], language="de")[1] == "brett-raeuchereiche"


@pytest.mark.parametrize("written", ["", "Warum eine schwere Tasse den Kaffee warm hält"])
def test_the_slug_of_a_post_is_spelled_as_the_language_of_the_site_does(written):
    answer = json.dumps(good("de") | {"slug": written})

    made = content.read_post(answer, source=SOURCE, idea={}, site=SiteSettings(language="de-AT"))

    assert made["slug"] == "warum-eine-schwere-tasse-den-kaffee-warm-haelt"


async def test_the_second_of_a_site_has_a_word_of_its_own_and_the_third_a_number(shop):
    first, second, third, fourth = await shop.jobs(4)

    assert await reserve(first, "Low Water Mug") == "low-water-mug"
    assert await reserve(second, "Low Water Mug", "Low Water Mug, blue") == "low-water-mug-blue"
    assert await reserve(third, "Low Water Mug", "Low Water Mug, blue") == "low-water-mug-2"
    assert await reserve(fourth, "Low Water Mug") == "low-water-mug-3"


async def test_two_posts_that_their_writer_gives_one_slug_are_stored_with_two(shop, work, writer):
    for job in await shop.jobs(3):
        await job.save("source", {"kind": "keyword", "keyword": "coffee at a desk"})
        await job.save("ideas", {"chosen": idea(), "others": []})
        writer.will_write(post())
        output = (await content.run(replace(work, checkpoints=job))).dump()
        again = (await content.run(replace(work, checkpoints=job))).dump()
        assert again["slug"] == output["slug"]
        await job.save("content", again)

    stored = [row["slug"] for row in await shop.run("select slug from blog_posts order by generation_id")]
    assert stored == [f"heavy-mug-warm-coffee{end}" for end in ("", "-desk", "-stoneware")]


async def test_the_same_slug_on_another_site_is_free(shop):
    [ours] = await shop.jobs(1)
    await reserve(ours, "Mug")
    [theirs] = await shop.jobs(1, site="other")

    assert await reserve(theirs, "Mug") == "mug"


async def test_a_job_keeps_its_slug_across_attempts_even_if_a_better_one_becomes_free(shop):
    first, *others = await shop.jobs(3)
    await reserve(first, "Mug")
    had = [await reserve(job, "Mug", *hints) for job, hints in zip(others, (["blue"], []), strict=True)]
    await shop.run("delete from blog_generations where id = %s", first._claim.job_id)

    again = [await reserve(job, "Mug", *hints) for job, hints in zip(others, (["blue"], []), strict=True)]

    assert again == had == ["mug-blue", "mug-2"]


async def test_a_rewritten_text_releases_the_old_slug(shop):
    first, second = await shop.jobs(2)
    await reserve(first, "Mug")
    await reserve(first, "Jug")

    assert await reserve(second, "Mug") == "mug"


async def test_concurrent_jobs_get_different_slugs_in_any_script(shop):
    """Two workers' attempts at each blog, all at the same time, with titles made of few words."""
    random = Random(SEED)
    jobs = await shop.jobs(40)
    wanted = []
    for _ in jobs:
        words = random.choice(SCRIPTS).split()
        wanted.append(" ".join(random.sample(words, k=min(2, len(words)))))
    got: dict[int, set[str]] = {}

    async def ask(job: StoredCheckpoints, title: str) -> None:
        got.setdefault(job._claim.job_id, set()).add(await reserve(job, title, title))

    async with create_task_group() as tasks:
        for job, title in [*zip(jobs, wanted, strict=True)] * 2:
            tasks.start_soon(ask, job, title)

    assert all(len(slugs) == 1 for slugs in got.values())
    slugs = [slug for [slug] in got.values()]
    assert len(set(slugs)) == len(slugs) == 40
    assert sorted(slugs) == sorted(row["slug"] for row in await shop.run("select slug from site_slugs"))


async def test_a_lost_claim_reserves_no_slug(shop):
    [job] = await shop.jobs(1)
    await shop.run("update blog_generations set status = 'PENDING'")

    with pytest.raises(LeaseLost):
        await reserve(job, "Mug")

    assert await shop.run("select from site_slugs") == []


@pytest.mark.parametrize(("status", "kept"), [("DONE", ["mug"]), ("FAILED", [])])
async def test_a_published_slug_outlives_its_row(shop, status, kept):
    [job] = await shop.jobs(1)
    await reserve(job, "Mug")
    await shop.run("update blog_generations set status = %s", status)

    await shop.run("delete from blog_generations")

    assert [row["slug"] for row in await shop.run("select slug from site_slugs")] == kept


async def test_a_job_cancelled_before_its_text_is_written_releases_its_slug(shop):
    [job] = await shop.jobs(1)
    await job.save("source", {})
    await job.save("ideas", {"chosen": {}})
    await reserve(job, "Mug")

    await shop.run("update blog_generations set status = 'PENDING'")
    await shop.run("update blog_generations set status = 'CANCELLED'")

    assert await shop.run("select from site_slugs") == []
