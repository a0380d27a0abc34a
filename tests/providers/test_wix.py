"""Wix: refusals, and the calls a post is made of, over real TCP."""

import json
from datetime import UTC, datetime

import pytest

from blogworker.errors import Misconfigured, OutcomeUnknown, RateLimited, Rejected, SiteUnavailable, Unavailable
from blogworker.providers.wix.client import MediaFile
from blogworker.providers.wix.drafts import marked

from .vendor import Answer
from .wix_answers import DRAFT, SITE

pytestmark = pytest.mark.anyio
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
async def test_each_refused_draft_becomes_its_error(wix, vendor, answer, kind):
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
async def test_a_refused_field_is_charged_to_the_post_or_to_us(wix, vendor, answer, kind):
    vendor.will(answer)

    with pytest.raises(kind) as raised:
        await wix.create_draft(SITE, DRAFT)

    assert type(raised.value) is kind


async def test_refused_posts_of_several_sites_stop_the_fleet(wix, vendor):
    """Wix has changed what it takes: each blog would be paid for in full before it is refused."""
    vendor.will(violated("draftPost.richContent"))
    ends = []
    for site in ("a", "a", "b", "c"):
        with pytest.raises((Rejected, Misconfigured)) as raised:
            await wix.create_draft(site, DRAFT)
        ends.append(type(raised.value))

    assert ends == [Rejected, Rejected, Rejected, Misconfigured]


@pytest.mark.parametrize("message", ["member m1 does not exist", "the post is too large", "File not found",
    "draftPost.heroImage.id: invalid", "no such wixMedia"])  # fmt: skip
async def test_refusals_that_the_caller_repairs_do_not_stop_the_fleet(wix, vendor, message):
    vendor.will(Answer(400, {"message": message}))

    for site in "abcd":
        with pytest.raises(Rejected):
            await wix.create_draft(site, DRAFT)


@pytest.mark.parametrize("message", ["correct the profile", "retry immediately"])
async def test_a_word_within_another_is_not_a_cover(wix, vendor, message):
    vendor.will(Answer(400, {"message": message}))
    ends = []
    for site in "abc":
        with pytest.raises((Rejected, Misconfigured)) as raised:
            await wix.create_draft(site, DRAFT)
        ends.append(type(raised.value))

    assert ends == [Rejected, Rejected, Misconfigured]


async def test_a_file_that_does_not_exist_any_more_counts_as_failed(wix, vendor):
    vendor.will(Answer(404, {"message": "File not found"}))

    assert await wix.await_media(SITE, "f1") == MediaFile("f1", "", "FAILED")


@pytest.mark.parametrize(
    "drafts", [7, "x", [None, 5], [{}], [{"title": 5, "id": {}}], {"title": "Other"}, [{"title": "Mugs", "id": None}]]
)
async def test_drafts_in_an_unknown_form_are_ignored(wix, vendor, drafts):
    vendor.will(Answer(body={"draftPosts": drafts}))

    assert await wix.find_draft(SITE, DRAFT, since=datetime(2026, 11, 26, tzinfo=UTC)) is None


@pytest.mark.parametrize("draft_id", [None, "", 1.5, [], {}, "a b", "\ud800", "ä", "x" * 5_000])
async def test_a_draft_without_a_usable_id_is_looked_up(wix, vendor, draft_id):
    vendor.will(Answer(200, json.dumps({"draftPost": {"id": draft_id}})))

    with pytest.raises(Unavailable) as raised:
        await wix.create_draft(SITE, DRAFT)

    assert raised.value.status is None  # it may have been made


@pytest.mark.parametrize("version", [None, "", 5, [], "V4_CATALOG"])
async def test_an_unknown_catalog_version_does_not_pause_the_site(wix, vendor, version):
    """The site was paused until a person resumed it."""
    vendor.will(Answer(body={"catalogVersion": version}))

    with pytest.raises(Unavailable):
        await wix.catalog(SITE)


