"""Find the draft of a job among those of its site: when the response to its creation was lost, and when nothing of it
is stored here, because the database has lost history.

Each draft has the mark of its job in its SEO data. On the page of the post it is a meta tag that search engines ignore.
Drafts of older versions have no mark; they are recognised by title and excerpt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from blogworker.errors import Unavailable
from blogworker.providers.answer import at, code, identifier, objects, text
from blogworker.providers.wix.auth import PROVIDER, UNREADABLE
from blogworker.providers.wix.site import Params, WixSites

MARK = "blogworker:job"  # the name of the meta tag
PAGE = 100  # the most that Wix returns
PAGES = 100
PUBLISHED, DELETED = "PUBLISHED", "DELETED"


@dataclass(frozen=True, slots=True)
class SurvivingDraft:
    id: str
    is_published: bool
    media_id: str | None  # the file of its cover


def marked(draft: Mapping[str, Any], mark: str) -> dict[str, Any]:
    """Return the draft with the mark of its job."""
    seo = draft.get("seoData") or {}
    tag = {"type": "meta", "props": {"name": MARK, "content": mark}, "custom": True}
    return {**draft, "seoData": {**seo, "tags": [*seo.get("tags", ()), tag]}}


def mark_in(draft: Mapping[str, Any]) -> str | None:
    for tag in objects(at(draft, "seoData", "tags")):
        if at(tag, "props", "name") == MARK:
            return text(at(tag, "props", "content"))
    return None


def draft_id_in(answer: Mapping[str, Any], draft: Mapping[str, Any], *, since: str = "") -> str | None:
    """Return the id of this draft in a response."""
    for found in objects(answer.get("draftPosts")):
        if (
            _is_same(found, draft)
            and (text(found.get("editedDate")) or since) >= since
            and (draft_id := identifier(found.get("id"))) is not None
        ):
            return draft_id
    return None


def _is_same(found: Mapping[str, Any], draft: Mapping[str, Any]) -> bool:
    """Whether the marks are equal, or without a mark, the texts. A response may lack the excerpt."""
    if (mark := mark_in(found)) is not None:
        return mark == mark_in(draft)
    title, excerpt = found.get("title"), found.get("excerpt")
    return _equal(title, draft["title"]) and (excerpt is None or _equal(excerpt, draft.get("excerpt", "")))


def _equal(found: object, ours: str) -> bool:
    """Whether two texts are equal, ignoring spaces."""
    return isinstance(found, str) and found.split() == ours.split()


async def surviving_draft(
    sites: WixSites, instance_id: str, *, title: str, excerpt: str, mark: str, since: datetime
) -> SurvivingDraft | None:
    """Return the draft or post of this job that was edited after `since`: a published one, else the latest.

    Raises Unavailable if the list cannot be read to its end, because it may have the post that was not seen.
    """
    edited_since = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    found: list[SurvivingDraft] = []
    for page in range(PAGES):
        params: Params = {"sort": "EDITING_DATE_DESC", "paging.limit": PAGE, "paging.offset": page * PAGE}
        listed = objects((await sites.get(instance_id, "/blog/v3/draft-posts", params=params)).get("draftPosts"))
        recent = [draft for draft in listed if (text(draft.get("editedDate")) or edited_since) >= edited_since]
        found += [
            _draft(draft)
            for draft in recent
            if _is_of_job(draft, mark, title=title, excerpt=excerpt) and _is_shown(draft)
        ]
        if len(listed) < PAGE or len(recent) < len(listed):
            return next((draft for draft in found if draft.is_published), found[0] if found else None)
    raise Unavailable("the list of drafts has no end", provider=PROVIDER, code=UNREADABLE)


def _is_of_job(draft: Mapping[str, Any], mark: str, *, title: str, excerpt: str) -> bool:
    if (marked_by := mark_in(draft)) is not None:
        return marked_by == mark
    texts = (text(draft.get("title")) or "").split(), (text(draft.get("excerpt")) or "").split()
    return texts == (title.split(), excerpt.split())


def _is_shown(draft: Mapping[str, Any]) -> bool:
    return code(draft.get("status")) != DELETED and identifier(draft.get("id")) is not None


def _draft(draft: Mapping[str, Any]) -> SurvivingDraft:
    return SurvivingDraft(
        identifier(draft.get("id")) or "",
        code(draft.get("status")) == PUBLISHED,
        identifier(at(draft, "heroImage", "id")),
    )
