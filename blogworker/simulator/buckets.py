"""Quota arithmetic as the vendors do it: buckets that refill all the time, and fixed windows."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """So much per minute; `burst` is the part of a minute's worth that may be used at once."""

    per_minute: float
    burst: float = 1.0

    @property
    def per_second(self) -> float:
        return self.per_minute / 60.0

    @property
    def capacity(self) -> float:
        return max(1.0, self.per_minute * self.burst)


class Bucket:
    """Starts full. Every method takes the limit, so that a limit may change while the bucket lives."""

    def __init__(self) -> None:
        self._level = math.inf  # the first refill brings it down to the capacity
        self._at = 0.0

    def refill(self, limit: Limit, now: float) -> None:
        self._level = min(limit.capacity, self._level + max(0.0, now - self._at) * limit.per_second)
        self._at = now

    def wait_s(self, amount: float, limit: Limit, now: float) -> float:
        """Seconds until `amount` could be taken; zero when it can be now, infinity when it never fits."""
        self.refill(limit, now)
        if amount > limit.capacity:
            return math.inf
        return max(0.0, (amount - self._level) / limit.per_second)

    def take(self, amount: float, limit: Limit, now: float) -> None:
        """Take without asking; the level may fall below zero."""
        self.refill(limit, now)
        self._level = min(limit.capacity, self._level - amount)

    def charge_refused(self, limit: Limit, now: float) -> None:
        """A refused request costs one too, but refusals alone never dig a hole."""
        self.refill(limit, now)
        self._level = max(0.0, self._level - 1.0) if self._level > 0 else self._level

    def remaining(self, limit: Limit, now: float) -> int:
        """What is left, told on the scale of the whole minute's quota."""
        self.refill(limit, now)
        return max(0, math.floor(self._level / limit.capacity * limit.per_minute))

    def reset_s(self, limit: Limit, now: float) -> float:
        """Seconds until full."""
        self.refill(limit, now)
        return (limit.capacity - self._level) / limit.per_second


class Window:
    """So many in each minute; a new minute starts with the first call after the last one ended."""

    def __init__(self) -> None:
        self._began = -math.inf
        self._used = 0

    def take(self, per_minute: float, now: float, *, length_s: float = 60.0) -> bool:
        """Count one call; False when the minute is used up. A "minute" of another length has as much less in it."""
        if now - self._began >= length_s:
            self._began, self._used = now, 0
        self._used += 1
        return self._used <= per_minute * length_s / 60.0


class PeakMeter:
    """The most seen in any sixty seconds in a row, counted in whole seconds. Knows nothing of limits."""

    LENGTH_S = 60

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}  # in order of time
        self._sum = 0.0
        self.peak = 0.0
        self.total = 0.0

    def add(self, amount: float, now: float) -> None:
        second = int(now)
        self._seconds[second] = self._seconds.get(second, 0.0) + amount
        self._sum += amount
        self.total += amount
        while (oldest := next(iter(self._seconds))) <= second - self.LENGTH_S:
            self._sum -= self._seconds.pop(oldest)
        self.peak = max(self.peak, self._sum)


def go_duration(seconds: float) -> str:
    """Seconds in the notation of Go: `120ms`, `1s`, `6m0s`, `1h2m3.5s`."""
    if seconds < 1:
        return f"{max(0, math.ceil(seconds * 1000))}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail
