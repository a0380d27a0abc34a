"""Checkpoints of an older version or changed by a person: no KeyError, nothing paid for or published twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.json import Json

from blogworker.stages import checkpoint_schema

from .conftest import SITE
from .pipeline_harness import Harness

pytestmark = pytest.mark.anyio

STOPPED = {"kind": "status", "vendor": "wix", "status": 500}


async def up_to(harness: Harness, operation: str) -> int:
    """The harness's blog, stopped for a while at this call to Wix."""
    await harness.room.fault(operation=operation, **STOPPED)
    job = await harness.attempt()
    assert job["status"] == "PENDING"
    await harness.room.forgive()
    return int(job["id"])


async def spoil(harness: Harness, name: str, output: object) -> None:
    changed = await harness.run(
        "update generation_stages set output = %s where stage = %s returning stage", Json(output), name
    )
    assert len(changed) == 1, name


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("source", []),
        ("ideas", {}),
        ("ideas", {"chosen": None}),
        ("ideas.draft", {}),
        ("content", {"title": "Written by an older version"}),
        ("content", "text"),
        ("content.draft", {"answer": "under another name"}),
        ("image", 5),
        ("image.prediction", {"prompt": "x"}),
        ("image.prediction_asked", {"seed": 1}),
        ("publish.media", {"status": "READY"}),
    ],
    ids=str,
)
async def test_an_invalid_checkpoint_that_can_be_repeated_is_repeated(harness, name, output):
    """It ended in five crashes and a blog that FAILED with one word: KeyError."""
    await up_to(harness, "tags.query")
    bought = await harness.calls("openai", "responses.create"), await harness.calls("replicate", "predictions.create")
    await spoil(harness, name, output)

    assert (await harness.attempt())["status"] == "DONE"

    again = await harness.calls("openai", "responses.create"), await harness.calls("replicate", "predictions.create")
    assert again == bought, "the answers are there, in the checkpoints of their own"
    assert len(await harness.room.posts(SITE)) == 1
    [title] = await harness.run("select title from site_titles")
    [post] = await harness.run("select title from blog_posts")
    assert title == post


async def test_a_missing_answer_is_bought_again(harness):
    await up_to(harness, "tags.query")
    await spoil(harness, "content", {})
    await spoil(harness, "content.draft", {"answer": "under another name"})

    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("openai", "responses.create") == 3


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("publish.draft", {"title": "without its id"}),
        ("publish.intent", {"started_at": "yesterday"}),
        ("content", {"title": "another"}),
        ("ideas", {}),
    ],
    ids=str,
)
async def test_an_invalid_checkpoint_of_a_possible_draft_ends_the_job_with_the_reason(harness, name, output):
    """Made again it would be there twice, or be another post than the one here."""
    job_id = await up_to(harness, "drafts.publish")
    before = (await harness.checkpoints())[name]
    await spoil(harness, name, output)
    if name == "publish.intent":  # is asked only where there is no draft
        await harness.run("delete from generation_stages where stage = 'publish.draft'")

    job = await harness.attempt()

    # Wix was asked to publish it and did not answer: what may be on the site does not fail.
    assert (job["status"], job["kind"], job["code"]) == ("PENDING", "Rejected", "invalid_checkpoint")
    assert f"the checkpoint {name} of this job is not valid for this version" in job["message"]
    assert await harness.room.posts(SITE) == []

    await spoil(harness, name, before)
    await harness.run("update blog_generations set status = 'PENDING' where id = %s", job_id)
    assert (await harness.attempt())["status"] == "DONE"
    assert len(await harness.room.posts(SITE)) == 1


async def test_every_checkpoint_of_this_version_is_valid(harness):
    await harness.attempt()

    assert checkpoint_schema.invalid_checkpoints(await harness.checkpoints()) == ({}, {})


async def test_a_checkpoint_that_is_loaded_and_stored_again_is_the_same(harness):
    """A record adds no default and loses no key, so workers of two versions can share a job."""
    await harness.attempt()

    for name, output in (await harness.checkpoints()).items():
        assert checkpoint_schema.RECORDS[name].load(output).dump() == output, name


@settings(max_examples=50)
@given(
    record=st.sampled_from(sorted(checkpoint_schema.RECORDS)),
    unknown=st.dictionaries(
        st.text("xyz", min_size=1),
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)),
    ),
)
async def test_keys_of_another_version_are_kept(record, unknown):
    kept = checkpoint_schema.RECORDS[record].model_construct(**unknown)

    assert kept.dump() == unknown


async def test_a_refused_intent_is_valid_too():
    refused = {"started_at": "2026-11-23T10:00:00+00:00", "refused": True}

    assert checkpoint_schema.invalid_checkpoints({"publish.intent": refused}) == ({}, {})
