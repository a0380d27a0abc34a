"""Rate limits as the providers compute them: token buckets that refill continuously, and fixed windows."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate per minute. `burst`: the share of it that may be used at once, which is the size of the bucket."""

    per_minute: float
    burst: float = 1.0

    @property
    def per_second(self) -> float:
        return self.per_minute / 60.0

    @property
    def capacity(self) -> float:
        return max(1.0, self.per_minute * self.burst)


class Bucket:
    """A token bucket, full at the start. Each method takes the limit, so that it can change at any time.

    `now` is in seconds, from any clock that does not go back.
    """

    def __init__(self) -> None:
        self._level = math.inf  # the first refill reduces it to the capacity
        self._at = 0.0

    def refill(self, limit: Limit, now: float) -> None:
        self._level = min(limit.capacity, self._level + max(0.0, now - self._at) * limit.per_second)
        self._at = now

    def wait_s(self, amount: float, limit: Limit, now: float) -> float:
        """Seconds until `amount` is available: 0 if it is now, infinity if it exceeds the capacity."""
        self.refill(limit, now)
        if amount > limit.capacity:
            return math.inf
        return max(0.0, (amount - self._level) / limit.per_second)

    def take(self, amount: float, limit: Limit, now: float) -> None:
        """Take without a check; the level may become negative. A negative amount gives tokens back."""
        self.refill(limit, now)
        self._level = min(limit.capacity, self._level - amount)

    def charge_rejected(self, limit: Limit, now: float) -> None:
        """Take one for a rejected request, but never make the level negative."""
        self.refill(limit, now)
        self._level = max(0.0, self._level - 1.0) if self._level > 0 else self._level

    def remaining(self, limit: Limit, now: float) -> int:
        """What is left, scaled from the capacity to the quota of a minute."""
        self.refill(limit, now)
        return max(0, math.floor(self._level / limit.capacity * limit.per_minute))

    def reset_s(self, limit: Limit, now: float) -> float:
        """Seconds until the bucket is full."""
        self.refill(limit, now)
        return (limit.capacity - self._level) / limit.per_second


class Window:
    """A fixed window. The next one starts with the first call after the end of the last."""

    def __init__(self) -> None:
        self._started = -math.inf
        self._used = 0

    def take(self, per_minute: float, now: float, *, length_s: float = 60.0) -> bool:
        """Count one call; False if the window is exhausted. Its limit is `per_minute`, scaled to `length_s`."""
        if now - self._started >= length_s:
            self._started, self._used = now, 0
        self._used += 1
        return self._used <= per_minute * length_s / 60.0


class PeakMeter:
    """The highest sum of any 60 consecutive seconds, in steps of whole seconds."""

    LENGTH_S = 60

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}  # second -> amount, oldest first
        self._sum = 0.0
        self.peak = 0.0

    def add(self, amount: float, now: float) -> None:
        second = int(now)
        self._seconds[second] = self._seconds.get(second, 0.0) + amount
        self._sum += amount
        while (oldest := next(iter(self._seconds))) <= second - self.LENGTH_S:
            self._sum -= self._seconds.pop(oldest)
        self.peak = max(self.peak, self._sum)


def go_duration(seconds: float) -> str:
    """Seconds as Go writes a duration: `120ms`, `1s`, `6m0s`, `1h2m3.5s`."""
    if seconds < 1:
        return f"{max(0, math.ceil(seconds * 1000))}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail
