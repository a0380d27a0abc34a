"""A retry uses the current source and settings, until a draft exists."""

import pytest

from .conftest import SITE
from .pipeline_harness import Harness

pytestmark = pytest.mark.anyio

DRIER = """update sites set settings = '{"tone": "dry"}'"""
RETRY = "update blog_generations set status = 'PENDING', retry_from = %s"


async def bought(harness: Harness) -> tuple[int, int]:
    return await harness.calls("openai", "responses.create"), await harness.calls("replicate", "predictions.create")


async def failed_at_publish(harness: Harness, operation: str) -> None:
    """A whole blog, and Wix refuses it there."""
    await harness.room.fault(vendor="wix", operation=operation, kind="status", status=400)
    assert (await harness.attempt())["status"] == "FAILED"
    await harness.room.forgive()


async def test_a_retry_uses_the_current_settings(harness):
    """The owner corrects the tone and retries: the same post was published."""
    await failed_at_publish(harness, "drafts.create")
    await harness.run(DRIER)

    await harness.run(RETRY, None)
    assert (await harness.attempt())["status"] == "DONE"

    assert (await harness.checkpoints())["source"]["site"] == {"tone": "dry"}
    assert await bought(harness) == (4, 2)
    assert len(await harness.room.posts(SITE)) == 1
    [sums] = await harness.run(
        "select sum(requests)::int as calls, sum(wasted)::int as wasted, sum(cost_usd) - (select sum(cost_usd) from "
        "generation_stages) as lost, sum(wasted_usd) - (select sum(wasted_usd) from generation_stages) as apart "
        "from provider_usage"
    )
    assert sums == {"calls": 6, "wasted": 3, "lost": 0, "apart": 0}


async def test_a_retry_without_a_change_buys_nothing(harness):
    await failed_at_publish(harness, "drafts.create")

    await harness.run(RETRY, None)

    assert (await harness.attempt())["status"] == "DONE"
    assert await bought(harness) == (2, 1)


async def test_a_change_after_the_draft_makes_no_second_one(harness):
    await failed_at_publish(harness, "drafts.publish")
    await harness.run(DRIER)

    await harness.run(RETRY, None)

    assert (await harness.attempt())["status"] == "DONE"
    assert (await bought(harness), await harness.calls("wix", "drafts.create")) == ((2, 1), 1)


@pytest.mark.parametrize(("first", "more"), [("image", (0, 1)), ("ideas", (2, 1))])
async def test_a_person_chooses_the_stage_to_retry_from(harness, first, more):
    """An idea that was not wanted is not chosen again, though it is left over from the same call."""
    await failed_at_publish(harness, "drafts.create")
    before = await harness.checkpoints()

    await harness.run(RETRY, first)
    assert (await harness.attempt())["status"] == "DONE"

    after, (texts, pictures) = await harness.checkpoints(), await bought(harness)
    left_over = first in ("ideas", "source")  # the other ideas of the first call are used up before others are bought
    assert (texts - 2 + left_over, pictures - 1) == more
    assert (after["ideas"]["chosen"]["title"] != before["ideas"]["chosen"]["title"]) == left_over
    assert after["image"]["prediction_id"] != before["image"]["prediction_id"]
    assert after["publish.media"]["id"] != before["publish.media"]["id"], "the cover is the new picture"
    assert len(await harness.room.posts(SITE)) == 1


async def test_a_source_that_was_refused_is_not_paid_for_twice(harness):
    """The writer used a word that the site forbids by mistake: the owner takes it back, and retries."""
    await harness.run("""update sites set settings = '{"forbidden_words": ["the", "and", "a"]}'""")
    job = await harness.attempt()
    assert (job["status"], job["code"]) == ("FAILED", "invalid_text")
    await harness.run("update sites set settings = '{}'")

    await harness.run(RETRY, None)

    assert (await harness.attempt())["status"] == "DONE"
    assert "forbidden_words" not in (await harness.checkpoints())["source"]["site"]
