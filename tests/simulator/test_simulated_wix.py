"""The simulated Wix: tokens, blog, members, media, stores and the converter."""

from typing import Any

import anyio
import httpx2
import pytest

from .conftest import Control, Site

pytestmark = pytest.mark.anyio

DRAFTS = "/blog/v3/draft-posts"
RICH = {
    "nodes": [{"type": "PARAGRAPH", "nodes": [{"type": "TEXT", "textData": {"text": "Hello"}}], "paragraphData": {}}]
}
REPLICATE = "/replicate/v1/models/black-forest-labs/flux-schnell/predictions"


async def picture_url(http: httpx2.AsyncClient) -> str:
    answer = await http.post(
        REPLICATE,
        headers={"Authorization": "Bearer t", "Prefer": "wait"},
        json={"input": {"prompt": "a mug", "aspect_ratio": "16:9", "output_format": "jpg"}},
    )
    return str(answer.json()["output"][0])


async def imported(site: Site, url: str, **more: Any) -> dict[str, Any]:
    body = {"url": url, "mimeType": "image/jpeg", "displayName": "cover.jpg"} | more
    file = (await site.call("POST", "/site-media/v1/files/import", json=body)).json()["file"]
    assert file["operationStatus"] == "PENDING"
    with anyio.fail_after(5):
        while file["operationStatus"] == "PENDING":
            await anyio.sleep(0.005)
            answer = await site.call("GET", "/site-media/v1/files/get-file-by-id", params={"fileId": file["id"]})
            file = answer.json()["file"]
    return dict(file)


async def test_a_token_belongs_to_its_site_with_and_without_bearer(site: Site, http: httpx2.AsyncClient) -> None:
    bare = await site.call("GET", "/apps/v1/instance")
    token = site.headers["Authorization"]
    worded = await http.get("/wix/apps/v1/instance", headers={"Authorization": f"Bearer {token}"})
    info = await http.post("/wix/oauth2/token-info", json={"token": token})

    assert bare.json()["instance"]["instanceId"] == worded.json()["instance"]["instanceId"] == site.instance_id
    assert info.json()["instanceId"] == site.instance_id
    assert bare.headers["x-wix-request-id"]


@pytest.mark.parametrize("options", [{"wix_token_life_s": 0.05}])
async def test_a_token_expires(site: Site) -> None:
    await anyio.sleep(0.06)

    assert (await site.call("GET", "/apps/v1/instance")).status_code == 401


@pytest.mark.parametrize("options", [{"require_wix_sites": True, "wix_sites": ("installed",)}])
async def test_only_installed_sites_get_a_token_if_sites_are_listed(http: httpx2.AsyncClient) -> None:
    answers = [await Site(http, name).sign_in() for name in ("installed", "removed")]

    assert [answer.status_code for answer in answers] == [200, 400]
    assert answers[1].json()["error"] == "invalid_grant"


async def test_all_calls_of_a_revoked_site_are_rejected_and_other_sites_continue(
    site: Site, http: httpx2.AsyncClient, control: Control
) -> None:
    other = Site(http, "other-site")
    await other.sign_in()
    await control.fault(vendor="wix", kind="revoked", site=site.instance_id)

    assert (await site.call("GET", "/apps/v1/instance")).status_code == 401
    assert (await site.sign_in()).status_code == 400
    assert (await other.call("GET", "/apps/v1/instance")).status_code == 200


@pytest.mark.parametrize("options", [{"wix_rpm": 3}])
async def test_each_site_has_its_own_quota(site: Site, http: httpx2.AsyncClient) -> None:
    other = Site(http, "other-site")
    await other.sign_in()

    statuses = [(await site.call("GET", "/members/v1/members")).status_code for _ in range(4)]

    assert statuses == [200, 200, 200, 429]
    assert (await other.call("GET", "/members/v1/members")).status_code == 200


