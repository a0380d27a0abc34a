"""A finished post as Wix wants a draft of it."""

import json
from collections.abc import Mapping
from typing import Any

from blogworker.errors import Rejected
from blogworker.stages.ricos import ricos
from blogworker.stages.ricos_rules import ricos_faults

LARGEST_POST = 400 * 1024  # bytes
MOST_KEYWORDS = 5


def draft_of(
    content: Mapping[str, Any], *, member_id: str, language: str | None, keywords: list[str]
) -> dict[str, Any]:
    """The draft without its cover. Raises Rejected when Wix would refuse it."""
    body = ricos(content["markdown"], own_url=content.get("own_url", ""))
    if faults := ricos_faults(body):
        raise Rejected(f"the post is not valid rich content: {'; '.join(faults[:3])}", provider="wix", code="ricos")
    draft = {
        "title": content["title"],
        "memberId": member_id,
        "excerpt": content["excerpt"],
        "richContent": body,
        "seoSlug": content["slug"],
        "seoData": _seo(content, keywords),
        "commentingEnabled": True,
    }
    if language:
        draft["language"] = language
    size = len(json.dumps(draft).encode())
    if size > LARGEST_POST:
        raise Rejected(f"the post has {size} bytes, Wix takes {LARGEST_POST}", provider="wix", code="too_large")
    return draft


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
