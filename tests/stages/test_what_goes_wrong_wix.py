"""The table of what goes wrong at Wix, row by row, each ending in its action.

The whole pipeline runs against a real database and the simulated providers; what counts is what the queue then says,
and what stands on the site.
"""

import pytest

from blogworker.providers.wix import auth as wix_auth

from .conftest import SITE
from .what_goes_wrong import CREATE, OTHERS, PUBLISH, paused, shown, spotless

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("operation", ["media.import", CREATE, PUBLISH])
async def test_an_expired_token_is_replaced_and_the_call_made_once_more(harness, operation):
    await harness.room.fault(vendor="wix", operation=operation, kind="status", status=401, times=1)

    assert (await harness.attempt())["status"] == "DONE"

    assert await harness.calls("wix", "oauth.token") == 2
    assert await shown(harness) == 1
    assert await spotless(harness)


async def test_a_new_token_that_is_refused_pauses_the_site(harness):
    """The app is there, and may not do this one thing: the site waits for its owner."""
    await harness.room.fault(vendor="wix", operation=CREATE, kind="status", status=401)

    job = await harness.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("PENDING", 0, "SiteUnavailable")
    assert "may not use /blog/v3/draft-posts" in job["pause_reason"]
    assert "apps.instance" in await harness.room.operations("wix")


async def test_a_site_that_removed_the_app_is_paused_and_its_blogs_stay(harness):
    await harness.room.fault(vendor="wix", kind="revoked", site=SITE)
    second = await harness.add(SITE)

    job = await harness.attempt()

    assert (job["status"], job["failures"]) == ("PENDING", 0)
    assert await paused(harness) == {SITE}
    assert "not installed" in job["pause_reason"]
    assert (await harness.job(second))["status"] == "PENDING"
    assert (await harness.breaker("wix"))["state"] == "closed"


async def test_one_site_without_a_token_is_paused_alone(harness):
    await harness.add(OTHERS[0])
    await harness.room.fault(vendor="wix", operation="oauth.token", kind="revoked", site=SITE)

    ended = [await harness.attempt() for _ in range(2)]

    assert sorted(job["status"] for job in ended) == ["DONE", "PENDING"]
    assert await paused(harness) == {SITE}
    assert await harness.calls("wix", "oauth.token") == 2  # a revoked site is not asked for again
    assert (await harness.breaker("wix"))["state"] == "closed"


async def test_when_no_site_gets_a_token_the_breaker_opens(harness, monkeypatch):
    """Wix does not say which: a worker that took it for the sites would pause every one of them."""
    monkeypatch.setattr(wix_auth, "REFUSAL_WAIT_S", 0.01)
    for site in OTHERS:
        await harness.add(site)
    await harness.room.fault(vendor="wix", operation="oauth.token", kind="revoked")

    ended = [await harness.attempt() for _ in range(3)]

    assert (ended[-1]["status"], ended[-1]["failures"], ended[-1]["kind"]) == ("PENDING", 0, "Misconfigured")
    assert "check WIX_APP_ID and WIX_APP_SECRET" in ended[-1]["message"]
    assert len(await paused(harness)) == 2
    assert await harness.breaker("wix") == {"state": "open", "misconfigured": True}


async def test_a_wrong_secret_opens_the_breaker_and_pauses_no_site(harness):
    body = {"error": "invalid_client", "error_description": "Client authentication failed"}
    await harness.room.fault(vendor="wix", operation="oauth.token", kind="status", status=401, body=body)

    job = await harness.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("PENDING", 0, "Misconfigured")
    assert await harness.breaker("wix") == {"state": "open", "misconfigured": True}
    assert await paused(harness) == set()


async def test_a_missing_permission_pauses_the_site_and_says_so_to_its_owner(harness):
    await harness.room.fault(vendor="wix", operation=CREATE, kind="no_scope")

    job = await harness.attempt()

    assert (job["status"], job["failures"]) == ("PENDING", 0)
    assert "lacks a permission on this site, which its owner must grant" in job["pause_reason"]


