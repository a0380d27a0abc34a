"""The state of a circuit breaker as one process last read it."""

from dataclasses import dataclass

from anyio import current_time

PARK_S = 5.0  # the longest rest of a job because of an open breaker; after it, the claim's filter keeps it in line
MOST_PROBES_WAITED, LONGEST_REST_S = 20, 600.0


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """A breaker's row, at most a second old."""

    state: str = "closed"
    epoch: int = 0
    strikes: int = 0
    openings: int = 0  # since it was closed, or since its cause changed
    reason: str | None = None
    probe_at: float | None = None  # when a probe may be taken, by this process's clock
    misconfigured: bool = False  # open because of our settings or inputs
    refused_main: bool = False  # a main call was refused, so the success of a secondary call does not close the breaker

    @property
    def closed(self) -> bool:
        return self.state == "closed"

    @property
    def probe_due(self) -> bool:
        return self.retry_s == 0.0

    @property
    def retry_s(self) -> float | None:
        """Return the seconds until a probe may be taken, or None if none may be taken."""
        return None if self.probe_at is None else max(0.0, self.probe_at - current_time())

    def rest_s(self) -> float:
        """Return how much longer the job of a failed probe rests, so that faulty jobs are not the only probes.

        It is a multiple of the pause of the breaker, and grows with each failed probe. So after k probes k jobs rest,
        and the next probe is another one.
        """
        return min(LONGEST_REST_S, min(self.openings, MOST_PROBES_WAITED) * (self.retry_s or 0.0))

    def wait_s(self) -> float:
        """Return how long a job that needs the provider rests."""
        if self.closed:
            return 0.0
        return PARK_S if self.retry_s is None else min(PARK_S, self.retry_s)
