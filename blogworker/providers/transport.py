"""The policy for every call to a provider. Nothing else opens a connection to one.

    home        the origin (scheme, host, port) of the base URL. Credentials are sent only there.
    elsewhere   another address in a response: a file, an upload. Must be https and public; no credentials are sent.

- Plain http is allowed for loopback addresses, and for a base URL whose setting allows it.
- Other addresses may be loopback only if home is, as with the simulator.
- Redirects are followed only for files, at most MOST_REDIRECTS times and within one origin.
- A response has one time limit, from the connection to the last byte of its body, and limits on headers and body.
- Cookies are not stored, because those of one site would be sent with the calls of another.
- The proxies of the environment apply to all providers (`proxies`).
- Webhooks have no home: each address of theirs is elsewhere.
"""

import ssl
from contextlib import aclosing
from functools import cache
from typing import Any

import httpx2
from anyio import fail_after

from blogworker.addresses import PORTS, Origin
from blogworker.providers import body
from blogworker.providers.connect import NotAllowed, PublicTransport, require_public
from blogworker.proxies import Proxies
from blogworker.section import ProviderSettings
from blogworker.telemetry import tracing

CONNECT_TIMEOUT_S = 5.0
SPARE_CONNECTIONS = 10  # in addition to one per slot: for token requests and downloads
LARGEST_ANSWER = 8 * 1024 * 1024  # bytes, decompressed: a hundred predictions, or products with long descriptions
MOST_HEADERS = 200
MOST_HEADER_BYTES = 64 * 1024
MOST_REDIRECTS = 3
CREDENTIALS = ("authorization", "cookie", "proxy-authorization")
DROPPED_HEADERS = {b"content-encoding", b"content-length", b"transfer-encoding", b"set-cookie"}
LARGEST = "largest_body"  # request extension: the limit for this response, in bytes
STATUS_ONLY = "status_only"  # request extension: a body that cannot be read counts as empty


