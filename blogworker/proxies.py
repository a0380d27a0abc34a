"""Which proxy of the environment a call goes through.

HTTPS_PROXY, HTTP_PROXY and ALL_PROXY name proxies. NO_PROXY lists hosts that are reached directly: `host`, `.domain`,
an address or a network, each with an optional port, or `*`. This machine is always reached directly.
"""

import ipaddress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from blogworker.addresses import IPAddress, Origin, literal
from blogworker.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxy settings, read once when a client is opened."""

    by_scheme: dict[str, str]
    exempt: tuple[str, ...]

    @classmethod
    def of_environment(cls) -> Self:
        """The proxies that are set. Raises SettingsError when one is not valid."""
        given = getproxies_environment()
        named = {scheme: given.get(scheme) or given.get("all") for scheme in ("http", "https")}
        faults = [
            f"{scheme.upper()}_PROXY: must be http://host:port or https://host:port"
            for scheme in ("http", "https", "all")
            if given.get(scheme) and not _usable(_completed(given[scheme]))
        ]
        if faults:
            raise SettingsError("\n".join(faults))
        exempt = tuple(entry.strip().lower() for entry in given.get("no", "").split(",") if entry.strip())
        return cls({scheme: _completed(url) for scheme, url in named.items() if url}, exempt)

    def for_origin(self, origin: Origin) -> str | None:
        """The URL of the proxy; None for a direct connection."""
        if origin.loopback or any(_names(entry, origin) for entry in self.exempt):
            return None
        return self.by_scheme.get(origin.scheme)


def _completed(url: str) -> str:
    return url if "://" in url else f"http://{url}"


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isascii()
    except ValueError:
        return False


def _names(entry: str, origin: Origin) -> bool:
    """Whether an entry of NO_PROXY matches this origin."""
    if entry == "*":
        return True
    named, port = _parted(entry)
    if port and port != str(origin.port):
        return False
    host = origin.host.rstrip(".")
    if (address := literal(host)) is not None:
        return _holds(named, address)
    return host.endswith(named) if named.startswith(".") else f".{host}".endswith(f".{named}")


def _parted(entry: str) -> tuple[str, str]:
    """Host and port of an entry. An IPv6 address without brackets has no port."""
    host, _, port = entry.rpartition(":")
    if not host or not port.isdecimal() or (":" in host and not host.endswith("]")):
        host, port = entry, ""
    return host.strip("[]").removeprefix("*").rstrip("."), port


def _holds(network: str, address: IPAddress) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:  # a name
        return False
