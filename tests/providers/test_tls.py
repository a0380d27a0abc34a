"""TLS: a server with an untrusted certificate receives no key."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from blogworker.errors import Unsent
from blogworker.providers import transport

from .every_call import CALLS, JPEG, SECRET, TOKEN
from .hostile import Hostile, answer, listening

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_proxies")]

LOOPBACK = Path(__file__).with_name("loopback.pem")


@pytest.fixture
def certified() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(LOOPBACK)
    return context


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's administrator trusts the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(LOOPBACK))
    transport._trusted.cache_clear()
    yield
    transport._trusted.cache_clear()


def heard(server: Hostile) -> str:
    return "\n".join(f"{request.line} {request.headers} {request.body!r}" for request in server.heard)


@pytest.mark.parametrize("name", CALLS)
async def test_an_untrusted_certificate_is_refused(name: str, certified: ssl.SSLContext) -> None:
    async with listening(certified) as server, CALLS[name].opened(server.url) as client:
        with pytest.raises(Unsent, match="certificate"):
            await CALLS[name].ask(client, server.url)

    assert heard(server) == ""


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.usefixtures("trusted")
async def test_the_certificate_of_another_name_is_refused(name: str, certified: ssl.SSLContext) -> None:
    """It is of 127.0.0.1, and the base URL says localhost."""
    async with listening(certified) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        async with CALLS[name].opened(url) as client:
            with pytest.raises(Unsent, match="certificate"):
                await CALLS[name].ask(client, url)

    assert heard(server) == ""


@pytest.mark.usefixtures("trusted")
async def test_a_trusted_server_and_its_file_of_another_origin_are_used(certified: ssl.SSLContext) -> None:
    """Both ways of the transport: to the base URL with the token, to another origin without it."""
    async with listening(certified) as home, listening(certified) as elsewhere:
        home.at["/oauth2/token"] = TOKEN
        home.at["*"] = answer(b'{"id": "p1", "status": "starting"}')
        elsewhere.at["*"] = answer(JPEG)
        async with CALLS["replicate"].opened(home.url) as client:
            assert await CALLS["replicate"].ask(client, home.url) == "p1"
            assert await client.download(f"{elsewhere.url}/a.jpg") == JPEG

    assert SECRET in heard(home)
    assert elsewhere.heard
    assert SECRET not in heard(elsewhere)
