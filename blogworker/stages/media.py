"""Put the cover picture into the media manager of the site: Wix imports it, or else we upload it."""

from blogworker.errors import Rejected
from blogworker.providers.picture import picture_type
from blogworker.providers.wix.client import FAILED, PENDING, READY, MediaFile, WixClient
from blogworker.stages.effects import MEDIA, Media
from blogworker.stages.records import Cover
from blogworker.stages.work import Work
from blogworker.telemetry import get_logger

ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}

log = get_logger()


async def cover(work: Work, wix: WixClient, *, slug: str, image: Cover) -> str | None:
    """Return the id of the cover file; None if the post has no cover. No file is created twice."""
    saved = work.load(MEDIA)
    if saved is not None and saved.status == READY:
        return saved.id
    if not image.url and not image.bytes:
        return None
    site = work.claim.instance_id
    name = f"{slug}.{ENDINGS.get(image.type or '', 'jpg')}"
    if saved is not None and saved.status == PENDING:
        file: MediaFile | None = await wix.await_media(site, saved.id)
    else:
        file = await _imported(work, wix, image, name=name)
    if file is not None and file.status == FAILED:
        file = await _imported(work, wix, image, name=name)
    if file is None or file.status != READY:
        file = await _uploaded(work, wix, name=name) or file
    # The file was saved when it was created. A later attempt reads again whether it is READY, which changes nothing.
    return file.id if file is not None and file.status in (READY, PENDING) else None


async def _imported(work: Work, wix: WixClient, image: Cover, *, name: str) -> MediaFile | None:
    """Return the file that Wix has imported; None if Wix refused, or the picture has no address."""
    if not image.url:
        return None
    site, media_type = work.claim.instance_id, image.type or "image/jpeg"
    try:
        file = await wix.import_media(
            site, image.url, name=name, media_type=media_type, before=work.checkpoints.confirm
        )
    except Rejected as error:
        log.warning("cover_refused", error=str(error))
        return None
    await work.save(MEDIA, Media(id=file.id, url=file.url, status=file.status))
    return await wix.await_media(site, file.id)


async def _uploaded(work: Work, wix: WixClient, *, name: str) -> MediaFile | None:
    """Upload the bytes stored with the post. Return None if there are none, or Wix refused them."""
    data = await work.checkpoints.image_bytes()
    if data is None:
        return None
    site, media_type = work.claim.instance_id, picture_type(data) or "image/jpeg"
    try:
        file = await wix.upload_media(site, data, name=name, media_type=media_type, before=work.checkpoints.confirm)
    except Rejected as error:
        log.warning("cover_refused", error=str(error))
        return None
    await work.save(MEDIA, Media(id=file.id, url=file.url, status=file.status))
    return await wix.await_media(site, file.id)
