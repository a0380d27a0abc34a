"""sd_notify: report to systemd that the process is ready, alive or stopping. Does nothing without systemd.

The protocol is one datagram per message to the socket named by NOTIFY_SOCKET, see sd_notify(3).
"""

import os
import socket
import time
from contextlib import suppress
from time import clock_gettime_ns

from anyio import sleep

from blogworker.printable import printable


def notify(*facts: str) -> None:
    """Send facts such as "READY=1" or "STATUS=draining". Never raises, because work does not depend on systemd.

    Each fact is one line. Line breaks inside a fact, for example in a worker's name, are escaped.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.settimeout(0)
        channel.connect(address)
        channel.send("\n".join(map(printable, facts)).encode())


def supervised() -> bool:
    """Return whether systemd waits for notifications of this process."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def extend_timeout(seconds: float) -> str:
    """Return the notification that starting or stopping may take this much longer from now on."""
    return f"EXTEND_TIMEOUT_USEC={round(seconds * 1_000_000)}"


def reloading() -> tuple[str, str]:
    """Return the notifications that begin a reload; READY=1 ends it. `Type=notify-reload` requires the time."""
    return "RELOADING=1", f"MONOTONIC_USEC={clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000}"


def watchdog_interval_s() -> float | None:
    """Return half of the unit's WatchdogSec, or None when there is no watchdog for this process."""
    allowed = os.environ.get("WATCHDOG_USEC", "")
    if not allowed.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(allowed) / 1_000_000 / 2


async def feed_watchdog() -> None:
    """Notify the watchdog for as long as the event loop runs. Returns at once if no watchdog is set."""
    if (interval_s := watchdog_interval_s()) is None:
        return
    while True:
        notify("WATCHDOG=1")
        await sleep(interval_s)


def passed_sockets() -> int:
    """Return how many sockets systemd passed to this process, from file descriptor 3 on; see sd_listen_fds(3)."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return 0
    number = os.environ.get("LISTEN_FDS", "")
    return int(number) if number.isdigit() else 0