@pytest.mark.parametrize("mark", ["\xe4", "x" * 9_000, ""])
async def test_an_unsendable_consistency_header_is_dropped(wix, vendor, mark):
    """The site's next call, and every later one, would fail because of its own header."""
    vendor.will(Answer(body={"postId": "d1"}, headers={"x-wix-consistent": mark}))

    assert [await wix.publish(SITE, "d1"), await wix.publish(SITE, "d1")] == ["d1", "d1"]
    assert "x-wix-consistent" not in vendor.asked[-1].headers


async def test_a_field_violation_has_its_request_id(wix, vendor):
    body = {"message": "bad", "details": {"validationError": {"fieldViolations": [VIOLATION]}}}
    vendor.will(Answer(400, body, {"x-wix-request-id": "w7"}))

    with pytest.raises(Rejected, match=r"draftPost.title: size must be at most 200.*request_id w7"):
        await wix.create_draft(SITE, DRAFT)


async def test_a_site_over_its_quota_waits_a_minute(wix, vendor):
    vendor.will(Answer(429, {}))

    with pytest.raises(RateLimited) as raised:
        await wix.create_draft(SITE, DRAFT)

    assert raised.value.retry_after_s == 60


@pytest.mark.silence
async def test_publishing_without_an_answer_is_retried(wix, vendor):
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


OURS = marked(DRAFT, "job 1")


@pytest.mark.parametrize(
    ("found", "is_ours"),
    [
        (OURS, True),
        (DRAFT, True),
        ({"title": " Mugs\n", "excerpt": DRAFT["excerpt"]}, True),
        ({"title": "Mugs"}, True),
        ({"title": "Mugs", "excerpt": None}, True),
        ({}, False),
        ({"excerpt": DRAFT["excerpt"]}, False),
        ({"title": None}, False),
        ({"title": ["Mugs"]}, False),
        ({"title": ""}, False),
        (marked(DRAFT, "job 2"), False),
        (marked({"title": "Mugs, edited"}, "job 1"), True),
    ],
    ids=str,
)
async def test_a_draft_of_the_owner_is_not_taken_for_ours(wix, vendor, found, is_ours):
    """It would be published. A list may leave out an excerpt, but a new draft of theirs has no title either."""
    vendor.will(Answer(body={"draftPosts": [{"id": "d1", **found}]}))

    assert await wix.find_draft(SITE, OURS, since=datetime.now(UTC)) == ("d1" if is_ours else None)


@pytest.mark.parametrize("body", ['{"draftPosts": [{"id"', "<html>busy</html>", "[]"], ids=["cut", "html", "list"])
async def test_an_unreadable_answer_is_not_an_empty_one(wix, vendor, body):
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


async def test_an_answer_that_cannot_be_unpacked_is_lost(wix, vendor):
    vendor.will(Answer(body=b"no gzip", headers={"content-encoding": "gzip"}))

    with pytest.raises(OutcomeUnknown):
        await wix.create_draft(SITE, DRAFT)


async def test_a_draft_that_was_never_created_is_not_found(wix, vendor):
    vendor.will(Answer(body={"draftPosts": []}))

    assert await wix.find_draft(SITE, DRAFT, since=datetime.now(UTC)) is None


def file(status: str) -> Answer:
    return Answer(body={"file": {"id": "f1", "url": "https://static.wixstatic.com/f1", "operationStatus": status}})


async def test_an_import_is_polled_until_it_ends(wix, vendor):
    vendor.will(file("PENDING"), at="/site-media/v1/files/import")
    vendor.will(file("PENDING"), file("READY"), at="/site-media/v1/files/get-file-by-id")

    imported = await wix.import_media(SITE, "https://x.example/a.jpg", name="a.jpg")

    assert imported.status == "PENDING"
    assert (await wix.await_media(SITE, imported.id)).status == "READY"


async def test_the_wait_for_a_slow_import_ends(wix, vendor):
    vendor.will(file("PENDING"))

    assert (await wix.await_media(SITE, "f1")).status == "PENDING"


