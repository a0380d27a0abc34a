"""A bucket: what one provider allows one API key for one family of calls. All workers share it.

Requests and tokens are two GCRA clocks (generic cell rate algorithm, ITU-T I.371 annex A) in one row of `quotas`. A
clock holds the time at which all quota granted so far would be used up at the permitted rate. A call may start when
neither clock is further ahead of the present than the burst.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bucket:
    name: str  # provider/family, for example openai/gpt-6-luna; provider@account/family for one of several accounts
    provider: str
    requests_per_minute: int
    tokens_per_minute: int | None  # None: the provider counts requests only
    burst_s: float = 1.0  # seconds of quota that may be used at once; providers enforce limits per second


@dataclass(frozen=True, slots=True)
class Reservation:
    """Quota reserved for one call."""

    tokens: int
    wait_s: float  # from the reservation until the call may start
    starts_at: float  # the same, by this process's monotonic clock
    soonest_at: float  # when the call could start if only requests were limited
    returned_s: float  # the bucket's total of refunded token time when the call was granted
    epoch: int  # of the bucket; when it changes, a grant whose call has not started is void
    request_s: float  # how far the call moved the request clock
    token_s: float  # how far each token moved the token clock; 0: tokens are not counted

    @property
    def tokens_s(self) -> float:
        """Return how far the call moved the token clock: at least as far as the request clock."""
        return max(self.request_s, self.tokens * self.token_s) if self.token_s else 0.0


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """What a provider reports about its own bucket. None: not reported."""

    requests_limit: int | None = None  # per minute
    tokens_limit: int | None = None
    requests_left: float | None = None  # as a fraction of the limit, 0 to 1
    tokens_left: float | None = None
