"""The systemd journal: priorities, and fields that it can be searched by.

A line of the log becomes an entry of the native protocol: one datagram with the line and its keys as fields, such as
`BLOGWORKER_EVENT=job_settled`. If the journal does not take it, the line is written to standard output, which the
journal reads too, with its priority as a prefix: `<4>` (sd-daemon(3)).
"""

import json
import os
import re
import socket
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TextIO

from structlog import DropEvent

PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
SOCKET = "/run/systemd/journal/socket"
IDENTIFIER = "blogworker"  # what `journalctl -t` selects
LARGEST = 150_000  # bytes of a datagram that the kernel takes by default
NOT_A_FIELD = re.compile(r"[^A-Z0-9_]")
IN_EVERY_ENTRY = ("level", "timestamp")  # the journal has its own


def is_journal(stream: TextIO | None) -> bool:
    """Whether the stream is connected to the journal: JOURNAL_STREAM contains its device and inode. A redirected stream
    has others."""
    try:
        facts = os.fstat(stream.fileno()) if stream is not None else None
    except (OSError, ValueError):
        return False
    return facts is not None and os.environ.get("JOURNAL_STREAM") == f"{facts.st_dev}:{facts.st_ino}"


def marked(text: str, level: str) -> str:
    """Add the prefix of the priority to each line, because each line is a separate entry."""
    return "\n".join(f"<{PRIORITIES[level]}>{line}" for line in text.splitlines() or [""])


def entry(text: str, level: str, keys: Mapping[str, Any]) -> bytes:
    """Return an entry in the native format of the journal."""
    fields = {"MESSAGE": text, "PRIORITY": str(PRIORITIES[level]), "SYSLOG_IDENTIFIER": IDENTIFIER}
    for key, value in keys.items():
        if key not in IN_EVERY_ENTRY:
            name = f"BLOGWORKER_{NOT_A_FIELD.sub('_', key.upper())}"[:64]
            fields[name] = value if isinstance(value, str) else json.dumps(value, default=str)
    return b"".join(_field(name, value.encode(errors="backslashreplace")) for name, value in fields.items())


def _field(name: str, value: bytes) -> bytes:
    """A value with a line break is preceded by its size."""
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"


class ForJournal:
    """A structlog renderer that sends the line to the journal, or adds the prefix if that is not possible."""

    def __init__(self, renderer: Any) -> None:
        self._renderer = renderer

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        level = str(event.get("level", "info"))
        keys = dict(event)  # before the renderer, which takes some out
        text = str(self._renderer(logger, method, event))
        if _send(entry(text, level, keys)):
            raise DropEvent
        return marked(text, level)


def _send(message: bytes) -> bool:
    """Send an entry. Never waits: a journal that is restarted must not stop the event loop."""
    if len(message) > LARGEST:
        return False
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.settimeout(0)
        channel.sendto(message, SOCKET)
        return True
    return False
