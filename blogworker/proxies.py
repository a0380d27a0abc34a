"""The proxies of the environment: which one a call goes through.

HTTPS_PROXY, HTTP_PROXY and ALL_PROXY name it, NO_PROXY the hosts that are reached without, as `host`, `.domain`, an
address, a network, each with a port if need be, or `*`. Nothing on this machine is reached through a proxy.
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
    """Taken once, when a client is opened."""

    by_scheme: dict[str, str]
    exempt: tuple[str, ...]

    @classmethod
    def of_environment(cls) -> Self:
        """Those that are set. Raises SettingsError where one cannot be used."""
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

    def on_the_way_to(self, origin: Origin) -> str | None:
        """The proxy's URL; None where there is none, or none is to be used."""
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
    """Whether an entry of NO_PROXY means this origin."""
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
    """Host and port of an entry. An IPv6 address without brackets has none."""
    host, _, port = entry.rpartition(":")
    if not host or not port.isdecimal() or (":" in host and not host.endswith("]")):
        host, port = entry, ""
    return host.strip("[]").removeprefix("*"), port


def _holds(network: str, address: IPAddress) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:  # a name
        return False
