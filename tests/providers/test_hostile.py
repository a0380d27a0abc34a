"""Malicious or broken servers: every client handles them by the same rules."""

import asyncio
import gzip
import json
import socket
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from anyio import create_task_group, fail_after, sleep
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.errors import Misconfigured, ProviderError, Unavailable, Unsent
from blogworker.providers import connect
from blogworker.providers.openai import OpenAIClient
from blogworker.providers.replicate import LARGEST_IMAGE, ReplicateClient, UnusablePicture
from blogworker.providers.wix import auth as wix_auth
from blogworker.providers.wix.client import WixClient
from blogworker.settings import OpenAISettings, ReplicateSettings, WixSettings

from .hostile import Behaviour, Hostile, Write, answer, listening

pytestmark = pytest.mark.anyio

SECRET = "hunter2-of-no-known-shape"  # noqa: S105
SITE = "site-1"
JPEG = b"\xff\xd8\xff\xe0" + b"picture" * 10
TOKEN = answer(b'{"access_token": "hunter2-of-no-known-shape", "expires_in": 14400}')
MIB = 1024 * 1024
ASK: dict[str, Any] = {
    "model": "gpt-6-luna",
    "instructions": "Write.",
    "input": "x",
    "schema_name": "post",
    "schema": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    "max_output_tokens": 500,
}


@dataclass(frozen=True)
class Call:
    """One kind of call of one client."""

    client: type
    settings: type
    ask: Callable[[Any, str], Awaitable[object]]
    token_path: str | None = None  # where a token has to be had before the call can be met
    given: tuple[tuple[str, str], ...] = ()
    path: str = ""

    def opened(self, url: str, **changed: Any) -> AbstractAsyncContextManager[Any]:
        fields = {"base_url": f"{url}{self.path}", "timeout": 30, **dict(self.given), **changed, "_env_file": None}
        return self.client(self.settings(**fields), connections=2)


CALLS = {
    "openai": Call(
        OpenAIClient, OpenAISettings, lambda c, _: c.generate(**ASK), given=(("api_key", SECRET),), path="/v1"
    ),
    "replicate": Call(
        ReplicateClient,
        ReplicateSettings,
        lambda c, _: c.create("a mug", aspect_ratio="16:9"),
        given=(("api_token", SECRET),),
    ),
    "replicate page": Call(
        ReplicateClient, ReplicateSettings, lambda c, _: c.find("a mug", seed=1), given=(("api_token", SECRET),)
    ),
    "replicate file": Call(
        ReplicateClient, ReplicateSettings, lambda c, url: c.download(f"{url}/a.jpg"), given=(("api_token", SECRET),)
    ),
    "wix token": Call(
        WixClient, WixSettings, lambda c, _: c.catalog(SITE), given=(("app_id", "app"), ("app_secret", SECRET))
    ),
    "wix": Call(
        WixClient,
        WixSettings,
        lambda c, _: c.create_draft(SITE, {"title": "Mugs"}),
        token_path="/oauth2/token",  # noqa: S106
        given=(("app_id", "app"), ("app_secret", SECRET)),
    ),
}
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
API_CALLS = [name for name in CALLS if name != "replicate file"]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def hostile() -> AsyncIterator[Hostile]:
    async with listening() as server:
        yield server


@pytest.fixture
async def elsewhere() -> AsyncIterator[Hostile]:
    """The same host at another port: another origin."""
    async with listening() as server:
        yield server


@dataclass
class Ends:
    """How each kind of call ended, and what its server received."""

    errors: dict[str, ProviderError] = field(default_factory=dict)
    servers: dict[str, Hostile] = field(default_factory=dict)

    def kinds(self) -> set[type]:
        return {type(error) for error in self.errors.values()}


async def ends(behaviour: bytes | Behaviour, names: Iterable[str] = CALLS, *, calls: int = 1, **changed: Any) -> Ends:
    """Every kind of call, each to its own server with this behaviour, at the same time."""
    found = Ends()

    async def make(name: str) -> None:
        call = CALLS[name]
        async with listening() as server:
            found.servers[name] = server
            server.at["*"] = behaviour
            if call.token_path:
                server.at[call.token_path] = TOKEN
            async with call.opened(server.url, **changed) as client:
                for _ in range(calls):
                    try:
                        told = await call.ask(client, server.url)
                    except ProviderError as error:
                        found.errors[name] = error
                    else:
                        pytest.fail(f"{name}: {told!r}")

    async with create_task_group() as tasks:
        for name in names:
            tasks.start_soon(make, name)
    return found


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


