"""Drafts and publications that fail at Wix, row by row of the table, each ending in its action."""

import pytest

from blogworker.post import draft

from .conftest import SITE, ClosedBreakers
from .what_goes_wrong import CREATE, PUBLISH, shown, spotless

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("body", [{"postId": None}, None], ids=str)
async def test_a_post_whose_publication_is_answered_without_its_id_is_looked_for(harness, body):
    """The post exists, so the breaker of Wix must not open."""
    kind = {"kind": "altered", "body": body} if body else {"kind": "malformed"}
    await harness.room.fault(vendor="wix", operation=PUBLISH, **kind)

    job = await harness.attempt()

    assert (job["status"], job["failures"]) == ("DONE", 0)
    assert await shown(harness) == 1
    assert await spotless(harness)


async def test_a_post_above_400_kb_is_shortened_before_it_is_sent(harness, monkeypatch):
    monkeypatch.setattr(draft, "LARGEST_POST", 12_000)

    assert (await harness.attempt())["status"] == "DONE"

    [sent] = [e for e in await harness.room.requests("wix") if e["operation"] == CREATE]
    assert sent["bytes"] <= 12_000


@pytest.mark.parametrize(("status", "code"), [(400, "POST_TOO_LARGE"), (413, "")])
async def test_a_post_that_wix_finds_too_large_is_sent_with_half_its_text(harness, status, code):
    body = {"message": "too large", "details": {"applicationError": {"code": code}}}
    await harness.room.fault(vendor="wix", operation=CREATE, kind="status", status=status, body=body, times=1)

    assert (await harness.attempt())["status"] == "DONE"

    first, second = [e["bytes"] for e in await harness.room.requests("wix") if e["operation"] == CREATE]
    assert second < 0.75 * first


UNKNOWN = [
    {"kind": "reset_after"},
    {"kind": "no_answer", "delay_s": 5},
    {"kind": "malformed"},
    {"kind": "reset_before"},
    {"kind": "status", "status": 500},
    {"kind": "html"},
]
NAMES = ["reset after", "timeout", "malformed", "reset before", "500", "HTML 502"]


@pytest.mark.parametrize("fault", UNKNOWN, ids=NAMES)
async def test_a_draft_of_unknown_outcome_is_looked_up_before_it_is_made_again(harness, fault):
    await harness.room.fault(vendor="wix", operation=CREATE, times=1, **fault)

    assert (await harness.attempt())["status"] == "PENDING"
    assert (await harness.attempt())["status"] == "DONE"

    made = (await harness.room.stats())["wix"]["drafts_created"]
    operations = await harness.room.operations("wix")
    assert operations.index("drafts.query") > operations.index(CREATE)
    assert made == 1
    assert await spotless(harness)
    assert await shown(harness) == 1


async def test_a_truncated_lookup_makes_no_second_draft(harness):
    await harness.room.fault(vendor="wix", operation=CREATE, times=1, kind="reset_after")
    await harness.room.fault(vendor="wix", operation="drafts.query", times=1, kind="malformed")
    await harness.room.fault(vendor="wix", operation="drafts.list", times=1, kind="malformed")

    assert [(await harness.attempt())["status"] for _ in range(3)] == ["PENDING", "PENDING", "DONE"]

    assert (await harness.room.stats())["wix"]["drafts_created"] == 1
    assert await spotless(harness)


@pytest.mark.parametrize(
    "fault", [fault for fault in UNKNOWN if fault["kind"] != "malformed"], ids=lambda fault: fault["kind"]
)
async def test_a_publication_that_is_not_answered_is_repeated(harness, fault):
    await harness.room.fault(vendor="wix", operation=PUBLISH, times=1, **fault)

    assert (await harness.attempt())["status"] == "PENDING"
    assert (await harness.attempt())["status"] == "DONE"

    assert await harness.calls("wix", PUBLISH) == 2
    assert await spotless(harness)
    assert await shown(harness) == 1


async def test_writes_are_read_back_from_a_lagging_index(harness):
    """X-Wix-Consistent of the answer to a write goes back with the site's next call."""
    await harness.attempt()

    entries = await harness.room.requests("wix")
    given = [e.get("consistent_given") for e in entries]
    sent = [e.get("consistent_sent") for e in entries]
    first_write = next(n for n, value in enumerate(given) if value)
    assert all(sent[first_write + 1 :])
    assert not any(sent[: first_write + 1])


