"""What the workers logged."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

UNEXPECTED_EVENTS = ("attempt_crashed", "settle_failed")  # an exception that no code expects


@dataclass(frozen=True, slots=True)
class WorkerLogs:
    events: Counter[str]
    other_lines: tuple[str, ...]  # not JSON, such as a traceback

    @classmethod
    def read(cls, logs: Iterable[Path]) -> "WorkerLogs":
        events: Counter[str] = Counter()
        other_lines: list[str] = []
        for log in logs:
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    events[str(json.loads(line)["event"])] += 1
                except (ValueError, KeyError, TypeError):
                    other_lines.append(line)
        return cls(events, tuple(other_lines))

    @property
    def tracebacks(self) -> int:
        return sum("Traceback" in line for line in self.other_lines)

    @property
    def unexpected(self) -> int:
        return sum(self.events[event] for event in UNEXPECTED_EVENTS)
