"""A breaker as one process last saw it."""

from dataclasses import dataclass

from anyio import current_time

PARK_S = 5.0  # the longest a job is put off: what waits in line is not claimed while its provider is left alone


@dataclass(frozen=True, slots=True)
class View:
    """At most a second old."""

    state: str = "closed"
    epoch: int = 0
    strikes: int = 0
    reason: str | None = None
    probe_at: float | None = None  # when a probe may be taken, by this process's clock
    misconfigured: bool = False  # open because of our settings or inputs
    refused_main: bool = False  # in a main call: a lesser call that succeeds does not close it

    @property
    def closed(self) -> bool:
        return self.state == "closed"

    @property
    def due(self) -> bool:
        return self.retry_s == 0.0

    @property
    def retry_s(self) -> float | None:
        """Seconds until a probe may be taken."""
        return None if self.probe_at is None else max(0.0, self.probe_at - current_time())

    def wait_s(self) -> float:
        """How long to put a job off."""
        if self.closed:
            return 0.0
        return PARK_S if self.retry_s is None else min(PARK_S, self.retry_s)
