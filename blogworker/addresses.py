"""Checks network addresses: base URLs, origins, and public IP addresses.

The ranges are listed here, because `ipaddress.is_global` differs between Python's patch releases and is true for
addresses that cloud providers use internally.
"""

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS = {"http": 80, "https": 443}
URL_CHARACTERS = re.compile(r"[!#-;=?-Z\[\]_a-z~%]+")  # printable ASCII that all parsers read alike
HOST_NAME = re.compile(r"(?=.{1,253}\.?\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]{1,63})*\.?\Z")
# IANA's registry of special-purpose IPv4 addresses, multicast, and Azure's platform address (168.63.129.16)
SPECIAL_V4 = [
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
# IANA assigns global IPv6 addresses only from 2000::/3. Mapped, local, link-local and multicast ones lie outside it.
GLOBAL_V6 = ipaddress.ip_network("2000::/3")
SPECIAL_V6 = [  # exceptions within it: protocol assignments such as Teredo, documentation, 6to4
    ipaddress.ip_network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]
NAT64 = ipaddress.ip_network("64:ff9b::/96")
LOCAL_NAMES = ("localhost", "local", "internal", "home.arpa")  # reserved: not in the public DNS


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL. A token for one origin is never sent to another."""

    scheme: str
    host: str  # lower case; an IPv6 address without brackets
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        """Return the origin of a URL that `web_address` accepted."""
        parts = urlsplit(url)
        return cls(parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme])

    @property
    def loopback(self) -> bool:
        """Whether the host is a loopback address or a name under `localhost`."""
        if (address := literal(self.host)) is not None:
            return address.is_loopback or address.is_unspecified  # connecting to 0.0.0.0 reaches this machine too
        return _is_within(self.host, "localhost")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            f"{self.scheme}://{host}" if self.port == PORTS.get(self.scheme) else f"{self.scheme}://{host}:{self.port}"
        )


def web_address(url: str) -> str:
    """Return the base URL unchanged. Raises ValueError if it is not valid, or if URL parsers disagree about it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("its host or port is wrong: expected https://host:port/path") from None
    if parts.scheme not in PORTS or not host:
        raise ValueError("must begin with https:// or http:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain a user name or password")
    if parts.query or parts.fragment:
        raise ValueError("must not contain ? or #")
    if not URL_CHARACTERS.fullmatch(url) or port == 0 or not (":" in host or HOST_NAME.match(host)):
        raise ValueError("its host or port is wrong, or a character is not allowed in a URL")
    return url


def literal(host: str) -> IPAddress | None:
    """Return a host as an IP address, in any form that resolvers accept: 127.1, 0x7f000001, ::1. None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, ValueError):  # a name
        return None


def is_public(address: IPAddress) -> bool:
    """Whether the address is globally routable."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in SPECIAL_V4)
    return address in GLOBAL_V6 and not any(address in network for network in SPECIAL_V6)


def translated(address: IPAddress) -> IPAddress:
    """Return the IPv4 address in a NAT64 address, which a resolver returns on an IPv6-only network."""
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public_name(host: str) -> bool:
    """Whether a host name may exist in the public DNS."""
    return "." in host.strip(".") and not any(_is_within(host, name) for name in LOCAL_NAMES)


def _is_within(host: str, name: str) -> bool:
    return f".{host.rstrip('.').lower()}".endswith(f".{name}")
