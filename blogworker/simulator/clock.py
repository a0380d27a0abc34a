"""The simulated clock: provider time runs `speed` times faster than real time."""

import time
from datetime import UTC, datetime, timedelta

import anyio


class Clock:
    """Converts provider seconds to real seconds. `now` is in real seconds since the simulator started."""

    def __init__(self, *, speed: float, latency_scale: float) -> None:
        self.speed = speed
        self.latency_scale = latency_scale
        self._origin = time.monotonic()
        self._started_at = datetime.now(UTC)

    def now(self) -> float:
        return time.monotonic() - self._origin

    def real_seconds(self, provider_s: float) -> float:
        """Real seconds of a fixed period, such as the lifetime of a token."""
        return provider_s / self.speed

    def latency(self, provider_s: float) -> float:
        """Real seconds of work that takes the provider `provider_s`; scaled by `latency_scale` too."""
        return provider_s * self.latency_scale / self.speed

    async def simulate_work(self, provider_s: float) -> None:
        """Sleep as long as the provider would work."""
        await anyio.sleep(self.latency(provider_s))

    def wall_time(self, now: float) -> datetime:
        """The UTC time of a value of `now()`."""
        return self._started_at + timedelta(seconds=now)

    def iso(self, now: float) -> str:
        return self.wall_time(now).isoformat(timespec="milliseconds").replace("+00:00", "Z")
