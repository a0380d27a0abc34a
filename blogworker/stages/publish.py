"""Stage 5: the post, stored here and then shown to the world.

    stored -> cover -> draft -> (its time) -> asked -> published -> stored with its address
                         |-> left as a draft: its owner publishes by hand, or it is the one of n held for review
                         `-> deleted by its owner meanwhile: FAILED, until a person retries the blog

Wix has no key that makes a draft unique. So the intent to make one is saved first; an attempt that finds the intent but
no draft asks Wix for it, and makes another only when the first can no longer come to be. To publish twice is harmless.
From the moment that Wix is asked to publish, the post may be on the site: the blog does not fail until Wix has refused
(`spare_published` in `sql/schema/pipeline.sql`).
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from anyio import sleep

from blogworker.errors import ProviderError, RateLimited, Rejected, SiteUnavailable, Unavailable
from blogworker.post.draft import covered, draft_of, halved
from blogworker.post.site import usable
from blogworker.providers.wix.auth import PROVIDER, UNREADABLE
from blogworker.providers.wix.client import NOT_FOUND, WixClient
from blogworker.stages.categories import category_ids
from blogworker.stages.content import allowed, columns
from blogworker.stages.media import cover
from blogworker.stages.work import Later, MadeAhead, Output, Work
from blogworker.telemetry import get_logger

QUERY_LAG_S = 5.0  # until a new draft is sure to be found
SLOWEST_DRAFT_S = 40.0  # drafts have taken 30 s, and are made whether or not who asked lives to hear of it
LOOK_AGAIN_S = 10.0
CLOCKS_APART = timedelta(minutes=5)  # the most that the database's clock is believed to be ahead of Wix's
TOO_LARGE = 413
AUTHOR = re.compile("member|owner", re.I)  # in Wix's words for one that it does not know, or misses
DRAWN = "publish.review"
HELD = "left as a draft for review: one of every {every} posts"
DRAFT_ONLY = "draft"  # the publish_mode of a blog, or of a site whose owner publishes by hand

log = get_logger()


async def run(work: Work) -> Output:
    content = work.checkpoints.get("content") or {}
    await work.checkpoints.store_post(columns(content))
    if work.vendors.wix is None:
        return {"published": False, "reason": "no Wix credentials: post kept in blog_posts"}
    async with work.breakers.guarding(PROVIDER, site=work.claim.instance_id):
        return await _shown(work, work.vendors.wix, content)


async def _shown(work: Work, wix: WixClient, content: Mapping[str, Any]) -> Output:
    left = await _left_as_draft(work)
    draft = await _draft(work, wix, content)
    made = {"wix_draft_id": draft["id"], "wix_media_id": draft.get("media_id")}
    if left is not None:
        await work.checkpoints.store_post({**columns(content), **made})
        return {"published": False, "reason": left, **made}
    if (left_s := work.claim.publish_left_s) > 0 and work.checkpoints.get("publish.post") is None:
        await work.checkpoints.store_post({**columns(content), **made})
        raise MadeAhead(left_s, "made ahead: waits for its time to be published")
    made["wix_post_id"] = post_id = await _published(work, wix, draft["id"])
    made["url"] = await _address(work, wix, post_id)
    await work.checkpoints.store_post({**columns(content), **made})
    return {"published": True, **made}


async def _left_as_draft(work: Work) -> str | None:
    """Why the post stays a draft; None if it is published. The blog's own mode comes first, then its site's, then the
    draw, which is made once, and before there is a draft."""
    site = usable(work.claim.site)
    own, every = work.claim.publish_mode, site.review_every
    if own == DRAFT_ONLY:
        return "asked for as a draft, for review"
    if own is None and site.publish_mode == DRAFT_ONLY:
        return "the site publishes by hand: left as a draft"
    if every is None and site.publish_mode is None:
        every = work.review_every
    drawn = work.checkpoints.get(DRAWN)
    if own is not None or (drawn is None and (every is None or _may_have_draft(work))):
        return None
    every = int(drawn.get("every") or 1) if drawn is not None else every or 1
    held = drawn["held"] if drawn is not None else await work.checkpoints.draw_review(every)
    return HELD.format(every=every) if held else None


def _may_have_draft(work: Work) -> bool:
    return any(work.checkpoints.get(f"publish.{effect}") is not None for effect in ("intent", "draft", "post"))


async def _address(work: Work, wix: WixClient, post_id: str) -> str | None:
    """Where the post can be read. It is published: that Wix does not show it yet makes no failed blog of it."""
    try:
        return await wix.post_url(work.claim.instance_id, post_id)
    except (Rejected, SiteUnavailable) as error:
        log.warning("post_url_omitted", error=str(error))
        return None


async def _published(work: Work, wix: WixClient, draft_id: str) -> str:
    if (done := work.checkpoints.get("publish.post")) is not None:
        return str(done["id"])
    if work.checkpoints.get("publish.deleted") is not None:
        raise _unwanted()
    asked = {"id": draft_id}

    async def ask() -> None:
        if work.checkpoints.get("publish.asked") != asked:
            await work.checkpoints.save("publish.asked", asked)
        await work.checkpoints.confirm()

    try:
        post_id = await wix.publish(work.claim.instance_id, draft_id, before=ask)
    except Rejected as error:
        post_id = await _published_before(work, wix, draft_id, error)
    except Unavailable as error:
        # Wix said yes, and not what to: the post is looked for. Otherwise to publish twice is harmless, and the last
        # attempt looks, or else it would not be known for good.
        if error.code != UNREADABLE and work.claim.failures + 1 < work.claim.max_attempts:
            raise
        post_id = await _published_before(work, wix, draft_id, error)
    await work.checkpoints.save("publish.post", {"id": post_id})
    return post_id


async def _published_before(work: Work, wix: WixClient, draft_id: str, refusal: ProviderError) -> str:
    """The id of a post that Wix does not publish now, if it is published already. Raises the refusal if it is not."""
    if await wix.is_published(work.claim.instance_id, draft_id):
        return draft_id  # a post has the id of its draft
    if refusal.status == NOT_FOUND and await wix.is_deleted(work.claim.instance_id, draft_id):
        await work.checkpoints.save("publish.deleted", {"id": draft_id})
        raise _unwanted() from refusal
    await work.checkpoints.save("publish.asked", {"id": draft_id, "refused": True})
    raise refusal


def _unwanted() -> Rejected:
    """Who deletes a draft does not want it. None is made until a person retries the blog, which forgets it."""
    told = "its draft was deleted on the site before it was published: retry the blog to have it made anew"
    return Rejected(told, provider=PROVIDER, code="draft_deleted")


async def _draft(work: Work, wix: WixClient, content: Mapping[str, Any]) -> Output:
    """The post's one draft: its id, and the `media_id` of its cover."""
    if (made := work.checkpoints.get("publish.draft")) is not None:
        return made
    image = work.checkpoints.get("image") or {}
    file_id = await cover(work, wix, slug=content["slug"], image=image)
    site = usable(work.claim.site)
    member_id = site.member_id or await wix.member_id(work.claim.instance_id)
    idea = (work.checkpoints.get("ideas") or {}).get("chosen") or {}
    bare = draft_of(
        content,
        member_id=str(member_id),
        language=site.language,
        keywords=allowed(list(idea.get("keywords") or content["tags"]), site),
    )
    draft = covered({**bare, **await _labels(work, wix, content)}, file_id=file_id, alt=content["image_alt"])
    draft_id = await _found(work, wix, draft) or await _created(work, wix, draft)
    made = {"id": draft_id, "title": content["title"], "media_id": file_id}
    await work.checkpoints.save("publish.draft", made)
    return made


