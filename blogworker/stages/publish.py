"""Stage 5: store the post here, create its draft on the site, and publish the draft.

    stored -> cover -> draft -> (scheduled time) -> asked -> published -> stored with its address
                         |-> stays a draft: the owner publishes by hand, or it is the one of n held for review
                         `-> deleted by the owner: the job is FAILED until a person retries it

Wix has no idempotency key for drafts. So the intent to create a draft is saved first. An attempt that finds the intent
but no draft searches for the draft, and creates another only when the first request can no longer create one. If the
database has lost history (`queue/restores.py`), the intent may be lost too, and the site is searched for the post. To
publish twice is harmless. From the first request to publish, the post may be on the site: the job does not fail until
Wix has refused (`spare_published` in `sql/schema/pipeline.sql`).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from anyio import sleep

from blogworker.errors import ProviderError, Rejected, SiteUnavailable, Unavailable
from blogworker.post.draft import POST, covered, draft_of
from blogworker.post.judging import without_forbidden
from blogworker.post.site import usable
from blogworker.providers.wix.auth import PROVIDER, UNREADABLE
from blogworker.providers.wix.client import NOT_FOUND, WixClient
from blogworker.providers.wix.drafts import marked
from blogworker.queue.restores import Origin
from blogworker.stages.categories import category_ids
from blogworker.stages.creation import created
from blogworker.stages.effects import (
    DELETED_DRAFT,
    DRAFT,
    INTENT,
    PUBLISH_ASKED,
    PUBLISHED_POST,
    REVIEW,
    TAGS,
    DeletedDraft,
    Draft,
    Labels,
    PublishedPost,
    PublishRequest,
)
from blogworker.stages.media import cover
from blogworker.stages.records import CONTENT, IDEAS, IMAGE, Content, Cover, Publication
from blogworker.stages.work import Later, MadeAhead, Work
from blogworker.telemetry import get_logger

QUERY_LAG_S = 5.0  # after this time a query of Wix returns a new draft
SEARCH_AGAIN_S = 10.0
CLOCKS_APART = timedelta(minutes=5)  # the database clock may be ahead of the clock of Wix by this much
HELD = "left as a draft for review: one of every {every} posts"
DRAFT_ONLY = "draft"  # the publish_mode of a job, or of a site whose owner publishes by hand

log = get_logger()


async def run(work: Work) -> Publication:
    content = work.require(CONTENT)
    if work.clients.wix is None:
        await work.checkpoints.store_at_end(content.columns())
        return Publication(published=False, reason="no Wix credentials: post kept in blog_posts")
    has_draft, later = work.load(DRAFT) is not None, None
    async with work.breakers.guarding(PROVIDER, site=work.claim.instance_id):
        try:
            return await _publication(work, work.clients.wix, content)
        except Later as error:
            if has_draft:
                raise  # no call was made
            later = error  # raised below: Wix has answered, so for its breaker this is a success
    raise later


async def _publication(work: Work, wix: WixClient, content: Content) -> Publication:
    reason = await _draft_reason(work)
    draft = await _draft(work, wix, content)
    created = {"wix_draft_id": draft.id, "wix_media_id": draft.media_id}
    if reason is not None:
        await work.checkpoints.store_at_end(created, content.columns())
        return Publication(published=False, reason=reason, **created)
    if (left_s := work.claim.publish_left_s) > 0 and work.load(PUBLISHED_POST) is None:
        await work.checkpoints.store_post({**content.columns(), **created})
        raise MadeAhead(left_s, "made ahead: waits for its time to be published")
    post_id = await _published(work, wix, draft.id)
    published = {**created, "wix_post_id": post_id, "url": await _address(work, wix, post_id)}
    await work.checkpoints.store_at_end(published, content.columns())
    return Publication(published=True, **published)


async def _draft_reason(work: Work) -> str | None:
    """Return why the post stays a draft; None if it is published.

    The publish mode of the job is decisive, then that of its site, then the draw for review. The draw takes place once,
    before there is a draft.
    """
    site = usable(work.claim.site)
    own, every = work.claim.publish_mode, site.review_every
    if own == DRAFT_ONLY:
        return "asked for as a draft, for review"
    if own is None and site.publish_mode == DRAFT_ONLY:
        return "the site publishes by hand: left as a draft"
    if every is None and site.publish_mode is None:
        every = work.review_every
    drawn = work.load(REVIEW)
    if own is not None or (drawn is None and (every is None or _may_have_draft(work))):
        return None
    every = (drawn.every if drawn is not None else every) or 1
    held = drawn.held if drawn is not None else await work.checkpoints.draw_review(every)
    return HELD.format(every=every) if held else None


def _may_have_draft(work: Work) -> bool:
    return any(work.checkpoints.get(checkpoint.name) is not None for checkpoint in (INTENT, DRAFT, PUBLISHED_POST))


async def _address(work: Work, wix: WixClient, post_id: str) -> str | None:
    """Return the address of the post. The post is published, so the job does not fail if Wix does not show it yet."""
    try:
        url = await wix.post_url(work.claim.instance_id, post_id)
    except (Rejected, SiteUnavailable) as error:
        log.warning("post_url_omitted", error=str(error))
        return None
    if url is None:
        log.warning("post_url_omitted", error="the response has no usable address")
    return url


async def _published(work: Work, wix: WixClient, draft_id: str) -> str:
    if (published := work.load(PUBLISHED_POST)) is not None:
        return published.id
    if work.load(DELETED_DRAFT) is not None:
        raise _deleted(POST)
    request = PublishRequest(id=draft_id)

    async def ask() -> None:
        if work.load(PUBLISH_ASKED) != request:
            await work.save_intent(PUBLISH_ASKED, request)
        else:
            await work.checkpoints.confirm()

    try:
        post_id = await wix.publish(work.claim.instance_id, draft_id, before=ask)
    except Rejected as error:
        post_id = await _published_before(work, wix, draft_id, error)
    except Unavailable as error:
        # If the answer of Wix is unreadable, the post is searched for. After other failures the next attempt publishes
        # again, which is harmless. The last attempt searches, because nothing would find the post later.
        if error.code != UNREADABLE and work.claim.failures + 1 < work.claim.max_attempts:
            raise
        post_id = await _published_before(work, wix, draft_id, error)
    await work.save(PUBLISHED_POST, PublishedPost(id=post_id))
    return post_id


async def _published_before(work: Work, wix: WixClient, draft_id: str, refusal: ProviderError) -> str:
    """Return the id of the post if it is already published, else raise the refusal."""
    if await wix.is_published(work.claim.instance_id, draft_id):
        return draft_id  # a post has the id of its draft
    if refusal.status == NOT_FOUND and await wix.is_deleted(work.claim.instance_id, draft_id):
        await work.save(DELETED_DRAFT, DeletedDraft(id=draft_id))
        raise _deleted(PROVIDER) from refusal
    await work.save(PUBLISH_ASKED, PublishRequest(id=draft_id, refused=True))
    raise refusal


def _deleted(provider: str) -> Rejected:
    """Return the error for a draft that its owner has deleted. A retry by a person removes the checkpoint."""
    message = "its draft was deleted on the site before it was published: retry the job to create it again"
    return Rejected(message, provider=provider, code="draft_deleted")


async def _draft(work: Work, wix: WixClient, content: Content) -> Draft:
    """Return the one draft of the post. Create it if it does not exist."""
    if (existing := work.load(DRAFT)) is not None:
        return existing
    origin = await work.checkpoints.origin()
    if (draft := await _survivor(work, wix, content, origin)) is not None:
        return draft
    file_id = await cover(work, wix, slug=content.slug, image=work.load(IMAGE) or Cover())
    site = usable(work.claim.site)
    member_id = site.member_id or await wix.member_id(work.claim.instance_id)
    ideas = work.load(IDEAS)
    keywords = ideas.chosen.keywords if ideas is not None else None
    bare = draft_of(
        content.dump(),
        member_id=str(member_id),
        language=site.language,
        keywords=without_forbidden(keywords or content.tags, site),
    )
    bare = marked({**bare, **await _labels(work, wix, content)}, origin.mark)
    request = covered(bare, file_id=file_id, alt=content.image_alt)
    if (draft_id := await _found(work, wix, request)) is not None:
        draft = Draft(id=draft_id, title=content.title, media_id=file_id)
    else:
        draft = await created(work, wix, request, content)
    await work.save(DRAFT, draft)
    return draft


async def _survivor(work: Work, wix: WixClient, content: Content, origin: Origin) -> Draft | None:
    """Return the draft or post that the job has made in a part of the history that the database has lost.

    A creation that was requested there may still be under way. So without a draft the job waits until it has ended.
    """
    restore, intent = origin.restore, work.load(INTENT)
    if restore is None or (intent is not None and intent.started_at > restore.found_at):
        return None  # nothing is lost, or this was checked before the intent
    since = min(restore.since, intent.started_at if intent is not None else restore.since) - CLOCKS_APART
    age_s = (await work.checkpoints.confirm() - restore.found_at).total_seconds()
    found = await wix.surviving_draft(work.claim.instance_id, content.dump(), mark=origin.mark, since=since)
    if found is None and age_s < wix.slowest_draft_s:
        wait_s = min(SEARCH_AGAIN_S, wix.slowest_draft_s - age_s)
        raise Later(wait_s, "the database has lost history: waits for a draft that may have been requested")
    if found is None:
        return None
    log.warning("lost_draft_found", draft_id=found.id, published=found.is_published)
    draft = Draft(id=found.id, title=content.title, media_id=found.media_id)
    await work.save(DRAFT, draft)
    if found.is_published:
        await work.save(PUBLISHED_POST, PublishedPost(id=found.id))
    return draft


async def _labels(work: Work, wix: WixClient, content: Content) -> dict[str, list[str]]:
    """Return the ids of the tags and categories of the post. If Wix refuses the tags, the post has none."""
    if (labels := work.load(TAGS)) is not None:
        return {"tagIds": labels.ids, "categoryIds": labels.categories or []}
    categories = await category_ids(work, wix, content.tags)
    language = usable(work.claim.site).language
    await work.checkpoints.confirm()
    try:
        tags = await wix.tag_ids(work.claim.instance_id, content.tags, language=language)
    except Rejected as error:
        log.warning("tags_refused", error=str(error))
        return {"tagIds": [], "categoryIds": categories}
    await work.save(TAGS, Labels(ids=tags, categories=categories))
    return {"tagIds": tags, "categoryIds": categories}


async def _found(work: Work, wix: WixClient, draft: Mapping[str, Any]) -> str | None:
    """Return the id of the draft that an earlier attempt has requested, if Wix has created it."""
    intent = work.load(INTENT)
    if intent is None or intent.refused:
        return None
    age_s = (await work.checkpoints.confirm() - intent.started_at).total_seconds()
    await sleep(min(QUERY_LAG_S, max(0.0, QUERY_LAG_S - age_s)))
    found = await wix.find_draft(work.claim.instance_id, draft, since=intent.started_at - CLOCKS_APART)
    if found is None and max(age_s, QUERY_LAG_S) < wix.slowest_draft_s:
        raise Later(SEARCH_AGAIN_S, "waits for a draft whose creation response was lost")
    return found
