"""Wix sites: authors, media, blog posts and products.

A post is made in two steps with a checkpoint each: a draft, for which Wix has no idempotency key (so it is searched
before it is created again), and its publication, which may be repeated.
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
from blogworker.providers.answer import address, at, code, identifier, text
from blogworker.providers.blame import Blame
from blogworker.providers.wix.auth import PROVIDER, UNREADABLE
from blogworker.providers.wix.author import Authors
from blogworker.providers.wix.categories import categories_of
from blogworker.providers.wix.drafts import SurvivingDraft, draft_id_in, surviving_draft
from blogworker.providers.wix.products import Catalog, catalog_of, product_of
from blogworker.providers.wix.site import Before, Params, WixSites
from blogworker.providers.wix.tags import tag_ids_of
from blogworker.redact import SECRETS
from blogworker.settings import WixSettings

READY, PENDING, FAILED = "READY", "PENDING", "FAILED"
DELETED = "DELETED"  # status of a draft in the trash
NOT_FOUND = 404
PATH_SAFE = "%/?#[]@!$&'()*+,;=:~"  # what a path with a query may have, and % because a part may be encoded already
DRAFTS_SEARCHED = 20
LATEST_SEARCHED = 100
AUTHOR = re.compile("member|owner", re.I)  # in refusals of an unknown or missing author
COVER = re.compile(r"(?:\b|wix)media|image|\bfile", re.I)  # in refusals of a file that the site does not have any more
REPAIRABLE = (AUTHOR, COVER, re.compile("large", re.I))  # refusals that concern one site or post; the caller repairs it


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file in the media manager of a site. `status` is PENDING until Wix has processed it, then READY or FAILED."""

    id: str
    url: str
    status: str


