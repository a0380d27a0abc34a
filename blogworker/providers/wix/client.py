"""Wix sites: authors, media, blog posts and products.

A post is made in two steps that are stored apart: a draft, which no key of ours makes unique (so it is looked up before
it may be made again), and its publication, which may be repeated.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import parse_qsl, quote

import httpx2
from anyio import current_time, sleep

from blogworker.errors import Misconfigured, Rejected, Unavailable
from blogworker.providers import http, transport
from blogworker.providers.answer import address, at, code, identifier, objects, text
from blogworker.providers.blame import Blame
from blogworker.providers.wix.auth import PROVIDER, UNREADABLE
from blogworker.providers.wix.author import Authors
from blogworker.providers.wix.categories import categories_of
from blogworker.providers.wix.products import Catalog, catalog_of, product_of
from blogworker.providers.wix.site import Before, Params, WixSites
from blogworker.providers.wix.tags import tag_ids_of
from blogworker.redact import SECRETS
from blogworker.settings import WixSettings

READY, PENDING, FAILED = "READY", "PENDING", "FAILED"
DELETED = "DELETED"  # of a draft: it is in the bin
NOT_FOUND = 404
DRAFTS_LOOKED_AT = 20
LATEST_LOOKED_AT = 100
MENDED = re.compile("member|owner|large", re.I)  # in refusals that concern one site or post, and are handled for it


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file in a site's media manager. `status` is PENDING until Wix has it, then READY or FAILED."""

    id: str
    url: str
    status: str


class WixClient:
    """One a process, for all sites."""

    def __init__(self, settings: WixSettings, *, connections: int, pace: http.SitePace = nullcontext) -> None:
        self._settings = settings
        self._connections = connections
        self._pace = pace
        self._blame = Blame(PROVIDER)
        self._wire: httpx2.AsyncClient | None = None
        self._open_sites: WixSites | None = None
        self._authors: Authors | None = None

    async def open(self) -> None:
        if not self._settings.configured:
            raise Misconfigured("WIX_APP_ID and WIX_APP_SECRET are not set", provider=PROVIDER)
        self._wire = transport.client(
            transport.Transport(self._settings, connections=self._connections),
            base_url=self._settings.base_url,
            timeout_s=self._settings.timeout,
        )
        self._open_sites = WixSites(self._settings, self._wire, pace=self._pace)
        self._authors = Authors(self._open_sites)

    async def aclose(self) -> None:
        if self._wire is not None:
            await self._wire.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def _sites(self) -> WixSites:
        if self._open_sites is None:
            raise RuntimeError("the client is not open")
        return self._open_sites

    async def member_id(self, instance_id: str, *, instead_of: str | None = None) -> str:
        """The author of a site's posts: its owner, made a member if need be. Raises SiteUnavailable without one."""
        if self._authors is None:
            raise RuntimeError("the client is not open")
        return await self._authors.get(instance_id, instead_of=instead_of)

    async def import_media(
        self, instance_id: str, url: str, *, name: str, media_type: str = "image/jpeg", before: Before | None = None
    ) -> MediaFile:
        """Have Wix fetch a picture. Its address must live until the file is READY."""
        body = {"url": url, "mimeType": media_type, "mediaType": "IMAGE", "displayName": name}
        answer = await self._sites.post(instance_id, "/site-media/v1/files/import", body=body, before=before)
        return media_file_of(answer)

    async def await_media(self, instance_id: str, file_id: str) -> MediaFile:
        """The file once it is READY or FAILED, or still PENDING when the settings' time is up."""
        give_up_at = current_time() + self._settings.media_timeout
        while True:
            answer = await self._sites.get(
                instance_id, "/site-media/v1/files/get-file-by-id", params={"fileId": file_id}
            )
            file = media_file_of(answer)
            if file.status != PENDING or current_time() >= give_up_at:
                return file
            await sleep(self._settings.media_poll_interval)

    async def upload_media(
        self, instance_id: str, data: bytes, *, name: str, media_type: str, before: Before | None = None
    ) -> MediaFile:
        """Hand over the bytes, where Wix cannot fetch them."""
        body = {"mimeType": media_type, "fileName": name}
        answer = await self._sites.post(
            instance_id, "/site-media/v1/files/generate-upload-url", body=body, repeatable=True
        )
        if (url := address(answer.get("uploadUrl"))) is None:
            raise Unavailable("the answer lacks uploadUrl", provider=PROVIDER, code=UNREADABLE)
        params: Params = {"filename": name}
        with _hidden(url):
            answer = await self._sites.put(
                instance_id, url, data=data, content_type=media_type, params=params, before=before
            )
        return media_file_of(answer)

    async def create_draft(self, instance_id: str, draft: Mapping[str, Any], *, before: Before | None = None) -> str:
        """Make a draft; its id. After OutcomeUnknown or Unavailable, ask `find_draft` before making another."""
        body = {"draftPost": draft, "publish": False, "fieldsets": []}
        try:
            answer = await self._sites.post(instance_id, "/blog/v3/draft-posts", body=body, before=before)
        except Rejected as error:
            ours = False if MENDED.search(str(error)) else None
            raise self._blame.judged(error, ours=ours, blog=instance_id) from error
        self._blame.taken()
        return id_at(answer, "draftPost", "id")

    async def find_draft(self, instance_id: str, draft: Mapping[str, Any], *, since: datetime) -> str | None:
        """The id of this draft if Wix already has it: same title and excerpt, edited since.

        Wix may change a slug, and an author may have been replaced: neither can tell drafts apart.
        """
        edited_since = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        query = {
            "filter": {"title": {"$eq": draft["title"]}, "editedDate": {"$gte": edited_since}},
            "paging": {"limit": DRAFTS_LOOKED_AT, "offset": 0},
        }
        answer = await self._sites.post(
            instance_id, "/blog/v3/draft-posts/query", body={"query": query}, repeatable=True
        )
        # The list of the latest does not go by the index of the query, which may be behind.
        latest: Params = {"sort": "EDITING_DATE_DESC", "paging.limit": LATEST_LOOKED_AT}
        if (found := draft_id_in(answer, draft)) is not None:
            return found
        answer = await self._sites.get(instance_id, "/blog/v3/draft-posts", params=latest)
        return draft_id_in(answer, draft, since=edited_since)

    async def publish(self, instance_id: str, draft_id: str, *, before: Before | None = None) -> str:
        """Publish a draft; the post's id. A second call publishes the same post again, and nothing else."""
        answer = await self._sites.post(
            instance_id,
            f"/blog/v3/draft-posts/{quote(draft_id, safe='')}/publish",
            body={},
            repeatable=True,
            before=before,
        )
        return id_at(answer, "postId")

    async def is_deleted(self, instance_id: str, draft_id: str) -> bool:
        """Whether a draft is gone for good, or in the bin, and no post of it is there."""
        draft = await self._shown(instance_id, f"/blog/v3/draft-posts/{quote(draft_id, safe='')}", "draftPost")
        if draft is not None and draft.get("status") != DELETED:
            return False
        return not await self.is_published(instance_id, draft_id)

    async def is_published(self, instance_id: str, draft_id: str) -> bool:
        """Whether a post of a draft is on the site."""
        return await self._shown(instance_id, f"/blog/v3/posts/{quote(draft_id, safe='')}", "post") is not None

    async def post_url(self, instance_id: str, post_id: str) -> str | None:
        """Where a published post can be read."""
        path = f"/blog/v3/posts/{quote(post_id, safe='')}"
        answer = await self._sites.get(instance_id, path, params={"fieldsets": ["URL"]})
        return post_url_of(answer)

    async def catalog(self, instance_id: str) -> Catalog:
        """Which catalog the site's shop has. Raises SiteUnavailable without a shop."""
        return await catalog_of(self._sites, instance_id)

    async def product(self, instance_id: str, product_id: str, *, catalog: Catalog) -> dict[str, Any]:
        """A product of the site's shop, in the words of `source_data`. Raises Rejected when it is gone."""
        return await product_of(self._sites, instance_id, product_id, catalog=catalog)

    async def tag_ids(self, instance_id: str, labels: Sequence[str], *, language: str | None) -> list[str]:
        """The ids of these tags of the site's blog, made where it has none of the name."""
        return await tag_ids_of(self._sites, instance_id, labels, language=language)

    async def categories(self, instance_id: str) -> dict[str, str]:
        """The labels of the categories of the site's blog, by id."""
        return await categories_of(self._sites, instance_id)

    async def _shown(self, instance_id: str, path: str, name: str) -> Mapping[str, Any] | None:
        """What is at a path; None for a 404."""
        try:
            found = (await self._sites.get(instance_id, path)).get(name)
        except Rejected as error:
            if error.status != NOT_FOUND:
                raise
            return None
        return found if isinstance(found, dict) else {}