async def test_a_draft_is_created_published_twice_and_found(
    site: Site, http: httpx2.AsyncClient, control: Control
) -> None:
    """A second publish call does not create a second post."""
    created = (await site.draft(title="Tea, slowly", richContent=RICH, seoSlug="tea-slowly")).json()["draftPost"]
    path = f"{DRAFTS}/{created['id']}"
    published = [(await site.call("POST", f"{path}/publish", json={})).json() for _ in range(2)]
    shown = (await site.call("GET", path, params={"fieldsets": ["URL", "RICH_CONTENT"]})).json()["draftPost"]
    post = (await site.call("GET", f"/blog/v3/posts/{created['id']}")).json()["post"]

    assert created["status"] == "UNPUBLISHED"
    assert "url" not in created
    assert "richContent" not in created
    assert published == [{"postId": created["id"]}] * 2
    assert shown["url"]["path"] == "/post/tea-slowly"
    assert shown["richContent"] == RICH
    assert post["slug"] == "tea-slowly"
    wix = (await control.stats())["wix"]
    assert (wix["drafts_created"], wix["publish_calls"], wix["posts_published"]) == (1, 2, 1)
    assert wix["duplicate_posts"] == 0


async def test_a_duplicate_draft_is_counted(site: Site, control: Control) -> None:
    """Tests find a worker that creates a draft again instead of looking it up."""
    for _ in range(2):
        draft = (await site.draft(title="Once only")).json()["draftPost"]
        await site.call("POST", f"{DRAFTS}/{draft['id']}/publish", json={})

    wix = (await control.stats())["wix"]
    assert (wix["duplicate_drafts"], wix["duplicate_posts"]) == (1, 1)
    assert wix["duplicates"] == [{"site": site.instance_id, "title": "Once only", "drafts": 2, "posts": 2}]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"title": ""}, "draftPost.title"),
        ({"title": "x" * 201}, "MAX_LENGTH"),
        ({"memberId": None}, "Missing post owner information"),
        ({"memberId": "6b0d6bd5-1a6c-4a3d-9a5e-000000000000"}, "do not exist"),
        ({"excerpt": "x" * 501}, "draftPost.excerpt"),
        ({"seoSlug": "ж" * 20}, "draftPost.seoSlug"),
        ({"language": "English"}, "draftPost.language"),
        ({"language": "pt_BR"}, "draftPost.language"),
        ({"tagIds": ["t"] * 31}, "draftPost.tagIds"),
        ({"richContent": {"nodes": [{"type": "TEXT", "textData": {"text": "x"}}]}}, "draftPost.richContent.nodes[0]"),
        ({"richContent": {"nodes": [], "text": "x"}}, "UNKNOWN_PROPERTY"),
        ({"excerpt": "ok", "hashtags": ["x" * 4_000] * 100 + ["y" * 40_000]}, "exceeds the limit"),
        ({"seoData": {"settings": {"keywords": [{"term": "k"}] * 6}}}, "draftPost.seoData.settings.keywords"),
    ],
)
async def test_an_invalid_draft_is_rejected_with_the_reason(site: Site, fields: dict[str, Any], expected: str) -> None:
    answer = await site.draft(**fields)

    assert answer.status_code == 400
    assert expected in answer.text


async def test_unknown_fields_and_references_are_ignored(site: Site) -> None:
    draft = (await site.draft(slug="mine", categoryIds=["nope"], mood="calm")).json()["draftPost"]

    assert draft["slugs"] == ["a-post"]
    assert draft["categoryIds"] == []
    assert "mood" not in draft


async def test_drafts_are_found_by_title_and_time(site: Site) -> None:
    """A worker runs this query before it creates a draft again."""
    await site.draft(title="Older")
    created = (await site.draft(title="Wanted")).json()["draftPost"]
    query = {"filter": {"title": {"$eq": "Wanted"}, "editedDate": {"$gte": "2020-01-01T00:00:00+00:00"}}}

    found = (await site.call("POST", f"{DRAFTS}/query", json={"query": query})).json()["draftPosts"]
    later = {"filter": {"title": {"$eq": "Wanted"}, "editedDate": {"$gte": "2999-01-01T00:00:00Z"}}}
    none = (await site.call("POST", f"{DRAFTS}/query", json={"query": later})).json()["draftPosts"]
    refused = await site.call("POST", f"{DRAFTS}/query", json={"query": {"filter": {"memberId": "m"}}})

    assert [draft["id"] for draft in found] == [created["id"]]
    assert none == []
    assert refused.status_code == 400