async def test_rich_content_is_made_here_so_the_converter_cannot_throttle(harness):
    """Wix throttles it with a 403 that looks like a missing permission."""
    await harness.attempt()

    assert not [operation for operation in await harness.room.operations("wix") if operation.startswith("ricos.")]


@pytest.mark.parametrize(("named", "wait_s"), [(None, 60), (7, 7)])
async def test_a_sites_quota_stops_that_site_for_a_minute_and_no_other(harness, named, wait_s):
    await harness.add(OTHERS[0])
    await harness.room.fault(
        vendor="wix", kind="throttle", site=SITE, operation="media.import", times=1, retry_after_s=named
    )

    ended = {(job := await harness.attempt())["status"]: job for _ in range(2)}

    assert set(ended) == {"PENDING", "DONE"}
    assert (ended["PENDING"]["failures"], ended["PENDING"]["kind"]) == (0, "RateLimited")
    assert wait_s - 2 < ended["PENDING"]["wait_s"] <= wait_s
    blocked = await harness.run("select name from quotas where blocked_until > now()")
    assert [row["name"] for row in blocked] == [f"wix/{SITE}"]


@pytest.mark.parametrize("status", [404, 428])
async def test_a_site_without_a_blog_is_paused(harness, status):
    body = {"message": "", "details": {"applicationError": {"code": "BLOG_NOT_INSTALLED"}}}
    await harness.room.fault(vendor="wix", operation="drafts.*", kind="status", status=status, body=body)

    job = await harness.attempt()

    assert (job["status"], job["failures"], job["code"]) == ("PENDING", 0, "BLOG_NOT_INSTALLED")
    assert await paused(harness) == {SITE}


async def a_product_blog(harness) -> str:
    await harness.run("delete from blog_generations")
    [product, *_] = await harness.room.products(SITE)
    await harness.add(SITE, "product", product["id"])
    return str(product["name"])


async def test_a_site_without_a_shop_is_paused(harness):
    await a_product_blog(harness)
    await harness.room.fault(vendor="wix", operation="stores.*", kind="stores_missing")

    job = await harness.attempt()

    assert (job["status"], job["code"]) == ("PENDING", "STORES_NOT_INSTALLED")
    assert "no shop" in job["pause_reason"]


async def test_a_shop_that_moved_to_the_other_catalog_is_read_there_at_once(harness):
    await a_product_blog(harness)
    stale = "V1_CATALOG" if await harness.room.catalog(SITE) == "V3_CATALOG" else "V3_CATALOG"
    await harness.run(
        "insert into cache (key, value, expires_at) values (%s, to_jsonb(%s::text), now() + interval '1 day')",
        f"catalog/{SITE}", stale,
    )  # fmt: skip

    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("wix", "stores.version") == 1


async def test_a_shop_still_being_set_up_is_read_again_after_ten_seconds(harness):
    await a_product_blog(harness)
    body = {"message": "", "details": {"applicationError": {"code": "CATALOG_V3_SITE_PROVISIONING"}}}
    await harness.room.fault(vendor="wix", operation="stores.get_v?", kind="status", status=428, body=body, times=1)

    job = await harness.attempt()

    assert (job["status"], job["failures"]) == ("PENDING", 0)
    assert 8 < job["wait_s"] <= 10
    assert (await harness.attempt())["status"] == "DONE"


async def test_a_deleted_product_ends_its_job(harness):
    await harness.run("delete from blog_generations")
    await harness.add(SITE, "product", "5f1c2a9e-9f8d-4f0e-8a55-0f6f6a8f7c11")

    job = await harness.attempt()

    assert (job["status"], job["code"]) == ("FAILED", "no_product")
    assert await harness.calls("openai", "responses.create") == 0


@pytest.mark.parametrize("text", ["memberIds [x] do not exist", "Missing post owner information"])
async def test_an_unknown_author_is_looked_up_again_once(harness, text):
    body = {"message": text, "details": {"applicationError": {"code": "X"}}}
    await harness.room.fault(vendor="wix", operation=CREATE, kind="status", status=400, body=body, times=1)

    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("wix", "members.list") == 2


