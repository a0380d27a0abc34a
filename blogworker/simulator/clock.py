"""The vendors' clock: monotonic, and as many times faster than ours as the options say."""

import time
from datetime import UTC, datetime, timedelta

import anyio


class Clock:
    """Turns vendor seconds into real ones. `now` is in real seconds since the simulator started."""

    def __init__(self, *, speed: float, latency_scale: float) -> None:
        self.speed = speed
        self.latency_scale = latency_scale
        self._origin = time.monotonic()
        self._started_at = datetime.now(UTC)

    def now(self) -> float:
        return time.monotonic() - self._origin

    def span(self, vendor_s: float) -> float:
        """Real seconds of a vendor's fixed period, such as a token's life."""
        return vendor_s / self.speed

    def latency(self, vendor_s: float) -> float:
        """Real seconds of work that takes a vendor so long."""
        return vendor_s * self.latency_scale / self.speed

    async def work(self, vendor_s: float) -> None:
        """Take as long as the vendor would."""
        await anyio.sleep(self.latency(vendor_s))

    def at(self, now: float) -> datetime:
        """The wall-clock time of a moment that `now` gave."""
        return self._started_at + timedelta(seconds=now)

    def iso(self, now: float) -> str:
        return self.at(now).isoformat(timespec="milliseconds").replace("+00:00", "Z")
