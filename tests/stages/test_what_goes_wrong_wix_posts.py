"""Drafts and publications that fail at Wix, row by row of the table, each ending in its action."""

import pytest

from blogworker.post import draft

from .conftest import SITE, ClosedBreakers
from .what_goes_wrong import CREATE, PUBLISH, shown, spotless

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("body", [{"postId": None}, None], ids=str)
async def test_a_post_whose_publication_is_answered_without_its_id_is_looked_for(kitchen, body):
    """The post exists, so the breaker of Wix must not open."""
    kind = {"kind": "altered", "body": body} if body else {"kind": "malformed"}
    await kitchen.room.fault(vendor="wix", operation=PUBLISH, **kind)

    job = await kitchen.attempt()

    assert (job["status"], job["failures"]) == ("DONE", 0)
    assert await shown(kitchen) == 1
    assert await spotless(kitchen)


async def test_a_post_above_400_kb_is_shortened_before_it_is_sent(kitchen, monkeypatch):
    monkeypatch.setattr(draft, "LARGEST_POST", 12_000)

    assert (await kitchen.attempt())["status"] == "DONE"

    [sent] = [e for e in await kitchen.room.requests("wix") if e["operation"] == CREATE]
    assert sent["bytes"] <= 12_000


@pytest.mark.parametrize(("status", "code"), [(400, "POST_TOO_LARGE"), (413, "")])
async def test_a_post_that_wix_finds_too_large_is_sent_with_half_its_text(kitchen, status, code):
    body = {"message": "too large", "details": {"applicationError": {"code": code}}}
    await kitchen.room.fault(vendor="wix", operation=CREATE, kind="status", status=status, body=body, times=1)

    assert (await kitchen.attempt())["status"] == "DONE"

    first, second = [e["bytes"] for e in await kitchen.room.requests("wix") if e["operation"] == CREATE]
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
async def test_a_draft_of_unknown_outcome_is_looked_up_before_it_is_made_again(kitchen, fault):
    await kitchen.room.fault(vendor="wix", operation=CREATE, times=1, **fault)

    assert (await kitchen.attempt())["status"] == "PENDING"
    assert (await kitchen.attempt())["status"] == "DONE"

    made = (await kitchen.room.stats())["wix"]["drafts_created"]
    operations = await kitchen.room.operations("wix")
    assert operations.index("drafts.query") > operations.index(CREATE)
    assert made == 1
    assert await spotless(kitchen)
    assert await shown(kitchen) == 1


async def test_a_truncated_lookup_makes_no_second_draft(kitchen):
    await kitchen.room.fault(vendor="wix", operation=CREATE, times=1, kind="reset_after")
    await kitchen.room.fault(vendor="wix", operation="drafts.query", times=1, kind="malformed")
    await kitchen.room.fault(vendor="wix", operation="drafts.list", times=1, kind="malformed")

    assert [(await kitchen.attempt())["status"] for _ in range(3)] == ["PENDING", "PENDING", "DONE"]

    assert (await kitchen.room.stats())["wix"]["drafts_created"] == 1
    assert await spotless(kitchen)


@pytest.mark.parametrize(
    "fault", [fault for fault in UNKNOWN if fault["kind"] != "malformed"], ids=lambda fault: fault["kind"]
)
async def test_a_publication_that_is_not_answered_is_repeated(kitchen, fault):
    await kitchen.room.fault(vendor="wix", operation=PUBLISH, times=1, **fault)

    assert (await kitchen.attempt())["status"] == "PENDING"
    assert (await kitchen.attempt())["status"] == "DONE"

    assert await kitchen.calls("wix", PUBLISH) == 2
    assert await spotless(kitchen)
    assert await shown(kitchen) == 1


async def test_writes_are_read_back_from_a_lagging_index(kitchen):
    """X-Wix-Consistent of the answer to a write goes back with the site's next call."""
    await kitchen.attempt()

    entries = await kitchen.room.requests("wix")
    given = [e.get("consistent_given") for e in entries]
    sent = [e.get("consistent_sent") for e in entries]
    first_write = next(n for n, value in enumerate(given) if value)
    assert all(sent[first_write + 1 :])
    assert not any(sent[: first_write + 1])


async def test_five_failures_end_the_blog_and_its_draft_is_not_made_five_times(kitchen):
    kitchen.breakers = ClosedBreakers()
    await kitchen.room.fault(vendor="wix", operation=PUBLISH, kind="status", status=500)

    ended = [(await kitchen.attempt())["status"] for _ in range(5)]

    assert ended == ["PENDING"] * 4 + ["FAILED"]
    assert await kitchen.calls("wix", CREATE) == 1