class Transport(httpx2.AsyncBaseTransport):
    """One per provider, shared by its clients. A response has its whole body, decompressed."""

    def __init__(self, settings: ProviderSettings | None, *, connections: int, loopback: bool = False) -> None:
        """`settings`: of a provider. None: there is no home, and `loopback` allows loopback addresses.

        Raises SettingsError for a proxy that is not valid.
        """
        self.home = None if settings is None else Origin.of(settings.base_url)
        self._plain = settings is not None and settings.allow_http
        self._loopback = loopback if self.home is None else self.home.loopback
        most = connections + SPARE_CONNECTIONS
        limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most)
        context = _trusted()
        self._near = httpx2.AsyncHTTPTransport(verify=context, limits=limits)
        self._far = PublicTransport(verify=context, limits=limits, loopback=self._loopback)
        self._proxies = Proxies.of_environment()
        self._proxied = {
            url: httpx2.AsyncHTTPTransport(verify=context, limits=limits, proxy=httpx2.Proxy(url))
            for url in set(self._proxies.by_scheme.values())
        }

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises NotAllowed before anything is sent; TooLarge, DecodingError or ReadTimeout for a bad response."""
        route = self._route(request)
        request.headers["Accept-Encoding"] = body.ACCEPTED
        limit_s = request.extensions.get("timeout", {}).get("read")
        try:
            with fail_after(limit_s):
                answer = await _answer(route, request)
        except TimeoutError as error:
            raise httpx2.ReadTimeout(f"no complete response within {limit_s:g} s", request=request) from error
        tracing.describe_call(http_status=answer.status_code)
        return answer

    async def aclose(self) -> None:
        for route in (self._near, self._far, *self._proxied.values()):
            await route.aclose()

    def _route(self, request: httpx2.Request) -> httpx2.AsyncHTTPTransport:
        """Choose the transport for a request: direct, public addresses only, or a proxy. Raises NotAllowed."""
        origin = origin_of(request.url)
        at_home = origin == self.home
        if origin.scheme == "http" and not origin.loopback and not (at_home and self._plain):
            raise NotAllowed(f"{origin} is not encrypted")
        if not at_home:
            if request.url.userinfo or any(name in request.headers for name in CREDENTIALS):
                raise NotAllowed(f"credentials are sent only to {self.home or 'a provider'}, not to {origin}")
            require_public(origin, loopback=self._loopback)
        if (proxy := self._proxies.for_origin(origin)) is not None:
            return self._proxied[proxy]
        return self._near if at_home else self._far


def client(transport: Transport, *, base_url: str = "", timeout_s: float) -> httpx2.AsyncClient:
    """Return a client on top of a transport. `timeout_s` limits each response as a whole."""
    timeout = httpx2.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
    return httpx2.AsyncClient(base_url=base_url, transport=transport, timeout=timeout, trust_env=False)


def parsed(url: str) -> httpx2.URL:
    """Parse a URL from a provider. Raises NotAllowed unless it is a web address."""
    try:
        found = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError) as error:
        raise NotAllowed("the address is not a valid URL") from error
    origin_of(found)
    return found


def origin_of(url: httpx2.URL) -> Origin:
    """Return the origin of a URL. Raises NotAllowed for schemes other than http and https, and without a host."""
    if url.scheme not in PORTS or not url.host:
        raise NotAllowed(f"{url.scheme or 'a relative address'} is neither https nor http")
    return Origin(url.scheme, url.raw_host.decode("ascii"), url.port or PORTS[url.scheme])


async def fetch(
    client: httpx2.AsyncClient, url: httpx2.URL, *, headers: dict[str, str], largest: int
) -> httpx2.Response:
    """Fetch a file of at most `largest` bytes. Follows redirects within its origin; raises NotAllowed for others."""
    for _ in range(MOST_REDIRECTS + 1):
        answer = await client.get(url, headers=headers, extensions={LARGEST: largest})
        following = answer.next_request
        if following is None:
            return answer
        if origin_of(following.url) != origin_of(url):
            raise NotAllowed(f"a redirect from {origin_of(url)} to {origin_of(following.url)} is not followed")
        url = following.url
    raise NotAllowed(f"more than {MOST_REDIRECTS} redirects")


@cache
def _trusted() -> ssl.SSLContext:
    """Return the trusted certificates, cached because reading them is the slowest part of opening a client."""
    return httpx2.create_ssl_context()


async def _answer(route: httpx2.AsyncHTTPTransport, request: httpx2.Request) -> httpx2.Response:
    answer = await route.handle_async_request(request)
    try:
        headers = answer.headers.raw
        if len(headers) > MOST_HEADERS or sum(len(name) + len(value) for name, value in headers) > MOST_HEADER_BYTES:
            raise httpx2.RemoteProtocolError("the response has too many headers, or too long ones", request=request)
        content = await _content(answer, request.extensions.get(LARGEST, LARGEST_ANSWER))
    except httpx2.DecodingError:
        if not request.extensions.get(STATUS_ONLY):
            raise
        content = b""
    finally:
        await answer.aclose()
    kept = [(name, _readable(name, value)) for name, value in headers if name.lower() not in DROPPED_HEADERS]
    extensions: dict[str, Any] = {
        name: value for name, value in answer.extensions.items() if name in ("http_version", "reason_phrase")
    }
    return httpx2.Response(answer.status_code, headers=kept, content=content, extensions=extensions, request=request)


def _readable(name: bytes, value: bytes) -> bytes:
    """Remove the charset of a media type. All providers send UTF-8, and a wrong charset would break decoding."""
    return value.partition(b";")[0] if name.lower() == b"content-type" else value


async def _content(answer: httpx2.Response, limit: int) -> bytes:
    length = answer.headers.get("content-length", "")
    if length.isdecimal() and len(length) < 20 and int(length) > limit:
        raise body.TooLarge(f"the body is larger than {limit} bytes")
    encoding = answer.headers.get("content-encoding", "")
    async with aclosing(answer.aiter_raw()) as parts:  # it does not close itself if reading stops early
        return await body.read(parts, encoding=encoding, limit=limit)
