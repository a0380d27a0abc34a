"""Detects parts of a process that hang. Keep-alives go to the systemd watchdog only while all parts make progress."""

from collections.abc import Callable, Mapping
from time import monotonic

STALL_S = 45.0  # every statement of these parts is given up sooner, so a part that takes longer hangs


class Progress:
    """The time by which each part has to make progress, and what else can hang.

    `since`: more parts, each with a function that returns for how many seconds it has been stuck.
    """

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}
        self.since: dict[str, Callable[[], float]] = {}

    def expect(self, part: str, within_s: float = 0.0) -> None:
        """A part has made progress, and does so again after at most `within_s` seconds of waiting."""
        self._due[part] = self._clock() + within_s + STALL_S

    def rest(self, part: str) -> None:
        """A part waits for something that may take any time, or has ended."""
        self._due.pop(part, None)

    def stalled(self) -> list[str]:
        """Return the parts that have made no progress in time."""
        now = self._clock()
        return sorted([*_late(self._due, now), *(part for part, stuck_s in self.since.items() if stuck_s() > STALL_S)])


def _late(due: Mapping[str, float], now: float) -> list[str]:
    return [part for part, at in due.items() if at < now]
