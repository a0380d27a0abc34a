"""Wix: tokens, refusals, and the calls a post is made of, over real TCP."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from anyio import create_task_group

from blogworker.errors import Misconfigured, OutcomeUnknown, RateLimited, Rejected, SiteUnavailable, Unavailable
from blogworker.providers.wix import author as wix_author
from blogworker.providers.wix.auth import Token
from blogworker.providers.wix.client import WixClient
from blogworker.settings import WixSettings

from .conftest import Answer, Vendor

pytestmark = pytest.mark.anyio

SITE = "11111111-2222-3333-4444-555555555555"
SECRET = "shh"  # noqa: S105
MEMBERS = "/members/v1/members"
OWNED = Answer(body={"site": {"ownerInfo": {"email": "Owner@shop.example"}}})
OWNER = {"id": "m1", "loginEmail": "owner@shop.example"}
CUSTOMERS = [{"id": f"c{n}", "loginEmail": f"c{n}@x.example"} for n in range(wix_author.PAGE)]
DRAFT = {"title": "Mugs", "memberId": "m1", "seoSlug": "mugs", "excerpt": "All of them."}


def token(value: str = "t1", life_s: float = 14_400) -> Answer:
    return Answer(body={"access_token": value, "token_type": "Bearer", "expires_in": life_s})


@pytest.fixture
async def wix(vendor: Vendor, patience_s: float) -> AsyncIterator[WixClient]:
    settings = WixSettings(
        app_id="app", app_secret=SECRET, base_url=vendor.url, timeout=patience_s, media_timeout=0.3,
        media_poll_interval=0.05, _env_file=None,
    )  # fmt: skip
    vendor.will(token(), at="/oauth2/token")
    async with WixClient(settings, connections=2) as client:
        yield client


def asked_tokens(vendor: Vendor) -> int:
    return vendor.paths().count("POST /oauth2/token")


async def test_one_token_serves_many_calls(wix, vendor):
    vendor.will(Answer(body={"postId": "d1"}))

    await wix.publish(SITE, "d1")
    await wix.publish(SITE, "d1")

    assert asked_tokens(vendor) == 1
    assert vendor.asked[0].body == {
        "grant_type": "client_credentials",
        "client_id": "app",
        "client_secret": "shh",
        "instance_id": SITE,
    }
    assert vendor.asked[1].headers["authorization"] == "Bearer t1"


async def test_many_callers_share_one_refresh(wix, vendor):
    """Fifty jobs of one site that start together must not spend its quota on tokens."""
    vendor.will(Answer(body={"postId": "d1"}))

    async with create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(wix.publish, SITE, "d1")

    assert asked_tokens(vendor) == 1


async def test_a_token_is_replaced_before_it_dies(wix, vendor):
    vendor.will(token("t1", life_s=0.001), token("t2"), at="/oauth2/token")
    vendor.will(Answer(body={"postId": "d1"}))

    await wix.publish(SITE, "d1")
    await wix.publish(SITE, "d1")

    assert [asked.headers.get("authorization") for asked in vendor.asked if "publish" in asked.path] == [
        "Bearer t1",
        "Bearer t2",
    ]


@pytest.mark.parametrize("told", ["abc", None, [], "Infinity", "", True])
async def test_a_token_of_unknown_life_is_a_token(wix, vendor, told):
    """Wix granted it: its blogs must not crash over the number beside it."""
    vendor.will(token("t1", life_s=told), at="/oauth2/token")
    vendor.will(Answer(body={"postId": "d1"}))

    await wix.publish(SITE, "d1")
    await wix.publish(SITE, "d1")

    assert asked_tokens(vendor) == 1


async def test_a_stale_token_serves_while_no_new_one_can_be_had(wix, vendor):
    vendor.will(Answer(503, {}), at="/oauth2/token")
    vendor.will(Answer(body={"postId": "d1"}))
    wix._sites._tokens._tokens[SITE] = Token("old", stale_at=0, expires_at=1e12)

    assert await wix.publish(SITE, "d1") == "d1"


async def test_a_refused_token_is_renewed_once(wix, vendor):
    vendor.will(token("t1"), token("t2"), at="/oauth2/token")
    vendor.will(Answer(401, {}), Answer(body={"postId": "d1"}))

    assert await wix.publish(SITE, "d1") == "d1"
    assert asked_tokens(vendor) == 2


async def test_a_site_that_refuses_fresh_tokens_is_shut(wix, vendor):
    """The app is gone, or lacks this one permission: either way no job of the site can go on."""
    vendor.will(Answer(401, {}))
    with pytest.raises(SiteUnavailable, match="no longer installed"):
        await wix.publish(SITE, "d1")

    vendor.will(Answer(body={"instance": {}}), at="/apps/v1/instance")
    with pytest.raises(SiteUnavailable, match="may not use"):
        await wix.publish(SITE, "d1")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(400, {"error": "invalid_grant", "error_description": "app not installed"}), SiteUnavailable),
        (Answer(403, "no json"), SiteUnavailable),
        (Answer(401, {"error": "invalid_client", "error_description": "bad secret"}), Misconfigured),
        (Answer(429, {}), RateLimited),
        (Answer(502, "<html>"), Unavailable),
        (Answer(200, {"token": "missing"}), Unavailable),
    ],
)
async def test_a_refused_token_request_says_whose_fault_it_is(wix, vendor, answer, kind):
    vendor.will(answer, at="/oauth2/token")

    with pytest.raises(kind) as raised:
        await wix.publish(SITE, "d1")

    assert type(raised.value) is kind
    assert "shh" not in str(raised.value)


VIOLATION = {"field": "draftPost.title", "description": "size must be at most 200", "violatedRule": "MAX_LENGTH"}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(400, {"message": "bad", "details": {"validationError": {"fieldViolations": [VIOLATION]}}}), Rejected),
        (Answer(403, {"message": "", "details": {}}), SiteUnavailable),
        (Answer(404, {"message": "gone"}), Rejected),
        (Answer(404, {"details": {"applicationError": {"code": "BLOG_NOT_INSTALLED"}}}), SiteUnavailable),
        (Answer(428, {"details": {"applicationError": {"code": "BLOG_NOT_INSTALLED"}}}), SiteUnavailable),
        (Answer(428, {"details": {"applicationError": {"code": "CATALOG_V3_SITE_PROVISIONING"}}}), RateLimited),
        (Answer(429, {"message": "slow down"}), RateLimited),
        (Answer(500, "oops"), Unavailable),
        (Answer(200, {"draftPost": {}}), Unavailable),
        pytest.param(Answer(silent=True), OutcomeUnknown, marks=pytest.mark.silence),
    ],
)
async def test_a_refused_draft_says_what_to_do(wix, vendor, answer, kind):
    answer.headers["x-wix-request-id"] = "w7"
    vendor.will(answer)

    with pytest.raises(kind) as raised:
        await wix.create_draft(SITE, DRAFT)

    assert type(raised.value) is kind


def violated(*fields: object) -> Answer:
    told = [{"field": field, "description": "no"} for field in fields]
    return Answer(400, {"message": "bad", "details": {"validationError": {"fieldViolations": told}}})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (violated("fieldsets"), Misconfigured),
        (violated("draftPost.title", "publish"), Misconfigured),
        (violated("draftPost.title", None, ["publish"], {}), Rejected),
        (Answer(405, {}), Misconfigured),
        (Answer(400, {"message": {"a": [1]}, "details": {"applicationError": {"code": 7}}}), Rejected),
        (Answer(400, {"details": {"validationError": {"fieldViolations": {"field": "publish"}}}}), Misconfigured),
        (Answer(400, {"details": [], "message": None}), Rejected),
    ],
)
async def test_a_refused_field_is_the_posts_or_one_that_all_have(wix, vendor, answer, kind):
    vendor.will(answer)

    with pytest.raises(kind) as raised:
        await wix.create_draft(SITE, DRAFT)

    assert type(raised.value) is kind


async def test_posts_of_several_sites_refused_in_a_row_are_not_all_at_fault(wix, vendor):
    """Wix has changed what it takes: each blog would be paid for in full before it is refused."""
    vendor.will(violated("draftPost.richContent"))
    ends = []
    for site in ("a", "a", "b", "c"):
        with pytest.raises((Rejected, Misconfigured)) as raised:
            await wix.create_draft(site, DRAFT)
        ends.append(type(raised.value))

    assert ends == [Rejected, Rejected, Rejected, Misconfigured]


@pytest.mark.parametrize(
    "drafts", [7, "x", [None, 5], [{}], [{"title": 5, "id": {}}], {"title": "Other"}, [{"title": "Mugs", "id": None}]]
)
async def test_drafts_in_no_known_form_are_none_of_ours(wix, vendor, drafts):
    vendor.will(Answer(body={"draftPosts": drafts}))

    assert await wix.find_draft(SITE, DRAFT, since=datetime(2026, 11, 26, tzinfo=UTC)) is None


@pytest.mark.parametrize("draft_id", [None, "", 1.5, [], {}, "a b", "\ud800", "ä", "x" * 5_000])
async def test_a_draft_without_a_usable_id_is_looked_up(wix, vendor, draft_id):
    vendor.will(Answer(200, json.dumps({"draftPost": {"id": draft_id}})))

    with pytest.raises(Unavailable) as raised:
        await wix.create_draft(SITE, DRAFT)

    assert raised.value.status is None  # it may have been made


@pytest.mark.parametrize("version", [None, "", 5, [], "V4_CATALOG"])
async def test_an_unknown_catalog_is_no_word_on_the_shop(wix, vendor, version):
    """The site was paused until a person resumed it."""
    vendor.will(Answer(body={"catalogVersion": version}))

    with pytest.raises(Unavailable):
        await wix.catalog(SITE)


@pytest.mark.parametrize("mark", ["\xe4", "x" * 9_000, ""])
async def test_a_mark_that_cannot_be_sent_back_is_not(wix, vendor, mark):
    """The site's next call, and every later one, would fail because of its own header."""
    vendor.will(Answer(body={"postId": "d1"}, headers={"x-wix-consistent": mark}))

    assert [await wix.publish(SITE, "d1"), await wix.publish(SITE, "d1")] == ["d1", "d1"]
    assert "x-wix-consistent" not in vendor.asked[-1].headers


