"""The table of what goes wrong at Wix, row by row, each ending in its action.

The whole pipeline runs against a real database and the simulated vendors; what counts is what the queue then says, and
what stands on the site.
"""

import pytest

from blogworker.post import draft
from blogworker.providers.wix import auth as wix_auth

from .conftest import SITE, ClosedBreakers

pytestmark = pytest.mark.anyio

OTHERS = [f"{n}2222222-2222-3333-4444-555555555555" for n in range(4)]
CREATE, PUBLISH = "drafts.create", "drafts.publish"


async def shown(kitchen, site=SITE) -> int:
    return len(await kitchen.room.posts(site))


async def spotless(kitchen) -> bool:
    wix = (await kitchen.room.stats())["wix"]
    return (wix["duplicate_drafts"], wix["duplicate_posts"]) == (0, 0)


async def paused(kitchen) -> set[str]:
    return {
        row["instance_id"] for row in await kitchen.run("select instance_id from sites where paused_at is not null")
    }


@pytest.mark.parametrize("body", [{"postId": None}, None], ids=str)
async def test_a_post_whose_publication_is_answered_without_its_id_is_looked_for(kitchen, body):
    """It is there, and a fleet whose every post is there must not be told that Wix is down."""
    kind = {"kind": "altered", "body": body} if body else {"kind": "malformed"}
    await kitchen.room.fault(vendor="wix", operation=PUBLISH, **kind)

    job = await kitchen.attempt()

    assert (job["status"], job["failures"]) == ("DONE", 0)
    assert await shown(kitchen) == 1
    assert await spotless(kitchen)


@pytest.mark.parametrize("operation", ["media.import", CREATE, PUBLISH])
async def test_an_expired_token_is_replaced_and_the_call_made_once_more(kitchen, operation):
    await kitchen.room.fault(vendor="wix", operation=operation, kind="status", status=401, times=1)

    assert (await kitchen.attempt())["status"] == "DONE"

    assert await kitchen.calls("wix", "oauth.token") == 2
    assert await shown(kitchen) == 1
    assert await spotless(kitchen)


async def test_a_token_that_is_refused_when_new_has_the_instance_asked(kitchen):
    """The app is there, and may not do this one thing: the site waits for its owner."""
    await kitchen.room.fault(vendor="wix", operation=CREATE, kind="status", status=401)

    job = await kitchen.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("PENDING", 0, "SiteUnavailable")
    assert "may not use /blog/v3/draft-posts" in job["pause_reason"]
    assert "apps.instance" in await kitchen.room.operations("wix")


async def test_a_site_that_removed_the_app_is_paused_and_its_blogs_stay(kitchen):
    await kitchen.room.fault(vendor="wix", kind="revoked", site=SITE)
    second = await kitchen.add(SITE)

    job = await kitchen.attempt()

    assert (job["status"], job["failures"]) == ("PENDING", 0)
    assert await paused(kitchen) == {SITE}
    assert "not installed" in job["pause_reason"]
    assert (await kitchen.job(second))["status"] == "PENDING"
    assert (await kitchen.breaker("wix"))["state"] == "closed"


async def test_of_many_sites_one_without_a_token_is_paused_alone(kitchen):
    await kitchen.add(OTHERS[0])
    await kitchen.room.fault(vendor="wix", operation="oauth.token", kind="revoked", site=SITE)

    ended = [await kitchen.attempt() for _ in range(2)]

    assert sorted(job["status"] for job in ended) == ["DONE", "PENDING"]
    assert await paused(kitchen) == {SITE}
    assert await kitchen.calls("wix", "oauth.token") == 2  # a revoked site is not asked for again
    assert (await kitchen.breaker("wix"))["state"] == "closed"


async def test_when_no_site_gets_a_token_it_is_the_credentials(kitchen, monkeypatch):
    """Wix does not say which: a worker that took it for the sites would pause every one of them."""
    monkeypatch.setattr(wix_auth, "REFUSAL_WAIT_S", 0.01)
    for site in OTHERS:
        await kitchen.add(site)
    await kitchen.room.fault(vendor="wix", operation="oauth.token", kind="revoked")

    ended = [await kitchen.attempt() for _ in range(3)]

    assert (ended[-1]["status"], ended[-1]["failures"], ended[-1]["kind"]) == ("PENDING", 0, "Misconfigured")
    assert "check WIX_APP_ID and WIX_APP_SECRET" in ended[-1]["message"]
    assert len(await paused(kitchen)) == 2
    assert await kitchen.breaker("wix") == {"state": "open", "misconfigured": True}


