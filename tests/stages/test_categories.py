"""Categories of a site's blog: those that fit a post, as their owner spells them, and never a new one."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.errors import RateLimited
from blogworker.stages import publish
from blogworker.stages.categories import CACHED_S, MOST, category_ids, matching

from .conftest import SITE, Remembered, claimed, idea, post
from .simulated_clients import simulated

pytestmark = pytest.mark.anyio

LABELS = st.text("abs ßé-&陶器ไ1", max_size=12)


@pytest.mark.parametrize(
    ("label", "names", "phrases"),
    [
        ("Mugs", ["mug"], []),
        ("Home & Harness", ["home harness"], []),
        ("MUGS", [], ["heavy coffee mug"]),
        ("Gusseisen", ["gusseisen"], []),
        ("Уход", ["уход"], []),
        ("陶器", [], ["手作り陶器のマグ"]),
        ("Linen", ["Linen curtains"], []),
    ],
)
def test_a_category_matches_in_any_spelling(label, names, phrases):
    assert matching({"c": label, "d": "Something else"}, names=names, phrases=phrases) == ["c"]


@pytest.mark.parametrize("label", ["Smug", "News", "", "&", "Coffee pots"])
def test_a_category_that_is_only_similar_does_not_match(label):
    assert matching({"c": label}, names=["mug"], phrases=["heavy coffee mug"]) == []


@given(st.dictionaries(st.text("0123", min_size=1), LABELS, max_size=8), st.lists(LABELS), st.lists(LABELS))
def test_at_most_three_known_categories_are_chosen_exact_matches_first(known, names, phrases):
    found = matching(known, names=names, phrases=phrases)

    assert len(found) == len(set(found)) <= MOST
    assert set(found) <= set(known)
    assert matching(known, names=names, phrases=phrases) == found
    for category in known:
        if re.search(r"\w", known[category]) and len(known) <= MOST:
            assert category in matching(known, names=[known[category].upper()], phrases=[]) or "ß" in known[category]


@pytest.fixture
async def world(work, checkpoints):
    checkpoints.saved |= {
        "source": {"kind": "product", "name": "Low Water Mug", "product_type": "Gifts, Tableware"},
        "ideas": {"chosen": idea()},
        "content": {**post(), "markdown": "One paragraph.", "html": "<p>One paragraph.</p>", "word_count": 2},
        "image": {},
    }
    async with simulated() as (clients, room):
        yield claimed(replace(work, clients=clients), site={"language": "en"}), room


async def categories(work, *labels):
    """Make them, as the owner does; their ids by label."""
    sites = work.clients.wix._sites
    made = [
        await sites.post(SITE, "/blog/v3/categories", body={"category": {"label": label}}, repeatable=False)
        for label in labels
    ]
    return {label: answer["category"]["id"] for label, answer in zip(labels, made, strict=True)}


async def drafted(work, room):
    await publish.run(work)
    created = [call for call in await room.requests("wix") if call["operation"] == "drafts.create"]
    [listed] = (await work.clients.wix._sites.get(SITE, "/blog/v3/draft-posts"))["draftPosts"]
    assert len(created) == 1
    return listed["categoryIds"]


async def test_a_draft_has_the_matching_categories_best_first(world, checkpoints):
    work, room = world
    ids = await categories(work, "Candles", "Mugs", "Coffee", "tableware", "Stoneware mug")

    assert await drafted(work, room) == [ids["tableware"], ids["Coffee"], ids["Mugs"]]
    assert (await room.operations("wix")).count("categories.create") == 5  # all of them the owner's
    assert checkpoints.saved["publish.tags"]["categories"] == [ids["tableware"], ids["Coffee"], ids["Mugs"]]


async def test_a_site_of_many_categories_is_read_page_by_page_and_once(world):
    work, room = world
    ids = await categories(work, *(f"Topic {number}" for number in range(103)), "Mugs")

    found = [await category_ids(work, work.clients.wix, ["mug"]) for _ in range(3)]

    assert found == [[ids["Mugs"]]] * 3
    assert (await room.operations("wix")).count("categories.query") == 2
    cache: Remembered = work.cache
    assert cache.lifetimes == {f"categories/{SITE}": CACHED_S}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 400},
        {"kind": "status", "status": 403},
        {"kind": "status", "status": 404},
        {"kind": "status", "status": 500},
        {"kind": "reset_before"},
        {"kind": "malformed"},
        {"kind": "html"},
    ],
    ids=lambda fault: str(fault.get("status") or fault["kind"]),
)
async def test_an_unreadable_list_of_categories_fails_no_post(world, fault):
    work, room = world
    await categories(work, "Mugs")
    await room.fault(vendor="wix", operation="categories.query", **fault)

    assert await drafted(work, room) == []
    assert work.cache.values == {}


async def test_a_site_over_its_quota_waits_as_with_any_call(world):
    work, room = world
    await room.fault(vendor="wix", operation="categories.query", kind="status", status=429, times=1)

    with pytest.raises(RateLimited):
        await publish.run(work)

    assert "drafts.create" not in await room.operations("wix")


async def test_deleted_categories_do_no_harm(world):
    work, room = world
    work.cache.values[f"categories/{SITE}"] = {"gone": "Mugs"}

    assert await drafted(work, room) == []


@pytest.mark.parametrize("value", [None, [], "x", {"a": None}, {"": ""}])
async def test_any_cached_value_fails_no_post(world, value):
    work, room = world
    work.cache.values[f"categories/{SITE}"] = value

    assert await drafted(work, room) == []