@pytest.mark.parametrize("value", ["", None, 5, "ä", "a\nb", "\ud800", "x" * 20_000])
async def test_a_token_that_cannot_be_sent_is_none(wix, vendor, value):
    vendor.will(Answer(200, json.dumps({"access_token": value, "expires_in": 60})), at="/oauth2/token")

    with pytest.raises(Unavailable):
        await wix.publish(SITE, "d1")


async def test_a_field_violation_is_told_with_its_request_id(wix, vendor):
    body = {"message": "bad", "details": {"validationError": {"fieldViolations": [VIOLATION]}}}
    vendor.will(Answer(400, body, {"x-wix-request-id": "w7"}))

    with pytest.raises(Rejected, match=r"draftPost.title: size must be at most 200.*request_id w7"):
        await wix.create_draft(SITE, DRAFT)


async def test_a_site_over_its_quota_rests_a_minute(wix, vendor):
    vendor.will(Answer(429, {}))

    with pytest.raises(RateLimited) as raised:
        await wix.create_draft(SITE, DRAFT)

    assert raised.value.retry_after_s == 60


@pytest.mark.silence
async def test_publishing_may_be_repeated_so_its_silence_is_no_mystery(wix, vendor):
    vendor.will(Answer(silent=True))

    with pytest.raises(Unavailable) as raised:
        await wix.publish(SITE, "d1")

    assert type(raised.value) is Unavailable