async def test_a_wrong_secret_opens_the_breaker_and_pauses_no_site(kitchen):
    body = {"error": "invalid_client", "error_description": "Client authentication failed"}
    await kitchen.room.fault(vendor="wix", operation="oauth.token", kind="status", status=401, body=body)

    job = await kitchen.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("PENDING", 0, "Misconfigured")
    assert await kitchen.breaker("wix") == {"state": "open", "misconfigured": True}
    assert await paused(kitchen) == set()


async def test_a_missing_permission_pauses_the_site_and_says_so_to_its_owner(kitchen):
    await kitchen.room.fault(vendor="wix", operation=CREATE, kind="no_scope")

    job = await kitchen.attempt()

    assert (job["status"], job["failures"]) == ("PENDING", 0)
    assert "lacks a permission on this site, which its owner must grant" in job["pause_reason"]


async def test_rich_content_is_made_here_so_the_converter_cannot_throttle(kitchen):
    """Wix throttles it with a 403 that looks like a missing permission."""
    await kitchen.attempt()

    assert not [operation for operation in await kitchen.room.operations("wix") if operation.startswith("ricos.")]


@pytest.mark.parametrize(("named", "wait_s"), [(None, 60), (7, 7)])
async def test_a_sites_quota_stops_that_site_for_a_minute_and_no_other(kitchen, named, wait_s):
    await kitchen.add(OTHERS[0])
    await kitchen.room.fault(
        vendor="wix", kind="throttle", site=SITE, operation="media.import", times=1, retry_after_s=named
    )

    ended = {(job := await kitchen.attempt())["status"]: job for _ in range(2)}

    assert set(ended) == {"PENDING", "DONE"}
    assert (ended["PENDING"]["failures"], ended["PENDING"]["kind"]) == (0, "RateLimited")
    assert wait_s - 2 < ended["PENDING"]["wait_s"] <= wait_s
    blocked = await kitchen.run("select name from quotas where blocked_until > now()")
    assert [row["name"] for row in blocked] == [f"wix/{SITE}"]


@pytest.mark.parametrize("status", [404, 428])
async def test_a_site_without_a_blog_is_paused(kitchen, status):
    body = {"message": "", "details": {"applicationError": {"code": "BLOG_NOT_INSTALLED"}}}
    await kitchen.room.fault(vendor="wix", operation="drafts.*", kind="status", status=status, body=body)

    job = await kitchen.attempt()

    assert (job["status"], job["failures"], job["code"]) == ("PENDING", 0, "BLOG_NOT_INSTALLED")
    assert await paused(kitchen) == {SITE}


async def a_product_blog(kitchen) -> str:
    await kitchen.run("delete from blog_generations")
    [product, *_] = await kitchen.room.products(SITE)
    await kitchen.add(SITE, "product", product["id"])
    return str(product["name"])


async def test_a_site_without_a_shop_is_paused(kitchen):
    await a_product_blog(kitchen)
    await kitchen.room.fault(vendor="wix", operation="stores.*", kind="stores_missing")

    job = await kitchen.attempt()

    assert (job["status"], job["code"]) == ("PENDING", "STORES_NOT_INSTALLED")
    assert "no shop" in job["pause_reason"]


async def test_a_shop_that_moved_to_the_other_catalog_is_asked_there_at_once(kitchen):
    await a_product_blog(kitchen)
    stale = "V1_CATALOG" if await kitchen.room.catalog(SITE) == "V3_CATALOG" else "V3_CATALOG"
    await kitchen.run(
        "insert into cache (key, value, expires_at) values (%s, to_jsonb(%s::text), now() + interval '1 day')",
        f"catalog/{SITE}", stale,
    )  # fmt: skip

    assert (await kitchen.attempt())["status"] == "DONE"
    assert await kitchen.calls("wix", "stores.version") == 1


async def test_a_shop_still_being_set_up_is_asked_again_after_ten_seconds(kitchen):
    await a_product_blog(kitchen)
    body = {"message": "", "details": {"applicationError": {"code": "CATALOG_V3_SITE_PROVISIONING"}}}
    await kitchen.room.fault(vendor="wix", operation="stores.get_v?", kind="status", status=428, body=body, times=1)

    job = await kitchen.attempt()

    assert (job["status"], job["failures"]) == ("PENDING", 0)
    assert 8 < job["wait_s"] <= 10
    assert (await kitchen.attempt())["status"] == "DONE"


async def test_a_product_that_is_gone_ends_its_blog(kitchen):
    await kitchen.run("delete from blog_generations")
    await kitchen.add(SITE, "product", "5f1c2a9e-9f8d-4f0e-8a55-0f6f6a8f7c11")

    job = await kitchen.attempt()

    assert (job["status"], job["code"]) == ("FAILED", "no_product")
    assert await kitchen.calls("openai", "responses.create") == 0


