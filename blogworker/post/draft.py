"""Converts a finished post to the draft that Wix accepts."""

from collections.abc import Mapping
from typing import Any

from blogworker.errors import Rejected
from blogworker.post.ricos import ricos
from blogworker.post.ricos_rules import ricos_faults
from blogworker.post.ricos_size import size_of, truncated
from blogworker.telemetry import get_logger

LARGEST_POST = 400_000  # bytes: the documented limit of Wix is 400 KB
AROUND_POST = 4_000  # bytes reserved for the cover and the rest of the request
MOST_KEYWORDS = 5
POST = "post"  # instead of the name of a provider, in errors that we find ourselves

log = get_logger()


def draft_of(
    content: Mapping[str, Any], *, member_id: str, language: str | None, keywords: list[str]
) -> dict[str, Any]:
    """Return the draft without its cover, truncated to the size limit of Wix. Raises Rejected if it is not valid."""
    body = ricos(content["markdown"], own_url=content.get("own_url", ""), links=content.get("links", ()))
    if faults := ricos_faults(body):
        raise Rejected(f"the post is not valid rich content: {'; '.join(faults[:3])}", provider=POST, code="ricos")
    draft = {
        "title": content["title"],
        "memberId": member_id,
        "excerpt": content["excerpt"],
        "seoSlug": content["slug"],
        "seoData": _seo(content, keywords),
        "commentingEnabled": True,
    }
    if language:
        draft["language"] = language
    return {**draft, "richContent": _within(body, room=LARGEST_POST - AROUND_POST - size_of(draft))}


def halved(draft: Mapping[str, Any]) -> dict[str, Any]:
    """Return the draft with half of its text, for when Wix refuses a post below the documented limit."""
    return {**draft, "richContent": _within(draft["richContent"], room=size_of(draft["richContent"]) // 2)}


def _within(body: Mapping[str, Any], *, room: int) -> Mapping[str, Any]:
    shorter = truncated(body, room=room)
    if shorter is None:
        reason = f"the post has {size_of(body)} bytes and no section that can be removed; Wix accepts {LARGEST_POST}"
        raise Rejected(reason, provider=POST, code="too_large")
    if shorter is not body:
        removed = len(body["nodes"]) - len(shorter["nodes"])
        log.warning("post_truncated", size_before=size_of(body), size=size_of(shorter), blocks_removed=removed)
    return shorter


def covered(draft: Mapping[str, Any], *, file_id: str | None, alt: str) -> dict[str, Any]:
    """Return the draft with this cover and no other. Wix shows a cover only if both fields name it."""
    bare = {name: value for name, value in draft.items() if name not in ("heroImage", "media")}
    if file_id is None:
        return bare
    media = {"displayed": True, "custom": True, "altText": alt, "wixMedia": {"image": {"id": file_id}}}
    return {**bare, "heroImage": {"id": file_id}, "media": media}


def _seo(content: Mapping[str, Any], keywords: list[str]) -> dict[str, Any]:
    terms = [{"term": term, "isMain": place == 0} for place, term in enumerate(keywords[:MOST_KEYWORDS])]
    description = {"name": "description", "content": content["seo_description"]}
    return {
        "tags": [
            {"type": "title", "children": content["seo_title"]},
            {"type": "meta", "props": description},
        ],
        "settings": {"keywords": terms},
    }