async def test_a_draft_is_made_unpublished(wix, vendor):
    vendor.will(Answer(body={"draftPost": {"id": "d1"}}))

    assert await wix.create_draft(SITE, DRAFT) == "d1"
    assert vendor.asked[-1].body == {"draftPost": DRAFT, "publish": False, "fieldsets": []}


async def test_a_draft_is_found_again_by_more_than_its_title(wix, vendor):
    """Another job may have made a draft of the same title: to take it for ours would lose its post."""
    other = {"id": "d0", **DRAFT, "excerpt": "Something else."}
    vendor.will(Answer(body={"draftPosts": [other, {"id": "d1", **DRAFT}]}))
    since = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)

    assert await wix.find_draft(SITE, DRAFT, since=since) == "d1"

    asked = vendor.asked[-1].body["query"]["filter"]
    assert asked == {"title": {"$eq": "Mugs"}, "editedDate": {"$gte": "2026-11-23T10:00:00.000000Z"}}


@pytest.mark.parametrize("body", ['{"draftPosts": [{"id"', "<html>busy</html>", "[]"], ids=["cut", "html", "list"])
async def test_an_answer_that_cannot_be_read_is_not_an_empty_one(wix, vendor, body):
    """Read as empty, the draft would not be found and be made again, the site paused for want of a shop, and the post
    ascribed to whoever is the first member."""
    vendor.will(Answer(body=body))

    for ask in (
        wix.find_draft(SITE, DRAFT, since=datetime.now(UTC)),
        wix.catalog(SITE),
        wix.member_id(SITE),
        wix.tag_ids(SITE, ["Mugs"], language=None),
    ):
        with pytest.raises(Unavailable, match="not a JSON object"):
            await ask
    with pytest.raises(OutcomeUnknown, match="not a JSON object"):
        await wix.create_draft(SITE, DRAFT)