@pytest.mark.parametrize("text", ["memberIds [x] do not exist", "Missing post owner information"])
async def test_an_author_that_wix_does_not_know_is_looked_up_anew_once(kitchen, text):
    body = {"message": text, "details": {"applicationError": {"code": "X"}}}
    await kitchen.room.fault(vendor="wix", operation=CREATE, kind="status", status=400, body=body, times=1)

    assert (await kitchen.attempt())["status"] == "DONE"
    assert await kitchen.calls("wix", "members.list") == 2


async def test_a_wrong_author_in_the_sites_settings_gives_way_to_the_owner(kitchen):
    await kitchen.run("""update sites set settings = '{"member_id": "somebody"}'""")

    assert (await kitchen.attempt())["status"] == "DONE"
    [post] = await kitchen.room.posts(SITE)
    assert post["author"] == "Site Owner"


async def test_an_author_that_stays_unknown_ends_the_blog(kitchen):
    body = {"message": "memberIds [x] do not exist", "details": {}}
    await kitchen.room.fault(vendor="wix", operation=CREATE, kind="status", status=400, body=body)

    assert (await kitchen.attempt())["status"] == "FAILED"
    assert await kitchen.calls("wix", CREATE) == 2


async def test_a_field_that_wix_refuses_ends_the_blog_with_its_name_and_the_request(kitchen):
    violation = {"field": "draftPost.richContent", "description": "Expected a paragraph node but found TEXT"}
    body = {"message": "", "details": {"validationError": {"fieldViolations": [violation]}}}
    await kitchen.room.fault(vendor="wix", operation=CREATE, kind="status", status=400, body=body)

    job = await kitchen.attempt()

    assert (job["status"], job["kind"]) == ("FAILED", "Rejected")
    assert "draftPost.richContent: Expected a paragraph node" in job["message"]
    assert job["request_id"]
    assert await kitchen.calls("wix", CREATE) == 1


async def test_a_field_that_every_post_has_the_same_stops_the_fleet_and_no_blog(kitchen):
    """Otherwise blog after blog would be written and illustrated, then refused."""
    violation = {"field": "fieldsets", "description": "unknown value"}
    body = {"message": "", "details": {"validationError": {"fieldViolations": [violation]}}}
    await kitchen.room.fault(vendor="wix", operation=CREATE, kind="status", status=400, body=body)

    job = await kitchen.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("PENDING", 0, "Misconfigured")
    assert await kitchen.breaker("wix") == {"state": "open", "misconfigured": True}
    await kitchen.close("wix")
    assert (await kitchen.attempt())["status"] == "DONE"


async def test_a_tag_that_exists_in_other_letters_is_used(kitchen):
    conflict = {"message": "", "details": {"applicationError": {"code": "ALREADY_EXISTS"}}}
    await kitchen.room.fault(vendor="wix", operation="tags.create", kind="status", status=409, body=conflict, times=1)

    assert (await kitchen.attempt())["status"] == "DONE"
    assert await kitchen.calls("wix", "tags.query") == 2


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


async def test_a_look_up_whose_answer_breaks_off_makes_no_second_draft(kitchen):
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


async def test_a_failed_import_is_tried_once_more(kitchen):
    await kitchen.room.fault(vendor="wix", operation="media.import", kind="import_failed", times=1)

    assert (await kitchen.attempt())["status"] == "DONE"

    assert await kitchen.calls("wix", "media.import") == 2
    assert await kitchen.calls("wix", "media.upload") == 0
    assert (await kitchen.room.posts(SITE))[0]["coverVisible"]


async def test_a_picture_that_wix_cannot_fetch_is_handed_over(kitchen):
    await kitchen.room.fault(vendor="wix", operation="media.import", kind="import_failed")

    assert (await kitchen.attempt())["status"] == "DONE"

    assert await kitchen.calls("wix", "media.import") == 2
    assert await kitchen.calls("wix", "media.upload") == 1
    assert (await kitchen.room.posts(SITE))[0]["coverVisible"]


async def test_a_picture_that_wix_does_not_take_at_all_is_left_out(kitchen):
    """An upload address that is refused speaks of itself: the site is not paused for it."""
    await kitchen.room.fault(vendor="wix", operation="media.import", kind="import_failed")
    await kitchen.room.fault(vendor="wix", operation="media.upload", kind="status", status=403)

    assert (await kitchen.attempt())["status"] == "DONE"

    [post] = await kitchen.room.posts(SITE)
    assert post["cover"] is None
    assert await paused(kitchen) == set()


async def test_what_was_written_is_read_through_a_lagging_index(kitchen):
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


async def test_a_worker_that_dies_over_a_deleted_draft_leaves_it_to_a_person(kitchen):
    """Its heir must not make anew what the owner does not want."""
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


async def test_a_404_while_the_draft_is_there_forgets_nothing(kitchen):
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
