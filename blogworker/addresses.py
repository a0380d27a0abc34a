"""Addresses on the network: what a base URL may be, what an origin is, which IP addresses are public.

The ranges are listed here: what Python's `ipaddress` calls global differs between its patch releases, and holds
addresses that cloud providers keep for their own machines.
"""

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS = {"http": 80, "https": 443}
URL_SIGNS = re.compile(r"[!#-;=?-Z\[\]_a-z~%]+")  # printable ASCII without what parsers disagree on
HOST_NAME = re.compile(r"(?=.{1,253}\.?\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]{1,63})*\.?\Z")
# IANA's registry of special-purpose IPv4 addresses, multicast, and one of Azure's for its machines
SPECIAL_V4 = [
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
# Of IPv6 only 2000::/3 is handed out. Mapped, local, link-local and multicast addresses all lie outside of it.
GLOBAL_V6 = ipaddress.ip_network("2000::/3")
SPECIAL_V6 = [  # inside: Teredo and its kin, documentation, 6to4
    ipaddress.ip_network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]
NAT64 = ipaddress.ip_network("64:ff9b::/96")
LOCAL_NAMES = ("localhost", "local", "internal", "home.arpa")  # never found in the public DNS


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom a URL speaks to. A token of one is not for another, be it the same host at another port."""

    scheme: str
    host: str  # lower case; of an IPv6 address without its brackets
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        """The origin of a URL that `web_address` has accepted."""
        parts = urlsplit(url)
        return cls(parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme])

    @property
    def loopback(self) -> bool:
        """Whether it is this machine, and says so."""
        if (address := literal(self.host)) is not None:
            return address.is_loopback or address.is_unspecified  # which connects to it, too
        return _is_within(self.host, "localhost")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            f"{self.scheme}://{host}" if self.port == PORTS.get(self.scheme) else f"{self.scheme}://{host}:{self.port}"
        )


def web_address(url: str) -> str:
    """A base URL as it was given. Raises ValueError for any other text, and for what parsers read in two ways."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("its host or port is wrong: https://host:port/path") from None
    if parts.scheme not in PORTS or not host:
        raise ValueError("must begin with https:// or http:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must hold no user name and no password")
    if parts.query or parts.fragment:
        raise ValueError("must end with its path, without ? and #")
    if not URL_SIGNS.fullmatch(url) or port == 0 or not (":" in host or HOST_NAME.match(host)):
        raise ValueError("its host or port is wrong, or it holds a sign that belongs in no URL")
    return url


def literal(host: str) -> IPAddress | None:
    """The address that a host spells, in any of the forms that resolvers take: 127.1, 0x7f000001, ::1."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, ValueError):  # a name; or a sign that no address has
        return None


def is_public(address: IPAddress) -> bool:
    """Whether anybody on the internet has this address."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in SPECIAL_V4)
    return address in GLOBAL_V6 and not any(address in network for network in SPECIAL_V6)


def translated(address: IPAddress) -> IPAddress:
    """The IPv4 address behind one of NAT64's, which is what the resolver of an IPv6-only network answers with."""
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public_name(host: str) -> bool:
    """Whether a name may be one of the public DNS."""
    return "." in host.strip(".") and not any(_is_within(host, name) for name in LOCAL_NAMES)


def _is_within(host: str, name: str) -> bool:
    return f".{host.rstrip('.').lower()}".endswith(f".{name}")