async def test_five_failures_end_the_blog_and_its_draft_is_not_made_five_times(harness):
    harness.breakers = ClosedBreakers()
    await harness.room.fault(vendor="wix", operation=PUBLISH, kind="status", status=500)

    ended = [(await harness.attempt())["status"] for _ in range(5)]

    assert ended == ["PENDING"] * 4 + ["FAILED"]
    assert await harness.calls("wix", CREATE) == 1


async def retry(harness, job_id: int) -> None:
    await harness.run("update blog_generations set status = 'PENDING' where id = %s", job_id)


async def made_ahead(harness) -> str:
    """The harness's blog, all but published; its draft."""
    await harness.room.fault(vendor="wix", operation="drafts.publish", kind="status", status=503)
    assert (await harness.attempt())["status"] == "PENDING"
    await harness.room.forgive()
    return (await harness.checkpoints())["publish.draft"]["id"]


@pytest.mark.parametrize("permanent", [True, False], ids=["for good", "into the bin"])
async def test_a_draft_that_its_owner_deleted_ends_the_blog_and_a_retry_makes_another(harness, permanent):
    """They do not want it; should a person change their mind, the blog could never be retried."""
    draft_id = await made_ahead(harness)
    await harness.room.delete_draft(SITE, draft_id, permanent=permanent)

    job = await harness.attempt()

    assert (job["status"], job["code"]) == ("FAILED", "draft_deleted")
    assert "its draft was deleted on the site before it was published: retry the job" in job["message"]
    assert (await harness.calls("wix", CREATE), await shown(harness)) == (1, 0)
    written = await harness.calls("openai", "responses.create")

    await retry(harness, job["id"])
    assert (await harness.attempt())["status"] == "DONE"
    assert (await harness.calls("wix", CREATE), await shown(harness)) == (2, 1)
    assert await harness.calls("openai", "responses.create") == written


async def test_a_deleted_draft_found_after_a_crash_is_left_to_a_person(harness):
    """The next worker must not repeat what the owner does not want."""
    draft_id = await made_ahead(harness)
    await harness.room.delete_draft(SITE, draft_id, permanent=True)
    [taken] = await harness.claims(1)
    await harness.run(
        "insert into generation_stages (generation_id, stage, output, attempt) values (%s, 'publish.deleted', '{}', 2)",
        taken.job_id,
    )
    await harness.run("update blog_generations set status = 'PENDING' where id = %s", taken.job_id)

    job = await harness.attempt()

    assert job["code"] == "draft_deleted"
    assert "provider wix" not in job["message"]  # it was not asked
    assert (await harness.calls("wix", CREATE), await harness.calls("wix", PUBLISH)) == (1, 1)


async def test_a_404_while_the_draft_exists_keeps_it(harness):
    """Another draft would become a second post."""
    await made_ahead(harness)
    await harness.room.fault(vendor="wix", operation=PUBLISH, kind="status", status=404, times=1)

    job = await harness.attempt()

    assert (job["status"], job["code"] != "draft_deleted") == ("FAILED", True)
    await retry(harness, job["id"])
    assert (await harness.attempt())["status"] == "DONE"
    assert (await harness.calls("wix", CREATE), await shown(harness)) == (1, 1)


@pytest.mark.parametrize("status", [400, 404, 409, 500])
async def test_a_blog_whose_post_is_on_the_site_ends_done_whatever_wix_says_of_publishing_it(harness, status):
    """An earlier call got through and its answer was lost. FAILED would have a person make the post again."""
    await harness.run("update blog_generations set max_attempts = 2")
    draft_id = await made_ahead(harness)
    await harness.clients.wix.publish(SITE, draft_id)
    await harness.room.fault(vendor="wix", operation="drafts.get", kind="status", status=404)
    await harness.room.fault(vendor="wix", operation=PUBLISH, kind="status", status=status)

    assert (await harness.attempt())["status"] == "DONE"
    assert (await harness.calls("wix", CREATE), await shown(harness)) == (1, 1)


async def test_a_blog_whose_post_may_be_on_the_site_does_not_fail_before_wix_has_answered(harness):
    harness.breakers = ClosedBreakers()
    await harness.room.fault(vendor="wix", operation=PUBLISH, kind="reset_after")
    await harness.room.fault(vendor="wix", operation="posts.get", kind="status", status=500)

    ended = [await harness.attempt() for _ in range(6)]

    assert [job["status"] for job in ended] == ["PENDING"] * 6
    assert ended[-1]["error"].startswith("its post may be on the site already: Wix is asked again.")
    await harness.room.forgive()
    assert (await harness.attempt())["status"] == "DONE"
    assert (await harness.calls("wix", CREATE), await shown(harness)) == (1, 1)