async def test_an_answer_that_cannot_be_unpacked_is_a_lost_one(wix, vendor):
    vendor.will(Answer(body=b"no gzip", headers={"content-encoding": "gzip"}))

    with pytest.raises(OutcomeUnknown):
        await wix.create_draft(SITE, DRAFT)


async def test_a_draft_that_was_never_made_is_not_found(wix, vendor):
    vendor.will(Answer(body={"draftPosts": []}))

    assert await wix.find_draft(SITE, DRAFT, since=datetime.now(UTC)) is None


async def test_the_author_is_the_owner(wix, vendor):
    """Never any other member: their name would stand over the post."""
    vendor.will(OWNED, at="/apps/v1/instance")
    members = [{"id": "m0", "loginEmail": "buyer@x.example"}, {"id": "m1", "loginEmail": "owner@shop.example"}]
    vendor.will(Answer(body={"members": members}))

    assert await wix.member_id(SITE) == "m1"
    assert await wix.member_id(SITE) == "m1"
    assert vendor.paths().count("GET /members/v1/members") == 1


@pytest.mark.parametrize("site", [{}, None, {"ownerInfo": {}}, {"ownerInfo": "somebody"}, {"ownerEmail": None}])
async def test_without_a_known_owner_no_member_is_taken_for_them(wix, vendor, site):
    """The first member of a shop may be its first customer."""
    vendor.will(Answer(body={"instance": {}, "site": site}), at="/apps/v1/instance")
    vendor.will(Answer(body={"members": [{"id": "m0", "loginEmail": "buyer@x.example"}]}), at=MEMBERS)

    with pytest.raises(SiteUnavailable, match="set member_id in the site's settings"):
        await wix.member_id(SITE)


async def test_an_owner_far_down_the_list_is_found(wix, vendor):
    vendor.will(OWNED, at="/apps/v1/instance")
    vendor.will(Answer(body={"members": CUSTOMERS}), Answer(body={"members": [*CUSTOMERS[:7], OWNER]}), at=MEMBERS)

    assert await wix.member_id(SITE) == "m1"


async def test_an_owner_who_is_no_member_becomes_one(wix, vendor):
    site = {"ownerEmail": "owner@shop.example", "siteDisplayName": "Tidewrack"}
    vendor.will(Answer(body={"site": site}), at="/apps/v1/instance")
    vendor.will(Answer(body={"members": []}), Answer(body={"member": {"id": "m9"}}), at=MEMBERS)

    assert await wix.member_id(SITE) == "m9"
    member = {"loginEmail": "owner@shop.example", "profile": {"nickname": "Tidewrack"}}
    assert vendor.asked[-1].body == {"member": member}


async def test_an_owner_whom_another_worker_made_a_member_meanwhile_is_found(wix, vendor):
    """Its 409 is no fault of the blog, which would be FAILED for it."""
    vendor.will(OWNED, at="/apps/v1/instance")
    empty, there = Answer(body={"members": []}), Answer(body={"members": [OWNER]})
    vendor.will(empty, Answer(409, {"message": "exists already"}), there, at=MEMBERS)

    assert await wix.member_id(SITE) == "m1"


async def test_an_owner_beyond_all_that_is_looked_at_is_asked_for(wix, vendor, monkeypatch):
    monkeypatch.setattr(wix_author, "MOST_PAGES", 2)
    vendor.will(OWNED, at="/apps/v1/instance")
    full = Answer(body={"members": CUSTOMERS})
    vendor.will(full, full, Answer(409, {"message": "exists already"}), full, at=MEMBERS)

    with pytest.raises(SiteUnavailable, match="set member_id"):
        await wix.member_id(SITE)
    assert vendor.paths().count(f"GET {MEMBERS}") == 4


async def test_many_blogs_of_a_site_look_for_its_author_once(wix, vendor):
    """Else each would make the owner a member, which Wix lets us do once a second."""
    vendor.will(OWNED, at="/apps/v1/instance")
    vendor.will(Answer(body={"members": []}), Answer(body={"member": {"id": "m9"}}), at=MEMBERS)

    async with create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(wix.member_id, SITE)

    assert vendor.paths().count(f"POST {MEMBERS}") == 1


def file(status: str) -> Answer:
    return Answer(body={"file": {"id": "f1", "url": "https://static.wixstatic.com/f1", "operationStatus": status}})