@pytest.mark.parametrize("options", [{"wix_query_lag_s": 60.0}])
async def test_a_query_can_miss_new_drafts(site: Site) -> None:
    draft = (await site.draft()).json()["draftPost"]

    found = (await site.call("POST", f"{DRAFTS}/query", json={})).json()["draftPosts"]

    assert found == []
    assert (await site.call("GET", f"{DRAFTS}/{draft['id']}")).status_code == 200


async def test_updating_scheduling_and_deleting(site: Site) -> None:
    path = f"{DRAFTS}/{(await site.draft()).json()['draftPost']['id']}"

    renamed = await site.call("PATCH", path, json={"draftPost": {"title": "Other"}})
    body = {"draftPost": {}, "action": "UPDATE_SCHEDULE", "scheduledPublishDate": "2999-01-01T00:00:00Z"}
    scheduled = await site.call("PATCH", path, json=body)
    deleted = await site.call("DELETE", path)

    assert renamed.json()["draftPost"]["title"] == "Other"
    assert scheduled.json()["draftPost"]["status"] == "SCHEDULED"
    assert deleted.status_code == 200
    assert (await site.call("GET", path)).status_code == 404


async def test_bulk_creation_reports_each_post(site: Site) -> None:
    posts = [{"title": "One", "memberId": await site.owner()}, {"title": "Two"}]

    answer = await site.call("POST", "/blog/v3/bulk/draft-posts/create", json={"draftPosts": posts})

    assert answer.status_code == 200
    assert [entry["itemMetadata"]["success"] for entry in answer.json()["results"]] == [True, False]
    assert answer.json()["bulkActionMetadata"]["totalFailures"] == 1


async def test_labels_of_tags_are_unique(site: Site) -> None:
    first, second = [await site.call("POST", "/blog/v3/tags", json={"label": "tea"}) for _ in range(2)]
    found = await site.call("POST", "/blog/v3/tags/query", json={"query": {"filter": {"label": {"$eq": "tea"}}}})

    assert (first.status_code, second.status_code) == (200, 409)
    assert [tag["id"] for tag in found.json()["tags"]] == [first.json()["tag"]["id"]]


async def test_members_show_their_email_on_request_and_one_is_created_per_second(site: Site) -> None:
    public = (await site.call("GET", "/members/v1/members")).json()["members"][0]
    new = {"member": {"loginEmail": "a@b.example", "profile": {"nickname": "Ada"}}}
    created = await site.call("POST", "/members/v1/members", json=new)
    again = await site.call("POST", "/members/v1/members", json={"member": {"loginEmail": "c@d.example"}})

    assert "loginEmail" not in public
    assert created.json()["member"]["profile"]["nickname"] == "Ada"
    assert again.status_code == 429


async def test_an_import_fetches_its_source(site: Site, http: httpx2.AsyncClient) -> None:
    file = await imported(site, await picture_url(http))
    kept = await http.get(f"/__sim/wix/media/{file['id']}")

    assert file["operationStatus"] == "READY"
    assert file["media"]["image"]["image"]["width"] == 1024
    assert kept.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("source", ["/replicate/files/gone/out-0.jpg", "/__sim/stats", "http://192.0.2.1/x.jpg"])
async def test_an_import_from_an_unusable_source_fails(site: Site, base_url: str, source: str) -> None:
    """A missing file, a file that is not an image, and a host other than loopback."""
    file = await imported(site, source if source.startswith("http") else f"{base_url}{source}")

    assert file["operationStatus"] == "FAILED"
    assert "media" not in file


