"""A finished post as Wix wants a draft of it."""

from collections.abc import Mapping
from typing import Any

from blogworker.errors import Rejected
from blogworker.post.ricos import ricos
from blogworker.post.ricos_rules import ricos_faults
from blogworker.post.ricos_size import fitted, size_of
from blogworker.telemetry import get_logger

LARGEST_POST = 400_000  # bytes: Wix says 400 KB
AROUND_POST = 4_000  # bytes kept for the cover and the request around the post
MOST_KEYWORDS = 5

log = get_logger()


def draft_of(
    content: Mapping[str, Any], *, member_id: str, language: str | None, keywords: list[str]
) -> dict[str, Any]:
    """The draft without its cover, cut to what Wix takes. Raises Rejected when Wix would refuse it all the same."""
    body = ricos(content["markdown"], own_url=content.get("own_url", ""), links=content.get("links", ()))
    if faults := ricos_faults(body):
        raise Rejected(f"the post is not valid rich content: {'; '.join(faults[:3])}", provider="wix", code="ricos")
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
    return {**draft, "richContent": _fitted(body, room=LARGEST_POST - AROUND_POST - size_of(draft))}


def halved(draft: Mapping[str, Any]) -> dict[str, Any]:
    """The draft with half of its text, where Wix takes less than it says."""
    return {**draft, "richContent": _fitted(draft["richContent"], room=size_of(draft["richContent"]) // 2)}


def _fitted(body: Mapping[str, Any], *, room: int) -> Mapping[str, Any]:
    kept = fitted(body, room=room)
    if kept is None:
        told = f"the post has {size_of(body)} bytes and no section to leave out, Wix takes {LARGEST_POST}"
        raise Rejected(told, provider="wix", code="too_large")
    if kept is not body:
        left_out = len(body["nodes"]) - len(kept["nodes"])
        log.warning("post_shortened", size_before=size_of(body), size=size_of(kept), blocks_left_out=left_out)
    return kept


def covered(draft: Mapping[str, Any], *, file_id: str | None, alt: str) -> dict[str, Any]:
    """The draft with its cover. Wix shows one only where both fields name it."""
    if file_id is None:
        return dict(draft)
    media = {"displayed": True, "custom": True, "altText": alt, "wixMedia": {"image": {"id": file_id}}}
    return {**draft, "heroImage": {"id": file_id}, "media": media}


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