async def test_an_import_is_watched_to_its_end(wix, vendor):
    vendor.will(file("PENDING"), at="/site-media/v1/files/import")
    vendor.will(file("PENDING"), file("READY"), at="/site-media/v1/files/get-file-by-id")

    imported = await wix.import_media(SITE, "https://x.example/a.jpg", name="a.jpg")

    assert imported.status == "PENDING"
    assert (await wix.await_media(SITE, imported.id)).status == "READY"


async def test_a_slow_import_is_not_watched_for_ever(wix, vendor):
    vendor.will(file("PENDING"))

    assert (await wix.await_media(SITE, "f1")).status == "PENDING"


async def test_bytes_can_be_handed_over(wix, vendor):
    vendor.will(Answer(body={"uploadUrl": f"{vendor.url}/upload/abc"}), at="/site-media/v1/files/generate-upload-url")
    vendor.will(file("READY"), at="/upload/abc")

    uploaded = await wix.upload_media(SITE, b"\xff\xd8\xff", name="a.jpg", media_type="image/jpeg")

    assert uploaded.id == "f1"
    assert vendor.asked[-1].headers["content-type"] == "image/jpeg"
    assert "authorization" not in vendor.asked[-1].headers


async def test_a_posts_address(wix, vendor):
    vendor.will(Answer(body={"post": {"url": {"base": "https://shop.example/", "path": "/post/mugs"}}}))

    assert await wix.post_url(SITE, "d1") == "https://shop.example/post/mugs"


async def test_a_product_of_the_new_catalog(wix, vendor):
    vendor.will(Answer(body={"catalogVersion": "V3_CATALOG"}), at="/stores/v3/provision/version")
    product = {
        "name": "Mug",
        "plainDescription": "<p>Blue</p>",
        "actualPriceRange": {"minValue": {"amount": "14.95"}},
        "currency": "EUR",
        "brand": {"name": "Tidewrack"},
        "url": {"url": "https://shop.example/mug"},
        "media": {"main": {"image": "https://static.wixstatic.com/m.jpg"}},
    }
    vendor.will(Answer(body={"product": product}))

    found = await wix.product(SITE, "p1", catalog=await wix.catalog(SITE))

    assert (found["name"], found["price"], found["vendor"]) == ("Mug", "14.95", "Tidewrack")
    assert found["url"] == "https://shop.example/mug"


async def test_a_product_of_the_old_catalog(wix, vendor):
    vendor.will(Answer(body={"catalogVersion": "V1_CATALOG"}), at="/stores/v3/provision/version")
    product = {
        "name": "Mug",
        "description": "<p>Blue</p>",
        "priceData": {"currency": "EUR", "price": 20, "discountedPrice": 15},
        "productPageUrl": {"base": "https://shop.example/", "path": "/product-page/mug"},
        "media": {"mainMedia": {"image": {"url": "https://static.wixstatic.com/m.jpg"}}},
    }
    vendor.will(Answer(body={"product": product}))

    found = await wix.product(SITE, "p1", catalog=await wix.catalog(SITE))

    assert (found["price"], found["url"]) == ("15", "https://shop.example/product-page/mug")
    assert found["image"] == "https://static.wixstatic.com/m.jpg"
    assert vendor.asked[-1].path == "/stores-reader/v1/products/p1"


async def test_a_product_that_is_gone_ends_its_job(wix, vendor):
    vendor.will(Answer(404, {}))

    with pytest.raises(Rejected, match="product p1 is not in the site's shop"):
        await wix.product(SITE, "p1", catalog="V3_CATALOG")


async def test_a_site_without_a_shop_is_shut(wix, vendor):
    vendor.will(Answer(body={"catalogVersion": "STORES_NOT_INSTALLED"}))

    with pytest.raises(SiteUnavailable, match="no shop"):
        await wix.catalog(SITE)


async def test_missing_credentials_are_told_before_any_call():
    with pytest.raises(Misconfigured, match="WIX_APP_ID"):
        await WixClient(WixSettings(_env_file=None), connections=1).open()


async def test_a_draft_in_the_bin_is_a_deleted_one(wix, vendor):
    """Whether Wix still shows it or not."""
    vendor.will(Answer(404, {"message": "not found"}))
    assert await wix.is_deleted(SITE, "d1") is True

    vendor.will(Answer(body={"draftPost": {"id": "d1", "status": "DELETED"}}), at="/blog/v3/draft-posts/d1")
    assert await wix.is_deleted(SITE, "d1") is True

    vendor.will(Answer(body={"draftPost": {"id": "d1", "status": "UNPUBLISHED"}}), at="/blog/v3/draft-posts/d1")
    assert await wix.is_deleted(SITE, "d1") is False
