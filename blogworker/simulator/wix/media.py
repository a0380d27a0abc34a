"""The media of a site: files that Wix fetches (import), and files that a client uploads.

    import -> PENDING -> READY (with dimensions) | FAILED

The source of an import is really fetched, some seconds later. If its URL has expired by then, the import fails. Only
loopback addresses are fetched; imports from other addresses fail.
"""

import io
import ipaddress
import mimetypes
import secrets
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
from PIL import Image, UnidentifiedImageError
from starlette.responses import JSONResponse, Response

from blogworker.simulator.edge import Call
from blogworker.simulator.wix.errors import application_error, not_found, required, validation_error
from blogworker.simulator.wix.sites import File, Site
from blogworker.simulator.wix.state import WixState

MOST_BYTES = 25 * 1024 * 1024
PENDING_S = (1.0, 10.0)  # provider seconds until the source is fetched


class Media:
    """The media manager of each site."""

    def __init__(self, state: WixState) -> None:
        self._state = state
        self._clock = state.world.clock
        self._uploads: dict[str, tuple[str, str, str]] = {}  # upload token -> instance id, file name, media type

    async def import_file(self, call: Call) -> Response:
        body = call.json if isinstance(call.json, dict) else {}
        url = body.get("url")
        if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https"):
            raise validation_error([required("url")])
        media_type = body.get("mimeType") or _guess_media_type(
            body.get("displayName"), body.get("filePath"), urlsplit(url).path
        )
        headers = {str(name): str(value) for name, value in (body.get("urlHeaders") or {}).items()}
        if media_type is None:
            media_type = await self._head_media_type(url, headers)
        site = self._state.site(call)
        file = self._new(
            site, body.get("displayName") or PurePosixPath(urlsplit(url).path).name, media_type, source=url
        )
        file.external = body.get("externalInfo")
        wait_s = self._state.random.uniform(*PENDING_S)
        fails = call.has_fault("import_failed")
        self._state.world.background.start_soon(self._finish_import, file, headers, wait_s, fails)
        call.log_fields |= {"file": file.id, "url": url[:200]}
        return JSONResponse({"file": _view(site, file, self._clock.iso(file.created))})

    async def _finish_import(self, file: File, headers: dict[str, str], wait_s: float, fails: bool) -> None:  # noqa: FBT001
        await self._clock.simulate_work(wait_s)
        data = None if fails else await self._fetch(file.source, headers)
        self._store_bytes(file, data)

    async def _head_media_type(self, url: str, headers: dict[str, str]) -> str:
        """The media type from a HEAD request. Raises ApiError if there is none."""
        found = ""
        if _is_loopback(url):
            with anyio.move_on_after(self._state.world.options.wix_fetch_timeout_s):
                try:
                    answer = await self._state.world.client.head(url, headers=headers)
                    found = answer.headers.get("content-type", "") if answer.is_success else ""
                except httpx2.HTTPError:
                    found = ""
        if not found:
            raise application_error(400, "UNKNOWN_FILE_TYPE", "Could not determine the file type; provide mimeType")
        return found.partition(";")[0]

    async def _fetch(self, url: str, headers: dict[str, str]) -> bytes | None:
        if not _is_loopback(url):
            return None
        with anyio.move_on_after(self._state.world.options.wix_fetch_timeout_s):
            try:
                answer = await self._state.world.client.get(url, headers=headers)
            except httpx2.HTTPError:
                return None
            return answer.content if answer.is_success else None
        return None

    def _store_bytes(self, file: File, data: bytes | None) -> None:
        """Set the status: READY if the bytes are an image, else FAILED."""
        size = _dimensions(data) if data is not None and len(data) <= MOST_BYTES else None
        if data is None or size is None:
            file.status = "FAILED"
            self._state.world.ledger.count("wix.media_failed")
            return
        file.width, file.height, file.size = *size, len(data)
        file.status = "READY"
        self._state.keep_picture(file.id, file.mime_type, data)
        self._state.world.ledger.count("wix.media_ready")

    async def get(self, call: Call) -> Response:
        site = self._state.site(call)
        file = site.files.get(call.request.path_params.get("id") or call.request.query_params.get("fileId", ""))
        if file is None:
            raise not_found("File")
        call.log_fields |= {"file": file.id, "file_status": file.status}
        return JSONResponse({"file": _view(site, file, self._clock.iso(file.created))})

    async def list_files(self, call: Call) -> Response:
        site = self._state.site(call)
        files = [_view(site, file, self._clock.iso(file.created)) for file in list(site.files.values())[-100:]]
        return JSONResponse({"files": files, "nextCursor": {"hasNext": False}})

    async def generate_upload_url(self, call: Call) -> Response:
        body = call.json if isinstance(call.json, dict) else {}
        media_type = body.get("mimeType")
        if not isinstance(media_type, str):
            raise validation_error([required("mimeType")])
        token = secrets.token_urlsafe(24)
        self._uploads[token] = (call.site, body.get("fileName") or "upload", media_type)
        origin = f"{call.request.url.scheme}://{call.request.headers.get('host', '127.0.0.1')}"
        return JSONResponse({"uploadUrl": f"{origin}/wix/upload/{token}"})

    async def upload(self, call: Call) -> Response:
        """Store an uploaded file. The URL is the credential, and is valid once."""
        granted = self._uploads.pop(call.request.path_params["token"], None)
        if granted is None:
            raise application_error(403, "UPLOAD_URL_EXPIRED", "Upload URL is not valid")
        call.site, name, media_type = granted
        site = self._state.site(call)
        file = self._new(site, call.request.query_params.get("filename", name), media_type)
        self._store_bytes(file, call.body)
        return JSONResponse({"file": _view(site, file, self._clock.iso(file.created))})

    def _new(self, site: Site, name: str, media_type: str, source: str = "") -> File:
        random = self._state.random
        extension = (mimetypes.guess_extension(media_type) or ".bin").replace(".jpeg", ".jpg")
        file_id = f"{random.getrandbits(24):06x}_{random.getrandbits(128):032x}~mv2{extension}"
        kind = media_type.partition("/")[0].upper()
        file = File(file_id, name, media_type, kind, self._clock.now(), source=source)
        site.files[file.id] = file
        self._state.world.ledger.count("wix.media_files")
        return file


def _view(site: Site, file: File, created_at: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": file.id,
        "displayName": file.name,
        "url": f"https://static.wixstatic.com/media/{file.id}",
        "parentFolderId": "media-root",
        "hash": "",
        "sizeInBytes": str(file.size),
        "private": False,
        "mediaType": file.kind,
        "operationStatus": file.status,
        "sourceUrl": file.source,
        "siteId": site.stable_id("site"),
        "state": "OK",
        "createdDate": created_at,
        "updatedDate": created_at,
    }
    if file.external is not None:
        found["externalInfo"] = file.external
    if file.status == "READY" and file.kind == "IMAGE":
        image = {"id": file.id, "url": found["url"], "height": file.height, "width": file.width, "altText": ""}
        found["media"] = {"image": {"image": image, "caption": ""}}
    return found


def _guess_media_type(*names: str | None) -> str | None:
    return next((kind for name in names if name and (kind := mimetypes.guess_type(name)[0])), None)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _dimensions(data: bytes) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except (UnidentifiedImageError, OSError):
        return None
