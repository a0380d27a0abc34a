"""Chooses the proxy for a call, from the environment.

HTTPS_PROXY, HTTP_PROXY and ALL_PROXY name proxies. NO_PROXY lists hosts without a proxy: `host`, `.domain`, an
address or a network, each with an optional port, or `*`. Loopback addresses never use a proxy.
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
    """The proxy settings. They are read when a client is opened."""

    by_scheme: dict[str, str]
    exempt: tuple[str, ...]

    @classmethod
    def of_environment(cls) -> Self:
        """Return the proxies of the environment. Raises SettingsError if one is not valid."""
        given = getproxies_environment()
        named = {scheme: given.get(scheme) or given.get("all") for scheme in ("http", "https")}
        faults = [
            f"{scheme.upper()}_PROXY: must be http://host:port or https://host:port"
            for scheme in ("http", "https", "all")
            if (url := given.get(scheme)) and url in named.values() and not _usable(_completed(url))
        ]
        if faults:
            raise SettingsError("\n".join(faults))
        exempt = tuple(entry.strip().lower() for entry in given.get("no", "").split(",") if entry.strip())
        return cls({scheme: _completed(url) for scheme, url in named.items() if url}, exempt)

    def for_origin(self, origin: Origin) -> str | None:
        """Return the URL of the proxy; None for a direct connection."""
        if origin.loopback or any(_matches(entry, origin) for entry in self.exempt):
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


def _matches(entry: str, origin: Origin) -> bool:
    """Whether an entry of NO_PROXY matches this origin."""
    if entry == "*":
        return True
    named, port = _host_and_port(entry)
    if port and port != str(origin.port):
        return False
    host = origin.host.rstrip(".")
    if (address := literal(host)) is not None:
        return _contains(named, address)
    return host.endswith(named) if named.startswith(".") else f".{host}".endswith(f".{named}")


def _host_and_port(entry: str) -> tuple[str, str]:
    """Return host and port of an entry. An IPv6 address without brackets has no port."""
    host, _, port = entry.rpartition(":")
    if not host or not port.isdecimal() or (":" in host and not host.endswith("]")):
        host, port = entry, ""
    return host.strip("[]").removeprefix("*").rstrip("."), port


def _contains(network: str, address: IPAddress) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:  # the entry is a name
        return False
