"""What the workers themselves wrote down."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

NEVER_AGAIN = (
    0,
    2,
)  # a worker that ended without being asked to; whose settings are wrong, so that systemd gives it up
UNFORESEEN = ("attempt_crashed", "settle_failed")  # events of errors nobody foresaw


@dataclass(frozen=True, slots=True)
class Logbook:
    """Their events, counted, and the lines that are none."""

    events: Counter[str]
    outcries: tuple[str, ...]

    @classmethod
    def read(cls, logs: Iterable[Path]) -> "Logbook":
        events: Counter[str] = Counter()
        outcries: list[str] = []
        for log in logs:
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    events[str(json.loads(line)["event"])] += 1
                except (ValueError, KeyError, TypeError):
                    outcries.append(line)
        return cls(events, tuple(outcries))

    @property
    def tracebacks(self) -> int:
        return sum("Traceback" in line for line in self.outcries)

    @property
    def unforeseen(self) -> int:
        return sum(self.events[event] for event in UNFORESEEN)
