"""The validation of draft posts: limits of the fields, owner, cover and size."""

import json
import re
from typing import Any
from urllib.parse import quote

from blogworker.simulator.ricos_rules import Violation, violations
from blogworker.simulator.wix.errors import application_error, required, validation_error
from blogworker.simulator.wix.sites import Site

MOST_BYTES = 400 * 1024
WORDS_PER_MINUTE = 220
STRING_LIMITS = {"title": 200, "excerpt": 500, "language": 10}
LIST_LIMITS = {"categoryIds": 10, "tagIds": 30, "hashtags": 100, "relatedPostIds": 3}
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
MOST_SEO_KEYWORDS = 5
SEO_TAG_TYPES = frozenset({"title", "meta", "script", "link"})

# The fields that a client can set. Others are ignored without an error, as Wix does with `slug`.
WRITABLE = frozenset(
    [
        "title",
        "excerpt",
        "featured",
        "categoryIds",
        "memberId",
        "hashtags",
        "commentingEnabled",
        "heroImage",
        "media",
        "tagIds",
        "relatedPostIds",
        "pricingPlanIds",
        "language",
        "richContent",
        "seoSlug",
        "seoData",
        "firstPublishedDate",
        "translationId",
    ]
)


def check_new(site: Site, post: Any, *, size: int) -> dict[str, Any]:
    """The writable fields of a new draft. `size` of the request is in bytes. Raises ApiError."""
    fields = _writable_fields(post)
    _check_size(size)
    found = _field_violations(fields)
    if not fields.get("title"):
        found.insert(0, required("draftPost.title"))
    if found:
        raise validation_error(found)
    _check_owner(site, fields)
    return _drop_unknown_references(site, fields)


def check_changes(site: Site, post: Any, *, size: int) -> dict[str, Any]:
    """The writable fields of an update. `size` of the request is in bytes. Raises ApiError."""
    fields = _writable_fields(post)
    _check_size(size)
    found = _field_violations(fields)
    if "title" in fields and not fields["title"]:
        found.insert(0, required("draftPost.title"))
    if found:
        raise validation_error(found)
    if "memberId" in fields:
        _check_owner(site, fields)
    return _drop_unknown_references(site, fields)


def check_publishable(fields: dict[str, Any]) -> None:
    """Raise ApiError for a post without a title."""
    if not fields.get("title"):
        raise application_error(400, "MISSING_TITLE", "Post title is required to publish")


def cover_is_visible(fields: dict[str, Any]) -> bool:
    """Whether readers see the cover: `media` and `heroImage` must be set to the same file."""
    media = fields.get("media") or {}
    image = ((media.get("wixMedia") or {}).get("image") or {}).get("id")
    return bool(
        image and media.get("displayed") and media.get("custom") and (fields.get("heroImage") or {}).get("id") == image
    )


def minutes_to_read(content: bytes | None) -> int:
    return max(1, round(len(content or b"") / 25 / WORDS_PER_MINUTE))


def _writable_fields(post: Any) -> dict[str, Any]:
    if not isinstance(post, dict):
        raise validation_error([required("draftPost")])
    return {name: value for name, value in post.items() if name in WRITABLE}


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise application_error(
            400, "POST_TOO_LARGE", f"Post size of {size} bytes exceeds the limit of {MOST_BYTES} bytes"
        )


def _check_owner(site: Site, fields: dict[str, Any]) -> None:
    member = fields.get("memberId")
    if not member:
        raise application_error(400, "MISSING_OWNER_INFORMATION", "Missing post owner information")
    if member not in site.members:
        raise application_error(400, "MEMBERS_NOT_FOUND", f"memberIds [{member}] do not exist")


def _drop_unknown_references(site: Site, fields: dict[str, Any]) -> dict[str, Any]:
    for name, known in (("categoryIds", site.categories), ("tagIds", site.tags)):
        if name in fields:
            fields[name] = [entry for entry in fields[name] if entry in known]
    return fields


def _field_violations(fields: dict[str, Any]) -> list[Violation]:
    found: list[Violation] = []
    for name, limit in STRING_LIMITS.items():
        found += _string(fields, name, limit)
    for name, limit in LIST_LIMITS.items():
        found += _strings(fields, name, limit)
    if isinstance(fields.get("language"), str) and not LANGUAGE.fullmatch(fields["language"]):
        found.append(Violation("draftPost.language", "must be a language tag", "FORMAT"))
    slug = fields.get("seoSlug")
    if slug is not None and not isinstance(slug, str):
        found.append(Violation("draftPost.seoSlug", "must be a string", "INVALID_TYPE"))
    elif slug and len(quote(slug, safe="")) > 100:
        found.append(Violation("draftPost.seoSlug", "must be at most 100 characters, percent-encoded", "MAX_LENGTH"))
    found += _cover(fields)
    found += _seo(fields.get("seoData"))
    if fields.get("richContent") is not None:
        found += violations(fields["richContent"], "draftPost.richContent")
    return found


def _string(fields: dict[str, Any], name: str, limit: int) -> list[Violation]:
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, str):
        return [Violation(f"draftPost.{name}", "must be a string", "INVALID_TYPE")]
    if len(value) > limit:
        return [Violation(f"draftPost.{name}", f"has length {len(value)}, must be at most {limit}", "MAX_LENGTH")]
    return []


def _strings(fields: dict[str, Any], name: str, limit: int) -> list[Violation]:
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        return [Violation(f"draftPost.{name}", "must be an array of strings", "INVALID_TYPE")]
    if len(value) > limit:
        return [Violation(f"draftPost.{name}", f"has size {len(value)}, must be at most {limit}", "MAX_SIZE")]
    return []


def _cover(fields: dict[str, Any]) -> list[Violation]:
    found = []
    hero, media = fields.get("heroImage"), fields.get("media")
    if hero is not None and (not isinstance(hero, dict) or not hero.get("id") or "://" in str(hero["id"])):
        found.append(Violation("draftPost.heroImage.id", "must be a file id", "INVALID_VALUE"))
    if media is not None and not isinstance(media, dict):
        found.append(Violation("draftPost.media", "must be an object", "INVALID_TYPE"))
    elif media and len(str(media.get("altText") or "")) > 1000:
        found.append(Violation("draftPost.media.altText", "must be at most 1000 characters", "MAX_LENGTH"))
    return found


def _seo(seo: Any) -> list[Violation]:
    if seo is None:
        return []
    if not isinstance(seo, dict):
        return [Violation("draftPost.seoData", "must be an object", "INVALID_TYPE")]
    found = []
    for index, tag in enumerate(seo.get("tags") or []):
        path = f"draftPost.seoData.tags[{index}]"
        if tag.get("type") not in SEO_TAG_TYPES:
            found.append(Violation(f"{path}.type", "must be one of link, meta, script, title", "INVALID_ENUM_VALUE"))
        elif tag.get("custom") and tag["type"] in ("title", "script"):
            found.append(Violation(f"{path}.custom", "must not be set on title and script", "INVALID_VALUE"))
    keywords = (seo.get("settings") or {}).get("keywords") or []
    if len(keywords) > MOST_SEO_KEYWORDS:
        found.append(
            Violation("draftPost.seoData.settings.keywords", f"must be at most {MOST_SEO_KEYWORDS}", "MAX_SIZE")
        )
    return found


def stored_content(fields: dict[str, Any]) -> bytes | None:
    """Remove the rich content from the fields, and return it as compact JSON; None if there is none."""
    content = fields.pop("richContent", None)
    return None if content is None else json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
