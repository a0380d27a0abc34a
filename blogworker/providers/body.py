"""The body of an answer, read whole: unpacked in small steps, up to a limit.

A few kilobytes of gzip may stand for gigabytes. So no step unpacks more than STEP bytes, the loop gets its turn after
each, and what goes beyond the limit is never made.
"""

import zlib
from collections.abc import AsyncIterable, Iterator

import httpx2
from anyio.lowlevel import checkpoint

ACCEPTED = "gzip, deflate"  # what is asked for; anything else in an answer, or two at once, is refused
STEP = 64 * 1024
PIECES_IN_A_TURN = 32  # of those that arrived: a server may send a byte at a time


class TooLarge(httpx2.DecodingError):
    """The body is above its limit."""


async def read(parts: AsyncIterable[bytes], *, encoding: str, limit: int) -> bytes:
    """The body, unpacked. Raises TooLarge, or DecodingError for what is packed otherwise than we asked, or broken."""
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
            raise TooLarge(f"the body is above {limit} bytes")
        if pieces % PIECES_IN_A_TURN == 0:
            await checkpoint()
    if received and not unpacker.complete:
        raise httpx2.DecodingError("the packed body ends before its end")
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
                raise httpx2.DecodingError(f"the packed body is broken: {error}") from error
            yield piece
            part = self._stream.unconsumed_tail
            if not part and len(piece) < STEP:  # else zlib may hold back some of what it was given
                return

    def _wbits_of(self, part: bytes) -> int:
        """Some servers send "deflate" without its header of two bytes, whose low bits are always 8."""
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
            raise httpx2.DecodingError("the body is packed in a way we did not ask for")
