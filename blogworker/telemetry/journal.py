"""Priorities for the systemd journal, which reads them from a prefix of each line: `<4>` (sd-daemon(3))."""

import os
from collections.abc import MutableMapping
from typing import Any, TextIO

PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}


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


class ForJournal:
    """A structlog renderer that adds the prefix."""

    def __init__(self, renderer: Any) -> None:
        self._renderer = renderer

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        level = str(event.get("level", "info"))
        return marked(self._renderer(logger, method, event), level)