class WixClient:
    """One per process, for all sites."""

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

    @property
    def slowest_draft_s(self) -> float:
        """Creations have taken 30 s, and Wix completes them even if the client is gone."""
        return self._settings.slowest_draft

    async def member_id(self, instance_id: str, *, instead_of: str | None = None) -> str:
        """Return the member id of the site's owner, the author of its posts. Raises SiteUnavailable without one."""
        if self._authors is None:
            raise RuntimeError("the client is not open")
        return await self._authors.get(instance_id, instead_of=instead_of)

    async def import_media(
        self, instance_id: str, url: str, *, name: str, media_type: str = "image/jpeg", before: Before | None = None
    ) -> MediaFile:
        """Let Wix fetch a picture. Its address must be valid until the file is READY."""
        body = {"url": url, "mimeType": media_type, "mediaType": "IMAGE", "displayName": name}
        answer = await self._sites.post(instance_id, "/site-media/v1/files/import", body=body, before=before)
        return media_file_of(answer)

    async def await_media(self, instance_id: str, file_id: str) -> MediaFile:
        """Wait until the file is READY or FAILED. It is still PENDING after the timeout of the settings."""
        give_up_at = current_time() + self._settings.media_timeout
        while True:
            file = await self._media(instance_id, file_id)
            if file.status != PENDING or current_time() >= give_up_at:
                return file
            await sleep(self._settings.media_poll_interval)

    async def upload_media(
        self, instance_id: str, data: bytes, *, name: str, media_type: str, before: Before | None = None
    ) -> MediaFile:
        """Upload the bytes, if Wix cannot fetch them."""
        body = {"mimeType": media_type, "fileName": name}
        answer = await self._sites.post(
            instance_id, "/site-media/v1/files/generate-upload-url", body=body, repeatable=True
        )
        if (url := address(answer.get("uploadUrl"))) is None:
            raise Unavailable("the response lacks uploadUrl", provider=PROVIDER, code=UNREADABLE)
        params: Params = {"filename": name}
        with _hidden(url):
            answer = await self._sites.put(
                instance_id, url, data=data, content_type=media_type, params=params, before=before
            )
        return media_file_of(answer)

    async def create_draft(self, instance_id: str, draft: Mapping[str, Any], *, before: Before | None = None) -> str:
        """Create a draft, and return its id. After OutcomeUnknown or Unavailable, call `find_draft` before a retry."""
        body = {"draftPost": draft, "publish": False, "fieldsets": []}
        try:
            answer = await self._sites.post(instance_id, "/blog/v3/draft-posts", body=body, before=before)
        except Rejected as error:
            ours = False if any(words.search(str(error)) for words in REPAIRABLE) else None
            raise self._blame.attributed(error, ours=ours, job=instance_id) from error
        self._blame.accepted()
        return id_at(answer, "draftPost", "id")

    async def find_draft(self, instance_id: str, draft: Mapping[str, Any], *, since: datetime) -> str | None:
        """Return the id of this draft if Wix already has it: same title and excerpt, edited after `since`.

        The slug and the author are not compared: Wix may change a slug, and an author may have been replaced.
        """
        edited_since = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        query = {
            "filter": {"title": {"$eq": draft["title"]}, "editedDate": {"$gte": edited_since}},
            "paging": {"limit": DRAFTS_SEARCHED, "offset": 0},
        }
        answer = await self._sites.post(
            instance_id, "/blog/v3/draft-posts/query", body={"query": query}, repeatable=True
        )
        # The list does not use the index of the query, which may be behind.
        latest: Params = {"sort": "EDITING_DATE_DESC", "paging.limit": LATEST_SEARCHED}
        if (found := draft_id_in(answer, draft)) is not None:
            return found
        answer = await self._sites.get(instance_id, "/blog/v3/draft-posts", params=latest)
        return draft_id_in(answer, draft, since=edited_since)

    async def surviving_draft(
        self, instance_id: str, draft: Mapping[str, Any], *, mark: str, since: datetime
    ) -> SurvivingDraft | None:
        """Return the draft or post of a job whose checkpoints are lost."""
        title, excerpt = str(draft["title"]), str(draft.get("excerpt") or "")
        return await surviving_draft(self._sites, instance_id, title=title, excerpt=excerpt, mark=mark, since=since)

    async def publish(self, instance_id: str, draft_id: str, *, before: Before | None = None) -> str:
        """Publish a draft, and return the id of the post. The call is idempotent."""
        answer = await self._sites.post(
            instance_id,
            f"/blog/v3/draft-posts/{quote(draft_id, safe='')}/publish",
            body={},
            repeatable=True,
            before=before,
        )
        return id_at(answer, "postId")

    async def is_deleted(self, instance_id: str, draft_id: str) -> bool:
        """Whether a draft is deleted or in the trash, and its post does not exist."""
        draft = await self._get_or_none(instance_id, f"/blog/v3/draft-posts/{quote(draft_id, safe='')}", "draftPost")
        if draft is not None and draft.get("status") != DELETED:
            return False
        return not await self.is_published(instance_id, draft_id)

    async def is_published(self, instance_id: str, draft_id: str) -> bool:
        """Whether the post of a draft is published."""
        return await self._get_or_none(instance_id, f"/blog/v3/posts/{quote(draft_id, safe='')}", "post") is not None

    async def post_url(self, instance_id: str, post_id: str) -> str | None:
        """Return the address of a published post."""
        path = f"/blog/v3/posts/{quote(post_id, safe='')}"
        answer = await self._sites.get(instance_id, path, params={"fieldsets": ["URL"]})
        return post_url_of(answer)

    async def catalog(self, instance_id: str) -> Catalog:
        """Return which catalog the shop of the site has. Raises SiteUnavailable without a shop."""
        return await catalog_of(self._sites, instance_id)

    async def product(self, instance_id: str, product_id: str, *, catalog: Catalog) -> dict[str, Any]:
        """Return a product of the shop in the format of `source_data`. Raises Rejected if it does not exist."""
        return await product_of(self._sites, instance_id, product_id, catalog=catalog)

    async def tag_ids(self, instance_id: str, labels: Sequence[str], *, language: str | None) -> list[str]:
        """Return the ids of the tags with these labels. Missing tags are created."""
        return await tag_ids_of(self._sites, instance_id, labels, language=language)

    async def categories(self, instance_id: str) -> dict[str, str]:
        """Return id -> label of the categories of the blog."""
        return await categories_of(self._sites, instance_id)

    async def _media(self, instance_id: str, file_id: str) -> MediaFile:
        """Return the file. One that does not exist any more counts as FAILED, so that it is made again."""
        try:
            path, params = "/site-media/v1/files/get-file-by-id", {"fileId": file_id}
            return media_file_of(await self._sites.get(instance_id, path, params=params))
        except Rejected as error:
            if error.status != NOT_FOUND:
                raise
            return MediaFile(file_id, "", FAILED)

    async def _get_or_none(self, instance_id: str, path: str, name: str) -> Mapping[str, Any] | None:
        """Return the object at a path; None for a 404. Raises Unavailable for a response without the object."""
        try:
            found = (await self._sites.get(instance_id, path)).get(name)
        except Rejected as error:
            if error.status != NOT_FOUND:
                raise
            return None
        if not isinstance(found, dict) or not found:
            raise Unavailable(f"the response lacks {name}", provider=PROVIDER, code=UNREADABLE)
        return found


@contextmanager
def _hidden(url: str) -> Iterator[None]:
    """Hide the parts of an upload address in logs while it is in use, because it is a credential."""
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
    """Return the address in a response; None if a part of it is missing. The path may have unencoded characters."""
    base, path = (text(at(answer, "post", "url", part)) or "" for part in ("base", "path"))
    return address(f"{base.rstrip('/')}/{quote(path.lstrip('/'), safe=PATH_SAFE)}") if path else None


def media_file_of(answer: Mapping[str, Any]) -> MediaFile:
    """Return the file in a response. An unknown status counts as pending."""
    file_id, status = id_at(answer, "file", "id"), code(at(answer, "file", "operationStatus"))
    return MediaFile(
        file_id, address(at(answer, "file", "url")) or "", status if status in (READY, FAILED) else PENDING
    )


def id_at(answer: Mapping[str, Any], *path: str) -> str:
    if (found := identifier(at(answer, *path))) is None:
        raise Unavailable(f"the response lacks {'.'.join(path)}", provider=PROVIDER, code=UNREADABLE)
    return found
