"""Bodies are decompressed in small steps up to a limit."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import httpx2
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.providers import body
from blogworker.providers.body import STEP, TooLarge, read

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
PACKERS = {
    "": lambda data: data,
    "identity": lambda data: data,
    "gzip": gzip.compress,
    "X-GZIP": gzip.compress,
    "deflate": zlib.compress,
    " deflate , identity": lambda data: zlib.compress(data, wbits=-zlib.MAX_WBITS),
}


async def parts(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@settings(max_examples=60, deadline=None)
@given(
    encoding=st.sampled_from(sorted(PACKERS)),
    piece=st.binary(max_size=300),
    times=st.integers(0, 1000),
    size=st.integers(1, 500),
)
def test_a_compressed_body_is_unpacked_however_it_arrives(encoding, piece, times, size):
    data = piece * times
    packed = PACKERS[encoding](data)

    assert asyncio.run(read(parts(packed, size), encoding=encoding, limit=len(data) + 50)) == data


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200), encoding=st.sampled_from([*PACKERS, "br", "gzip, gzip", "\x00", ",,"]))
def test_any_bytes_are_a_body_or_an_error(data, encoding):
    try:
        asyncio.run(read(parts(data, 7), encoding=encoding, limit=100))
    except httpx2.DecodingError:
        return


@pytest.mark.parametrize("encoding", PACKERS)
async def test_the_limit_is_exact(encoding):
    packed = PACKERS[encoding](b"x" * MIB)

    assert len(await read(parts(packed, MIB), encoding=encoding, limit=MIB)) == MIB
    with pytest.raises(TooLarge):
        await read(parts(packed, MIB), encoding=encoding, limit=MIB - 1)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_truncated_compressed_body_is_an_error(encoding):
    """A truncated page of predictions would be read as a page with fewer of them."""
    with pytest.raises(httpx2.DecodingError, match="truncated"):
        await read(parts(PACKERS[encoding](b"x" * 100)[:-1], 5), encoding=encoding, limit=MIB)
    assert await read(parts(b"", 1), encoding=encoding, limit=MIB) == b""


@pytest.mark.parametrize("encoding", ["gzip", "deflate", " deflate , identity"])
async def test_a_decompression_bomb_is_unpacked_in_small_steps_up_to_the_limit(encoding, monkeypatch):
    """The event loop runs after each step, so that nothing stalls."""
    steps: list[int] = []
    turns: list[int] = []

    async def counted() -> None:
        turns.append(len(steps))
        await checkpoint()

    class Recorder(bytearray):
        def __iadd__(self, piece: bytes) -> "Recorder":
            steps.append(len(piece))
            return super().__iadd__(piece)  # type: ignore[return-value]

    monkeypatch.setattr(body, "checkpoint", counted)
    monkeypatch.setattr(body, "bytearray", Recorder, raising=False)
    packed = PACKERS[encoding](bytes(64 * MIB))
    with pytest.raises(TooLarge):
        await read(parts(packed, 64 * 1024), encoding=encoding, limit=MIB)

    assert max(steps) <= STEP
    assert sum(steps) <= MIB + STEP
    assert len(turns) >= len(steps) - 1


async def test_a_body_that_arrives_byte_by_byte_gives_the_loop_its_turns(monkeypatch):
    turns: list[None] = []

    async def counted() -> None:
        turns.append(None)
        await checkpoint()

    monkeypatch.setattr(body, "checkpoint", counted)
    await read(parts(bytes(1000), 1), encoding="", limit=MIB)

    assert len(turns) >= 1000 / body.PIECES_IN_A_TURN
