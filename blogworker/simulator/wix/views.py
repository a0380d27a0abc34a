"""Drafts and posts as JSON, with the requested fieldsets."""

import json
from typing import Any

from blogworker.simulator.clock import Clock
from blogworker.simulator.wix.draft_rules import cover_is_visible
from blogworker.simulator.wix.sites import Draft, Published, Site


def draft_view(site: Site, draft: Draft, clock: Clock, fieldsets: frozenset[str]) -> dict[str, Any]:
    """A draft as the API returns it. `url` and `richContent` need a fieldset."""
    found: dict[str, Any] = {
        "id": draft.id,
        "featured": False,
        "commentingEnabled": True,
        "categoryIds": [],
        "tagIds": [],
        "hashtags": [],
        "relatedPostIds": [],
        "language": "en",
        "excerpt": "",
        **draft.fields,
        "status": draft.status,
        "createdDate": clock.iso(draft.created),
        "editedDate": clock.iso(draft.edited),
        "slugs": [draft.slug] if draft.slug else [],
        "hasUnpublishedChanges": draft.unpublished_changes,
        "minutesToRead": draft.minutes_to_read,
        "mostRecentContributorId": draft.fields.get("memberId"),
    }
    if draft.first_published is not None and "firstPublishedDate" not in found:
        found["firstPublishedDate"] = clock.iso(draft.first_published)
    if draft.scheduled_at is not None:
        found["scheduledPublishDate"] = clock.iso(draft.scheduled_at)
    if "URL" in fieldsets:
        found["url"] = url_of(site, draft.slug)
    if "RICH_CONTENT" in fieldsets and draft.content is not None:
        found["richContent"] = json.loads(draft.content)
    return found


def post_view(site: Site, draft: Draft, post: Published, clock: Clock, fieldsets: frozenset[str]) -> dict[str, Any]:
    """A published post as the API returns it."""
    shown = ("title", "excerpt", "memberId", "media", "heroImage", "seoData", "seoSlug")
    found: dict[str, Any] = {name: post.fields[name] for name in shown if name in post.fields}
    found |= {
        "id": draft.id,
        "slug": post.slug,
        "firstPublishedDate": post.fields.get("firstPublishedDate") or clock.iso(draft.first_published or 0.0),
        "lastPublishedDate": clock.iso(draft.last_published or 0.0),
        "featured": post.fields.get("featured", False),
        "pinned": False,
        "commentingEnabled": post.fields.get("commentingEnabled", True),
        "categoryIds": post.fields.get("categoryIds", []),
        "tagIds": post.fields.get("tagIds", []),
        "hashtags": post.fields.get("hashtags", []),
        "relatedPostIds": post.fields.get("relatedPostIds", []),
        "language": post.fields.get("language", "en"),
        "minutesToRead": draft.minutes_to_read,
        "hasUnpublishedChanges": draft.unpublished_changes,
    }
    if "URL" in fieldsets:
        found["url"] = url_of(site, post.slug)
    if "RICH_CONTENT" in fieldsets and post.content is not None:
        found["richContent"] = json.loads(post.content)
    return found


def query_row(draft: Draft, clock: Clock) -> dict[str, Any]:
    """The fields of a draft that a query can use, and the draft itself."""
    fields = draft.fields
    return {
        "draft": draft,
        "id": draft.id,
        "title": fields.get("title"),
        "status": draft.status,
        "editedDate": clock.iso(draft.edited),
        "firstPublishedDate": clock.iso(draft.first_published) if draft.first_published is not None else None,
        "scheduledPublishDate": clock.iso(draft.scheduled_at) if draft.scheduled_at is not None else None,
        "featured": fields.get("featured", False),
        "language": fields.get("language", "en"),
        "categoryIds": fields.get("categoryIds", []),
        "tagIds": fields.get("tagIds", []),
        "hashtags": fields.get("hashtags", []),
        "slug": draft.slug,
        "minutesToRead": draft.minutes_to_read,
    }


def gallery_entry(site: Site, draft: Draft) -> dict[str, Any]:
    """A published post for `/__sim/wix/posts`. `coverUrl` is a path of the simulator."""
    post = draft.published
    assert post is not None  # noqa: S101 - the caller lists published posts only
    fields, cover = post.fields, (post.fields.get("heroImage") or {}).get("id")
    return {
        "site": site.instance_id,
        "id": draft.id,
        "title": fields.get("title"),
        "slug": post.slug,
        "excerpt": fields.get("excerpt", ""),
        "language": fields.get("language", "en"),
        "hashtags": fields.get("hashtags", []),
        "tags": [site.tags[tag]["label"] for tag in fields.get("tagIds", []) if tag in site.tags],
        "seoData": fields.get("seoData"),
        "author": site.members.get(fields.get("memberId", ""), {}).get("profile", {}).get("nickname", ""),
        "cover": cover,
        "coverUrl": f"/__sim/wix/media/{cover}" if cover else None,
        "coverVisible": cover_is_visible(fields),
        "coverAlt": (fields.get("media") or {}).get("altText", ""),
        "minutesToRead": draft.minutes_to_read,
        "richContent": json.loads(post.content) if post.content is not None else None,
    }


def url_of(site: Site, slug: str) -> dict[str, str]:
    return {"base": site.base_url, "path": f"/post/{slug}"}