async def retry(kitchen, job_id: int) -> None:
    await kitchen.run("update blog_generations set status = 'PENDING' where id = %s", job_id)


async def made_ahead(kitchen) -> str:
    """The kitchen's blog, all but published; its draft."""
    await kitchen.room.fault(vendor="wix", operation="drafts.publish", kind="status", status=503)
    assert (await kitchen.attempt())["status"] == "PENDING"
    await kitchen.room.forgive()
    return (await kitchen.checkpoints())["publish.draft"]["id"]


@pytest.mark.parametrize("permanent", [True, False], ids=["for good", "into the bin"])
async def test_a_draft_that_its_owner_deleted_ends_the_blog_and_a_retry_makes_another(kitchen, permanent):
    """They do not want it; should a person change their mind, the blog could never be retried."""
    draft_id = await made_ahead(kitchen)
    await kitchen.room.delete_draft(SITE, draft_id, permanent=permanent)

    job = await kitchen.attempt()

    assert (job["status"], job["code"]) == ("FAILED", "draft_deleted")
    assert "its draft was deleted on the site before it was published: retry the job" in job["message"]
    assert (await kitchen.calls("wix", CREATE), await shown(kitchen)) == (1, 0)
    written = await kitchen.calls("openai", "responses.create")

    await retry(kitchen, job["id"])
    assert (await kitchen.attempt())["status"] == "DONE"
    assert (await kitchen.calls("wix", CREATE), await shown(kitchen)) == (2, 1)
    assert await kitchen.calls("openai", "responses.create") == written


async def test_a_deleted_draft_found_after_a_crash_is_left_to_a_person(kitchen):
    """The next worker must not repeat what the owner does not want."""
    draft_id = await made_ahead(kitchen)
    await kitchen.room.delete_draft(SITE, draft_id, permanent=True)
    [taken] = await kitchen.claims(1)
    await kitchen.run(
        "insert into generation_stages (generation_id, stage, output, attempt) values (%s, 'publish.deleted', '{}', 2)",
        taken.job_id,
    )
    await kitchen.run("update blog_generations set status = 'PENDING' where id = %s", taken.job_id)

    assert (await kitchen.attempt())["code"] == "draft_deleted"
    assert (await kitchen.calls("wix", CREATE), await kitchen.calls("wix", PUBLISH)) == (1, 1)


async def test_a_404_while_the_draft_exists_keeps_it(kitchen):
    """Another draft would become a second post."""
    await made_ahead(kitchen)
    await kitchen.room.fault(vendor="wix", operation=PUBLISH, kind="status", status=404, times=1)

    job = await kitchen.attempt()

    assert (job["status"], job["code"] != "draft_deleted") == ("FAILED", True)
    await retry(kitchen, job["id"])
    assert (await kitchen.attempt())["status"] == "DONE"
    assert (await kitchen.calls("wix", CREATE), await shown(kitchen)) == (1, 1)


@pytest.mark.parametrize("status", [400, 404, 409, 500])
async def test_a_blog_whose_post_is_on_the_site_ends_done_whatever_wix_says_of_publishing_it(kitchen, status):
    """An earlier call got through and its answer was lost. FAILED would have a person make the post again."""
    await kitchen.run("update blog_generations set max_attempts = 2")
    draft_id = await made_ahead(kitchen)
    await kitchen.vendors.wix.publish(SITE, draft_id)
    await kitchen.room.fault(vendor="wix", operation="drafts.get", kind="status", status=404)
    await kitchen.room.fault(vendor="wix", operation=PUBLISH, kind="status", status=status)

    assert (await kitchen.attempt())["status"] == "DONE"
    assert (await kitchen.calls("wix", CREATE), await shown(kitchen)) == (1, 1)


async def test_a_blog_whose_post_may_be_on_the_site_does_not_fail_before_wix_has_answered(kitchen):
    kitchen.breakers = ClosedBreakers()
    await kitchen.room.fault(vendor="wix", operation=PUBLISH, kind="reset_after")
    await kitchen.room.fault(vendor="wix", operation="posts.get", kind="status", status=500)

    ended = [await kitchen.attempt() for _ in range(6)]

    assert [job["status"] for job in ended] == ["PENDING"] * 6
    assert ended[-1]["error"].startswith("its post may be on the site already: Wix is asked again.")
    await kitchen.room.forgive()
    assert (await kitchen.attempt())["status"] == "DONE"
    assert (await kitchen.calls("wix", CREATE), await shown(kitchen)) == (1, 1)
