"""Creates the draft of a post. Some refusals of Wix can be fixed; each fix is used once.

too large        half of the text is sent
unknown author   the owner of the site is the author
unknown cover    the cover gets another file, and if that is refused too, the post has none
"""

from collections.abc import Mapping
from typing import Any

from blogworker.errors import ProviderError, RateLimited, Rejected
from blogworker.post.draft import covered, halved
from blogworker.providers.wix.client import AUTHOR, COVER, FAILED, WixClient
from blogworker.stages.effects import INTENT, MEDIA, Draft, Intent, Media
from blogworker.stages.media import cover
from blogworker.stages.records import IMAGE, Content, Cover
from blogworker.stages.work import Work
from blogworker.telemetry import get_logger

TOO_LARGE = 413

log = get_logger()


async def created(work: Work, wix: WixClient, draft: Mapping[str, Any], content: Content) -> Draft:
    """Create the draft, without what Wix refuses if that can be fixed."""
    fixes = [_shorter, _by_the_owner, _with_another_cover, _without_cover]
    while True:
        try:
            draft_id = await _requested(work, wix, draft)
        except Rejected as error:
            for fix in fixes:
                if (fixed := await fix(work, wix, draft, content, error)) is not None:
                    break
            else:
                raise
            fixes.remove(fix)
            draft = fixed
        else:
            return Draft(id=draft_id, title=content.title, media_id=draft.get("heroImage", {}).get("id"))


async def _shorter(
    _work: Work, _wix: WixClient, draft: Mapping[str, Any], _content: Content, error: Rejected
) -> Mapping[str, Any] | None:
    return halved(draft) if error.status == TOO_LARGE or "TOO_LARGE" in (error.code or "") else None


async def _by_the_owner(
    work: Work, wix: WixClient, draft: Mapping[str, Any], _content: Content, error: Rejected
) -> Mapping[str, Any] | None:
    if not AUTHOR.search(str(error)):
        return None
    former = draft["memberId"]  # has left the site since the author was read
    member_id = await wix.member_id(work.claim.instance_id, instead_of=former)
    log.warning("author_replaced", member_id=member_id)
    return {**draft, "memberId": member_id}


async def _with_another_cover(
    work: Work, wix: WixClient, draft: Mapping[str, Any], content: Content, error: Rejected
) -> Mapping[str, Any] | None:
    if not _is_about_cover(draft, error):
        return None
    await work.save(MEDIA, Media(id=draft["heroImage"]["id"], status=FAILED))  # the file is not used again
    file_id = await cover(work, wix, slug=content.slug, image=work.load(IMAGE) or Cover())
    log.warning("cover_replaced", media_id=file_id, error=str(error))
    return covered(draft, file_id=file_id, alt=content.image_alt)


async def _without_cover(
    _work: Work, _wix: WixClient, draft: Mapping[str, Any], content: Content, error: Rejected
) -> Mapping[str, Any] | None:
    if not _is_about_cover(draft, error):
        return None
    log.warning("cover_replaced", media_id=None, error=str(error))
    return covered(draft, file_id=None, alt=content.image_alt)


def _is_about_cover(draft: Mapping[str, Any], error: Rejected) -> bool:
    return "heroImage" in draft and COVER.search(str(error)) is not None


async def _requested(work: Work, wix: WixClient, draft: Mapping[str, Any]) -> str:
    intent: Intent | None = None

    async def intend() -> None:
        """Save the intent right before the request. A wait in between would age it, and the claim could be lost."""
        nonlocal intent
        unstarted = {"title": draft["title"], "refused": False}
        await work.checkpoints.save_intent(INTENT.name, unstarted, stamp="started_at")
        intent = work.load(INTENT)

    try:
        return await wix.create_draft(work.claim.instance_id, draft, before=intend)
    except ProviderError as error:
        if intent is not None and _is_refusal(error):  # no draft was created, so none is searched for
            await work.save(INTENT, intent.model_copy(update={"refused": True}))
        raise


def _is_refusal(error: ProviderError) -> bool:
    return isinstance(error, RateLimited) or (error.status is not None and error.status < 500)