async def test_bytes_can_be_uploaded(wix, vendor):
    vendor.will(Answer(body={"uploadUrl": f"{vendor.url}/upload/abc"}), at="/site-media/v1/files/generate-upload-url")
    vendor.will(file("READY"), at="/upload/abc")

    uploaded = await wix.upload_media(SITE, b"\xff\xd8\xff", name="a.jpg", media_type="image/jpeg")

    assert uploaded.id == "f1"
    assert vendor.asked[-1].headers["content-type"] == "image/jpeg"
    assert "authorization" not in vendor.asked[-1].headers


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("", "filename=a+b.jpg"),
        ("?upload_token=x", "upload_token=x&filename=a+b.jpg"),
        ("?sig=a%2Fb~c%20d+e==&empty=&x=1&x=2", "sig=a%2Fb~c%20d+e==&empty=&x=1&x=2&filename=a+b.jpg"),
        ("?filename=theirs.jpg&t=1", "filename=theirs.jpg&t=1"),
    ],
)
async def test_an_upload_keeps_the_query_of_its_address(wix, vendor, given, sent):
    """It is the permission to upload, and may be signed as it is written."""
    address = f"{vendor.url}/upload/abc{given}"
    vendor.will(Answer(body={"uploadUrl": address}), at="/site-media/v1/files/generate-upload-url")
    vendor.will(file("READY"), at="/upload/abc")

    await wix.upload_media(SITE, b"\xff\xd8\xff", name="a b.jpg", media_type="image/jpeg")

    assert vendor.asked[-1].query == sent


@pytest.mark.parametrize("base", ["https://shop.example", "https://shop.example/", "https://shop.example//"])
@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/post/mugs", "/post/mugs"),
        ("post/mugs", "/post/mugs"),
        ("/post/зимний-сад", "/post/%D0%B7%D0%B8%D0%BC%D0%BD%D0%B8%D0%B9-%D1%81%D0%B0%D0%B4"),
        ("/post/%D0%B7", "/post/%D0%B7"),
        ("/post/a b?lang=de&x=1#top", "/post/a%20b?lang=de&x=1#top"),
        ("/post/it's-(new)~50", "/post/it's-(new)~50"),
    ],
)
async def test_a_posts_address(wix, vendor, base, path, shown):
    vendor.will(Answer(body={"post": {"url": {"base": base, "path": path}}}))

    assert await wix.post_url(SITE, "d1") == f"https://shop.example{shown}"


@pytest.mark.parametrize("url", [None, {}, {"base": "https://shop.example"}, {"path": "/post/mugs"}, "x"], ids=str)
async def test_half_an_address_is_none(wix, vendor, url):
    """The home page is not the post, and later posts would link to it."""
    vendor.will(Answer(body={"post": {"url": url}}))

    assert await wix.post_url(SITE, "d1") is None


@pytest.mark.parametrize(
    "body", [{}, {"post": None}, {"post": []}, {"post": {}}, {"draftPost": None}, {"draftPost": "x"}]
)
async def test_a_response_without_its_object_says_nothing_of_the_post(wix, vendor, body):
    """Read as a post, the blog would be DONE although nothing is published."""
    vendor.will(Answer(body=body))

    for ask in (wix.is_published(SITE, "d1"), wix.is_deleted(SITE, "d1")):
        with pytest.raises(Unavailable) as raised:
            await ask
        assert raised.value.code == "unreadable"


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


async def test_a_deleted_product_ends_its_job(wix, vendor):
    vendor.will(Answer(404, {}))

    with pytest.raises(Rejected, match="product p1 is not in the site's shop"):
        await wix.product(SITE, "p1", catalog="V3_CATALOG")


async def test_a_site_without_a_shop_is_unavailable(wix, vendor):
    vendor.will(Answer(body={"catalogVersion": "STORES_NOT_INSTALLED"}))

    with pytest.raises(SiteUnavailable, match="no shop"):
        await wix.catalog(SITE)


async def test_a_draft_in_the_trash_counts_as_deleted(wix, vendor):
    """Whether Wix still shows it or not."""
    vendor.will(Answer(404, {"message": "not found"}))
    assert await wix.is_deleted(SITE, "d1") is True

    vendor.will(Answer(body={"draftPost": {"id": "d1", "status": "DELETED"}}), at="/blog/v3/draft-posts/d1")
    assert await wix.is_deleted(SITE, "d1") is True

    vendor.will(Answer(body={"draftPost": {"id": "d1", "status": "UNPUBLISHED"}}), at="/blog/v3/draft-posts/d1")
    assert await wix.is_deleted(SITE, "d1") is False