async def test_a_body_without_an_end_is_left():
    async def endless(write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await write(bytes(MIB))

    found = await ends(endless, timeout=50)

    assert all(isinstance(error, Unavailable) for error in found.errors.values())
    assert not any("in time" in str(error) for error in found.errors.values())


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, br", "gzip, gzip, gzip", "x"])
async def test_a_body_in_a_form_nobody_asked_for_is_not_read(encoding):
    found = await ends(answer(b"{}", content_encoding=encoding))

    assert all("unreadable response: the body has an encoding" in str(error) for error in found.errors.values())


@pytest.mark.parametrize("part", ["head", "body"])
async def test_an_answer_that_drips_is_not_waited_for(part):
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
async def test_the_charset_that_a_server_names_is_not_believed(charset):
    """Python knows charsets that decode nothing, or raise what no client foresees."""
    body = b'{"error": {"message": "no mugs"}, "message": "no mugs", "detail": "no mugs"}'
    found = await ends(answer(body, "400 Bad Request", content_type=f"application/json; charset={charset}"), API_CALLS)

    assert sorted(found.errors) == sorted(API_CALLS)
    assert all("no mugs" in str(error) for error in found.errors.values())


async def test_no_cookie_is_kept():
    """The clients are shared by all sites."""
    found = await ends(answer(b"", "500 Oops", set_cookie="who=you; Path=/"), calls=2)

    assert not any("cookie" in heard.headers for server in found.servers.values() for heard in server.heard)


async def test_a_picture_may_be_elsewhere_and_is_fetched_without_the_token(hostile, elsewhere):
    """Another port of the same host is another's server."""
    elsewhere.at["*"] = answer(JPEG)

    async with CALLS["replicate"].opened(hostile.url) as client:
        assert await client.download(f"{elsewhere.url}/a.jpg") == JPEG

    assert "authorization" not in elsewhere.heard[0].headers
    assert SECRET not in str(elsewhere.heard)


async def test_a_next_page_elsewhere_is_not_asked_for(elsewhere):
    page = json.dumps({"results": [], "next": f"{elsewhere.url}/v1"}).encode()
    found = await ends(answer(page), ["replicate page"])

    assert found.kinds() == {Unsent}
    assert not elsewhere.connections


NO_ADDRESSES = ["/v1", "http://[::1", "ftp://h/", "https://", "https://h\n/", "h:x", "http://:9/", "https://\ud800/"]


async def test_a_next_page_that_is_no_address_is_the_vendors_fault():
    for address in NO_ADDRESSES:
        page = json.dumps({"results": [], "next": address}).encode()
        found = await ends(answer(page), ["replicate page"])

        assert found.kinds() <= {Unavailable, Unsent}, address


@pytest.mark.parametrize(("hops", "follows"), [(1, True), (3, True), (4, False)])
async def test_a_picture_may_move_a_few_times_within_its_origin(hops, follows, hostile):
    for hop in range(hops):
        hostile.at[f"/{hop}"] = answer(b"", "302 Found", location=f"/{hop + 1}")
    hostile.at[f"/{hops}"] = answer(JPEG)

    async with CALLS["replicate"].opened(hostile.url) as client:
        if follows:
            assert await client.download(f"{hostile.url}/0") == JPEG
        else:
            with pytest.raises(Unsent, match="redirects"):
                await client.download(f"{hostile.url}/0")


async def test_a_picture_does_not_move_to_another_origin(hostile, elsewhere):
    hostile.at["*"] = answer(b"", "302 Found", location=elsewhere.url)

    async with CALLS["replicate"].opened(hostile.url) as client:
        with pytest.raises(Unsent, match="not followed"):
            await client.download(f"{hostile.url}/a.jpg")

    assert not elsewhere.connections


async def test_a_picture_that_is_too_large_is_not_read_to_its_end():
    async def boasting(write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
        await sleep(60)

    found = await ends(boasting, ["replicate file"], timeout=30)

    assert found.kinds() == {UnusablePicture}
    assert found.errors["replicate file"].code == "too_large"


PRIVATE = [
    *("169.254.169.254", "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.100.100.200"),
    *("0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.0.192", "168.63.129.16", "198.18.0.1"),  # noqa: S104
    *("::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1"),
    *("::ffff:169.254.169.254", "::ffff:127.0.0.1", "::127.0.0.1", "2002:a9fe:a9fe::1", "2002:7f00:1::"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::1", "2001:0:a00:1::", "2001:db8::1"),
]
SPELT = ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "127.1", "0", "0x7f.1"]
NAMES = ["localhost", "a.localhost", "metadata", "metadata.google.internal", "printer.local", "localhost."]


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxied"])
async def test_a_vendor_cannot_send_us_into_our_own_network(proxied, hostile, monkeypatch):
    """The URL itself is checked even if a proxy makes the connection."""
    if proxied:
        monkeypatch.setenv("HTTPS_PROXY", hostile.url)
    async with CALLS["replicate"].opened("https://api.replicate.com") as client:
        for host in (*PRIVATE, *SPELT, *NAMES):
            with pytest.raises(Unsent, match=r"not a public address|not a valid URL"):
                await client.download(f"https://{bracketed(host)}:{hostile.port}/a.jpg")

    assert not hostile.connections


async def test_a_name_is_judged_by_what_it_resolves_to(hostile, monkeypatch):
    async with CALLS["replicate"].opened("https://api.replicate.com") as client:
        for addresses in (PRIVATE, *([address] for address in PRIVATE)):
            monkeypatch.setattr(socket, "getaddrinfo", resolver({"cdn.example.com": addresses}))
            with pytest.raises(Unsent, match="no public address"):
                await client.download(f"https://cdn.example.com:{hostile.port}/a.jpg")

    assert not hostile.connections


async def test_the_connection_goes_to_the_address_that_was_checked(hostile, monkeypatch):
    """A second lookup could give an address of our own network."""
    asked: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", resolver({"cdn.example.com": ["10.0.0.1", "127.0.0.1"]}, asked))
    monkeypatch.setattr(connect, "is_public", lambda address: str(address) == "127.0.0.1")
    hostile.deaf = True

    async with CALLS["replicate"].opened("https://api.replicate.com") as client:
        with pytest.raises(Unavailable):
            await client.download(f"https://cdn.example.com:{hostile.port}/a.jpg")

    assert hostile.connections == 1
    assert asked.count("cdn.example.com") == 1


def resolver(known: dict[str, list[str]], asked: list[str] | None = None) -> Callable[..., list[Any]]:
    def getaddrinfo(host: str | bytes, port: int, *_: object, **__: object) -> list[Any]:
        host = host.decode() if isinstance(host, bytes) else host
        if asked is not None:
            asked.append(host)
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [
            (socket.AF_INET6 if ":" in found else socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port))
            for found in known[host]
        ]

    return getaddrinfo


@pytest.mark.parametrize(
    "target", ["https://10.0.0.1/u", "http://upload.example.com/u", "ftp://h/u", "http://[::1", "//x"]
)
async def test_an_upload_goes_to_no_address_of_our_own(target, hostile, monkeypatch):
    """Wix names the address that a picture is sent to."""
    monkeypatch.setattr(socket, "getaddrinfo", resolver({"upload.example.com": ["93.184.215.14"]}))
    hostile.at = {"/oauth2/token": TOKEN, "*": answer(json.dumps({"uploadUrl": target}).encode())}

    async with CALLS["wix"].opened(hostile.url) as client:
        with pytest.raises(Unavailable):
            await client.upload_media(SITE, JPEG, name="a.jpg", media_type="image/jpeg")

    assert [heard.line.split(" ")[0] for heard in hostile.heard] == ["POST", "POST"]


HOSTS = {"openai": "text.example.com", "replicate": "images.example.com", "wix token": "sites.example.com"}


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_the_proxy_serves_all_vendors_and_is_told_no_secret(name, variable, hostile, monkeypatch):
    """The Replicate SDK bypassed it."""
    monkeypatch.setenv(variable, hostile.url)
    monkeypatch.setattr(socket, "getaddrinfo", resolver({"127.0.0.1": ["127.0.0.1"]}))
    hostile.at["*"] = answer(b"", "403 Forbidden")

    async with CALLS[name].opened(f"https://{HOSTS[name]}") as client:
        with pytest.raises(Unsent):
            await CALLS[name].ask(client, "")

    assert [heard.line for heard in hostile.heard] == [f"CONNECT {HOSTS[name]}:443 HTTP/1.1"]
    assert SECRET not in str(hostile.heard)


@pytest.mark.parametrize("name", HOSTS)
async def test_no_proxy_is_used_for_what_it_exempts_or_for_this_machine(name, hostile, elsewhere, monkeypatch):
    for variable in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, hostile.url)
    monkeypatch.setenv("NO_PROXY", ".example.com")
    monkeypatch.setattr(socket, "getaddrinfo", resolver({"127.0.0.1": ["127.0.0.1"]}))

    for url in (f"https://{HOSTS[name]}", elsewhere.url):
        async with CALLS[name].opened(url) as client:
            with pytest.raises(ProviderError):
                await CALLS[name].ask(client, "")

    assert not hostile.connections
    assert elsewhere.connections


@pytest.mark.parametrize("name", HOSTS)
async def test_plain_http_is_sent_where_a_setting_allows_it(name, hostile, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", resolver({"gateway.example.com": ["127.0.0.1"]}))

    async with CALLS[name].opened(f"http://gateway.example.com:{hostile.port}", allow_http=True) as client:
        with pytest.raises(ProviderError):
            await CALLS[name].ask(client, "")

    assert hostile.heard[0].headers["host"] == f"gateway.example.com:{hostile.port}"


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
