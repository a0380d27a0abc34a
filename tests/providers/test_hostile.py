"""Malicious or broken servers: every client handles them by the same rules."""

import asyncio
import gzip
import json
import tracemalloc
import zlib
from contextlib import AsyncExitStack

import pytest
from anyio import fail_after, sleep
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.errors import Misconfigured, ProviderError, Unavailable, Unsent
from blogworker.providers.replicate import LARGEST_IMAGE
from blogworker.providers.wix import auth as wix_auth

from .every_call import API_CALLS, CALLS, JPEG, TOKEN, ends
from .hostile import Write, answer, listening

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_proxies")]
MIB = 1024 * 1024


async def test_a_small_body_that_unpacks_to_a_huge_one_takes_no_memory():
    """With fifty slots, half a gigabyte each would kill the worker."""
    bomb = gzip.compress(bytes(32 * MIB))
    for name in CALLS:
        tracemalloc.start()
        try:
            found = await ends(answer(bomb, content_encoding="gzip"), [name], timeout=30)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert isinstance(found.errors[name], Unavailable)
        assert peak < LARGEST_IMAGE + 16 * MIB, name  # the largest body, copied once, and what else there is


async def test_an_endless_body_is_given_up():
    async def endless(write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await write(bytes(MIB))

    found = await ends(endless, timeout=50)

    assert all(isinstance(error, Unavailable) for error in found.errors.values())
    assert not any("in time" in str(error) for error in found.errors.values())


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, br", "gzip, gzip, gzip", "x"])
async def test_a_body_in_an_unrequested_encoding_is_not_read(encoding):
    found = await ends(answer(b"{}", content_encoding=encoding))

    assert all("unreadable response: the body has an encoding" in str(error) for error in found.errors.values())


@pytest.mark.parametrize("part", ["head", "body"])
async def test_an_answer_that_drips_times_out(part):
    """Each byte arrives in time, but the whole answer never does."""

    async def dripping(write: Write) -> None:
        head = answer(b"x" * 1000)[:-1000]
        await write(head if part == "body" else b"HTTP/1.1 200 OK\r\nx: ")
        while True:
            await write(b"y")
            await sleep(0.05)

    with fail_after(20):
        found = await ends(dripping, timeout=0.4)

    assert all("no response in time" in str(error) for error in found.errors.values())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("away", [True, False], ids=["away", "home"])
async def test_no_call_follows_a_redirect(status, away, elsewhere):
    """Its prompts and keys are for the base URL only."""
    target = f"{elsewhere.url}/next" if away else "/next"
    found = await ends(answer(b"", f"{status} Moved", location=target), API_CALLS)

    assert found.kinds() == {Misconfigured}
    assert all("a redirect, which is not followed" in str(error) for error in found.errors.values())
    assert not elsewhere.connections
    assert not any("/next" in heard.line for server in found.servers.values() for heard in server.heard)


@pytest.mark.parametrize(
    "headers", [{f"x-{number}": "y" for number in range(300)}, {"x": "y" * 90_000}], ids=["many", "long"]
)
async def test_headers_have_a_limit(headers):
    found = await ends(answer(JPEG, **headers))

    assert all("connection lost: the response has too many headers" in str(error) for error in found.errors.values())


@pytest.mark.parametrize("charset", ["rot13", "idna", "undefined", "utf-7", "utf-16", "unicode_escape", "\xe9", ""])
async def test_the_charset_of_a_server_is_ignored(charset):
    """Python knows charsets that decode nothing, or raise what no client foresees."""
    body = b'{"error": {"message": "no mugs"}, "message": "no mugs", "detail": "no mugs"}'
    found = await ends(answer(body, "400 Bad Request", content_type=f"application/json; charset={charset}"), API_CALLS)

    assert sorted(found.errors) == sorted(API_CALLS)
    assert all("no mugs" in str(error) for error in found.errors.values())


async def test_no_cookie_is_kept():
    """The clients are shared by all sites."""
    found = await ends(answer(b"", "500 Oops", set_cookie="who=you; Path=/"), calls=2)

    assert not any("cookie" in heard.headers for server in found.servers.values() for heard in server.heard)


async def test_a_next_page_of_another_origin_is_not_requested(elsewhere):
    page = json.dumps({"results": [], "next": f"{elsewhere.url}/v1"}).encode()
    found = await ends(answer(page), ["replicate page"])

    assert found.kinds() == {Unsent}
    assert not elsewhere.connections


NO_ADDRESSES = ["/v1", "http://[::1", "ftp://h/", "https://", "https://h\n/", "h:x", "http://:9/", "https://\ud800/"]


async def test_an_invalid_next_page_is_an_error_of_the_provider():
    for address in NO_ADDRESSES:
        page = json.dumps({"results": [], "next": address}).encode()
        found = await ends(answer(page), ["replicate page"])

        assert found.kinds() <= {Unavailable, Unsent}, address


HEADS = st.sampled_from(
    [
        *(
            b"HTTP/1.1 200 OK",
            b"HTTP/1.1 100 Continue",
            b"HTTP/1.1 101 Switching Protocols",
            b"HTTP/1.0 200",
            b"HTTP/2 200",
        ),
        *(
            b"HTTP/1.1 204 No Content",
            b"HTTP/1.1 304 Not Modified",
            b"HTTP/1.1 999 ?",
            b"HTTP/1.1 -1 OK",
            b"SSH-2.0-x",
            b"",
        ),
        b"HTTP/1.1 302 Found\r\nlocation: http://[::1",
    ]
)
FIELDS = st.lists(
    st.sampled_from(
        [
            *(
                b"content-length: 5",
                b"content-length: 0",
                b"content-length: -1",
                b"content-length: 9999999999999999999999",
            ),
            *(b"transfer-encoding: chunked", b"transfer-encoding: gzip, chunked", b"content-encoding: gzip"),
            *(
                b"content-encoding: deflate",
                b"content-type: application/json",
                b"content-type: text/plain; charset=utf-7",
                b"content-type: text/plain; charset=idna",
            ),
            *(b"retry-after: -1", b"retry-after: 1e999", b"x\x00y: z", b": nameless", b"set-cookie: \xff", b"no colon"),
            b"x-ratelimit-reset-requests: 9999999999h",
        ]
    ),
    max_size=4,
)
BODIES = st.one_of(  # none is JSON but an object's: what a well-formed answer may say is not the transport's to judge
    st.binary(max_size=40).map(b"\x00".__add__),
    st.sampled_from([b"{}", b"[", b"5\r\nhello\r\n0\r\n\r\n", b"FFFFFFFFFFFFFFFFF\r\n", gzip.compress(b"{}")]),
    st.sampled_from([gzip.compress(b"{}")[:-4], zlib.compress(b"{}"), b"\xff" * 9, b"1\r\nx\r\n" * 200]),
)


@settings(max_examples=12, deadline=None)
@given(answers=st.lists(st.tuples(HEADS, FIELDS, BODIES), min_size=20, max_size=20))
def test_whatever_a_server_writes_a_call_ends_as_one_of_our_errors(answers):
    """Or as an answer. Each sixth part of the answers is met by one kind of call."""

    async def met() -> None:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(listening())
            clients = [await stack.enter_async_context(call.opened(server.url)) for call in CALLS.values()]
            for number, (head, fields, body) in enumerate(answers):
                server.at["*"] = b"\r\n".join([head, *fields, b"", body])
                for client, call in ((clients[n], c) for n, c in enumerate(CALLS.values()) if n % 6 == number % 6):
                    if call.token_path:
                        server.at[call.token_path] = TOKEN
                    else:
                        server.at.pop("/oauth2/token", None)
                    try:
                        await call.ask(client, server.url)
                    except ProviderError:
                        continue

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(wix_auth, "REFUSAL_WAIT_S", 0)  # of a refused token, to see whether other sites are refused too
        asyncio.run(met())