@contextmanager
def _hidden(url: str) -> Iterator[None]:
    """Hide the parts of an upload address, which is itself a credential, while it is in use."""
    path, _, query = url.partition("?")
    tokens = [path.rpartition("/")[2], *(value for _, value in parse_qsl(query))]
    for token in tokens:
        SECRETS.learn_token(token)
    try:
        yield
    finally:
        for token in tokens:
            SECRETS.forget_token(token)


def post_url_of(answer: Mapping[str, Any]) -> str | None:
    base, path = (text(at(answer, "post", "url", part)) or "" for part in ("base", "path"))
    return address(f"{base.rstrip('/')}{path}")


def draft_id_in(answer: Mapping[str, Any], draft: Mapping[str, Any], *, since: str = "") -> str | None:
    """The id of this draft among those of an answer."""
    for found in objects(answer.get("draftPosts")):
        if (
            _same(found.get("title"), draft["title"])
            and _same(found.get("excerpt"), draft.get("excerpt"))
            and (text(found.get("editedDate")) or since) >= since
            and (draft_id := identifier(found.get("id"))) is not None
        ):
            return draft_id
    return None


def _same(found: object, ours: object) -> bool:
    """Equal but for spacing. What Wix does not show cannot tell two drafts apart."""
    return not isinstance(found, str) or ours is None or found.split() == str(ours).split()


def media_file_of(answer: Mapping[str, Any]) -> MediaFile:
    """The file in an answer. An unknown status counts as pending."""
    file_id, status = id_at(answer, "file", "id"), code(at(answer, "file", "operationStatus"))
    return MediaFile(
        file_id, address(at(answer, "file", "url")) or "", status if status in (READY, FAILED) else PENDING
    )


def id_at(answer: Mapping[str, Any], *path: str) -> str:
    if (found := identifier(at(answer, *path))) is None:
        raise Unavailable(f"the answer lacks {'.'.join(path)}", provider=PROVIDER, code=UNREADABLE)
    return found