async def test_a_wrong_author_in_the_settings_is_replaced_by_the_owner(harness):
    await harness.run("""update sites set settings = '{"member_id": "somebody"}'""")

    assert (await harness.attempt())["status"] == "DONE"
    [post] = await harness.room.posts(SITE)
    assert post["author"] == "Site Owner"


async def test_an_author_that_stays_unknown_ends_the_blog(harness):
    body = {"message": "memberIds [x] do not exist", "details": {}}
    await harness.room.fault(vendor="wix", operation=CREATE, kind="status", status=400, body=body)

    assert (await harness.attempt())["status"] == "FAILED"
    assert await harness.calls("wix", CREATE) == 2


async def test_a_field_that_wix_refuses_ends_the_blog_with_its_name_and_the_request(harness):
    violation = {"field": "draftPost.richContent", "description": "Expected a paragraph node but found TEXT"}
    body = {"message": "", "details": {"validationError": {"fieldViolations": [violation]}}}
    await harness.room.fault(vendor="wix", operation=CREATE, kind="status", status=400, body=body)

    job = await harness.attempt()

    assert (job["status"], job["kind"]) == ("FAILED", "Rejected")
    assert "draftPost.richContent: Expected a paragraph node" in job["message"]
    assert job["request_id"]
    assert await harness.calls("wix", CREATE) == 1


async def test_a_refused_field_common_to_all_posts_stops_the_fleet_and_fails_no_job(harness):
    """Otherwise blog after blog would be written and illustrated, then refused."""
    violation = {"field": "fieldsets", "description": "unknown value"}
    body = {"message": "", "details": {"validationError": {"fieldViolations": [violation]}}}
    await harness.room.fault(vendor="wix", operation=CREATE, kind="status", status=400, body=body)

    job = await harness.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("PENDING", 0, "Misconfigured")
    assert await harness.breaker("wix") == {"state": "open", "misconfigured": True}
    await harness.close("wix")
    assert (await harness.attempt())["status"] == "DONE"


async def test_an_existing_tag_in_another_case_is_used(harness):
    conflict = {"message": "", "details": {"applicationError": {"code": "ALREADY_EXISTS"}}}
    await harness.room.fault(vendor="wix", operation="tags.create", kind="status", status=409, body=conflict, times=1)

    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("wix", "tags.query") == 2


async def test_a_failed_import_is_retried_once(harness):
    await harness.room.fault(vendor="wix", operation="media.import", kind="import_failed", times=1)

    assert (await harness.attempt())["status"] == "DONE"

    assert await harness.calls("wix", "media.import") == 2
    assert await harness.calls("wix", "media.upload") == 0
    assert (await harness.room.posts(SITE))[0]["coverVisible"]


async def test_a_picture_that_wix_cannot_fetch_is_uploaded(harness):
    await harness.room.fault(vendor="wix", operation="media.import", kind="import_failed")

    assert (await harness.attempt())["status"] == "DONE"

    assert await harness.calls("wix", "media.import") == 2
    assert await harness.calls("wix", "media.upload") == 1
    assert (await harness.room.posts(SITE))[0]["coverVisible"]


async def test_a_picture_that_wix_refuses_is_omitted(harness, capsys):
    """An upload address that is refused speaks of itself: the site is not paused for it."""
    await harness.room.fault(vendor="wix", operation="media.import", kind="import_failed")
    await harness.room.fault(vendor="wix", operation="media.upload", kind="status", status=403)

    assert (await harness.attempt())["status"] == "DONE"

    [post] = await harness.room.posts(SITE)
    assert post["cover"] is None
    assert await paused(harness) == set()
    assert capsys.readouterr().out.count("cover_refused") == 1


async def test_a_picture_that_wix_does_not_import_is_uploaded(harness, capsys):
    await harness.room.fault(vendor="wix", operation="media.import", kind="status", status=400)

    assert (await harness.attempt())["status"] == "DONE"

    assert (await harness.room.posts(SITE))[0]["coverVisible"]
    assert "cover_refused" in capsys.readouterr().out
