"""Connects to URLs from a provider (files, uploads), but only at public IP addresses.

A name is resolved once, and the connection uses the address that was checked, because a second lookup might return
another. A proxy resolves names itself, so with a proxy only the URL can be checked.
"""

import socket
import ssl
from collections.abc import Iterable

import httpcore2
import httpx2
from anyio import fail_after, getaddrinfo

from blogworker.addresses import IPAddress, Origin, is_public, is_public_name, literal, translated


class NotAllowed(httpx2.ConnectError):
    """Our policy does not allow this request. It was not sent."""


class NoPublicAddress(NotAllowed):
    """The name of a host resolves to no public address. The name is wrong, or the DNS of this machine is."""


def require_public(origin: Origin, *, loopback: bool) -> None:
    """Raise NotAllowed unless the host may be public. `loopback`: loopback addresses are allowed too."""
    if loopback and origin.loopback:
        return
    address = literal(origin.host)
    if not (is_public_name(origin.host) if address is None else is_public(address)):
        raise NotAllowed(f"{origin} is not a public address")


class PublicTransport(httpx2.AsyncHTTPTransport):
    """A transport that connects only to public addresses, whatever a name resolves to."""

    def __init__(self, *, verify: ssl.SSLContext, limits: httpx2.Limits, loopback: bool) -> None:
        super().__init__(verify=verify, limits=limits)
        self._pool = httpcore2.AsyncConnectionPool(  # httpx2 has no argument for the backend
            ssl_context=verify,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_PublicBackend(loopback=loopback),
        )


class _PublicBackend(httpcore2.AsyncNetworkBackend):
    def __init__(self, *, loopback: bool) -> None:
        self._loopback = loopback
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of the host that accepts a connection."""
        failure: Exception = NoPublicAddress(f"{host} has no public address")
        for address in await self._addresses(host, port, timeout):
            try:
                return await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _addresses(self, host: str, port: int, timeout: float | None) -> list[IPAddress]:
        """Return the allowed addresses of a host. IPv4 is first, because IPv6 is more often configured but broken."""
        try:
            with fail_after(timeout):
                found = await getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"{host} could not be resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} could not be resolved: {error}") from error
        addresses = {literal(str(place[0])) for *_, place in found}
        allowed = [address for address in addresses if address is not None and self._is_allowed(address)]
        return sorted(allowed, key=lambda address: (address.version, int(address)))

    def _is_allowed(self, address: IPAddress) -> bool:
        return is_public(translated(address)) or (self._loopback and address.is_loopback)

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)
