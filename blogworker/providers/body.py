"""Reads the whole body of a response, decompressed in small steps up to a limit.

A few kilobytes of gzip may decompress to gigabytes. So each step returns at most STEP bytes, the event loop runs
after each step, and reading stops at the limit.
"""

import zlib
from collections.abc import AsyncIterable, Iterator

import httpx2
from anyio.lowlevel import checkpoint

ACCEPTED = "gzip, deflate"  # any other encoding, or two at once, is refused
STEP = 64 * 1024
PIECES_IN_A_TURN = 32  # pieces received before the event loop runs: a server may send a byte at a time


class TooLarge(httpx2.DecodingError):
    """The body is larger than the limit."""


async def read(parts: AsyncIterable[bytes], *, encoding: str, limit: int) -> bytes:
    """Return the decompressed body. Raises TooLarge, or DecodingError if it is corrupt or has another encoding."""
    unpacker = _unpacker(encoding)
    body = bytearray()
    received = pieces = 0
    async for part in parts:
        received += len(part)
        pieces += 1
        for piece in unpacker.steps(part):
            body += piece
            if len(body) > limit:
                break
            await checkpoint()
        if max(received, len(body)) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        if pieces % PIECES_IN_A_TURN == 0:
            await checkpoint()
    if received and not unpacker.complete:
        raise httpx2.DecodingError("the compressed body is truncated")
    return bytes(body)


class _Plain:
    complete = True

    def steps(self, part: bytes) -> Iterator[bytes]:
        yield part


class _Zlib:
    def __init__(self, encoding: str) -> None:
        self._wbits = zlib.MAX_WBITS | 16 if encoding.endswith("gzip") else zlib.MAX_WBITS
        self._stream: zlib._Decompress | None = None

    @property
    def complete(self) -> bool:
        return self._stream is not None and self._stream.eof

    def steps(self, part: bytes) -> Iterator[bytes]:
        if self._stream is None and part:
            self._stream = zlib.decompressobj(self._wbits_of(part))
        while self._stream is not None and not self._stream.eof:
            try:
                piece = self._stream.decompress(part, STEP)
            except zlib.error as error:
                raise httpx2.DecodingError(f"the compressed body is corrupt: {error}") from error
            yield piece
            part = self._stream.unconsumed_tail
            if not part and len(piece) < STEP:  # otherwise zlib may have more output
                return

    def _wbits_of(self, part: bytes) -> int:
        """Some servers send "deflate" without the zlib header, whose first byte has 8 in its low bits."""
        bare = self._wbits == zlib.MAX_WBITS and part[0] & 0x0F != 8
        return -zlib.MAX_WBITS if bare else self._wbits


def _unpacker(encoding: str) -> _Plain | _Zlib:
    codings = [coding for word in encoding.lower().split(",") if (coding := word.strip()) not in ("", "identity")]
    match codings:
        case []:
            return _Plain()
        case ["gzip" | "x-gzip" | "deflate" as coding]:
            return _Zlib(coding)
        case _:
            raise httpx2.DecodingError("the body has an encoding that was not requested")
