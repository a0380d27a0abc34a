"""The cover picture, brought into a site's media manager: fetched by Wix, in two tries, or else handed over by us."""

from collections.abc import Mapping
from typing import Any

from blogworker.errors import Rejected
from blogworker.providers.picture import picture_type
from blogworker.providers.wix.client import FAILED, PENDING, READY, MediaFile, WixClient
from blogworker.stages.work import Work

SAVED = "publish.media"
ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


async def cover(work: Work, wix: WixClient, *, slug: str, image: Mapping[str, Any]) -> str | None:
    """The id of the cover's file, None when the post goes without one. Each file is made once."""
    saved = work.checkpoints.get(SAVED) or {}
    if saved.get("status") == READY:
        return str(saved["id"])
    if not image.get("url") and not image.get("bytes"):
        return None
    site = work.claim.instance_id
    name = f"{slug}.{ENDINGS.get(image.get('type') or '', 'jpg')}"
    if saved.get("status") == PENDING:
        file: MediaFile | None = await wix.await_media(site, str(saved["id"]))
    else:
        file = await _fetched(work, wix, image, name=name)
    if file is not None and file.status == FAILED:
        file = await _fetched(work, wix, image, name=name)
    if file is None or file.status != READY:
        file = await _uploaded(work, wix, name=name) or file
    if file is None or file.status not in (READY, PENDING):
        return None
    await work.checkpoints.save(SAVED, {"id": file.id, "url": file.url, "status": file.status})
    return file.id


async def _fetched(work: Work, wix: WixClient, image: Mapping[str, Any], *, name: str) -> MediaFile | None:
    """The file as Wix fetched it; None if Wix refused to fetch it, or the picture has no address."""
    if not image.get("url"):
        return None
    site, media_type = work.claim.instance_id, image.get("type") or "image/jpeg"
    try:
        file = await wix.import_media(
            site, image["url"], name=name, media_type=media_type, before=work.checkpoints.confirm
        )
    except Rejected:
        return None
    await work.checkpoints.save(SAVED, {"id": file.id, "url": file.url, "status": file.status})
    return await wix.await_media(site, file.id)


async def _uploaded(work: Work, wix: WixClient, *, name: str) -> MediaFile | None:
    """The file from the bytes kept with the post; None when there are none, or Wix does not take them."""
    data = await work.checkpoints.image_bytes()
    if data is None:
        return None
    site, media_type = work.claim.instance_id, picture_type(data) or "image/jpeg"
    try:
        file = await wix.upload_media(site, data, name=name, media_type=media_type, before=work.checkpoints.confirm)
    except Rejected:
        return None
    await work.checkpoints.save(SAVED, {"id": file.id, "url": file.url, "status": file.status})
    return await wix.await_media(site, file.id)
