"""A bucket: what one vendor allows one key for one family of calls, shared by the fleet.

Requests and tokens are two GCRA clocks (generic cell rate algorithm, ITU-T I.371 annex A) in one row of `quotas`. A
clock holds the time at which everything granted so far would have been used up at the permitted rate; a call may go
once its clocks are no further ahead of now than the burst.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bucket:
    name: str  # provider/family, for example openai/gpt-6-luna; provider@account/family where there are several
    provider: str
    requests_per_minute: int
    tokens_per_minute: int | None  # None: the vendor counts requests only
    burst_s: float = 1.0  # seconds' worth that may go at once; vendors enforce by the second, not by the minute


@dataclass(frozen=True, slots=True)
class Reservation:
    """Quota taken for one call."""

    tokens: int
    wait_s: float  # from the reservation until the call may go
    starts_at: float  # the same, by this process's monotonic clock
    soonest_at: float  # when it could go if its tokens were there
    returned_s: float  # what calls had given back of the tokens by then
    epoch: int  # of the bucket: when it has changed, a grant that is not due yet no longer holds
    request_s: float  # how far the call moved the clock of requests
    token_s: float  # how far each token moved the other one; 0: not counted

    @property
    def tokens_s(self) -> float:
        """How far the call moved the clock of tokens: a request's time at the least."""
        return max(self.request_s, self.tokens * self.token_s) if self.token_s else 0.0


@dataclass(frozen=True, slots=True)
class VendorLimits:
    """What a vendor's answer says of its own bucket. None: it does not say."""

    requests_limit: int | None = None  # a minute
    tokens_limit: int | None = None
    requests_left: float | None = None  # as a fraction of the limit, 0 to 1
    tokens_left: float | None = None
