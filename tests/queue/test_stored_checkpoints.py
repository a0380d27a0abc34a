"""Checkpoints and posts as they are stored: effects that cost nothing, intents, and later columns of a post."""

from datetime import datetime

import psycopg
import pytest
from psycopg.types.json import Json

from blogworker.errors import LeaseLost
from blogworker.queue.job import Claim
from blogworker.spend.ledger import Spend
from blogworker.stages.checkpoint import StoredCheckpoints
from blogworker.stages.work import LibraryEntry

from .outcomes import one_claim

pytestmark = pytest.mark.anyio

POST = {
    "title": "Why a mug keeps warm",
    "slug": "why",
    "excerpt": "e",
    "markdown": "m",
    "html": "h",
    "seo_title": "t",
    "seo_description": "d",
    "word_count": 900,
    "tags": ["mugs"],
}


def checkpoints(database, claim: Claim, worker_id) -> StoredCheckpoints:
    return StoredCheckpoints(database, worker_id, claim, {})


async def _end_with(stored: StoredCheckpoints, post: dict[str, object]) -> None:
    await stored.store_at_end(post, entry=LibraryEntry("t", "", None, ("mug",)))
    await stored.save("content", {})


@pytest.fixture
async def claimed(psql, claimer):
    return await one_claim(psql, claimer), claimer.worker_id


async def test_an_intent_is_stored_and_the_clock_is_that_of_the_database(database, claimed, psql):
    claim, worker_id = claimed

    now = await checkpoints(database, claim, worker_id).save_intent("publish.intent", {"title": "a"})

    assert isinstance(now, datetime)
    assert await psql.value("select output ->> 'title' from generation_stages where stage = 'publish.intent'") == "a"
    assert await psql.value("select count(*) from generation_stages where requests = 0 and cost_usd is null") == 1


async def test_an_intent_is_not_confirmed_after_the_end_of_the_lease(database, claimed, psql):
    """Another worker may take the job at any moment, so the effect must not begin."""
    claim, worker_id = claimed
    await psql.run("update workers set lease_until = now() - interval '1 second'")

    with pytest.raises(LeaseLost):
        await checkpoints(database, claim, worker_id).save_intent("publish.intent", {})


async def test_the_result_of_an_effect_is_stored_although_the_lease_has_ended(database, claimed, psql):
    """Nobody has taken the job yet, and the next worker must find the draft."""
    claim, worker_id = claimed
    await psql.run("update workers set lease_until = now() - interval '1 second'")

    await checkpoints(database, claim, worker_id).save("publish.draft", {"id": "d"})

    assert await psql.value("select output ->> 'id' from generation_stages") == "d"


@pytest.mark.parametrize(
    "write",
    [
        lambda lost: lost.save("publish.draft", {"id": "d"}),
        lambda lost: lost.save_intent("publish.intent", {}),
        lambda lost: lost.store_post(POST),
        lambda lost: _end_with(lost, POST),
    ],
    ids=["save", "save_intent", "store_post", "store_at_end"],
)
async def test_nothing_is_written_by_an_attempt_that_has_lost_its_claim(database, claimed, psql, write):
    claim, worker_id = claimed
    await psql.run("update blog_generations set status = 'PENDING'")

    with pytest.raises(LeaseLost):
        await write(checkpoints(database, claim, worker_id))

    assert await psql.value("select count(*) from generation_stages") == 0
    assert await psql.value("select count(*) from blog_posts") == 0


async def test_an_effect_that_replaces_a_paid_one_keeps_what_that_cost(database, claimed, psql):
    claim, worker_id = claimed
    stored = checkpoints(database, claim, worker_id)
    await stored.save("image.prediction", {"id": "1"}, Spend(provider="replicate", model="m", cost_usd=0.25))

    await stored.save("image.prediction", {"id": "1", "state": "over"})

    row = (await psql.run("select requests, cost_usd, output from generation_stages"))[0]
    assert (row["requests"], float(row["cost_usd"]), row["output"]["state"]) == (1, 0.25, "over")


async def test_later_columns_of_a_post_leave_the_others_as_they_are(database, claimed, psql):
    claim, worker_id = claimed
    stored = checkpoints(database, claim, worker_id)
    await stored.store_post({**POST, "image": b"jpeg", "image_type": "image/jpeg"})

    await stored.store_at_end({"wix_draft_id": "d", "wix_post_id": "p", "url": "https://shop.example/p"}, POST)
    await stored.save("publish", {"published": True})

    post = (await psql.run("select *, published_at is not null as published from blog_posts"))[0]
    assert (post["title"], post["markdown"], post["image"], post["tags"]) == (POST["title"], "m", b"jpeg", ["mugs"])
    assert (post["wix_draft_id"], post["wix_post_id"], post["published"]) == ("d", "p", True)


async def test_a_post_whose_row_is_gone_is_inserted_whole(database, claimed, psql):
    claim, worker_id = claimed
    stored = checkpoints(database, claim, worker_id)
    await stored.store_at_end({"wix_draft_id": "d"}, POST)

    await stored.save("publish", {"published": False})

    post = (await psql.run("select title, wix_draft_id from blog_posts"))[0]
    assert post == {"title": POST["title"], "wix_draft_id": "d"}
    assert await psql.value("select count(*) from generation_stages where stage = 'publish'") == 1


async def test_a_stage_whose_post_has_no_row_is_not_finished_without_it(database, claimed, psql):
    """A worker that dies right after this statement has lost the stage, and not the post of a finished stage."""
    claim, worker_id = claimed
    stored = checkpoints(database, claim, worker_id)
    await stored.store_at_end({"wix_draft_id": "d"}, POST)
    statement, parameters = stored._statement("publish", {}, None, ())

    facts = {"stage": "publish", "output": Json({}), "duration_s": 1.0}
    row = await database.maybe(statement, **stored._fence, **facts, **parameters)

    assert row["stored"] is False
    assert await psql.value("select count(*) from generation_stages") == 0


@pytest.mark.parametrize("owes", [False, True], ids=["in one statement", "before the end"])
async def test_the_end_of_a_stage_stores_the_post_and_its_entry_in_the_library(database, claimed, psql, owes):
    """However the end is stored: a job that a person has retried needs the statement that can store all."""
    claim, worker_id = claimed
    saved = {"content.forgotten": {"bill": []}} if owes else {}
    stored = StoredCheckpoints(database, worker_id, claim, saved)
    await stored.store_at_end(POST, entry=LibraryEntry(POST["title"], "an angle", None, ("mug", "warm")))
    assert await psql.value("select count(*) from blog_posts") == 0

    await stored.save("content", {"title": POST["title"], "score": 80})
    await stored.save("image", {"url": None})  # has nothing to store with it

    assert [row["stage"] for row in await psql.run("select stage from generation_stages order by stage")] == [
        "content",
        "image",
    ]
    assert await psql.value("select title from blog_posts") == POST["title"]
    assert await psql.value("select angle from site_posts") == "an angle"
    assert await psql.value("select string_agg(term, ' ' order by term) from site_terms") == "mug warm"
    assert await psql.value("select stage from blog_generations") == "publish"


async def test_a_post_that_cannot_be_stored_leaves_the_stage_unfinished(database, claimed, psql):
    claim, worker_id = claimed
    stored = checkpoints(database, claim, worker_id)
    await stored.store_at_end({**POST, "score": 101})

    with pytest.raises(psycopg.errors.CheckViolation):
        await stored.save("content", {"title": POST["title"]})

    assert await psql.value("select count(*) from generation_stages") == 0
    assert await psql.value("select count(*) from blog_posts") == 0
