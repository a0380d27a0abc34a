"""Detects the type and the size of a picture from its bytes."""

from base64 import b64decode
from urllib.parse import unquote

STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # JPEG markers without a length
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers with the size of the picture

LARGEST_IMAGE = 10 * 1024 * 1024  # bytes; the recommended maximum of Wix
LONGEST_INLINE = 2 * LARGEST_IMAGE  # characters


def picture_type(data: bytes) -> str | None:
    """Return the media type of a picture, by its first bytes. None if we cannot publish it."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG. None if it is not a JPEG, or is truncated before the size."""
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in FRAMES:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        else:
            at += 2 if marker in STANDALONE else 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def inline(url: str) -> bytes | None:
    """Return the picture in a `data:` URL. None if there is none that we can publish."""
    head, comma, payload = url.partition(",")
    if not comma or len(payload) > LONGEST_INLINE or head[:5].lower() != "data:":
        return None
    if not head.lower().endswith(";base64"):
        return None  # percent-encoded; not used for pictures
    try:
        data = b64decode(unquote(payload).encode("ascii") + b"==", validate=False)
    except ValueError:
        return None
    return data if picture_type(data) is not None and len(data) <= LARGEST_IMAGE else None
