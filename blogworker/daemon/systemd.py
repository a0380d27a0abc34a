"""sd_notify: tell systemd that we are ready, alive, stopping. Does nothing when systemd did not start us.

The protocol is one datagram a message to the socket that NOTIFY_SOCKET names (sd_notify(3)).
"""

import os
import socket
from contextlib import suppress

from anyio import sleep

from blogworker.printable import printable


def notify(*facts: str) -> None:
    """Send facts such as "READY=1" or "STATUS=draining". Never raises: work does not depend on being heard.

    A fact is a line: one within it, such as in a worker's name, would be another fact.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.settimeout(0)
        channel.connect(address)
        channel.send("\n".join(map(printable, facts)).encode())


def watchdog_interval_s() -> float | None:
    """Half of what the unit's WatchdogSec allows, or None when there is no watchdog for this process."""
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