async def _labels(work: Work, wix: WixClient, content: Mapping[str, Any]) -> dict[str, list[str]]:
    """The post's tags and categories, as the site's blog knows them. A post without them is better than none."""
    if (made := work.checkpoints.get("publish.tags")) is not None:
        return {"tagIds": list(made["ids"]), "categoryIds": list(made.get("categories") or [])}
    categories = await category_ids(work, wix, content)
    language = usable(work.claim.site).language
    await work.checkpoints.confirm()
    try:
        tags = await wix.tag_ids(work.claim.instance_id, content["tags"], language=language)
    except Rejected as error:
        log.warning("tags_refused", error=str(error))
        return {"tagIds": [], "categoryIds": categories}
    await work.checkpoints.save("publish.tags", {"ids": tags, "categories": categories})
    return {"tagIds": tags, "categoryIds": categories}


async def _found(work: Work, wix: WixClient, draft: Mapping[str, Any]) -> str | None:
    """The draft that an earlier attempt meant to make, if it came to be."""
    intent = work.checkpoints.get("publish.intent")
    if intent is None or intent.get("refused"):
        return None
    started_at = datetime.fromisoformat(intent["started_at"])
    age_s = (await work.checkpoints.confirm() - started_at).total_seconds()
    await sleep(min(QUERY_LAG_S, max(0.0, QUERY_LAG_S - age_s)))
    found = await wix.find_draft(work.claim.instance_id, draft, since=started_at - CLOCKS_APART)
    if found is None and max(age_s, QUERY_LAG_S) < SLOWEST_DRAFT_S:
        raise Later(LOOK_AGAIN_S, "waits to see whether a draft came to be that was asked for and not answered")
    return found


async def _created(work: Work, wix: WixClient, draft: Mapping[str, Any]) -> str:
    """The new draft's id. What Wix objects to and we can mend is mended once."""
    try:
        return await _asked_for(work, wix, draft)
    except Rejected as error:
        if (mended := await _mended(work, wix, draft, error)) is None:
            raise
    return await _asked_for(work, wix, mended)


async def _mended(work: Work, wix: WixClient, draft: Mapping[str, Any], error: Rejected) -> Mapping[str, Any] | None:
    if error.status == TOO_LARGE or "TOO_LARGE" in (error.code or ""):
        return halved(draft)
    if not AUTHOR.search(str(error)):
        return None
    who = draft["memberId"]  # has left the site since we looked
    member_id = await wix.member_id(work.claim.instance_id, instead_of=who)
    log.warning("author_replaced", member_id=member_id)
    return {**draft, "memberId": member_id}


async def _asked_for(work: Work, wix: WixClient, draft: Mapping[str, Any]) -> str:
    intent: Output | None = None

    async def intend() -> None:
        """In the call's own turn: waiting for it would age the intent, and let a claim that was confirmed be lost."""
        nonlocal intent
        now = await work.checkpoints.confirm()
        intent = {"started_at": now.isoformat(), "title": draft["title"]}
        await work.checkpoints.save("publish.intent", intent)
        await work.checkpoints.confirm()

    try:
        return await wix.create_draft(work.claim.instance_id, draft, before=intend)
    except ProviderError as error:
        if intent is not None and _nothing_made(error):  # nothing is to be waited for
            await work.checkpoints.save("publish.intent", {**intent, "refused": True})
        raise


def _nothing_made(error: ProviderError) -> bool:
    return isinstance(error, RateLimited) or (error.status is not None and error.status < 500)