async def test_a_file_of_unknown_type_needs_a_source_that_answers_head(site: Site, base_url: str) -> None:
    body = {"url": f"{base_url}/replicate/files/gone/file"}

    assert (await site.call("POST", "/site-media/v1/files/import", json=body)).status_code == 400


async def test_a_file_can_be_uploaded(site: Site, http: httpx2.AsyncClient) -> None:
    data = (await http.get(await picture_url(http))).content
    body = {"mimeType": "image/jpeg", "fileName": "cover.jpg"}
    url = (await site.call("POST", "/site-media/v1/files/generate-upload-url", json=body)).json()["uploadUrl"]

    put = await http.put(url, content=data, headers={"Content-Type": "image/jpeg"})
    again = await http.put(url, content=data)

    assert put.json()["file"]["operationStatus"] == "READY"
    assert again.status_code == 403


async def test_the_list_of_posts_has_their_covers(site: Site, http: httpx2.AsyncClient) -> None:
    file = await imported(site, await picture_url(http))
    cover = {"heroImage": {"id": file["id"]}}
    whole = cover | {"media": {"displayed": True, "custom": True, "wixMedia": {"image": {"id": file["id"]}}}}
    for title, fields in (("Half a cover", cover), ("A cover", whole)):
        draft = (await site.draft(title=title, richContent=RICH, **fields)).json()["draftPost"]
        await site.call("POST", f"{DRAFTS}/{draft['id']}/publish", json={})

    posts = (await http.get("/__sim/wix/posts")).json()["posts"]

    assert [(post["title"], post["coverVisible"]) for post in posts] == [("Half a cover", False), ("A cover", True)]
    assert posts[1]["richContent"] == RICH
    assert (await http.get(posts[1]["coverUrl"])).status_code == 200


async def test_a_missing_blog_is_an_error_with_a_code(site: Site, control: Control) -> None:
    await control.fault(vendor="wix", kind="blog_missing", site=site.instance_id)

    answer = await site.draft()

    assert answer.status_code == 428
    assert answer.json()["details"]["applicationError"]["code"] == "BLOG_NOT_INSTALLED"


@pytest.mark.parametrize("instance_id", ["shop-1", "shop-2", "shop-3", "shop-4"])
async def test_a_site_has_only_one_version_of_the_catalog(http: httpx2.AsyncClient, instance_id: str) -> None:
    shop = Site(http, instance_id)
    await shop.sign_in()
    version = (await shop.call("GET", "/stores/v3/provision/version")).json()["catalogVersion"]
    listed = (await http.get("/__sim/wix/products", params={"site": instance_id})).json()
    product_id = listed["products"][0]["id"]
    new = await shop.call("GET", f"/stores/v3/products/{product_id}", params={"fields": ["URL", "PLAIN_DESCRIPTION"]})
    old = await shop.call("GET", f"/stores-reader/v1/products/{product_id}")

    right, wrong = (new, old) if version == "V3_CATALOG" else (old, new)
    assert right.json()["product"]["name"] == "Cedar & Sage Candle"
    assert wrong.status_code == 428


async def test_the_converter_makes_paragraphs_of_content_of_plugins_that_are_not_listed(site: Site) -> None:
    path, markdown = "/ricos/v1/ricos-document", "## Tea\n\nSlowly.\n\n- one\n- two"
    plain = await site.call("POST", f"{path}/convert/to-ricos", json={"markdown": markdown})
    rich = await site.call(
        "POST", f"{path}/convert/to-ricos", json={"markdown": markdown, "options": {"plugins": ["HEADING"]}}
    )
    wrong = await site.call(
        "POST", f"{path}/convert/to-ricos", json={"markdown": "x", "options": {"plugins": ["heading"]}}
    )
    valid = await site.call("POST", f"{path}/validate", json={"document": rich.json()["document"]})

    assert plain.json()["document"]["nodes"][0]["type"] == "PARAGRAPH"
    assert [node["type"] for node in rich.json()["document"]["nodes"]] == ["HEADING", "PARAGRAPH", "BULLETED_LIST"]
    assert wrong.status_code == 400
    assert valid.json()["valid"] is True
