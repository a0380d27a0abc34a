"""Where requests go: to no address of our own network, and through the proxy that is set."""

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from blogworker.errors import ProviderError, Unavailable, Unsent
from blogworker.providers import connect
from blogworker.providers.replicate_answers import UnusablePicture

from .every_call import CALLS, JPEG, SECRET, SITE, TOKEN
from .hostile import answer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_proxies")]
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
async def test_a_provider_cannot_send_us_into_our_own_network(proxied, hostile, monkeypatch):
    """The URL itself is checked even if a proxy makes the connection."""
    if proxied:
        monkeypatch.setenv("HTTPS_PROXY", hostile.url)
    async with CALLS["replicate"].opened("https://api.replicate.com") as client:
        for host in (*PRIVATE, *SPELT, *NAMES):
            with pytest.raises(UnusablePicture, match=r"not a public address|not a valid URL"):
                await client.download(f"https://{bracketed(host)}:{hostile.port}/a.jpg")

    assert not hostile.connections


async def test_a_host_name_is_checked_by_its_address(hostile, monkeypatch):
    """It may be the DNS of this machine that is wrong, so this is no reason to buy another picture."""
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
async def test_no_upload_goes_to_our_own_network(target, hostile, monkeypatch):
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
async def test_all_providers_use_the_proxy_and_it_sees_no_secret(name, variable, hostile, monkeypatch):
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
