"""What the simulator recorded: counters, the latest requests, and usage per minute, independent of any quota."""

from collections import Counter, deque
from typing import Any

from blogworker.simulator.buckets import PeakMeter


class ProviderCounts:
    """The requests to one provider."""

    def __init__(self) -> None:
        self.requests = 0
        self.statuses: Counter[int] = Counter()
        self.operations: Counter[str] = Counter()

    def report(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "throttled": self.statuses[429],
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "operations": dict(sorted(self.operations.items())),
        }


class Ledger:
    """Counts what the providers received. It does not enforce quotas, so that a test can check that they were kept."""

    UNANSWERED = 0  # the status of a call without an answer

    def __init__(self, kept_requests: int) -> None:
        self.providers: dict[str, ProviderCounts] = {}
        self.requests: deque[dict[str, Any]] = deque(maxlen=kept_requests)
        self.counters: Counter[str] = Counter()
        self._meters: dict[str, PeakMeter] = {}
        self._sequence = 0

    def count(self, name: str, amount: int = 1) -> None:
        self.counters[name] += amount

    def meter(self, name: str, amount: float, now: float) -> None:
        """Add usage under a name such as `openai/gpt-6-luna/tokens`."""
        meter = self._meters.get(name)
        if meter is None:
            meter = self._meters[name] = PeakMeter()
        meter.add(amount, now)

    def peak(self, name: str) -> float:
        """The highest usage in any 60 seconds; 0 for an unknown meter."""
        return self._meters[name].peak if name in self._meters else 0.0

    def highest_peak(self, prefix: str) -> tuple[str, float]:
        """Name and peak of the meter with the highest peak, of those whose name starts with `prefix`."""
        peaks = ((name, meter.peak) for name, meter in self._meters.items() if name.startswith(prefix))
        return max(peaks, key=lambda entry: entry[1], default=("", 0.0))

    def record(self, entry: dict[str, Any]) -> None:
        """Log one finished request. `entry` needs the keys vendor, operation and status."""
        counts = self.providers.setdefault(entry["vendor"], ProviderCounts())
        counts.requests += 1
        counts.statuses[entry["status"]] += 1
        counts.operations[entry["operation"]] += 1
        self._sequence += 1
        self.requests.append({"n": self._sequence, **entry})
