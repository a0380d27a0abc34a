"""The journal of systemd takes a line's priority from its first characters (sd-daemon(3)), when it reads the stream."""

import os
from collections.abc import MutableMapping
from typing import Any, TextIO

PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}


def is_journal(stream: TextIO | None) -> bool:
    """Whether what is written there goes to the journal: JOURNAL_STREAM names its device and inode. A stream that was
    redirected since is another file."""
    try:
        facts = os.fstat(stream.fileno()) if stream is not None else None
    except (OSError, ValueError):
        return False
    return facts is not None and os.environ.get("JOURNAL_STREAM") == f"{facts.st_dev}:{facts.st_ino}"


def marked(text: str, level: str) -> str:
    """Each line is an entry of its own there."""
    return "\n".join(f"<{PRIORITIES[level]}>{line}" for line in text.splitlines() or [""])


class ForJournal:
    """A renderer of structlog whose lines carry their priority."""

    def __init__(self, renderer: Any) -> None:
        self._renderer = renderer

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        level = str(event.get("level", "info"))
        return marked(self._renderer(logger, method, event), level)
